//! The end of serving: running answers may end, new ones are refused.

use tokio::net::TcpStream;

use crate::client::Client;
use crate::harness::{Proxy, ask, until};
use crate::upstream::{DONE, FINISH, FIRST, Upstream, text};

async fn refused(proxy: &Proxy) {
    let address = proxy.address;
    until("the refusal of new connections", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_stream_may_end() {
    let mut upstream = Upstream::start().await;
    let mut proxy = Proxy::of("mine", upstream.address, "").await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.unwrap().contains("Hello"));
    proxy.stop();
    refused(&proxy).await;
    for number in 0..3 {
        connection.chunk(text(&format!(" {number}"))).await;
        assert!(client.chunk().await.unwrap().contains(&format!(" {number}")));
    }
    connection.chunk([FINISH, DONE].concat()).await;
    assert!(client.rest().await.ends_with(DONE));
    proxy.served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_not_begun_may_come() {
    for stream in [true, false] {
        let mut upstream = Upstream::start().await;
        let mut proxy = Proxy::of("mine", upstream.address, "").await;
        let mut client = Client::ask(proxy.address, &ask("m", stream)).await;
        let (mut connection, _) = upstream.request().await;
        proxy.stop();
        refused(&proxy).await;
        connection.answer().await;
        let head = client.head().await;
        assert_eq!(head.status, 200);
        if stream {
            assert!(client.rest().await.ends_with(DONE));
        } else {
            let length = head.headers["content-length"].to_str().unwrap().parse().unwrap();
            let body = String::from_utf8(client.bytes(length).await).unwrap();
            assert!(body.contains("\"content\":\"Hello\""), "{body}");
        }
        proxy.served().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_hold_the_end() {
    let mut upstream = Upstream::start().await;
    let mut proxy = Proxy::of("mine", upstream.address, "").await;
    let never_asked = Client::connect(proxy.address).await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.answer().await;
    assert_eq!(client.head().await.status, 200);
    client.rest().await;
    proxy.stop();
    proxy.served().await;
    drop((client, never_asked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outlasts_the_drain_is_told() {
    let mut upstream = Upstream::start().await;
    let mut proxy = Proxy::of("mine", upstream.address, "drain = \"50ms\"").await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.unwrap().contains("Hello"));
    proxy.stop();
    let rest = client.rest().await;
    assert!(rest.contains("\"code\":\"draining\"") && !rest.contains(DONE), "{rest}");
    proxy.served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_not_begun_by_then_is_refused() {
    for stream in [true, false] {
        let mut upstream = Upstream::start().await;
        let mut proxy = Proxy::of("mine", upstream.address, "drain = \"50ms\"").await;
        let mut client = Client::ask(proxy.address, &ask("m", stream)).await;
        let _asked = upstream.request().await;
        proxy.stop();
        assert_eq!(client.head().await.status, 503);
        proxy.served().await;
    }
}
