//! Whole answers through HTTP: candidates, tools, reasoning; many at once; byte by byte.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::early::three_providers;
use crate::harness::{Mock, Proxy, ask, ask_usage};
use crate::support::contract::{Answer, check_parts};

/// The answer as a stream and as an object, which must say the same.
async fn both(proxy: &Proxy, mut body: Value) -> Answer {
    let streamed = proxy.chat(&body).await.complete(true);
    body["stream"] = false.into();
    body.as_object_mut().unwrap().remove("stream_options");
    let object = proxy.chat(&body).await.object();
    assert_eq!(streamed.choices.len(), object.choices.len());
    for (index, choice) in &streamed.choices {
        let other = &object.choices[index];
        assert_eq!((&choice.text, &choice.reasoning), (&other.text, &other.reasoning));
        assert_eq!((&choice.calls, &choice.finish), (&other.calls, &other.finish));
    }
    assert_eq!(streamed.usage, object.usage);
    check_parts(streamed.usage.as_ref().unwrap()).unwrap();
    streamed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_candidates_are_two_choices() {
    let (_mock, proxy) = three_providers("").await;
    let mut body = ask_usage("openai/demo/openai");
    body["n"] = 2.into();
    let answer = both(&proxy, body).await;
    let texts: Vec<&str> = answer.choices.values().map(|choice| choice.text.as_str()).collect();
    assert_eq!(answer.choices.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert!(texts[0].starts_with("You said: ") && texts[1].starts_with("Again, you said: "), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_called() {
    let (_mock, proxy) = three_providers("").await;
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        }}})
    };
    for manner in ["openai", "openrouter", "mistral"] {
        let mut body = ask_usage(&format!("{manner}/demo/{manner}"));
        body["tools"] = json!([tool("weather"), tool("tides")]);
        let answer = both(&proxy, body).await;
        let choice = &answer.choices[&0];
        let names: Vec<&str> = choice.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["weather", "tides"], "{manner}");
        for call in &choice.calls {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            assert!(arguments["city"].is_string() && arguments["days"].is_i64(), "{manner}: {arguments}");
        }
        assert_eq!(choice.finish.as_deref(), Some("tool_calls"), "{manner}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reasoning_leaves_in_both_fields() {
    let (_mock, proxy) = three_providers("").await;
    let answer = both(&proxy, ask_usage("openrouter/demo/openrouter")).await;
    let choice = &answer.choices[&0];
    assert!(choice.reasoning.contains("naïve as they are") && !choice.details.is_empty());
    assert!(choice.text.starts_with("You said: “Hello, ducks!”."), "{}", choice.text);
    let reply = proxy.chat(&ask("openrouter/demo/openrouter", true)).await;
    let text = reply.text();
    assert!(text.contains("\"reasoning_content\":\"") && text.contains("\"reasoning\":\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_comes_only_if_it_was_asked_for() {
    let (_mock, proxy) = three_providers("").await;
    for manner in ["openai", "openrouter", "mistral"] {
        let model = format!("{manner}/demo/{manner}");
        assert!(proxy.chat(&ask_usage(&model)).await.complete(true).usage.is_some(), "{manner}");
        let reply = proxy.chat(&ask(&model, true)).await;
        reply.complete(false);
        assert!(!reply.text().contains("usage"), "{manner}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_at_once_are_all_complete() {
    let mock = Mock::start().await;
    let proxy = Arc::new(Proxy::of("mine", mock.address, "").await);
    let mut streams = JoinSet::new();
    for number in 0..100 {
        let proxy = Arc::clone(&proxy);
        streams.spawn(async move {
            let mut body = ask("demo", true);
            body["messages"][0]["content"] = format!("number {number}!").into();
            let answer = proxy.chat(&body).await.complete(false);
            let text = &answer.choices[&0].text;
            assert!(text.starts_with(&format!("You said: “number {number}!”.")), "{text}");
            assert!(text.ends_with("each piece crossed a real socket."), "{text}");
            answer.identity.unwrap().0
        });
    }
    let ids = streams.join_all().await;
    assert_eq!(ids.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    // curl does so for long bodies.
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let mut client = Client::connect(proxy.address).await;
    let body = ask("demo", true).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n", body.len())).await;
    assert_eq!(client.head().await.status, 100);
    client.send(body).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.rest().await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_prompt_passes() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let mut body = ask("demo", true);
    body["messages"][0]["content"] = "duck ".repeat(2 << 20).into();
    proxy.chat(&body).await.complete(false);
}
