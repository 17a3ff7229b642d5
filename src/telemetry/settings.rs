//! What an operator can say about telemetry.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// The protocol of the exporters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP, in protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Which generation of metric names is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricNames {
    /// Both: every dashboard finds its own.
    #[default]
    Both,
    /// The latest.
    Latest,
    /// The one before.
    Legacy,
}

/// Which upstreams are sent a trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagate {
    /// Those on private hosts.
    #[default]
    Private,
    /// All.
    Always,
    /// None.
    Never,
}

/// Where prompts and answers are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureContent {
    /// Nowhere.
    #[default]
    NoContent,
    /// On the inference span.
    SpanOnly,
    /// In a log record beside it.
    EventOnly,
    /// In both.
    SpanAndEvent,
}

impl CaptureContent {
    /// The values, in the words of the config and (in capitals) of the environment.
    pub const WORDS: [(&'static str, CaptureContent); 4] = [
        ("no_content", CaptureContent::NoContent),
        ("span_only", CaptureContent::SpanOnly),
        ("event_only", CaptureContent::EventOnly),
        ("span_and_event", CaptureContent::SpanAndEvent),
    ];

    pub(super) fn on_span(self) -> bool {
        matches!(self, CaptureContent::SpanOnly | CaptureContent::SpanAndEvent)
    }

    pub(super) fn in_event(self) -> bool {
        matches!(self, CaptureContent::EventOnly | CaptureContent::SpanAndEvent)
    }
}

/// How one signal leaves over OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exporter {
    /// The whole address for this signal; `None` leaves it to the standard variables.
    pub endpoint: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
}

/// What one model costs, in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the request.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
    /// Tokens of the request that came out of a cache; as `input` if it is not given.
    pub cache_read: Option<f64>,
    /// Tokens of the request that were written into a cache; as `input` if it is not given.
    pub cache_write: Option<f64>,
}

/// Everything an operator can say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How spans leave, if they do.
    pub traces: Option<Exporter>,
    /// How metrics leave besides `GET /metrics`, if they do.
    pub metrics: Option<Exporter>,
    /// How log records with content leave, if they do.
    pub logs: Option<Exporter>,
    /// Headers for the exporters.
    pub headers: BTreeMap<String, String>,
    /// The service's name; `None` leaves it to the standard variables, and to `millpond` without them.
    pub service_name: Option<String>,
    /// The names of the metrics.
    pub metric_names: MetricNames,
    /// How often metrics are exported; `None` leaves it to the standard variable, and to 60 s without it.
    pub metric_interval: Option<Duration>,
    /// Whether trace contexts are read and sent at all.
    pub trace_context: bool,
    /// Which upstreams are sent one.
    pub propagate: Propagate,
    /// Where prompts and answers are recorded.
    pub capture: CaptureContent,
    /// How long each recorded text may be, in bytes: 32 KiB.
    pub content_bytes: usize,
    /// Prices by `provider/model`, for providers that do not report a cost.
    pub prices: BTreeMap<String, Price>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            traces: None,
            metrics: None,
            logs: None,
            headers: BTreeMap::new(),
            service_name: None,
            metric_names: MetricNames::default(),
            metric_interval: None,
            trace_context: true,
            propagate: Propagate::default(),
            capture: CaptureContent::default(),
            content_bytes: 32 << 10,
            prices: BTreeMap::new(),
        }
    }
}
