//! The answer: one value that owns the upstream's body, the pipeline and the encoder.
//!
//! [`Relay::poll_advance`] reads the upstream until there is something to send. The handler calls it while
//! it waits for the first event, which decides the status line; then the same value becomes the body of
//! the response. No task and no channel: a client that leaves drops the value, and with it the upstream's
//! connection. Whoever watches is told of the end when the value is dropped, and of how it ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::drain::Notice;
use super::memory::NoteTaker;
use super::turns::Turns;
use super::upstream;
use crate::api::chat_completions::{Fold, Stream};
use crate::config::{KeepAliveForm, Limits, OnDisconnect, Secret};
use crate::dialect::envelope;
use crate::event::{Event, Fault, FaultCode, Sink};
use crate::observe::{End, Outcome, Watch};
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
    model: String,
    upstream_status: Option<StatusCode>,
    headers: HeaderMap,
    alarm: Pin<Box<Sleep>>,
    /// The request's body was read.
    received: Instant,
    /// The upstream was asked.
    sent: Instant,
    /// The first event that said something came.
    answered: Option<Instant>,
    last_input: Instant,
    last_output: Instant,
    turns: Turns,
    notice: Notice,
    /// The status that the client got.
    status: Option<StatusCode>,
    /// The client has all that there is for it.
    concluded: bool,
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
    watch: Watch,
    notes: Option<NoteTaker>,
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
    pub(super) model: String,
    pub(super) key: Option<Secret>,
    pub(super) watch: Watch,
    pub(super) notes: Option<NoteTaker>,
    pub(super) received: Instant,
    pub(super) notice: Notice,
}

impl Sink for Downstream {
    fn event(&mut self, event: &Event<'_>) {
        if let Some(observer) = self.watch.observer() {
            observer.event(event);
        }
        if let Some(notes) = &mut self.notes {
            notes.event(event);
        }
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
        let Parts { sending, pipeline, form, limits, provider, model, key, watch, notes, received, notice } =
            parts;
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
                watch,
                notes,
            },
            limits,
            provider,
            model,
            upstream_status: None,
            headers: HeaderMap::new(),
            alarm: Box::pin(sleep_until(now)),
            received,
            sent: now,
            answered: None,
            last_input: now,
            last_output: now,
            turns: Turns::default(),
            notice,
            status: None,
            concluded: false,
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
            } else if self.notice.poll(cx).is_ready() {
                self.finish(Some(FaultCode::Draining));
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

    /// The headers of the answer: those of the upstream that are passed on, who was asked, and how long it
    /// took until here.
    pub(super) fn response_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let upstream = self.answered.unwrap_or_else(Instant::now).duration_since(self.sent);
        let ours = self.received.elapsed().saturating_sub(upstream);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let timing =
            format!("upstream;dur={:.3}, millpond;dur={:.3}", milliseconds(upstream), milliseconds(ours));
        for (name, value) in [
            ("x-millpond-provider", self.provider.as_str()),
            ("x-millpond-model", &self.model),
            ("x-millpond-attempts", "1"),
            ("server-timing", &timing),
        ] {
            // A model's name may hold what no header can carry.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    /// From now on the status line is sent, and faults are told in the stream.
    pub(super) fn commit(&mut self) {
        self.downstream.committed = true;
        self.status = Some(StatusCode::OK);
        self.last_output = Instant::now();
        let next = self.next_alarm();
        self.alarm.as_mut().reset(next);
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
                if let Some(observer) = self.downstream.watch.observer() {
                    observer.unreachable(upstream::cause(&error));
                }
                let message =
                    format!("Provider {} cannot be reached: {}.", self.provider, upstream::reason(&error));
                return self.refuse(Fault { message, ..Fault::new(code) });
            }
        };
        let (head, body): (_, reqwest::Body) = response.into_parts();
        self.upstream_status = Some(head.status);
        if let Some(observer) = self.downstream.watch.observer() {
            observer.responded(head.status.as_u16(), &head.headers);
        }
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
        if self.answered.is_none() && self.downstream.spoke {
            self.answered = Some(self.last_input);
        }
        if let Some(observer) = self.downstream.watch.observer() {
            observer.arrived(self.last_input.into_std(), Instant::now().into_std());
        }
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

impl Relay {
    /// The next piece of the body.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        ready!(self.poll_advance(cx));
        if self.is_ended() {
            self.release(cx);
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
        let usage = self.pipeline.usage();
        self.downstream.watch.end(&Outcome {
            end,
            status: self.status.map(|status| status.as_u16()),
            usage: usage.as_ref(),
            repairs: Some(self.pipeline.repairs()),
        });
    }
}
