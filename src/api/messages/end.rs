//! How an answer ends: the reason, and the tokens.

use crate::event::{Finish, FinishReason, Usage};
use crate::json::{self, Field};

/// Words of the API itself, and what they mean in general: where a provider uses them, they stay.
const OWN: [(&str, FinishReason); 4] = [
    ("pause_turn", FinishReason::Stop),
    ("stop_sequence", FinishReason::Stop),
    ("model_context_window_exceeded", FinishReason::Length),
    ("refusal", FinishReason::ContentFilter),
];

/// The end of the choice that is told.
#[derive(Debug)]
pub(super) struct Ending {
    reason: &'static str,
    /// The sequence at which the model stopped, and other fields beside the reason: JSON texts.
    beside: Vec<Field<'static>>,
    /// Fields of the whole answer that came with the end.
    answer: Vec<Field<'static>>,
}

impl Ending {
    /// Reads the end of a choice; `has_refused` is true if the model refused in words.
    pub(super) fn of(finish: &Finish<'_>, has_refused: bool) -> Ending {
        let own =
            OWN.into_iter().find(|(word, means)| finish.native == Some(word) && finish.reason == *means);
        let copy = |fields: &[Field<'_>]| -> Vec<Field<'static>> {
            fields
                .iter()
                .filter(|field| field.value != "null")
                .map(|field| field.clone().into_owned())
                .collect()
        };
        let mut beside = copy(finish.unknown.choice);
        beside.retain(|field| matches!(field.name.as_ref(), "stop_sequence" | "stop_details"));
        let has_sequence = beside.iter().any(|field| field.name == "stop_sequence");
        let reason = match (own, finish.reason) {
            (Some((word, _)), _) => word,
            (None, FinishReason::Stop) if has_refused => "refusal",
            (None, FinishReason::Stop) if has_sequence => "stop_sequence",
            (None, FinishReason::Stop) => "end_turn",
            (None, FinishReason::Length) => "max_tokens",
            (None, FinishReason::ToolCalls) => "tool_use",
            (None, FinishReason::ContentFilter) => "refusal",
        };
        Ending { reason, beside, answer: copy(finish.unknown.answer) }
    }

    /// Appends `"stop_reason":…,"stop_sequence":…` and what else belongs beside them.
    pub(super) fn write_reason(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"stop_reason\":\"");
        out.extend_from_slice(self.reason.as_bytes());
        out.push(b'"');
        if !self.beside.iter().any(|field| field.name == "stop_sequence") {
            out.extend_from_slice(b",\"stop_sequence\":null");
        }
        json::write_fields(&self.beside, out);
        json::write_fields(self.answer.iter().filter(|field| field.name == "container"), out);
    }

    /// Appends the other fields of the whole answer.
    pub(super) fn write_answer(&self, known: &[&str], out: &mut Vec<u8>) {
        let rest = |field: &&Field<'_>| field.name != "container" && !known.contains(&field.name.as_ref());
        json::write_fields(self.answer.iter().filter(rest), out);
    }
}

/// Appends the tokens in the API's meaning: `input_tokens` leaves out what was read from a cache and written into
/// it. What is not known is zero: clients of this API do arithmetic with it unasked.
pub(super) fn write_usage(usage: Option<&Usage>, out: &mut Vec<u8>) {
    const OURS: [&str; 7] = [
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
    ];
    let read = usage.and_then(Usage::cached);
    let written = usage.and_then(Usage::cache_written);
    let apart = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
    let input = usage.and_then(|usage| usage.prompt).unwrap_or(0).saturating_sub(apart);
    let output = usage.and_then(|usage| usage.completion).unwrap_or(0);
    for (name, count) in [
        ("{\"input_tokens\":", input),
        (",\"cache_creation_input_tokens\":", written.unwrap_or(0)),
        (",\"cache_read_input_tokens\":", read.unwrap_or(0)),
        (",\"output_tokens\":", output),
    ] {
        out.extend_from_slice(name.as_bytes());
        json::write_number(count, out);
    }
    let Some(usage) = usage else { return out.push(b'}') };
    let rest = usage.rest().iter().filter(|field| !OURS.contains(&field.name.as_ref()));
    json::write_fields(rest.clone(), out);
    let has_details = rest.clone().any(|field| field.name == "output_tokens_details");
    if let Some(thought) = usage.reasoning().filter(|_| !has_details) {
        out.extend_from_slice(b",\"output_tokens_details\":{\"thinking_tokens\":");
        json::write_number(thought, out);
        out.push(b'}');
    }
    out.push(b'}');
}
