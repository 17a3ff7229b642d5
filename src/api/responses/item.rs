//! The items of an answer, and how each is written.

use crate::api::chat_completions::join_details;
use crate::chat::sealed;
use crate::json::{self, Field, Members};

/// The form of reasoning that is written as it came; all others are packed ([`sealed`]).
const PLAIN_FORM: &str = "openai-responses-v1";

/// One item of the output.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) body: Body,
    /// Fields that nobody knows.
    pub(super) unknown: Vec<Field<'static>>,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        }
    }
}

/// What an item is.
#[derive(Debug)]
pub(super) enum Body {
    /// Text and refusals.
    Message(Vec<Part>),
    /// Summaries and thoughts, and `reasoning_details` as they came, with commas between them.
    Reasoning(Vec<Part>, String),
    /// A function call.
    Call(Call),
    /// An item of the provider's own, as it came.
    Own(String),
}

/// A function call.
#[derive(Debug)]
pub(super) struct Call {
    /// Its number in the choice.
    pub(super) index: u32,
    pub(super) call_id: String,
    pub(super) name: String,
    /// Of the function, where the client gave it one.
    pub(super) namespace: Option<String>,
    pub(super) arguments: String,
    pub(super) extra_content: Vec<Field<'static>>,
}

/// A part of a message or of reasoning.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) voice: Voice,
    /// Its number among those of its list.
    pub(super) index: u32,
    /// The provider's number for it.
    pub(super) number: Option<i64>,
    pub(super) text: String,
    /// JSON texts.
    pub(super) annotations: Vec<String>,
    /// JSON texts with commas between them.
    pub(super) logprobs: String,
}

/// What a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Text,
    Refusal,
    Summary,
    Thought,
}

impl Voice {
    /// The type of such a part.
    fn kind(self) -> &'static str {
        match self {
            Voice::Text => "output_text",
            Voice::Refusal => "refusal",
            Voice::Summary => "summary_text",
            Voice::Thought => "reasoning_text",
        }
    }

    /// The member that holds its text.
    pub(super) fn member(self) -> &'static str {
        if self == Voice::Refusal { "refusal" } else { "text" }
    }

    /// How its events begin.
    pub(super) fn event(self) -> &'static str {
        match self {
            Voice::Text => "output_text",
            Voice::Refusal => "refusal",
            Voice::Summary => "reasoning_summary_text",
            Voice::Thought => "reasoning_text",
        }
    }

    /// How the events of a part as a whole begin.
    pub(super) fn part_event(self) -> &'static str {
        if self == Voice::Summary { "reasoning_summary_part" } else { "content_part" }
    }

    /// The member that numbers it.
    pub(super) fn numbered_by(self) -> &'static str {
        if self == Voice::Summary { "summary_index" } else { "content_index" }
    }
}

impl Part {
    /// Appends the part as it is now, or as it was when it was opened.
    pub(super) fn write(&self, is_new: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":");
        json::write_string(self.voice.kind(), out);
        out.push(b',');
        json::write_string(self.voice.member(), out);
        out.push(b':');
        json::write_string(if is_new { "" } else { &self.text }, out);
        if self.voice == Voice::Text {
            out.extend_from_slice(b",\"annotations\":[");
            let annotations: &[String] = if is_new { &[] } else { &self.annotations };
            for (at, raw) in annotations.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(raw.as_bytes());
            }
            out.extend_from_slice(b"],\"logprobs\":[");
            out.extend_from_slice(if is_new { b"" } else { self.logprobs.as_bytes() });
            out.push(b']');
        }
        out.push(b'}');
    }
}

impl Item {
    /// Appends the item as it is now, or as it was when it was opened.
    pub(super) fn write(&self, is_new: bool, out: &mut Vec<u8>) {
        let kind = match &self.body {
            Body::Message(_) => "message",
            Body::Reasoning(..) => "reasoning",
            Body::Call(_) => "function_call",
            Body::Own(raw) => return json::write_raw(raw, out),
        };
        out.extend_from_slice(b"{\"id\":");
        json::write_string(&self.id, out);
        out.extend_from_slice(b",\"type\":");
        json::write_string(kind, out);
        // Reasoning has none: where it is sent back, a status is refused.
        if !matches!(self.body, Body::Reasoning(..)) {
            out.extend_from_slice(b",\"status\":");
            json::write_string(if is_new { Status::InProgress.as_str() } else { self.status.as_str() }, out);
        }
        match &self.body {
            Body::Message(parts) => {
                out.extend_from_slice(b",\"role\":\"assistant\",\"content\":");
                write_parts(parts, is_new, |_| true, out);
            }
            Body::Reasoning(parts, details) => {
                out.extend_from_slice(b",\"summary\":");
                write_parts(parts, is_new, |part| part.voice == Voice::Summary, out);
                if !is_new && parts.iter().any(|part| part.voice == Voice::Thought) {
                    out.extend_from_slice(b",\"content\":");
                    write_parts(parts, is_new, |part| part.voice == Voice::Thought, out);
                }
                out.extend_from_slice(b",\"encrypted_content\":");
                match encrypted(details).filter(|_| !is_new) {
                    Some(word) => json::write_string(&word, out),
                    None => out.extend_from_slice(b"null"),
                }
            }
            Body::Call(call) => {
                out.extend_from_slice(b",\"call_id\":");
                json::write_string(&call.call_id, out);
                out.extend_from_slice(b",\"name\":");
                json::write_string(&call.name, out);
                if let Some(namespace) = &call.namespace {
                    out.extend_from_slice(b",\"namespace\":");
                    json::write_string(namespace, out);
                }
                out.extend_from_slice(b",\"arguments\":");
                json::write_string(if is_new { "" } else { &call.arguments }, out);
                if let Some((first, rest)) = call.extra_content.split_first().filter(|_| !is_new) {
                    out.extend_from_slice(b",\"extra_content\":{");
                    json::write_string(&first.name, out);
                    out.push(b':');
                    json::write_raw(&first.value, out);
                    json::write_fields(rest, out);
                    out.push(b'}');
                }
            }
            Body::Own(_) => {}
        }
        json::write_fields(&self.unknown, out);
        out.push(b'}');
    }
}

fn write_parts(parts: &[Part], is_new: bool, takes: impl Fn(&Part) -> bool, out: &mut Vec<u8>) {
    out.push(b'[');
    let parts = parts.iter().filter(|part| !is_new && takes(part));
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        part.write(false, out);
    }
    out.push(b']');
}

/// What a client must send back: OpenAI's own word as it came, anything else packed; `None` where there is
/// nothing but text.
fn encrypted(details: &str) -> Option<String> {
    if details.is_empty() {
        return None;
    }
    let list = format!("[{details}]");
    let pieces = json::elements(&list);
    let mut words = Vec::new();
    let mut is_plain = true;
    for raw in &pieces {
        let detail = Members::of(raw);
        let word = |name: &str| detail.find(name).and_then(json::word);
        is_plain &= word("format").as_deref() == Some(PLAIN_FORM);
        if word("type").as_deref() == Some("reasoning.encrypted") {
            words.extend(word("data").map(|data| data.into_owned()));
        }
    }
    if is_plain && words.len() < 2 {
        return words.pop();
    }
    let pieces: Vec<String> = pieces.into_iter().map(str::to_owned).collect();
    Some(sealed::seal(sealed::Kind::Details, &format!("[{}]", join_details(&pieces).join(","))))
}
