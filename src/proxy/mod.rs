//! The edge: everything that does I/O for an answer.
//!
//! [`serve`] listens, perhaps with `tls`; `access` knows who may ask; `handler` reads a request (`count` one that
//! is only to be counted); its `plan` knows whom
//! its `route` may lead to, how their `health` is, and when to `retry`; `limit` gives out the places; `upstream`
//! prepares what is sent to one of them, and an `attempt` is that
//! request and its answer; `relay` is the answer on its way back, `memory` what is kept of
//! it for clients that forget, `responses` whole answers for those that only name them, `answer` its client's hold
//! on it, and `drain` the end of those that run too long when the process stops. `forward` passes on what is no chat. [`serve_admin`] is health and metrics alone.

mod access;
mod admin;
mod answer;
mod attempt;
mod candidates;
mod count;
mod drain;
mod forward;
mod handler;
mod health;
mod limit;
mod memory;
mod models;
mod plan;
mod relay;
mod responses;
mod retry;
mod route;
mod sign;
mod tls;
mod told;
mod turns;
mod upstream;
mod workers;

use core::net::SocketAddr;
use std::any::Any;
use std::future::{Future, pending};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use access::Guard;
pub use admin::serve_admin;
use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::serve::{Listener, ListenerExt};
use drain::Drain;
use tls::Handshakes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::MakeRequestUuid;
pub use workers::serve_on;

use crate::config::Config;
use crate::error::Error;
use crate::telemetry::Telemetry;

/// How long after the end of a drain the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What one process serves with: the config in force, telemetry, and whether it takes more requests.
pub struct Shared {
    setup: RwLock<Arc<Setup>>,
    telemetry: Telemetry,
    /// What is under way does not depend on the config.
    limiter: Arc<limit::Limiter>,
    /// What is spoken with clients.
    scheme: &'static str,
    is_stopping: AtomicBool,
}

/// What follows from one config. Answers that run keep theirs when another one comes into force.
struct Setup {
    config: Config,
    models: models::Cache,
    /// Unless it is switched off.
    memory: Option<Arc<memory::Memory>>,
    /// Unless it is switched off.
    responses: Option<Arc<responses::Store>>,
    health: health::Health,
    budget: retry::Budget,
    /// What browsers are told, if any page may ask.
    cors: Option<CorsLayer>,
}

/// What all requests of one runtime share.
struct App {
    shared: Arc<Shared>,
    /// Connections belong to the runtime that opened them, and to one config.
    clients: Mutex<(Arc<Setup>, Arc<upstream::Clients>)>,
    drain: Drain,
}

/// What one request works with from its beginning to its end.
#[derive(Clone)]
struct Current {
    setup: Arc<Setup>,
    clients: Arc<upstream::Clients>,
}

impl Shared {
    /// What a process begins with.
    pub fn new(config: Config, telemetry: Telemetry) -> Arc<Shared> {
        let store = config.redis.as_ref().and_then(|url| match limit::Store::new(url) {
            Ok(store) => Some(store),
            Err(_) => {
                // The config was read with the same words.
                tracing::error!("limits.redis.url cannot be used");
                None
            }
        });
        let limiter = limit::Limiter::new(telemetry.clone(), store);
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let setup = RwLock::new(Arc::new(Setup::new(config, None)));
        let shared =
            Arc::new(Shared { setup, telemetry, limiter, scheme, is_stopping: AtomicBool::new(false) });
        let observed = Arc::downgrade(&shared);
        shared.telemetry.observe_open(move || {
            let shared = observed.upgrade();
            shared.map(|shared| shared.setup().health.open(Instant::now())).unwrap_or_default()
        });
        shared
    }

    /// Puts another config into force, for requests from now on. Where millpond listens, whether it speaks TLS
    /// there, what telemetry is set to and where rates are shared stays as it was at the start.
    pub fn reload(&self, config: Config) {
        let mut setup = self.setup.write().unwrap_or_else(PoisonError::into_inner);
        *setup = Arc::new(Setup::new(config, Some(&setup)));
    }

    /// No more requests are wanted: readiness says so from now on.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Setup {
    /// What is remembered of answers outlives the config, if it may be as much as before.
    fn new(config: Config, before: Option<&Setup>) -> Setup {
        let kept = before.filter(|before| before.config.reasoning_memory == config.reasoning_memory);
        let memory = match kept {
            Some(before) => before.memory.clone(),
            None => config.reasoning_memory.map(|limits| Arc::new(memory::Memory::new(limits))),
        };
        let kept = before.filter(|before| before.config.responses_store == config.responses_store);
        let responses = match kept {
            Some(before) => before.responses.clone(),
            None => config.responses_store.map(|limits| Arc::new(responses::Store::new(limits))),
        };
        let health = health::Health::new(config.breaker);
        let budget = retry::Budget::new(&config.retry);
        let cors = access::cors(&config.access);
        Setup { config, models: models::Cache::default(), memory, responses, health, budget, cors }
    }
}

impl App {
    fn new(shared: Arc<Shared>) -> reqwest::Result<App> {
        let setup = shared.setup();
        let clients = Arc::new(upstream::Clients::new(&setup.config)?);
        Ok(App { shared, clients: Mutex::new((setup, clients)), drain: Drain::default() })
    }

    /// What a request that comes now works with.
    fn current(&self) -> Current {
        let setup = self.shared.setup();
        let mut known = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, &setup) {
            match upstream::Clients::new(&setup.config) {
                Ok(clients) => *known = (Arc::clone(&setup), Arc::new(clients)),
                Err(error) => {
                    tracing::error!(%error, "the new config's connections cannot be made; the old one stays");
                    return Current { setup: Arc::clone(&known.0), clients: Arc::clone(&known.1) };
                }
            }
        }
        Current { setup, clients: Arc::clone(&known.1) }
    }
}

impl Deref for Current {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

/// Serves on the runtime that calls until `shutdown` is ready, then lets running answers end within the
/// drain.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    run(listener, shared, shutdown).await
}

async fn run(
    listener: impl Listener<Io = TcpStream, Addr = SocketAddr>,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays small writes");
        }
    });
    let tls = shared.setup().config.tls.clone();
    match tls {
        Some(tls) => run_on(Handshakes::new(listener, Arc::clone(&shared), tls), shared, shutdown).await,
        None => run_on(listener, shared, shutdown).await,
    }
}

async fn run_on(
    listener: impl Listener<Addr = SocketAddr>,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let guard = Guard::new(&shared, listener.local_addr()?);
    let app = Arc::new(App::new(shared).map_err(std::io::Error::other)?);
    let (stopping, stopped) = oneshot::channel();
    let shared = Arc::clone(&app.shared);
    let shutdown = async move {
        shutdown.await;
        shared.stop();
        // The receiver is gone only if serving has ended already.
        let _ = stopping.send(());
    };
    let over = end_drain(stopped, app.drain.clone(), Arc::clone(&app.shared));
    let drain = app.drain.clone();
    let served =
        axum::serve(listener, router(app, guard).into_make_service()).with_graceful_shutdown(shutdown);
    let served = async {
        served.await?;
        drain.idle().await;
        Ok(())
    };
    tokio::select! {
        served = served => served,
        () = over => Ok(()),
    }
}

/// Waits for the end of the drain, tells the answers that still run, and gives them time for last words.
async fn end_drain(stopped: oneshot::Receiver<()>, drain: Drain, shared: Arc<Shared>) {
    if stopped.await.is_err() {
        return pending().await;
    }
    sleep(shared.setup().config.limits.drain).await;
    drain.end();
    sleep(LAST_WORDS).await;
    tracing::warn!("some clients did not take the end of their answers");
}

fn router(app: Arc<App>, guard: Guard) -> Router {
    let layers = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .propagate_x_request_id()
        .layer(middleware::from_fn(handler::spoken))
        .layer(CatchPanicLayer::custom(panicked));
    let watched = middleware::from_fn_with_state(Arc::clone(&app), handler::watched);
    let others = || MethodRouter::new().fallback(wrong_method).layer(watched.clone());
    // They watch themselves: their answers end later than their handlers.
    let chat = || others().post(handler::chat_completions);
    let answer = || others().post(handler::responses);
    let messages = || others().post(handler::messages);
    let count = post(count::count_tokens).fallback(wrong_method);
    let mut router = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/responses/{id}", get(responses::one).delete(responses::delete));
    if app.shared.setup().config.admin_listen.is_none() {
        router = router.merge(admin::metrics(app.shared.telemetry.clone()));
    }
    router
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app.shared), access::keyed))
        .merge(admin::health(&app.shared))
        // It looks at keys itself, before it reads the body.
        .route("/v1/messages/count_tokens", count)
        .fallback(|request: Request| async move { Error::NoSuchPath(request.uri().path().to_owned()) })
        .method_not_allowed_fallback(wrong_method)
        .layer(watched.clone())
        .route("/v1/chat/completions", chat())
        .route("/chat/completions", chat())
        .route("/v1/completions", others().post(handler::completions))
        .route("/completions", others().post(handler::completions))
        .route("/v1/responses", answer())
        .route("/responses", answer())
        .route("/v1/messages", messages())
        .merge(forward::routes(others))
        .with_state(app)
        .layer(middleware::from_fn_with_state(guard, access::guarded))
        .layer(layers)
}

async fn wrong_method(request: Request) -> Error {
    Error::NoSuchMethod(request.uri().path().to_owned())
}

/// A panic is a bug; the client is told as of any other failure of ours.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Error::Internal.into_response()
}
