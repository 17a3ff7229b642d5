//! `POST /v1/messages`: clients of Anthropic's API, whatever the provider behind speaks.

use millpond::config::KeyHash;
use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Mock, Proxy, Reply, assert_stream_headers, provider};
use crate::native::rows::{NATIVES, Native};
use crate::native::{THOUGHT, WORDS, start};
use crate::support::contract::End;
use crate::support::messages::{Message, as_object, check_error, check_object, check_stream};
use crate::upstream::{DONE, FINISH, FIRST, LAST_CHUNK, Upstream, response};

const FORGETFUL: &str = "[reasoning_memory]\nenabled = false\n";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

async fn send(proxy: &Proxy, body: &Value, headers: &[(&str, &str)]) -> Reply {
    let mut all = vec![("content-type", "application/json"), VERSION];
    all.extend(headers);
    proxy.send("POST", "/v1/messages?beta=true", &all, body.to_string()).await
}

#[track_caller]
fn understood(reply: &Reply, stream: bool) -> Message {
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    assert!(reply.header("request-id").is_some());
    let message = if stream {
        assert_stream_headers(&reply.headers);
        check_stream(&reply.body).map(|message| Message { content: as_object(&message).content, ..message })
    } else {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        check_object(&reply.body)
    };
    message.unwrap_or_else(|rule| panic!("{rule}\n{}", reply.text()))
}

#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str) -> Value {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("request-id").is_some());
    let body = reply.json();
    check_error(&body).unwrap_or_else(|rule| panic!("{rule}: {body}"));
    assert_eq!(body["error"]["type"], kind, "{body}");
    body["error"].clone()
}

fn ask(model: &str, stream: bool) -> Value {
    json!({
        "model": model,
        "max_tokens": 4000,
        "stream": stream,
        "messages": [{"role": "user", "content": "Hello, ducks!"}],
    })
}

fn ask_thinking(native: &Native, stream: bool) -> Value {
    let mut body = ask(&format!("{}/{}", native.provider, native.model), stream);
    body["thinking"] = if native.model.ends_with("4-6") {
        json!({"type": "adaptive", "display": "summarized"})
    } else {
        json!({"type": "enabled", "budget_tokens": 2000})
    };
    body
}

fn joined(message: &Message, kind: &str) -> String {
    let blocks = message.content.iter().filter(|block| block["type"] == kind);
    blocks.map(|block| block[kind].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_answers_in_the_words_of_the_api() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        let mut all = Vec::new();
        for stream in [true, false] {
            let message = understood(&send(&proxy, &ask_thinking(&native, stream), &[]).await, stream);
            assert_eq!(message.end, End::Complete, "{native:?}");
            assert!(joined(&message, "text").contains(WORDS), "{native:?}: {message:?}");
            assert_eq!(joined(&message, "thinking"), THOUGHT, "{native:?}");
            assert_eq!(message.stop_reason.as_deref(), Some("end_turn"), "{native:?}");
            assert!(message.usage["input_tokens"].as_u64() > Some(0), "{native:?}: {}", message.usage);
            assert!(message.usage["output_tokens"].as_u64() > Some(0), "{native:?}: {}", message.usage);
            all.push((message.content, message.usage));
        }
        assert_eq!(all[0], all[1], "{native:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_in_three_turns_with_reasoning_that_comes_back() {
    // What comes back comes from the client alone.
    let (mock, proxy) = start(FORGETFUL).await;
    for native in NATIVES {
        for stream in [true, false] {
            let tool = |name: &str, key: &str| json!({"name": name, "input_schema": {"type": "object", "properties": {key: {"type": "string"}}}});
            let mut body = ask_thinking(&native, stream);
            body["messages"][0]["content"] = json!("What is up? Use the tools one by one.");
            body["tools"] = json!([tool("weather", "city"), tool("clock", "zone")]);
            for (turn, name) in ["weather", "clock", ""].into_iter().enumerate() {
                let reply = send(&proxy, &body, &[]).await;
                // The daemon thinks or does not, without a budget.
                let dropped = (native.provider == "ollama").then_some("thinking.budget_tokens");
                assert_eq!(reply.header("x-millpond-dropped"), dropped, "{native:?} {turn}");
                let message = understood(&reply, stream);
                assert_eq!(joined(&message, "thinking"), THOUGHT, "{native:?} {turn}");
                let calls: Vec<&Value> =
                    message.content.iter().filter(|block| block["type"] == "tool_use").collect();
                if name.is_empty() {
                    assert_eq!(message.stop_reason.as_deref(), Some("end_turn"), "{native:?}");
                    assert!(joined(&message, "text").starts_with("The tool says: “18 °C”."), "{message:?}");
                    assert!(calls.is_empty(), "{native:?}");
                    continue;
                }
                assert_eq!(message.stop_reason.as_deref(), Some("tool_use"), "{native:?}");
                assert_eq!(calls.len(), 1, "{native:?} {turn}");
                assert_eq!(calls[0]["name"], name, "{native:?} {turn}");
                assert!(calls[0]["input"].as_object().unwrap().values().all(|value| value == "Paris"));
                let result =
                    json!({"type": "tool_result", "tool_use_id": calls[0]["id"], "content": "18 °C"});
                let messages = body["messages"].as_array_mut().unwrap();
                messages.push(json!({"role": "assistant", "content": message.content}));
                messages.push(json!({"role": "user", "content": [result]}));
            }
            let sent = mock.requests().await.pop().unwrap().to_string();
            let thoughts = if native.takes_thoughts { 2 } else { 0 };
            assert_eq!(sent.matches("A short answer will do").count(), thoughts, "{native:?}: {sent}");
            let signatures = if native.takes_thoughts { 0 } else { 2 };
            assert_eq!(sent.matches("\"thoughtSignature\"").count(), signatures, "{native:?}: {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_may_change_its_provider() {
    let (_mock, proxy) = start(FORGETFUL).await;
    let mut messages = vec![json!({"role": "user", "content": "Hello, ducks!"})];
    // The mock's clouds do not take each other's signatures.
    let natives = NATIVES.iter().filter(|native| native.provider != "bedrock");
    for native in natives.clone().chain(natives.rev()) {
        let mut body = ask_thinking(native, true);
        body["messages"] = json!(messages);
        let message = understood(&send(&proxy, &body, &[]).await, true);
        assert_eq!(message.end, End::Complete, "{native:?}");
        messages.push(json!({"role": "assistant", "content": message.content}));
        messages.push(json!({"role": "user", "content": "Again, please."}));
    }
}

async fn scripted(more: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, more).await;
    (upstream, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_keep_their_status_and_have_the_envelope() {
    let (upstream, proxy) = scripted("").await;
    let mut upstream = upstream;
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ] {
        for stream in [true, false] {
            let body = ask("m", stream);
            let serve = async {
                let (mut connection, _) = upstream.request().await;
                let headers =
                    [("content-type", "application/json"), ("retry-after", "7"), ("connection", "close")];
                let reasons = "{\"error\":{\"message\":\"No ducks.\"}}";
                connection.write(response(&format!("{status} No"), &headers, reasons)).await;
                connection.closed().await;
            };
            let (reply, ()) = tokio::join!(send(&proxy, &body, &[]), serve);
            let error = refused(&reply, status, kind);
            assert_eq!(error["message"], "No ducks.", "{status}");
            assert_eq!(reply.header("retry-after"), Some("7"), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_the_middle_is_the_last_event() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "idle_timeout = \"300ms\"").await;
    for (model, code, kind) in [
        ("demo/cut-after-5", "connection_lost", "api_error"),
        ("demo/stall-5", "stalled", "timeout_error"),
        ("demo/error-5", "upstream_error", "api_error"),
    ] {
        let message = understood(&send(&proxy, &ask(model, true), &[]).await, true);
        let End::Fault(told) = &message.end else { panic!("{model}: {message:?}") };
        assert!(told == code || told == "truncated", "{model}: {told}");
        assert!(joined(&message, "text").starts_with("You said"), "{model}");
        let reply = send(&proxy, &ask(model, true), &[]).await.text();
        assert!(reply.contains(&format!("\"error\":{{\"type\":\"{kind}\"")), "{model}: {reply}");
        let object = send(&proxy, &ask(model, false), &[]).await;
        assert!(object.status.is_server_error(), "{model}");
        check_error(&object.json()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_said_nothing_is_followed_by_another() {
    let (mut upstream, proxy) = scripted("[retry]\nbase = \"1ms\"\n").await;
    for stream in [true, false] {
        let body = ask("m", stream);
        let serve = async {
            let (mut connection, _) = upstream.request().await;
            let headers = [("content-type", "application/json"), ("connection", "close")];
            connection.write(response("529 No", &headers, "{\"error\":{\"message\":\"Busy\"}}")).await;
            connection.closed().await;
            let (mut connection, _) = upstream.request().await;
            connection.begin().await;
            connection.chunk(&format!("{FIRST}{FINISH}{DONE}")).await;
            connection.write(LAST_CHUNK).await;
        };
        let (reply, ()) = tokio::join!(send(&proxy, &body, &[]), serve);
        let message = understood(&reply, stream);
        assert_eq!(joined(&message, "text"), "Hello");
        assert_eq!(reply.header("x-millpond-attempts"), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_bridged_with_pings() {
    for more in ["", "keep_alive_form = \"chunk\"\n"] {
        let config = format!("headers_after = \"50ms\"\nkeep_alive = \"50ms\"\n{more}");
        let (mut upstream, proxy) = scripted(&config).await;
        let mut client = Client::connect(proxy.address).await;
        let body = ask("m", true).to_string();
        let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
        client.send(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        assert_eq!(client.head().await.status, 200);
        let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
        for _ in 0..2 {
            assert_eq!(client.chunk().await.as_deref(), Some(ping));
        }
        connection.chunk(&format!("{FIRST}{FINISH}{DONE}")).await;
        connection.write(LAST_CHUNK).await;
        let rest = client.rest().await;
        let message = check_stream(rest.trim_start_matches(ping).as_bytes()).unwrap();
        assert_eq!((message.end.clone(), joined(&message, "text")), (End::Complete, "Hello".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_key_and_its_betas_go_where_they_belong() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "{}{}",
        provider("chat", upstream.address, ""),
        provider("claude", upstream.address, "dialect = \"anthropic\"")
    );
    let proxy = Proxy::start(&config).await;
    let beta = ("anthropic-beta", "context-management-2025-06-27,other");
    for (model, key, expect) in [
        ("chat/m", ("x-api-key", "of-a-test"), ("authorization", "Bearer of-a-test")),
        ("chat/m", ("authorization", "Bearer of-a-test"), ("authorization", "Bearer of-a-test")),
        ("claude/m", ("x-api-key", "of-a-test"), ("x-api-key", "of-a-test")),
        ("claude/m", ("authorization", "Bearer of-a-test"), ("authorization", "Bearer of-a-test")),
    ] {
        let serve = async {
            let (mut connection, request) = upstream.request().await;
            connection.write(response("400 No", &[("connection", "close")], "{}")).await;
            connection.closed().await;
            request
        };
        let (body, headers) = (ask(model, true), [key, beta]);
        let (reply, request) = tokio::join!(send(&proxy, &body, &headers), serve);
        refused(&reply, 400, "invalid_request_error");
        assert_eq!(request.header(expect.0), Some(expect.1), "{model}");
        let is_claude = model.starts_with("claude");
        assert_eq!(request.header("anthropic-beta"), is_claude.then_some(beta.1), "{model}");
        assert_eq!(request.header("x-api-key").is_some(), expect.0 == "x-api-key", "{model}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_of_anthropics_own_are_passed_on_or_named() {
    let (mock, proxy) = start("").await;
    let mut body = ask("ollama/m", false);
    body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let error = refused(&send(&proxy, &body, &[]).await, 400, "invalid_request_error");
    assert_eq!(error["param"], "tools[0]");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"web_search_20250305\"") && message.contains("the Messages API"), "{message}");
    assert!(mock.requests().await.is_empty());
    body["model"] = json!("anthropic/claude-sonnet-4-5");
    body["context_management"] = json!({"edits": []});
    send(&proxy, &body, &[]).await;
    let sent = mock.requests().await.pop().unwrap()["body"].clone();
    for name in ["tools", "messages", "max_tokens", "context_management"] {
        assert_eq!(sent[name], body[name], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_cannot_do_is_told_in_the_clients_words() {
    let (_mock, proxy) = start("").await;
    let mut body = ask("openai/gpt-5", true);
    body["stop_sequences"] = json!(["quack"]);
    let error = refused(&send(&proxy, &body, &[]).await, 400, "invalid_request_error");
    assert_eq!(error["param"], "stop_sequences");

    body["stop_sequences"] = json!([]);
    body["metadata"] = json!({"user_id": "u".repeat(65)});
    body["top_k"] = json!(5);
    body["thinking"] = json!({"type": "disabled"});
    let reply = send(&proxy, &body, &[]).await;
    understood(&reply, true);
    assert_eq!(reply.header("x-millpond-dropped"), Some("metadata.user_id, thinking, top_k"));

    let file = json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUI="}});
    let mut body = ask("cohere/command-a", true);
    body["messages"] = json!([
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "b"}, file]}, file]},
    ]);
    let error = refused(&send(&proxy, &body, &[]).await, 400, "invalid_request_error");
    assert_eq!(error["param"], "messages[2].content[0].content[1]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_in_the_envelope() {
    let (_upstream, proxy) = scripted("body_limit_bytes = 2000\n").await;
    for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"] {
        let page = [("origin", "https://evil.example"), ("content-type", "application/json")];
        refused(&proxy.send("POST", path, &page, "{}").await, 403, "permission_error");
        let elsewhere = [("host", "evil.example")];
        refused(&proxy.send("GET", path, &elsewhere, "").await, 403, "permission_error");
    }
    refused(&proxy.send("POST", "/v1/messages/batches", &[], "{}").await, 404, "not_found_error");
    proxy.send("POST", "/v1/messagesque", &[], "{}").await.error(404);
    let post = [("content-type", "application/json")];
    let broken = proxy.send("POST", "/v1/messages", &post, "{").await;
    refused(&broken, 400, "invalid_request_error");
    let long = proxy.send("POST", "/v1/messages", &post, "x".repeat(3000)).await;
    refused(&long, 413, "request_too_large");
    let other = proxy.send("GET", "/v1/messages", &[], "").await;
    refused(&other, 405, "invalid_request_error");
    let other = proxy.send("GET", "/v1/messages/count_tokens", &[], "").await;
    refused(&other, 405, "invalid_request_error");
    let plain = proxy.send("POST", "/v1/messages", &[("content-type", "text/plain")], "{}").await;
    refused(&plain, 415, "invalid_request_error");
    let mut body = ask("m", true);
    body["messages"][0]["content"] = json!([{"type": "image"}]);
    let error = refused(&send(&proxy, &body, &[]).await, 400, "invalid_request_error");
    assert_eq!(error["param"], "messages[0].content[0].source");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_counted_where_they_can_be() {
    let mut upstream = Upstream::start().await;
    let providers = format!(
        "{}{}",
        provider("chat", upstream.address, ""),
        provider("claude", upstream.address, "dialect = \"anthropic\"\napi_key = \"of-a-test\"")
    );
    let proxy = Proxy::start(&providers).await;
    let post = [("content-type", "application/json"), VERSION];
    let path = "/v1/messages/count_tokens";
    let mut body = ask("claude/m", true);
    body["system"] = json!("Quack.");
    for (answer, status) in [("200 OK", 200), ("529 No", 529)] {
        let serve = async {
            let (mut connection, request) = upstream.request().await;
            let headers = [("content-type", "application/json"), ("connection", "close")];
            let told = if status == 200 {
                "{\"input_tokens\": 7}"
            } else {
                "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Busy\"}}"
            };
            connection.write(response(answer, &headers, told)).await;
            connection.closed().await;
            request
        };
        let (reply, request) = tokio::join!(proxy.send("POST", path, &post, body.to_string()), serve);
        assert_eq!(request.line, "POST /v1/messages/count_tokens HTTP/1.1");
        assert_eq!(request.header("x-api-key"), Some("of-a-test"));
        let sent: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(sent, json!({"model": "m", "messages": body["messages"], "system": "Quack."}));
        if status == 200 {
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "{\"input_tokens\": 7}".to_owned()));
        } else {
            refused(&reply, 529, "overloaded_error");
        }
    }
    body["model"] = json!("chat/m");
    let error =
        refused(&proxy.send("POST", path, &post, body.to_string()).await, 501, "invalid_request_error");
    assert!(error["message"].as_str().unwrap().contains("estimate_tokens"), "{error}");
    let proxy = Proxy::start(&format!("[messages]\nestimate_tokens = true\n{providers}")).await;
    let text = body.to_string();
    let reply = proxy.send("POST", path, &post, text.clone()).await;
    assert_eq!(reply.json(), json!({"input_tokens": text.len().div_ceil(4)}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_a_request_of_its_key() {
    let hash = KeyHash::of(b"mp-of-a-test");
    let mut upstream = Upstream::start().await;
    let entry = provider("claude", upstream.address, "dialect = \"anthropic\"\napi_key = \"of-a-test\"");
    let limits = "limits.requests_per_minute = 2\nlimits.streams = 1";
    let proxy = Proxy::start(&format!(
        "[messages]\nestimate_tokens = true\n[keys.one]\nhash = \"{hash}\"\n{limits}\n{entry}"
    ))
    .await;
    let post = [("content-type", "application/json"), VERSION, ("x-api-key", "mp-of-a-test")];
    let body = ask("claude/m", true);
    let count = async || proxy.send("POST", "/v1/messages/count_tokens", &post, body.to_string()).await;
    for _ in 0..2 {
        let serve = async {
            let (mut connection, _) = upstream.request().await;
            connection.write(response("200 OK", &[("connection", "close")], "{\"input_tokens\": 7}")).await;
            connection.closed().await;
        };
        let (reply, ()) = tokio::join!(count(), serve);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    for reply in [count().await, send(&proxy, &body, &[post[2]]).await] {
        let error = refused(&reply, 429, "rate_limit_error");
        assert!(error["message"].as_str().unwrap().contains("(requests_per_minute)"), "{error}");
        assert!(reply.header("retry-after").is_some());
    }
    let page = proxy.send("GET", "/metrics", &[post[2]], "").await.text();
    let sample =
        "millpond_limit_rejected_total{millpond_limit=\"key\",millpond_limit_reason=\"requests\"} 2\n";
    assert!(page.contains(sample), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_millponds_own_goes_nowhere() {
    let mut upstream = Upstream::start().await;
    let hash = KeyHash::of(b"mp-of-a-test");
    let entry = provider("claude", upstream.address, "dialect = \"anthropic\"");
    let proxy =
        Proxy::start(&format!("default_provider = \"claude\"\n[keys.one]\nhash = \"{hash}\"\n{entry}")).await;
    let body = ask("m", true);
    for key in [("x-api-key", "mp-other"), ("authorization", "Bearer mp-other")] {
        refused(&send(&proxy, &body, &[key]).await, 401, "authentication_error");
        let post = [("content-type", "application/json"), key];
        let count = proxy.send("POST", "/v1/messages/count_tokens", &post, body.to_string()).await;
        refused(&count, 401, "authentication_error");
    }
    let serve = async {
        let (mut connection, request) = upstream.request().await;
        connection.write(response("400 No", &[("connection", "close")], "{}")).await;
        connection.closed().await;
        request
    };
    let headers = [("x-api-key", "mp-of-a-test"), ("anthropic-beta", "other")];
    let (reply, request) = tokio::join!(send(&proxy, &body, &headers), serve);
    refused(&reply, 400, "invalid_request_error");
    assert_eq!((request.header("x-api-key"), request.header("authorization")), (None, None));
    assert_eq!(request.header("anthropic-beta"), Some("other"));
}
