//! Health and metrics, on the main listener or on one of their own.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::Shared;
use super::access::{Guard, guarded};
use super::handler::json;
use super::health::Report;
use crate::error::Error;
use crate::json::write_string;
use crate::telemetry::{Format, Telemetry};

/// Serves health and metrics alone, until `shutdown` is ready.
pub async fn serve_admin(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let guard = Guard::new(&shared, listener.local_addr()?);
    let router = health(&shared)
        .merge(metrics(shared.telemetry.clone()))
        .fallback(|request: Request| async move { Error::NoSuchPath(request.uri().path().to_owned()) })
        .layer(middleware::from_fn_with_state(guard, guarded));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// `/healthz` and `/readyz`.
pub(super) fn health<S: Clone + Send + Sync + 'static>(shared: &Arc<Shared>) -> Router<S> {
    let shared = Arc::clone(shared);
    let is_ready = move |RawQuery(query): RawQuery| async move {
        let is_verbose = query.is_some_and(|query| query.split('&').any(|word| word == "verbose"));
        ready(&shared, is_verbose)
    };
    Router::new()
        .route("/healthz", get(async || json(StatusCode::OK, b"{\"status\":\"ok\"}".to_vec())))
        .route("/readyz", get(is_ready))
}

/// Whether more requests are wanted, and if asked for, how many answers run and how the targets are that were asked of late. A target
/// that fails makes nothing unready: other requests may go elsewhere.
fn ready(shared: &Shared, is_verbose: bool) -> Response {
    let (status, word) = if shared.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ready")
    };
    let mut out = format!("{{\"status\":\"{word}\"").into_bytes();
    if is_verbose {
        let (running, waiting) = shared.limiter.figures();
        let streams = format!(",\"streams\":{{\"running\":{running},\"waiting\":{waiting}}}");
        out.extend_from_slice(streams.as_bytes());
        out.extend_from_slice(b",\"targets\":{");
        let targets = shared.setup().health.report(Instant::now());
        for (at, (name, report)) in targets.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_string(name, &mut out);
            let Report { state, running, failures_in_a_row, first_event } = report;
            let first_event = first_event.map_or("null".to_owned(), |seconds| format!("{seconds:.3}"));
            out.extend_from_slice(
                format!(
                    ":{{\"breaker\":\"{state}\",\"running\":{running},\"failures_in_a_row\":{failures_in_a_row},\"first_event_seconds\":{first_event}}}"
                )
                .as_bytes(),
            );
        }
        out.push(b'}');
    }
    out.push(b'}');
    json(status, out)
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
