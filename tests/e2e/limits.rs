//! What happens to requests when there is as much under way as there may be, and that places come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millpond::config::{Config, File, KeyHash};
use millpond::proxy::Shared;
use millpond::telemetry::Telemetry;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::harness::{Mock, Proxy, Reply, ask, provider, until, within};
use crate::program::{Running, command, folder};
use crate::upstream::{Connection, DONE, FINISH, FIRST, LAST_CHUNK, Upstream, chunk, response, text};

/// Nobody waits longer than this suite.
const PATIENT: &str = "limits.queue_timeout = \"60s\"\n";
/// The beginning of a stream on a connection that is not used again.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";

/// Answers that run, and requests that wait.
async fn figures(proxy: &Proxy) -> (u64, u64) {
    let page: Value = proxy.get("/readyz?verbose").await.json();
    let figure = |name: &str| page["streams"][name].as_u64().unwrap();
    (figure("running"), figure("waiting"))
}

/// Waits until so many answers run, and so many requests wait.
async fn until_figures(proxy: &Proxy, running: u64, waiting: u64) {
    until(&format!("{running} running and {waiting} waiting"), async || {
        figures(proxy).await == (running, waiting)
    })
    .await;
}

/// How often a request was refused, as the metric tells it.
async fn refused(proxy: &Proxy, limit: &str, reason: &str) -> Option<String> {
    let page = proxy.get("/metrics").await.text();
    let start = format!(
        "millpond_limit_rejected_total{{millpond_limit=\"{limit}\",millpond_limit_reason=\"{reason}\"}} "
    );
    page.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}

/// Checks a refusal: its status, type, and the seconds after which to come back.
#[track_caller]
fn check(reply: &Reply, status: u16, seconds: std::ops::RangeInclusive<u64>) -> String {
    let error = reply.error(status);
    let expected = if status == 503 { "overloaded_error" } else { "rate_limit_error" };
    assert_eq!(error["type"], expected, "{error}");
    let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds.contains(&after), "{after}");
    error["message"].as_str().unwrap().to_owned()
}

/// Begins an answer that runs until it is told to end.
async fn running(proxy: SocketAddr, upstream: &mut Upstream, model: &str) -> (Client, Connection) {
    let mut client = Client::ask(proxy, &ask(model, true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.write(HEAD).await;
    connection.chunk(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    (client, connection)
}

/// Answers at once, with an event more.
async fn answer(connection: &mut Connection, more: &str) {
    let body = chunk([FIRST, FINISH, more, DONE].concat());
    connection.write([HEAD.as_bytes(), &body, LAST_CHUNK.as_bytes()].concat()).await;
}

async fn finish((mut client, mut connection): (Client, Connection)) {
    connection.chunk([FINISH, DONE].concat()).await;
    connection.write(LAST_CHUNK).await;
    assert!(client.rest().await.ends_with(DONE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_place_waits_for_one_and_whoever_is_too_many_is_told_at_once() {
    for limited in ["limits.streams = 1", "providers.mine.limits.streams = 1"] {
        let mut upstream = Upstream::start().await;
        let more = format!("{PATIENT}limits.queue = 1\n{limited}\n");
        let proxy = Proxy::start(&format!(
            "default_provider = \"mine\"\nproviders.mine.base_url = \"http://{}/v1\"\n{more}",
            upstream.address
        ))
        .await;
        let first = running(proxy.address, &mut upstream, "m").await;
        let mut second = Client::ask(proxy.address, &ask("m", true)).await;
        until_figures(&proxy, 1, 1).await;
        let page = proxy.get("/metrics").await.text();
        assert!(page.lines().any(|line| line == "millpond_queue_waiting 1"), "{page}");

        let (limit, status) = if limited.starts_with("limits") { ("total", 503) } else { ("provider", 429) };
        for stream in [true, false] {
            let message = check(&proxy.chat(&ask("m", stream)).await, status, 1..=1);
            assert!(message.contains("no more requests may wait"), "{message}");
        }
        assert_eq!(refused(&proxy, limit, "queue").await.as_deref(), Some("2"));
        assert_eq!(upstream.accepted(), 1, "who waits or is refused is not sent");

        finish(first).await;
        let (mut connection, _) = upstream.request().await;
        until_figures(&proxy, 1, 0).await;
        answer(&mut connection, "").await;
        assert_eq!(second.head().await.status, 200);
        assert!(second.rest().await.ends_with(DONE));
        until_figures(&proxy, 0, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_has_an_end() {
    let mut upstream = Upstream::start().await;
    let more = "limits = { streams = 1, queue_timeout = \"50ms\" }";
    let proxy = Proxy::of("mine", upstream.address, more).await;
    let _first = running(proxy.address, &mut upstream, "m").await;
    let message = check(&proxy.chat(&ask("m", true)).await, 503, 1..=1);
    assert!(message.contains("as many answers under way as it may have"), "{message}");
    assert_eq!(refused(&proxy, "total", "streams").await.as_deref(), Some("1"));
    assert_eq!(figures(&proxy).await, (1, 0));
}

/// However an answer ends, its place is there for the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_gives_the_place_back() {
    let mut upstream = Upstream::start().await;
    let more = format!("{PATIENT}limits.streams = 1\nidle_timeout = \"200ms\"\n");
    let proxy = Proxy::of("mine", upstream.address, &more).await;
    for end in
        ["complete", "reset", "stalled", "client gone", "refused", "object", "client gone in the queue"]
    {
        match end {
            "complete" => finish(running(proxy.address, &mut upstream, "m").await).await,
            "reset" => {
                let (mut client, connection) = running(proxy.address, &mut upstream, "m").await;
                connection.reset();
                assert!(client.rest().await.contains("connection_lost"));
            }
            "stalled" => {
                let (mut client, _connection) = running(proxy.address, &mut upstream, "m").await;
                assert!(client.rest().await.contains("stalled"));
            }
            "client gone" => {
                let (client, mut connection) = running(proxy.address, &mut upstream, "m").await;
                drop(client);
                connection.closed().await;
            }
            "refused" | "object" => {
                let body = ask("m", end == "refused");
                let serving = async {
                    let (mut connection, _) = upstream.request().await;
                    match end {
                        "refused" => {
                            connection.write(response("400 No", &[("connection", "close")], "{}")).await
                        }
                        _ => answer(&mut connection, "").await,
                    }
                    connection
                };
                let (reply, _connection) = tokio::join!(proxy.chat(&body), serving);
                assert_eq!(reply.status, if end == "refused" { 400 } else { 200 });
            }
            _ => {
                let first = running(proxy.address, &mut upstream, "m").await;
                let waiting = Client::ask(proxy.address, &ask("m", true)).await;
                until_figures(&proxy, 1, 1).await;
                drop(waiting);
                until_figures(&proxy, 1, 0).await;
                drop(first);
            }
        }
        until(&format!("the place after: {end}"), async || figures(&proxy).await == (0, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_asked_so_often_in_a_minute() {
    let mock = Mock::start().await;
    let more = "[providers.mine.limits]\nrequests_per_minute = 2\n";
    let config = format!("default_provider = \"mine\"\n{}{more}", provider("mine", mock.address, ""));
    let proxy = Proxy::start(&config).await;
    for stream in [true, false] {
        assert_eq!(proxy.chat(&ask("demo", stream)).await.status, 200);
    }
    let message = check(&proxy.chat(&ask("demo", true)).await, 429, 25..=30);
    assert!(message.starts_with("Provider mine had as many requests"), "{message}");
    assert_eq!(proxy.chat(&ask("demo", true)).await.json()["error"]["provider"], "mine");
    assert_eq!(refused(&proxy, "provider", "requests").await.as_deref(), Some("2"));
    assert_eq!(mock.requests().await.len(), 2);
    assert_eq!(figures(&proxy).await, (0, 0));
}

/// Usage is what counts in the end, more or less than what was expected.
/// What all keys may, and what one may instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_limits_of_its_own_or_those_of_all_keys() {
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let body = [HEAD.as_bytes(), &chunk([FIRST, FINISH, DONE].concat()), LAST_CHUNK.as_bytes()].concat();
    upstream.serve(vec![body]);
    let hash = |key: &str| KeyHash::of(key.as_bytes());
    let keys = format!(
        "[keys.usual]\nhash = \"{}\"\n[keys.other]\nhash = \"{}\"\nlimits.requests_per_minute = 3\n",
        hash("mp-usual"),
        hash("mp-other")
    );
    let proxy = Proxy::start(&format!(
        "default_provider = \"mine\"\n[limits.per_key]\nrequests_per_minute = 1\n{keys}{}",
        provider("mine", address, "")
    ))
    .await;
    for (key, allowed) in [("usual", 1), ("other", 3)] {
        let authorization = format!("Bearer mp-{key}");
        let ask = async || proxy.chat_with(&ask("m", true), &[("authorization", &authorization)]).await;
        for _ in 0..allowed {
            ask().await.complete(false);
        }
        check(&ask().await, 429, 15..=60);
    }
    let page = proxy.send("GET", "/metrics", &[("authorization", "Bearer mp-usual")], "").await.text();
    let sample =
        "millpond_limit_rejected_total{millpond_limit=\"key\",millpond_limit_reason=\"requests\"} 2\n";
    assert!(page.contains(sample), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_reserved_and_then_counted() {
    let usage = |tokens: u64| {
        format!(
            "data: {{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{tokens},\"completion_tokens\":0,\"total_tokens\":{tokens}}}}}\n\n"
        )
    };
    let mut upstream = Upstream::start().await;
    let config = format!(
        "default_provider = \"mine\"\n{}[providers.mine.limits]\ntokens_per_minute = 6000\n",
        provider("mine", upstream.address, "")
    );
    let proxy = Proxy::start(&config).await;
    let mut greedy = ask("m", true);
    greedy["max_tokens"] = 5500.into();

    // While it runs, what it may take is taken.
    let mut client = Client::ask(proxy.address, &greedy).await;
    let (mut connection, _) = upstream.request().await;
    let message = check(&proxy.chat(&greedy).await, 429, 45..=60);
    assert!(message.contains("tokens_per_minute"), "{message}");
    answer(&mut connection, &usage(100)).await;
    assert_eq!(client.head().await.status, 200);
    client.rest().await;
    until_figures(&proxy, 0, 0).await;

    // It took little: there is room for the next one, which fails and costs nothing, and for one more.
    for status in [400, 200] {
        let serving = async {
            let (mut connection, _) = upstream.request().await;
            match status {
                400 => connection.write(response("400 No", &[("connection", "close")], "{}")).await,
                _ => answer(&mut connection, &usage(60_000)).await,
            }
            connection
        };
        let (reply, _connection) = tokio::join!(proxy.chat(&greedy), serving);
        assert_eq!(reply.status, status);
        until_figures(&proxy, 0, 0).await;
    }
    // That one took ten minutes' worth: the smallest request waits until that is paid off.
    check(&proxy.chat(&ask("m", true)).await, 429, 530..=550);
    assert_eq!(refused(&proxy, "provider", "tokens").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_targets_the_one_with_room_is_asked() {
    for (limits, limit) in [("streams = 1", "streams"), ("requests_per_minute = 1", "requests")] {
        let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
        let table = |name: &str, address, limits: &str| {
            format!("{}[providers.{name}.limits]\n{limits}\n", provider(name, address, ""))
        };
        let config = format!(
            "limits.queue_timeout = \"50ms\"\n[aliases]\nany = [\"one/m1\", \"other/m2\"]\n{}{}",
            table("one", one.address, limits),
            table("other", other.address, limits)
        );
        let proxy = Proxy::start(&config).await;
        let first = running(proxy.address, &mut one, "any").await;
        let second = running(proxy.address, &mut other, "any").await;
        let seconds = if limit == "streams" { 1..=1 } else { 50..=60 };
        check(&proxy.chat(&ask("any", true)).await, 429, seconds);
        assert_eq!(refused(&proxy, "provider", limit).await.as_deref(), Some("1"));
        finish(first).await;
        finish(second).await;
        assert_eq!((one.accepted(), other.accepted()), (1, 1));
    }
}

/// The one that stands in after a failure has limits as well; a retry keeps its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_keeps_its_place_and_asks_nobody_who_is_full() {
    let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
    let config = format!(
        "retry.base = \"1ms\"\nretry.attempts = 2\nlimits.queue = 0\n[aliases]\nany = [\"one/m1\", \"other/m2\"]\n{}{}",
        provider("one", one.address, "limits.streams = 1"),
        provider("other", other.address, "limits.streams = 1")
    );
    let proxy = Proxy::start(&config).await;
    let full = running(proxy.address, &mut other, "other/m2").await;
    let body = ask("any", false);
    let serving = async {
        for _ in 0..2 {
            let (mut connection, _) = one.request().await;
            connection.write(response("503 No", &[("connection", "close")], "{}")).await;
        }
    };
    let (reply, ()) = tokio::join!(proxy.chat(&body), serving);
    reply.error(503);
    assert_eq!(reply.header("x-millpond-attempts"), Some("2"));
    finish(full).await;
    until_figures(&proxy, 0, 0).await;
    // And once there is room again, the other one stands in.
    let serving = async {
        let (mut connection, _) = one.request().await;
        connection.write(response("503 No", &[("connection", "close")], "{}")).await;
        let (mut connection, _) = other.request().await;
        answer(&mut connection, "").await;
        connection
    };
    let (reply, _connection) = tokio::join!(proxy.chat(&body), serving);
    assert_eq!(reply.object().choices[&0].text, "Hello");
    until_figures(&proxy, 0, 0).await;
}

/// Another config changes the figures, and forgets nothing of what is under way or was of late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_config_finds_what_runs_and_what_was_asked() {
    let mut upstream = Upstream::start().await;
    let config = |limits: &str| {
        let text = format!(
            "limits.queue = 0\n{}[providers.mine.limits]\n{limits}\n",
            provider("mine", upstream.address, "")
        );
        Config::new(File::parse(&text).unwrap(), None, &|_| None).unwrap()
    };
    let first = config("streams = 2\nrequests_per_minute = 2");
    let (narrower, slower) = (config("streams = 1"), config("requests_per_minute = 1"));
    let telemetry = Telemetry::start(first.telemetry.clone(), first.models()).unwrap();
    let shared = Shared::new(first, telemetry);
    let proxy = Proxy::serve(Arc::clone(&shared)).await;
    let model = "mine/m";
    let running = running(proxy.address, &mut upstream, model).await;
    shared.reload(narrower);
    let message = check(&proxy.chat(&ask(model, true)).await, 429, 1..=1);
    assert!(message.contains("(queue)"), "{message}");
    finish(running).await;
    until_figures(&proxy, 0, 0).await;
    shared.reload(slower);
    let message = check(&proxy.chat(&ask(model, true)).await, 429, 30..=60);
    assert!(message.contains("(requests_per_minute)"), "{message}");
}

/// What a client does not read is not read from the upstream either: beyond the buffers of the sockets, millpond
/// itself holds what it reads and what it writes at once. Its memory is looked at in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_nothing_hold_their_upstreams_back() {
    const CLIENTS: usize = 16;
    let mut upstream = Upstream::start().await;
    let folder = folder("slow_clients");
    let config = format!("default_provider = \"mine\"\n{}", provider("mine", upstream.address, ""));
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut serve = command(&folder);
    serve.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut serve = Running::start(serve);
    let address = serve.address();
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        held.push(running(address, &mut upstream, "m").await);
    }
    let before = serve.resident();
    let piece = chunk(text(&"q".repeat(64 << 10)));
    let mut floods = JoinSet::new();
    for (at, (client, mut connection)) in held.into_iter().enumerate() {
        let piece = piece.clone();
        floods.spawn(async move {
            let taken = connection.flood(&piece, Duration::from_secs(1)).await;
            (at, taken, client, connection)
        });
    }
    let done = within("the end of what the proxy takes", floods.join_all()).await;
    let grown = serve.resident().saturating_sub(before);
    let taken: Vec<usize> = done.iter().map(|(_, taken, ..)| *taken).collect();
    println!("memory grew by {grown} bytes for {CLIENTS} clients that read nothing; taken: {taken:?}");
    for taken in taken {
        // The buffers of four sockets.
        assert!((256 << 10..24 << 20).contains(&taken), "{taken} bytes were taken");
    }
    // The sockets' buffers are the kernel's, and not in here. hyper's are: 408 KiB where it reads, as much on the
    // way from there, as much being looked at, and as much where it writes.
    assert!(grown < CLIENTS * 4 * (408 << 10), "memory grew by {grown} bytes");
    // Once a client reads, all of it comes.
    let (_, taken, mut client, _connection) = done.into_iter().next().unwrap();
    let mut read = 0;
    while read < taken - taken / 10 {
        read += client.chunk().await.unwrap().len();
    }
}
