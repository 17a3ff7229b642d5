//! When the status line is sent: with the first event that says something, or after `headers_after`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::harness::{A_WHILE, Mock, Proxy, ask, assert_stream_headers, until};
use crate::support::contract::{Answer, End, check_stream};
use crate::upstream::{Connection, DONE, FINISH, FIRST, Upstream, response, text};

const ROLE: &str = "data: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const COMMENT: &str = ": OPENROUTER PROCESSING\n\n";
const SOON: &str = "headers_after = \"200ms\"\nkeep_alive = \"100ms\"";

/// A client that waits, the upstream's side of its request, and when it asked.
struct Waiting {
    /// Dropping it would stop the proxy.
    _proxy: Proxy,
    client: Client,
    connection: Connection,
    asked: Instant,
}

async fn wait(config: &str) -> Waiting {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, config).await;
    let asked = Instant::now();
    let client = Client::ask(proxy.address, &ask("m", true)).await;
    let (connection, _) = upstream.request().await;
    Waiting { _proxy: proxy, client, connection, asked }
}

/// The last event of a stream, which is an error.
fn last_error(stream: &str) -> Value {
    let last = stream.trim_end().rsplit("\n\n").next().unwrap();
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    error["error"].clone()
}

fn understood(stream: &str) -> Answer {
    check_stream(stream.as_bytes(), false).unwrap_or_else(|rule| panic!("{rule}\n{stream}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_the_first_event_that_says_something() {
    let Waiting { mut client, mut connection, _proxy, .. } = wait("").await;
    client.nothing("the upstream has not answered", A_WHILE).await;
    connection.begin().await;
    for nothing in [COMMENT, "event: ping\n\n", "data:\n\n", "retry: 10\n\n", ROLE] {
        connection.chunk(nothing).await;
        client.nothing(nothing, A_WHILE).await;
    }
    connection.chunk(text("Quack")).await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    assert_stream_headers(&head.headers);
    let first = client.chunk().await.unwrap();
    assert!(first.contains(r#""delta":{"role":"assistant","content":"Quack"}"#), "{first}");
    connection.chunk([FINISH, DONE].concat()).await;
    understood(&(first + &client.rest().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_before_it_is_an_http_error() {
    for before in [COMMENT, ROLE, &[COMMENT, ROLE, "data: {\"choices\":[]}\n\n"].concat()] {
        let Waiting { mut client, mut connection, _proxy, .. } = wait("").await;
        connection.begin().await;
        connection.chunk(before).await;
        connection.chunk("data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n").await;
        assert_eq!(client.head().await.status, 429, "{before}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_while_comments_keep_the_client() {
    for begins in [true, false] {
        let Waiting { mut client, mut connection, asked, _proxy } = wait(SOON).await;
        if begins {
            connection.begin().await;
            connection.chunk(COMMENT).await;
        }
        let head = client.head().await;
        println!("the status line came after {:?}", asked.elapsed());
        assert!(asked.elapsed() >= Duration::from_millis(200));
        assert_eq!(head.status, 200);
        assert_stream_headers(&head.headers);
        for _ in 0..3 {
            assert_eq!(client.chunk().await.as_deref(), Some(": keep-alive\n\n"));
        }
        assert!(asked.elapsed() >= Duration::from_millis(500));
        if !begins {
            connection.begin().await;
        }
        connection.chunk([FIRST, FINISH, DONE].concat()).await;
        let answer = understood(&client.rest().await);
        assert_eq!((answer.end, answer.choices[&0].text.as_str()), (End::Complete, "Hello"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_while_chunks_keep_the_client() {
    let config = format!("{SOON}\nkeep_alive_form = \"chunk\"");
    for begins in [true, false] {
        let Waiting { mut client, mut connection, _proxy, .. } = wait(&config).await;
        if begins {
            connection.begin().await;
            connection.chunk(COMMENT).await;
        }
        assert_eq!(client.head().await.status, 200);
        let mut stream = client.chunk().await.unwrap();
        assert!(
            stream.contains(r#""delta":{"role":"assistant","content":""},"finish_reason":null"#),
            "{stream}"
        );
        for _ in 0..2 {
            let chunk = client.chunk().await.unwrap();
            let json: Value = serde_json::from_str(chunk.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(
                json["choices"],
                serde_json::json!([{"index": 0, "delta": {}, "finish_reason": null}])
            );
            for name in ["id", "object", "created", "model"] {
                assert!(!json[name].is_null(), "{chunk}");
            }
        }
        if !begins {
            connection.begin().await;
        }
        connection.chunk([FIRST, FINISH, DONE].concat()).await;
        // More empty chunks may stand before the first text.
        let rest = client.rest().await;
        stream.extend(
            rest.split_inclusive("\n\n")
                .filter(|event| !event.contains(r#""delta":{},"finish_reason":null"#)),
        );
        let answer = understood(&stream);
        assert_eq!((answer.end, answer.choices[&0].text.as_str()), (End::Complete, "Hello"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_status_after_it_is_told_in_the_stream() {
    for form in ["comment", "chunk"] {
        let config = format!("{SOON}\nkeep_alive_form = \"{form}\"");
        let Waiting { mut client, mut connection, _proxy, .. } = wait(&config).await;
        assert_eq!(client.head().await.status, 200);
        let first = client.chunk().await.unwrap();
        let body = r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"limited"}}"#;
        connection
            .write(response("429 Too Many Requests", &[("content-type", "application/json")], body))
            .await;
        let rest = client.rest().await;
        let error = last_error(&rest);
        let expect = (Some("rate_limit_error"), Some("upstream_error"), Some("limited"));
        let told = (error["type"].as_str(), error["code"].as_str(), error["provider_code"].as_str());
        assert_eq!(told, expect, "{form}: {error}");
        assert_eq!(
            (error["message"].as_str(), error["provider"].as_str()),
            (Some("slow down"), Some("mine"))
        );
        assert!(!rest.contains("[DONE]") && rest.matches("{\"error\"").count() == 1, "{form}: {first}{rest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_failure_after_it_is_told_in_the_stream() {
    for form in ["comment", "chunk"] {
        for (body, code) in [
            (Some(DONE), "empty"),
            (Some("<html><title>Bad Gateway</title></html>"), "upstream_error"),
            (Some("{\"error\":{\"message\":\"boom\"}}"), "upstream_error"),
            (Some(""), "empty"),
            (None, "connection_lost"),
        ] {
            let config = format!("{SOON}\nkeep_alive_form = \"{form}\"");
            let Waiting { mut client, mut connection, _proxy, .. } = wait(&config).await;
            assert_eq!(client.head().await.status, 200);
            match body {
                Some(body) => {
                    let headers = [("content-type", "text/event-stream")];
                    connection.write(response("200 OK", &headers, body)).await;
                }
                None => connection.reset(),
            }
            let rest = client.rest().await;
            assert_eq!(last_error(&rest)["code"], code, "{form} {body:?}: {rest}");
            assert!(!rest.contains("[DONE]"), "{form} {body:?}: {rest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_within_an_answer_is_filled_as_well() {
    for form in ["comment", "chunk"] {
        let config = format!("keep_alive = \"100ms\"\nkeep_alive_form = \"{form}\"");
        let Waiting { mut client, mut connection, _proxy, .. } = wait(&config).await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.unwrap().contains("Hello"));
        let spoken = Instant::now();
        for _ in 0..2 {
            let chunk = client.chunk().await.unwrap();
            let says_nothing =
                chunk == ": keep-alive\n\n" || chunk.contains(r#""delta":{},"finish_reason":null"#);
            assert!(says_nothing && (form == "comment") == chunk.starts_with(':'), "{chunk}");
        }
        assert!(spoken.elapsed() >= Duration::from_millis(190), "{:?}", spoken.elapsed());
        connection.chunk([FINISH, DONE].concat()).await;
        assert!(client.rest().await.ends_with(DONE));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_comments_of_an_upstream_do_not_hold_it() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, SOON).await;
    let mut client = Client::ask(proxy.address, &ask("demo/hang-comments", true)).await;
    assert_eq!(client.head().await.status, 200);
    for _ in 0..2 {
        assert_eq!(client.chunk().await.as_deref(), Some(": keep-alive\n\n"));
    }
    drop(client);
    until("the upstream's end", async || mock.requests().await[0]["closed_early"] == true).await;
}
