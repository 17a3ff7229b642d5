//! The variables that OpenTelemetry has standardized: they switch, name and lead elsewhere.

use serde_json::Value;

use crate::harness::{Mock, ask};
use crate::measure::Measures;
use crate::program::{Ended, Program};
use crate::sink::{Arrived, Sink};
use crate::trace::only_tree;

/// Asks once with these variables besides the endpoint, in front of the fake provider.
async fn once(test: &str, config: &str, variables: &[(&str, &str)]) -> (Arrived, Ended, String) {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let mut all = vec![sink.endpoint()];
    all.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let program = Program::before(test, mock.address, config, &all).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    let scraped = program.scrape().await;
    let ended = program.stop().await;
    (sink.arrived(), ended, scraped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_signal_can_be_switched_off() {
    for (test, config, variables, traces, metrics) in [
        ("all_on", "", &[][..], true, true),
        ("disabled", "", &[("OTEL_SDK_DISABLED", "true")], false, false),
        ("disabled_in_capitals", "", &[("OTEL_SDK_DISABLED", "TRUE")], false, false),
        ("not_disabled", "", &[("OTEL_SDK_DISABLED", "false")], true, true),
        ("no_traces", "", &[("OTEL_TRACES_EXPORTER", "none")], false, true),
        ("no_metrics", "", &[("OTEL_METRICS_EXPORTER", "none")], true, false),
        ("neither", "", &[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")], false, false),
        ("chosen", "", &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_METRICS_EXPORTER", "otlp")], true, true),
        ("not_sampled", "", &[("OTEL_TRACES_SAMPLER", "always_off")], false, true),
    ] {
        let (arrived, ended, scraped) = once(test, config, variables).await;
        assert_eq!((!arrived.traces.is_empty(), !arrived.metrics.is_empty()), (traces, metrics), "{test}");
        assert!(arrived.logs.is_empty(), "{test}");
        // What is told here does not depend on what is sent.
        assert_eq!(ended.request()["end"], "complete", "{test}");
        let counted = "millpond_stream_end_total{gen_ai_provider_name=\"mine\",millpond_stream_end_reason=\"complete\"} 1";
        assert!(scraped.lines().any(|line| line == counted), "{test}: {scraped}");
        assert_eq!(ended.warnings(), Vec::<Value>::new(), "{test}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_chooses_signals_where_no_variable_does() {
    let mock = Mock::start().await;
    for (export, traces, metrics) in [
        ("[\"traces\"]", true, false),
        ("[\"metrics\"]", false, true),
        ("[\"traces\", \"metrics\"]", true, true),
        ("[]", false, false),
    ] {
        let sink = Sink::start().await;
        let config = format!("[telemetry]\nendpoint = \"http://{}\"\nexport = {export}", sink.address);
        let program = Program::before("export", mock.address, &config, &[]).await;
        program.chat(&ask("mine/demo", true)).await.complete(false);
        program.stop().await;
        let arrived = sink.arrived();
        assert_eq!((!arrived.traces.is_empty(), !arrived.metrics.is_empty()), (traces, metrics), "{export}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_named_as_the_operator_says() {
    let attributes = "deployment.environment.name=pond,service.namespace=mill";
    let with_name = "service.name=by-attribute,deployment.environment.name=pond";
    for (test, config, variables, name) in [
        ("nameless", "", &[][..], "millpond"),
        ("named", "", &[("OTEL_SERVICE_NAME", "by-variable")], "by-variable"),
        ("attributes", "", &[("OTEL_RESOURCE_ATTRIBUTES", attributes)], "millpond"),
        ("named_by_attribute", "", &[("OTEL_RESOURCE_ATTRIBUTES", with_name)], "by-attribute"),
        (
            "both_names",
            "",
            &[("OTEL_SERVICE_NAME", "by-variable"), ("OTEL_RESOURCE_ATTRIBUTES", with_name)],
            "by-variable",
        ),
        ("named_alike", "", &[("OTEL_RESOURCE_ATTRIBUTES", "upstream.service.name=x")], "millpond"),
        ("by_file", "[telemetry]\nservice_name = \"by-file\"", &[], "by-file"),
        (
            "over_file",
            "[telemetry]\nservice_name = \"by-file\"",
            &[("OTEL_SERVICE_NAME", "by-variable")],
            "by-variable",
        ),
        (
            "attribute_over_file",
            "[telemetry]\nservice_name = \"by-file\"",
            &[("OTEL_RESOURCE_ATTRIBUTES", with_name)],
            "by-attribute",
        ),
    ] {
        let (arrived, _, scraped) = once(test, config, variables).await;
        let resource = only_tree(&arrived).server.resource;
        assert_eq!(resource["service.name"], name, "{test}");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"), "{test}");
        assert_eq!(Measures::last(&arrived).resource, resource, "{test}");
        let said = variables.iter().any(|(_, value)| value.contains("deployment"));
        assert_eq!(
            resource.get("deployment.environment.name").is_some_and(|value| value == "pond"),
            said,
            "{test}"
        );
        if variables.iter().any(|(_, value)| *value == attributes) {
            assert_eq!(resource["service.namespace"], "mill", "{test}");
        }
        let target = scraped.lines().find(|line| line.starts_with("target_info{")).unwrap();
        assert!(target.contains(&format!("service_name=\"{name}\"")), "{test}: {target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_may_have_its_own_endpoint() {
    let (both, traces, mock) = (Sink::start().await, Sink::start().await, Mock::start().await);
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/v1/traces", traces.address));
    let program = Program::before("own_endpoint", mock.address, "", &[both.endpoint(), own.clone()]).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    program.stop().await;
    assert!(both.arrived().traces.is_empty() && !both.arrived().metrics.is_empty());
    assert!(!traces.arrived().traces.is_empty() && traces.arrived().metrics.is_empty());
    // Without an endpoint for all, the others do not leave.
    let traces = Sink::start().await;
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/v1/traces", traces.address));
    let program = Program::before("only_endpoint", mock.address, "", &[own]).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    let ended = program.stop().await;
    assert!(!traces.arrived().traces.is_empty() && traces.arrived().metrics.is_empty());
    assert_eq!(ended.warnings(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variable_wins_over_the_file() {
    let (by_variable, by_file, mock) = (Sink::start().await, Sink::start().await, Mock::start().await);
    let config = format!("[telemetry]\nendpoint = \"http://{}\"\nprotocol = \"grpc\"", by_file.address);
    let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned());
    let variables = [by_variable.endpoint(), protocol];
    let program = Program::before("endpoint_wins", mock.address, &config, &variables).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    program.stop().await;
    assert!(!by_variable.arrived().traces.is_empty() && !by_variable.arrived().metrics.is_empty());
    assert!(by_file.arrived().traces.is_empty() && by_file.arrived().metrics.is_empty());
    let grpc = by_variable.arrived().headers.iter().any(|headers| headers.contains_key("te"));
    assert!(!grpc);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_endpoint_nothing_is_tried() {
    let mock = Mock::start().await;
    let program = Program::before("no_endpoint", mock.address, "", &[]).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    let scraped = program.scrape().await;
    let ended = program.stop().await;
    assert_eq!(ended.warnings(), Vec::<Value>::new());
    assert!(!scraped.contains("millpond_telemetry_"), "there are no exports to count");
    assert!(ended.request().get("trace_id").is_none_or(Value::is_null), "{}", ended.request());
}
