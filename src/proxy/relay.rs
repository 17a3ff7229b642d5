//! The answer: one value that owns the upstream's body, the pipeline and the encoder.
//!
//! [`Relay::poll_advance`] reads the upstream until there is something to send. The handler calls it while
//! it waits for the first event, which decides the status line; then the same value becomes the body of
//! the response. No task and no channel: a client that leaves drops the value, and with it the upstream's
//! connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::turns::Turns;
use super::upstream;
use crate::api::chat_completions::{Fold, Stream};
use crate::config::{KeepAliveForm, Limits, Secret};
use crate::dialect::envelope;
use crate::event::{Event, Fault, FaultCode, Sink};
use crate::pipeline::Pipeline;

/// How much of a refusal's body is read.
const REFUSAL_LIMIT: usize = 64 << 10;
/// The longest answer that is folded into one object.
const FOLD_LIMIT: usize = 64 << 20;
/// What a read of the upstream usually becomes.
const OUT_CAPACITY: usize = 1 << 10;
/// What leaves at once at most, but for the frame that goes beyond it.
const OUT_ENOUGH: usize = 16 << 10;

type Sending = Pin<Box<dyn Future<Output = reqwest::Result<reqwest::Response>> + Send>>;

/// One answer on its way.
pub(super) struct Relay {
    source: Source,
    pipeline: Pipeline,
    downstream: Downstream,
    limits: Limits,
    provider: String,
    upstream_status: Option<StatusCode>,
    headers: HeaderMap,
    alarm: Pin<Box<Sleep>>,
    last_input: Instant,
    last_output: Instant,
    turns: Turns,
}

/// Where the bytes come from.
enum Source {
    /// The request is on its way.
    Sending(Sending),
    /// The upstream refused; its reasons are being read.
    Refused(StatusCode, reqwest::Body, Vec<u8>),
    /// The answer is being read.
    Streaming(reqwest::Body),
    /// Nothing more is read.
    Done,
}

/// Where the events go.
struct Downstream {
    form: Form,
    out: Vec<u8>,
    /// A part of the answer was said.
    spoke: bool,
    /// The status line is sent: a fault can only be told in the stream.
    committed: bool,
    fault: Option<Fault>,
    /// Removed from whatever the upstream says about a failure.
    key: Option<Secret>,
}

/// What the client asked for.
pub(super) enum Form {
    /// A stream of chunks.
    Stream(Stream),
    /// One object.
    Object(Box<Fold>),
}

/// What a relay is made of.
pub(super) struct Parts {
    pub(super) sending: Sending,
    pub(super) pipeline: Pipeline,
    pub(super) form: Form,
    pub(super) limits: Limits,
    pub(super) provider: String,
    pub(super) key: Option<Secret>,
}

impl Sink for Downstream {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Part(_) | Event::Finish(_) => self.spoke = true,
            Event::Fault(fault) => {
                let fault = self.without_key(fault);
                if self.spoke || self.committed {
                    self.encode(&Event::Fault(&fault));
                }
                self.fault = Some(fault);
                return;
            }
            Event::Start(_) | Event::Usage(_) | Event::Complete => {}
        }
        self.encode(event);
    }
}

impl Downstream {
    fn encode(&mut self, event: &Event<'_>) {
        match &mut self.form {
            Form::Stream(stream) => stream.event(event, &mut self.out),
            Form::Object(fold) => fold.event(event),
        }
    }

    /// Some providers quote the key that they refuse.
    fn without_key(&self, fault: &Fault) -> Fault {
        let mut fault = fault.clone();
        if let Some(key) = &self.key {
            let told = [Some(&mut fault.message), fault.param.as_mut(), fault.provider_code.as_mut()];
            for text in told.into_iter().flatten() {
                *text = text.replace(key.expose(), "[hidden]");
            }
        }
        fault
    }
}

impl Relay {
    /// Makes the answer to a request that is about to be sent.
    pub(super) fn new(parts: Parts) -> Box<Relay> {
        let now = Instant::now();
        let Parts { sending, pipeline, form, limits, provider, key } = parts;
        // In a box: it is moved through several futures, each of which would have room for it.
        let mut relay = Box::new(Relay {
            source: Source::Sending(sending),
            pipeline,
            downstream: Downstream {
                form,
                out: Vec::new(),
                spoke: false,
                committed: false,
                fault: None,
                key,
            },
            limits,
            provider,
            upstream_status: None,
            headers: HeaderMap::new(),
            alarm: Box::pin(sleep_until(now)),
            last_input: now,
            last_output: now,
            turns: Turns::default(),
        });
        let next = relay.next_alarm();
        relay.alarm.as_mut().reset(next);
        relay
    }

    /// Reads the upstream until there is something to send, or the answer ended. What has come already is
    /// taken at once, however many reads it is, and leaves as one write.
    pub(super) fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.pipeline.is_ended() || self.downstream.out.len() >= OUT_ENOUGH {
                return Poll::Ready(());
            }
            if self.poll_source(cx).is_ready() {
                self.turns.brought();
            } else if self.has_output() {
                return self.turns.poll(cx);
            } else {
                ready!(self.poll_alarm(cx));
            }
        }
    }

    /// True once nothing more comes from the upstream.
    pub(super) fn is_ended(&self) -> bool {
        self.pipeline.is_ended()
    }

    /// The failure of an answer that said nothing yet.
    pub(super) fn early_fault(&self) -> Option<&Fault> {
        let early = match &self.downstream.form {
            Form::Stream(_) => !self.downstream.spoke,
            Form::Object(_) => true,
        };
        self.downstream.fault.as_ref().filter(|_| early && !self.downstream.committed)
    }

    /// The status of the upstream's answer, once it came.
    pub(super) fn upstream_status(&self) -> Option<u16> {
        self.upstream_status.map(|status| status.as_u16())
    }

    /// The provider that was asked.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// The upstream's headers that are passed on.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// From now on the status line is sent, and faults are told in the stream.
    pub(super) fn commit(mut self: Box<Self>) -> Box<Relay> {
        self.downstream.committed = true;
        self.last_output = Instant::now();
        let next = self.next_alarm();
        self.alarm.as_mut().reset(next);
        self
    }

    /// The folded answer.
    pub(super) fn object(&self) -> Option<Vec<u8>> {
        match &self.downstream.form {
            Form::Object(fold) => {
                let mut out = Vec::new();
                fold.write(&mut out);
                Some(out)
            }
            Form::Stream(_) => None,
        }
    }

    fn has_output(&self) -> bool {
        !self.downstream.out.is_empty()
    }

    /// One step of the upstream's side.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.source {
            Source::Sending(sending) => {
                let response = ready!(sending.as_mut().poll(cx));
                self.responded(response);
            }
            Source::Refused(status, body, reasons) => {
                let status = *status;
                // If reading them fails, what came of the reasons has to do.
                if let Some(Ok(frame)) = ready!(Pin::new(body).poll_frame(cx)) {
                    self.last_input = Instant::now();
                    let room = REFUSAL_LIMIT - reasons.len();
                    let data = frame.into_data().unwrap_or_default();
                    reasons.extend(data.iter().take(room));
                    if data.len() < room {
                        return Poll::Ready(());
                    }
                }
                let fault = envelope::read_body(status.as_u16(), &std::mem::take(reasons));
                self.refuse(fault);
            }
            Source::Streaming(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.read(frame),
                Some(Err(_)) => self.finish(Some(FaultCode::ConnectionLost)),
                None => self.finish(None),
            },
            Source::Done => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn responded(&mut self, response: reqwest::Result<reqwest::Response>) {
        self.last_input = Instant::now();
        let response = match response {
            Ok(response) => http::Response::from(response),
            Err(error) => {
                let code = if error.is_timeout() { FaultCode::Timeout } else { FaultCode::ConnectionLost };
                let message =
                    format!("Provider {} cannot be reached: {}.", self.provider, upstream::reason(&error));
                return self.refuse(Fault { message, ..Fault::new(code) });
            }
        };
        let (head, body): (_, reqwest::Body) = response.into_parts();
        self.upstream_status = Some(head.status);
        self.headers = upstream::passed_on(&head.headers, std::time::SystemTime::now());
        self.source = if head.status.is_success() {
            Source::Streaming(body)
        } else {
            Source::Refused(head.status, body, Vec::new())
        };
    }

    fn read(&mut self, frame: Frame<Bytes>) {
        let Ok(data) = frame.into_data() else { return }; // Trailers say nothing.
        self.last_input = Instant::now();
        if self.downstream.out.is_empty() {
            self.downstream.out.reserve(OUT_CAPACITY);
        }
        self.pipeline.push(&data, &mut self.downstream);
        if let Form::Object(fold) = &self.downstream.form
            && fold.size() > FOLD_LIMIT
        {
            self.finish(Some(FaultCode::TooLarge));
        }
    }

    fn finish(&mut self, fault: Option<FaultCode>) {
        self.source = Source::Done;
        self.pipeline.finish(fault, &mut self.downstream);
    }

    fn refuse(&mut self, fault: Fault) {
        self.source = Source::Done;
        self.pipeline.refuse(fault, &mut self.downstream);
    }

    /// When silence is next to be looked at. One timer serves both limits, and is set again only when it
    /// rings: activity costs it nothing.
    fn next_alarm(&self) -> Instant {
        let keep_alive = self.last_output + self.limits.keep_alive;
        let idle = self.last_input + self.limits.idle_timeout;
        if self.downstream.committed { keep_alive.min(idle) } else { idle }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.alarm.as_mut().poll(cx));
        let now = Instant::now();
        if now.duration_since(self.last_input) >= self.limits.idle_timeout {
            self.finish(Some(FaultCode::Stalled));
        } else if self.downstream.committed && now.duration_since(self.last_output) >= self.limits.keep_alive
        {
            match self.limits.keep_alive_form {
                KeepAliveForm::Comment => self.downstream.out.extend_from_slice(b": keep-alive\n\n"),
                KeepAliveForm::Chunk => self.pipeline.keep_alive(&mut self.downstream),
            }
            self.last_output = now;
        }
        let next = self.next_alarm();
        self.alarm.as_mut().reset(next);
        Poll::Ready(())
    }

    /// The answer ended. If the upstream's body is at its end as well, its connection can be used again.
    fn release(&mut self, cx: &mut Context<'_>) {
        if let Source::Streaming(body) = &mut self.source {
            // Whatever comes is behind the end mark; only the end itself matters.
            let _ = Pin::new(body).poll_frame(cx);
        }
        self.source = Source::Done;
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let relay = self.get_mut();
        ready!(relay.poll_advance(cx));
        if relay.is_ended() {
            relay.release(cx);
        }
        if !relay.has_output() {
            return Poll::Ready(None);
        }
        relay.last_output = Instant::now();
        let out = std::mem::take(&mut relay.downstream.out);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended() && !self.has_output()
    }
}
