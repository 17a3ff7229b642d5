//! Connections to a provider are used again, also after a stream.

use std::sync::atomic::Ordering;

use crate::client::Client;
use crate::harness::{Proxy, ask};
use crate::upstream::{DONE, FINISH, FIRST, LAST_CHUNK, SSE_HEAD, Upstream, chunk, response};

/// How an upstream answers, as writes.
fn answers() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let whole = [FIRST, FINISH, DONE].concat();
    let sse = [("content-type", "text/event-stream")];
    let chunked = |body: &str| [SSE_HEAD.as_bytes(), &chunk(body), LAST_CHUNK.as_bytes()].concat();
    let mark_with_end = [chunk(DONE), LAST_CHUNK.into()].concat();
    vec![
        ("a stream in one write", vec![chunked(&whole)]),
        ("a stream of a known length", vec![response("200 OK", &sse, &whole).into()]),
        ("a stream without an end mark", vec![chunked(&[FIRST, FINISH].concat())]),
        ("a stream in many writes", vec![SSE_HEAD.into(), chunk(FIRST), chunk(FINISH), mark_with_end]),
        ("a refusal", vec![response("429 Too Many Requests", &[], "{\"error\":\"slow down\"}").into()]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_requests_that_follow_each_other() {
    const REQUESTS: usize = 10;
    let mut counts = Vec::new();
    for (what, writes) in answers() {
        for stream in [true, false] {
            let upstream = Upstream::start().await;
            let accepted = upstream.counter();
            let proxy = Proxy::of("mine", upstream.address, "").await;
            upstream.serve(writes.clone());
            for _ in 0..REQUESTS {
                let reply = proxy.chat(&ask("m", stream)).await;
                assert!(reply.status == 200 || what == "a refusal", "{what}: {}", reply.text());
            }
            let accepted = accepted.load(Ordering::SeqCst);
            println!("{what} (stream: {stream}): {accepted} connections for {REQUESTS} requests");
            counts.push((what, stream, accepted));
        }
    }
    // A connection is free again a little after its answer was read: a client may be faster.
    counts.retain(|(_, _, accepted)| accepted * 2 > REQUESTS);
    assert!(counts.is_empty(), "too many connections for {REQUESTS} requests: {counts:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_connection_is_used_again() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "").await;
    let body = chunk([FIRST, FINISH, DONE].concat());
    upstream.serve(vec![[SSE_HEAD.as_bytes(), &body, LAST_CHUNK.as_bytes()].concat()]);
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..3 {
        client.post(&ask("m", true)).await;
        assert_eq!(client.head().await.status, 200);
        assert!(client.rest().await.ends_with(DONE));
    }
}
