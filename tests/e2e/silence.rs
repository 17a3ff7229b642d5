//! An upstream that falls silent: `idle_timeout`.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::client::Client;
use crate::harness::{Mock, Proxy, ask, until};
use crate::support::contract::End;
use crate::upstream::{DONE, FINISH, FIRST, Upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_in_the_middle_is_told_in_the_stream() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "idle_timeout = \"300ms\"").await;
    let start = Instant::now();
    let reply = proxy.chat(&ask("demo/stall-5", true)).await;
    let took = start.elapsed();
    println!("a silence of 300 ms was told after {took:?}");
    let answer = reply.stream(false);
    assert_eq!(answer.end, End::Fault("stalled".to_owned()));
    assert!(answer.choices[&0].text.starts_with("You said"), "{}", reply.text());
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    until("the upstream's end", async || mock.requests().await[0]["closed_early"] == true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_before_the_first_event_is_a_gateway_timeout() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "idle_timeout = \"300ms\"").await;
    for (model, stream) in [
        ("demo/stall-first", true),
        ("demo/stall-headers", true),
        ("demo/stall-first", false),
        ("demo/stall-headers", false),
        ("demo/stall-5", false),
    ] {
        let error = proxy.chat(&ask(model, stream)).await.error(504);
        assert_eq!(error["type"], "timeout_error", "{model} {stream}");
        assert_eq!(error["code"], "stalled", "{model} {stream}");
        let answered = model != "demo/stall-headers";
        assert_eq!(error["upstream_status"].as_u64(), answered.then_some(200), "{model} {stream}");
    }
    until("the end of all upstreams", async || {
        mock.requests().await.iter().all(|request| request["closed_early"] == true)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_keep_alives_do_not_count() {
    let config = "headers_after = \"50ms\"\nkeep_alive = \"50ms\"\nidle_timeout = \"400ms\"";
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, config).await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    assert_eq!(client.head().await.status, 200);
    let rest = client.rest().await;
    assert!(rest.starts_with(": keep-alive\n\n: keep-alive\n\n"), "{rest}");
    assert!(rest.contains("\"code\":\"stalled\"") && !rest.contains("[DONE]"), "{rest}");
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstreams_comments_do_count() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "idle_timeout = \"1s\"").await;
    for stream in [true, false] {
        let request = ask("m", stream);
        let speaking = async {
            let (mut connection, _) = upstream.request().await;
            connection.begin().await;
            // Half as long again as the limit, but never silent for as long as that.
            let mut tick = interval(Duration::from_millis(150));
            for _ in 0..10 {
                tick.tick().await;
                connection.chunk(": thinking\n\n").await;
            }
            connection.chunk([FIRST, FINISH, DONE].concat()).await;
            connection
        };
        let (reply, _connection) = tokio::join!(proxy.chat(&request), speaking);
        let answer = if stream { reply.complete(false) } else { reply.object() };
        assert_eq!(answer.choices[&0].text, "Hello");
    }
}
