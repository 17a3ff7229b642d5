//! Events are folded into one `message` object.

use super::blocks::{Block, Blocks, Piece, Writer};
use super::end::{Ending, write_usage};
use super::{BEGINNING, write_beginning};
use crate::api::Encoder;
use crate::chat::message::arguments_object;
use crate::event::{Event, Identity, Usage};
use crate::json::{self, Field};

/// The fold of one answer.
#[derive(Debug, Default)]
pub struct Fold {
    identity: Option<Identity>,
    /// Fields that came with the first chunk.
    unknown: Option<Vec<Field<'static>>>,
    blocks: Blocks,
    content: Content,
    ending: Option<Ending>,
    usage: Option<Usage>,
}

impl Encoder for Fold {
    fn begin(&mut self, _: &str) {
        *self = Fold::default();
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.identity = Some((*identity).clone()),
            Event::Part(part) => {
                self.unknown.get_or_insert_with(|| {
                    part.unknown.answer.iter().map(|field| field.clone().into_owned()).collect()
                });
                self.blocks.part(part, &mut self.content);
            }
            Event::Finish(finish) if self.blocks.is_told(finish.choice) => {
                self.blocks.end(&mut self.content);
                self.ending = Some(Ending::of(finish, self.blocks.has_refused()));
            }
            Event::Usage(usage) => self.usage = Some((*usage).clone()),
            Event::Complete => self.write(out),
            // The client gets an HTTP error.
            Event::Fault(_) | Event::Finish(_) => {}
        }
    }

    fn held(&self) -> usize {
        self.blocks.held() + self.content.len()
    }
}

impl Fold {
    fn write(&mut self, out: &mut Vec<u8>) {
        self.blocks.end(&mut self.content);
        out.push(b'{');
        if let Some(identity) = &self.identity {
            write_beginning(identity, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"content\":[");
        out.extend_from_slice(&self.content.written);
        out.extend_from_slice(b"],");
        match &self.ending {
            Some(ending) => ending.write_reason(out),
            None => out.extend_from_slice(b"\"stop_reason\":\"end_turn\",\"stop_sequence\":null"),
        }
        out.extend_from_slice(b",\"usage\":");
        write_usage(self.usage.as_ref(), out);
        let mut known = BEGINNING.to_vec();
        let unknown = self.unknown.iter().flatten().filter(|field| !known.contains(&field.name.as_ref()));
        let unknown: Vec<&Field<'static>> = unknown.collect();
        json::write_fields(unknown.iter().copied(), out);
        if let Some(ending) = &self.ending {
            known.extend(unknown.iter().map(|field| field.name.as_ref()));
            ending.write_answer(&known, out);
        }
        out.push(b'}');
    }
}

/// The blocks so far.
#[derive(Debug, Default)]
struct Content {
    /// Complete blocks with commas between them, and the beginning of the open one.
    written: Vec<u8>,
    open: Kind,
    text: String,
    signature: String,
    citations: Vec<u8>,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Whole,
    Text,
    Thinking,
    /// With the unknown fields of the call.
    Tool(Vec<u8>),
}

impl Content {
    fn len(&self) -> usize {
        self.written.len() + self.text.len() + self.signature.len() + self.citations.len()
    }
}

impl Writer for Content {
    fn open(&mut self, block: Block<'_>) {
        let out = &mut self.written;
        if !out.is_empty() {
            out.push(b',');
        }
        self.open = match block {
            Block::Text => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                Kind::Text
            }
            Block::Thinking => {
                out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
                Kind::Thinking
            }
            Block::Redacted(data) => {
                out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":");
                json::write_string(data, out);
                out.push(b'}');
                Kind::Whole
            }
            Block::Tool { id, name, unknown } => {
                out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":");
                json::write_string(id, out);
                out.extend_from_slice(b",\"name\":");
                json::write_string(name, out);
                out.extend_from_slice(b",\"input\":");
                let mut beside = Vec::new();
                super::write_unknown_of_call(unknown, &mut beside);
                Kind::Tool(beside)
            }
            Block::Own(raw) => {
                json::write_raw(raw, out);
                Kind::Whole
            }
        };
    }

    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) | Piece::Thinking(text) | Piece::Input(text) => self.text.push_str(text),
            Piece::Signature(text) => self.signature.push_str(text),
            Piece::Citation(raw) => {
                if !self.citations.is_empty() {
                    self.citations.push(b',');
                }
                json::write_raw(raw, &mut self.citations);
            }
        }
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        let out = &mut self.written;
        match std::mem::take(&mut self.open) {
            Kind::Whole => return,
            Kind::Text => {
                json::write_string(&text, out);
                if !self.citations.is_empty() {
                    out.extend_from_slice(b",\"citations\":[");
                    out.append(&mut self.citations);
                    out.push(b']');
                }
            }
            Kind::Thinking => {
                json::write_string(&text, out);
                out.extend_from_slice(b",\"signature\":");
                json::write_string(&std::mem::take(&mut self.signature), out);
            }
            Kind::Tool(mut beside) => {
                json::write_raw(&arguments_object(&text), out);
                out.append(&mut beside);
            }
        }
        out.push(b'}');
    }
}
