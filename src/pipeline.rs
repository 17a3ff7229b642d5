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

    /// So many choices were asked for: an answer that just ends is not complete without one of them.
    pub fn expecting(mut self, choices: usize) -> Pipeline {
        self.normalizer.set_expected(choices);
        self
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
        self.normalizer.usage().or_else(|| {
            let mut usage = self.decoder.usage_so_far()?;
            usage.complete(&mut Repairs::default());
            Some(usage)
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{AnyDialect, framer};
    use crate::event::Event;
    use crate::framing::FRAME_LIMIT;

    /// Prompt, completion and total.
    type Counts = Option<(Option<u64>, Option<u64>, Option<u64>)>;

    fn counts(usage: Option<&Usage>) -> Counts {
        usage.map(|usage| (usage.prompt, usage.completion, usage.total))
    }

    /// Checks what usage is known after each frame and after the end of the body; gives what was sent.
    #[track_caller]
    fn check(dialect: &str, frames: &[&str], expect: &[Counts]) -> Counts {
        let dialect = AnyDialect::plain(dialect).unwrap();
        let dialect = dialect.as_dialect();
        let birth = Birth { id: "x".to_owned(), model: "m".to_owned(), created: 0 };
        let mut pipeline =
            Pipeline::new(framer(dialect, FRAME_LIMIT), dialect.decoder(""), dialect.quirks(), birth);
        let mut sent = None;
        let mut sink = |event: &Event<'_>| {
            if let Event::Usage(usage) = event {
                assert_eq!(sent, None, "usage is sent once");
                sent = counts(Some(usage));
            }
        };
        let mut known = Vec::new();
        for frame in frames {
            pipeline.push(format!("data: {frame}\n\n").as_bytes(), &mut sink);
            known.push(counts(pipeline.usage().as_ref()));
        }
        pipeline.finish(None, &mut sink);
        known.push(counts(pipeline.usage().as_ref()));
        assert_eq!(known, expect);
        sent
    }

    #[test]
    fn usage_of_an_answer_that_is_cut_is_what_was_known() {
        let begun = Some((Some(15), Some(1), Some(16)));
        let start = r#"{"type":"message_start","message":{"role":"assistant","usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#;
        let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"A"}}"#;
        let sent = check("anthropic", &[start, text], &[begun, begun, begun]);
        assert_eq!(sent, None);
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        check("anthropic", &[start, error], &[begun, begun, begun]);

        let part = |text: &str, usage: &str| {
            format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}}}}],"usageMetadata":{usage}}}"#
            )
        };
        let first = part("A", r#"{"promptTokenCount":10,"candidatesTokenCount":9,"totalTokenCount":19}"#);
        let second = part("B", r#"{"promptTokenCount":10,"candidatesTokenCount":7,"totalTokenCount":17}"#);
        let (nine, seven) = (Some((Some(10), Some(9), Some(19))), Some((Some(10), Some(7), Some(17))));
        let sent = check("gemini", &[&first, &second], &[nine, seven, seven]);
        assert_eq!(sent, None);
        let error = r#"{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}"#;
        check("gemini", &[&first, error], &[nine, nine, nine]);
    }

    #[test]
    fn usage_of_a_complete_answer_is_what_its_end_says() {
        let early = r#"{"candidates":[{"content":{"parts":[{"text":"A"}]}}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":9,"totalTokenCount":19}}"#;
        let end = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":7,"totalTokenCount":17}}"#;
        let (estimate, report) = (Some((Some(10), Some(9), Some(19))), Some((Some(10), Some(7), Some(17))));
        assert_eq!(check("gemini", &[early, end], &[estimate, report, report]), report);
    }

    /// Opens 256 things, one more of which is a fault: to forget one would lose what still comes of it.
    #[track_caller]
    fn check_too_many(dialect: &str, start: impl Fn(usize) -> String) {
        let dialect = AnyDialect::plain(dialect).unwrap();
        let dialect = dialect.as_dialect();
        let birth = Birth { id: "x".to_owned(), model: "m".to_owned(), created: 0 };
        let mut pipeline =
            Pipeline::new(framer(dialect, FRAME_LIMIT), dialect.decoder(""), dialect.quirks(), birth);
        let mut fault = None;
        let mut sink = |event: &Event<'_>| {
            if let Event::Fault(known) = event {
                fault = Some(known.code);
            }
        };
        for at in 0..256 {
            pipeline.push(format!("data: {}\n\n", start(at)).as_bytes(), &mut sink);
        }
        assert!(!pipeline.is_ended());
        pipeline.push(format!("data: {}\n\n", start(256)).as_bytes(), &mut sink);
        assert_eq!(fault, Some(FaultCode::TooLarge));
    }

    #[test]
    fn more_open_blocks_than_can_be_remembered_are_a_fault() {
        check_too_many("anthropic", |at| {
            format!(
                r#"{{"type":"content_block_start","index":{at},"content_block":{{"type":"tool_use","id":"t{at}","name":"f","input":{{}}}}}}"#
            )
        });
        check_too_many("anthropic", |at| {
            format!(
                r#"{{"type":"content_block_delta","index":{at},"delta":{{"type":"thinking_delta","thinking":"A"}}}}"#
            )
        });
        check_too_many("cohere", |at| {
            format!(
                r#"{{"type":"tool-call-start","index":{at},"delta":{{"message":{{"tool_calls":{{"id":"t{at}","type":"function","function":{{"name":"f","arguments":""}}}}}}}}}}"#
            )
        });
    }
}
