//! What is no chat: spans, metrics and the log line of what is passed on.

use std::net::SocketAddr;

use millpond::telemetry::semconv;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;

use crate::client::Client;
use crate::harness::{KEY, Mock};
use crate::measure::Measures;
use crate::program::{Ended, Program};
use crate::sink::{Arrived, Sink};
use crate::trace::only_tree;
use crate::upstream::{Upstream, response};

const JSON: (&str, &str) = ("content-type", "application/json");
/// What must be seen nowhere.
const SAID: &str = "the heron stands still";

async fn start(test: &str, upstream: SocketAddr, more: &str) -> (Sink, Program) {
    let sink = Sink::start().await;
    let program = Program::before(test, upstream, more, &[sink.endpoint()]).await;
    (sink, program)
}

#[track_caller]
fn nothing_said(arrived: &Arrived, ended: &Ended) {
    let seen = format!("{:?}{:?}{}", arrived.traces, arrived.metrics, ended.stderr);
    assert!(!seen.contains(SAID) && !seen.contains(KEY), "content or a key is in telemetry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_are_an_operation_of_the_convention() {
    let mut upstream = Upstream::start().await;
    let more = "[telemetry]\ncapture_content = \"span_and_event\"\n[aliases]\nsmall = \"mine/e-1\"\n";
    let (sink, program) = start("forward_embeddings", upstream.address, more).await;
    // The usage is at the end of more than is kept.
    let data = "0.25,".repeat(10_000);
    let body = format!("{{\"data\":[{data}1],\"usage\":{{\"prompt_tokens\":6,\"total_tokens\":6}}}}");
    let answered = async {
        let (mut connection, _) = upstream.request().await;
        let headers = [("content-type", "application/json"), ("x-request-id", "theirs")];
        connection.write(response("200 OK", &headers, &body)).await;
    };
    let asked = json!({"model": "small", "input": SAID}).to_string();
    let (reply, ()) = tokio::join!(program.send("POST", "/v1/embeddings?a=b", &[JSON], asked), answered);
    assert_eq!(reply.text(), body);
    let ended = program.stop().await;
    let arrived = sink.arrived();
    let tree = only_tree(&arrived);
    assert_eq!(tree.server.name, "POST /v1/embeddings");
    assert_eq!(tree.server.at("http.route"), "/v1/embeddings");
    let inference = tree.inference();
    assert_eq!((inference.name.as_str(), inference.ended()), ("embeddings e-1", (StatusCode::Unset, None)));
    inference.has_exactly(
        json!({
            "gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "mine", "gen_ai.request.model": "e-1",
            "server.address": "127.0.0.1", "server.port": upstream.address.port(), "millpond.route": "small",
            "gen_ai.usage.input_tokens": 6, "millpond.attempts": 1, "millpond.stream.end_reason": "complete",
            "millpond.upstream.request_id": "theirs",
        }),
        &[],
    );
    let attempt = tree.attempt();
    let url = format!("http://{}/v1/embeddings?a=REDACTED", upstream.address);
    assert_eq!((attempt.name.as_str(), attempt.at("url.full")), ("POST", &json!(url)));
    let measures = Measures::last(&arrived);
    let about = [("gen_ai.operation.name", "embeddings"), ("gen_ai.request.model", "e-1")];
    assert_eq!(measures.count(semconv::INFERENCE_DURATION, &about), 1);
    assert_eq!(measures.sum(semconv::USAGE_INPUT, &about), 6.0);
    let served = [("http.route", "/v1/embeddings"), ("http.request.method", "POST")];
    assert_eq!(measures.count(semconv::SERVER_DURATION, &served), 1);
    let line = ended.request();
    for (name, value) in [
        ("route", json!("/v1/embeddings")),
        ("provider", json!("mine")),
        ("model", json!("e-1")),
        ("end", json!("complete")),
        ("status", json!(200)),
        ("input_tokens", json!(6)),
        ("attempts", json!(1)),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    nothing_said(&arrived, &ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_model_is_told_without_one() {
    let mock = Mock::start().await;
    let (sink, program) = start("forward_files", mock.address, "").await;
    assert_eq!(program.send("GET", "/v1/files", &[], "").await.status, 200);
    let ended = program.stop().await;
    let arrived = sink.arrived();
    let tree = only_tree(&arrived);
    assert_eq!((tree.server.name.as_str(), tree.inference().name.as_str()), ("GET /v1/files", "file_list"));
    assert!(
        tree.inference().attributes.keys().all(|name| !name.contains("model") && name != "millpond.route")
    );
    assert_eq!(tree.attempt().name, "GET");
    let measures = Measures::last(&arrived);
    let [series] = measures.find(semconv::INFERENCE_DURATION, &[])[..] else { panic!("not one series") };
    assert!(series.attributes.keys().all(|name| !name.contains("model")), "{:?}", series.attributes);
    let sent = [("http.request.method", "GET")];
    assert_eq!(measures.count(semconv::CLIENT_DURATION, &sent), 1);
    assert_eq!(ended.request()["provider"], "mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_told_as_it_failed() {
    let mock = Mock::start().await;
    let (sink, program) = start("forward_refused", mock.address, "").await;
    let body = json!({"model": "mine/m/429", "input": SAID}).to_string();
    assert_eq!(program.send("POST", "/v1/embeddings", &[JSON], body).await.status, 429);
    let ended = program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("429")));
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), "upstream_error");
    assert_eq!(tree.attempt().at("http.response.status_code"), 429);
    nothing_said(&sink.arrived(), &ended);

    let mut upstream = Upstream::start().await;
    let (sink, program) = start("forward_cut", upstream.address, "").await;
    let mut client = Client::connect(program.address).await;
    client.send("GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut connection, _) = upstream.request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a").await;
    assert_eq!(client.head().await.status, 200);
    drop(connection);
    // A reset is an end as well.
    let _ = client.end().await;
    let ended = program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.inference().name, "file_content");
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("connection_lost")));
    assert_eq!(tree.server.ended(), (StatusCode::Error, Some("connection_lost")));
    assert_eq!(ended.request()["end"], "connection_lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_is_told() {
    let mut upstream = Upstream::start().await;
    let (sink, program) = start("forward_left", upstream.address, "").await;
    let mut client = Client::connect(program.address).await;
    client.send("GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut connection, _) = upstream.request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a").await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    connection.closed().await;
    let ended = program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("client_disconnect")));
    assert_eq!(ended.request()["end"], "client_disconnect");
}
