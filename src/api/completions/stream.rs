//! Events become `data:` lines, one `text_completion` each.

use super::{logprobs, native, word, write_beside};
use crate::api::Encoder;
use crate::api::chat_completions::{ErrorBody, ReasoningField, write_error};
use crate::event::{Body, Event, Fault, Finish, Identity, Part, Unknown, Usage};
use crate::json;

/// The encoder of one streamed answer.
#[derive(Debug)]
pub struct Stream {
    /// Named in faults.
    provider: String,
    include_usage: bool,
    reasoning: ReasoningField,
    /// `data: {"id":…,"object":…,"created":…,"model":…`: the beginning of every chunk.
    envelope: Vec<u8>,
}

impl Encoder for Stream {
    fn begin(&mut self, provider: &str) {
        self.provider = provider.to_owned();
        self.envelope.clear();
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.start(identity),
            Event::Part(part) => self.part(part, out),
            Event::Finish(finish) => self.finish(finish, out),
            Event::Usage(usage) => self.usage(usage, out),
            Event::Complete => out.extend_from_slice(b"data: [DONE]\n\n"),
            Event::Fault(fault) => self.fault(fault, out),
        }
    }
}

impl Stream {
    /// Makes an encoder; usage is sent if `include_usage` is set.
    pub fn new(include_usage: bool, reasoning: ReasoningField) -> Stream {
        Stream { provider: String::new(), include_usage, reasoning, envelope: Vec::new() }
    }

    fn start(&mut self, identity: &Identity) {
        let out = &mut self.envelope;
        out.clear();
        out.extend_from_slice(b"data: ");
        identity.write_as("text_completion", out);
    }

    /// Appends the envelope, and a choice up to its finish reason.
    fn open(&self, choice: u32, text: &str, unknown: &Unknown<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.envelope);
        json::write_fields(unknown.answer, out);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        json::write_number(choice, out);
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

    fn usage(&self, usage: &Usage, out: &mut Vec<u8>) {
        if !self.include_usage || !usage.is_whole() {
            return;
        }
        out.extend_from_slice(&self.envelope);
        out.extend_from_slice(b",\"choices\":[],\"usage\":");
        usage.write(out);
        out.extend_from_slice(b"}\n\n");
    }

    fn fault(&self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        write_error(&ErrorBody::of_fault(fault, &self.provider), out);
        out.extend_from_slice(b"\n\n");
    }
}

/// Appends what stands beside the text, and the end of the chunk.
fn close(unknown: &Unknown<'_>, out: &mut Vec<u8>) {
    write_beside(&[unknown.choice, unknown.delta], out);
    out.extend_from_slice(b"}]}\n\n");
}
