//! What an operator sees of an answer: headers, metrics, the figures of a client that left.

use millpond::config::{Config, File};
use millpond::proxy::{Shared, serve_admin};
use millpond::telemetry::Telemetry;

use crate::client::Client;
use crate::harness::{Mock, Proxy, ask, listen, until};
use crate::upstream::{DONE, FINISH, FIRST, Upstream};

const USAGE: &str = "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";

/// The value of the sample whose line begins so, if there is one.
async fn sample(proxy: &Proxy, start: &str) -> Option<f64> {
    let page = proxy.get("/metrics").await.text();
    let line = page.lines().find(|line| line.starts_with(start))?;
    line.rsplit_once(' ').unwrap().1.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_headers_tell_who_was_asked() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for stream in [true, false] {
        let reply = proxy.chat(&ask("demo", stream)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-millpond-provider"), Some("mine"));
        assert_eq!(reply.header("x-millpond-model"), Some("demo"));
        assert_eq!(reply.header("x-millpond-attempts"), Some("1"));
        let timing = reply.header("server-timing").unwrap();
        let (upstream, millpond) = timing.split_once(", ").unwrap();
        for (part, name) in [(upstream, "upstream"), (millpond, "millpond")] {
            let time = part.strip_prefix(&format!("{name};dur=")).unwrap().parse::<f64>().unwrap();
            assert!((0.0..20_000.0).contains(&time), "{timing}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_are_in_two_formats() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    proxy.chat(&ask("demo", true)).await;
    let text = proxy.get("/metrics").await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = text.text();
    assert!(text.contains("\nmillpond_stream_end_total{"), "{text}");
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = proxy.send("GET", "/metrics", &accept, "").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_client_left_can_be_read_on_for_its_figures() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::of("mine", upstream.address, "on_disconnect = \"drain\"").await;
    for stream in [true, false] {
        let client = Client::ask(proxy.address, &ask("m", stream)).await;
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        drop(client);
        // The connection stays, although nobody waits for what it brings.
        connection.open().await;
        connection.chunk([FINISH, USAGE, DONE].concat()).await;
    }
    let tokens = "gen_ai_client_inference_usage_output_tokens_total{";
    until("the usage of both answers", async || sample(&proxy, tokens).await == Some(14.0)).await;
    let ends = "millpond_stream_end_total{gen_ai_provider_name=\"mine\",millpond_stream_end_reason=\"client_disconnect\"}";
    assert_eq!(sample(&proxy, ends).await, Some(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reading_on_has_a_limit() {
    let mut upstream = Upstream::start().await;
    let proxy =
        Proxy::of("mine", upstream.address, "on_disconnect = \"drain\"\ndrain_limit = \"50ms\"").await;
    let client = Client::ask(proxy.address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    drop(client);
    connection.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_listener_has_health_and_metrics_alone() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "admin_listen = \"127.0.0.1:0\"").await;
    assert_eq!(proxy.get("/metrics").await.status, 404);
    assert_eq!(proxy.get("/healthz").await.status, 200);
    let config = Config::new(File::default(), None, &|_| None).unwrap();
    let telemetry = Telemetry::start(config.telemetry.clone(), config.models()).unwrap();
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let shared = Shared::new(config, telemetry);
    let serving = tokio::spawn(serve_admin(listener, shared, std::future::pending()));
    for (path, status) in [("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/v1/models", 404)] {
        let reply = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        assert_eq!(reply.status(), status, "{path}");
    }
    serving.abort();
}
