//! Clients that leave, and the program that is told to stop: what is recorded of answers that nobody waits
//! for.

use std::time::Duration;

use millpond::telemetry::semconv;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{Mock, ask, ask_usage, until, within};
use crate::measure::Measures;
use crate::program::{Ended, FLUSH, Program};
use crate::sink::{Arrived, Sink};
use crate::trace::{Tree, only_tree};
use crate::upstream::{Connection, DONE, FINISH, FIRST, LAST_CHUNK, Upstream, text};

const USAGE: &str = "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":5,\"total_tokens\":16}}\n\n";
/// How many answers have begun, in `GET /metrics`.
const FIRST_EVENT: &str =
    "millpond_overhead_duration_seconds_count{gen_ai_provider_name=\"mine\",millpond_phase=\"first_byte\"}";
/// How many requests are under way, in `GET /metrics`.
const ACTIVE: &str = "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}";
const LEFT: &str = "client_disconnect";

/// How many clients have left in this phase, in `GET /metrics`.
fn left(phase: &str) -> String {
    format!("millpond_client_disconnects_total{{gen_ai_provider_name=\"mine\",millpond_phase=\"{phase}\"}}")
}

/// A client that can be seen to have left.
struct Visitor {
    stream: TcpStream,
    seen: String,
}

impl Visitor {
    async fn ask(program: &Program, body: &Value) -> Visitor {
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Visitor::say(program, &(head + &body)).await
    }

    async fn say(program: &Program, text: &str) -> Visitor {
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        Visitor { stream, seen: String::new() }
    }

    /// Reads until there was this text; gives all that was read so far.
    async fn sees(&mut self, text: &str) -> &str {
        while !self.seen.contains(text) {
            let mut bytes = [0; 4096];
            let read = within(text, self.stream.read(&mut bytes)).await.unwrap();
            assert!(read > 0, "the connection ended: {}", self.seen);
            self.seen += std::str::from_utf8(&bytes[..read]).unwrap();
        }
        &self.seen
    }

    /// Stops to listen, and waits until that was noticed.
    async fn leave(mut self) {
        self.stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        // Noticed is noticed, be it with a reset.
        let _ = within("the end of the connection", self.stream.read_to_end(&mut bytes)).await;
    }
}

/// Everything that one request takes, started: the client has asked, the upstream was asked.
struct Scene {
    sink: Sink,
    program: Program,
    client: Visitor,
    connection: Connection,
}

impl Scene {
    async fn new(test: &str, config: &str, stream: bool) -> Scene {
        let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
        let program = Program::before(test, upstream.address, config, &[sink.endpoint()]).await;
        let body = if stream { ask_usage("mine/m") } else { ask("mine/m", false) };
        let client = Visitor::ask(&program, &body).await;
        let (connection, _) = upstream.request().await;
        Scene { sink, program, client, connection }
    }

    /// The client has the first event of its stream.
    async fn begun(test: &str, config: &str) -> Scene {
        let mut scene = Scene::new(test, config, true).await;
        scene.connection.begin().await;
        scene.connection.chunk(FIRST).await;
        assert!(scene.client.sees("Hello").await.starts_with("HTTP/1.1 200 "));
        scene
    }

    /// The client leaves; the upstream's connection must be closed. Then the program stops.
    async fn leave(mut self) -> (Arrived, Ended) {
        self.client.leave().await;
        self.connection.closed().await;
        let ended = self.program.stop().await;
        (self.sink.arrived(), ended)
    }
}

/// What is recorded of a client that left, in this phase.
#[track_caller]
fn check_left(arrived: &Arrived, ended: &Ended, phase: &str) -> Tree {
    let tree = only_tree(arrived);
    let inference = tree.inference();
    assert_eq!(inference.ended(), (StatusCode::Error, Some(LEFT)), "{tree:#?}");
    assert_eq!(inference.at("millpond.stream.end_reason"), LEFT);
    assert_eq!(tree.attempt().ended(), (StatusCode::Error, Some(LEFT)));
    // Nothing is wrong with the server.
    assert_eq!(tree.server.status, StatusCode::Unset);
    let measures = Measures::last(arrived);
    let sum = |metric, with: &[(&str, &str)]| measures.sum(metric, with);
    let provider = (semconv::PROVIDER, "mine");
    assert_eq!(sum(semconv::DISCONNECTS, &[provider, (semconv::PHASE, phase)]), 1.0);
    assert_eq!(sum(semconv::DISCONNECTS, &[]), 1.0);
    assert_eq!(sum(semconv::STREAM_END, &[provider, (semconv::END_REASON, LEFT)]), 1.0);
    assert_eq!(sum(semconv::ATTEMPTS_MADE, &[provider, (semconv::OUTCOME, LEFT)]), 1.0);
    assert_eq!(sum(semconv::STREAMS_ACTIVE, &[provider]), 0.0);
    assert_eq!(sum(semconv::SERVER_ACTIVE, &[]), 0.0);
    assert_eq!(measures.count(semconv::INFERENCE_DURATION, &[(semconv::ERROR_TYPE, LEFT)]), 1);
    let line = ended.request();
    assert_eq!(line["end"], LEFT, "{line}");
    let status = if phase == "in_body" { json!(200) } else { Value::Null };
    assert_eq!(line["status"], status, "{line}");
    assert_eq!(tree.server.at("http.response.status_code"), &status);
    tree
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_byte() {
    for stream in [true, false] {
        let scene = Scene::new(&format!("left_early_{stream}"), "", stream).await;
        let (arrived, ended) = scene.leave().await;
        let tree = check_left(&arrived, &ended, "before_first_byte");
        assert_eq!(tree.attempt().at("http.response.status_code"), &Value::Null);
        for absent in ["gen_ai.response.id", "gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens"] {
            assert_eq!(tree.inference().at(absent), &Value::Null, "{absent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_had_begun_upstream() {
    let mut scene = Scene::new("left_object", "", false).await;
    scene.connection.begin().await;
    scene.connection.chunk(FIRST).await;
    scene.program.until_series(FIRST_EVENT, "1").await;
    let (arrived, ended) = scene.leave().await;
    let tree = check_left(&arrived, &ended, "before_first_byte");
    assert_eq!(tree.attempt().at("http.response.status_code"), 200);
    assert_eq!(tree.inference().at("gen_ai.response.finish_reasons"), &json!(["error"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_body() {
    let (arrived, ended) = Scene::begun("left_in_body", "").await.leave().await;
    let tree = check_left(&arrived, &ended, "in_body");
    assert_eq!(tree.attempt().at("http.response.status_code"), 200);
    let inference = tree.inference();
    // What was known so far is told, and nothing else.
    assert_eq!(inference.at("gen_ai.response.id"), "c-1");
    assert_eq!(inference.at("gen_ai.response.finish_reasons"), &json!(["error"]));
    assert!(inference.at("gen_ai.response.time_to_first_chunk").is_f64());
    assert_eq!(inference.at("gen_ai.usage.input_tokens"), &Value::Null);
    assert!(ended.request()["time_to_first_event_ms"].is_number(), "{}", ended.request());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_came_before_is_kept() {
    let mut scene = Scene::begun("left_usage", "").await;
    let early = USAGE.replace(
        "\"choices\":[]",
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" and\"},\"finish_reason\":null}]",
    );
    scene.connection.chunk(early).await;
    scene.client.sees(" and").await;
    let (arrived, ended) = scene.leave().await;
    let tree = check_left(&arrived, &ended, "in_body");
    assert_eq!(tree.inference().at("gen_ai.usage.input_tokens"), 11);
    assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), 5);
    assert_eq!(ended.request()["output_tokens"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_its_own_request() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("left_asking", mock.address, "", &[sink.endpoint()]).await;
    let part = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let client = Visitor::say(&program, part).await;
    program.until_series(ACTIVE, "1").await;
    client.leave().await;
    program.until_series(ACTIVE, "0").await;
    let ended = program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert!(tree.inference.is_none());
    assert_eq!(tree.server.status, StatusCode::Unset);
    assert_eq!(ended.requests().len(), 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_reads_on_for_the_true_usage() {
    let mut scene = Scene::begun("drain_usage", "on_disconnect = \"drain\"").await;
    scene.client.leave().await;
    scene.connection.open().await;
    scene.connection.chunk(text(" ducks")).await;
    scene.connection.open().await;
    scene.connection.chunk([FINISH, USAGE, DONE].concat()).await;
    scene.connection.write(LAST_CHUNK).await;
    scene.program.until_series(&left("in_body"), "1").await;
    let ended = scene.program.stop().await;
    let arrived = scene.sink.arrived();
    let tree = only_tree(&arrived);
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), LEFT);
    assert_eq!(tree.inference().at("gen_ai.usage.input_tokens"), 11);
    assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), 5);
    assert_eq!(tree.inference().at("gen_ai.response.finish_reasons"), &json!(["stop"]));
    let measures = Measures::last(&arrived);
    assert_eq!(measures.sum(semconv::USAGE_OUTPUT, &[]), 5.0);
    assert_eq!(measures.sum(semconv::DISCONNECTS, &[(semconv::PHASE, "in_body")]), 1.0);
    assert_eq!(measures.sum(semconv::STREAMS_ACTIVE, &[]), 0.0);
    assert_eq!(ended.request()["output_tokens"], 5, "{}", ended.request());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_before_the_first_byte_reads_on_too() {
    for stream in [true, false] {
        let test = format!("drain_early_{stream}");
        let mut scene = Scene::new(&test, "on_disconnect = \"drain\"", stream).await;
        scene.client.leave().await;
        scene.connection.open().await;
        scene.connection.begin().await;
        scene.connection.chunk([FIRST, FINISH, USAGE, DONE].concat()).await;
        scene.connection.write(LAST_CHUNK).await;
        scene.program.until_series(&left("before_first_byte"), "1").await;
        scene.program.stop().await;
        let tree = only_tree(&scene.sink.arrived());
        assert_eq!(tree.inference().at("millpond.stream.end_reason"), LEFT, "{stream}");
        assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), 5, "{stream}");
        assert_eq!(tree.server.at("http.response.status_code"), &Value::Null, "{stream}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_on_may_end_when_the_program_is_told_to_stop() {
    let mut scene = Scene::begun("drain_stopping", "on_disconnect = \"drain\"").await;
    scene.client.leave().await;
    scene.connection.open().await;
    scene.program.signal();
    let address = scene.program.address;
    until("the refusal of new connections", async || TcpStream::connect(address).await.is_err()).await;
    scene.connection.open().await;
    scene.connection.chunk([FINISH, USAGE, DONE].concat()).await;
    scene.connection.write(LAST_CHUNK).await;
    scene.program.ended().await;
    let tree = only_tree(&scene.sink.arrived());
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), LEFT);
    assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_on_does_not_hold_the_program_for_ever() {
    let config = "on_disconnect = \"drain\"\ndrain = \"300ms\"";
    let scene = Scene::begun("drain_for_ever", config).await;
    scene.client.leave().await;
    let ended = scene.program.stop().await;
    assert!(ended.took < Duration::from_millis(300) + FLUSH, "{:?}", ended.took);
    let inference = only_tree(&scene.sink.arrived()).inference.unwrap();
    assert_eq!(inference.status, StatusCode::Error);
    assert_eq!(inference.at("gen_ai.response.id"), "c-1");
    assert_eq!(Measures::last(&scene.sink.arrived()).sum(semconv::STREAMS_ACTIVE, &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_has_a_limit() {
    let config = "on_disconnect = \"drain\"\ndrain_limit = \"300ms\"";
    let scene = Scene::begun("drain_limit", config).await;
    let (arrived, ended) = scene.leave().await;
    let tree = check_left(&arrived, &ended, "in_body");
    assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), &Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_no_limit_for_those_who_stay() {
    let mut scene = Scene::begun("drain_stay", "on_disconnect = \"drain\"\ndrain_limit = \"1ms\"").await;
    scene.connection.chunk([FINISH, USAGE, DONE].concat()).await;
    scene.connection.write(LAST_CHUNK).await;
    scene.client.sees(DONE).await;
    scene.program.stop().await;
    let tree = only_tree(&scene.sink.arrived());
    assert_eq!(tree.inference().ended(), (StatusCode::Unset, None));
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), "complete");
    assert_eq!(Measures::last(&scene.sink.arrived()).sum(semconv::DISCONNECTS, &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_running_at_the_end_is_recorded_whole() {
    let mut scene = Scene::begun("running", "").await;
    scene.program.signal();
    let address = scene.program.address;
    until("the refusal of new connections", async || TcpStream::connect(address).await.is_err()).await;
    scene.connection.chunk([FINISH, USAGE, DONE].concat()).await;
    scene.connection.write(LAST_CHUNK).await;
    scene.client.sees(DONE).await;
    scene.program.ended().await;
    let tree = only_tree(&scene.sink.arrived());
    assert_eq!(tree.inference().ended(), (StatusCode::Unset, None));
    assert_eq!(tree.inference().at("gen_ai.usage.output_tokens"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_end_is_ended_by_the_drain() {
    let mut scene = Scene::begun("draining", "drain = \"300ms\"").await;
    let start = Instant::now();
    scene.program.signal();
    // The client is told; its stream is not just broken off.
    let all = scene.client.sees(LAST_CHUNK).await;
    assert!(all.contains("\"code\":\"draining\"") && !all.contains(DONE), "{all}");
    scene.connection.closed().await;
    let ended = scene.program.ended().await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(300) + FLUSH, "{took:?}");
    let arrived = scene.sink.arrived();
    let tree = only_tree(&arrived);
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("draining")));
    assert_eq!(tree.inference().at("millpond.stream.end_reason"), "draining");
    let measures = Measures::last(&arrived);
    assert_eq!(measures.sum(semconv::STREAM_END, &[(semconv::END_REASON, "draining")]), 1.0);
    assert_eq!(measures.sum(semconv::STREAMS_ACTIVE, &[]), 0.0);
    assert_eq!(ended.request()["end"], "draining");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_begun_at_the_end_of_the_drain_is_an_http_error() {
    let mut scene = Scene::new("draining_early", "drain = \"300ms\"", true).await;
    scene.program.signal();
    let all = scene.client.sees("\"code\":\"draining\"").await;
    assert!(all.starts_with("HTTP/1.1 503 "), "{all}");
    scene.program.ended().await;
    let tree = only_tree(&scene.sink.arrived());
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("draining")));
    assert_eq!(tree.server.ended(), (StatusCode::Error, Some("503")));
}
