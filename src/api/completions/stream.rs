//! Events become `data:` lines, one `text_completion` each.

use super::{logprobs, native, word, write_beside};
use crate::api::Encoder;
use crate::api::chat_completions::{Chunks, ReasoningField};
use crate::event::{Body, Event, Finish, Part, Unknown};
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
        Stream { chunks: Chunks::new("text_completion", include_usage), reasoning }
    }

    /// Appends a chunk up to the finish reason of its choice.
    fn open(&self, choice: u32, text: &str, unknown: &Unknown<'_>, out: &mut Vec<u8>) {
        self.chunks.open(choice, unknown.answer, out);
        out.extend_from_slice(b",\"text\":");
        json::write_string(text, out);
        out.extend_from_slice(b",\"logprobs\":");
        json::write_raw(logprobs(&[unknown.choice, unknown.delta]).unwrap_or("null"), out);
        out.extend_from_slice(b",\"finish_reason\":");
    }

    fn part(&self, part: &Part<'_>, out: &mut Vec<u8>) {
        let text = if let Body::Text(text) = part.body { text } else { "" };
        self.open(part.choice, text, &part.unknown, out);
        out.extend_from_slice(b"null");
        match &part.body {
            Body::Refusal(text) => {
                out.extend_from_slice(b",\"refusal\":");
                json::write_string(text, out);
            }
            Body::Reasoning { text, details } => {
                self.reasoning.write(text, out);
                if !details.is_empty() {
                    out.extend_from_slice(b",\"reasoning_details\":");
                    json::write_list(details, out);
                }
            }
            Body::Nothing | Body::Text(_) | Body::ToolStart { .. } | Body::ToolMore { .. } => {}
        }
        close(&part.unknown, out);
    }

    fn finish(&self, finish: &Finish<'_>, out: &mut Vec<u8>) {
        self.open(finish.choice, "", &finish.unknown, out);
        json::write_string(word(finish.reason), out);
        if let Some(native) = native(finish.reason, finish.native) {
            out.extend_from_slice(b",\"native_finish_reason\":");
            json::write_string(native, out);
        }
        close(&finish.unknown, out);
    }
}

/// Appends what stands beside the text, and the end of the chunk.
fn close(unknown: &Unknown<'_>, out: &mut Vec<u8>) {
    write_beside(&[unknown.choice, unknown.delta], out);
    out.extend_from_slice(b"}]}\n\n");
}
