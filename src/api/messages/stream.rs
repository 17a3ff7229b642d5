//! Events become the API's event sequence.

use super::blocks::{Block, Blocks, Piece, Writer};
use super::end::{Ending, write_usage};
use super::{BEGINNING, write_beginning, write_error};
use crate::api::Encoder;
use crate::api::chat_completions::ErrorBody;
use crate::event::{Event, Fault, Identity, Usage};
use crate::json::{self, Field};

/// The encoder of one streamed answer.
#[derive(Debug, Default)]
pub struct Stream {
    /// Named in faults.
    provider: String,
    /// Until it is told, in the first event.
    identity: Option<Identity>,
    blocks: Blocks,
    /// The number of the open block, or of the next one.
    index: u32,
    ending: Option<Ending>,
    usage: Option<Usage>,
}

impl Encoder for Stream {
    fn begin(&mut self, provider: &str) {
        *self = Stream { provider: provider.to_owned(), ..Stream::default() };
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.identity = Some((*identity).clone()),
            Event::Part(part) => {
                self.start(part.unknown.answer, out);
                self.blocks.part(part, &mut Lines { index: &mut self.index, out });
            }
            Event::Finish(finish) => {
                self.start(&[], out);
                if self.blocks.is_told(finish.choice) {
                    self.blocks.end(&mut Lines { index: &mut self.index, out });
                    self.ending = Some(Ending::of(finish, self.blocks.has_refused()));
                }
            }
            Event::Usage(usage) => self.usage = Some((*usage).clone()),
            Event::Complete => self.complete(out),
            Event::Fault(fault) => self.fault(fault, out),
        }
    }

    fn held(&self) -> usize {
        self.blocks.held()
    }

    fn keep_alive(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
        true
    }
}

impl Stream {
    /// The first event, once.
    fn start(&mut self, unknown: &[Field<'_>], out: &mut Vec<u8>) {
        let Some(identity) = self.identity.take() else { return };
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{");
        write_beginning(&identity, out);
        out.extend_from_slice(b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
        write_usage(identity.counted.as_ref(), out);
        json::write_fields(unknown.iter().filter(|field| !BEGINNING.contains(&field.name.as_ref())), out);
        out.extend_from_slice(b"}}\n\n");
    }

    /// The answer is complete.
    fn complete(&mut self, out: &mut Vec<u8>) {
        self.start(&[], out);
        self.blocks.end(&mut Lines { index: &mut self.index, out });
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
        match &self.ending {
            Some(ending) => ending.write_reason(out),
            // The upstream's end mark alone completed the answer.
            None => out.extend_from_slice(b"\"stop_reason\":\"end_turn\",\"stop_sequence\":null"),
        }
        out.extend_from_slice(b"},\"usage\":");
        write_usage(self.usage.as_ref(), out);
        if let Some(ending) = &self.ending {
            ending.write_answer(&["type", "delta", "usage"], out);
        }
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn fault(&self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        write_error(&ErrorBody::of_fault(fault, &self.provider), out);
        out.extend_from_slice(b"\n\n");
    }
}

/// Writes blocks as events.
struct Lines<'a> {
    index: &'a mut u32,
    out: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// Appends a delta whose one value is a text.
    fn delta(&mut self, kind: &str, name: &str, text: &str) {
        self.begin_delta(kind, name);
        json::write_string(text, self.out);
        self.out.extend_from_slice(b"}}\n\n");
    }

    fn begin_delta(&mut self, kind: &str, name: &str) {
        let out = &mut *self.out;
        out.extend_from_slice(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
        );
        json::write_number(*self.index, out);
        out.extend_from_slice(b",\"delta\":{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    }
}

impl Writer for Lines<'_> {
    fn open(&mut self, block: Block<'_>) {
        let out = &mut *self.out;
        out.extend_from_slice(
            b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
        );
        json::write_number(*self.index, out);
        out.extend_from_slice(b",\"content_block\":");
        let mut input = None;
        match block {
            Block::Text => out.extend_from_slice(b"{\"type\":\"text\",\"text\":\"\"}"),
            Block::Thinking => {
                out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
            }
            Block::Redacted(data) => {
                out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":");
                json::write_string(data, out);
                out.push(b'}');
            }
            Block::Tool { id, name, unknown } => {
                out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
                json::write_string(id, out);
                out.extend_from_slice(b",\"name\":");
                json::write_string(name, out);
                out.extend_from_slice(b",\"input\":{}");
                super::write_unknown_of_call(unknown, out);
                out.push(b'}');
            }
            Block::Own(raw) => input = write_own(raw, out),
        }
        out.extend_from_slice(b"}\n\n");
        if let Some(input) = input {
            self.piece(Piece::Input(input));
        }
    }

    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) => self.delta("text_delta", "text", text),
            Piece::Thinking(text) => self.delta("thinking_delta", "thinking", text),
            Piece::Signature(text) => self.delta("signature_delta", "signature", text),
            Piece::Input(text) => self.delta("input_json_delta", "partial_json", text),
            Piece::Citation(raw) => {
                self.begin_delta("citations_delta", "citation");
                json::write_raw(raw, self.out);
                self.out.extend_from_slice(b"}}\n\n");
            }
        }
    }

    fn close(&mut self) {
        let out = &mut *self.out;
        out.extend_from_slice(
            b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
        );
        json::write_number(*self.index, out);
        out.extend_from_slice(b"}\n\n");
        *self.index = self.index.saturating_add(1);
    }
}

/// Appends a block of the API's own. Its input, if it is an object, follows as a delta, as the API streams it.
fn write_own<'a>(raw: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let block = json::Members::of(raw);
    let input = block.find("input").filter(|raw| raw.starts_with('{') && !json::says_nothing(raw));
    if input.is_none() {
        json::write_raw(raw, out);
        return None;
    }
    for (at, (name, value)) in block.0.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        json::write_string(name, out);
        out.push(b':');
        json::write_raw(if name == "input" { "{}" } else { value }, out);
    }
    out.push(b'}');
    input
}
