//! Failures in the middle of an answer: one error event, and a clean end.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::early::{MANNERS, three_providers};
use crate::harness::{Mock, Proxy, Reply, ask, ask_usage, check_error, provider};
use crate::support::contract::{Answer, End};
use crate::support::plain;
use crate::upstream::{DONE, FINISH, FIRST, Upstream, text};

/// A fault of the mock in the middle of an answer: its name, its code, the type of the error, and the fault
/// whose bytes say the same up to the break and can be read by anybody.
pub const FAULTS: [(&str, &str, &str, &str); 13] = [
    ("cut-after-3", "truncated", "upstream_error", "cut-after-3"),
    ("cut-byte-300", "truncated", "upstream_error", "cut-byte-300"),
    ("cut-half-3", "truncated", "upstream_error", "cut-half-3"),
    ("abort-after-3", "connection_lost", "upstream_error", "cut-after-3"),
    ("reset-after-3", "connection_lost", "upstream_error", "cut-after-3"),
    ("stall-3", "stalled", "timeout_error", "cut-after-3"),
    ("garbage-2", "malformed", "upstream_error", "cut-after-2"),
    ("error-2", "upstream_error", "upstream_error", "cut-after-2"),
    ("error-string-2", "upstream_error", "upstream_error", "cut-after-2"),
    ("error-event-2", "upstream_error", "upstream_error", "cut-after-2"),
    ("error-choice-2", "upstream_error", "upstream_error", "cut-after-2"),
    ("bare-error-2", "upstream_error", "upstream_error", "cut-after-2"),
    ("huge-frame", "too_large", "upstream_error", "cut-after-1"),
];

/// One fault in one manner.
#[derive(Debug, Clone)]
struct Case {
    manner: &'static str,
    fault: String,
    code: &'static str,
    kind: &'static str,
    readable: String,
}

/// Every fault in every manner, once early in the answer and once late.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for manner in MANNERS {
        for (fault, code, kind, readable) in FAULTS {
            let case = |late: &dyn Fn(&str) -> String| Case {
                manner,
                fault: late(fault),
                code,
                kind,
                readable: late(readable),
            };
            cases.push(case(&str::to_owned));
            if fault != "huge-frame" {
                cases.push(case(&|name| {
                    let (stem, number) = name.rsplit_once('-').unwrap();
                    format!("{stem}-{}", if number == "300" { "5000" } else { "17" })
                }));
            }
        }
    }
    cases
}

/// What the upstream had said of the first choice before the break: reasoning and text.
async fn said_of(mock: &Mock, case: &Case) -> (String, String) {
    let bytes = mock.bytes(&ask_usage(&format!("demo/{}/{}", case.manner, case.readable))).await;
    let mut plain = plain::read("openai-chat", &bytes);
    let choice = plain.choices.remove(&0).unwrap_or_default();
    (choice.reasoning, choice.text)
}

/// Checks what became of an answer that failed before its status line was sent.
fn check_early(case: &Case, reply: &Reply) {
    let error = reply.error(if case.code == "stalled" { 504 } else { 502 });
    check_fault(case, &error);
    assert_eq!(error["upstream_status"], 200, "{case:?}");
}

/// Checks what became of a stream that failed after it had said this.
fn check_stream(case: &Case, reply: &Reply, said: &(String, String)) {
    let answer: Answer = reply.stream(true);
    assert_eq!(answer.end, End::Fault(case.code.to_owned()), "{case:?}: {}", reply.text());
    let text = reply.text();
    assert!(!text.contains("[DONE]") && text.matches("{\"error\":").count() == 1, "{case:?}: {text}");
    let choice = &answer.choices[&0];
    assert_eq!((&choice.reasoning, &choice.text), (&said.0, &said.1), "{case:?}");
    assert_eq!(choice.finish, None, "{case:?}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap().strip_prefix("data: ").unwrap();
    check_fault(case, &serde_json::from_str::<Value>(last).unwrap()["error"]);
}

fn check_fault(case: &Case, error: &Value) {
    check_error(error);
    assert_eq!(error["code"], case.code, "{case:?}: {error}");
    assert_eq!(error["type"], case.kind, "{case:?}: {error}");
    assert_eq!(error["provider"], case.manner, "{case:?}: {error}");
    if case.code == "upstream_error" {
        assert_eq!(error["message"], "The mock failed while it answered.", "{case:?}");
    }
}

/// Plays cases at the same time.
async fn play(cases: Vec<Case>, more: &str) {
    let (mock, proxy) = three_providers(more).await;
    let (mock, proxy) = (Arc::new(mock), Arc::new(proxy));
    let mut playing = JoinSet::new();
    for case in cases {
        let (mock, proxy) = (Arc::clone(&mock), Arc::clone(&proxy));
        playing.spawn(async move {
            let model = format!("{}/demo/{}/{}", case.manner, case.manner, case.fault);
            let said = said_of(&mock, &case).await;
            let streamed = proxy.chat(&ask_usage(&model)).await;
            let object = proxy.chat(&ask(&model, false)).await;
            let silent = said.0.is_empty() && said.1.is_empty();
            // A body that ends before it said anything is not cut, but empty (E5).
            let code = if silent && case.code == "truncated" { "empty" } else { case.code };
            let case = Case { code, ..case };
            check_early(&case, &object);
            if silent {
                check_early(&case, &streamed)
            } else {
                check_stream(&case, &streamed, &said)
            }
            !silent
        });
    }
    let told_in_the_stream = playing.join_all().await;
    assert!(told_in_the_stream.contains(&true), "no fault came after the first event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_told_in_the_stream() {
    let sudden = cases().into_iter().filter(|case| !matches!(case.code, "stalled" | "too_large"));
    play(sudden.collect(), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_in_the_stream() {
    play(cases().into_iter().filter(|case| case.code == "stalled").collect(), "idle_timeout = \"500ms\"")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_20_mib_is_too_large() {
    play(cases().into_iter().filter(|case| case.code == "too_large").collect(), "").await;
}

/// What a client gets whose upstream writes this body and breaks off, announced as longer than it is.
async fn broken(body: &str, stream: bool, reset: bool) -> Reply {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let request = if stream { ask_usage("m") } else { ask("m", false) };
    let writing = async {
        let (mut connection, _) = upstream.request().await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n";
        connection.write([head, body].concat()).await;
        if reset { connection.reset() } else { drop(connection) }
    };
    tokio::join!(proxy.chat(&request), writing).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_shorter_than_it_was_announced_is_a_lost_connection() {
    for body in [FIRST.to_owned(), [FIRST, &text(" and half of "), &FINISH[..50]].concat()] {
        let reply = broken(&body, true, false).await;
        assert_eq!(reply.stream(true).end, End::Fault("connection_lost".to_owned()), "{}", reply.text());
        assert_eq!(broken(&body, false, false).await.error(502)["code"], "connection_lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_behind_the_finish_costs_nothing() {
    for stream in [true, false] {
        let reply = broken(&[FIRST, FINISH].concat(), stream, false).await;
        let answer = if stream { reply.complete(true) } else { reply.object() };
        assert_eq!((answer.choices[&0].text.as_str(), answer.usage), ("Hello", None));
        let reply = broken(&[FIRST, FINISH, DONE].concat(), stream, true).await;
        let answer = if stream { reply.complete(true) } else { reply.object() };
        assert_eq!(answer.choices[&0].text, "Hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_frame_is_the_operators() {
    let mock = Mock::start().await;
    let config = format!("frame_limit_bytes = 1000000\n{}", provider("openrouter", mock.address, ""));
    let proxy = Proxy::start(&config).await;
    let answer = proxy.chat(&ask("openrouter/demo/openrouter/huge-frame", true)).await.stream(false);
    assert_eq!(answer.end, End::Fault("too_large".to_owned()));
    let config = format!("frame_limit_bytes = 30000000\n{}", provider("openrouter", mock.address, ""));
    let proxy = Proxy::start(&config).await;
    // The frame is whole, and so is the answer; its padding is an unknown field and passes.
    let reply = proxy.chat(&ask("openrouter/demo/openrouter/huge-frame", true)).await;
    assert!(reply.body.len() > 20 << 20);
    assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
}
