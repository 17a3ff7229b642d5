//! What the chunks of an answer have in common, whatever their choices say: the envelope, usage, the end, a fault.

use super::{ErrorBody, write_error};
use crate::event::{Event, Fault, Identity, Usage};
use crate::json::{self, Field};

/// The chunks of one streamed answer, but for their choices.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The `object` that each of them is.
    object: &'static str,
    include_usage: bool,
    /// Named in faults.
    provider: String,
    /// `data: {"id":…,"object":…,"created":…,"model":…`: the beginning of every chunk.
    envelope: Vec<u8>,
}

impl Chunks {
    /// Those of a new answer; usage is sent if `include_usage` is set.
    pub(crate) fn new(object: &'static str, include_usage: bool) -> Chunks {
        Chunks { object, include_usage, provider: String::new(), envelope: Vec::new() }
    }

    /// An answer of this provider begins.
    pub(crate) fn begin(&mut self, provider: &str) {
        self.provider = provider.to_owned();
        self.envelope.clear();
    }

    /// Takes what is no choice's.
    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.start(identity),
            Event::Usage(usage) => self.usage(usage, out),
            Event::Complete => out.extend_from_slice(b"data: [DONE]\n\n"),
            Event::Fault(fault) => self.fault(fault, out),
            // The caller's: what stands in a choice is another matter in each API.
            Event::Part(_) | Event::Finish(_) => {}
        }
    }

    /// Appends a chunk with these fields, up to the members of its one choice that follow the index.
    pub(crate) fn open(&self, choice: u32, fields: &[Field<'_>], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.envelope);
        json::write_fields(fields, out);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        json::write_number(choice, out);
    }

    fn start(&mut self, identity: &Identity) {
        self.envelope.clear();
        self.envelope.extend_from_slice(b"data: ");
        identity.write_as(self.object, &mut self.envelope);
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
