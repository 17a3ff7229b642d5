//! The body of an answer as a list of steps, which can wait, break off and reset.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::ledger::Ticket;

/// How often `Step::Comments` says something.
const COMMENT_EVERY: Duration = Duration::from_secs(1);

/// One step of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes bytes, as an HTTP chunk of their own.
    Write(Bytes),
    /// Waits.
    Wait(Duration),
    /// Writes comments for ever.
    Comments,
    /// Closes the connection without the last HTTP chunk.
    Abort,
    /// Resets the connection.
    Reset,
}

/// The switch that makes a connection end with a reset.
#[derive(Debug, Clone, Default)]
pub struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    /// Makes the connection end with a reset when it is dropped.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Says whether it was set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The error that makes the HTTP server drop a connection.
#[derive(Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the mock breaks off on purpose")
    }
}

impl std::error::Error for Broken {}

/// A body that follows its steps.
#[derive(Debug)]
pub struct Script {
    steps: VecDeque<Step>,
    /// The length, where the body is not sent in chunks.
    length: Option<u64>,
    waiting: Option<Pin<Box<Sleep>>>,
    /// The server writes out what it has only when a body has nothing ready.
    flushing: bool,
    reset: ResetSwitch,
    ticket: Ticket,
}

impl Script {
    /// Makes a body that is sent in chunks.
    pub fn chunked(steps: Vec<Step>, reset: ResetSwitch, ticket: Ticket) -> Self {
        Self::new(steps, None, reset, ticket)
    }

    /// Makes a body that is sent at once.
    pub fn whole(body: impl Into<Bytes>, ticket: Ticket) -> Self {
        let body = body.into();
        let length = Some(body.len() as u64);
        let steps = match body.is_empty() {
            true => Vec::new(),
            false => vec![Step::Write(body)],
        };
        Self::new(steps, length, ResetSwitch::default(), ticket)
    }

    fn new(steps: Vec<Step>, length: Option<u64>, reset: ResetSwitch, ticket: Ticket) -> Self {
        if steps.is_empty() {
            ticket.finish();
        }
        Self { steps: steps.into(), length, waiting: None, flushing: false, reset, ticket }
    }

    fn write(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.flushing = true;
        if self.steps.is_empty() {
            self.ticket.finish();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if std::mem::take(&mut self.flushing) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(waiting) = self.waiting.as_mut() {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            let Some(step) = self.steps.pop_front() else {
                self.ticket.finish();
                return Poll::Ready(None);
            };
            match step {
                Step::Write(bytes) => return self.write(bytes),
                Step::Wait(time) => self.waiting = Some(Box::pin(sleep(time))),
                Step::Comments => {
                    self.steps.push_front(Step::Comments);
                    self.waiting = Some(Box::pin(sleep(COMMENT_EVERY)));
                    return self.write(Bytes::from_static(b": still thinking\n\n"));
                }
                Step::Abort | Step::Reset => {
                    if step == Step::Reset {
                        self.reset.set();
                    }
                    self.ticket.finish();
                    return Poll::Ready(Some(Err(Broken)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}
