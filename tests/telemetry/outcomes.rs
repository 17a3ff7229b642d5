//! How requests end, as telemetry tells it: it must be what the client was told.

use std::collections::HashMap;
use std::sync::Arc;

use millpond::telemetry::semconv;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Mock, Reply, ask, ask_usage};
use crate::measure::Measures;
use crate::nobody::Nobody;
use crate::program::{Program, provider};
use crate::sink::Sink;
use crate::support::contract::{End, check_object, check_stream};
use crate::trace::{Tree, only_tree, trees};
use crate::upstream::{FIRST, Upstream};

/// Silence is over soon, so that stalls are seen.
const IMPATIENT: &str = "idle_timeout = \"400ms\"";

/// What a client was told of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub status: u16,
    /// `complete` or the code of the error.
    pub end: String,
    /// The status of an upstream that refused.
    pub refused: Option<u64>,
    /// The usage of a complete answer.
    pub usage: Option<Value>,
}

impl Told {
    /// Reads it from an answer, which keeps the contract.
    pub fn read(reply: &Reply, stream: bool) -> Told {
        let status = reply.status.as_u16();
        if status != 200 {
            let error = reply.error(status);
            return Told {
                status,
                end: error["code"].as_str().unwrap_or("rejected").to_owned(),
                refused: error["upstream_status"].as_u64().filter(|status| *status >= 300),
                usage: None,
            };
        }
        let answer = if stream {
            let asked = String::from_utf8_lossy(&reply.body).contains("\"usage\":{");
            check_stream(&reply.body, asked)
        } else {
            check_object(&reply.body)
        };
        let answer = answer.unwrap_or_else(|rule| panic!("{rule}: {}", reply.text()));
        let end = match answer.end {
            End::Complete => "complete".to_owned(),
            End::Fault(code) => code,
        };
        Told { status, end, refused: None, usage: answer.usage }
    }

    /// `error.type` of the inference.
    pub fn error(&self) -> Option<String> {
        match (self.refused, self.end.as_str()) {
            (_, "complete") => None,
            (Some(status), _) => Some(status.to_string()),
            (None, code) => Some(code.to_owned()),
        }
    }
}

/// Checks that a tree tells what the client was told.
#[track_caller]
pub fn check(what: &str, tree: &Tree, told: &Told) {
    let error = told.error();
    let failed = |error: Option<&str>| if error.is_some() { StatusCode::Error } else { StatusCode::Unset };
    let inference = tree.inference();
    assert_eq!(inference.ended(), (failed(error.as_deref()), error.as_deref()), "{what}: {tree:#?}");
    assert_eq!(inference.at("millpond.stream.end_reason"), &json!(told.end), "{what}");
    let attempt = tree.attempt();
    assert_eq!(attempt.ended(), (failed(error.as_deref()), error.as_deref()), "{what}: {tree:#?}");
    if let Some(status) = told.refused {
        assert_eq!(attempt.at("http.response.status_code"), &json!(status), "{what}");
    }
    let server = &tree.server;
    assert_eq!(server.at("http.response.status_code"), &json!(told.status), "{what}");
    let status = told.status.to_string();
    let expect = match told.status {
        200 => error.as_deref(),
        // Whatever is wrong is wrong with the request, as far as this server's own span goes.
        400..500 => None,
        _ => Some(status.as_str()),
    };
    assert_eq!(server.ended(), (failed(expect), expect), "{what}: {tree:#?}");
    let reasons = inference.at("gen_ai.response.finish_reasons");
    let count = |usage: &Value, name: &str| usage.get(name).cloned().unwrap_or(Value::Null);
    match &told.usage {
        Some(usage) if told.end == "complete" => {
            assert_eq!(inference.at("gen_ai.usage.input_tokens"), &count(usage, "prompt_tokens"), "{what}");
            assert_eq!(
                inference.at("gen_ai.usage.output_tokens"),
                &count(usage, "completion_tokens"),
                "{what}"
            );
            assert!(reasons.as_array().is_some_and(|reasons| !reasons.contains(&json!("error"))), "{what}");
        }
        Some(_) | None => {}
    }
    if told.status != 200 && told.refused.is_some() {
        for absent in ["gen_ai.response.id", "gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens"] {
            assert_eq!(inference.at(absent), &Value::Null, "{what}: {absent}");
        }
    }
}

/// A trace context whose trace is this number.
pub fn context(number: usize) -> (String, String) {
    let trace = format!("{:032x}", number + 1);
    (format!("00-{trace}-00f067aa0ba902b7-01"), trace)
}

/// Every fault of the mock, but for the one that never ends: those that are silent, or the others.
fn faults(silent: bool) -> Vec<String> {
    let names = millpond::mock::describe().into_iter().map(|(name, _)| name);
    let faults = names.filter_map(|name| Some(name.strip_prefix("demo/<manner>/")?.to_owned()));
    faults.filter(|name| name != "hang-comments" && name.starts_with("stall") == silent).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_as_the_client_is_told() {
    let seen = play("faults", "", &faults(false)).await;
    // What it must be, so that a mistake in both places is seen.
    for (fault, error) in [
        ("cut-after-3", Some("truncated")),
        ("abort-after-3", Some("connection_lost")),
        ("reset-after-3", Some("connection_lost")),
        ("garbage-2", Some("malformed")),
        ("error-2", Some("upstream_error")),
        ("error-200", Some("upstream_error")),
        ("only-done", Some("empty")),
        ("empty", Some("empty")),
        ("huge-frame", Some("too_large")),
        ("400", Some("400")),
        ("401", Some("401")),
        ("429", Some("429")),
        ("500", Some("500")),
        ("503-empty", Some("503")),
        ("529", Some("529")),
        ("json", None),
        ("no-done", None),
    ] {
        assert_eq!(seen[fault].as_deref(), error, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_silence_is_told_as_the_client_is_told() {
    let silent = faults(true);
    let seen = play("silence", IMPATIENT, &silent).await;
    assert!(silent.len() >= 3 && seen.values().all(|error| error.as_deref() == Some("stalled")), "{seen:?}");
}

/// Has every fault played, as a stream and as an object, and checks what arrives; gives what the clients of
/// OpenAI's streams were told.
async fn play(test: &str, config: &str, faults: &[String]) -> HashMap<String, Option<String>> {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before(test, mock.address, config, &[sink.endpoint()]).await;
    let program = Arc::new(program);
    let mut playing = JoinSet::new();
    let mut asked = Vec::new();
    for fault in faults {
        for manner in ["openai", "openrouter"] {
            asked.extend([true, false].map(|stream| (format!("mine/demo/{manner}/{fault}"), stream)));
        }
    }
    for (number, (model, stream)) in asked.iter().cloned().enumerate() {
        let program = Arc::clone(&program);
        playing.spawn(async move {
            let mut body = if stream { ask_usage(&model) } else { ask(&model, false) };
            if model.ends_with("/slow") {
                // Each token is a quarter of a second.
                body["max_tokens"] = 2.into();
            }
            let (traceparent, trace) = context(number);
            let reply = program.chat_with(&body, &[("traceparent", &traceparent)]).await;
            (trace, Told::read(&reply, stream))
        });
    }
    let told: HashMap<String, Told> = playing.join_all().await.into_iter().collect();
    Arc::into_inner(program).unwrap().stop().await;
    let trees = trees(&sink.arrived());
    assert_eq!(trees.len(), asked.len());
    let mut seen = HashMap::new();
    for (number, (model, stream)) in asked.iter().enumerate() {
        let (_, trace) = context(number);
        check(&format!("{model} {stream}"), &trees[&trace], &told[&trace]);
        if let (Some(fault), true) = (model.strip_prefix("mine/demo/openai/"), *stream) {
            seen.insert(fault.to_owned(), told[&trace].error());
        }
    }
    check_metrics(&Measures::last(&sink.arrived()), told.values());
    seen
}

/// Checks that what was counted is what the clients were told.
fn check_metrics<'a>(measures: &Measures, told: impl Iterator<Item = &'a Told>) {
    let mut ends: HashMap<String, f64> = HashMap::new();
    let mut outcomes: HashMap<String, f64> = HashMap::new();
    let mut errors: HashMap<Option<String>, u64> = HashMap::new();
    let mut statuses: HashMap<u16, u64> = HashMap::new();
    let mut all = 0;
    for told in told {
        all += 1;
        *ends.entry(told.end.clone()).or_default() += 1.0;
        *outcomes.entry(told.error().unwrap_or_else(|| "ok".to_owned())).or_default() += 1.0;
        *errors.entry(told.error()).or_default() += 1;
        *statuses.entry(told.status).or_default() += 1;
    }
    for (metric, attribute, expect) in [
        (semconv::STREAM_END, semconv::END_REASON, &ends),
        (semconv::ATTEMPTS_MADE, semconv::OUTCOME, &outcomes),
    ] {
        let counted: HashMap<String, f64> = measures
            .find(metric, &[])
            .into_iter()
            .map(|series| series.attributes[attribute].as_str().unwrap().to_owned())
            .map(|word| (word.clone(), measures.sum(metric, &[(attribute, &word)])))
            .collect();
        assert_eq!(&counted, expect, "{}", metric.name);
    }
    for metric in [semconv::INFERENCE_DURATION, semconv::OPERATION_DURATION, semconv::REQUEST_DURATION] {
        assert_eq!(measures.count(metric, &[]), all, "{}", metric.name);
        for (error, count) in errors.iter().filter_map(|(error, count)| Some((error.as_ref()?, count))) {
            let counted = measures.count(metric, &[(semconv::ERROR_TYPE, error)]);
            assert_eq!(counted, *count, "{} {error}", metric.name);
        }
    }
    for (status, count) in statuses {
        let series = measures.find(semconv::SERVER_DURATION, &[]).into_iter();
        let of_status = series.filter(|series| series.attributes[semconv::HTTP_STATUS] == status);
        let counted: u64 = of_status
            .map(|series| match series.measured {
                crate::measure::Measured::Histogram { count, .. } => count,
                crate::measure::Measured::Sum(_) => 0,
            })
            .sum();
        assert_eq!(counted, count, "{status}");
    }
    for metric in [semconv::STREAMS_ACTIVE, semconv::SERVER_ACTIVE] {
        assert_eq!(measures.sum(metric, &[]), 0.0, "{}", metric.name);
    }
}

/// Asks a provider that cannot be reached, and gives the tree and what the client was told.
async fn unreachable(test: &str, base_url: &str, stream: bool) -> (Tree, Told) {
    let sink = Sink::start().await;
    let config = format!("{IMPATIENT}\n[providers.mine]\nbase_url = \"{base_url}\"\n");
    let program = Program::start(test, &config, &[sink.endpoint()]).await;
    let told = Told::read(&program.chat(&ask("mine/m", stream)).await, stream);
    program.stop().await;
    let measures = Measures::last(&sink.arrived());
    let tree = only_tree(&sink.arrived());
    let outcome = tree.inference().at("error.type").as_str().unwrap();
    assert_eq!(measures.sum(semconv::ATTEMPTS_MADE, &[(semconv::OUTCOME, outcome)]), 1.0);
    (tree, told)
}

#[track_caller]
fn check_unreachable(tree: &Tree, told: &Told, error: &str) {
    assert!(told.status >= 500, "{told:?}");
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some(error)), "{tree:#?}");
    assert_eq!(tree.attempt().ended(), (StatusCode::Error, Some(error)));
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), &json!(told.end));
    assert_eq!(tree.attempt().at("http.response.status_code"), &Value::Null);
    let status = told.status.to_string();
    assert_eq!(tree.server.ended(), (StatusCode::Error, Some(status.as_str())));
    for absent in ["gen_ai.response.id", "gen_ai.response.model", "gen_ai.response.time_to_first_chunk"] {
        assert_eq!(tree.inference().at(absent), &Value::Null, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_connect() {
    for stream in [true, false] {
        let nobody = Nobody::new();
        let base_url = format!("http://{}/v1", nobody.address());
        let (tree, told) = unreachable(&format!("refused_{stream}"), &base_url, stream).await;
        check_unreachable(&tree, &told, "connect");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_an_address_is_dns() {
    let (tree, told) = unreachable("dns", "http://pond.invalid/v1", true).await;
    check_unreachable(&tree, &told, "dns");
    assert_eq!(tree.inference().at("server.address"), "pond.invalid");
    assert_eq!(tree.inference().at("server.port"), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_tls() {
    let mut upstream = Upstream::start().await;
    let base_url = format!("https://{}/v1", upstream.address);
    let plain = tokio::spawn(async move {
        let mut connection = upstream.connection().await;
        connection.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        connection.closed().await;
    });
    let (tree, told) = unreachable("tls", &base_url, true).await;
    plain.await.unwrap();
    check_unreachable(&tree, &told, "tls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_closed_before_the_answer_is_connect() {
    let mut upstream = Upstream::start().await;
    let base_url = format!("http://{}/v1", upstream.address);
    let closing = tokio::spawn(async move { drop(upstream.request().await) });
    let (tree, told) = unreachable("closed", &base_url, true).await;
    closing.await.unwrap();
    check_unreachable(&tree, &told, "connect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_that_never_finished_has_the_reason_error() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("unfinished", upstream.address, "", &[sink.endpoint()]).await;
    let finished = json!({
        "id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": 1, "delta": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    });
    let cut = async {
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(format!("{FIRST}data: {finished}\n\n")).await;
        connection.write("0\r\n\r\n").await;
    };
    let body = ask("mine/m", true);
    let (reply, ()) = tokio::join!(program.chat(&body), cut);
    let told = Told::read(&reply, true);
    assert_eq!(told.end, "truncated");
    program.stop().await;
    let tree = only_tree(&sink.arrived());
    check("a cut", &tree, &told);
    // The second choice's reason was held back for the end, which never came: its client does not have it
    // either.
    assert_eq!(tree.inference().at("gen_ai.response.finish_reasons"), &json!(["error", "error"]));
    assert_eq!(tree.inference().at("gen_ai.usage.input_tokens"), &Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_mended_is_told_by_name_and_counted() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let config = provider("one", mock.address, "") + &provider("two", mock.address, "");
    let program = Program::start("repairs", &config, &[sink.endpoint()]).await;
    let mut counted: HashMap<(&str, String), f64> = HashMap::new();
    for (provider, manner) in [("one", "avian"), ("two", "avian"), ("two", "groq"), ("two", "home-made")] {
        program.chat(&ask_usage(&format!("{provider}/demo/{manner}"))).await.complete(true);
        let bytes = mock.bytes(&ask_usage(&format!("demo/{manner}"))).await;
        for (repair, count) in repairs_of(&bytes) {
            *counted.entry((provider, repair)).or_default() += count;
        }
    }
    let ended = program.stop().await;
    let measures = Measures::last(&sink.arrived());
    assert!(counted.len() > 6, "{counted:?}");
    let all: f64 = counted.values().sum();
    assert_eq!(measures.sum(semconv::REPAIRS_MADE, &[]), all);
    for ((provider, repair), count) in &counted {
        let with = [(semconv::PROVIDER, *provider), (semconv::REPAIR, repair.as_str())];
        assert_eq!(measures.sum(semconv::REPAIRS_MADE, &with), *count, "{provider} {repair}");
    }
    let trees = trees(&sink.arrived());
    let told: Vec<&Value> = trees.values().map(|tree| tree.inference().at("millpond.repairs")).collect();
    let lines = ended.requests();
    for (_, repair) in counted.keys() {
        assert!(told.iter().any(|told| told.as_array().unwrap().contains(&json!(repair))), "{repair}");
        assert!(lines.iter().any(|line| line["repairs"].to_string().contains(repair.as_str())), "{repair}");
    }
}

/// What the filter mends in a recording, and how often.
fn repairs_of(bytes: &[u8]) -> Vec<(String, f64)> {
    let dialect = millpond::dialect::AnyDialect::plain("openai-chat").unwrap();
    let options = millpond::filter::Options {
        api: millpond::api::Api::default(),
        dialect,
        include_usage: true,
        object: false,
        frame_limit: millpond::framing::FRAME_LIMIT,
    };
    let report = millpond::filter::normalize(options, &mut &bytes[..], &mut Vec::new()).unwrap();
    report.repairs.iter().map(|(repair, count)| (repair.as_str().to_owned(), f64::from(count))).collect()
}
