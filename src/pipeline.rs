//! Framer, decoder and normalizer as one machine: bytes in, events out.
//!
//! It does no I/O, knows no clock and takes no chances: the same bytes give the same events, however
//! they were cut. It cannot fail: what goes wrong becomes [`Event::Fault`](crate::event::Event::Fault).

use crate::dialect::{DecodeError, Decoder, Quirks, envelope};
use crate::event::{Delta, Fault, FaultCode, Repair, Repairs, Sink, Usage};
use crate::framing::{Frame, FrameError, Framer};
use crate::normalize::{Birth, End, Normalizer};

/// The machine that reads one answer.
pub struct Pipeline {
    framer: Framer,
    decoder: Box<dyn Decoder>,
    normalizer: Normalizer,
    repairs: Repairs,
    /// A frame was read.
    heard: bool,
    /// A frame said something since it was last asked.
    progress: bool,
}

impl Pipeline {
    /// Makes the machine for one answer.
    pub fn new(framer: Framer, decoder: Box<dyn Decoder>, quirks: Quirks, birth: Birth) -> Pipeline {
        Pipeline {
            framer,
            decoder,
            normalizer: Normalizer::new(quirks, birth),
            repairs: Repairs::default(),
            heard: false,
            progress: false,
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, input: &[u8], sink: &mut dyn Sink) {
        if self.is_ended() {
            // Not read: what comes after the end is noise, and counted once per read.
            if input.iter().any(|byte| !byte.is_ascii_whitespace()) {
                self.repairs.count(Repair::DataAfterEnd);
            }
            return;
        }
        self.framer.push(input);
        loop {
            match self.framer.next(&mut self.repairs) {
                Ok(Some(_)) if self.normalizer.is_ended() => self.repairs.count(Repair::DataAfterEnd),
                Ok(Some(frame)) => {
                    self.heard = true;
                    match read(frame, &mut *self.decoder, &mut self.normalizer, &mut self.repairs, sink) {
                        Ok(progress) => self.progress |= progress,
                        Err(DecodeError::Malformed) => {
                            self.end(Some(Fault::new(FaultCode::Malformed)), sink);
                        }
                    }
                }
                Ok(None) => return,
                Err(FrameError::TooLong(_)) => return self.end(Some(Fault::new(FaultCode::TooLarge)), sink),
                Err(FrameError::Damaged) => return self.end(Some(Fault::new(FaultCode::Malformed)), sink),
            }
        }
    }

    /// The body ended: by itself (`None`), or because of a fault.
    pub fn finish(&mut self, fault: Option<FaultCode>, sink: &mut dyn Sink) {
        self.conclude(fault.map(Fault::new), sink);
    }

    /// The body is not read on, because of a fault that has words of its own.
    pub fn fail(&mut self, fault: Fault, sink: &mut dyn Sink) {
        self.conclude(Some(fault), sink);
    }

    fn conclude(&mut self, fault: Option<Fault>, sink: &mut dyn Sink) {
        if self.is_ended() {
            return;
        }
        while let Some(frame) = self.framer.finish(&mut self.repairs) {
            let closed = frame.closed;
            if !closed && fault.is_some() {
                // A connection that breaks in the middle of a frame leaves a piece of it.
                continue;
            }
            let decoded = read(frame, &mut *self.decoder, &mut self.normalizer, &mut self.repairs, sink);
            self.heard = true;
            match decoded {
                Ok(_) if closed => {}
                Ok(_) => self.repairs.count(Repair::UnterminatedEvent),
                // The piece of a frame that was cut: the answer is truncated, not malformed.
                Err(DecodeError::Malformed) if !closed => {}
                Err(DecodeError::Malformed) => self.end(Some(Fault::new(FaultCode::Malformed)), sink),
            }
            if self.is_ended() {
                return;
            }
        }
        self.end(fault, sink);
    }

    /// The upstream refused, or could not be asked.
    pub fn refuse(&mut self, fault: Fault, sink: &mut dyn Sink) {
        self.normalizer.finish(End::Fault(Box::new(fault)), &mut self.repairs, sink);
    }

    /// Sends a chunk that says nothing, for clients that take silence for failure.
    pub fn keep_alive(&mut self, sink: &mut dyn Sink) {
        self.normalizer.keep_alive(&mut self.repairs, sink);
    }

    /// True if a frame said something since this was last asked: comments, heartbeats, roles and usage
    /// do not.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    fn end(&mut self, fault: Option<Fault>, sink: &mut dyn Sink) {
        let page = if self.heard { None } else { envelope::read_text(self.framer.stray()) };
        let end = match (page, fault) {
            (Some(page), None) => End::Fault(Box::new(page)),
            (_, Some(fault)) => End::Fault(Box::new(fault)),
            (None, None) => End::Body,
        };
        self.normalizer.finish(end, &mut self.repairs, sink);
    }

    /// True once the answer is complete or failed: nothing more comes out.
    pub fn is_ended(&self) -> bool {
        self.normalizer.is_ended()
    }

    /// What was mended so far.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// The usage reported so far, also of an answer that is not complete.
    pub fn usage(&self) -> Option<Usage> {
        self.normalizer.usage()
    }
}

/// Reads one frame; true if it said something.
fn read(
    frame: Frame<'_>,
    decoder: &mut dyn Decoder,
    normalizer: &mut Normalizer,
    repairs: &mut Repairs,
    sink: &mut dyn Sink,
) -> Result<bool, DecodeError> {
    let mut deltas: Vec<Delta<'_>> = Vec::with_capacity(8);
    decoder.decode(frame, &mut deltas, repairs)?;
    let progress = deltas.iter().any(Delta::says_something);
    normalizer.frame(&mut deltas, repairs, sink);
    Ok(progress)
}
