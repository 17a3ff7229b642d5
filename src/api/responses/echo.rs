//! The response object: what the request said of itself, and the answer so far.

use super::answer::Answer;
use super::item::Item;
use crate::event::{ErrorType, Fault, FinishReason};
use crate::json::{self, Members};

/// The members that repeat the request, with what stands there if it is silent.
const MEMBERS: &[(&str, &str)] = &[
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];
/// The members that the answer itself writes.
const OWN: &[&str] = &[
    "id",
    "object",
    "created_at",
    "status",
    "error",
    "incomplete_details",
    "model",
    "output",
    "output_text",
    "usage",
    "store",
];

/// What a response repeats of its request: members with commas before them.
#[derive(Debug, Clone)]
pub(super) struct Echo {
    text: Vec<u8>,
    store: bool,
    /// The model that was asked for; it is named by an answer that nobody gave.
    model: String,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo::of(&Members::default())
    }
}

/// How an answer stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing<'a> {
    /// It goes on: the output is told by its own events.
    InProgress,
    /// It ended as its finish says.
    Ended,
    /// It failed.
    Failed(&'a Fault, &'a str),
}

impl Echo {
    /// What is repeated of a request.
    pub(super) fn of(request: &Members<'_>) -> Echo {
        let mut text = Vec::new();
        for (name, default) in MEMBERS {
            text.push(b',');
            json::write_string(name, &mut text);
            text.push(b':');
            let said = request.find(name).filter(|raw| *raw != "null");
            json::write_raw(said.unwrap_or(default), &mut text);
        }
        let model = request.find("model").and_then(json::word).unwrap_or_default().into_owned();
        Echo { text, store: request.find("store") == Some("true"), model }
    }

    /// Says that the answer is kept.
    pub(super) fn keeps(&mut self) {
        self.store = true;
    }

    /// Appends the response object.
    pub(super) fn write(&self, answer: &Answer, standing: Standing<'_>, out: &mut Vec<u8>) {
        let identity = answer.identity.as_ref();
        out.extend_from_slice(b"{\"id\":");
        json::write_string(identity.map_or("resp_none", |identity| &identity.id), out);
        out.extend_from_slice(b",\"object\":\"response\",\"created_at\":");
        json::write_number(identity.map_or(0, |identity| identity.created), out);
        let cut = match standing {
            Standing::InProgress | Standing::Failed(..) => None,
            Standing::Ended => reason(answer),
        };
        out.extend_from_slice(match (standing, &cut) {
            (Standing::InProgress, _) => b",\"status\":\"in_progress\"",
            (Standing::Failed(..), _) => b",\"status\":\"failed\"",
            (Standing::Ended, Some(_)) => b",\"status\":\"incomplete\"",
            (Standing::Ended, None) => b",\"status\":\"completed\"",
        });
        out.extend_from_slice(b",\"error\":");
        match standing {
            Standing::Failed(fault, provider) => write_error(fault, provider, out),
            Standing::InProgress | Standing::Ended => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"incomplete_details\":");
        json::write_raw(cut.as_deref().unwrap_or("null"), out);
        out.extend_from_slice(b",\"model\":");
        json::write_string(identity.map_or(&self.model, |identity| &identity.model), out);
        out.extend_from_slice(b",\"output\":[");
        let items: &[Item] = if matches!(standing, Standing::InProgress) { &[] } else { &answer.items };
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.write(false, out);
        }
        out.extend_from_slice(b"],\"usage\":");
        match answer.usage.as_ref().filter(|usage| usage.is_whole()) {
            Some(usage) => usage.write_as_responses(out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"store\":");
        out.extend_from_slice(if self.store { b"true" } else { b"false" });
        out.extend_from_slice(&self.text);
        if !matches!(standing, Standing::InProgress) {
            let is_own = |name: &str| OWN.contains(&name) || MEMBERS.iter().any(|(own, _)| *own == name);
            json::write_fields(answer.unknown.iter().filter(|field| !is_own(&field.name)), out);
        }
        out.push(b'}');
    }
}

/// True for an answer that ended before it was complete.
pub(super) fn is_cut(answer: &Answer) -> bool {
    reason(answer).is_some()
}

/// Why an answer is not complete: in the provider's words, if it gave any.
fn reason(answer: &Answer) -> Option<String> {
    let said = || answer.incomplete.clone();
    match answer.finish {
        Some(FinishReason::Length) => {
            said().or_else(|| Some("{\"reason\":\"max_output_tokens\"}".to_owned()))
        }
        Some(FinishReason::ContentFilter) => {
            said().or_else(|| Some("{\"reason\":\"content_filter\"}".to_owned()))
        }
        Some(FinishReason::Stop | FinishReason::ToolCalls) | None => None,
    }
}

/// Appends the error of an answer that failed. Codes are those that clients of the API know; the contract's own
/// stands beside them.
pub(super) fn write_error(fault: &Fault, provider: &str, out: &mut Vec<u8>) {
    const KNOWN: &[&str] = &["context_length_exceeded", "insufficient_quota", "rate_limit_exceeded"];
    let known = fault.provider_code.as_deref().filter(|code| KNOWN.contains(code));
    let code = known.unwrap_or(match fault.error_type {
        ErrorType::RateLimit => "rate_limit_exceeded",
        ErrorType::InvalidRequest | ErrorType::RequestTooLarge => "invalid_prompt",
        ErrorType::Authentication
        | ErrorType::Permission
        | ErrorType::NotFound
        | ErrorType::Upstream
        | ErrorType::Timeout
        | ErrorType::Server
        | ErrorType::Overloaded => "server_error",
    });
    out.extend_from_slice(b"{\"code\":");
    json::write_string(code, out);
    for (name, value) in [
        ("message", Some(fault.message.as_str())),
        ("type", Some(fault.error_type.as_str())),
        ("fault", Some(fault.code.as_str())),
        ("param", fault.param.as_deref()),
        ("provider", Some(provider)),
        ("provider_code", fault.provider_code.as_deref()),
    ] {
        if let Some(value) = value {
            out.push(b',');
            json::write_string(name, out);
            out.push(b':');
            json::write_string(value, out);
        }
    }
    out.push(b'}');
}
