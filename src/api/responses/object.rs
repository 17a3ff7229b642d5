//! Events are gathered into one response object.

use std::fmt;

use super::answer::Answer;
use super::echo::{Echo, Standing};
use super::{Keep, Kept};
use crate::api::Encoder;
use crate::event::Event;

/// The encoder of one answer that is no stream.
#[derive(Default)]
pub struct Object {
    echo: Echo,
    answer: Answer,
    keep: Option<Keep>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Encoder for Object {
    fn begin(&mut self, _: &str) {
        self.answer.begin();
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.answer.take(event, &mut |_, _, _| {});
        if matches!(event, Event::Complete) {
            self.echo.write(&self.answer, Standing::Ended, out);
            if let Some(keep) = self.keep.take() {
                keep(Kept::of(&self.echo, &self.answer));
            }
        }
    }

    fn held(&self) -> usize {
        self.answer.size
    }
}

impl Object {
    /// Makes an encoder of the answer to a request.
    pub(super) fn new(echo: Echo, answer: Answer, keep: Option<Keep>) -> Object {
        Object { echo, answer, keep }
    }
}
