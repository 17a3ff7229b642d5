//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses` and `/v1/messages`: from the client's request to the answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::access::Client;
use super::answer::Answer;
use super::plan::Plan;
use super::relay::{Parts, Relay};
use super::{App, Current, Shared};
use crate::api::Api;
use crate::chat::Chat;
use crate::error::{Error, Refusal};
use crate::observe::{End, Outcome, Watch};
use crate::telemetry::Accepted;

/// The request's name, which every request has.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of a body that is refused is read past, in bytes.
const DISCARD_LIMIT: usize = 256 << 20;
/// How long a client may pause in the middle of it.
const DISCARD_PATIENCE: Duration = Duration::from_millis(250);

/// Answers one chat completion.
pub(super) async fn chat_completions(State(app): State<Arc<App>>, request: Request) -> Response {
    converse(app, Api::ChatCompletions, request).await
}

/// Answers with how a text goes on.
pub(super) async fn completions(State(app): State<Arc<App>>, request: Request) -> Response {
    converse(app, Api::Completions, request).await
}

/// Answers one request of the Responses API.
pub(super) async fn responses(State(app): State<Arc<App>>, request: Request) -> Response {
    converse(app, Api::Responses, request).await
}

/// Answers one message.
pub(super) async fn messages(State(app): State<Arc<App>>, request: Request) -> Response {
    converse(app, Api::Messages, request).await
}

/// Tells every error as the API of the path does. Clients of Messages look for the request's name in a header of
/// their own, unless the provider gave it one.
pub(super) async fn spoken(request: Request, next: Next) -> Response {
    let api = Api::at(request.uri().path());
    let id = request.headers().get(X_REQUEST_ID).cloned();
    let mut response = next.run(request).await;
    if let Some(Told(error)) = response.extensions_mut().remove() {
        *response.body_mut() = Body::from(error.body(api));
    }
    if let Some(id) = id.filter(|_| api == Api::Messages) {
        response.headers_mut().entry("request-id").or_insert(id);
    }
    response
}

/// The error that a response tells.
#[derive(Clone)]
struct Told(Arc<Error>);

/// Answers one request for an answer of a model.
async fn converse(app: Arc<App>, api: Api, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut watch = watch(&app.shared, &head);
    match answer(&app, api, &head.headers, body, &mut watch).await {
        Ok(response) => response,
        Err(error) => refuse(&app.shared, &mut watch, error),
    }
}

/// Answers with an error, and tells the end if nobody has.
pub(super) fn refuse(shared: &Shared, watch: &mut Watch, error: Error) -> Response {
    let end = match &error {
        // If there was a relay, it has taken the watch with it, and has told of this itself.
        Error::Upstream(refusal) => End::Fault(&refusal.fault),
        _ => End::Rejected,
    };
    let status = Some(error.status().as_u16());
    watch.end(&Outcome { end, status, usage: None, repairs: None });
    refused(shared, error)
}

/// The answer to a request that is refused.
pub(super) fn refused(shared: &Shared, error: Error) -> Response {
    if let Error::Limited(limited) = &error {
        shared.telemetry.limited(limited.limit.as_str(), limited.excess.as_str());
    }
    error.into_response()
}

/// Answers whatever is no chat, watched as well.
pub(super) async fn watched(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let mut watch = watch(&app.shared, &head);
    let response = next.run(Request::from_parts(head, body)).await;
    let status = response.status();
    let end = if status.is_success() { End::Complete } else { End::Rejected };
    watch.end(&Outcome { end, status: Some(status.as_u16()), usage: None, repairs: None });
    response
}

/// Answers with an error what nobody else has watched.
pub(super) fn rejected(shared: &Shared, head: &http::request::Parts, error: Error) -> Response {
    let status = Some(error.status().as_u16());
    watch(shared, head).end(&Outcome { end: End::Rejected, status, usage: None, repairs: None });
    error.into_response()
}

pub(super) fn watch(shared: &Shared, head: &http::request::Parts) -> Watch {
    shared.telemetry.watch(Accepted {
        method: &head.method,
        scheme: shared.scheme,
        route: head.extensions.get::<MatchedPath>().map(MatchedPath::as_str),
        path: head.uri.path(),
        headers: &head.headers,
    })
}

/// Makes the relay that asks whom the request's model names, once there is a place for it. It takes the watch with
/// it.
async fn answer(
    app: &App,
    api: Api,
    headers: &HeaderMap,
    body: Body,
    watch: &mut Watch,
) -> Result<Response, Error> {
    let current = app.current();
    let (client, body) = admit(&current, headers, body).await?;
    let limits = current.config.limits;
    if let Some(observer) = watch.observer() {
        observer.received();
    }
    let received = Instant::now();
    let (chat, encoder) = match api {
        Api::Responses => super::responses::read(&current, client.identity(headers), &body)?,
        Api::ChatCompletions | Api::Messages | Api::Completions => {
            api.read(&body, current.config.reasoning_field)?
        }
    };
    let expected = expected_tokens(&body, &chat);
    drop(body);
    client.check_model(&chat.model)?;
    let is_stream = chat.stream;
    let traffic = current.config.traffic;
    let key = client.party(traffic.per_key);
    let mut plan = Plan::new(current, chat, headers, client, received)?;
    let mut place = app.shared.limiter.admit(plan.wanted(key, expected), traffic).await?;
    let first = plan.first(&mut place, watch)?;
    let answer = Answer::new(Relay::new(Parts {
        first,
        plan,
        place,
        encoder,
        is_stream,
        limits,
        watch: std::mem::take(watch),
        received,
        notice: app.drain.notice(),
    }));
    if is_stream { stream(answer, limits.headers_after).await } else { object(answer).await }
}

/// What a request may cost: a token for four bytes of it, and as many as the client allows for the answer. A limit
/// that cannot be read is told by whoever writes the provider's request.
fn expected_tokens(body: &[u8], chat: &Chat) -> u64 {
    let answer = chat.max_tokens().ok().flatten().unwrap_or_default();
    answer.saturating_add(body.len() as u64 / 4)
}

/// Waits for the first event that says something, but no longer than `headers_after`; then the status line
/// is sent, and the answer becomes the body.
async fn stream(mut answer: Answer, headers_after: Duration) -> Result<Response, Error> {
    let relay = answer.relay().ok_or(Error::Internal)?;
    // Elapsed is no failure: keep-alives flow from then on.
    let _ = timeout(headers_after, poll_fn(|cx| relay.poll_advance(cx))).await;
    if let Some(error) = early_error(relay) {
        return Err(error);
    }
    relay.commit();
    let headers = relay.response_headers();
    let mut response = Response::new(Body::new(answer));
    *response.headers_mut() = headers;
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Reads the answer to its end and sends it as one object.
async fn object(mut answer: Answer) -> Result<Response, Error> {
    let relay = answer.relay().ok_or(Error::Internal)?;
    poll_fn(|cx| relay.poll_advance(cx)).await;
    if let Some(error) = early_error(relay) {
        return Err(error);
    }
    let object = relay.object();
    relay.conclude(StatusCode::OK);
    let mut response = json(StatusCode::OK, object);
    response.headers_mut().extend(relay.response_headers());
    Ok(response)
}

/// The error that the client gets instead of an answer that failed before it said anything.
fn early_error(relay: &mut Relay) -> Option<Error> {
    let fault = relay.early_fault()?.clone();
    let error = Error::Upstream(Box::new(Refusal {
        provider: relay.provider().to_owned(),
        upstream_status: relay.upstream_status(),
        fault,
        headers: relay.response_headers(),
    }));
    relay.conclude(error.status());
    Some(error)
}

/// Finds out who asks, and whether that can be understood at all; then reads the body.
pub(super) async fn admit(
    current: &Current,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Client, Bytes), Error> {
    let client = Client::of(&current.config.access, headers, SystemTime::now());
    match client.and_then(|client| check_content_type(headers).map(|()| client)) {
        Ok(client) => Ok((client, read_body(headers, body, current.config.limits.body_bytes).await?)),
        Err(error) => {
            discard(body).await;
            Err(error)
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Error::ContentType("missing".to_owned()));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = essence(&text);
    if is_json(&essence) { Ok(()) } else { Err(Error::ContentType(essence)) }
}

/// A content type without its parameters.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// True for the type of JSON.
pub(super) fn is_json(essence: &str) -> bool {
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads the body, or reads past it if it is too long: a client that is still sending when the answer comes
/// would see a broken connection instead.
pub(super) async fn read_body(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        discard(body).await;
        return Err(Error::BodyTooLarge { limit });
    }
    let mut bytes = BytesMut::with_capacity(declared.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Error::BodyUnreadable)?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > limit {
            discard(body).await;
            return Err(Error::BodyTooLarge { limit });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads past the rest of a body, as long as it keeps coming.
pub(super) async fn discard(mut body: Body) {
    let mut room = DISCARD_LIMIT;
    while let Ok(Some(Ok(frame))) = timeout(DISCARD_PATIENCE, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match room.checked_sub(length) {
            Some(left) => room = left,
            None => return,
        }
    }
}

/// A JSON response.
pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl IntoResponse for Error {
    /// What chat completions say, until it is `spoken`.
    fn into_response(self) -> Response {
        let mut response = json(self.status(), self.body(Api::default()));
        response.headers_mut().extend(self.headers());
        response.extensions_mut().insert(Told(Arc::new(self)));
        response
    }
}
