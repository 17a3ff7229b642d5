//! Collectors that do not work: requests do not notice, the log stays short, the end is not held up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::harness::{Mock, ask, listen, within};
use crate::nobody::Nobody;
use crate::program::{FLUSH, Program};

/// How many requests each program gets.
const ROUNDS: usize = 150;
/// How exports that failed begin in `GET /metrics`.
const FAILED: &str = "millpond_telemetry_exports_total{millpond_outcome=\"failed\"";
/// How many lines a collector's trouble may cost in a short run.
const FEW: usize = 8;

/// A collector that refuses whatever it is sent, over HTTP and gRPC.
async fn refusing() -> SocketAddr {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// One program in front of one collector.
struct Case {
    name: String,
    program: Program,
    times: Vec<Duration>,
}

impl Case {
    async fn start(name: &str, mock: SocketAddr, collector: Option<(SocketAddr, &str)>) -> Case {
        let mut variables = vec![
            ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50".to_owned()),
        ];
        let mut test = name.to_owned();
        if let Some((address, protocol)) = collector {
            variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")));
            variables.push(("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()));
            test = format!("{name}_{}", &protocol[..4]);
        }
        let program = Program::before(&format!("collector_{test}"), mock, "", &variables).await;
        Case { name: test, program, times: Vec::new() }
    }

    async fn ask(&mut self) {
        let start = Instant::now();
        self.program.chat(&ask("mine/demo", true)).await.complete(false);
        self.times.push(start.elapsed());
    }

    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }

    /// Waits until the trouble was noticed.
    async fn failed(&self) {
        let mut tick = interval(Duration::from_millis(20));
        within(&format!("a failed export ({})", self.name), async {
            loop {
                let page = self.program.scrape().await;
                let mut counts = page.lines().filter(|line| line.starts_with(FAILED));
                if counts.any(|line| !line.ends_with(" 0")) {
                    return;
                }
                tick.tick().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_work_harms_nobody() {
    let mock = Mock::start().await;
    // It takes connections into its backlog, and never looks at them.
    let deaf: TcpListener = listen().await;
    let silent = deaf.local_addr().unwrap();
    let (down, refusing) = (Nobody::new(), refusing().await);
    let mut cases = vec![Case::start("none", mock.address, None).await];
    for protocol in ["http/protobuf", "grpc"] {
        for (name, collector) in [("down", down.address()), ("silent", silent), ("refusing", refusing)] {
            cases.push(Case::start(name, mock.address, Some((collector, protocol))).await);
        }
    }
    // In turn, so that whatever else the machine does hits all alike.
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.ask().await;
        }
    }
    let medians: Vec<(String, Duration)> =
        cases.iter_mut().map(|case| (case.name.clone(), case.median())).collect();
    let plain = medians[0].1;
    for (name, median) in &medians {
        println!("{name}: {median:?}");
        assert!(*median < plain * 2 + Duration::from_millis(2), "{name}: {medians:?}");
    }
    let mut stopping = JoinSet::new();
    for case in cases {
        stopping.spawn(async move {
            if !case.name.starts_with("none") && !case.name.starts_with("silent") {
                case.failed().await;
            }
            (case.name, case.program.stop().await)
        });
    }
    for (name, ended) in stopping.join_all().await {
        println!("{name}: ended after {:?} with {} warnings", ended.took, ended.warnings().len());
        assert!(ended.took < FLUSH, "{name}: {:?}", ended.took);
        assert_eq!(ended.requests().len(), ROUNDS, "{name}");
        let others = ended.lines().len() - ROUNDS;
        assert!(others <= FEW, "{name}: {others} lines: {:#?}", ended.warnings());
        let told = name == "none" || !ended.warnings().is_empty();
        assert!(told, "{name}: an operator must be able to see that telemetry is lost: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_back_gets_what_happens_then() {
    let mock = Mock::start().await;
    let nobody = Nobody::new();
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", nobody.address())),
    ];
    let program = Program::before("back", mock.address, "", &variables).await;
    program.chat(&ask("mine/demo", true)).await.complete(false);
    program.until_series("millpond_telemetry_spans_total{millpond_outcome=\"failed\"}", "3").await;
    let sink = crate::sink::Sink::on(nobody.listen());
    program.chat(&ask("mine/demo", true)).await.complete(false);
    program.stop().await;
    // The spans that failed are gone, and are counted; the metrics are whole.
    let arrived = sink.arrived();
    crate::trace::only_tree(&arrived);
    let measures = crate::measure::Measures::last(&arrived);
    assert_eq!(measures.sum(millpond::telemetry::semconv::STREAM_END, &[]), 2.0);
}
