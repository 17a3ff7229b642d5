//! What a client does wrong: each mistake gets a status, an error object, and says what to change.

use serde_json::json;

use crate::client::Client;
use crate::harness::{Mock, Proxy, ask, check_error, provider};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A mistake: headers, body; and what is told of it.
struct Mistake<'a> {
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    status: u16,
    kind: &'a str,
    param: Option<&'a str>,
    says: &'a str,
}

async fn proxy() -> (Mock, Proxy) {
    let mock = Mock::start().await;
    let config = format!("body_limit_bytes = 2000\n{}", provider("mine", mock.address, ""));
    (mock, Proxy::start(&config).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_told() {
    let (mock, proxy) = proxy().await;
    let wrong = |body, param, says| Mistake {
        headers: JSON,
        body,
        status: 400,
        kind: "invalid_request_error",
        param,
        says,
    };
    let typed = |headers, says| Mistake {
        headers,
        body: r#"{"model":"mine/demo","messages":[{"role":"user","content":"x"}]}"#,
        status: 415,
        kind: "invalid_request_error",
        param: None,
        says,
    };
    let nested = format!(r#"{{"model":"mine/demo","messages":{}"#, "[".repeat(1900));
    let mistakes = [
        wrong("", None, "not valid JSON"),
        wrong("hello", None, "Send one JSON object"),
        wrong("{\"model\":\"mine/demo\",", None, "not valid JSON"),
        wrong("{\"model\":\"mine/demo\"} trailing", None, "not valid JSON"),
        wrong(&nested, None, "not valid JSON"),
        wrong("[]", None, "must be a JSON object"),
        wrong("\"text\"", None, "must be a JSON object"),
        wrong("null", None, "must be a JSON object"),
        wrong(r#"{"messages":[{"role":"user","content":"x"}]}"#, Some("model"), "Name a model"),
        wrong(r#"{"model":null,"messages":[{}]}"#, Some("model"), "Name a model"),
        wrong(r#"{"model":"","messages":[{}]}"#, Some("model"), "Name a model"),
        wrong(r#"{"model":"  ","messages":[{}]}"#, Some("model"), "Name a model"),
        wrong(r#"{"model":7,"messages":[{}]}"#, Some("model"), "must be a string"),
        wrong(r#"{"model":"mine/demo"}"#, Some("messages"), "Send a list"),
        wrong(r#"{"model":"mine/demo","messages":null}"#, Some("messages"), "Send a list"),
        wrong(r#"{"model":"mine/demo","messages":[]}"#, Some("messages"), "at least one message"),
        wrong(r#"{"model":"mine/demo","messages":"hi"}"#, Some("messages"), "a list of messages"),
        wrong(r#"{"model":"mine/demo","messages":{"role":"user"}}"#, Some("messages"), "a list of messages"),
        wrong(r#"{"model":"mine/demo","messages":[{}],"stream":"yes"}"#, Some("stream"), "true or false"),
        wrong(r#"{"model":"mine/demo","messages":[{}],"stream":1}"#, Some("stream"), "true or false"),
        typed(&[], "application/json"),
        typed(&[("content-type", "text/plain")], "application/json"),
        typed(&[("content-type", "multipart/form-data; boundary=x")], "application/json"),
        typed(&[("content-type", "application/x-www-form-urlencoded")], "application/json"),
    ];
    for mistake in mistakes {
        let reply =
            proxy.send("POST", "/v1/chat/completions", mistake.headers, mistake.body.to_owned()).await;
        let error = reply.error(mistake.status);
        assert_eq!(error["type"], mistake.kind, "{}", mistake.body);
        assert_eq!(error["param"].as_str(), mistake.param, "{}", mistake.body);
        assert!(error["message"].as_str().unwrap().contains(mistake.says), "{}: {error}", mistake.body);
    }
    assert!(mock.requests().await.is_empty(), "a mistake reached the provider");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_may_say_its_charset() {
    let (_mock, proxy) = proxy().await;
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"] {
        let body = ask("mine/demo", false).to_string();
        proxy.send("POST", "/v1/chat/completions", &[("content-type", kind)], body).await.object();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_says_it_is_too_long_is_not_read() {
    let (_mock, proxy) = proxy().await;
    let mut client = Client::connect(proxy.address).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}content-length: 2001\r\n\r\n")).await;
    too_large(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_chunks_is_counted() {
    let (_mock, proxy) = proxy().await;
    let mut client = Client::connect(proxy.address).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1000));
    // The third is one too many; the client is told before it has sent its last.
    client.send(chunk.repeat(3)).await;
    too_large(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_on_sending_hears_of_it() {
    let (_mock, proxy) = proxy().await;
    for _ in 0..10 {
        let error = proxy.send("POST", "/v1/chat/completions", JSON, " ".repeat(8 << 20)).await.error(413);
        assert_eq!(error["type"], "invalid_request_error");
    }
}

async fn too_large(client: &mut Client) {
    let head = client.head().await;
    assert_eq!(head.status, 413);
    let length = head.headers["content-length"].to_str().unwrap().parse().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&client.bytes(length).await).unwrap();
    let error = check_error(&body["error"]);
    assert_eq!(error["type"], "invalid_request_error");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("2000 bytes") && message.contains("body_limit_bytes"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_the_limit_is_taken() {
    let (_mock, proxy) = proxy().await;
    let mut body = ask("mine/demo", false).to_string();
    body.extend(std::iter::repeat_n(' ', 2000 - body.len()));
    proxy.send("POST", "/v1/chat/completions", JSON, body).await.object();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_nobody_has_is_told() {
    let (_mock, proxy) = proxy().await;
    for stream in [true, false] {
        let error = proxy.chat(&ask("mine/gpt-9", stream)).await.error(404);
        assert_eq!(error["type"], "invalid_request_error".replace("invalid_request", "not_found"));
        assert_eq!(
            (error["provider"].as_str(), error["upstream_status"].as_u64()),
            (Some("mine"), Some(404))
        );
        assert!(error["message"].as_str().unwrap().contains("gpt-9"), "{error}");
        // A first part that names no provider is a part of the model's name, and goes to the default.
        let error = proxy.chat(&ask("no-such-provider/m", stream)).await.error(404);
        assert!(error["message"].as_str().unwrap().contains("no-such-provider/m"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_lacks_something_is_told() {
    let (_mock, proxy) = proxy().await;
    for stream in [true, false] {
        let error = proxy.chat(&ask("azure/gpt-4o", stream)).await.error(404);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("AZURE_OPENAI_ENDPOINT") && message.contains("base_url"), "{message}");
        assert_eq!(error["provider"], "azure");

        let error = proxy.chat(&ask("groq/llama", stream)).await.error(401);
        assert_eq!(
            (error["type"].as_str(), error["provider"].as_str()),
            (Some("authentication_error"), Some("groq"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("GROQ_API_KEY") && message.contains("openrouter/groq/llama"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_off_its_body_harms_nobody() {
    let (mock, proxy) = proxy().await;
    let mut client = Client::connect(proxy.address).await;
    client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"model\":").await;
    drop(client);
    proxy.chat(&json!({"model": "mine/demo", "messages": [{"role": "user", "content": "x"}]})).await.object();
    assert_eq!(mock.requests().await.len(), 1);
}
