//! Telemetry: spans, metrics and one log line per request, by watching what the client gets.
//!
//! [`Telemetry::watch`] makes the [`Observer`](crate::observe::Observer) of a request. It keeps instants and
//! handles that were resolved before; nothing is formatted, looked up or sent per event. Everything else is
//! done once, at the end of the request.
//!
//! # Spans
//! ```text
//! SERVER POST /v1/chat/completions     one per request, but not for health checks and scrapes
//!   CLIENT chat {model}                the inference: all attempts, to the end of the answer
//!     CLIENT POST                      one per request to an upstream
//! ```
//! What is passed on as it is ([`forward`](crate::forward)) has the same three:
//! ```text
//! SERVER POST /v1/embeddings
//!   CLIENT embeddings {model}
//!     CLIENT POST
//! ```
//! # `error.type`
//! A closed list: the codes of [`FaultCode`](crate::event::FaultCode), `client_disconnect`, `timeout`,
//! `connect`, `tls`, `dns`, `panic`, or the upstream's (on the SERVER span: millpond's) status as a string.
//!
#![doc = include_str!("telemetry.md")]

mod content;
mod cost;
mod export;
mod inference;
pub mod log;
mod metrics;
mod process;
mod request;
mod scrape;
pub mod semconv;
mod settings;
mod span;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::logs::SdkLogger;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
pub use scrape::Format;
pub use settings::{CaptureContent, Exporter, MetricNames, Price, Propagate, Protocol, Settings};

use crate::observe::Watch;

/// How long the flush at the end may take.
pub const FLUSH: Duration = Duration::from_secs(3);

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
#[error("telemetry: {0}")]
pub struct StartError(#[from] opentelemetry_otlp::ExporterBuildError);

/// Telemetry, started; clones are the same.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

/// What all observers share.
struct Inner {
    settings: Settings,
    providers: export::Providers,
    tracer: Option<SdkTracer>,
    logger: Option<SdkLogger>,
    propagator: TraceContextPropagator,
    metrics: metrics::Metrics,
    scraped: scrape::Scraped,
    exemplars: scrape::Exemplars,
}

/// A request as it comes in.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// Its method.
    pub method: &'a Method,
    /// `http`, or `https` where TLS is spoken with clients.
    pub scheme: &'static str,
    /// The path as it is routed; `None` where nobody serves it.
    pub route: Option<&'a str>,
    /// The path as the client wrote it.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl Telemetry {
    /// Starts what the settings ask for. `configured` are the models that the config names: only they, and
    /// those that answered, become labels. To be called on a runtime that lasts as long as telemetry does.
    pub fn start(settings: Settings, configured: HashSet<String>) -> Result<Telemetry, StartError> {
        let scraped = scrape::Scraped::default();
        let tally = Arc::new(export::Tally::default());
        let providers = export::providers(&settings, scraped.clone(), &tally)?;
        let scope = InstrumentationScope::builder("millpond").with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = providers.meter.meter_with_scope(scope.clone());
        if settings.traces.is_some() || settings.metrics.is_some() {
            tally.observe(&meter);
        }
        Ok(Telemetry(Arc::new(Inner {
            tracer: providers.tracer.as_ref().map(|tracer| tracer.tracer_with_scope(scope.clone())),
            logger: providers.logger.as_ref().map(|logger| {
                use opentelemetry::logs::LoggerProvider;
                logger.logger_with_scope(scope)
            }),
            propagator: TraceContextPropagator::new(),
            metrics: metrics::Metrics::new(meter, settings.metric_names, configured),
            exemplars: scrape::Exemplars::default(),
            providers,
            scraped,
            settings,
        })))
    }

    /// Begins to watch a request.
    pub fn watch(&self, accepted: Accepted<'_>) -> Watch {
        Watch::new(request::Request::new(Arc::clone(&self.0), accepted))
    }

    /// A request was refused because of a limit: whose, and what there was too much of.
    pub fn limited(&self, limit: &'static str, reason: &'static str) {
        let attributes = [KeyValue::new(semconv::LIMIT, limit), KeyValue::new(semconv::LIMIT_REASON, reason)];
        self.0.metrics.limit_rejected.add(1, &attributes);
    }

    /// So many more requests wait for a place, or fewer.
    pub fn waiting(&self, change: i64) {
        self.0.metrics.queue_waiting.add(change);
    }

    /// Has the targets observed that are left alone: how many, by the provider's name in the config. To be
    /// called once.
    pub fn observe_open(&self, open: impl Fn() -> Vec<(String, i64)> + Send + Sync + 'static) {
        self.0.metrics.observe_open(open);
    }

    /// All metrics as text.
    pub fn scrape(&self, format: Format) -> String {
        scrape::write(&self.0.scraped, &self.0.exemplars, format)
    }

    /// Sends what has not been sent, and ends; takes no longer than [`FLUSH`].
    pub async fn stop(&self) {
        if !self.0.providers.stop(FLUSH).await {
            tracing::warn!("some telemetry could not be sent before the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::semconv;

    #[test]
    fn the_page_names_every_name() {
        let page = include_str!("telemetry.md");
        let names = include_str!("semconv.rs");
        let constants =
            names.lines().filter(|line| line.starts_with("pub const ") && line.contains(": &str"));
        let attributes = constants.filter_map(|line| line.split('"').nth(1));
        let missing: Vec<&str> = attributes
            .chain(semconv::METRICS.iter().map(|metric| metric.name))
            .filter(|name| !page.contains(&format!("`{name}`")))
            .collect();
        assert!(missing.is_empty(), "the page does not have {missing:?}");
    }
}
