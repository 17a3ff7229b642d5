//! An upstream that falls silent or takes too long: each deadline by its name.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::client::Client;
use crate::harness::{Mock, Proxy, ask, provider, until};
use crate::support::contract::End;
use crate::upstream::{DONE, FINISH, FIRST, SSE_HEAD, Upstream, chunk, text};

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

/// Whether the upstream says nothing before its first word, or between two of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_heartbeats_and_empty_chunks_do_not_count() {
    let role = "data: {\"id\":\"c-1\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    for (before, limit) in [("", "first_event_timeout"), (FIRST, "idle_timeout")] {
        let mut upstream = Upstream::start().await;
        let proxy = Proxy::of("mine", upstream.address, &format!("{limit} = \"400ms\"")).await;
        for stream in [true, false] {
            let request = ask("m", stream);
            let speaking = async {
                let (mut connection, _) = upstream.request().await;
                connection.begin().await;
                if !before.is_empty() {
                    connection.chunk(before).await;
                }
                let mut tick = interval(Duration::from_millis(20));
                for noise in [": thinking\n\n", role, &text(""), "event: ping\n\n"].iter().cycle() {
                    tick.tick().await;
                    if !connection.try_write(chunk(noise)).await {
                        break; // The proxy had enough of it.
                    }
                }
            };
            let (reply, ()) = tokio::join!(proxy.chat(&request), speaking);
            let told = reply.text();
            assert!(told.contains("\"code\":\"stalled\"") && told.contains(&format!("({limit})")), "{told}");
            if before.is_empty() || !stream {
                assert_eq!(reply.status, 504);
            }
        }
    }
}

/// Each deadline by its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_begin_or_end_in_time_is_given_up() {
    for (limit, begins, code) in [
        ("response_timeout", false, "stalled"),
        ("total_timeout", false, "timeout"),
        ("total_timeout", true, "timeout"),
    ] {
        let mut upstream = Upstream::start().await;
        let proxy = Proxy::of("mine", upstream.address, &format!("{limit} = \"300ms\"")).await;
        let request = ask("m", true);
        let speaking = async {
            let (mut connection, _) = upstream.request().await;
            if begins {
                connection.begin().await;
                let mut tick = interval(Duration::from_millis(20));
                loop {
                    tick.tick().await;
                    if !connection.try_write(chunk(FIRST)).await {
                        return;
                    }
                }
            }
            connection.closed().await;
        };
        let (reply, ()) = tokio::join!(proxy.chat(&request), speaking);
        let told = reply.text();
        assert!(
            told.contains(&format!("\"code\":\"{code}\"")) && told.contains(&format!("({limit})")),
            "{told}"
        );
        assert_eq!(reply.status, if begins { 200 } else { 504 });
    }
}

/// What holds for all does not for a provider that needs longer, or a model of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_or_a_model_may_have_more_time() {
    let mut upstream = Upstream::start().await;
    let own = "idle_timeout = \"150ms\"\n[providers.mine.per_model.slow]\nidle_timeout = \"1m\"";
    let config = format!(
        "retry.attempts = 1\ndefault_provider = \"mine\"\n{}",
        provider("mine", upstream.address, own)
    );
    let proxy = Proxy::start(&config).await;
    for (model, status) in [("slow", 200), ("quick", 504)] {
        let request = ask(model, true);
        let speaking = async {
            let (mut connection, _) = upstream.request().await;
            connection.open_for(Duration::from_millis(400)).await;
            connection.try_write(SSE_HEAD).await;
            connection.try_write(chunk([FIRST, FINISH, DONE].concat())).await;
        };
        let (reply, ()) = tokio::join!(proxy.chat(&request), speaking);
        assert_eq!(reply.status, status, "{model}: {}", reply.text());
    }
}
