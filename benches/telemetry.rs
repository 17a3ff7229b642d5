//! What watching costs: one request with its answer, and one event of it.
//!
//! `cargo bench --bench telemetry`. The exporters send to a collector of this process that forgets everything;
//! their threads' work is not in the figures, as it is not on a request's path.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use divan::{Bencher, counter::ItemsCount};
use http::{HeaderMap, Method};
use millpond::chat::Chat;
use millpond::event::{Body, Event, Finish, FinishReason, Identity, Part, Repair, Repairs, Unknown, Usage};
use millpond::observe::{Asked, End, Observer, Outcome, Routed, Watch};
use millpond::telemetry::{Accepted, Exporter, Protocol, Settings, Telemetry};

const EVENTS: usize = 1_000;

fn main() {
    divan::main();
}

/// A collector that takes everything.
fn collector() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let taken = |_: Bytes| async {};
            let router = Router::new().route("/v1/traces", post(taken)).route("/v1/metrics", post(taken));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
    });
    address
}

fn telemetry(exports: bool) -> Telemetry {
    let exporter = exports.then(|| {
        let address = collector();
        move |path: &str| Exporter {
            endpoint: Some(format!("http://{address}/{path}")),
            protocol: Protocol::HttpProtobuf,
        }
    });
    let settings = Settings {
        traces: exporter.as_ref().map(|exporter| exporter("v1/traces")),
        metrics: exporter.as_ref().map(|exporter| exporter("v1/metrics")),
        ..Settings::default()
    };
    Telemetry::start(settings, std::iter::once("m".to_owned()).collect()).unwrap()
}

struct Scene {
    chat: Chat,
    url: url::Url,
    headers: HeaderMap,
    identity: Identity,
    usage: Usage,
    repairs: Repairs,
}

impl Scene {
    fn new() -> Scene {
        let mut headers = HeaderMap::new();
        headers.insert(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap(),
        );
        headers.insert("user-agent", "OpenAI/Python".parse().unwrap());
        headers.insert("x-request-id", "89c5d3ed-1400-460d-8b62-d7f12420c08d".parse().unwrap());
        let mut repairs = Repairs::default();
        repairs.count(Repair::DoneMissing);
        Scene {
            chat: Chat::read(
                br#"{"model":"p/m","stream":true,"temperature":0.5,"max_tokens":100,"seed":1,"messages":[{"role":"user","content":"Hello"}]}"#,
            )
            .unwrap(),
            url: "http://127.0.0.1:9/v1/chat/completions".parse().unwrap(),
            headers,
            identity: Identity { id: "chatcmpl-1".into(), model: "m-2026".into(), created: 1, counted: None },
            usage: Usage::read(
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}"#,
            )
            .unwrap(),
            repairs,
        }
    }

    fn begin(&self, telemetry: &Telemetry) -> Watch {
        let mut watch = telemetry.watch(Accepted {
            method: &Method::POST,
            scheme: "http",
            route: Some("/v1/chat/completions"),
            path: "/v1/chat/completions",
            headers: &self.headers,
        });
        let observer = watch.observer().unwrap();
        observer.received();
        observer.routed(&Routed {
            provider: "p",
            model: "m",
            method: &Method::POST,
            url: &self.url,
            asked: Asked::Chat(&self.chat),
        });
        let mut headers = HeaderMap::new();
        observer.sending(&self.url, &mut headers);
        observer.responded(200, &headers);
        observer.event(&Event::Start(&self.identity));
        watch
    }

    fn end(&self, mut watch: Watch) {
        let observer = watch.observer().unwrap();
        let unknown = Unknown::default();
        let finish = Finish { choice: 0, reason: FinishReason::Stop, native: None, unknown };
        observer.event(&Event::Finish(finish));
        let now = Instant::now();
        observer.arrived(now, now);
        watch.end(&Outcome {
            end: End::Complete,
            status: Some(200),
            usage: Some(&self.usage),
            repairs: Some(&self.repairs),
        });
    }
}

fn say(observer: &mut dyn Observer, first: bool) {
    let at = Instant::now();
    let part = Part { choice: 0, first, body: Body::Text(black_box("Hello")), unknown: Unknown::default() };
    observer.event(&Event::Part(part));
    observer.arrived(at, Instant::now());
}

/// A whole request, but for its events.
#[divan::bench(args = [false, true])]
fn request(bencher: Bencher, exports: bool) {
    let (telemetry, scene) = (telemetry(exports), Scene::new());
    bencher.bench_local(|| {
        let mut watch = scene.begin(&telemetry);
        say(watch.observer().unwrap(), true);
        scene.end(watch);
    });
}

/// An event that arrives alone: two looks at the clock, and what is recorded. The figure per item is one event.
#[divan::bench(args = [false, true])]
fn event(bencher: Bencher, exports: bool) {
    let (telemetry, scene) = (telemetry(exports), Scene::new());
    let mut watch = scene.begin(&telemetry);
    say(watch.observer().unwrap(), true);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let observer = watch.observer().unwrap();
        for _ in 0..EVENTS {
            say(observer, false);
        }
    });
}
