//! The rest of OpenAI's API, passed on: embeddings, moderations, images, audio, rerankings, files, uploads, batches.
//!
//! [`routes`] has all of them, from the table in `endpoint`. `content` is what the client sent and where it names its
//! model (`form`: in a form), `upload` the rest of it on its way, [`Asking`] one request with its attempts, `passage`
//! the answer on its way back, whose `tail` tells the usage. The rules are the page [`crate::forward`].

mod content;
mod endpoint;
mod form;
mod passage;
mod tail;
mod upload;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::header::{
    ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until};

use self::content::Content;
use self::endpoint::{ENDPOINTS, Endpoint};
use self::passage::{Held, Passage};
use super::access::Client;
use super::attempt::{AttemptTarget, REFUSAL_LIMIT, Ready};
use super::candidates::{Candidate, Candidates, Failed, party};
use super::drain::Notice;
use super::handler::{discard, refuse, watch};
use super::health::Load;
use super::limit::Place;
use super::plan::retry_after;
use super::retry::blames_target;
use super::told::Told;
use super::{App, Current, upstream};
use crate::config::Upstream;
use crate::dialect::envelope;
use crate::error::{Error, Refusal};
use crate::event::{Fault, FaultCode};
use crate::observe::{Asked, Routed, Watch};

/// Names the provider of a request that names no model.
const PROVIDER: HeaderName = HeaderName::from_static("x-millpond-provider");
/// What of the client's headers goes on.
const ASKED_WITH: [HeaderName; 6] = [
    ACCEPT,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    RANGE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("openai-beta"),
];
/// What of the answer's headers goes on, beside those that chats pass on.
const ANSWERED_WITH: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, ACCEPT_RANGES];

/// All endpoints; `others` answers other methods of their paths.
pub(super) fn routes(others: impl Fn() -> MethodRouter<Arc<App>, Infallible>) -> Router<Arc<App>> {
    let rows = ENDPOINTS.chunk_by(|one, other| one.path == other.path);
    rows.fold(Router::new(), |router, rows| {
        let Some(first) = rows.first() else { return router };
        let methods = rows.iter().fold(others(), |methods, endpoint| {
            let Ok(filter) = MethodFilter::try_from(endpoint.method.clone()) else { return methods };
            methods.on(filter, move |State(app): State<Arc<App>>, given: Given, request: Request| {
                forward(app, endpoint, given, request)
            })
        });
        router.route(first.path, methods)
    })
}

/// What the client put into the path, if it is text.
type Given = Result<RawPathParams, RawPathParamsRejection>;

/// Passes one request on.
async fn forward(app: Arc<App>, endpoint: &'static Endpoint, given: Given, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut watch = watch(&app.shared, &head);
    match answer(&app, endpoint, given, &head, body, &mut watch).await {
        Ok(response) => response,
        Err(error) => refuse(&app.shared, &mut watch, error),
    }
}

/// Reads as much of the request as it takes to know whom to ask, and asks.
async fn answer(
    app: &App,
    endpoint: &'static Endpoint,
    given: Given,
    head: &Parts,
    body: Body,
    watch: &mut Watch,
) -> Result<Response, Error> {
    let current = app.current();
    let client = match Client::of(&current.config.access, &head.headers, SystemTime::now()) {
        Ok(client) => client,
        Err(error) => {
            discard(body).await;
            return Err(error);
        }
    };
    let (limit, all) = (current.config.limits.body_bytes, !client.may_use_all());
    let content = Content::read(endpoint, &head.headers, body, limit, all).await?;
    let given: Vec<&str> =
        given.as_ref().map_or(Vec::new(), |given| given.iter().map(|(_, value)| value).collect());
    let asking = Asking { received: Instant::now(), current, client, endpoint, given, head, content };
    let answered = asking.ask(app, watch).await;
    if answered.is_err() {
        asking.content.discard().await;
    }
    answered
}

/// One request, and who asks.
struct Asking<'a> {
    current: Current,
    client: Client,
    endpoint: &'static Endpoint,
    /// What the client put into the path.
    given: Vec<&'a str>,
    head: &'a Parts,
    content: Content,
    /// The request's body was read, as far as needed.
    received: Instant,
}

/// A request to a provider that is to be made.
struct Attempt {
    ready: Ready,
    target: AttemptTarget,
    load: Load,
    begins: Instant,
}

/// How a request came to its last attempt.
struct Way<'a> {
    target: &'a AttemptTarget,
    attempts: u32,
    first_sent: Instant,
    sent: Instant,
}

/// Why an attempt failed.
struct Failure {
    fault: Fault,
    /// The status of the provider's answer, if there was one.
    upstream_status: Option<u16>,
    /// What of its headers is passed on.
    headers: HeaderMap,
}

impl Asking<'_> {
    /// Asks whom the model leads to, once there is a place, and again where that may help.
    async fn ask(&self, app: &App, watch: &mut Watch) -> Result<Response, Error> {
        let Asking { current, client, content, received, .. } = self;
        if let Some(observer) = watch.observer() {
            observer.received();
        }
        client.check_named(content.model.as_deref())?;
        let mut candidates = match &content.model {
            Some(model) => Candidates::of_model(current, model, *received)?,
            None => {
                let name = self.head.headers.get(PROVIDER);
                let name = name.map(|name| String::from_utf8_lossy(name.as_bytes()));
                Candidates::of_provider(current, name.as_deref(), *received)?
            }
        };
        let traffic = current.config.traffic;
        let key = client.party(traffic.per_key);
        let wanted = candidates.wanted(&current.config, key, content.expected_tokens());
        let mut place = app.shared.limiter.admit(wanted, traffic).await?;
        let mut notice = app.drain.notice();
        let mut attempt =
            candidates.first(|candidate, begins| self.attempt(candidate, None, begins, &mut place, watch))?;
        let mut first_sent = None;
        loop {
            let Attempt { ready, target, mut load, begins } = attempt;
            sleep_until(begins).await;
            let sent = Instant::now();
            let first_sent = *first_sent.get_or_insert(sent);
            let way = Way { target: &target, attempts: candidates.attempts(), first_sent, sent };
            let Failure { fault, upstream_status, mut headers } =
                match self.send(ready, &target, watch, &mut notice).await? {
                    Ok(response) => {
                        load.answered(Instant::now(), sent.elapsed());
                        let held = Held { load, place, watch: std::mem::take(watch), notice };
                        return Ok(self.pass(response, &way, held));
                    }
                    Err(failure) => failure,
                };
            let now = Instant::now();
            let rest = retry_after(&headers);
            if let Some(time) = rest {
                load.rest(now, time);
            }
            if blames_target(&fault) {
                load.failed(now);
            }
            drop(load);
            self.tell(&way, &mut headers);
            let next = if content.is_whole() && self.endpoint.may_repeat() {
                let failed = Failed { fault: &fault, retry_after: rest, total: target.deadlines.total };
                candidates.next(current, &failed, |candidate, begins| {
                    self.attempt(candidate, Some(&fault), begins, &mut place, watch)
                })
            } else {
                None
            };
            match next {
                Some(next) => attempt = next,
                None => {
                    // What failed costs nothing.
                    place.settle(0);
                    let provider = target.provider;
                    return Err(Error::Upstream(Box::new(Refusal {
                        provider,
                        upstream_status,
                        fault,
                        headers,
                    })));
                }
            }
        }
    }

    /// The request for a target, perhaps after an attempt that failed.
    fn attempt(
        &self,
        candidate: &Candidate,
        after: Option<&Fault>,
        begins: Instant,
        place: &mut Place,
        watch: &mut Watch,
    ) -> Result<Attempt, Error> {
        let (endpoint, model) = (self.endpoint, candidate.model.as_str());
        let upstream = candidate.upstream(&self.current.config)?;
        let base_url = upstream::base_url(upstream)?;
        let path = self.head.uri.path();
        let segments = endpoint.segments(&self.given).ok_or_else(|| Error::NoSuchPath(path.to_owned()))?;
        let dialect = upstream.dialect.as_dialect();
        let found = dialect.endpoint(base_url, &segments).ok_or_else(|| Error::NotServed {
            provider: upstream.name.clone(),
            endpoint: format!("{} {}", endpoint.method, endpoint.path),
        })?;
        let client_headers = self.client.for_providers(&self.head.headers);
        upstream::check_key(upstream, model, &client_headers, &self.client)?;
        place.ask(&party(upstream))?;

        let mut url = found.url;
        url.set_query(self.head.uri.query());
        let mut request = reqwest::Request::new(endpoint.method.clone(), url);
        let headers = request.headers_mut();
        for name in ASKED_WITH {
            headers.extend(self.head.headers.get(&name).map(|value| (name, value.clone())));
        }
        let keyed = match found.auth {
            Some(auth) => Cow::Owned(Upstream { auth, ..upstream.clone() }),
            None => Cow::Borrowed(upstream),
        };
        upstream::authorize(&keyed, &client_headers, headers)?;
        if endpoint.method == Method::POST {
            let (body, length) = self.content.body(model);
            headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
            *request.body_mut() = Some(body);
        }
        if let Some(observer) = watch.observer() {
            if let Some(fault) = after {
                observer.retrying(fault);
            }
            observer.routed(&Routed {
                provider: &upstream.name,
                model,
                method: request.method(),
                url: request.url(),
                asked: Asked::Forward { operation: endpoint.operation, model: self.content.model.as_deref() },
            });
        }
        Ok(Attempt {
            ready: Ready { client: self.current.clients.of(upstream).clone(), request },
            target: AttemptTarget {
                provider: upstream.name.clone(),
                model: model.to_owned(),
                deadlines: upstream.deadlines,
                key: upstream.secret().cloned(),
                dropped: Vec::new(),
            },
            load: Arc::clone(&candidate.health).begin(),
            begins,
        })
    }

    /// Sends a request, and waits until it is known how the answer begins. The outer error is the client's.
    async fn send(
        &self,
        ready: Ready,
        target: &AttemptTarget,
        watch: &mut Watch,
        notice: &mut Notice,
    ) -> Result<Result<reqwest::Response, Failure>, Error> {
        let Ready { client, mut request } = ready;
        if let Some(observer) = watch.observer() {
            let url = request.url().clone();
            observer.sending(&url, request.headers_mut());
        }
        let sent = Instant::now();
        // As long as the provider takes what the client sends, it is not silent.
        let last_sign = || self.content.rest.as_ref().map_or(sent, |rest| sent.max(rest.last()));
        let patience = Patience { target, received: self.received, last_sign: &last_sign };
        let response = ("response_timeout", target.deadlines.response);
        let mut failure = match patience.within(response, client.execute(request), notice).await {
            Ok(Ok(response)) => {
                if let Some(observer) = watch.observer() {
                    observer.responded(response.status().as_u16(), response.headers());
                }
                if response.status().is_success() {
                    return Ok(Ok(response));
                }
                let status = response.status().as_u16();
                let headers = upstream::passed_on(response.headers(), SystemTime::now());
                let now = Instant::now();
                let patience = Patience { last_sign: &|| now, ..patience };
                // If reading them fails, what came of the reasons has to do.
                let mut reasons = Vec::new();
                let idle = ("idle_timeout", target.deadlines.idle);
                match patience.within(idle, read(response, &mut reasons), notice).await {
                    Ok(()) => {
                        let fault = envelope::read_body(status, &reasons);
                        Failure { fault, upstream_status: Some(status), headers }
                    }
                    Err(fault) => Failure { fault, upstream_status: Some(status), headers },
                }
            }
            Ok(Err(error)) => {
                if let Some(error) = self.content.failure(self.current.config.limits.body_bytes) {
                    if let Error::BodyUnreadable = error {
                        // Dropped on the way: it was the client who left.
                        drop(std::mem::take(watch));
                    }
                    return Err(error);
                }
                if let Some(observer) = watch.observer() {
                    observer.unreachable(upstream::cause(&error));
                }
                Failure::early(upstream::unreachable(&target.provider, &error))
            }
            Err(fault) => Failure::early(fault),
        };
        upstream::hide_key(&mut failure.fault, target.key.as_ref());
        Ok(Err(failure))
    }

    /// The response to the client, whose body is on its way.
    fn pass(&self, response: reqwest::Response, way: &Way<'_>, held: Held) -> Response {
        let mut headers = answered_with(response.headers());
        self.tell(way, &mut headers);
        let (head, body): (_, reqwest::Body) = http::Response::from(response).into_parts();
        // Who asks for the head alone does not read on.
        let length = if self.head.method == Method::HEAD { Some(0) } else { length(&headers) };
        let mut answer = Response::new(Body::new(Passage::new(passage::Parts {
            body,
            length,
            status: head.status,
            is_text: is_text(&headers),
            provider: way.target.provider.clone(),
            deadlines: way.target.deadlines,
            received: self.received,
            held,
        })));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = headers;
        answer
    }

    /// Tells of the way of an answer that begins now.
    fn tell(&self, way: &Way<'_>, headers: &mut HeaderMap) {
        let Way { target: AttemptTarget { provider, model, dropped, .. }, attempts, first_sent, sent } = *way;
        let retries = (sent > first_sent).then(|| sent - first_sent);
        let upstream = sent.elapsed();
        let ours = self.received.elapsed().saturating_sub(upstream + retries.unwrap_or_default());
        Told { provider, model, attempts, dropped, upstream, ours, retries }.write(headers);
    }
}

impl Failure {
    /// That of a request which was not answered.
    fn early(fault: Fault) -> Failure {
        Failure { fault, upstream_status: None, headers: HeaderMap::new() }
    }
}

/// How long a step of the provider's may take.
struct Patience<'a> {
    target: &'a AttemptTarget,
    /// The request's body was read.
    received: Instant,
    /// When something last went on.
    last_sign: &'a (dyn Fn() -> Instant + Send + Sync),
}

impl Patience<'_> {
    /// Waits for a step until its deadline, the one of the whole answer, or the end of the process.
    async fn within<T>(
        &self,
        (name, limit): (&'static str, Duration),
        step: impl Future<Output = T>,
        notice: &mut Notice,
    ) -> Result<T, Fault> {
        let mut step = pin!(step);
        let total = self.received + self.target.deadlines.total;
        loop {
            let silent = (self.last_sign)() + limit;
            tokio::select! {
                biased;
                done = &mut step => return Ok(done),
                () = poll_fn(|cx| notice.poll(cx)) => return Err(Fault::new(FaultCode::Draining)),
                () = sleep_until(silent.min(total)) => {}
            }
            let now = Instant::now();
            if now >= total {
                return Err(upstream::too_long(self.target.deadlines.total));
            }
            if now >= (self.last_sign)() + limit {
                return Err(upstream::silent(&self.target.provider, name, limit));
            }
        }
    }
}

/// Reads why a provider refused, as far as it goes.
async fn read(response: reqwest::Response, reasons: &mut Vec<u8>) {
    let mut body = reqwest::Body::from(response);
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        reasons.extend(data.iter().take(REFUSAL_LIMIT - reasons.len()));
        if reasons.len() == REFUSAL_LIMIT {
            return;
        }
    }
}

/// What of the answer's headers the client gets.
fn answered_with(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = upstream::passed_on(upstream, SystemTime::now());
    for name in ANSWERED_WITH {
        headers.extend(upstream.get(&name).map(|value| (name, value.clone())));
    }
    if kind(&headers).starts_with("text/event-stream") {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
    headers
}

fn kind(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default() // Not text: no kind.
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok() // HTTP's own library has read it as well.
}

/// True if the answer may tell its usage.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = kind(headers);
    kind.starts_with("application/json") || kind.starts_with("text/event-stream")
}
