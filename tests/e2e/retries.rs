//! What is tried again, where, and what the client sees of it: nothing but the time.

use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::harness::{Proxy, Reply, ask, nobody, provider, until};
use crate::support::contract::End;
use crate::upstream::{
    Connection, DONE, FINISH, FIRST, LAST_CHUNK, SSE_HEAD, Upstream, chunk, response, text,
};

/// Retries as they are by default, but without long pauses.
const QUICK: &str = "[retry]\nbase = \"1ms\"\n";
const BUSY: &str = "{\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}}";
/// A chunk that names the role, and nothing else.
const ROLE: &str = "data: {\"id\":\"first\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";

async fn proxy(upstream: &Upstream, more: &str) -> Proxy {
    let config =
        format!("default_provider = \"mine\"\n{QUICK}{more}\n{}", provider("mine", upstream.address, ""));
    Proxy::start(&config).await
}

/// Two providers behind the name `any`, the first of them first.
async fn pair(one: &str, other: &str, more: &str) -> Proxy {
    let entry =
        |name: &str, address: &str| format!("[providers.{name}]\nbase_url = \"http://{address}/v1\"\n");
    let config = format!(
        "{QUICK}[aliases]\nany = [\"one/m1\", \"other/m2\"]\n{}{}{more}",
        entry("one", one),
        entry("other", other)
    );
    Proxy::start(&config).await
}

#[track_caller]
fn check(reply: &Reply, stream: bool, attempts: &str) {
    let answer = if stream { reply.complete(false) } else { reply.object() };
    assert_eq!(answer.choices[&0].text, "Hello");
    assert_eq!(reply.header("x-millpond-attempts"), Some(attempts));
}

/// How the first attempt fails, each before it said anything. The connection is not used again.
async fn fail(mut connection: Connection, way: &str) {
    let head = SSE_HEAD.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let stream = |body: &str| {
        let body = if body.is_empty() { Vec::new() } else { chunk(body) };
        [head.as_bytes(), &body, LAST_CHUNK.as_bytes()].concat()
    };
    match way {
        "503" | "529" | "500" | "408" | "409" | "425" | "429" => {
            let headers = [("content-type", "application/json"), ("connection", "close")];
            connection.write(response(&format!("{way} No"), &headers, BUSY)).await;
        }
        "empty" => connection.write(stream("")).await,
        "role, then the end" => connection.write(stream(ROLE)).await,
        "an error with status 200" => connection.write(stream(&format!("data: {BUSY}\n\n"))).await,
        "reset" => return connection.reset(),
        "close" => return drop(connection),
        "stall" => {}
        "keep-alives, then reset" => {
            connection.begin().await;
            connection.chunk(": wait\n\n").await;
            return connection.reset();
        }
        other => unreachable!("{other}"),
    }
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_said_nothing_is_followed_by_another() {
    for way in [
        "503",
        "529",
        "500",
        "408",
        "409",
        "425",
        "429",
        "empty",
        "role, then the end",
        "an error with status 200",
        "reset",
        "close",
        "stall",
        "keep-alives, then reset",
    ] {
        for stream in [true, false] {
            let mut upstream = Upstream::start().await;
            let proxy = Proxy::start(&format!(
                "default_provider = \"mine\"\nidle_timeout = \"300ms\"\n{QUICK}{}",
                provider("mine", upstream.address, "")
            ))
            .await;
            let request = ask("m", stream);
            let serving = async {
                let (connection, first) = upstream.request().await;
                let failing = tokio::spawn(fail(connection, way));
                let (mut connection, second) = upstream.request().await;
                assert_eq!(first.body, second.body, "{way}");
                connection.answer().await;
                failing.abort();
                connection
            };
            let (reply, _connection) = tokio::join!(proxy.chat(&request), serving);
            check(&reply, stream, "2");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_part_of_the_answer_nothing_is_tried_again() {
    let mut upstream = Upstream::start().await;
    let proxy = proxy(&upstream, "").await;
    let request = ask("m", true);
    let serving = async {
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        connection.reset();
    };
    let (reply, ()) = tokio::join!(proxy.chat(&request), serving);
    let answer = reply.stream(false);
    assert_eq!(answer.choices[&0].text, "Hello");
    assert!(matches!(answer.end, End::Fault(ref code) if code == "connection_lost"), "{:?}", answer.end);
    assert_eq!(upstream.accepted(), 1);
}

/// Nothing of an object has reached the client before its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_survives_a_fault_in_the_middle() {
    let mut upstream = Upstream::start().await;
    let proxy = proxy(&upstream, "").await;
    let request = ask("m", false);
    let serving = async {
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk([FIRST, &text(" and something that is void")].concat()).await;
        connection.reset();
        let (mut connection, _) = upstream.request().await;
        connection.answer().await;
        connection
    };
    let (reply, _connection) = tokio::join!(proxy.chat(&request), serving);
    check(&reply, false, "2");
}

/// The status line and keep-alives are out: the client waits on, and gets one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alives_do_not_end_the_retries() {
    let mut upstream = Upstream::start().await;
    let config = format!(
        "default_provider = \"mine\"\nheaders_after = \"20ms\"\nkeep_alive = \"20ms\"\n{QUICK}{}",
        provider("mine", upstream.address, "")
    );
    let proxy = Proxy::start(&config).await;
    let mut client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(ROLE).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await.unwrap(), ": keep-alive\n\n");
    connection.reset();
    let (mut connection, _) = upstream.request().await;
    connection.answer().await;
    let rest = client.rest().await;
    let told: Vec<&str> = rest.lines().filter(|line| line.starts_with("data:")).collect();
    assert!(!rest.contains("\"first\"") && rest.ends_with(DONE), "{rest}");
    assert_eq!(told.iter().filter(|line| line.contains("Hello")).count(), 1, "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_failure_is_told_as_it_was() {
    let mut upstream = Upstream::start().await;
    let proxy = proxy(&upstream, "").await;
    let request = ask("m", true);
    let serving = async {
        for number in 1..=3 {
            let (mut connection, _) = upstream.request().await;
            let body = format!("{{\"error\":{{\"message\":\"busy {number}\"}}}}");
            connection.write(response("503 No", &[("connection", "close")], &body)).await;
        }
    };
    let (reply, ()) = tokio::join!(proxy.chat(&request), serving);
    assert!(reply.error(503)["message"].as_str().unwrap().contains("busy 3"), "{}", reply.text());
    assert_eq!(reply.header("x-millpond-attempts"), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_mistakes_and_spent_accounts_are_told_at_once() {
    for (status, body) in [
        ("400 No", BUSY),
        ("401 No", BUSY),
        ("404 No", BUSY),
        ("422 No", BUSY),
        ("429 No", "{\"error\":{\"message\":\"no credit\",\"code\":\"insufficient_quota\"}}"),
    ] {
        let mut upstream = Upstream::start().await;
        let proxy = proxy(&upstream, "").await;
        let request = ask("m", true);
        let serving = async {
            let (mut connection, _) = upstream.request().await;
            connection.write(response(status, &[], body)).await;
            connection
        };
        let (reply, _connection) = tokio::join!(proxy.chat(&request), serving);
        assert_eq!(reply.status.as_str(), &status[..3]);
        assert_eq!(upstream.accepted(), 1, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_waited_for_or_told() {
    for (seconds, answered) in [("1", true), ("3600", false)] {
        let mut upstream = Upstream::start().await;
        let proxy = proxy(&upstream, "").await;
        let request = ask("m", true);
        let serving = async {
            let (mut connection, _) = upstream.request().await;
            let headers = [("retry-after", seconds), ("connection", "close")];
            connection.write(response("429 Slow down", &headers, BUSY)).await;
            let asked = std::time::Instant::now();
            if answered {
                let (mut connection, _) = upstream.request().await;
                assert!(asked.elapsed() >= Duration::from_secs(1));
                connection.answer().await;
            }
        };
        let (reply, ()) = tokio::join!(proxy.chat(&request), serving);
        if answered {
            check(&reply, true, "2");
            // The pause is nobody's overhead.
            let timing = reply.header("server-timing").unwrap();
            let time = |name: &str| -> f64 {
                let part = timing.split(", ").find_map(|part| part.strip_prefix(&format!("{name};dur=")));
                part.unwrap().parse().unwrap()
            };
            assert!(time("retries") >= 1000.0 && time("millpond") < 1000.0, "{timing}");
            let page = proxy.get("/metrics").await.text();
            let sum = "millpond_overhead_duration_seconds_sum{gen_ai_provider_name=\"mine\",millpond_phase=\"first_byte\"} ";
            let seconds = page.lines().find_map(|line| line.strip_prefix(sum)).unwrap();
            assert!(seconds.parse::<f64>().unwrap() < 1.0, "{seconds}");
        } else {
            reply.error(429);
            assert_eq!(reply.header("retry-after"), Some(seconds));
        }
    }
}

/// The other target gets its own model, at once, for failures that waiting does not mend as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_target_stands_in() {
    for status in ["503 No", "401 No", "404 No", "429 No"] {
        for stream in [true, false] {
            let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
            let proxy = pair(&one.address.to_string(), &other.address.to_string(), "").await;
            let request = ask("any", stream);
            let serving = async {
                let (mut connection, first) = one.request().await;
                assert!(first.body.contains("\"m1\""), "{}", first.body);
                connection.write(response(status, &[("retry-after", "3600")], BUSY)).await;
                let (mut connection, second) = other.request().await;
                assert!(second.body.contains("\"m2\""), "{}", second.body);
                connection.answer().await;
                connection
            };
            let (reply, _connection) = tokio::join!(proxy.chat(&request), serving);
            check(&reply, stream, "2");
            assert_eq!(reply.header("x-millpond-provider"), Some("other"));
            assert_eq!(reply.header("x-millpond-model"), Some("m2"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_nobody_reaches_is_passed_over_and_then_left_alone() {
    let other = Upstream::start().await;
    let address = other.address.to_string();
    other.serve(vec![
        [SSE_HEAD.as_bytes(), &chunk([FIRST, FINISH, DONE].concat()), LAST_CHUNK.as_bytes()].concat(),
    ]);
    let gone = nobody().await.to_string();
    let proxy = pair(&gone, &address, "[breaker]\nfailures = 2\ncooldown = \"1h\"\n").await;
    for attempts in ["2", "2", "1", "1"] {
        check(&proxy.chat(&ask("any", true)).await, true, attempts);
    }
    let targets = proxy.get("/readyz?verbose").await.json()["targets"].clone();
    assert_eq!(targets["one/m1"]["breaker"], "open", "{targets}");
    assert_eq!(targets["other/m2"]["breaker"], "closed", "{targets}");
    assert_eq!(targets["other/m2"]["failures_in_a_row"], 0, "{targets}");
    let metrics = proxy.get("/metrics").await.text();
    for (provider, open) in [("one", 1), ("other", 0)] {
        let sample = format!("millpond_targets_open{{gen_ai_provider_name=\"{provider}\"}} {open}\n");
        assert!(metrics.contains(&sample), "no {sample} in {metrics}");
    }
    // Who asks it by its name is told when to come back.
    let reply = proxy.chat(&ask("one/m1", true)).await;
    assert_eq!(reply.error(503)["type"], "overloaded_error");
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_well_again_is_asked_again() {
    let mut upstream = Upstream::start().await;
    let proxy = proxy(&upstream, "attempts = 1\n[breaker]\nfailures = 1\ncooldown = \"1ms\"\n").await;
    let request = ask("m", true);
    let refusing = async {
        let (mut connection, _) = upstream.request().await;
        connection.write(response("503 No", &[("connection", "close")], BUSY)).await;
    };
    let (reply, ()) = tokio::join!(proxy.chat(&request), refusing);
    reply.error(503);
    until("the end of the cooldown", async || {
        let targets: Value = proxy.get("/readyz?verbose").await.json();
        targets["targets"]["mine/m"]["breaker"] == "half_open"
    })
    .await;
    let answering = async {
        let (mut connection, _) = upstream.request().await;
        connection.answer().await;
        connection
    };
    let (reply, _connection) = tokio::join!(proxy.chat(&request), answering);
    check(&reply, true, "1");
    let targets: Value = proxy.get("/readyz?verbose").await.json();
    assert_eq!(targets["targets"]["mine/m"]["breaker"], "closed");
}

/// A client that leaves during a pause takes the retry with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_a_client_that_left() {
    let mut upstream = Upstream::start().await;
    let proxy = proxy(&upstream, "").await;
    let client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    let headers = [("retry-after", "1"), ("connection", "close")];
    connection.write(response("429 Slow down", &headers, BUSY)).await;
    connection.closed().await;
    drop(client);
    until("the end of the answer", async || {
        let targets: Value = proxy.get("/readyz?verbose").await.json();
        targets["targets"]["mine/m"]["running"] == 0
    })
    .await;
    assert_eq!(upstream.accepted(), 1);
}

/// Shares are chance, but not for three hundred requests: less than one in 10⁹ runs would fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_share_the_requests() {
    let serve = |upstream: Upstream| {
        let address = upstream.address;
        upstream.serve(vec![
            [SSE_HEAD.as_bytes(), &chunk([FIRST, FINISH, DONE].concat()), LAST_CHUNK.as_bytes()].concat(),
        ]);
        address
    };
    let (one, other) = (serve(Upstream::start().await), serve(Upstream::start().await));
    let config = format!(
        "[aliases.any]\nchoose = \"weighted\"\ntargets = [{{ model = \"one/m\", weight = 3 }}, \"other/m\"]\n{}{}",
        provider("one", one, ""),
        provider("other", other, "")
    );
    let proxy = Proxy::start(&config).await;
    let mut first = 0;
    for _ in 0..300 {
        let reply = proxy.chat(&ask("any", true)).await;
        first += usize::from(reply.header("x-millpond-provider") == Some("one"));
    }
    assert!((175..=275).contains(&first), "{first} of 300");
}
