//! `[telemetry]`, and the variables that OpenTelemetry has standardized.
//!
//! The variables win over the file, as everywhere. Which signals leave is decided here, because the SDK does
//! not read the variables for it; headers, timeouts, compression, batches and the sampler it reads by itself.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::Env;
use super::file::Span;
use crate::telemetry::{CaptureContent, Exporter, MetricNames, Price, Propagate, Protocol, Settings};

/// The port at which collectors listen for gRPC.
const GRPC_PORT: u16 = 4317;

/// `[telemetry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TelemetryFile {
    endpoint: Option<String>,
    protocol: Option<Protocol>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    service_name: Option<String>,
    export: Option<Vec<Signal>>,
    metrics: Option<MetricNames>,
    metric_interval: Option<Span>,
    propagate: Option<Propagate>,
    capture_content: Option<CaptureContent>,
    content_limit_bytes: Option<usize>,
}

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// The word for it in the names of variables.
    fn variable(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Signal::Traces => "v1/traces",
            Signal::Metrics => "v1/metrics",
            Signal::Logs => "v1/logs",
        }
    }
}

/// Turns what was written into what is meant.
pub(super) fn settings(
    file: TelemetryFile,
    prices: BTreeMap<String, Price>,
    env: Env<'_>,
    mistakes: &mut Vec<String>,
) -> Settings {
    let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    check(&file, &prices, mistakes);
    let defaults = Settings::default();
    let capture = capture(&file, &set, mistakes);
    let latest = set("OTEL_SEMCONV_STABILITY_OPT_IN")
        .is_some_and(|list| list.split(',').any(|word| word.trim() == "gen_ai_latest_experimental"));
    let mut place = Exporters { file: &file, set: &set, mistakes };
    let traces = place.exporter(Signal::Traces);
    let metrics = place.exporter(Signal::Metrics);
    let logs = place.exporter(Signal::Logs);
    Settings {
        traces,
        metrics,
        logs,
        metric_names: if latest { MetricNames::Latest } else { file.metrics.unwrap_or_default() },
        metric_interval: file
            .metric_interval
            .map(|span| span.0)
            .filter(|_| set("OTEL_METRIC_EXPORT_INTERVAL").is_none()),
        trace_context: set("OTEL_PROPAGATORS")
            .is_none_or(|list| list.split(',').any(|word| word.trim() == "tracecontext")),
        propagate: file.propagate.unwrap_or_default(),
        capture,
        content_bytes: file.content_limit_bytes.unwrap_or(defaults.content_bytes),
        service_name: file.service_name.filter(|_| set("OTEL_SERVICE_NAME").is_none()),
        headers: file.headers,
        prices,
    }
}

fn check(file: &TelemetryFile, prices: &BTreeMap<String, Price>, mistakes: &mut Vec<String>) {
    for (name, value) in &file.headers {
        if name.parse::<HeaderName>().is_err() || HeaderValue::from_str(value).is_err() {
            mistakes.push(format!("telemetry.headers: \"{name}\" or its value is no header"));
        }
    }
    if file.metric_interval.is_some_and(|span| span.0.is_zero()) {
        mistakes.push("telemetry.metric_interval: must be longer than zero".to_owned());
    }
    for (model, Price { input, output, cache_read, cache_write }) in prices {
        let all = [Some(*input), Some(*output), *cache_read, *cache_write];
        if all.into_iter().flatten().any(|price| !price.is_finite() || price < 0.0) {
            mistakes.push(format!("prices.\"{model}\": a price must be zero or more"));
        }
        if !model.contains('/') {
            mistakes.push(format!(
                "prices.\"{model}\": expected a provider and its model, such as \"openai/gpt-4o\""
            ));
        }
    }
}

type Set<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn capture(file: &TelemetryFile, set: &Set<'_>, mistakes: &mut Vec<String>) -> CaptureContent {
    const VARIABLE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
    let Some(word) = set(VARIABLE) else { return file.capture_content.unwrap_or_default() };
    let known = CaptureContent::WORDS.iter().find(|(name, _)| word.trim().eq_ignore_ascii_case(name));
    known.map_or_else(
        || {
            mistakes.push(format!(
                "{VARIABLE}: \"{word}\" is not known; expected NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"
            ));
            CaptureContent::NoContent
        },
        |(_, capture)| *capture,
    )
}

/// The exporters that are being read.
struct Exporters<'a> {
    file: &'a TelemetryFile,
    set: &'a Set<'a>,
    mistakes: &'a mut Vec<String>,
}

impl Exporters<'_> {
    /// How a signal leaves, if it does: it has an address, and nobody switched it off.
    fn exporter(&mut self, signal: Signal) -> Option<Exporter> {
        if (self.set)("OTEL_SDK_DISABLED").is_some_and(|word| word.trim().eq_ignore_ascii_case("true")) {
            return None;
        }
        let own = |name: &str| format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable());
        let of =
            |name: &str| (self.set)(&own(name)).or_else(|| (self.set)(&format!("OTEL_EXPORTER_OTLP_{name}")));
        let by_variable = of("ENDPOINT");
        let variable = format!("OTEL_{}_EXPORTER", signal.variable());
        let is_chosen = match (self.set)(&variable).as_deref().map(str::trim) {
            Some("none") => return None,
            Some("otlp") => true,
            Some(other) => {
                self.mistakes.push(format!("{variable}: \"{other}\" is not known; expected otlp or none"));
                return None;
            }
            None => false,
        };
        let wanted = self.file.export.as_ref().is_none_or(|signals| signals.contains(&signal));
        let endpoint = by_variable.as_ref().or(self.file.endpoint.as_ref().filter(|_| wanted));
        if endpoint.is_none() && !is_chosen {
            return None;
        }
        let url = endpoint.map(|text| text.parse::<Url>());
        let url = match url.transpose() {
            Ok(url) => url.filter(|url| url.has_host()),
            Err(_) => None,
        };
        if let (Some(text), None) = (endpoint, &url) {
            self.mistakes.push(format!(
                "telemetry.endpoint: \"{text}\" is no URL; expected one such as \"http://127.0.0.1:4318\""
            ));
        }
        let protocol = match of("PROTOCOL").as_deref().map(str::trim) {
            Some("grpc") => Protocol::Grpc,
            Some("http/protobuf") => Protocol::HttpProtobuf,
            Some(other) => {
                self.mistakes.push(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL: \"{other}\" is not known; expected grpc or http/protobuf"
                ));
                return None;
            }
            None => self.file.protocol.unwrap_or_else(|| by_port(url.as_ref())),
        };
        let endpoint = url.filter(|_| by_variable.is_none()).map(|url| match protocol {
            Protocol::Grpc => url.to_string(),
            Protocol::HttpProtobuf => below(url, signal.path()),
        });
        Some(Exporter { endpoint, protocol })
    }
}

fn by_port(url: Option<&Url>) -> Protocol {
    match url.and_then(Url::port) {
        Some(GRPC_PORT) => Protocol::Grpc,
        Some(_) | None => Protocol::HttpProtobuf,
    }
}

/// The address of a signal below the one that was given for all.
fn below(mut url: Url, path: &str) -> String {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url.into()
}

/// What is in force, for `millpond check`; headers may be secrets.
pub(super) fn write(settings: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[telemetry]")?;
    for (signal, exporter) in
        [("traces", &settings.traces), ("metrics", &settings.metrics), ("logs", &settings.logs)]
    {
        let Some(Exporter { endpoint, protocol }) = exporter else {
            writeln!(f, "# {signal} are not exported")?;
            continue;
        };
        let protocol = match protocol {
            Protocol::Grpc => "gRPC",
            Protocol::HttpProtobuf => "HTTP",
        };
        let by_variable = "where the OTEL_EXPORTER_OTLP_ENDPOINT variables say";
        let endpoint = endpoint.as_deref().unwrap_or(by_variable);
        writeln!(f, "# {signal} are exported over {protocol} to {endpoint}")?;
    }
    let capture = CaptureContent::WORDS.iter().find(|(_, capture)| *capture == settings.capture);
    if let Some((word, _)) = capture {
        writeln!(f, "capture_content = \"{word}\"")?;
    }
    for (model, Price { input, output, .. }) in &settings.prices {
        writeln!(f, "\n[prices.\"{model}\"]\ninput = {input}\noutput = {output}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File};

    fn read(file: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let file = File::parse(file).map_err(|error| error.to_string())?;
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Config::new(file, None, &env).map(|config| config.telemetry).map_err(|error| error.to_string())
    }

    fn exporter(endpoint: Option<&str>, protocol: Protocol) -> Option<Exporter> {
        Some(Exporter { endpoint: endpoint.map(str::to_owned), protocol })
    }

    #[test]
    fn nothing_leaves_without_an_address() {
        let settings = read("", &[]).unwrap();
        assert_eq!((settings.traces, settings.metrics, settings.logs), (None, None, None));
    }

    #[test]
    fn the_file_gives_an_address_for_all_signals() {
        let settings = read("[telemetry]\nendpoint = \"http://c:4318\"", &[]).unwrap();
        assert_eq!(settings.traces, exporter(Some("http://c:4318/v1/traces"), Protocol::HttpProtobuf));
        assert_eq!(settings.metrics, exporter(Some("http://c:4318/v1/metrics"), Protocol::HttpProtobuf));
    }

    #[test]
    fn the_port_tells_the_protocol_if_nothing_else_does() {
        let settings = read("[telemetry]\nendpoint = \"http://c:4317\"", &[]).unwrap();
        assert_eq!(settings.traces, exporter(Some("http://c:4317/"), Protocol::Grpc));
        let settings =
            read("[telemetry]\nendpoint = \"http://c:4317\"\nprotocol = \"http/protobuf\"", &[]).unwrap();
        assert_eq!(settings.traces.unwrap().protocol, Protocol::HttpProtobuf);
    }

    #[test]
    fn variables_win() {
        let settings = read(
            "[telemetry]\nendpoint = \"http://c:4318\"\nservice_name = \"a\"",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4317"),
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_SERVICE_NAME", "b"),
                ("OTEL_PROPAGATORS", "b3"),
                ("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental"),
                ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY"),
            ],
        )
        .unwrap();
        assert_eq!(settings.traces, exporter(None, Protocol::Grpc));
        assert_eq!((settings.metrics, settings.service_name), (None, None));
        assert_eq!(settings.metric_names, MetricNames::Latest);
        assert_eq!(settings.capture, CaptureContent::SpanOnly);
        assert!(!settings.trace_context);
    }

    #[test]
    fn the_sdk_can_be_disabled_and_a_signal_chosen() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://d:4317");
        assert_eq!(read("", &[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap().traces, None);
        let chosen = read("", &[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap();
        assert_eq!(chosen.traces, exporter(None, Protocol::HttpProtobuf));
        assert_eq!(chosen.metrics, None);
        let file = "[telemetry]\nendpoint = \"http://c:1\"\nexport = [\"metrics\"]";
        let only = read(file, &[]).unwrap();
        assert!(only.traces.is_none() && only.metrics.is_some());
    }

    #[test]
    fn mistakes_name_their_place() {
        for (file, env, place) in [
            ("[telemetry]\nendpoint = \"nowhere\"", ("", ""), "telemetry.endpoint"),
            ("[telemetry.headers]\n\"a b\" = \"c\"", ("", ""), "telemetry.headers"),
            ("[telemetry]\nmetric_interval = 0", ("", ""), "telemetry.metric_interval"),
            ("[telemetry]\npropagate = \"some\"", ("", ""), "propagate"),
            ("[prices.\"p/m\"]\ninput = -1\noutput = 1", ("", ""), "prices.\"p/m\""),
            ("[prices.m]\ninput = 1\noutput = 1", ("", ""), "prices.\"m\""),
            ("", ("OTEL_TRACES_EXPORTER", "zipkin"), "OTEL_TRACES_EXPORTER"),
            ("", ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "yes"), "CAPTURE"),
        ] {
            let mistake = read(file, &[env]).unwrap_err();
            assert!(mistake.contains(place), "{mistake}");
        }
    }
}
