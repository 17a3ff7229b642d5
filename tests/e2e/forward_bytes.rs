//! What is no chat passes byte for byte, in both directions, and as it comes.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::forward::{FORM, form};
use crate::harness::{KEY, Proxy, Reply, within};
use crate::upstream::{LAST_CHUNK, Request, Upstream, response};

/// Sends a request; gives the answer and what the provider got.
async fn pass(
    proxy: &Proxy,
    upstream: &mut Upstream,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (Reply, Request) {
    let answered = async {
        let (mut connection, request) = upstream.request().await;
        connection.write(response("200 OK", &[("connection", "close")], "{\"a\" : 1e999}\n")).await;
        request
    };
    tokio::join!(proxy.send("POST", path, headers, body.to_owned()), answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_changes_in_its_model_only() {
    let mut upstream = Upstream::start().await;
    let more = "[aliases]\n\"a \\\"b\\\"\" = 'mine/x \"y\" \\ é'\n";
    let proxy = Proxy::of("mine", upstream.address, more).await;
    let kind = ("content-type", "application/json; charset=utf-8");
    for (sent, expected) in [
        ("{\"model\":\"mine/m\",\"input\":\"x\"}", "{\"model\":\"m\",\"input\":\"x\"}"),
        (
            " {\r\n\t\"input\" : [1.50, 1e400, \"\\u00e9\\/\" ],\"\\u006dodel\":  \"mine\\/m\" ,\"unknown\":{\"model\":\"mine/m\"}}\n\n",
            " {\r\n\t\"input\" : [1.50, 1e400, \"\\u00e9\\/\" ],\"\\u006dodel\":  \"m\" ,\"unknown\":{\"model\":\"mine/m\"}}\n\n",
        ),
        (
            "{\"model\":\"a \\\"b\\\"\",\"model\":\"a \\u0022b\\u0022\"}",
            "{\"model\":\"x \\\"y\\\" \\\\ é\",\"model\":\"x \\\"y\\\" \\\\ é\"}",
        ),
        // A bare name is the provider's own: nothing changes, not even how it is written.
        ("{\"model\":\"\\u006d\"}", "{\"model\":\"\\u006d\"}"),
    ] {
        let (reply, request) = pass(&proxy, &mut upstream, "/v1/embeddings", &[kind], sent).await;
        assert_eq!(request.body, expected);
        assert_eq!(request.header("content-type"), Some(kind.1));
        assert_eq!(reply.text(), "{\"a\" : 1e999}\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_chosen_as_for_chats() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let config = format!(
        "default_provider = \"mine\"\n{}",
        crate::harness::provider(
            "mine",
            upstream.address,
            &format!("api_key = \"{KEY}\"\nheaders = {{ x-team = \"ponds\" }}")
        )
    );
    let keyed = Proxy::start(&config).await;
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("openai-beta", "assistants=v2"),
        ("idempotency-key", "i-1"),
        ("authorization", "Bearer sk-client"),
        ("x-api-key", "sk-client"),
        ("cookie", "c=1"),
        ("x-forwarded-for", "1.2.3.4"),
        ("openai-organization", "org-client"),
    ];
    for (proxy, authorization) in [(&proxy, "Bearer sk-client".to_owned()), (&keyed, format!("Bearer {KEY}"))]
    {
        let answered = async {
            let (mut connection, request) = upstream.request().await;
            let headers = [
                ("content-type", "audio/mpeg"),
                ("content-disposition", "attachment; filename=\"a.mp3\""),
                ("x-ratelimit-remaining-requests", "3"),
                ("x-request-id", "theirs"),
                ("set-cookie", "c=2"),
                ("cache-control", "max-age=60"),
                ("connection", "close"),
            ];
            connection.write(response("201 Created", &headers, "\u{1}\u{2}")).await;
            request
        };
        let body = json!({"model": "mine/m", "input": "x"}).to_string();
        let (reply, request) = tokio::join!(proxy.send("POST", "/v1/audio/speech", &headers, body), answered);
        assert_eq!((reply.status.as_u16(), reply.body.as_slice()), (201, &b"\x01\x02"[..]));
        for (name, value) in [
            ("content-type", Some("audio/mpeg")),
            ("content-disposition", Some("attachment; filename=\"a.mp3\"")),
            ("content-length", Some("2")),
            ("x-ratelimit-remaining-requests", Some("3")),
            ("x-upstream-request-id", Some("theirs")),
            ("set-cookie", None),
            ("cache-control", None),
        ] {
            assert_eq!(reply.header(name), value, "{name}");
        }
        assert_ne!(reply.header("x-request-id"), Some("theirs"));
        assert_eq!(request.header("authorization"), Some(authorization.as_str()));
        for (name, value) in [
            ("accept", Some("application/json")),
            ("openai-beta", Some("assistants=v2")),
            ("idempotency-key", Some("i-1")),
            ("x-api-key", None),
            ("cookie", None),
            ("x-forwarded-for", None),
            ("openai-organization", None),
        ] {
            assert_eq!(request.header(name), value, "{name}");
        }
        assert_eq!(request.header("x-team").is_some(), authorization.contains(KEY));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_may_have_its_model_anywhere() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "[aliases]\nears = \"mine/whisper-large-v3\"\n").await;
    let file = "\r\n--pon\r\n".repeat(10_000);
    for fields in [
        [("model", "ears"), ("file", file.as_str()), ("language", "de")],
        [("file", file.as_str()), ("language", "de"), ("model", "ears")],
    ] {
        let body = form(&fields);
        let (reply, request) = pass(&proxy, &mut upstream, "/v1/audio/transcriptions", &[FORM], &body).await;
        assert_eq!(reply.header("x-millpond-model"), Some("whisper-large-v3"), "{}", reply.text());
        assert_eq!(request.body, body.replace("ears", "whisper-large-v3"));
        assert_eq!(request.header("content-type"), Some(FORM.1));
    }
    // Without a model it goes to the default provider as it is.
    let body = form(&[("file", "x")]);
    let (_, request) = pass(&proxy, &mut upstream, "/v1/audio/transcriptions", &[FORM], &body).await;
    assert_eq!(request.body, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_goes_on_before_it_has_come() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let (beginning, rest) = (
        "--pond\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nmine/w\r\n--pond\r\n",
        "content-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nx\r\n--pond--\r\n",
    );
    let mut client = Client::connect(proxy.address).await;
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        FORM.1
    );
    client.send(head).await;
    client.send(crate::upstream::chunk(beginning)).await;
    let mut connection = upstream.connection().await;
    let request = within("the head of the request", connection.head()).await.unwrap();
    assert_eq!(
        (request.header("transfer-encoding"), request.header("content-length")),
        (Some("chunked"), None)
    );
    client.send(crate::upstream::chunk(rest)).await;
    client.send(LAST_CHUNK).await;
    let body = within("the rest of the body", connection.chunks()).await;
    assert_eq!(String::from_utf8(body).unwrap(), format!("{beginning}{rest}").replace("mine/w", "w"));
    connection.write(response("200 OK", &[], "{}")).await;
    assert_eq!(client.head().await.status, 200);
}

/// More than all buffers on the way hold together.
const MUCH: usize = 96 << 20;
/// What they may hold: those of four sockets, and a few pieces.
const HELD: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_read_holds_the_client_back() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, &format!("body_limit_bytes = {MUCH}")).await;
    let mut client = Client::connect(proxy.address).await;
    client.send(format!("POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: {MUCH}\r\n\r\n", FORM.1)).await;
    let piece = vec![b'q'; 1 << 20];
    let taken = client.flood(&piece, MUCH, Duration::from_millis(500)).await;
    assert!(taken < HELD, "{} MiB were taken", taken >> 20);
    let mut connection = upstream.connection().await;
    let request = within("the head of the request", connection.head()).await.unwrap();
    assert_eq!(request.header("content-length"), Some(MUCH.to_string().as_str()));
    let rest = async {
        let mut left = MUCH - taken;
        while left > 0 {
            let size = left.min(piece.len());
            client.send(&piece[..size]).await;
            left -= size;
        }
        client
    };
    let read = async {
        for _ in 0..MUCH >> 20 {
            assert!(connection.bytes(1 << 20).await.iter().all(|byte| *byte == b'q'));
        }
        connection.write(response("200 OK", &[], "{}")).await;
    };
    let (mut client, ()) = tokio::join!(rest, read);
    assert_eq!(client.head().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_provider_back() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let mut client = Client::connect(proxy.address).await;
    client.send("GET /v1/files/f-1/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (mut connection, _) = upstream.request().await;
    connection
        .write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {MUCH}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.head().await.status, 200);
    let piece = vec![b'q'; 1 << 20];
    let mut taken = 0;
    while taken < MUCH && connection.flood_once(&piece, Duration::from_millis(500)).await {
        taken += piece.len();
    }
    assert!(taken < HELD, "{} MiB were taken", taken >> 20);
    drop((client, connection));
    // Once somebody reads, all of it comes.
    let written = async {
        let (mut connection, _) = upstream.request().await;
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 20 << 20)).await;
        for _ in 0..20 {
            connection.write(&piece).await;
        }
    };
    let (reply, ()) = tokio::join!(proxy.get("/v1/files/f-1/content"), written);
    assert_eq!(reply.body.len(), 20 << 20);
}
