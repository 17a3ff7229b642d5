//! `POST /v1/chat/completions`: from the client's request to the answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use super::App;
use super::answer::Answer;
use super::relay::{Form, Parts, Relay};
use super::route::{Route, route};
use super::{sign, upstream};
use crate::api::chat_completions::{Fold, Stream};
use crate::chat::Chat;
use crate::dialect::{Outgoing, Target, framer};
use crate::error::{Error, Refusal};
use crate::normalize::Birth;
use crate::observe::{End, Outcome, Routed, Watch};
use crate::pipeline::Pipeline;
use crate::recall::Scope;
use crate::telemetry::Accepted;

/// How much of a body that is refused is read past, in bytes.
const DISCARD_LIMIT: usize = 256 << 20;
/// How long a client may pause in the middle of it.
const DISCARD_PATIENCE: Duration = Duration::from_millis(250);

/// Answers one chat.
pub(super) async fn chat_completions(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut watch = watch(&app, &head);
    match answer(&app, &head.headers, body, &mut watch).await {
        Ok(response) => response,
        Err(error) => {
            // If there is a relay, it has the watch and has told the end.
            watch.end(&Outcome {
                end: End::Rejected,
                status: Some(error.status().as_u16()),
                usage: None,
                repairs: None,
            });
            error.into_response()
        }
    }
}

/// Answers whatever is no chat, watched as well.
pub(super) async fn watched(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let mut watch = watch(&app, &head);
    let response = next.run(Request::from_parts(head, body)).await;
    let status = response.status();
    let end = if status.is_success() { End::Complete } else { End::Rejected };
    watch.end(&Outcome { end, status: Some(status.as_u16()), usage: None, repairs: None });
    response
}

fn watch(app: &App, head: &http::request::Parts) -> Watch {
    app.telemetry.watch(Accepted {
        method: &head.method,
        route: head.extensions.get::<MatchedPath>().map(MatchedPath::as_str),
        path: head.uri.path(),
        headers: &head.headers,
    })
}

async fn answer(app: &App, headers: &HeaderMap, body: Body, watch: &mut Watch) -> Result<Response, Error> {
    if let Err(error) = check_content_type(headers) {
        discard(body).await;
        return Err(error);
    }
    let body = read_body(headers, body, app.config.limits.body_bytes).await?;
    if let Some(observer) = watch.observer() {
        observer.received();
    }
    let received = Instant::now();
    let mut chat = Chat::read(&body)?;
    drop(body);
    let (relay, dropped) = ask(app, &mut chat, headers, watch, received)?;
    let answer = Answer::new(relay);
    let limits = app.config.limits;
    let response =
        if chat.stream { stream(answer, limits.headers_after).await } else { object(answer).await };
    response.map(|response| with_dropped(response, &dropped))
}

/// Names the fields of the request that the provider cannot take and that were left out.
fn with_dropped(mut response: Response, dropped: &[String]) -> Response {
    if !dropped.is_empty()
        && let Ok(names) = HeaderValue::from_str(&dropped.join(", "))
    {
        response.headers_mut().insert("x-millpond-dropped", names);
    }
    response
}

/// Makes the relay that asks the provider which the chat's model names, and tells what it cannot be asked.
/// Reasoning that the client left out returns to the chat first.
/// The relay takes the watch with it.
fn ask(
    app: &App,
    chat: &mut Chat,
    client_headers: &HeaderMap,
    watch: &mut Watch,
    received: Instant,
) -> Result<(Box<Relay>, Vec<String>), Error> {
    let named = chat.model.clone();
    let Route { upstream, model } =
        route(&app.config, &named).ok_or_else(|| Error::NoSuchModel(named.clone()))?;
    let base_url = upstream.base_url.as_ref().map_err(|variable| Error::ProviderUnset {
        provider: upstream.name.clone(),
        variable: variable.clone(),
    })?;
    upstream::check_key(upstream, model, client_headers)?;
    let dialect = upstream.dialect.as_dialect();
    let notes = app.memory.as_ref().map(|memory| {
        let authorization = client_headers.get(AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        let scope = Scope::new(&upstream.name, model, authorization);
        memory.restore(chat, scope, dialect.quirks().is_foreign)
    });
    let target = Target { provider: &upstream.name, base_url, model };
    let Outgoing { mut request, dropped } = dialect.request(&target, chat)?;
    upstream::authorize(upstream, client_headers, request.headers_mut())?;
    sign::sign(upstream, &mut request, SystemTime::now())?;
    let mut request = upstream::to_reqwest(request)?;
    if let Some(observer) = watch.observer() {
        observer.routed(&Routed { provider: &upstream.name, model, url: request.url(), chat });
        let url = request.url().clone();
        observer.sending(&url, request.headers_mut());
    }
    let limits = app.config.limits;
    let birth = Birth {
        id: uuid::Uuid::new_v4().simple().to_string(),
        model: model.to_owned(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let reasoning = app.config.reasoning_field;
    let form = if chat.stream {
        Form::Stream(Stream::new(&upstream.name, chat.include_usage, reasoning))
    } else {
        Form::Object(Box::new(Fold::new(reasoning)))
    };
    let relay = Relay::new(Parts {
        sending: Box::pin(app.client.execute(request)),
        pipeline: Pipeline::new(
            framer(dialect, limits.frame_bytes),
            dialect.decoder(model),
            dialect.quirks(),
            birth,
        ),
        form,
        limits,
        provider: upstream.name.clone(),
        model: model.to_owned(),
        key: upstream.secret().cloned(),
        watch: std::mem::take(watch),
        notes,
        received,
        notice: app.drain.notice(),
    });
    Ok((relay, dropped))
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
    let object = relay.object().ok_or(Error::Internal)?;
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

fn check_content_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Error::ContentType("missing".to_owned()));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Error::ContentType(essence))
}

/// Reads the body, or reads past it if it is too long: a client that is still sending when the answer comes
/// would see a broken connection instead.
async fn read_body(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, Error> {
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
async fn discard(mut body: Body) {
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
    fn into_response(self) -> Response {
        let mut response = json(self.status(), self.body());
        if let Some(headers) = self.headers() {
            response.headers_mut().extend(headers.clone());
        }
        response
    }
}
