//! `GET /metrics`: what the instruments hold, as Prometheus reads it, with exemplars where it asks for them.
//!
//! Formats: Prometheus' text format 0.0.4, and OpenMetrics 1.0.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Histogram, MetricData, ResourceMetrics, Sum};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

use super::semconv::{Kind, METRICS, Metric};

/// A text format for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own.
    Text,
    /// OpenMetrics, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// The format that an `accept` header asks for.
    pub fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Text }
    }

    /// The content type of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The reader that a scrape collects from; clones are the same reader.
#[derive(Debug, Clone, Default)]
pub(super) struct Scraped(Arc<ManualReader>);

impl MetricReader for Scraped {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The latest trace in each bucket of each series.
#[derive(Default)]
pub(super) struct Exemplars(Mutex<HashMap<String, Vec<Buckets>>>);

/// The buckets of the metric of that name, in the series whose labels they are found by.
type Buckets = (&'static str, Vec<Option<Exemplar>>);

/// One measurement, and the span it was made in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) value: f64,
    pub(super) at: SystemTime,
}

impl Exemplars {
    /// Keeps a measurement that went into the series of each of `metrics` with these labels.
    pub(super) fn keep(&self, metrics: &[Metric], labels: &str, exemplar: Exemplar) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains_key(labels) {
            kept.insert(labels.to_owned(), Vec::new());
        }
        let Some(series) = kept.get_mut(labels) else { return };
        for metric in metrics {
            let Kind::Histogram(bounds) = metric.kind else { continue };
            let at = series.iter().position(|(name, _)| *name == metric.name).unwrap_or_else(|| {
                series.push((metric.name, vec![None; bounds.len() + 1]));
                series.len() - 1
            });
            let bucket = bounds.partition_point(|bound| *bound < exemplar.value);
            if let Some(kept) = series.get_mut(at).and_then(|(_, buckets)| buckets.get_mut(bucket)) {
                *kept = Some(exemplar);
            }
        }
    }

    fn of(&self, name: &'static str, labels: &str) -> Vec<Option<Exemplar>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = kept.get(labels).and_then(|series| series.iter().find(|(known, _)| *known == name));
        series.map(|(_, buckets)| buckets.clone()).unwrap_or_default()
    }
}

/// Attributes as labels, in the order of their names.
pub(super) fn labels<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>) -> String {
    let mut pairs: Vec<(String, String)> = attributes
        .into_iter()
        .map(|pair| (pair.key.as_str().replace('.', "_"), pair.value.to_string()))
        .collect();
    pairs.sort_unstable();
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

/// Collects and writes everything.
pub(super) fn write(reader: &Scraped, exemplars: &Exemplars, format: Format) -> String {
    let mut metrics = ResourceMetrics::default();
    let mut page = Page { out: String::new(), format, exemplars };
    if reader.collect(&mut metrics).is_ok() {
        page.target(metrics.resource());
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            // Every instrument is made from the table.
            if let Some(known) = METRICS.iter().find(|known| known.name == metric.name()) {
                page.metric(known, metric.data());
            }
        }
    }
    if format == Format::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Page<'a> {
    out: String,
    format: Format,
    exemplars: &'a Exemplars,
}

impl Page<'_> {
    fn target(&mut self, resource: &Resource) {
        let attributes: Vec<KeyValue> =
            resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let (family, kind) = match self.format {
            Format::Text => ("target_info", "gauge"),
            Format::OpenMetrics => ("target", "info"),
        };
        self.head(family, kind, "", "What is measured.");
        self.sample("target_info", &labels(&attributes), "", 1.0);
        self.out.push('\n');
    }

    fn metric(&mut self, metric: &Metric, data: &AggregatedMetrics) {
        match data {
            AggregatedMetrics::F64(data) => self.data(metric, data, |value| value),
            AggregatedMetrics::U64(data) => self.data(metric, data, |value| value as f64),
            AggregatedMetrics::I64(data) => self.data(metric, data, |value| value as f64),
        }
    }

    fn data<T: Copy>(&mut self, metric: &Metric, data: &MetricData<T>, number: fn(T) -> f64) {
        match data {
            MetricData::Sum(sum) => self.sum(metric, sum, number),
            MetricData::Histogram(histogram) => self.histogram(metric, histogram, number),
            // The table has no such metrics.
            MetricData::Gauge(_) | MetricData::ExponentialHistogram(_) => {}
        }
    }

    fn sum<T: Copy>(&mut self, metric: &Metric, sum: &Sum<T>, number: fn(T) -> f64) {
        let name = metric.prometheus_name();
        let family = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(&name),
            Format::Text => &name,
        };
        let kind = if sum.is_monotonic() { "counter" } else { "gauge" };
        self.head(family, kind, metric.unit, metric.help);
        for point in sum.data_points() {
            self.sample(&name, &labels(point.attributes()), "", number(point.value()));
            self.out.push('\n');
        }
    }

    fn histogram<T: Copy>(&mut self, metric: &Metric, histogram: &Histogram<T>, number: fn(T) -> f64) {
        let name = metric.prometheus_name();
        self.head(&name, "histogram", metric.unit, metric.help);
        let (bucket, count, sum) = (format!("{name}_bucket"), format!("{name}_count"), format!("{name}_sum"));
        for point in histogram.data_points() {
            let labels = labels(point.attributes());
            let exemplars = match self.format {
                Format::OpenMetrics => self.exemplars.of(metric.name, &labels),
                Format::Text => Vec::new(),
            };
            let bounds = point.bounds().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
            let mut below = 0;
            for (at, (bound, more)) in bounds.zip(point.bucket_counts()).enumerate() {
                below += more;
                self.sample(&bucket, &labels, &format!("le=\"{bound}\""), below as f64);
                if let Some(Some(exemplar)) = exemplars.get(at) {
                    self.exemplar(exemplar);
                }
                self.out.push('\n');
            }
            self.sample(&count, &labels, "", point.count() as f64);
            self.out.push('\n');
            self.sample(&sum, &labels, "", number(point.sum()));
            self.out.push('\n');
        }
    }

    fn head(&mut self, family: &str, kind: &str, unit: &str, help: &str) {
        self.line(format_args!("# TYPE {family} {kind}"));
        let unit = match unit {
            "s" => "seconds",
            "By" => "bytes",
            unit => unit,
        };
        if self.format == Format::OpenMetrics && !unit.is_empty() && family.ends_with(&format!("_{unit}")) {
            self.line(format_args!("# UNIT {family} {unit}"));
        }
        self.line(format_args!("# HELP {family} {help}"));
    }

    /// A sample without its line end.
    fn sample(&mut self, name: &str, labels: &str, more: &str, value: f64) {
        let comma = if labels.is_empty() || more.is_empty() { "" } else { "," };
        let _ = if labels.is_empty() && more.is_empty() {
            write!(self.out, "{name} {value}")
        } else {
            write!(self.out, "{name}{{{labels}{comma}{more}}} {value}")
        };
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let Exemplar { trace, span, value, at } = exemplar;
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // Writing to a string cannot fail.
        let _ = write!(self.out, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {at:.3}");
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // The same.
        let _ = writeln!(self.out, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;
    use crate::telemetry::semconv;

    fn page(format: Format) -> String {
        let reader = Scraped::default();
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "m")).build();
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
        let meter = provider.meter("test");
        let metric = semconv::OVERHEAD;
        let attributes = [KeyValue::new(semconv::PROVIDER, "a\"b\\c\nd")];
        meter.f64_histogram(metric.name).with_boundaries(vec![0.5, 1.0]).build().record(0.75, &attributes);
        let repairs = semconv::REPAIRS_MADE;
        meter.u64_counter(repairs.name).build().add(3, &[]);
        let exemplars = Exemplars::default();
        let exemplar = Exemplar {
            trace: TraceId::from(0xab_u128),
            span: SpanId::from(0xcd_u64),
            value: 0.75,
            at: UNIX_EPOCH + Duration::from_millis(1500),
        };
        let kind = Kind::Histogram(&[0.5, 1.0]);
        exemplars.keep(&[Metric { kind, ..metric }], &labels(&attributes), exemplar);
        write(&reader, &exemplars, format)
    }

    #[test]
    fn the_text_format_has_families_and_escapes() {
        let page = page(Format::Text);
        for line in [
            "# TYPE target_info gauge",
            "target_info{service_name=\"m\"} 1",
            "# TYPE millpond_repairs_total counter",
            "millpond_repairs_total 3",
            "# TYPE millpond_overhead_duration_seconds histogram",
            r#"millpond_overhead_duration_seconds_bucket{gen_ai_provider_name="a\"b\\c\nd",le="0.5"} 0"#,
            r#"millpond_overhead_duration_seconds_bucket{gen_ai_provider_name="a\"b\\c\nd",le="1.0"} 1"#,
            r#"millpond_overhead_duration_seconds_bucket{gen_ai_provider_name="a\"b\\c\nd",le="+Inf"} 1"#,
            r#"millpond_overhead_duration_seconds_count{gen_ai_provider_name="a\"b\\c\nd"} 1"#,
            r#"millpond_overhead_duration_seconds_sum{gen_ai_provider_name="a\"b\\c\nd"} 0.75"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nin\n{page}");
        }
    }

    #[test]
    fn open_metrics_has_exemplars_and_an_end() {
        let page = page(Format::OpenMetrics);
        let exemplar =
            " 1 # {trace_id=\"000000000000000000000000000000ab\",span_id=\"00000000000000cd\"} 0.75 1.500";
        assert!(page.lines().any(|line| line.contains("le=\"1.0\"") && line.ends_with(exemplar)), "{page}");
        assert!(page.contains("# TYPE millpond_repairs counter\n"), "{page}");
        assert!(page.contains("# UNIT millpond_overhead_duration_seconds seconds\n"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
