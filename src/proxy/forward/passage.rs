//! An answer on its way to the client, byte for byte: nothing of it is looked at but its end, for the usage.
//!
//! One value, as for chats: it owns the provider's body, the place and the watch. Dropping it ends all three. A body
//! that breaks off becomes an error of this one, so that the client's connection breaks off too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::drain::Notice;
use super::super::health::Load;
use super::super::limit::Place;
use super::super::retry::blames_target;
use super::super::upstream;
use super::tail::Tail;
use crate::config::Deadlines;
use crate::event::{Fault, FaultCode};
use crate::observe::{End, Outcome, Watch};

/// The answer broke off; why is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider's answer broke off")]
pub(super) struct Broken;

/// What a passage is made of.
pub(super) struct Parts {
    pub(super) body: reqwest::Body,
    /// The length that the provider declared.
    pub(super) length: Option<u64>,
    pub(super) status: StatusCode,
    /// The answer is text that may tell its usage.
    pub(super) is_text: bool,
    pub(super) provider: String,
    pub(super) deadlines: Deadlines,
    /// The request's body was read.
    pub(super) received: Instant,
    pub(super) held: Held,
}

/// What is given back, or told, at the end of an answer.
pub(super) struct Held {
    pub(super) load: Load,
    pub(super) place: Place,
    pub(super) watch: Watch,
    pub(super) notice: Notice,
}

/// One answer on its way.
pub(super) struct Passage {
    parts: Parts,
    /// What is still to come, if the provider said how much there is.
    left: Option<u64>,
    tail: Option<Tail>,
    alarm: Pin<Box<Sleep>>,
    last_sign: Instant,
    /// All of it was handed over.
    is_complete: bool,
    fault: Option<Fault>,
}

impl Passage {
    pub(super) fn new(parts: Parts) -> Passage {
        let now = Instant::now();
        let alarm =
            Box::pin(sleep_until((now + parts.deadlines.idle).min(parts.received + parts.deadlines.total)));
        let tail = parts.is_text.then(Tail::default);
        let is_complete = parts.body.is_end_stream() || parts.length == Some(0);
        Passage { left: parts.length, tail, alarm, last_sign: now, is_complete, fault: None, parts }
    }

    /// A piece came.
    fn took(&mut self, data: &Bytes) {
        self.last_sign = Instant::now();
        if let Some(tail) = &mut self.tail {
            tail.push(data);
        }
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        // Whoever knows the length does not ask for the end.
        self.is_complete = self.left == Some(0) || self.parts.body.is_end_stream();
    }

    fn fail(&mut self, fault: Fault) -> Broken {
        if blames_target(&fault) {
            self.parts.held.load.failed(Instant::now());
        }
        self.fault = Some(fault);
        Broken
    }

    /// Ready with a fault once a deadline passed, or the process has to end.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.parts.held.notice.poll(cx).is_ready() {
            return Poll::Ready(Fault::new(FaultCode::Draining));
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            let (silent, total) = (
                self.last_sign + self.parts.deadlines.idle,
                self.parts.received + self.parts.deadlines.total,
            );
            if now >= total {
                return Poll::Ready(upstream::too_long(self.parts.deadlines.total));
            }
            if now >= silent {
                let Parts { provider, deadlines, .. } = &self.parts;
                return Poll::Ready(upstream::silent(provider, "idle_timeout", deadlines.idle));
            }
            self.alarm.as_mut().reset(silent.min(total));
        }
    }
}

impl Body for Passage {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        loop {
            if this.is_complete || this.fault.is_some() {
                return Poll::Ready(None);
            }
            let fault = match Pin::new(&mut this.parts.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers say nothing.
                    let data = frame.into_data().unwrap_or_default();
                    this.took(&data);
                    if data.is_empty() {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => {
                    Fault::new(upstream::broken(&error).unwrap_or(FaultCode::Truncated))
                }
                Poll::Ready(None) if this.left.is_some_and(|left| left > 0) => {
                    Fault::new(FaultCode::Truncated)
                }
                Poll::Ready(None) => {
                    this.is_complete = true;
                    continue;
                }
                Poll::Pending => ready!(this.poll_limits(cx)),
            };
            return Poll::Ready(Some(Err(this.fail(fault))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_complete
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let is_cut = !self.is_complete && self.parts.held.notice.is_given();
        let draining = is_cut.then(|| Fault::new(FaultCode::Draining));
        let end = match (&self.fault, &draining) {
            _ if std::thread::panicking() => End::Panicked,
            (Some(fault), _) => End::Fault(fault),
            (None, Some(draining)) => End::Fault(draining),
            (None, None) if self.is_complete => End::Complete,
            (None, None) => End::Disconnected,
        };
        let usage = self.tail.as_ref().and_then(Tail::usage);
        if let Some(usage) = &usage {
            self.parts.held.place.settle(usage.sum());
        }
        let status = Some(self.parts.status.as_u16());
        self.parts.held.watch.end(&Outcome { end, status, usage: usage.as_ref(), repairs: None });
    }
}
