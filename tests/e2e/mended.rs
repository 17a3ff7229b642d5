//! What the proxy mends: the answer is complete, and says what the clean one says.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::early::{MANNERS, three_providers};
use crate::harness::{ask, ask_usage};
use crate::support::contract::{Answer, End};
use crate::support::plain;

/// The faults of the mock that cost nothing.
pub const FAULTS: [&str; 17] = [
    "slow",
    "json",
    "no-done",
    "no-blank-line",
    "after-done",
    "done-spaces",
    "bom",
    "crlf",
    "cr",
    "keep-alives",
    "bad-utf8-3",
    "nan-3",
    "surrogate",
    "unknown-frame-2",
    "null-choices",
    "bad-type-3",
    "drip",
];
/// Faults that cost the answer unless its usage came (E5).
pub const UNFINISHED: [&str; 2] = ["no-finish", "no-finish-no-done"];

/// What a client understood, as far as a fault must not change it: reasoning, text, finish, usage.
fn meaning(answer: &Answer, fault: &str) -> (String, String, Option<String>, Option<Value>) {
    let choice = &answer.choices[&0];
    // Invalid bytes become replacement characters; what stands around them is whole.
    let whole = |text: &str| text.replace('\u{fffd}', "");
    // A token is a piece: a letter that is split in two counts twice.
    let usage = answer.usage.clone().filter(|_| fault != "surrogate");
    (whole(&choice.reasoning), whole(&choice.text), choice.finish.clone(), usage)
}

fn body(manner: &str, fault: &str, stream: bool) -> Value {
    let model = format!("{manner}/demo/{manner}{fault}");
    let mut body = if stream { ask_usage(&model) } else { ask(&model, false) };
    if fault == "/slow" {
        // Each token is a quarter of a second.
        body["max_tokens"] = 4.into();
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mended_answer_says_what_the_clean_one_says() {
    let (_mock, proxy) = three_providers("").await;
    let proxy = Arc::new(proxy);
    let mut playing = JoinSet::new();
    for manner in MANNERS {
        for fault in FAULTS {
            let proxy = Arc::clone(&proxy);
            playing.spawn(async move {
                let mut clean = body(manner, &format!("/{fault}"), true);
                clean["model"] = format!("{manner}/demo/{manner}").into();
                let clean = proxy.chat(&clean).await.complete(true);
                let limited = fault == "slow";
                assert_eq!(
                    clean.choices[&0].finish.as_deref(),
                    Some(if limited { "length" } else { "stop" })
                );
                assert!(clean.usage.is_some(), "{manner}");
                let streamed = proxy.chat(&body(manner, &format!("/{fault}"), true)).await.complete(true);
                assert_eq!(meaning(&streamed, fault), meaning(&clean, fault), "{manner}/{fault}");
                let object = proxy.chat(&body(manner, &format!("/{fault}"), false)).await.object();
                assert_eq!(meaning(&object, fault), meaning(&clean, fault), "{manner}/{fault} as an object");
            });
        }
    }
    while let Some(played) = playing.join_next().await {
        played.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_finish_reason_the_usage_decides() {
    let (mock, proxy) = three_providers("").await;
    let mut endings = Vec::new();
    for manner in MANNERS {
        let clean = proxy.chat(&body(manner, "", true)).await.complete(true);
        for fault in UNFINISHED {
            let plain =
                plain::read("openai-chat", &mock.bytes(&ask_usage(&format!("demo/{manner}/{fault}"))).await);
            let complete = plain.done && !plain.usages.is_empty();
            let reply = proxy.chat(&body(manner, &format!("/{fault}"), true)).await;
            let answer = reply.stream(true);
            assert_eq!(answer.choices[&0].text, clean.choices[&0].text, "{manner}/{fault}");
            let object = proxy.chat(&body(manner, &format!("/{fault}"), false)).await;
            if complete {
                assert_eq!(answer.end, End::Complete, "{manner}/{fault}: {}", reply.text());
                assert_eq!(meaning(&answer, fault), meaning(&clean, fault), "{manner}/{fault}");
                assert_eq!(meaning(&object.object(), fault), meaning(&clean, fault), "{manner}/{fault}");
            } else {
                assert_eq!(answer.end, End::Fault("truncated".to_owned()), "{manner}/{fault}");
                assert_eq!(object.error(502)["code"], "truncated", "{manner}/{fault}");
            }
            endings.push(complete);
        }
    }
    assert!(endings.contains(&true) && endings.contains(&false), "{endings:?}");
}
