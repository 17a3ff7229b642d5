//! `POST /v1/messages/count_tokens`: asked of a provider that counts, else estimated if the config says so.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::access::Client;
use super::handler::{admit, json, refused};
use super::route::{RouteTarget, route};
use super::{App, Current, upstream};
use crate::api::messages;
use crate::chat::Origin;
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
    count(&app, &head.headers, body).await.unwrap_or_else(|error| refused(&app.shared, error))
}

async fn count(app: &App, headers: &HeaderMap, body: Body) -> Result<Response, Error> {
    let current = &app.current();
    let (client, body) = admit(current, headers, body).await?;
    let chat = messages::read(&body)?;
    client.check_model(&chat.model)?;
    if let Some(key) = client.party(current.config.traffic.per_key) {
        app.shared.limiter.pass(&key).await?;
    }
    let headers = &client.for_providers(headers);
    let route = route(&current.config, &chat.model).ok_or_else(|| Error::NoSuchModel(chat.model.clone()))?;
    let origin = chat.origin.as_deref().ok_or(Error::Internal)?;
    for target in &route.targets {
        if let Some(asked) = ask(current, target, origin, headers, &client).await {
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
    origin: &Origin,
    headers: &HeaderMap,
    client: &Client,
) -> Option<Result<Response, Error>> {
    let RouteTarget { upstream, model, .. } = *target;
    let base_url = upstream.base_url.as_ref().ok()?; // It is not set up, so it counts nothing.
    let asked = Target { provider: &upstream.name, base_url, model };
    let Outgoing { mut request, .. } = upstream.dialect.as_dialect().count_tokens(&asked, origin)?;
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
