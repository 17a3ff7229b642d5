//! `POST /v1/completions`: how a text goes on, from whatever provider of chat completions has it.

use millpond::config::KeyHash;
use serde_json::{Value, json};

use crate::harness::{KEY, Mock, Proxy, Reply, assert_stream_headers, provider};
use crate::mended;
use crate::support::completions::{Completion, check_object, check_stream};
use crate::support::contract::End;
use crate::upstream::{Connection, DONE, LAST_CHUNK, Upstream, response};

const PROMPT: &str = "Hello, ducks!";
const WORDS: &str = "You said: “Hello, ducks!”. This comes from the mock provider inside millpond. Its 42 ducks 🦆 \
    drift past the café, the mill (水車) turns, and each piece crossed a real socket.";

/// A piece of a text, and its end.
const PIECE: &str = "data: {\"id\":\"c-1\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"Hello\",\"finish_reason\":null}]}\n\n";
const END: &str = "data: {\"id\":\"c-1\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n";

async fn send(proxy: &Proxy, body: &Value, headers: &[(&str, &str)]) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    proxy.send("POST", "/v1/completions", &all, body.to_string()).await
}

fn ask(model: &str, stream: bool) -> Value {
    let mut body = json!({"model": model, "stream": stream, "prompt": PROMPT});
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

#[track_caller]
fn understood(reply: &Reply, stream: bool) -> Completion {
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    let read = if stream {
        assert_stream_headers(&reply.headers);
        check_stream(&reply.body, true)
    } else {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        check_object(&reply.body)
    };
    read.unwrap_or_else(|rule| panic!("{rule}\n{}", reply.text()))
}

async fn scripted(more: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, more).await;
    (upstream, proxy)
}

/// The manners of the mock that say the words themselves, aloud and to an end that can be seen without quirks.
fn manners() -> Vec<String> {
    let models = millpond::mock::models();
    let manner = |model: &String| model.matches('/').count() < 2 && model != "demo/slow";
    models.into_iter().filter(manner).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_manner_becomes_one_clean_text() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let mut told = 0;
    for model in manners() {
        for stream in [true, false] {
            let reply = send(&proxy, &ask(&model, stream), &[]).await;
            if reply.status.as_u16() == 502 {
                // Without a finish reason and without usage nobody knows that it is all (E5).
                assert_eq!(reply.error(502)["code"], "truncated", "{model}");
                continue;
            }
            let completion = understood(&reply, stream);
            if completion.end != End::Complete {
                assert_eq!(completion.end, End::Fault("truncated".to_owned()), "{model}");
                continue;
            }
            let choice = &completion.choices[&0];
            assert_eq!(choice.finish.as_deref(), Some("stop"), "{model}");
            told += usize::from(choice.text.ends_with(WORDS));
            let (id, _, _) = completion.identity.clone().unwrap();
            assert!(!id.is_empty() && !reply.text().contains("chat.completion"), "{model}: {}", reply.text());
        }
    }
    // But for one that refuses, and some that never say that it is the end.
    assert!(told >= 2 * (manners().len() - 4), "{told} of {} answers", 2 * manners().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_mended_says_what_the_clean_one_says() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let text = |completion: &Completion| completion.choices[&0].text.replace('\u{fffd}', "");
    for fault in mended::FAULTS {
        for stream in [true, false] {
            let mut body = ask(&format!("demo/{fault}"), stream);
            if fault == "slow" {
                body["max_tokens"] = json!(2);
            }
            let completion = understood(&send(&proxy, &body, &[]).await, stream);
            assert_eq!(completion.end, End::Complete, "{fault}");
            let said = text(&completion);
            assert!(said == WORDS || fault == "slow" && WORDS.starts_with(&said), "{fault}: {said}");
            let finish = if fault == "slow" { "length" } else { "stop" };
            assert_eq!(completion.choices[&0].finish.as_deref(), Some(finish), "{fault}");
            assert!(completion.usage.is_some(), "{fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_the_middle_is_the_last_event() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "idle_timeout = \"300ms\"").await;
    for (fault, codes) in [
        ("cut-after-5", ["truncated", "truncated"]),
        ("cut-byte-700", ["truncated", "truncated"]),
        ("abort-after-5", ["connection_lost", "connection_lost"]),
        ("stall-5", ["stalled", "stalled"]),
        ("error-5", ["upstream_error", "upstream_error"]),
        ("error-string-5", ["upstream_error", "upstream_error"]),
        ("error-event-5", ["upstream_error", "upstream_error"]),
        ("error-choice-5", ["upstream_error", "upstream_error"]),
        ("bare-error-5", ["upstream_error", "upstream_error"]),
        ("garbage-5", ["malformed", "malformed"]),
        ("no-finish-no-done", ["truncated", "truncated"]),
    ] {
        let model = format!("demo/{fault}");
        let streamed = understood(&send(&proxy, &ask(&model, true), &[]).await, true);
        assert_eq!(streamed.end, End::Fault(codes[0].to_owned()), "{fault}");
        let text = &streamed.choices[&0].text;
        assert!(!text.is_empty() && WORDS.starts_with(text.as_str()), "{fault}: {text}");
        let object = send(&proxy, &ask(&model, false), &[]).await;
        let status = if codes[1] == "stalled" { 504 } else { 502 };
        assert_eq!(object.error(status)["code"], codes[1], "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_goes_on_as_it_came() {
    let (mut upstream, proxy) = scripted("").await;
    let body = json!({
        "model": "mine/org/m", "prompt": [[1, 2], [3]], "suffix": " end", "echo": true, "logprobs": 3, "n": 2,
        "best_of": 4, "stop": ["\n"], "x_unknown": {"a": [1.5]}, "provider_options": {"mine": {"min_p": 0.1}},
    });
    for stream in [true, false] {
        let mut body = body.clone();
        body["stream"] = json!(stream);
        let serve = async {
            let (mut connection, request) = upstream.request().await;
            connection.write(response("400 No", &[("connection", "close")], "{}")).await;
            connection.closed().await;
            request
        };
        let (reply, request) = tokio::join!(send(&proxy, &body, &[("authorization", "Bearer own")]), serve);
        reply.error(400);
        assert_eq!(request.line, "POST /v1/completions HTTP/1.1");
        assert_eq!(request.header("authorization"), Some("Bearer own"));
        let mut expect = body.clone();
        expect["model"] = json!("org/m");
        expect["stream"] = json!(true);
        expect["stream_options"] = json!({"include_usage": true});
        expect["min_p"] = json!(0.1);
        expect.as_object_mut().unwrap().remove("provider_options");
        assert_eq!(serde_json::from_str::<Value>(&request.body).unwrap(), expect);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_told_only_if_asked_for() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let reply = send(&proxy, &json!({"model": "demo", "stream": true, "prompt": PROMPT}), &[]).await;
    assert_eq!(check_stream(&reply.body, false).unwrap().end, End::Complete);
    // Two answers to each of two prompts.
    let mut body = ask("demo", true);
    body["prompt"] = json!(["a", "b"]);
    body["n"] = json!(2);
    let completion = understood(&send(&proxy, &body, &[]).await, true);
    assert_eq!((completion.choices.len(), completion.end), (4, End::Complete));
}

/// The answer to a request for one text.
async fn tell(connection: &mut Connection) {
    connection.begin().await;
    connection.chunk(&format!("{PIECE}{END}{DONE}")).await;
    connection.write(LAST_CHUNK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_said_nothing_is_followed_by_another() {
    let (mut upstream, proxy) = scripted("[retry]\nbase = \"1ms\"\n").await;
    for stream in [true, false] {
        let body = ask("m", stream);
        let serve = async {
            let (mut connection, _) = upstream.request().await;
            let headers = [("content-type", "application/json"), ("connection", "close")];
            connection.write(response("503 No", &headers, "{\"error\":{\"message\":\"Busy\"}}")).await;
            connection.closed().await;
            let (mut connection, request) = upstream.request().await;
            tell(&mut connection).await;
            request
        };
        let (reply, request) = tokio::join!(send(&proxy, &body, &[]), serve);
        assert_eq!(request.line, "POST /v1/completions HTTP/1.1");
        assert_eq!(understood(&reply, stream).choices[&0].text, "Hello");
        assert_eq!(reply.header("x-millpond-attempts"), Some("2"));
    }
}

/// A body that ends between the answers to two prompts is cut, however well the first one ended (T7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_two_prompts_is_no_answer() {
    let (mut upstream, proxy) = scripted("").await;
    let mut body = ask("m", true);
    body["prompt"] = json!(["a", "b"]);
    let serve = async {
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(&format!("{PIECE}{END}")).await;
        connection.write(LAST_CHUNK).await;
    };
    let (reply, ()) = tokio::join!(send(&proxy, &body, &[]), serve);
    assert_eq!(understood(&reply, true).end, End::Fault("truncated".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_of_another_dialect_refuses_by_name() {
    let mock = Mock::start().await;
    let claude = provider("claude", mock.address, "dialect = \"anthropic\"");
    let texts = provider("texts", mock.address, "dialect = \"openai-completions\"");
    let alias = "[aliases]\neither = [\"claude/m\", \"texts/demo\"]\n";
    let proxy = Proxy::start(&format!("{alias}{claude}{texts}")).await;
    for stream in [true, false] {
        let error = send(&proxy, &ask("claude/m", stream), &[]).await.error(501);
        assert_eq!((&error["type"], &error["provider"]), (&json!("invalid_request_error"), &json!("claude")));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("anthropic") && message.contains("/v1/chat/completions"), "{message}");
        // Another target of an alias is asked in its place.
        let reply = send(&proxy, &ask("either", stream), &[]).await;
        assert_eq!(understood(&reply, stream).choices[&0].text, WORDS);
    }
    assert_eq!(mock.requests().await.len(), 2);
    // The other way round: a server that only goes on with texts is not sent a chat.
    let error = proxy.chat(&crate::harness::ask("texts/demo", true)).await.error(400);
    assert_eq!(error["param"], "messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_and_keys_are_told_as_for_chats() {
    let mock = Mock::start().await;
    let (hash, known) = (KeyHash::of(b"mp-of-a-test"), ("authorization", "Bearer mp-of-a-test"));
    let entry = provider("mine", mock.address, &format!("api_key = \"{KEY}\""));
    let config = format!(
        "default_provider = \"mine\"\n[keys.one]\nhash = \"{hash}\"\nmodels = [\"mine/demo\"]\n{entry}"
    );
    let proxy = Proxy::start(&config).await;
    send(&proxy, &ask("demo", true), &[]).await.error(401);
    send(&proxy, &ask("demo/slow", true), &[known]).await.error(403);
    let reply = send(&proxy, &ask("mine/demo", true), &[known]).await;
    assert_eq!(understood(&reply, true).choices[&0].text, WORDS);
    let sent = mock.requests().await.pop().unwrap();
    assert!(!sent.to_string().contains("mp-of-a-test"));
    let refused = send(&proxy, &json!({"model": "mine/demo", "messages": [{}]}), &[known]).await.error(400);
    assert_eq!(refused["param"], "prompt");
    assert!(refused["message"].as_str().unwrap().contains("/v1/chat/completions"));
    let post = [("content-type", "text/plain"), known];
    proxy.send("POST", "/v1/completions", &post, "{}").await.error(415);
    proxy.send("GET", "/v1/completions", &[known], "").await.error(405);
}

/// Dashboards tell the two operations apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_name_the_operation() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    send(&proxy, &ask("demo", true), &[]).await;
    proxy.chat(&crate::harness::ask("demo", true)).await;
    let page = proxy.get("/metrics").await.text();
    for operation in ["text_completion", "chat"] {
        let label = format!("gen_ai_operation_name=\"{operation}\"");
        let counted = page.lines().find(|line| {
            line.starts_with("gen_ai_client_operation_duration_seconds_count") && line.contains(&label)
        });
        assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{operation}: {page}");
    }
}
