//! The line that each request leaves in the log, and what the headers of its answer say.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Mock, Reply, ask, ask_usage};
use crate::program::{Ended, Program};
use crate::sink::Sink;
use crate::trace::{Tree, only_tree};

/// Asks for one answer; gives what the client got, the span tree and the log line.
async fn once(test: &str, body: &Value, headers: &[(&str, &str)]) -> (Reply, Tree, Value) {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before(test, mock.address, "", &[sink.endpoint()]).await;
    let reply = program.chat_with(body, headers).await;
    let ended = program.stop().await;
    (reply, only_tree(&sink.arrived()), ended.request())
}

fn names(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn check(line: &Value, expect: Value) {
    for (name, value) in expect.as_object().unwrap() {
        assert_eq!(line.get(name), Some(value), "{name} in {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_answer_tells_everything() {
    let (reply, tree, line) = once("line", &ask_usage("mine/demo/openrouter"), &[]).await;
    let usage = reply.complete(true).usage.unwrap();
    check(
        &line,
        json!({
            "level": "INFO", "message": "request", "method": "POST", "route": "/v1/chat/completions",
            "provider": "mine", "model": "demo/openrouter", "status": 200, "end": "complete", "attempts": 1,
            "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
            "cost": usage["cost"], "trace_id": tree.server.trace, "request_id": reply.header("x-request-id"),
        }),
    );
    assert!(line["timestamp"].is_string(), "{line}");
    let repairs: BTreeSet<&str> = line["repairs"].as_str().unwrap().split(',').collect();
    let told = tree.inference().at("millpond.repairs").as_array().unwrap();
    assert_eq!(repairs, told.iter().map(|word| word.as_str().unwrap()).collect(), "{line}");
    let (first, all) =
        (line["time_to_first_event_ms"].as_f64().unwrap(), line["duration_ms"].as_f64().unwrap());
    let took = (tree.server.end - tree.server.start) as f64 / 1e6;
    assert!(first > 0.0 && first <= all && (all - took).abs() < 5.0, "{line}: {took}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_not_in_the_line() {
    let (reply, tree, line) = once("line_refused", &ask("mine/demo/openai/429", true), &[]).await;
    assert_eq!(reply.status.as_u16(), 429);
    check(
        &line,
        json!({
            "provider": "mine", "model": "demo/openai/429", "status": 429, "end": "upstream_error", "attempts": 1,
            "trace_id": tree.server.trace,
        }),
    );
    for absent in ["input_tokens", "output_tokens", "cost", "time_to_first_event_ms", "repairs"] {
        assert!(!names(&line).contains(absent), "{line}");
    }
    let (_, _, line) = once("line_rejected", &json!({"model": "mine/m"}), &[]).await;
    check(
        &line,
        json!({"status": 400, "end": "rejected", "route": "/v1/chat/completions", "method": "POST"}),
    );
    for absent in ["provider", "model", "attempts", "repairs", "input_tokens"] {
        assert!(!names(&line).contains(absent), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_the_stream_is_told_in_the_line() {
    let (_, _, line) = once("line_fault", &ask("mine/demo/openai/cut-after-3", true), &[]).await;
    check(&line, json!({"status": 200, "end": "truncated", "attempts": 1}));
    assert!(line["time_to_first_event_ms"].is_number(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_s_own_names_are_kept() {
    let headers = [
        ("x-request-id", "duck-9"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let (reply, _, line) = once("line_names", &ask("mine/demo", false), &headers).await;
    check(&line, json!({"request_id": "duck-9", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}));
    assert_eq!(reply.header("x-request-id"), Some("duck-9"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_cannot_forge_a_line() {
    let model = "mine/a\n{\"message\":\"request\"}\u{1b}[31m";
    let (_, _, line) = once("line_forged", &ask(model, true), &[]).await;
    check(&line, json!({"model": model.strip_prefix("mine/").unwrap(), "status": 404}));
}

async fn logged(test: &str, variables: &[(&str, &str)]) -> Ended {
    let mock = Mock::start().await;
    let variables: Vec<(&str, String)> = variables.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    let program = Program::before(test, mock.address, "", &variables).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    program.send("GET", "/healthz", &[], "").await;
    program.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_text_or_none_where_the_operator_says_so() {
    let ended = logged("lines_json", &[("MILLPOND_LOG_FORMAT", "json")]).await;
    assert_eq!(ended.request()["end"], "complete");
    let ended = logged("lines_text", &[("MILLPOND_LOG_FORMAT", "text")]).await;
    assert!(ended.lines().is_empty(), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("end=\"complete\"")).collect();
    let [line] = lines.as_slice() else { panic!("{}", ended.stderr) };
    assert!(line.contains("status=200") && !line.contains('\u{1b}'), "{line}");
    assert!(logged("lines_none", &[("RUST_LOG", "warn")]).await.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_say_who_answered_and_how_long_it_took() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let config = "aliases = { quick = \"mine/demo/groq\" }";
    let program = Program::before("headers", mock.address, config, &[sink.endpoint()]).await;
    for (model, stream, status) in [
        ("quick", true, 200),
        ("quick", false, 200),
        ("mine/demo/openai/429", true, 429),
        ("mine/demo/openai/empty", false, 502),
    ] {
        let reply = program.chat(&ask(model, stream)).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        assert_eq!(reply.header("x-millpond-provider"), Some("mine"), "{model}");
        let asked = if model == "quick" { "demo/groq" } else { model.strip_prefix("mine/").unwrap() };
        assert_eq!(reply.header("x-millpond-model"), Some(asked), "{model}");
        assert_eq!(reply.header("x-millpond-attempts"), Some("1"), "{model}");
        assert!(reply.header("x-request-id").is_some_and(|id| id.len() >= 32), "{model}");
        let timing = reply.header("server-timing").unwrap();
        let times: Vec<(&str, f64)> = timing
            .split(", ")
            .map(|part| part.split_once(";dur=").unwrap())
            .map(|(name, time)| (name, time.parse().unwrap()))
            .collect();
        let [("upstream", upstream), ("millpond", ours)] = times.as_slice() else { panic!("{timing}") };
        assert!(*upstream > 0.0 && *ours >= 0.0 && upstream + ours < 20_000.0, "{timing}");
    }
    let reply = program.chat(&ask("azure/m", true)).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-millpond-provider")), (404, None));
    assert!(reply.header("x-request-id").is_some());
    program.stop().await;
}
