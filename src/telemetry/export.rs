//! The ways out: OTLP exporters, what became of what they were given, and the flush at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::metrics::Meter;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter as ExportSpans, SpanProcessor,
};
use opentelemetry_sdk::{Resource, logs, metrics, trace};

use super::scrape::Scraped;
use super::semconv::{self, Metric};
use super::settings::{Exporter, Protocol, Settings};

/// How many spans may wait for their export, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise.
const QUEUE: usize = 8192;

/// The providers of the three signals.
pub(super) struct Providers {
    pub(super) tracer: Option<trace::SdkTracerProvider>,
    pub(super) meter: metrics::SdkMeterProvider,
    pub(super) logger: Option<logs::SdkLoggerProvider>,
}

/// Makes the providers, with exporters where the settings want them. The gRPC exporters live on the
/// runtime that calls.
pub(super) fn providers(
    settings: &Settings,
    scraped: Scraped,
    tally: &Arc<Tally>,
) -> Result<Providers, ExporterBuildError> {
    let resource = resource(settings);
    let mut meter = metrics::SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(scraped);
    if let Some(exporter) = &settings.metrics {
        let exporter = metric_exporter(exporter, settings)?;
        let mut reader = PeriodicReader::builder(Counted { inner: exporter, tally: Arc::clone(tally) });
        if let Some(interval) = settings.metric_interval {
            reader = reader.with_interval(interval);
        }
        meter = meter.with_reader(reader.build());
    }
    let tracer = match &settings.traces {
        Some(exporter) => Some(tracer(exporter, settings, resource.clone(), tally)?),
        None => None,
    };
    let logger = match settings.logs.as_ref().filter(|_| settings.capture.in_event()) {
        Some(exporter) => {
            let exporter = log_exporter(exporter, settings)?;
            let logger = logs::SdkLoggerProvider::builder().with_resource(resource);
            Some(logger.with_batch_exporter(exporter).build())
        }
        None => None,
    };
    Ok(Providers { tracer, meter: meter.build(), logger })
}

fn tracer(
    exporter: &Exporter,
    settings: &Settings,
    resource: Resource,
    tally: &Arc<Tally>,
) -> Result<trace::SdkTracerProvider, ExporterBuildError> {
    let exporter = Counted { inner: span_exporter(exporter, settings)?, tally: Arc::clone(tally) };
    let mut batches = BatchConfigBuilder::default();
    if std::env::var_os("OTEL_BSP_MAX_QUEUE_SIZE").is_none() {
        batches = batches.with_max_queue_size(QUEUE);
    }
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
    Ok(trace::SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(Counted { inner: processor, tally: Arc::clone(tally) })
        .build())
}

fn resource(settings: &Settings) -> Resource {
    // The builder reads the standard variables, but lets a name among the attributes win over the name's own
    // variable, and calls a service without a name `unknown_service`.
    let mut resource = Resource::builder();
    let variable = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty()); // Not text: not set.
    let in_attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES")
        .is_ok_and(|list| list.split(',').any(|pair| pair.trim().starts_with("service.name=")));
    match (variable, &settings.service_name) {
        (Some(name), _) => resource = resource.with_service_name(name),
        (None, _) if in_attributes => {}
        (None, Some(name)) => resource = resource.with_service_name(name.clone()),
        (None, None) => resource = resource.with_service_name("millpond"),
    }
    resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// Builds one signal's exporter: the same steps for each, by types that share no trait.
macro_rules! exporter {
    ($name:ident, $builder:ident) => {
        fn $name(exporter: &Exporter, settings: &Settings) -> Result<$builder, ExporterBuildError> {
            match exporter.protocol {
                Protocol::Grpc => {
                    let mut builder = $builder::builder().with_tonic();
                    if !settings.headers.is_empty() {
                        builder = builder.with_metadata(metadata(settings));
                    }
                    if let Some(endpoint) = &exporter.endpoint {
                        builder = builder.with_endpoint(endpoint.clone());
                    }
                    builder.build()
                }
                Protocol::HttpProtobuf => {
                    let mut builder = $builder::builder()
                        .with_http()
                        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary);
                    if !settings.headers.is_empty() {
                        let headers = settings.headers.clone();
                        builder = builder.with_headers(headers.into_iter().collect());
                    }
                    if let Some(endpoint) = &exporter.endpoint {
                        builder = builder.with_endpoint(endpoint.clone());
                    }
                    builder.build()
                }
            }
        }
    };
}

exporter!(span_exporter, SpanExporter);
exporter!(metric_exporter, MetricExporter);
exporter!(log_exporter, LogExporter);

fn metadata(settings: &Settings) -> MetadataMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        // The config has refused names and values that no header can carry.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    MetadataMap::from_headers(headers)
}

/// A count and its attributes.
type Figure = (u64, Vec<KeyValue>);

/// What became of spans and exports.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ended: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    traces: Exports,
    metrics: Exports,
}

#[derive(Debug, Default)]
struct Exports {
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Exports {
    fn count(&self, result: &OTelSdkResult) {
        let counter = if result.is_ok() { &self.ok } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// Has the figures observed.
    pub(super) fn observe(self: &Arc<Tally>, meter: &Meter) {
        let observe = |metric: Metric, read: fn(&Tally) -> Vec<Figure>| {
            let tally = Arc::clone(self);
            meter
                .u64_observable_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_callback(move |observer| {
                    for (value, attributes) in read(&tally) {
                        observer.observe(value, &attributes);
                    }
                })
                .build();
        };
        observe(semconv::TELEMETRY_SPANS, |tally| {
            [("ended", &tally.ended), ("exported", &tally.exported), ("failed", &tally.failed)]
                .map(|(outcome, count)| (load(count), vec![KeyValue::new(semconv::OUTCOME, outcome)]))
                .into()
        });
        observe(semconv::TELEMETRY_EXPORTS, |tally| {
            [("traces", &tally.traces), ("metrics", &tally.metrics)]
                .into_iter()
                .flat_map(|(signal, exports)| {
                    [("ok", &exports.ok), ("failed", &exports.failed)].map(|(outcome, count)| {
                        let attributes = vec![
                            KeyValue::new(semconv::SIGNAL, signal),
                            KeyValue::new(semconv::OUTCOME, outcome),
                        ];
                        (load(count), attributes)
                    })
                })
                .collect()
        });
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// An exporter or a processor whose work is counted.
#[derive(Debug)]
struct Counted<T> {
    inner: T,
    tally: Arc<Tally>,
}

impl SpanProcessor for Counted<BatchSpanProcessor> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.tally.ended.fetch_add(1, Ordering::Relaxed);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl ExportSpans for Counted<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.inner.export(batch).await;
        let counter = if result.is_ok() { &self.tally.exported } else { &self.tally.failed };
        counter.fetch_add(spans, Ordering::Relaxed);
        self.tally.traces.count(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl PushMetricExporter for Counted<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.tally.metrics.count(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

impl Providers {
    /// Flushes and ends everything, all signals side by side, for at most `within`; true if all of it was done.
    ///
    /// The work is done by threads that nobody waits for after that: a collector that does not answer must
    /// not hold up the end of the process.
    pub(super) async fn stop(&self, within: Duration) -> bool {
        let (done, mut ends) = tokio::sync::mpsc::channel(3);
        let stop = |what: Box<dyn FnOnce() -> OTelSdkResult + Send>| {
            let done = done.clone();
            let stopping = move || {
                // Nobody listens any more: the time is over.
                let _ = done.blocking_send(what().is_ok());
            };
            std::thread::Builder::new().name("telemetry-stop".to_owned()).spawn(stopping).is_ok()
        };
        let meter = self.meter.clone();
        let mut well = stop(Box::new(move || meter.shutdown_with_timeout(within)));
        if let Some(tracer) = self.tracer.clone() {
            well &= stop(Box::new(move || tracer.shutdown_with_timeout(within)));
        }
        if let Some(logger) = self.logger.clone() {
            well &= stop(Box::new(move || logger.shutdown_with_timeout(within)));
        }
        drop(done);
        let all = async {
            while let Some(end) = ends.recv().await {
                well &= end;
            }
        };
        tokio::time::timeout(within, all).await.is_ok() && well
    }
}
