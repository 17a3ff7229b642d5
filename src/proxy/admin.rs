//! Health and metrics, on the main listener or on one of their own.

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;

use super::handler::json;
use crate::error::Error;
use crate::telemetry::{Format, Telemetry};

/// Serves health and metrics alone, until `shutdown` is ready.
pub async fn serve_admin(
    listener: TcpListener,
    telemetry: Telemetry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = health()
        .merge(metrics(telemetry))
        .fallback(|request: Request| async move { Error::NoSuchPath(request.uri().path().to_owned()) });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// `/healthz` and `/readyz`.
pub(super) fn health<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let says = |body: &'static str| move || async move { json(StatusCode::OK, body.as_bytes().to_vec()) };
    Router::new()
        .route("/healthz", get(says("{\"status\":\"ok\"}")))
        .route("/readyz", get(says("{\"status\":\"ready\"}")))
}

/// `/metrics`.
pub(super) fn metrics<S: Clone + Send + Sync + 'static>(telemetry: Telemetry) -> Router<S> {
    let scrape = move |headers: HeaderMap| async move { page(&telemetry, &headers) };
    Router::new().route("/metrics", get(scrape))
}

fn page(telemetry: &Telemetry, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let format = Format::accepted(&accept.unwrap_or_default());
    let mut response = telemetry.scrape(format).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}
