//! One request to one upstream: from the pause before it to the last event of its answer.
//!
//! [`Attempt::poll`] takes one step, and puts the events of the answer into a sink; the last of them is
//! `Complete` or a fault. [`Attempt::alarm`] says when it is next to be told the time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::health::Load;
use super::upstream;
use crate::config::{Deadlines, Secret};
use crate::dialect::envelope;
use crate::event::{Fault, FaultCode, Sink};
use crate::observe::Observer;
use crate::pipeline::Pipeline;

/// How much of a refusal's body is read.
pub(super) const REFUSAL_LIMIT: usize = 64 << 10;
/// How much of the answer is read at once: more may have come, and the client may take less.
const PORTION: usize = 16 << 10;

type Sending = Pin<Box<dyn Future<Output = reqwest::Result<reqwest::Response>> + Send>>;

/// One request to one upstream.
pub(super) struct Attempt {
    source: Source,
    pipeline: Pipeline,
    target: AttemptTarget,
    load: Load,
    upstream_status: Option<StatusCode>,
    headers: HeaderMap,
    /// The request was sent; before that, when it is to be.
    sent: Instant,
    /// The latest that counts for the deadline in force.
    last_sign: Instant,
    /// An event came that said something.
    answered: Option<Instant>,
}

/// Who is asked.
pub(super) struct AttemptTarget {
    pub(super) provider: String,
    /// The model in the provider's own words.
    pub(super) model: String,
    pub(super) deadlines: Deadlines,
    /// Removed from whatever the upstream says about a failure.
    pub(super) key: Option<Secret>,
    /// Fields of the client's request that the provider cannot take and that were left out.
    pub(super) dropped: Vec<String>,
}

/// A request that can be sent, and by whom.
pub(super) struct Ready {
    pub(super) client: reqwest::Client,
    pub(super) request: reqwest::Request,
}

/// Where the bytes come from.
enum Source {
    /// The request is to be sent.
    Waiting(Box<Ready>),
    /// The request is on its way.
    Sending(Sending),
    /// The upstream refused; its reasons are being read.
    Refused(StatusCode, reqwest::Body, Vec<u8>),
    /// The answer is being read; what came of it and was not looked at yet.
    Streaming(reqwest::Body, Bytes),
    /// Nothing more is read.
    Done,
}

/// Whoever gets the events of an attempt, and is told of its course.
pub(super) trait Receiver: Sink {
    /// Whoever watches.
    fn observer(&mut self) -> Option<&mut (dyn Observer + 'static)>;
}

/// What a step brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something else than a part of the answer.
    Other,
    /// A part of the answer's body, at this time.
    Read(Instant),
}

impl Attempt {
    /// An attempt that is to begin at `begins`.
    pub(super) fn new(
        ready: Ready,
        pipeline: Pipeline,
        target: AttemptTarget,
        load: Load,
        begins: Instant,
    ) -> Attempt {
        Attempt {
            source: Source::Waiting(Box::new(ready)),
            pipeline,
            target,
            load,
            upstream_status: None,
            headers: HeaderMap::new(),
            sent: begins,
            last_sign: begins,
            answered: None,
        }
    }

    /// Who is asked.
    pub(super) fn target(&self) -> &AttemptTarget {
        &self.target
    }

    /// The machine that reads the answer.
    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// True once nothing more comes of it.
    pub(super) fn is_ended(&self) -> bool {
        self.pipeline.is_ended()
    }

    /// The status of the upstream's answer, once it came.
    pub(super) fn upstream_status(&self) -> Option<u16> {
        self.upstream_status.map(|status| status.as_u16())
    }

    /// What of the upstream's headers is passed on.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// When the request was sent, or is to be.
    pub(super) fn sent(&self) -> Instant {
        self.sent
    }

    /// How long the upstream took to its first event, or has taken so far.
    pub(super) fn time_to_first_event(&self) -> Duration {
        self.answered.unwrap_or_else(Instant::now).saturating_duration_since(self.sent)
    }

    /// Takes one step.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, to: &mut dyn Receiver) -> Poll<Step> {
        match &mut self.source {
            Source::Waiting(_) => {
                let now = Instant::now();
                if now < self.sent {
                    return Poll::Pending;
                }
                self.send(now, to.observer());
            }
            Source::Sending(sending) => {
                let response = ready!(sending.as_mut().poll(cx));
                match response {
                    Ok(response) => {
                        let coding = response.headers().get(CONTENT_ENCODING);
                        let is_coded = coding.is_some_and(|coding| coding != "identity");
                        self.responded(response, to.observer());
                        // The client has taken away what it can read.
                        if is_coded && matches!(self.source, Source::Streaming(..)) {
                            let provider = &self.target.provider;
                            let message = format!(
                                "Provider {provider} compressed its answer in a way that is not known."
                            );
                            self.fail(Fault { message, ..Fault::new(FaultCode::Malformed) }, to);
                        }
                    }
                    Err(error) => {
                        if let Some(observer) = to.observer() {
                            observer.unreachable(upstream::cause(&error));
                        }
                        self.refuse(upstream::unreachable(&self.target.provider, &error), to);
                    }
                }
            }
            Source::Refused(status, body, reasons) => {
                let status = *status;
                // If reading them fails, what came of the reasons has to do.
                if let Some(Ok(frame)) = ready!(Pin::new(body).poll_frame(cx)) {
                    let room = REFUSAL_LIMIT - reasons.len();
                    let data = frame.into_data().unwrap_or_default();
                    reasons.extend(data.iter().take(room));
                    if data.len() < room {
                        return Poll::Ready(Step::Other);
                    }
                }
                let fault = envelope::read_body(status.as_u16(), &std::mem::take(reasons));
                self.refuse(fault, to);
            }
            Source::Streaming(_, came) if !came.is_empty() => {
                let data = came.split_to(came.len().min(PORTION));
                return Poll::Ready(self.read(&data, to));
            }
            Source::Streaming(body, came) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing.
                    *came = frame.into_data().unwrap_or_default();
                    let data = came.split_to(came.len().min(PORTION));
                    return Poll::Ready(self.read(&data, to));
                }
                Some(Err(error)) => self.finish(upstream::broken(&error), to),
                None => self.finish(None, to),
            },
            Source::Done => return Poll::Pending,
        }
        Poll::Ready(Step::Other)
    }

    /// Reads the next bytes of the answer.
    fn read(&mut self, data: &[u8], to: &mut dyn Receiver) -> Step {
        if data.is_empty() {
            return Step::Other;
        }
        let now = Instant::now();
        self.pipeline.push(data, to);
        if self.pipeline.take_progress() {
            self.last_sign = now;
            if self.answered.is_none() {
                self.answered = Some(now);
            }
        }
        Step::Read(now)
    }

    fn send(&mut self, now: Instant, observer: Option<&mut (dyn Observer + 'static)>) {
        let Source::Waiting(ready) = std::mem::replace(&mut self.source, Source::Done) else { return };
        let Ready { client, mut request } = *ready;
        if let Some(observer) = observer {
            let url = request.url().clone();
            observer.sending(&url, request.headers_mut());
        }
        self.sent = now;
        self.last_sign = now;
        self.source = Source::Sending(Box::pin(client.execute(request)));
    }

    fn responded(&mut self, response: reqwest::Response, observer: Option<&mut (dyn Observer + 'static)>) {
        self.last_sign = Instant::now();
        let (head, body): (_, reqwest::Body) = http::Response::from(response).into_parts();
        self.upstream_status = Some(head.status);
        if let Some(observer) = observer {
            observer.responded(head.status.as_u16(), &head.headers);
        }
        self.headers = upstream::passed_on(&head.headers, std::time::SystemTime::now());
        self.source = if head.status.is_success() {
            Source::Streaming(body, Bytes::new())
        } else {
            Source::Refused(head.status, body, Vec::new())
        };
    }

    /// When it is next to be told the time.
    pub(super) fn alarm(&self) -> Instant {
        match self.deadline() {
            Some((_, limit)) => self.last_sign + limit,
            None => self.sent,
        }
    }

    /// The deadline in force, by its name in the config; `None` before the request is sent.
    fn deadline(&self) -> Option<(&'static str, Duration)> {
        let Deadlines { response, first_event, idle, .. } = self.target.deadlines;
        match self.source {
            Source::Waiting(_) => None,
            Source::Sending(_) => Some(("response_timeout", response)),
            Source::Streaming(..) if self.answered.is_none() => Some(("first_event_timeout", first_event)),
            Source::Refused(..) | Source::Streaming(..) | Source::Done => Some(("idle_timeout", idle)),
        }
    }

    /// Ends it if a deadline passed.
    pub(super) fn ring(&mut self, now: Instant, sink: &mut dyn Sink) {
        if let Some((name, limit)) = self.deadline()
            && now >= self.last_sign + limit
        {
            self.fail(upstream::silent(&self.target.provider, name, limit), sink);
        }
    }

    /// Ends it with a fault that has words of its own.
    pub(super) fn fail(&mut self, fault: Fault, sink: &mut dyn Sink) {
        self.source = Source::Done;
        self.pipeline.fail(fault, sink);
    }

    /// The body ended: by itself, or because of a fault.
    pub(super) fn finish(&mut self, fault: Option<FaultCode>, sink: &mut dyn Sink) {
        self.source = Source::Done;
        self.pipeline.finish(fault, sink);
    }

    fn refuse(&mut self, fault: Fault, sink: &mut dyn Sink) {
        self.source = Source::Done;
        self.pipeline.refuse(fault, sink);
    }

    /// Sends a chunk that says nothing, for clients that take silence for failure.
    pub(super) fn keep_alive(&mut self, sink: &mut dyn Sink) {
        self.pipeline.keep_alive(sink);
    }

    /// Tells the target's health how it went so far.
    pub(super) fn load(&mut self) -> &mut Load {
        &mut self.load
    }

    /// When the first event came.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// The answer ended. If the upstream's body is at its end as well, its connection can be used again.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) {
        if let Source::Streaming(body, _) = &mut self.source {
            // Whatever comes is behind the end mark; only the end itself matters.
            let _ = Pin::new(body).poll_frame(cx);
        }
        self.source = Source::Done;
    }
}
