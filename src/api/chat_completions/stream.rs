//! Events become `data:` lines, one chunk each.

use super::chunks::Chunks;
use super::{ReasoningField, key, write_extra_content};
use crate::api::Encoder;
use crate::event::{Body, Event, Finish, Part, told};
use crate::json;

/// The encoder of one streamed answer.
#[derive(Debug)]
pub struct Stream {
    chunks: Chunks,
    reasoning: ReasoningField,
}

impl Encoder for Stream {
    fn begin(&mut self, provider: &str) {
        self.chunks.begin(provider);
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Part(part) => self.part(part, out),
            Event::Finish(finish) => self.finish(finish, out),
            Event::Start(_) | Event::Usage(_) | Event::Complete | Event::Fault(_) => {
                self.chunks.event(event, out);
            }
        }
    }
}

impl Stream {
    /// Makes an encoder; usage is sent if `include_usage` is set.
    pub fn new(include_usage: bool, reasoning: ReasoningField) -> Stream {
        Stream { chunks: Chunks::new("chat.completion.chunk", include_usage), reasoning }
    }

    fn part(&self, part: &Part<'_>, out: &mut Vec<u8>) {
        self.chunks.open(part.choice, part.unknown.answer, out);
        out.extend_from_slice(b",\"delta\":{");
        let mut first = true;
        if part.first {
            key("role", &mut first, out);
            out.extend_from_slice(b"\"assistant\"");
        }
        match &part.body {
            Body::Nothing => {
                if part.first {
                    key("content", &mut first, out);
                    out.extend_from_slice(b"\"\"");
                }
            }
            Body::Text(text) => {
                key("content", &mut first, out);
                json::write_string(text, out);
            }
            Body::Refusal(text) => {
                key("refusal", &mut first, out);
                json::write_string(text, out);
            }
            Body::Reasoning { text, details } => {
                if !text.is_empty() {
                    for name in self.reasoning.names() {
                        key(name, &mut first, out);
                        json::write_string(text, out);
                    }
                }
                if !details.is_empty() {
                    key("reasoning_details", &mut first, out);
                    json::write_list(details, out);
                }
            }
            Body::ToolStart { .. } | Body::ToolMore { .. } => {
                key("tool_calls", &mut first, out);
                write_fragment(&part.body, out);
            }
        }
        for field in part.unknown.delta {
            key(&field.name, &mut first, out);
            json::write_raw(&field.value, out);
        }
        out.extend_from_slice(b"},\"finish_reason\":null");
        json::write_fields(told(part.unknown.choice), out);
        out.extend_from_slice(b"}]}\n\n");
    }

    fn finish(&self, finish: &Finish<'_>, out: &mut Vec<u8>) {
        self.chunks.open(finish.choice, finish.unknown.answer, out);
        out.extend_from_slice(b",\"delta\":{},\"finish_reason\":");
        json::write_string(finish.reason.as_str(), out);
        if let Some(native) = finish.native {
            out.extend_from_slice(b",\"native_finish_reason\":");
            json::write_string(native, out);
        }
        json::write_fields(told(finish.unknown.choice), out);
        out.extend_from_slice(b"}]}\n\n");
    }
}

/// Appends the `tool_calls` array of one fragment.
fn write_fragment(body: &Body<'_>, out: &mut Vec<u8>) {
    let (index, arguments, extra_content, unknown) = match *body {
        Body::ToolStart { index, arguments, extra_content, unknown, .. }
        | Body::ToolMore { index, arguments, extra_content, unknown } => {
            (index, arguments, extra_content, unknown)
        }
        Body::Nothing | Body::Text(_) | Body::Refusal(_) | Body::Reasoning { .. } => return,
    };
    out.extend_from_slice(b"[{\"index\":");
    json::write_number(index, out);
    if let Body::ToolStart { id, name, .. } = *body {
        out.extend_from_slice(b",\"id\":");
        json::write_string(id, out);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        json::write_string(name, out);
        out.push(b',');
    } else {
        out.extend_from_slice(b",\"function\":{");
    }
    out.extend_from_slice(b"\"arguments\":");
    json::write_string(arguments, out);
    out.push(b'}');
    write_extra_content(extra_content, out);
    json::write_fields(told(unknown), out);
    out.extend_from_slice(b"}]");
}
