//! What arrives in one read of the upstream leaves at once, in one write, and never waits for more (A5).

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::harness::{A_WHILE, Proxy, ask, assert_stream_headers};
use crate::upstream::{Connection, DONE, FINISH, FIRST, LAST_CHUNK, Upstream, text};

/// A client in the middle of a stream, and the upstream's side of it.
async fn stream() -> (Proxy, Client, Connection) {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    assert_stream_headers(&head.headers);
    let first = client.chunk().await.unwrap();
    assert!(first.contains(r#""delta":{"role":"assistant","content":"Hello"}"#), "{first}");
    (proxy, client, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame_waits_for_its_other_half_only() {
    let (_proxy, mut client, mut connection) = stream().await;
    let frame = text(" ducks");
    // Cut within a word, before the last line end, and before the blank line.
    for cut in [frame.len() / 2, frame.len() - 2, frame.len() - 1] {
        let (half, rest) = frame.split_at(cut);
        connection.chunk(half).await;
        client.nothing("half a frame was sent", A_WHILE).await;
        let start = Instant::now();
        connection.chunk(rest).await;
        let chunk = client.chunk().await.unwrap();
        println!("the rest of a frame took {:?}", start.elapsed());
        assert!(chunk.contains(r#""content":" ducks""#) && chunk.ends_with("\n\n"), "{chunk}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_frames_do_not_wait_for_the_half_behind_them() {
    let (_proxy, mut client, mut connection) = stream().await;
    connection.chunk([&text(" one"), &text(" two"), "data: {\"id\":\"c-1\","].concat()).await;
    let chunk = client.chunk().await.unwrap();
    assert_eq!(chunk.matches("data: ").count(), 2, "{chunk}");
    assert!(chunk.contains(" one") && chunk.contains(" two") && chunk.ends_with("\n\n"), "{chunk}");
    client.nothing("half a frame was sent", A_WHILE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_read_is_one_write() {
    let (_proxy, mut client, mut connection) = stream().await;
    for count in [1, 2, 30] {
        let frames: String = (0..count).map(|number| text(&format!(" {number}"))).collect();
        connection.chunk(frames).await;
        let chunk = client.chunk().await.unwrap();
        assert_eq!(chunk.matches("data: ").count(), count, "{chunk}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_mark_ends_the_body_although_the_connection_stays_open() {
    let (_proxy, mut client, mut connection) = stream().await;
    connection.chunk([FINISH, DONE].concat()).await;
    let rest = client.rest().await;
    assert!(rest.ends_with("data: [DONE]\n\n") && rest.contains(r#""finish_reason":"stop""#), "{rest}");
    // Nobody reads it any more.
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_with_its_connection_is_read_as_well() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    connection.write(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.unwrap().contains("Hello"));
    // No end mark: the end of the connection is the end of the answer.
    connection.write(FINISH).await;
    drop(connection);
    assert!(client.rest().await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_in_each_write_gives_the_same_bytes() {
    let (_proxy, mut client, mut connection) = stream().await;
    let body = [text(" caf\u{e9} \u{1f986}").as_str(), FINISH, DONE].concat();
    for byte in body.bytes() {
        connection.chunk([byte]).await;
    }
    connection.write(LAST_CHUNK).await;
    let rest = client.rest().await;
    assert!(rest.contains("\"content\":\" caf\u{e9} \u{1f986}\""), "{rest}");
    assert_eq!(rest.matches("data: ").count(), 3, "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (_proxy, mut client, mut connection) = stream().await;
    let megabyte = text(&"q".repeat(1 << 20));
    let chunk = crate::upstream::chunk(&megabyte);
    let taken = connection.flood(&chunk, Duration::from_millis(500)).await;
    println!("the proxy took {} MiB for a client that reads nothing", taken >> 20);
    // The buffers of four sockets, and what one read may hold.
    assert!(taken < 64 << 20, "{taken} bytes were taken");
    // Once the client reads, all of it comes.
    assert!(client.chunk().await.unwrap().contains("qqq"));
}
