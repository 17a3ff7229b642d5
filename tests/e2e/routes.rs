//! The paths, what is not one, and the request's id.

use crate::harness::{Mock, Proxy, ask};

async fn demo() -> (Mock, Proxy) {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    (mock, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_paths_answer_a_chat() {
    let (_mock, proxy) = demo().await;
    for path in ["/v1/chat/completions", "/chat/completions"] {
        for stream in [true, false] {
            let headers = [("content-type", "application/json")];
            let reply = proxy.send("POST", path, &headers, ask("demo", stream).to_string()).await;
            let answer = if stream { reply.complete(false) } else { reply.object() };
            let text = &answer.choices[&0].text;
            assert!(text.starts_with("You said: “Hello, ducks!”.") && text.ends_with('.'), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_are_told() {
    let (_mock, proxy) = demo().await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = proxy.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.json()["status"].as_str()), (200, Some(status)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_path_says_what_there_is() {
    let (_mock, proxy) = demo().await;
    for path in ["/", "/v1", "/v1/no-such-thing", "/v1/chat/completions/", "/v2/chat/completions"] {
        for method in ["GET", "POST"] {
            let error = proxy.send(method, path, &[], "{}").await.error(404);
            assert_eq!(error["type"], "not_found_error");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(path) && message.contains("POST /v1/chat/completions"), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_says_what_to_do() {
    let (_mock, proxy) = demo().await;
    for (method, path, allowed) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("PUT", "/v1/models/mine/demo", "GET"),
        ("POST", "/healthz", "GET"),
    ] {
        let reply = proxy.send(method, path, &[], "").await;
        let error = reply.error(405);
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().unwrap().contains(path), "{error}");
        // RFC 9110, section 15.5.6: a 405 must say what is allowed.
        let allow = reply.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|method| method.trim() == allowed), "{method} {path}: allow: {allow:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_a_request_id() {
    let (_mock, proxy) = demo().await;
    let mut minted = std::collections::BTreeSet::new();
    for path in ["/healthz", "/v1/models", "/nowhere"] {
        let reply = proxy.get(path).await;
        assert!(minted.insert(reply.header("x-request-id").unwrap().to_owned()), "{path}");
    }
    for (model, stream) in [("demo", true), ("demo", false), ("demo/401", true), ("demo/401", false)] {
        let reply = proxy.chat(&ask(model, stream)).await;
        assert!(minted.insert(reply.header("x-request-id").unwrap().to_owned()), "{model} {stream}");
        let given = proxy.chat_with(&ask(model, stream), &[("x-request-id", "mine-42")]).await;
        let all: Vec<_> = given.headers.get_all("x-request-id").iter().collect();
        assert_eq!(all, ["mine-42"], "{model} {stream}");
    }
    assert!(minted.iter().all(|id| id.len() == 36), "{minted:?}");
}
