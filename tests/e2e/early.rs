//! Failures before any part of the answer: HTTP errors with the status that the upstream meant.

use serde_json::Value;

use crate::harness::{Mock, Proxy, Reply, ask, client, nobody, provider};
use crate::upstream::{Upstream, response};

/// The manners of the mock that are asked; each is a provider of the table as well.
pub const MANNERS: [&str; 3] = ["openai", "openrouter", "mistral"];

/// A fault of the mock that comes in place of an answer: its name, the status that it becomes, the status
/// of the upstream's answer, the type and the code of the error, a part of its message.
type Early = (&'static str, u16, u16, &'static str, &'static str, &'static str);

pub const FAULTS: [Early; 17] = [
    ("400", 400, 400, "invalid_request_error", "upstream_error", "dislikes this request"),
    ("401", 401, 401, "authentication_error", "upstream_error", "does not know this key"),
    ("402", 402, 402, "rate_limit_error", "upstream_error", "wants more credits"),
    ("403", 403, 403, "permission_error", "upstream_error", "does not allow this"),
    ("404", 404, 404, "not_found_error", "upstream_error", "has no such model"),
    ("429", 429, 429, "rate_limit_error", "upstream_error", "too many requests"),
    ("429-date", 429, 429, "rate_limit_error", "upstream_error", "too many requests"),
    ("500", 500, 500, "upstream_error", "upstream_error", "The mock failed"),
    ("500-html", 500, 500, "upstream_error", "upstream_error", "Bad Gateway"),
    ("502-text", 502, 502, "upstream_error", "upstream_error", "upstream connect error"),
    ("503-empty", 503, 503, "overloaded_error", "upstream_error", "503"),
    ("529", 529, 529, "overloaded_error", "upstream_error", "overloaded"),
    // Its status is what the error says, see below.
    ("error-200", 502, 200, "upstream_error", "upstream_error", "The mock failed"),
    ("error-200-sse", 502, 200, "upstream_error", "upstream_error", "failed while it answered"),
    ("html-200", 502, 200, "upstream_error", "upstream_error", "Bad Gateway"),
    ("empty", 502, 200, "upstream_error", "empty", "before it said anything"),
    ("only-done", 502, 200, "upstream_error", "empty", "before it said anything"),
];

/// A proxy in front of the mock, with a provider for each manner.
pub async fn three_providers(more: &str) -> (Mock, Proxy) {
    let mock = Mock::start().await;
    let providers: String = MANNERS.iter().map(|name| provider(name, mock.address, "")).collect();
    let proxy = Proxy::start(&format!("{more}\n{providers}")).await;
    (mock, proxy)
}

/// Checks an error that a provider is to blame for, and gives its message.
#[track_caller]
fn check(reply: &Reply, expect: (u16, Option<u16>, &str, &str), provider: &str) -> String {
    let (status, upstream_status, kind, code) = expect;
    let error = reply.error(status);
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(kind), Some(code)), "{error}");
    assert_eq!(error["provider"], provider, "{error}");
    assert_eq!(error["upstream_status"].as_u64(), upstream_status.map(u64::from), "{error}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_keeps_its_status() {
    let (_mock, proxy) = three_providers("").await;
    for manner in MANNERS {
        for (fault, status, upstream, kind, code, says) in FAULTS {
            // OpenAI's envelope does not repeat the status; the other two do.
            let status = if fault == "error-200" && manner != "openai" { 500 } else { status };
            for stream in [true, false] {
                let name = format!("{manner}/demo/{manner}/{fault}");
                let reply = proxy.chat(&ask(&name, stream)).await;
                let message = check(&reply, (status, Some(upstream), kind, code), manner);
                assert!(message.contains(says), "{name}: {message}");
                assert!(!message.contains('<'), "{name}: {message}");
                if fault.starts_with("429") {
                    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=2).contains(&wait), "{name}: {wait}");
                    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_is_a_bad_gateway() {
    let proxy = Proxy::of("mine", nobody().await, "").await;
    for stream in [true, false] {
        let reply = proxy.chat(&ask("mine/m", stream)).await;
        let message = check(&reply, (502, None, "upstream_error", "connection_lost"), "mine");
        assert!(message.contains("mine cannot be reached") && !message.contains("127.0.0.1"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_before_the_headers_is_a_bad_gateway() {
    for stream in [true, false] {
        for reset in [true, false] {
            let mut upstream = Upstream::start().await;
            let proxy = Proxy::of("mine", upstream.address, "").await;
            let broken = async {
                let (connection, _) = upstream.request().await;
                if reset { connection.reset() } else { drop(connection) }
            };
            let request = ask("mine/m", stream);
            let (reply, ()) = tokio::join!(proxy.chat(&request), broken);
            check(&reply, (502, None, "upstream_error", "connection_lost"), "mine");
        }
    }
}

/// What a client gets whose provider writes this and closes the connection.
async fn written(bytes: &str, stream: bool) -> Reply {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let writing = async {
        let (mut connection, _) = upstream.request().await;
        connection.write(bytes).await;
    };
    let request = ask("mine/m", stream);
    tokio::join!(proxy.chat(&request), writing).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_is_a_bad_gateway() {
    let moved = response("302 Found", &[("location", "http://127.0.0.1:1/")], "");
    let cut = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"error\":{\"mess";
    for (bytes, status, upstream, kind, code) in [
        (moved.as_str(), 502, Some(302), "upstream_error", "upstream_error"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 502, Some(204), "upstream_error", "empty"),
        ("this is no HTTP\r\n\r\n", 502, None, "upstream_error", "connection_lost"),
        (cut, 429, Some(429), "rate_limit_error", "upstream_error"),
    ] {
        for stream in [true, false] {
            check(&written(bytes, stream).await, (status, upstream, kind, code), "mine");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_the_first_event_is_an_http_error() {
    for (error, status, kind) in [
        (r#"{"error":{"message":"slow down","code":429}}"#, 429, "rate_limit_error"),
        (
            r#"{"error":{"message":"no","type":"invalid_request_error","code":null,"param":"tools"}}"#,
            400,
            "invalid_request_error",
        ),
        (r#"{"error":{"message":"busy","type":"overloaded_error"}}"#, 503, "overloaded_error"),
        (r#"{"error":"boom"}"#, 502, "upstream_error"),
    ] {
        let body = format!("data: {error}\n\n");
        for stream in [true, false] {
            let bytes =
                response("200 OK", &[("content-type", "text/event-stream"), ("retry-after", "0")], &body);
            let reply = written(&bytes, stream).await;
            check(&reply, (status, Some(200), kind, "upstream_error"), "mine");
            assert_eq!(reply.header("retry-after"), Some("1"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_mock_has_a_test() {
    let elsewhere = ["stall-first", "stall-headers", "hang-comments"]; // `silence` and `status_line`
    let known = |name: &str| {
        FAULTS.iter().any(|fault| fault.0 == name)
            || crate::midstream::FAULTS.iter().any(|fault| fault.0 == name)
            || crate::mended::FAULTS.contains(&name)
            || crate::mended::UNFINISHED.contains(&name)
            || elsewhere.contains(&name)
    };
    let all = millpond::mock::describe();
    let names = all.iter().filter_map(|(name, _)| name.strip_prefix("demo/<manner>/"));
    let forgotten: Vec<&str> = names.filter(|name| !known(name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_refusal_is_read_to_a_limit() {
    // The reasons have no end; 64 KiB of them are enough.
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let writing = async {
        let (mut connection, _) = upstream.request().await;
        let head = "HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.write(head).await;
        connection.chunk("q".repeat(80 << 10)).await;
        connection.closed().await;
    };
    let request = ask("mine/m", true);
    let (reply, _) = tokio::join!(proxy.chat(&request), writing);
    let message = check(&reply, (500, Some(500), "upstream_error", "upstream_error"), "mine");
    assert!(message.len() < 3000, "{}", message.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mock_itself_is_what_the_tests_believe() {
    // A fault that the mock does not know would be an early error of another kind.
    let mock = Mock::start().await;
    let url = format!("http://{}/v1/chat/completions", mock.address);
    let body = ask("demo/openai/nonsense", true).to_string();
    let reply = client().post(url).body(body).send().await.unwrap();
    assert_eq!(reply.status(), 404);
    let body: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("does not exist"));
}
