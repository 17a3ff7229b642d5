//! Rates that two millponds count together, in a real Redis; and by themselves while it is away.

use std::net::SocketAddr;

use crate::harness::{Mock, Proxy, ask, nobody, until};
use crate::program::{Running, command, folder};
use crate::redis::Redis;

fn config(redis: SocketAddr, mock: SocketAddr) -> String {
    format!(
        "retry.attempts = 1\nlimits.redis.url = \"redis://{redis}\"\n\
         [aliases]\nany = [\"one/demo\", \"other/demo\"]\n\
         [providers.one]\nbase_url = \"http://{mock}/v1\"\nlimits.requests_per_minute = 3\n\
         [providers.other]\nbase_url = \"http://{mock}/v1\"\nlimits.tokens_per_minute = 600\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_count_requests_together() {
    let Some(redis) = Redis::start(nobody().await).await else { return };
    let mock = Mock::start().await;
    let config = config(redis.address, mock.address);
    let (here, there) = (Proxy::start(&config).await, Proxy::start(&config).await);
    for (proxy, status) in [(&here, 200), (&there, 200), (&here, 200), (&there, 429), (&here, 429)] {
        let reply = proxy.chat(&ask("one/demo", true)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 429 {
            let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((10..=20).contains(&after), "{after}");
            assert_eq!(reply.error(429)["type"], "rate_limit_error");
        }
    }
    assert_eq!(mock.requests().await.len(), 3, "who is refused is not sent");
    // Of several targets the one that has room elsewhere as well is asked.
    for proxy in [&here, &there] {
        let reply = proxy.chat(&ask("any", false)).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-millpond-provider")), (200, Some("other")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_count_tokens_together() {
    let Some(redis) = Redis::start(nobody().await).await else { return };
    let mock = Mock::start().await;
    let config = config(redis.address, mock.address);
    let (here, there) = (Proxy::start(&config).await, Proxy::start(&config).await);
    let mut greedy = ask("other/demo", true);
    greedy["max_tokens"] = 550.into();
    // The answer takes less than it might have: what is left over is given back, to the other one as well.
    for proxy in [&here, &there] {
        until("room for a request", async || proxy.chat(&greedy).await.status == 200).await;
    }
    // What wants an empty bucket finds none, although this process has used nothing of it.
    greedy["max_tokens"] = 100_000.into();
    let new = Proxy::start(&config).await;
    let error = new.chat(&greedy).await.error(429);
    assert!(error["message"].as_str().unwrap().contains("(tokens_per_minute)"), "{error}");
}

/// It is told once; in the meantime the limits hold for each process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_counts_by_itself() {
    let address = nobody().await;
    let Some(redis) = Redis::start(address).await else { return };
    let mock = Mock::start().await;
    let folder = folder("shared_rates");
    std::fs::write(folder.join("millpond.toml"), config(address, mock.address)).unwrap();
    let mut serve = command(&folder);
    serve.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut serve = Running::start(serve);
    let url = format!("http://{}/v1/chat/completions", serve.address());
    let client = crate::harness::client();
    let status = async || {
        let request = client.post(&url).header("content-type", "application/json");
        let response = request.body(ask("one/demo", true).to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        response.bytes().await.unwrap();
        status
    };
    assert_eq!(status().await, 200);
    drop(redis);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(status().await);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429]);
    // A new one is empty: this process still knows better.
    let _redis = Redis::start(address).await.unwrap();
    assert_eq!(status().await, 429);
    serve.signal("TERM");
    let said = serve.end().stderr;
    assert_eq!(said.matches("Redis cannot be asked").count(), 1, "{said}");
}
