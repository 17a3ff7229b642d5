//! The edge: everything that does I/O for an answer.
//!
//! [`serve`] listens; `handler` reads a request and finds its `route`; `upstream` prepares what is sent to
//! the provider; `relay` is the answer on its way back.

mod handler;
mod models;
mod relay;
mod route;
mod sign;
mod turns;
mod upstream;
mod workers;

use core::net::SocketAddr;
use std::any::Any;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{Listener, ListenerExt};
use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::MakeRequestUuid;
pub use workers::serve_on;

use crate::config::Config;
use crate::error::Error;

/// What all requests share.
struct Shared {
    config: Config,
    models: models::Cache,
}

/// What all requests of one runtime share.
struct App {
    shared: Arc<Shared>,
    /// Connections belong to the runtime that opened them.
    client: reqwest::Client,
}

impl Shared {
    fn new(config: Config) -> Shared {
        Shared { config, models: models::Cache::default() }
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// Serves on the runtime that calls until `shutdown` is ready, then lets running answers end.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    run(listener, Arc::new(Shared::new(config)), shutdown).await
}

async fn run(
    listener: impl Listener<Io = TcpStream, Addr = SocketAddr>,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let client = upstream::client(&shared.config.limits).map_err(std::io::Error::other)?;
    let app = Arc::new(App { shared, client });
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays small writes");
        }
    });
    axum::serve(listener, router(app).into_make_service()).with_graceful_shutdown(shutdown).await
}

fn router(app: Arc<App>) -> Router {
    let layers = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .propagate_x_request_id()
        .layer(CatchPanicLayer::custom(panicked));
    Router::new()
        .route("/v1/chat/completions", post(handler::chat_completions))
        .route("/chat/completions", post(handler::chat_completions))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/healthz", get(|| async { handler::json(StatusCode::OK, Vec::from(b"{\"status\":\"ok\"}")) }))
        .route(
            "/readyz",
            get(|| async { handler::json(StatusCode::OK, Vec::from(b"{\"status\":\"ready\"}")) }),
        )
        .fallback(|request: Request| async move { Error::NoSuchPath(request.uri().path().to_owned()) })
        .method_not_allowed_fallback(|request: Request| async move {
            Error::NoSuchMethod(request.uri().path().to_owned())
        })
        .with_state(app)
        .layer(layers)
}

/// A panic is a bug; the client is told as of any other failure of ours.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Error::Internal.into_response()
}
