//! Bytes become frames: one message of the upstream's wire each.
//!
//! A framer is a machine without I/O: [`Framer::push`] takes bytes as they come, [`Framer::next`] gives the
//! frames they complete, [`Framer::finish`] gives what is left at the end of the body. The frames are the
//! same however the bytes were cut.

mod balance;
pub mod eventstream;
pub mod ndjson;
pub mod sse;

pub(crate) use balance::Balance;

use crate::event::Repairs;

/// One message of the upstream's wire, borrowed from the framer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The name of the event; empty where it has none.
    pub name: &'a [u8],
    /// The payload.
    pub data: &'a [u8],
    /// Whether the wire closed the frame, or the body ended in the middle of it.
    pub closed: bool,
    /// Whether the payload stood in the stream without the wire's own marks, as a JSON body does.
    pub bare: bool,
    /// Whether the wire itself says that this is a failure, as AWS does with exceptions; the name is then
    /// that of the failure.
    pub failed: bool,
}

/// A frame grew beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame is longer than {limit} bytes")]
pub struct FrameTooLong {
    /// The limit in bytes.
    pub limit: usize,
}

/// Why no more frames can be read; both are the provider's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame grew beyond the limit.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// A checksum or a length is wrong: where the next frame begins is unknown.
    #[error("a frame is damaged")]
    Damaged,
}

/// The longest frame that is read, unless the operator says otherwise: 16 MiB.
pub const FRAME_LIMIT: usize = 16 << 20;

/// How much of what is no frame is kept, to be shown to people.
const STRAY_LIMIT: usize = 2048;

/// How a dialect frames its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// One JSON text a line.
    Ndjson,
    /// AWS event stream: binary messages with checksums.
    EventStream,
}

/// A framer of any kind.
#[derive(Debug)]
pub enum Framer {
    /// Server-sent events.
    Sse(sse::Sse),
    /// One JSON text a line.
    Ndjson(ndjson::Ndjson),
    /// AWS event stream.
    EventStream(eventstream::EventStream),
}

impl Framer {
    /// Makes the framer for a way of framing; `limit` is the longest frame in bytes.
    pub fn new(framing: Framing, limit: usize) -> Framer {
        match framing {
            Framing::Sse => Framer::Sse(sse::Sse::new(limit)),
            Framing::Ndjson => Framer::Ndjson(ndjson::Ndjson::new(limit)),
            Framing::EventStream => Framer::EventStream(eventstream::EventStream::new(limit)),
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, input: &[u8]) {
        match self {
            Framer::Sse(sse) => sse.push(input),
            Framer::Ndjson(ndjson) => ndjson.push(input),
            Framer::EventStream(stream) => stream.push(input),
        }
    }

    /// The next frame that the bytes so far complete.
    pub fn next(&mut self, repairs: &mut Repairs) -> Result<Option<Frame<'_>>, FrameError> {
        match self {
            Framer::Sse(sse) => sse.next(repairs).map_err(FrameError::TooLong),
            Framer::Ndjson(ndjson) => ndjson.next(repairs).map_err(FrameError::TooLong),
            Framer::EventStream(stream) => stream.frame(),
        }
    }

    /// The body ended: gives what is left of it. To be called until it gives nothing.
    pub fn finish(&mut self, repairs: &mut Repairs) -> Option<Frame<'_>> {
        match self {
            Framer::Sse(sse) => sse.finish(repairs),
            Framer::Ndjson(ndjson) => ndjson.finish(repairs),
            Framer::EventStream(stream) => stream.finish(repairs),
        }
    }

    /// The beginning of what was no frame at all, as text for people: an HTML page, a plain message.
    pub fn stray(&self) -> &[u8] {
        match self {
            Framer::Sse(sse) => sse.stray(),
            Framer::Ndjson(ndjson) => ndjson.stray(),
            Framer::EventStream(stream) => stream.stray(),
        }
    }
}
