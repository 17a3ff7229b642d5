//! Keys and limits, for what is no chat.

use millpond::config::KeyHash;
use serde_json::json;

use crate::client::Client;
use crate::forward::{FORM, form};
use crate::harness::{Mock, Proxy, Reply, provider, until};
use crate::upstream::{Upstream, response};

const JSON: (&str, &str) = ("content-type", "application/json");
const KEY: &str = "mp-forward-1";

fn key(more: &str) -> String {
    format!("[keys.one]\nhash = \"{}\"\n{more}\n", KeyHash::of(KEY.as_bytes()))
}

async fn send(proxy: &Proxy, path: &str, kind: (&str, &str), body: String) -> Reply {
    let bearer = format!("Bearer {KEY}");
    proxy.send("POST", path, &[kind, ("authorization", &bearer)], body).await
}

fn embed(model: &str, input: &str) -> String {
    json!({"model": model, "input": input}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_wanted_and_goes_no_further() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(&(key("") + &provider("mine", upstream.address, ""))).await;
    for path in ["/v1/embeddings", "/v1/files"] {
        proxy.send("POST", path, &[JSON], embed("mine/m", "x")).await.error(401);
    }
    let answered = async {
        let (mut connection, request) = upstream.request().await;
        connection.write(response("200 OK", &[], "{}")).await;
        request
    };
    let (reply, request) = tokio::join!(send(&proxy, "/v1/embeddings", JSON, embed("mine/m", "x")), answered);
    assert_eq!(reply.status, 200);
    assert!(!format!("{request:?}").contains(KEY), "{request:?}");
    // Nor do pages of others reach it.
    let foreign = [("content-type", FORM.1), ("origin", "https://app.example")];
    proxy.send("POST", "/v1/files", &foreign, form(&[("file", "x")])).await.error(403);
    proxy.send("GET", "/v1/files", &[("host", "evil.example")], "").await.error(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_some_models_is_for_nothing_else() {
    let mock = Mock::start().await;
    let config = key("models = [\"mine/e*\"]") + &provider("mine", mock.address, "");
    let proxy = Proxy::start(&config).await;
    assert_eq!(send(&proxy, "/v1/embeddings", JSON, embed("mine/e-1", "x")).await.status, 200);
    let named = [("model", "mine/e-2"), ("file", "x")];
    assert_eq!(send(&proxy, "/v1/audio/transcriptions", FORM, form(&named)).await.status, 200);
    let twice = "{\"model\":\"mine/e-1\",\"input\":\"x\",\"model\":\"mine/big\"}".to_owned();
    for (path, kind, body) in [
        ("/v1/embeddings", JSON, embed("mine/big", "x")),
        ("/v1/embeddings", JSON, twice),
        ("/v1/moderations", JSON, json!({"input": "x"}).to_string()),
        ("/v1/audio/transcriptions", FORM, form(&[("model", "mine/big"), ("file", "x")])),
        (
            "/v1/audio/transcriptions",
            FORM,
            form(&[("model", "mine/e-1"), ("file", "x"), ("model", "mine/big")]),
        ),
        ("/v1/files", FORM, form(&[("file", "x")])),
        ("/v1/batches/b/cancel", JSON, String::new()),
    ] {
        let error = send(&proxy, path, kind, body).await.error(403);
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("permission_error"), &json!("model")),
            "{path}"
        );
    }
    // Of two names in one request the allowed one may be the last: both become it.
    let last = "{\"model\":\"mine/big\",\"input\":\"x\",\"model\":\"mine/e-1\"}".to_owned();
    assert_eq!(send(&proxy, "/v1/embeddings", JSON, last).await.status, 200);
    let last = form(&[("model", "mine/big"), ("file", "x"), ("model", "mine/e-1")]);
    assert_eq!(send(&proxy, "/v1/audio/transcriptions", FORM, last).await.status, 200);
    let seen = mock.requests().await;
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| !request.to_string().contains("big")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_tokens_are_counted() {
    let mock = Mock::start().await;
    let limits = "[providers.mine.limits]\nrequests_per_minute = 1\n";
    let proxy = Proxy::start(&(provider("mine", mock.address, "") + limits)).await;
    let to_mine = ("x-millpond-provider", "mine");
    assert_eq!(proxy.send("GET", "/v1/files", &[to_mine], "").await.status, 200);
    let reply = proxy.send("POST", "/v1/embeddings", &[JSON], embed("mine/m", "x")).await;
    reply.error(429);
    assert!(reply.header("retry-after").is_some());

    let limits = "limits = { tokens_per_minute = 100 }";
    let proxy = Proxy::start(&(key(limits) + &provider("mine", mock.address, ""))).await;
    // It is let in for 24 tokens or so, and takes 12 by the answer's own count.
    for _ in 0..3 {
        assert_eq!(send(&proxy, "/v1/embeddings", JSON, embed("mine/m", &"x".repeat(48))).await.status, 200);
    }
    let long = send(&proxy, "/v1/embeddings", JSON, embed("mine/m", &"x".repeat(400))).await;
    assert!(long.error(429)["message"].as_str().unwrap().contains("tokens_per_minute"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_held_to_the_end_of_the_answer() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "limits.streams = 1\nlimits.queue = 0\n").await;
    let mut client = Client::connect(proxy.address).await;
    client.send("GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut connection, _) = upstream.request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{\"").await;
    assert_eq!(client.head().await.status, 200);
    proxy.get("/v1/files").await.error(503);
    connection.write("a").await;
    assert_eq!(client.bytes(3).await, b"{\"a");
    until("a free place", async || proxy.get("/readyz?verbose").await.json()["streams"]["running"] == 0)
        .await;
}
