//! What is no chat, in front of the fake provider: every endpoint, and who is asked.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Mock, Proxy, Reply, provider};
use crate::upstream::{Upstream, response};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A form with these fields; one whose name is `file` is a file.
pub fn form(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        let file = if *name == "file" { "; filename=\"a b.wav\"\r\nContent-Type: audio/wav" } else { "" };
        format!("--pond\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--pond--\r\n"
}

/// The type of such a form.
pub const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=pond");

async fn post(proxy: &Proxy, path: &str, body: Value) -> Reply {
    let reply = proxy.send("POST", path, &[JSON], body.to_string()).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_model_is_answered() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "[aliases]\nsmall = \"mine/e-1\"\n").await;
    let asked = json!({"model": "small", "input": ["a", "b"], "dimensions": 3});
    let reply = post(&proxy, "/v1/embeddings", asked.clone()).await;
    assert_eq!(reply.header("x-millpond-provider"), Some("mine"));
    assert_eq!(reply.header("x-millpond-model"), Some("e-1"));
    assert_eq!(reply.header("x-millpond-attempts"), Some("1"));
    assert!(reply.header("server-timing").unwrap().starts_with("upstream;dur="));
    assert!(reply.header("x-request-id").is_some());
    let list = reply.json();
    assert_eq!((&list["model"], list["data"].as_array().unwrap().len()), (&json!("e-1"), 2));
    assert_eq!(list["data"][1]["embedding"].as_array().unwrap().len(), 3);
    assert_eq!(post(&proxy, "/v1/embeddings", asked).await.json(), list, "it is the same each time");
    let base64 = json!({"model": "m", "input": "a", "encoding_format": "base64"});
    assert!(post(&proxy, "/v1/embeddings", base64).await.json()["data"][0]["embedding"].is_string());

    let flagged = post(&proxy, "/v1/moderations", json!({"input": "no violence"})).await.json();
    assert_eq!(flagged["results"][0]["flagged"], true);
    let images = post(&proxy, "/v1/images/generations", json!({"model": "m", "prompt": "p", "n": 2})).await;
    assert_eq!(images.json()["data"].as_array().unwrap().len(), 2);
    let ranked = json!({"model": "mine/r", "query": "mill pond", "documents": ["sea", "the mill pond"]});
    let ranked = post(&proxy, "/v1/rerank", ranked).await.json();
    assert_eq!(ranked["results"][0], json!({"index": 1, "relevance_score": 1}));
    let speech = post(&proxy, "/v1/audio/speech", json!({"model": "mine/s", "input": "Hello"})).await;
    assert_eq!(speech.header("content-type"), Some("audio/wav"));
    assert!(speech.body.starts_with(b"RIFF") && speech.body.len() == 844);
    let events = json!({"model": "mine/s", "input": "Hello", "stream_format": "sse"});
    let events = post(&proxy, "/v1/audio/speech", events).await;
    assert_eq!(events.header("x-accel-buffering"), Some("no"));
    assert!(events.text().contains("speech.audio.done"));
    for path in ["transcriptions", "translations"] {
        let body = form(&[("file", "0123456789"), ("model", "mine/w")]);
        let reply = proxy.send("POST", &format!("/v1/audio/{path}"), &[FORM], body).await;
        assert_eq!(reply.json()["text"], "The file a b.wav has 10 bytes.");
    }
    for path in ["edits", "variations"] {
        let body = form(&[("model", "mine/i"), ("file", "png")]);
        let reply = proxy.send("POST", &format!("/v1/images/{path}"), &[FORM], body).await;
        assert_eq!(reply.header("x-millpond-model"), Some("i"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_batches_go_where_the_header_says() {
    let (mock, other) = (Mock::start().await, Mock::start().await);
    let config = format!(
        "default_provider = \"mine\"\n{}{}",
        provider("mine", mock.address, ""),
        provider("other", other.address, "")
    );
    let proxy = Proxy::start(&config).await;
    let to_other = ("x-millpond-provider", "other");
    let send = async |method: &str, path: &str, body: &str, kind| {
        let reply = proxy.send(method, path, &[to_other, kind], body.to_owned()).await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        assert_eq!(reply.header("x-millpond-provider"), Some("other"));
        assert_eq!(reply.header("x-millpond-model"), None);
        reply
    };
    let upload = form(&[("purpose", "batch"), ("file", "{}\n")]);
    let file = send("POST", "/v1/files", &upload, FORM).await.json();
    let id = file["id"].as_str().unwrap();
    assert_eq!((&file["bytes"], &file["purpose"]), (&json!(3), &json!("batch")));
    assert_eq!(send("GET", "/v1/files?limit=2", "", JSON).await.json()["data"], json!([file]));
    assert_eq!(send("GET", &format!("/v1/files/{id}"), "", JSON).await.json(), file);
    assert_eq!(send("GET", &format!("/v1/files/{id}/content"), "", JSON).await.body, b"{}\n");
    let batch = json!({"input_file_id": id, "endpoint": "/v1/embeddings", "completion_window": "24h"});
    let batch = send("POST", "/v1/batches", &batch.to_string(), JSON).await.json();
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    assert_eq!(send("GET", &path, "", JSON).await.json(), batch);
    assert_eq!(send("POST", &format!("{path}/cancel"), "", JSON).await.json()["status"], "cancelling");
    assert_eq!(send("GET", "/v1/batches", "", JSON).await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(send("DELETE", &format!("/v1/files/{id}"), "", JSON).await.json()["deleted"], true);
    assert!(mock.requests().await.is_empty());
    for request in other.requests().await {
        assert!(request["headers"].get("x-millpond-provider").is_none(), "{request}");
    }
    // Who wants the head alone has all of it.
    let head = proxy.send("HEAD", "/v1/files", &[to_other], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(!proxy.get("/metrics").await.text().contains("client_disconnect"));
    // Without the header it is the default provider, and a provider's own 404 is told as such.
    let missing = proxy.get(&format!("/v1/files/{id}")).await;
    assert_eq!(missing.error(404)["provider"], "mine");
    // Where a model is named, the header is not looked at.
    let body = json!({"model": "mine/e", "input": "a"}).to_string();
    let reply = proxy.send("POST", "/v1/embeddings", &[JSON, to_other], body).await;
    assert_eq!(reply.header("x-millpond-provider"), Some("mine"));
    let unknown = proxy.send("GET", "/v1/files", &[("x-millpond-provider", "nobody")], "").await.error(400);
    assert!(unknown["message"].as_str().unwrap().contains("\"nobody\""), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_queries_go_on() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    for (method, path, expected) in [
        ("POST", "/v1/uploads", "/v1/uploads"),
        ("POST", "/v1/uploads/u-1/parts", "/v1/uploads/u-1/parts"),
        ("POST", "/v1/uploads/u-1/complete", "/v1/uploads/u-1/complete"),
        ("POST", "/v1/uploads/u-1/cancel", "/v1/uploads/u-1/cancel"),
        ("GET", "/v1/files?after=a%20b&limit=1", "/v1/files?after=a%20b&limit=1"),
        ("GET", "/v1/files/a%2Fb%2e%2e", "/v1/files/a%2Fb.."),
        ("DELETE", "/v1/files/%E6%B0%B4", "/v1/files/%E6%B0%B4"),
    ] {
        let answered = async {
            let (mut connection, request) = upstream.request().await;
            connection.write(response("200 OK", &[("connection", "close")], "{}")).await;
            request
        };
        let (reply, request) = tokio::join!(proxy.send(method, path, &[], ""), answered);
        assert_eq!(reply.status, 200);
        assert_eq!(request.line, format!("{method} {expected} HTTP/1.1"));
    }
    // What is no segment of a path leads nowhere. Most clients would resolve it themselves.
    for path in ["/v1/files/%2e%2e", "/v1/files/..", "/v1/files/%2E/content", "/v1/files/%ff"] {
        let mut client = Client::connect(proxy.address).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(client.head().await.status, 404, "{path}");
    }
    assert_eq!(upstream.accepted(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_told_which_there_are() {
    let proxy = Proxy::start("").await;
    for (method, path, allowed) in [
        ("GET", "/v1/embeddings", "POST"),
        ("PUT", "/v1/files", "POST,GET,HEAD"),
        ("POST", "/v1/files/f-1", "GET,HEAD,DELETE"),
        ("DELETE", "/v1/batches/b-1", "GET,HEAD"),
    ] {
        let reply = proxy.send(method, path, &[], "").await;
        reply.error(405);
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialects_have_their_endpoints_elsewhere_or_nowhere() {
    let mock = Mock::start().await;
    let base = |path: &str| format!("base_url = \"http://{}{path}\"\napi_key = \"sk-ours\"", mock.address);
    let config = [("azure", "/openai"), ("google", "/v1beta"), ("ollama", "/api"), ("cohere", "/v2")]
        .map(|(name, path)| {
            let dialect = if name == "ollama" { "dialect = \"ollama\"\n" } else { "" };
            format!("[providers.{name}]\n{dialect}{}\n", base(path))
        })
        .concat()
        + &format!("[providers.claude]\ndialect = \"anthropic\"\n{}\n", base("/v1"));
    let proxy = Proxy::start(&config).await;
    let ask = async |provider: &str, path: &str| {
        let body = json!({"model": format!("{provider}/m"), "input": "a", "query": "q", "documents": ["d"]});
        proxy.send("POST", path, &[JSON], body.to_string()).await
    };
    for provider in ["azure", "google", "ollama"] {
        assert_eq!(ask(provider, "/v1/embeddings").await.status, 200, "{provider}");
    }
    assert_eq!(ask("cohere", "/v1/rerank").await.status, 200);
    let asked = mock.requests().await;
    let seen: Vec<_> = asked.iter().map(|request| request["path"].as_str().unwrap()).collect();
    assert_eq!(seen, ["/openai/v1/embeddings", "/v1beta/openai/embeddings", "/v1/embeddings", "/v2/rerank"]);
    assert!(
        asked[0]["headers"].get("api-key").is_some() && asked[1]["headers"].get("authorization").is_some()
    );
    for (provider, path) in
        [("cohere", "/v1/embeddings"), ("claude", "/v1/embeddings"), ("claude", "/v1/rerank")]
    {
        let error = ask(provider, path).await.error(501);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("Provider {provider} does not have POST {path}")), "{error}");
        assert_eq!(error["provider"], provider);
    }
    let header = [("x-millpond-provider", "claude")];
    proxy.send("GET", "/v1/files/f/content", &header, "").await.error(501);
}
