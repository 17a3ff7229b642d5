//! The headers of an answer: ours, and those of the upstream's that a client can use.

use std::time::{Duration, SystemTime};

use crate::harness::{Proxy, Reply, ask};
use crate::upstream::{DONE, FINISH, FIRST, Upstream, response};

/// Headers of a provider: what is passed on, and under which name.
const PASSED: [(&str, &str, &str); 12] = [
    ("x-ratelimit-limit-requests", "60", "x-ratelimit-limit-requests"),
    ("x-ratelimit-remaining-tokens", "149984", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-reset-requests", "1m2.5s", "x-ratelimit-reset-requests"),
    ("ratelimit-remaining", "3", "ratelimit-remaining"),
    ("anthropic-ratelimit-requests-remaining", "4", "anthropic-ratelimit-requests-remaining"),
    ("request-id", "req_1", "request-id"),
    ("mistral-correlation-id", "m-1", "mistral-correlation-id"),
    ("x-generation-id", "gen-1", "x-generation-id"),
    ("x-amzn-requestid", "a-1", "x-amzn-requestid"),
    ("openai-processing-ms", "12", "openai-processing-ms"),
    ("retry-after", "7", "retry-after"),
    ("x-request-id", "theirs", "x-upstream-request-id"),
];
/// Headers that say something to the proxy only.
const KEPT_BACK: [(&str, &str); 6] = [
    ("set-cookie", "__cf=1; HttpOnly"),
    ("server", "theirs"),
    ("cache-control", "private, max-age=60"),
    ("alt-svc", "h3=\":443\""),
    ("strict-transport-security", "max-age=1"),
    ("keep-alive", "timeout=5"),
];

/// What a client gets whose provider answers like this.
async fn answered(status: &str, headers: &[(&str, &str)], body: &str, stream: bool) -> Reply {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let written = async {
        let (mut connection, _) = upstream.request().await;
        connection.write(response(status, headers, body)).await;
    };
    let request = ask("mine/m", stream);
    let (reply, ()) =
        tokio::join!(proxy.chat_with(&request, &[("accept-encoding", "gzip, br, zstd")]), written);
    reply
}

fn stream_body() -> String {
    [FIRST, FINISH, DONE].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_what_it_can_use() {
    let mut headers: Vec<(&str, &str)> = PASSED.iter().map(|(name, value, _)| (*name, *value)).collect();
    headers.extend(KEPT_BACK);
    let sse: Vec<_> = headers.iter().copied().chain([("content-type", "text/event-stream")]).collect();
    let streamed = answered("200 OK", &sse, &stream_body(), true).await;
    streamed.complete(false);
    let object = answered("200 OK", &sse, &stream_body(), false).await;
    object.object();
    let json: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
    let mut replies = vec![streamed, object];
    for stream in [true, false] {
        let refused =
            answered("429 Too Many Requests", &json, r#"{"error":{"message":"slow"}}"#, stream).await;
        refused.error(429);
        replies.push(refused);
    }
    for reply in replies {
        for (_, value, name) in PASSED {
            assert_eq!(reply.header(name), Some(value), "{name} of {:?}", reply.headers);
        }
        for (name, value) in KEPT_BACK {
            assert!(reply.headers.get_all(name).iter().all(|known| known != value), "{name}");
        }
        assert_ne!(reply.header("x-request-id"), Some("theirs"));
        assert!(!reply.headers.contains_key("content-encoding"), "it is compressed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_never_compressed() {
    let reply = answered("200 OK", &[("content-type", "text/event-stream")], &stream_body(), true).await;
    reply.complete(false);
    assert!(reply.body.starts_with(b"data: {"));
    assert_eq!(reply.header("content-length"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_whole_seconds_of_at_least_one() {
    let date = |wait: u64| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(wait));
    let past = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
    for (value, expect) in [
        ("2".to_owned(), Some(2..=2)),
        ("120".to_owned(), Some(120..=120)),
        ("0".to_owned(), Some(1..=1)),
        ("0.25".to_owned(), Some(1..=1)),
        ("3.01".to_owned(), Some(4..=4)),
        (date(30), Some(10..=30)),
        (past, Some(1..=1)),
        ("soon".to_owned(), None),
        ("-5".to_owned(), None),
        ("nan".to_owned(), None),
        (String::new(), None),
    ] {
        let headers = [("retry-after", value.as_str()), ("content-type", "application/json")];
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let reply = answered(status, &headers, "{}", true).await;
            let told = reply.header("retry-after").map(|text| text.parse::<u64>().unwrap());
            match (&expect, told) {
                (Some(range), Some(seconds)) => assert!(range.contains(&seconds), "{value}: {seconds}"),
                (None, None) => {}
                (expect, told) => panic!("{value}: {told:?} instead of {expect:?}"),
            }
        }
    }
}
