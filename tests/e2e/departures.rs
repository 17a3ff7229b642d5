//! Clients that leave: the upstream is told within a second, whatever the answer was waiting for.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::harness::{A_WHILE, Mock, Proxy, ask, until};
use crate::upstream::{Connection, DONE, FINISH, FIRST, Upstream, text};

const A_SECOND: Duration = Duration::from_secs(1);

/// A request that arrived at the upstream.
async fn asked(config: &str, stream: bool) -> (Proxy, Client, Connection) {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, config).await;
    let client = Client::ask(proxy.address, &ask("m", stream)).await;
    let (connection, _) = upstream.request().await;
    (proxy, client, connection)
}

/// The client leaves; the upstream's connection must be closed.
async fn leave(when: &str, client: Client, mut connection: Connection) {
    connection.open().await;
    let start = Instant::now();
    drop(client);
    connection.closed().await;
    let took = start.elapsed();
    println!("a client left {when}: the upstream's connection was closed after {took:?}");
    assert!(took < A_SECOND, "{when}: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_stream() {
    let (_proxy, mut client, mut connection) = asked("", true).await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.is_some());
    leave("in the middle of a stream", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keep_alives_flow() {
    let (_proxy, mut client, mut connection) =
        asked("headers_after = \"50ms\"\nkeep_alive = \"50ms\"", true).await;
    connection.begin().await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.is_some());
    leave("while keep-alives flowed", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_event() {
    let (_proxy, mut client, mut connection) = asked("", true).await;
    connection.begin().await;
    connection.chunk(": thinking\n\n").await;
    client.nothing("no event was sent", A_WHILE).await;
    leave("before the first event", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_upstreams_headers() {
    for stream in [true, false] {
        let (_proxy, client, connection) = asked("", stream).await;
        leave("before the upstream's headers", client, connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_object_is_folded() {
    let (_proxy, mut client, mut connection) = asked("", false).await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    client.nothing("the answer is not whole", A_WHILE).await;
    leave("while an object was folded", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_reading_what_was_sent() {
    let (_proxy, client, mut connection) = asked("", true).await;
    connection.begin().await;
    connection.chunk(text(&"q".repeat(1 << 16))).await;
    leave("without reading", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_refusal_is_read() {
    let (_proxy, client, mut connection) = asked("", true).await;
    let head = "HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\ncontent-length: 500\r\n\r\nhalf of ";
    connection.write(head).await;
    leave("while a refusal was read", client, connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_stream_of_a_shared_connection() {
    // An HTTP/2 client leaves a stream and keeps the connection.
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let send = || {
        let url = proxy.url("/v1/chat/completions");
        let body = ask("m", true).to_string();
        http2.post(url).header("content-type", "application/json").body(body).send()
    };
    let begin = async |connection: &mut Connection| {
        connection.begin().await;
        connection.chunk(FIRST).await;
    };
    let stay = tokio::spawn(send());
    let (mut staying, _) = upstream.request().await;
    begin(&mut staying).await;
    let stay = stay.await.unwrap().unwrap();
    assert_eq!(stay.version(), http::Version::HTTP_2);
    let leave = tokio::spawn(send());
    let (mut leaving, _) = upstream.request().await;
    begin(&mut leaving).await;
    let leave = leave.await.unwrap().unwrap();
    leaving.open().await;
    let start = Instant::now();
    drop(leave);
    leaving.closed().await;
    println!("a stream of HTTP/2 was left: the upstream's connection was closed after {:?}", start.elapsed());
    assert!(start.elapsed() < A_SECOND);
    staying.chunk([FINISH, DONE].concat()).await;
    assert!(stay.text().await.unwrap().ends_with(DONE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let mut clients = Vec::new();
    for number in 0..60 {
        let model = ["demo/stall-5", "demo/stall-first", "demo/stall-headers"][number % 3];
        clients.push(Client::ask(proxy.address, &ask(model, number % 2 == 0)).await);
    }
    let count = async |name: &str| {
        mock.requests().await.iter().filter(|request: &&Value| request[name] == true).count()
    };
    until("the arrival of all", async || count("open").await == 60).await;
    let start = Instant::now();
    clients.clear();
    until("the end of all", async || count("closed_early").await == 60).await;
    println!("60 clients left: the mock knew of the last after {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_sees_them_all() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let faults = [
        ("demo/stall-5", true),
        ("demo/stall-first", true),
        ("demo/stall-headers", true),
        ("demo/slow", true),
        ("demo/stall-5", false),
        ("demo/stall-headers", false),
    ];
    for (at, (model, stream)) in faults.into_iter().enumerate() {
        let mut client = Client::ask(proxy.address, &ask(model, stream)).await;
        let state = async |name: &str, expect: bool| {
            mock.requests().await.get(at).is_some_and(|request: &Value| request[name] == expect)
        };
        until("the request's arrival", async || state("open", true).await).await;
        if stream && matches!(model, "demo/stall-5" | "demo/slow") {
            assert_eq!(client.head().await.status, 200);
            assert!(client.chunk().await.is_some());
        }
        let start = Instant::now();
        drop(client);
        until("the mock's notice", async || state("closed_early", true).await).await;
        let took = start.elapsed();
        println!("a client left {model} (stream: {stream}): the mock knew after {took:?}");
        assert!(took < A_SECOND, "{model} {stream}: {took:?}");
    }
}
