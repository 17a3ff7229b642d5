//! The whole process under load: what a stream costs on its way through millpond.
//!
//! `cargo bench --bench proxy` sends the same load four ways, round after round in turn: direct to a mock
//! upstream, through nginx (which passes the bytes on; left out, and said so, where it is not installed),
//! through millpond, and through millpond that sends spans and metrics to a collector. What a proxy adds is its figure minus the direct figure of the same round. Printed are
//! the medians of the rounds.
//!
//! | figure | how it is measured |
//! |---|---|
//! | first event | paced: from the write of the request to the first event with text, on warm connections |
//! | event | paced: the upstream writes its clock into the text, the client reads it on arrival |
//! | CPU per event | the proxy's processes in `/proc` around the measured part, over the events written |
//! | events per second | full speed: each event its own write and HTTP chunk, never waiting |
//! | memory per stream | a fresh process, warmed up by a few streams: what its RSS grows by with 1,000 open |
//! | start | from spawn until the port accepts, median of 5, and the RSS of the idle process; millpond only |
//!
//! Paced streams start evenly spread and stay below saturation (10,000 events per second in all), so that
//! queues do not hide what a proxy adds, and a proxy pays for every event by itself. At full speed it reads
//! and writes many events at once, and load, upstream and proxy compete for the same processors. A proxy can
//! then be faster than direct: direct, each write wakes the client. How many events it finds at once is a
//! matter of luck, so these figures come with their range; a difference within it says nothing. The mock and
//! the clients are one thread each, of this process.
//!
//! Every stream is checked: all its text events in order, then `data: [DONE]`, then the end of the body. A
//! single stream that differs fails the bench.
//!
//! Arguments: `--quick` (a tenth of the load), `--streams 1,100,1000`, `--json FILE` (else
//! `target/bench/proxy.json`), `--other FILE` (another build of millpond, as a fifth way). A word that is not an option is a filter on the name of the bench, as with
//! other benches. Linux only, for `/proc`.

mod child;
mod collector;
mod load;
mod options;
mod process;
mod report;
mod stamp;
mod upstream;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::child::{Child, Nginx, Workplace};
use crate::load::{Client, Samples, Work};
use crate::options::Options;
use crate::report::{FullRound, HeldRound, PacedRound, Report, Start};
use crate::stamp::Clock;
use crate::upstream::{Plan, Upstream};

/// What stops the bench; it is printed, and nothing decides on its kind.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The whole run, all children stopped.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// One round of one way: some ten times what it should take.
const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// Its streams stay open for so long that all of them are open at once, and the proxy's pool grows to match.
const WARM_UP: Plan = Plan { events: 1, interval: Duration::from_millis(200) };

/// Streams that are held open to see what they weigh.
const HELD: Plan = Plan { events: 1_000, interval: Duration::from_secs(2) };

/// The way a load takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Direct,
    Nginx,
    Millpond,
    Traced,
    Other,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Millpond => "millpond",
            Self::Traced => "traced",
            Self::Other => "other",
        })
    }
}

/// One of the ways, ready to be asked.
struct Contender {
    via: Via,
    address: SocketAddr,
    child: Option<Child>,
}

impl Contender {
    fn cpu(&self) -> Result<Option<process::Cpu>, Failure> {
        self.child.as_ref().map(|child| process::Cpu::of(child.id())).transpose()
    }

    /// Bounds a round, and says of a failure whose it is.
    async fn attempt<T>(
        &self,
        streams: u32,
        round: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let stalled = |_| Err(format!("not done after {ROUND_LIMIT:?}").into());
        let result = tokio::time::timeout(ROUND_LIMIT, round).await.unwrap_or_else(stalled);
        result.map_err(|failure| {
            let log = self.child.as_ref().map_or(String::new(), Child::log_tail);
            format!("{}, {streams} streams: {failure}{log}", self.via).into()
        })
    }
}

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => return fail(&failure),
    };
    let result = process::raise_file_limit(options.files()).and_then(|()| run(&options));
    result.map_or_else(|failure| fail(&failure), |()| ExitCode::SUCCESS)
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("bench failed: {failure}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        // Whichever of these comes first drops the others, and with them the guards of the children.
        tokio::select! {
            report = measure(options) => report,
            () = tokio::time::sleep(TIME_LIMIT) => Err(format!("not done after {TIME_LIMIT:?}").into()),
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminate.recv() => Err("terminated".into()),
        }
    })?;
    print!("{report}");
    report.write(&options.json)?;
    println!("\nwritten to {}", options.json.display());
    Ok(())
}

async fn measure(options: &Options) -> Result<Report, Failure> {
    let began = Instant::now();
    let clock = Clock::start();
    let bench = Bench {
        options,
        clock,
        upstream: Upstream::start(clock)?,
        workplace: Workplace::create()?,
        nginx: Nginx::find(),
        collector: collector::start()?,
    };
    let mut report = Report::new(options, bench.nginx.as_ref().map(|nginx| nginx.version.clone()));
    println!("{}", report.heading());
    report.start = Some(bench.start()?);

    let contenders = bench.contenders()?;
    for &streams in &options.streams {
        for round in 1..=options.rounds {
            progress(&format!("{streams} streams, round {round}"));
            for contender in &contenders {
                let paced = contender.attempt(streams, bench.paced(contender, streams)).await?;
                report.add_paced(contender.via, paced);
            }
            for contender in &contenders {
                let full = contender.attempt(streams, bench.full_speed(contender, streams)).await?;
                report.add_full_speed(contender.via, full);
            }
        }
    }
    drop(contenders);
    for round in 1..=options.rounds {
        progress(&format!("{} streams held open, round {round}", options.held));
        // A fresh process each time: what an earlier load left in an allocator would hide what streams need.
        for contender in bench.contenders()?.iter().filter(|contender| contender.child.is_some()) {
            let held = contender.attempt(options.held, bench.held(contender)).await?;
            report.add_held(contender.via, held);
        }
    }
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Shows life on standard error; the figures go to standard output.
fn progress(what: &str) {
    eprintln!("  {what}");
}

/// What all the measurements share.
struct Bench<'a> {
    options: &'a Options,
    clock: Clock,
    upstream: Upstream,
    workplace: Workplace,
    nginx: Option<Nginx>,
    collector: SocketAddr,
}

impl Bench<'_> {
    fn contenders(&self) -> Result<Vec<Contender>, Failure> {
        let upstream = self.upstream.address();
        let mut contenders = vec![Contender { via: Via::Direct, address: upstream, child: None }];
        if let Some(nginx) = &self.nginx {
            let child = child::nginx(nginx, &self.workplace, upstream)?;
            contenders.push(Contender { via: Via::Nginx, address: child.address(), child: Some(child) });
        }
        let own = Path::new(env!("CARGO_BIN_EXE_millpond"));
        let mut builds = vec![(Via::Millpond, own, None), (Via::Traced, own, Some(self.collector))];
        builds.extend(self.options.other.as_deref().map(|other| (Via::Other, other, None)));
        for (via, program, collector) in builds {
            let child = child::millpond(program, &self.workplace, upstream, collector)?;
            child.wait_until_healthy()?;
            contenders.push(Contender { via, address: child.address(), child: Some(child) });
        }
        Ok(contenders)
    }

    fn start(&self) -> Result<Start, Failure> {
        let mut took_ms = Vec::new();
        let mut idle_kib = Vec::new();
        for _ in 0..self.options.starts {
            let own = Path::new(env!("CARGO_BIN_EXE_millpond"));
            let child = child::millpond(own, &self.workplace, self.upstream.address(), None)?;
            child.wait_until_healthy()?;
            // The work that follows a start, such as spawning threads, is to be over.
            std::thread::sleep(Duration::from_millis(100));
            took_ms.push(child.started_after().as_secs_f64() * 1e3);
            idle_kib.push(process::resident_kib(child.id())? as f64);
        }
        Ok(Start {
            starts: self.options.starts,
            until_accepting_ms: report::median(&took_ms),
            idle_resident_kib: report::median(&idle_kib),
        })
    }

    async fn paced(&self, contender: &Contender, streams: u32) -> Result<PacedRound, Failure> {
        let (plan, answers) = self.options.paced(streams);
        let clients = self.warm_clients(contender, streams).await?;
        self.upstream.follow(plan);
        let before = contender.cpu()?;
        let work = Work { answers, events: plan.events, spread: plan.interval * plan.events };
        let (_clients, samples) = load::run(clients, work).await?;
        let cpu = self.cpu_per_event_us(contender, before, &samples, plan)?;
        Ok(PacedRound::new(streams, plan.interval, samples, cpu))
    }

    async fn full_speed(&self, contender: &Contender, streams: u32) -> Result<FullRound, Failure> {
        let plan = self.options.full_speed(streams);
        let clients = self.warm_clients(contender, streams).await?;
        self.upstream.follow(plan);
        let before = contender.cpu()?;
        let began = Instant::now();
        let (_clients, samples) =
            load::run(clients, Work { answers: 1, events: plan.events, spread: Duration::ZERO }).await?;
        let took = began.elapsed();
        let events = plan.written_events(samples.first_events_ns.len());
        let cpu_per_event_us = self.cpu_per_event_us(contender, before, &samples, plan)?;
        Ok(FullRound {
            streams,
            events_per_stream: plan.events,
            events_per_second: events / took.as_secs_f64(),
            cpu_per_event_us,
        })
    }

    async fn held(&self, contender: &Contender) -> Result<HeldRound, Failure> {
        let child = contender.child.as_ref().ok_or("there is no process to weigh")?;
        let warm = self.warm_clients(contender, 20).await?;
        let before_kib = process::resident_kib(child.id())?;
        self.upstream.follow(HELD);
        let clients = Client::connect_all(contender.address, self.clock, self.options.held).await?;
        // Until the first text event: by then every stream has been idle and has come to life again.
        let open = load::hold(clients, 1).await?;
        let with_kib = process::resident_kib(child.id())?;
        drop((open, warm));
        Ok(HeldRound { streams: self.options.held, before_kib, with_kib })
    }

    /// Connections that have carried an answer each, all at the same time.
    async fn warm_clients(&self, contender: &Contender, streams: u32) -> Result<Vec<Client>, Failure> {
        self.upstream.follow(WARM_UP);
        let clients = Client::connect_all(contender.address, self.clock, streams).await?;
        let (clients, _) =
            load::run(clients, Work { answers: 1, events: WARM_UP.events, spread: Duration::ZERO }).await?;
        Ok(clients)
    }

    fn cpu_per_event_us(
        &self,
        contender: &Contender,
        before: Option<process::Cpu>,
        samples: &Samples,
        plan: Plan,
    ) -> Result<Option<f64>, Failure> {
        let spent = before.zip(contender.cpu()?).map(|(before, after)| after.since(&before));
        let events = plan.written_events(samples.first_events_ns.len());
        Ok(spent.map(|spent| spent.as_secs_f64() * 1e6 / events))
    }
}
