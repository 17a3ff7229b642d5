//! `POST /v1/messages/count_tokens`: asked of a provider that counts, else estimated if the config says so.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::access::Client;
use super::handler::{X_REQUEST_ID, admit, json, named, read_body, respond};
use super::route::{RouteTarget, route};
use super::{App, Current, upstream};
use crate::api::{Api, messages};
use crate::chat::native::Native;
use crate::dialect::{Outgoing, Target, envelope};
use crate::error::{Error, Refusal};
use crate::event::{Fault, FaultCode};

/// Bytes of a request that make a token, about.
const BYTES_PER_TOKEN: usize = 4;
/// How much of a provider's answer is read.
const ANSWER_LIMIT: usize = 64 << 10;

/// Counts the tokens of a request.
pub(super) async fn count_tokens(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let response = match count(&app.current(), &head.headers, body).await {
        Ok(response) => response,
        Err(error) => respond(&error, Api::Messages),
    };
    named(response, head.headers.get(X_REQUEST_ID).cloned())
}

async fn count(current: &Current, headers: &HeaderMap, body: Body) -> Result<Response, Error> {
    let client = admit(current, headers)?;
    let body = read_body(headers, body, current.config.limits.body_bytes).await?;
    let chat = messages::read(&body)?;
    client.check_model(&chat.model)?;
    let headers = &client.for_providers(headers);
    let route = route(&current.config, &chat.model).ok_or_else(|| Error::NoSuchModel(chat.model.clone()))?;
    let native = chat.native.as_deref().ok_or(Error::Internal)?;
    for target in &route.targets {
        if let Some(asked) = ask(current, target, native, headers, &client).await {
            return asked;
        }
    }
    if current.config.estimate_tokens {
        let tokens = body.len().div_ceil(BYTES_PER_TOKEN);
        return Ok(json(StatusCode::OK, format!("{{\"input_tokens\":{tokens}}}").into_bytes()));
    }
    let provider = route.targets.first().map_or_else(String::new, |target| target.upstream.name.clone());
    Err(Error::CountsNothing { provider })
}

/// Asks a target; `None` if it does not count.
async fn ask(
    current: &Current,
    target: &RouteTarget<'_>,
    native: &Native,
    headers: &HeaderMap,
    client: &Client,
) -> Option<Result<Response, Error>> {
    let RouteTarget { upstream, model, .. } = *target;
    let base_url = upstream.base_url.as_ref().ok()?; // It is not set up, so it counts nothing.
    let asked = Target { provider: &upstream.name, base_url, model };
    let Outgoing { mut request, .. } = upstream.dialect.as_dialect().count_tokens(&asked, native)?;
    upstream::pass_betas(headers, request.headers_mut());
    let send = async {
        upstream::check_key(upstream, model, headers, client)?;
        upstream::authorize(upstream, headers, request.headers_mut())?;
        let request = upstream::to_reqwest(request)?;
        let sent = current.clients.of(upstream).execute(request);
        let limit = upstream.deadlines.response;
        let failed = |code, error: &str| {
            let message = format!("Provider {} cannot be reached: {error}.", upstream.name);
            refusal(upstream, Fault { message, ..Fault::new(code) }, None, HeaderMap::new())
        };
        let answer = timeout(limit, async {
            let mut response = sent.await?;
            let mut body = Vec::new();
            while body.len() < ANSWER_LIMIT
                && let Some(data) = response.chunk().await?
            {
                body.extend_from_slice(&data);
            }
            Ok::<_, reqwest::Error>((response.status(), response.headers().clone(), body))
        });
        let (status, headers, body) = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failed(FaultCode::ConnectionLost, upstream::reason(&error))),
            Err(_) => return Err(failed(FaultCode::Timeout, "it took too long")),
        };
        let passed_on = upstream::passed_on(&headers, std::time::SystemTime::now());
        if !status.is_success() {
            let fault = envelope::read_body(status.as_u16(), &body);
            return Err(refusal(upstream, fault, Some(status.as_u16()), passed_on));
        }
        let mut response = json(StatusCode::OK, body);
        response.headers_mut().extend(passed_on);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    };
    Some(send.await)
}

/// The error for a refusal; some providers quote the key that they refuse.
fn refusal(
    provider: &crate::config::Upstream,
    mut fault: Fault,
    status: Option<u16>,
    headers: HeaderMap,
) -> Error {
    upstream::hide_key(&mut fault, provider.secret());
    let provider = provider.name.clone();
    Error::Upstream(Box::new(Refusal { provider, upstream_status: status, fault, headers }))
}
