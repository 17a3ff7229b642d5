//! Events become the events of the Responses API, each with its name and number.

use std::fmt;

use super::answer::{Answer, Step};
use super::echo::{Echo, Standing, is_cut, write_error};
use super::item::{Item, Part};
use super::{Keep, Kept};
use crate::api::Encoder;
use crate::event::{Body, Event, Fault};
use crate::json;

/// The encoder of one streamed answer.
#[derive(Default)]
pub struct Stream {
    provider: String,
    echo: Echo,
    answer: Answer,
    /// The number of the next event.
    sequence: u64,
    keep: Option<Keep>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Encoder for Stream {
    fn begin(&mut self, provider: &str) {
        self.provider = provider.to_owned();
        self.answer.begin();
        self.sequence = 0;
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let sequence = &mut self.sequence;
        self.answer.take(event, &mut |at, item, step| write_step(at, item, step, sequence, out));
        match event {
            Event::Start(_) => {
                self.response("created", Standing::InProgress, out);
                self.response("in_progress", Standing::InProgress, out);
            }
            // It is sent to be heard of.
            Event::Part(part) if matches!(part.body, Body::Nothing) && !part.first => {
                let unknown = [part.unknown.answer, part.unknown.choice, part.unknown.delta];
                if unknown.iter().all(|fields| fields.is_empty()) {
                    self.response("in_progress", Standing::InProgress, out);
                }
            }
            Event::Complete => {
                let kind = if is_cut(&self.answer) { "incomplete" } else { "completed" };
                self.response(kind, Standing::Ended, out);
                if let Some(keep) = self.keep.take() {
                    keep(Kept::of(&self.echo, &self.answer));
                }
            }
            Event::Fault(fault) => self.fault(fault, out),
            Event::Part(_) | Event::Finish(_) | Event::Usage(_) => {}
        }
    }

    /// The last event says all of the answer again.
    fn held(&self) -> usize {
        self.answer.size
    }
}

impl Stream {
    /// Makes an encoder of the answer to a request.
    pub(super) fn new(echo: Echo, answer: Answer, keep: Option<Keep>) -> Stream {
        Stream { echo, answer, keep, ..Stream::default() }
    }

    /// Appends an event that holds the response.
    fn response(&mut self, kind: &str, standing: Standing<'_>, out: &mut Vec<u8>) {
        open_parts(&["response.", kind], &mut self.sequence, out);
        out.extend_from_slice(b",\"response\":");
        self.echo.write(&self.answer, standing, out);
        out.extend_from_slice(b"}\n\n");
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if self.answer.identity.is_none() {
            // Helpers need to have heard of an answer before they hear that it failed.
            self.response("created", Standing::InProgress, out);
        }
        self.answer.fail();
        let provider = std::mem::take(&mut self.provider);
        // As OpenAI does it: many clients hear of a failure by this event alone, and SDKs throw it.
        open_parts(&["error"], &mut self.sequence, out);
        out.extend_from_slice(b",\"error\":");
        write_error(fault, &provider, out);
        out.extend_from_slice(b"}\n\n");
        self.response("failed", Standing::Failed(fault, &provider), out);
    }
}

/// Appends the beginning of an event, whose name is given in pieces.
fn open_parts(kind: &[&str], sequence: &mut u64, out: &mut Vec<u8>) {
    let name = |out: &mut Vec<u8>| {
        for piece in kind {
            out.extend_from_slice(piece.as_bytes());
        }
    };
    out.extend_from_slice(b"event: ");
    name(out);
    out.extend_from_slice(b"\ndata: {\"type\":\"");
    name(out);
    out.extend_from_slice(b"\",\"sequence_number\":");
    json::write_number(*sequence, out);
    *sequence += 1;
}

/// Appends the event of one step.
fn write_step(at: usize, item: &Item, step: Step<'_>, sequence: &mut u64, out: &mut Vec<u8>) {
    match step {
        Step::Added => open_parts(&["response.output_item.added"], sequence, out),
        Step::Done => open_parts(&["response.output_item.done"], sequence, out),
        Step::PartAdded(part) => {
            open_parts(&["response.", part.voice.part_event(), ".added"], sequence, out);
        }
        Step::Said(part, ..) => open_parts(&["response.", part.voice.event(), ".delta"], sequence, out),
        Step::Cited(..) => open_parts(&["response.output_text.annotation.added"], sequence, out),
        Step::Argued(_) => open_parts(&["response.function_call_arguments.delta"], sequence, out),
        Step::Called(_) => open_parts(&["response.function_call_arguments.done"], sequence, out),
        Step::PartDone(part) => open_parts(&["response.", part.voice.event(), ".done"], sequence, out),
    }
    write_place(at, item, step, out);
    match step {
        Step::Added | Step::Done => {
            out.extend_from_slice(b",\"item\":");
            item.write(matches!(step, Step::Added), out);
        }
        Step::PartAdded(part) => {
            out.extend_from_slice(b",\"part\":");
            part.write(true, out);
        }
        Step::Said(part, text, logprobs) => {
            out.extend_from_slice(b",\"delta\":");
            json::write_string(text, out);
            if part.voice == super::item::Voice::Text {
                out.extend_from_slice(b",\"logprobs\":[");
                json::write_raw(logprobs, out);
                out.push(b']');
            }
        }
        Step::Cited(part, raw) => {
            out.extend_from_slice(b",\"annotation_index\":");
            json::write_number(part.annotations.len().saturating_sub(1), out);
            out.extend_from_slice(b",\"annotation\":");
            out.extend_from_slice(raw.as_bytes());
        }
        Step::Argued(arguments) => {
            out.extend_from_slice(b",\"delta\":");
            json::write_string(arguments, out);
        }
        Step::Called(call) => {
            out.extend_from_slice(b",\"name\":");
            json::write_string(&call.name, out);
            out.extend_from_slice(b",\"arguments\":");
            json::write_string(&call.arguments, out);
        }
        Step::PartDone(part) => {
            write_text(part, out);
            out.extend_from_slice(b"}\n\n");
            open_parts(&["response.", part.voice.part_event(), ".done"], sequence, out);
            write_place(at, item, step, out);
            out.extend_from_slice(b",\"part\":");
            part.write(false, out);
        }
    }
    out.extend_from_slice(b"}\n\n");
}

/// Appends where a step happens.
fn write_place(at: usize, item: &Item, step: Step<'_>, out: &mut Vec<u8>) {
    let part = match step {
        Step::Added | Step::Done => None,
        Step::Argued(_) | Step::Called(_) => Some(None),
        Step::PartAdded(part) | Step::Said(part, ..) | Step::Cited(part, _) | Step::PartDone(part) => {
            Some(Some(part))
        }
    };
    if part.is_some() {
        out.extend_from_slice(b",\"item_id\":");
        json::write_string(&item.id, out);
    }
    out.extend_from_slice(b",\"output_index\":");
    json::write_number(at, out);
    if let Some(Some(part)) = part {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(part.voice.numbered_by().as_bytes());
        out.extend_from_slice(b"\":");
        json::write_number(part.index, out);
    }
}

/// Appends all of a part's text.
fn write_text(part: &Part, out: &mut Vec<u8>) {
    out.push(b',');
    json::write_string(part.voice.member(), out);
    out.push(b':');
    json::write_string(&part.text, out);
    if part.voice == super::item::Voice::Text {
        out.extend_from_slice(b",\"logprobs\":[");
        json::write_raw(&part.logprobs, out);
        out.push(b']');
    }
}
