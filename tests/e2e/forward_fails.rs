//! What is no chat and fails: who is to blame, what the client is told, what is tried again.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::forward::{FORM, form};
use crate::harness::{KEY, Mock, Proxy, Reply, client, nobody, provider, until, within};
use crate::upstream::{Upstream, response};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn embed(proxy: &Proxy, model: &str) -> Reply {
    let body = json!({"model": model, "input": "Hello, ducks!"}).to_string();
    proxy.send("POST", "/v1/embeddings", &[JSON], body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_as_for_chats() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for (fault, status, kind) in [
        ("400", 400, "invalid_request_error"),
        ("401", 401, "authentication_error"),
        ("404", 404, "not_found_error"),
        ("429", 429, "rate_limit_error"),
        ("500-html", 500, "upstream_error"),
        ("503-empty", 503, "overloaded_error"),
    ] {
        let reply = embed(&proxy, &format!("mine/m/{fault}")).await;
        let error = reply.error(status);
        let told = (&error["type"], &error["provider"], &error["upstream_status"]);
        assert_eq!(told, (&json!(kind), &json!("mine"), &json!(status)), "{error}");
        assert_eq!(reply.header("x-millpond-model"), Some(format!("m/{fault}").as_str()));
        assert_eq!(reply.header("retry-after"), (fault == "429").then_some("2"));
        assert_eq!(reply.headers.contains_key("x-ratelimit-limit-requests"), fault == "429");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_provider_quotes_is_hidden() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(&provider("mine", upstream.address, &format!("api_key = \"{KEY}\""))).await;
    let answered = async {
        let (mut connection, _) = upstream.request().await;
        let body = json!({"error": {"message": format!("no key {KEY}"), "code": KEY}}).to_string();
        connection.write(response("401 Unauthorized", &[], &body)).await;
    };
    let (reply, ()) = tokio::join!(embed(&proxy, "mine/m"), answered);
    assert_eq!(reply.error(401)["message"], "no key [hidden]");
    assert!(!reply.text().contains(KEY));
    // Nobody has one.
    assert!(
        embed(&Proxy::start("").await, "groq/m").await.error(401)["message"]
            .as_str()
            .unwrap()
            .contains("GROQ_API_KEY")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_nothing_is_given_up() {
    let nobody = nobody().await;
    let proxy = Proxy::of("mine", nobody, "").await;
    assert_eq!(embed(&proxy, "mine/m").await.error(502)["code"], "connection_lost");
    let mut upstream = Upstream::start().await;
    for (deadline, beginning, code) in [
        ("response_timeout = \"100ms\"", "", "stalled"),
        ("total_timeout = \"100ms\"", "", "timeout"),
        ("idle_timeout = \"100ms\"", "HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\n{", "stalled"),
    ] {
        let proxy = Proxy::of("mine", upstream.address, deadline).await;
        let held = async {
            let (mut connection, _) = upstream.request().await;
            connection.write(beginning).await;
            connection.closed().await;
        };
        let (reply, ()) = tokio::join!(embed(&proxy, "mine/m"), held);
        let error = reply.error(504);
        assert_eq!(error["code"], code, "{error}");
        let name = deadline.split(' ').next().unwrap();
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_never_looks_complete() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "idle_timeout = \"200ms\"").await;
    for (head, is_held) in [
        ("content-length: 9\r\n\r\n{\"a", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n", true),
        ("content-length: 9\r\n\r\n{\"a", true),
    ] {
        let mut client = Client::connect(proxy.address).await;
        client.send("GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let (mut connection, _) = upstream.request().await;
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}")).await;
        assert_eq!(client.head().await.status, 200, "{head}");
        if is_held {
            connection.closed().await;
        }
        drop(connection);
        // A reset is an end as well.
        let rest = String::from_utf8(client.end().await.unwrap_or_default()).unwrap();
        assert!(!rest.contains("0\r\n\r\n") && rest.len() < 9, "{head}: {rest:?}");
    }
    // A client of the kind that people use is told.
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for fault in ["abort-after-1", "reset-after-1"] {
        let body = json!({"model": format!("mine/m/{fault}"), "input": "x"}).to_string();
        let request = client().post(proxy.url("/v1/embeddings")).header(JSON.0, JSON.1).body(body);
        let read = async { request.send().await?.bytes().await };
        assert!(within("the end", read).await.is_err(), "{fault}");
    }
    let page = proxy.get("/metrics").await.text();
    let ends = |reason: &str| {
        page.lines().any(|line| line.starts_with("millpond_stream_end_total{") && line.contains(reason))
    };
    assert!(ends("connection_lost") && !ends("complete") && !ends("client_disconnect"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_end_is_that_of_the_connection_is_complete() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let answered = async {
        let (mut connection, _) = upstream.request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nHello").await;
    };
    let (reply, ()) = tokio::join!(proxy.get("/v1/files/f/content"), answered);
    assert_eq!(reply.text(), "Hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_closes_the_providers_connection() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let ask = "GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a"] {
        let mut client = Client::connect(proxy.address).await;
        client.send(ask).await;
        let (mut connection, _) = upstream.request().await;
        connection.write(answer).await;
        if !answer.is_empty() {
            assert_eq!(client.head().await.status, 200);
        }
        drop(client);
        connection.closed().await;
    }
    // One that leaves in the middle of its own body.
    let mut client = Client::connect(proxy.address).await;
    client.send("POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await;
    let mut connection = upstream.connection().await;
    connection.head().await.unwrap();
    drop(client);
    connection.closed().await;
    until("three clients that left", async || {
        let page = proxy.get("/metrics").await.text();
        let lines = page.lines().filter(|line| line.starts_with("millpond_client_disconnects_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum::<u32>() == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_computes_is_tried_again_and_elsewhere() {
    let mock = Mock::start().await;
    let config = format!(
        "{}[retry]\nattempts = 2\nbase = \"1ms\"\n[aliases]\ne = [\"mine/m/500\", \"claude/c\", \"mine/m\"]\nf = \"mine/m/503-empty\"\n[providers.claude]\ndialect = \"anthropic\"\nbase_url = \"http://127.0.0.1:1/v1\"\n",
        provider("mine", mock.address, "")
    );
    let proxy = Proxy::start(&config).await;
    let reply = embed(&proxy, "e").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        (reply.header("x-millpond-model"), reply.header("x-millpond-attempts")),
        (Some("m"), Some("2"))
    );
    assert!(reply.header("server-timing").unwrap().contains("retries;dur="));
    let reply = embed(&proxy, "f").await;
    reply.error(503);
    assert_eq!(reply.header("x-millpond-attempts"), Some("2"));
    // What was given away cannot be sent again.
    let body = form(&[("model", "f"), ("file", "x")]);
    let reply = proxy.send("POST", "/v1/audio/transcriptions", &[FORM], body).await;
    reply.error(503);
    assert_eq!(reply.header("x-millpond-attempts"), Some("1"));
    // Nor is anything made twice.
    let seen = mock.requests().await.len();
    let fault = [("x-millpond-provider", "mine"), JSON];
    proxy.send("POST", "/v1/batches", &fault, "{\"model\":\"m/500\"}").await;
    assert_eq!(mock.requests().await.len(), seen + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_fails_is_left_alone() {
    let mock = Mock::start().await;
    let more = "[breaker]\nfailures = 2\ncooldown = \"1m\"\n";
    let proxy = Proxy::of("mine", mock.address, more).await;
    for _ in 0..2 {
        embed(&proxy, "m/500").await.error(500);
    }
    let reply = embed(&proxy, "m/500").await;
    assert!(reply.error(503)["message"].as_str().unwrap().contains("failed too often"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(embed(&proxy, "m").await.status, 200);
    assert_eq!(mock.requests().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "body_limit_bytes = 1000").await;
    let long = "q".repeat(2000);
    for (path, kind, body, status, says) in [
        ("/v1/embeddings", JSON.1, "{\"model\":3}", 400, "\"model\" must be a string"),
        ("/v1/embeddings", JSON.1, "[]", 400, "must be a JSON object"),
        ("/v1/embeddings", JSON.1, "{\"model\":\"m\"", 400, "is not valid JSON"),
        ("/v1/embeddings", "text/plain", "{\"model\":\"m\"}", 415, "it is text/plain"),
        ("/v1/audio/translations", "multipart/form-data", "", 415, "with a boundary"),
        ("/v1/embeddings", JSON.1, &long, 413, "longer than 1000 bytes"),
        ("/v1/files", FORM.1, &long, 413, "longer than 1000 bytes"),
        ("/v1/images/edits", FORM.1, &form(&[("file", &long)]), 413, "longer than 1000 bytes"),
    ] {
        let reply = proxy.send("POST", path, &[("content-type", kind)], body.to_owned()).await;
        let error = reply.error(status);
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    assert!(mock.requests().await.is_empty());
    // The length may not be known before.
    for head in [JSON.1, FORM.1] {
        let mut client = Client::connect(proxy.address).await;
        let path = if head == JSON.1 { "/v1/embeddings" } else { "/v1/files" };
        client.send(format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {head}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        client.send(crate::upstream::chunk(&long)).await;
        client.send(crate::upstream::LAST_CHUNK).await;
        assert_eq!(client.head().await.status, 413, "{path}");
    }
    // What no model names goes to the provider, who knows what it lacks.
    let reply = proxy.send("POST", "/v1/embeddings", &[JSON], "{\"input\":\"x\"}").await;
    assert_eq!(reply.error(404)["upstream_status"], 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_process_breaks_off_what_still_runs() {
    let mut upstream = Upstream::start().await;
    let mut proxy = Proxy::of("mine", upstream.address, "drain = \"50ms\"").await;
    let mut running = Client::connect(proxy.address).await;
    running.send("GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut first, _) = upstream.request().await;
    first.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a").await;
    assert_eq!(running.head().await.status, 200);
    let mut waiting = Client::connect(proxy.address).await;
    waiting.send("GET /v1/files HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let _second = upstream.request().await;
    proxy.stop();
    assert_eq!(waiting.head().await.status, 503);
    assert!(running.end().await.unwrap_or_default().len() < 9);
    first.closed().await;
    within("the end", tokio::time::timeout(Duration::from_secs(10), proxy.served())).await.unwrap();
}
