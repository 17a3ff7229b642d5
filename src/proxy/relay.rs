//! The answer: one value that owns the attempt in progress, what else may be tried, and the encoder.
//!
//! [`Relay::poll_advance`] reads the upstream until there is something to send. The handler calls it while
//! it waits for the first event, which decides the status line; then the same value becomes the body of
//! the response. No task and no channel: a client that leaves drops the value, and with it the upstream's
//! connection. Whoever watches is told of the end when the value is dropped, and of how it ended.
//!
//! An attempt that fails before the client has a part of the answer may be followed by another one; the client
//! sees of it no more than the time that it took.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::{Attempt, Receiver, Step};
use super::drain::Notice;
use super::limit::Place;
use super::memory::NoteTaker;
use super::plan::{Next, Plan, retry_after};
use super::retry::blames_target;
use super::told::Told;
use super::turns::Turns;
use super::upstream;
use crate::api::Encoder;
use crate::config::{KeepAliveForm, Limits, OnDisconnect, Secret};
use crate::event::{Body, Event, Fault, FaultCode, Part, Sink, Usage};
use crate::observe::{End, Observer, Outcome, Watch};

/// The longest answer that is held until its end.
const HELD_OBJECT_AT_MOST: usize = 64 << 20;
/// What a read of the upstream usually becomes.
const OUT_CAPACITY: usize = 1 << 10;
/// What leaves at once at most, but for the frame that goes beyond it.
const OUT_ENOUGH: usize = 16 << 10;
/// The longest beginning without content that is held back.
const HELD_AT_MOST: usize = 64 << 10;

/// One answer on its way.
pub(super) struct Relay {
    attempt: Attempt,
    /// Until the client has a part of the answer.
    plan: Option<Box<Plan>>,
    /// Given back at the end.
    place: Place,
    attempts: u32,
    /// The first attempt was sent, if there is another one since.
    first_sent: Option<Instant>,
    downstream: Downstream,
    limits: Limits,
    alarm: Pin<Box<Sleep>>,
    /// The request's body was read.
    received: Instant,
    last_output: Instant,
    /// When the first of what is to leave next came.
    arrived: Option<Instant>,
    turns: Turns,
    notice: Notice,
    /// The status that the client got.
    status: Option<StatusCode>,
    /// The client has all that there is for it.
    concluded: bool,
}

/// Where the events go.
struct Downstream {
    encoder: Box<dyn Encoder>,
    /// The client gets events as they come, or one object at the end.
    is_stream: bool,
    out: Vec<u8>,
    /// The beginning of an answer that said nothing yet: if its attempt fails, nobody needs to know of it.
    held: Vec<u8>,
    /// A part of the answer was said.
    spoke: bool,
    /// The status line is sent: a fault can only be told in the stream.
    committed: bool,
    /// The attempt ended with it, and it is not decided yet what becomes of that.
    failed: Option<Fault>,
    /// The client is told of it.
    fault: Option<Fault>,
    /// Removed from whatever the upstream says about a failure.
    key: Option<Secret>,
    watch: Watch,
    notes: Option<NoteTaker>,
}

/// What a relay is made of.
pub(super) struct Parts {
    pub(super) first: Next,
    pub(super) plan: Plan,
    pub(super) place: Place,
    pub(super) encoder: Box<dyn Encoder>,
    pub(super) is_stream: bool,
    pub(super) limits: Limits,
    pub(super) watch: Watch,
    pub(super) received: Instant,
    pub(super) notice: Notice,
}

impl Sink for Downstream {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Fault(fault) = event {
            let mut fault = (*fault).clone();
            upstream::hide_key(&mut fault, self.key.as_ref());
            self.failed = Some(fault);
            return;
        }
        self.show(event);
        if self.says_something(event) {
            self.spoke = true;
            self.out.append(&mut self.held);
        }
        self.encode(event);
    }
}

impl Receiver for Downstream {
    fn observer(&mut self) -> Option<&mut (dyn Observer + 'static)> {
        self.watch.observer()
    }
}

impl Downstream {
    /// Tells the event to whoever looks on.
    fn show(&mut self, event: &Event<'_>) {
        if let Some(observer) = self.watch.observer() {
            observer.event(event);
        }
        if let Some(notes) = &mut self.notes {
            notes.event(event);
        }
    }

    /// True for the first event that the client must have.
    fn says_something(&self, event: &Event<'_>) -> bool {
        !self.spoke
            && match event {
                Event::Part(Part { body: Body::Nothing, unknown, .. }) => {
                    !unknown.delta.is_empty() || self.held.len() > HELD_AT_MOST
                }
                Event::Part(_) | Event::Finish(_) => true,
                Event::Start(_) | Event::Usage(_) | Event::Complete | Event::Fault(_) => false,
            }
    }

    fn encode(&mut self, event: &Event<'_>) {
        let out = if self.spoke { &mut self.out } else { &mut self.held };
        if out.is_empty() && self.is_stream {
            out.reserve(OUT_CAPACITY);
        }
        self.encoder.event(event, out);
    }

    /// True as long as nothing of the answer has left for the client.
    fn has_nothing(&self) -> bool {
        !self.spoke || !self.is_stream
    }

    /// Nothing follows the attempt that failed: the client gets its fault.
    fn fail(&mut self, fault: Fault) {
        self.show(&Event::Fault(&fault));
        if self.spoke || self.committed {
            self.spoke = true;
            self.held.clear();
            self.encode(&Event::Fault(&fault));
        }
        self.fault = Some(fault);
    }

    /// Forgets what the attempt said that failed; another one begins.
    fn restart(&mut self, provider: &str, key: Option<Secret>, notes: Option<NoteTaker>) {
        self.held.clear();
        self.spoke = false;
        self.encoder.begin(provider);
        self.key = key;
        self.notes = notes;
    }
}

impl Relay {
    /// Makes the answer to a request that is about to be sent.
    pub(super) fn new(parts: Parts) -> Box<Relay> {
        let now = Instant::now();
        let Parts {
            first: Next { attempt, notes },
            plan,
            place,
            mut encoder,
            is_stream,
            limits,
            watch,
            received,
            notice,
        } = parts;
        encoder.begin(&attempt.target().provider);
        // It is sent at once.
        let deadlines = attempt.target().deadlines;
        let alarm = (now + deadlines.response).min(received + deadlines.total);
        // In a box: it is moved through several futures, each of which would have room for it.
        Box::new(Relay {
            downstream: Downstream {
                encoder,
                is_stream,
                out: Vec::new(),
                held: Vec::new(),
                spoke: false,
                committed: false,
                failed: None,
                fault: None,
                key: attempt.target().key.clone(),
                watch,
                notes,
            },
            attempts: plan.attempts(),
            first_sent: None,
            plan: Some(Box::new(plan)),
            place,
            alarm: Box::pin(sleep_until(alarm)),
            attempt,
            limits,
            received,
            last_output: now,
            arrived: None,
            turns: Turns::default(),
            notice,
            status: None,
            concluded: false,
        })
    }

    /// Reads the upstream until there is something to send, or the answer ended. What has come already is
    /// taken at once, however many reads it is, and leaves as one write.
    pub(super) fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_batch(cx);
        if (polled.is_ready() || !self.has_output())
            && let Some(at) = self.arrived.take()
            && let Some(observer) = self.downstream.watch.observer()
        {
            observer.arrived(at.into_std(), Instant::now().into_std());
        }
        polled
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.is_ended() || self.downstream.out.len() >= OUT_ENOUGH {
                return Poll::Ready(());
            }
            if self.poll_attempt(cx).is_ready() {
                self.turns.brought();
            } else if self.has_output() {
                return self.turns.poll(cx);
            } else if self.notice.poll(cx).is_ready() {
                self.finish(FaultCode::Draining);
            } else {
                ready!(self.poll_alarm(cx));
            }
        }
    }

    /// True once nothing more comes from any upstream.
    pub(super) fn is_ended(&self) -> bool {
        self.attempt.is_ended()
    }

    /// The failure of an answer that said nothing yet.
    pub(super) fn early_fault(&self) -> Option<&Fault> {
        self.downstream.fault.as_ref().filter(|_| self.downstream.has_nothing() && !self.downstream.committed)
    }

    /// The status of the upstream's answer, once it came.
    pub(super) fn upstream_status(&self) -> Option<u16> {
        self.attempt.upstream_status()
    }

    /// The provider that was asked last.
    pub(super) fn provider(&self) -> &str {
        &self.attempt.target().provider
    }

    /// The headers of the answer: those of the upstream that are passed on, who was asked, how often, what was
    /// left out of the request, and how long it took until here.
    pub(super) fn response_headers(&self) -> HeaderMap {
        let mut headers = self.attempt.headers().clone();
        let target = self.attempt.target();
        let upstream = self.attempt.time_to_first_event();
        let before = self.first_sent.map(|first| self.attempt.sent().saturating_duration_since(first));
        let ours = self.received.elapsed().saturating_sub(upstream + before.unwrap_or_default());
        Told {
            provider: &target.provider,
            model: &target.model,
            attempts: self.attempts,
            dropped: &target.dropped,
            upstream,
            ours,
            retries: before,
        }
        .write(&mut headers);
        headers
    }

    /// From now on the status line is sent, and faults are told in the stream.
    pub(super) fn commit(&mut self) {
        self.downstream.committed = true;
        self.status = Some(StatusCode::OK);
        self.last_output = Instant::now();
        self.reset_alarm();
    }

    /// The client gets the whole answer at once, with this status.
    pub(super) fn conclude(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.concluded = true;
    }

    /// True if an answer that the client left is to be read on.
    pub(super) fn outlives_client(&self) -> bool {
        self.limits.on_disconnect == OnDisconnect::Drain && !self.concluded && !self.is_ended()
    }

    /// Reads the rest of the answer for its figures; nobody gets it.
    pub(super) async fn drain(mut self: Box<Self>) {
        let limit = self.limits.drain_limit;
        self.plan = None;
        let _read_on = self.notice.read_on();
        let rest = async {
            while !self.is_ended() {
                std::future::poll_fn(|cx| self.poll_advance(cx)).await;
                self.downstream.out.clear();
            }
        };
        // Elapsed: what is known by then has to do.
        let _ = tokio::time::timeout(limit, rest).await;
    }

    /// The whole answer, as one object; empty if it is not complete.
    pub(super) fn object(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.downstream.out)
    }

    fn has_output(&self) -> bool {
        !self.downstream.out.is_empty()
    }

    /// One step of the upstream's side.
    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let step = ready!(self.attempt.poll(cx, &mut self.downstream));
        if let Step::Read(at) = step {
            self.arrived.get_or_insert(at);
            if self.downstream.encoder.held() > HELD_OBJECT_AT_MOST {
                self.finish(FaultCode::TooLarge);
            }
        }
        self.judge();
        Poll::Ready(())
    }

    /// Ends the attempt, because of a fault.
    fn finish(&mut self, fault: FaultCode) {
        self.attempt.finish(Some(fault), &mut self.downstream);
        self.judge();
    }

    /// Looks at how the attempt goes: whether its target is well, whether another one is made after it.
    fn judge(&mut self) {
        if !self.downstream.has_nothing() {
            self.plan = None;
        }
        if let Some(answered) = self.attempt.answered() {
            let after = self.attempt.time_to_first_event();
            self.attempt.load().answered(answered, after);
        }
        let Some(fault) = self.downstream.failed.take() else {
            if self.attempt.alarm() < self.alarm.deadline() {
                self.reset_alarm();
            }
            return;
        };
        let now = Instant::now();
        if let Some(time) = retry_after(self.attempt.headers()) {
            self.attempt.load().rest(now, time);
        }
        if blames_target(&fault) {
            self.attempt.load().failed(now);
        }
        let next = self.plan.as_mut().and_then(|plan| {
            let next = plan.next(&self.attempt, &fault, &mut self.place, &mut self.downstream.watch)?;
            self.attempts = plan.attempts();
            Some(next)
        });
        match next {
            Some(Next { attempt, notes }) => {
                self.first_sent.get_or_insert(self.attempt.sent());
                let target = attempt.target();
                self.downstream.restart(&target.provider, target.key.clone(), notes);
                self.attempt = attempt;
                self.arrived = None;
                self.reset_alarm();
            }
            None => self.downstream.fail(fault),
        }
    }

    /// When the time is next to be looked at. One timer serves all limits, and is set again only when it rings:
    /// activity costs it nothing.
    fn reset_alarm(&mut self) {
        let attempt = self.attempt.alarm().min(self.total());
        let next = if self.downstream.committed {
            attempt.min(self.last_output + self.limits.keep_alive)
        } else {
            attempt
        };
        self.alarm.as_mut().reset(next);
    }

    /// When the answer has taken too long.
    fn total(&self) -> Instant {
        self.received + self.attempt.target().deadlines.total
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.alarm.as_mut().poll(cx));
        let now = Instant::now();
        if now >= self.total() {
            self.plan = None;
            let fault = upstream::too_long(self.attempt.target().deadlines.total);
            self.attempt.fail(fault, &mut self.downstream);
        } else {
            self.attempt.ring(now, &mut self.downstream);
        }
        self.judge();
        if self.downstream.committed
            && !self.is_ended()
            && now.duration_since(self.last_output) >= self.limits.keep_alive
        {
            self.keep_alive();
            self.last_output = now;
        }
        self.reset_alarm();
        Poll::Ready(())
    }

    fn keep_alive(&mut self) {
        if self.downstream.encoder.keep_alive(&mut self.downstream.out) {
            return;
        }
        match self.limits.keep_alive_form {
            KeepAliveForm::Comment => self.downstream.out.extend_from_slice(b": keep-alive\n\n"),
            KeepAliveForm::Chunk => {
                self.attempt.keep_alive(&mut self.downstream);
                // It names the answer: from here on the client has a part of it.
                self.downstream.spoke = true;
                self.downstream.out.append(&mut self.downstream.held);
            }
        }
    }
}

impl Relay {
    /// The next piece of the body.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        ready!(self.poll_advance(cx));
        if self.is_ended() {
            self.attempt.release(cx);
            // What is handed over now is the last of it.
            self.concluded = true;
        }
        if !self.has_output() {
            return Poll::Ready(None);
        }
        self.last_output = Instant::now();
        Poll::Ready(Some(Bytes::from(std::mem::take(&mut self.downstream.out))))
    }

    /// True once the whole body was handed over.
    pub(super) fn is_handed_over(&self) -> bool {
        self.is_ended() && !self.has_output()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let cut = !self.concluded && self.notice.is_given();
        let draining = cut.then(|| Fault::new(FaultCode::Draining));
        let end = match (&self.downstream.fault, &draining) {
            _ if std::thread::panicking() => End::Panicked,
            (_, Some(draining)) => End::Fault(draining),
            (Some(fault), None) if self.concluded => End::Fault(fault),
            (None, None) if self.concluded => End::Complete,
            (Some(_) | None, None) => End::Disconnected,
        };
        let usage = self.attempt.pipeline().usage();
        let tokens = usage.as_ref().map(Usage::sum).filter(|tokens| *tokens > 0);
        // What failed before it said anything costs nothing; a client that left pays what was expected.
        let is_free = self.attempt.answered().is_none() && self.downstream.fault.is_some();
        if let Some(tokens) = tokens.or(is_free.then_some(0)) {
            self.place.settle(tokens);
        }
        self.downstream.watch.end(&Outcome {
            end,
            status: self.status.map(|status| status.as_u16()),
            usage: usage.as_ref(),
            repairs: Some(self.attempt.pipeline().repairs()),
        });
    }
}
