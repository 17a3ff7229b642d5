//! A thousand requests of all kinds at once: each has one tree, one log line and one count, and none has two.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use millpond::telemetry::semconv;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::harness::{Mock, ask, listen, within};
use crate::measure::Measures;
use crate::nobody::Nobody;
use crate::outcomes::context;
use crate::program::{Program, provider};
use crate::sink::Sink;
use crate::trace::{Tree, trees};

const REQUESTS: usize = 1000;
/// How many are under way at once.
const AT_ONCE: usize = 48;

/// A kind of request, and what becomes of it.
#[derive(Debug, Clone, Copy)]
struct Kind {
    model: &'static str,
    stream: bool,
    /// When the client leaves, if it does.
    leaves: Leaves,
    /// The status that the client gets; 0 if it leaves before.
    status: u16,
    /// `error.type` of the inference; None on success.
    error: Option<&'static str>,
    /// There is an inference.
    asked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    Never,
    BeforeTheAnswer,
    InTheBody,
}

const COMPLETE: Kind = Kind {
    model: "mine/demo/openai",
    stream: true,
    leaves: Leaves::Never,
    status: 200,
    error: None,
    asked: true,
};

/// The kinds, in turn.
const KINDS: [Kind; 16] = [
    COMPLETE,
    Kind { stream: false, ..COMPLETE },
    Kind { model: "mine/demo/groq", ..COMPLETE },
    Kind { model: "mine/demo/perplexity", stream: false, ..COMPLETE },
    Kind { model: "mine/demo/openai/cut-after-3", error: Some("truncated"), ..COMPLETE },
    Kind { model: "mine/demo/openai/error-2", error: Some("upstream_error"), ..COMPLETE },
    Kind { model: "mine/demo/openai/reset-after-3", error: Some("connection_lost"), ..COMPLETE },
    Kind { model: "mine/demo/openai/empty", stream: false, status: 502, error: Some("empty"), ..COMPLETE },
    Kind { model: "mine/demo/openai/401", status: 401, error: Some("401"), ..COMPLETE },
    Kind { model: "mine/demo/openai/429", stream: false, status: 429, error: Some("429"), ..COMPLETE },
    Kind { model: "mine/demo/openai/500", status: 500, error: Some("500"), ..COMPLETE },
    Kind { model: "nobody/m", status: 502, error: Some("connect"), ..COMPLETE },
    Kind { model: "azure/m", status: 404, asked: false, ..COMPLETE },
    Kind { model: "", status: 400, asked: false, ..COMPLETE },
    Kind {
        model: "silent/m",
        leaves: Leaves::BeforeTheAnswer,
        status: 0,
        error: Some("client_disconnect"),
        ..COMPLETE
    },
    Kind {
        model: "mine/demo/openai/stall-3",
        leaves: Leaves::InTheBody,
        error: Some("client_disconnect"),
        ..COMPLETE
    },
];

/// A provider that never answers, and keeps which traces asked it.
#[derive(Debug, Clone, Default)]
struct Silent(Arc<Mutex<HashSet<String>>>, Arc<Notify>);

impl Silent {
    async fn start(&self) -> SocketAddr {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/chat/completions", post(silence)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    async fn is_asked(&self, trace: &str) {
        loop {
            let more = self.1.notified();
            if self.0.lock().unwrap().contains(trace) {
                return;
            }
            more.await;
        }
    }
}

async fn silence(State(silent): State<Silent>, headers: HeaderMap) {
    let trace = headers["traceparent"].to_str().unwrap().split('-').nth(1).unwrap().to_owned();
    silent.0.lock().unwrap().insert(trace);
    silent.1.notify_waiters();
    std::future::pending().await
}

/// Plays one request to its end.
async fn play(program: &Program, silent: &Silent, kind: Kind, number: usize) {
    let (traceparent, trace) = context(number);
    let body = ask(kind.model, kind.stream);
    if kind.leaves == Leaves::Never {
        let reply = program.chat_with(&body, &[("traceparent", &traceparent)]).await;
        assert_eq!(reply.status.as_u16(), kind.status, "{kind:?}: {}", reply.text());
        return;
    }
    let mut client = Client::connect(program.address).await;
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntraceparent: {traceparent}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(head + &body).await;
    if kind.leaves == Leaves::InTheBody {
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.is_some());
    } else {
        within("the upstream's request", silent.is_asked(&trace)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_have_a_thousand_trees() {
    let (sink, mock, silent) = (Sink::start().await, Mock::start().await, Silent::default());
    let nobody = Nobody::new();
    let config = [
        // Failures are what is asked for here.
        "breaker.failures = 0\n".to_owned(),
        provider("mine", mock.address, ""),
        provider("silent", silent.start().await, ""),
        provider("nobody", nobody.address(), ""),
    ]
    .concat();
    // Batches leave while requests run.
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned());
    let program = Arc::new(Program::start("many", &config, &[sink.endpoint(), delay]).await);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for number in 0..REQUESTS {
        let (program, room, silent) = (Arc::clone(&program), Arc::clone(&room), silent.clone());
        playing.spawn(async move {
            let _place = room.acquire().await.unwrap();
            play(&program, &silent, KINDS[number % KINDS.len()], number).await;
        });
    }
    playing.join_all().await;
    let ended = Arc::into_inner(program).unwrap().stop().await;
    let arrived = sink.arrived();
    assert!(arrived.traces.len() > 1, "spans came in batches");
    let trees = trees(&arrived);
    let mut asked: HashMap<Option<&str>, u64> = HashMap::new();
    for number in 0..REQUESTS {
        let (kind, (_, trace)) = (KINDS[number % KINDS.len()], context(number));
        let tree = trees.get(&trace).unwrap_or_else(|| panic!("{kind:?} number {number} has no tree"));
        check(tree, kind);
        if kind.asked {
            *asked.entry(kind.error).or_default() += 1;
        }
    }
    assert_eq!(trees.len(), REQUESTS, "there are trees that nobody asked for");
    let lines = ended.requests();
    let logged: HashSet<&str> = lines.iter().map(|line| line["trace_id"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), logged.len()), (REQUESTS, REQUESTS));
    let ids: HashSet<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), REQUESTS);
    assert!(logged.iter().all(|trace| trees.contains_key(*trace)));
    check_counts(&Measures::last(&arrived), &asked);
}

#[track_caller]
fn check(tree: &Tree, kind: Kind) {
    let status = if kind.status == 0 { json!(null) } else { json!(kind.status) };
    assert_eq!(tree.server.at("http.response.status_code"), &status, "{kind:?}: {tree:#?}");
    assert_eq!(tree.inference.is_some(), kind.asked, "{kind:?}: {tree:#?}");
    if !kind.asked {
        return;
    }
    let failed = if kind.error.is_some() { StatusCode::Error } else { StatusCode::Unset };
    assert_eq!(tree.inference().ended(), (failed, kind.error), "{kind:?}: {tree:#?}");
    assert_eq!(tree.attempt().ended(), (failed, kind.error), "{kind:?}: {tree:#?}");
}

#[track_caller]
fn check_counts(measures: &Measures, asked: &HashMap<Option<&str>, u64>) {
    for (error, count) in asked {
        let outcome = error.unwrap_or("ok");
        let counted = measures.sum(semconv::ATTEMPTS_MADE, &[(semconv::OUTCOME, outcome)]);
        assert_eq!(counted, *count as f64, "{outcome}");
        if let Some(error) = error {
            let counted = measures.count(semconv::INFERENCE_DURATION, &[(semconv::ERROR_TYPE, error)]);
            assert_eq!(counted, *count, "{error}");
        }
    }
    let all: u64 = asked.values().sum();
    assert_eq!(measures.sum(semconv::STREAM_END, &[]), all as f64);
    assert_eq!(measures.count(semconv::INFERENCE_DURATION, &[]), all);
    assert_eq!(measures.count(semconv::CLIENT_DURATION, &[]), all);
    assert_eq!(measures.count(semconv::SERVER_DURATION, &[]), REQUESTS as u64);
    assert_eq!(measures.sum(semconv::SERVER_ACTIVE, &[]), 0.0);
    assert_eq!(measures.sum(semconv::STREAMS_ACTIVE, &[]), 0.0);
    let left = |phase| measures.sum(semconv::DISCONNECTS, &[(semconv::PHASE, phase)]);
    assert_eq!(left("before_first_byte") + left("in_body"), asked[&Some("client_disconnect")] as f64);
    assert!(left("before_first_byte") > 0.0 && left("in_body") > 0.0);
}
