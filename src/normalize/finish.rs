//! Finish reasons: from the words of all providers to the four of the API (E1).

use crate::event::FinishReason;

/// What a provider's word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// One of the API's reasons.
    Reason(FinishReason),
    /// The answer was given up: the provider failed or was stopped.
    Failed,
    /// A word that nobody knows.
    Unknown,
}

/// Reads a provider's word, whatever its case.
pub(super) fn meaning(word: &str) -> Meaning {
    let word = word.to_ascii_lowercase().replace([' ', '-'], "_");
    Meaning::Reason(match word.as_str() {
        "stop" | "end_turn" | "eos" | "eos_token" | "end_of_text" | "stop_sequence" | "stop_token"
        | "stop_str" | "complete" | "completed" | "finish" | "finished" | "end" | "done" | "pause_turn" => {
            FinishReason::Stop
        }
        "length"
        | "max_tokens"
        | "max_output_tokens"
        | "max_completion_tokens"
        | "max_new_tokens"
        | "model_length"
        | "max_length"
        | "token_limit"
        | "context_length"
        | "model_context_window_exceeded"
        | "limit" => FinishReason::Length,
        "tool_calls" | "tool_call" | "tool_use" | "tools" | "function_call" | "function_calls" => {
            FinishReason::ToolCalls
        }
        "content_filter"
        | "content_filtered"
        | "safety"
        | "refusal"
        | "blocklist"
        | "prohibited_content"
        | "recitation"
        | "spii"
        | "sensitive"
        | "moderation"
        | "moderated"
        | "image_safety"
        | "image_prohibited_content"
        | "image_recitation"
        | "language"
        | "model_armor"
        | "guardrail_intervened" => FinishReason::ContentFilter,
        "error"
        | "failed"
        | "failure"
        | "abort"
        | "aborted"
        | "cancel"
        | "cancelled"
        | "canceled"
        | "network_error"
        | "server_error"
        | "insufficient_system_resource"
        | "malformed_function_call"
        | "malformed_model_output"
        | "malformed_tool_use"
        | "malformed_response"
        | "missing_thought_signature"
        | "too_many_tool_calls"
        | "unexpected_tool_call" => return Meaning::Failed,
        _ => return Meaning::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_providers_are_known() {
        for (word, reason) in [
            ("STOP", FinishReason::Stop),
            ("end_turn", FinishReason::Stop),
            ("MAX_TOKENS", FinishReason::Length),
            ("model_length", FinishReason::Length),
            ("tool_use", FinishReason::ToolCalls),
            ("SAFETY", FinishReason::ContentFilter),
        ] {
            assert_eq!(meaning(word), Meaning::Reason(reason), "{word}");
        }
        assert_eq!(meaning("error"), Meaning::Failed);
        assert_eq!(meaning("because"), Meaning::Unknown);
    }
}
