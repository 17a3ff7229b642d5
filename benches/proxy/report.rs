//! The rounds, their medians, the table and the JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::load::Samples;
use crate::options::Options;
use crate::{Failure, Via};

/// The middle and the tail of many samples, or the difference of two such.
#[derive(Clone, Copy, Serialize)]
pub struct Spread {
    median: f64,
    p99: f64,
}

impl Spread {
    fn of_nanos(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| {
            samples.get(((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1)))
        };
        let micros = |share| at(share).map_or(f64::NAN, |&nanos| nanos as f64 / 1e3);
        Self { median: micros(0.5), p99: micros(0.99) }
    }

    fn median_of(spreads: &[Self]) -> Self {
        let middle = |part: fn(&Self) -> f64| median(&spreads.iter().map(part).collect::<Vec<_>>());
        Self { median: middle(|spread| spread.median), p99: middle(|spread| spread.p99) }
    }

    fn over(self, direct: Self) -> Self {
        Self { median: self.median - direct.median, p99: self.p99 - direct.p99 }
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(value)) => *value,
        (_, None) => f64::NAN,
    }
}

/// One round of paced streams.
pub struct PacedRound {
    streams: u32,
    interval: Duration,
    first_event_us: Spread,
    event_us: Spread,
    cpu_per_event_us: Option<f64>,
}

impl PacedRound {
    pub fn new(streams: u32, interval: Duration, samples: Samples, cpu_per_event_us: Option<f64>) -> Self {
        let first_event_us = Spread::of_nanos(samples.first_events_ns);
        Self {
            streams,
            interval,
            first_event_us,
            event_us: Spread::of_nanos(samples.events_ns),
            cpu_per_event_us,
        }
    }
}

/// One round at full speed.
pub struct FullRound {
    pub streams: u32,
    pub events_per_stream: u32,
    pub events_per_second: f64,
    pub cpu_per_event_us: Option<f64>,
}

/// One round of streams that are only held open.
pub struct HeldRound {
    pub streams: u32,
    pub before_kib: u64,
    pub with_kib: u64,
}

/// How a start went.
#[derive(Serialize)]
pub struct Start {
    pub starts: u32,
    pub until_accepting_ms: f64,
    pub idle_resident_kib: f64,
}

/// The medians of the paced rounds with so many streams on one way.
#[derive(Serialize)]
struct Paced {
    streams: u32,
    interval_ms: u64,
    via: Via,
    first_event_us: Spread,
    event_us: Spread,
    /// Over direct, in the same round; none for direct itself. So with the next one.
    added_first_event_us: Option<Spread>,
    added_event_us: Option<Spread>,
    cpu_per_event_us: Option<f64>,
}

/// The medians of the rounds at full speed with so many streams on one way.
#[derive(Serialize)]
struct Full {
    streams: u32,
    events_per_stream: u32,
    via: Via,
    events_per_second: f64,
    share_of_direct: f64,
    cpu_per_event_us: Option<f64>,
    /// What the medians are of.
    events_per_second_of_rounds: Vec<f64>,
    cpu_per_event_us_of_rounds: Vec<f64>,
}

/// The medians of the rounds with streams held open on one way.
#[derive(Serialize)]
struct Held {
    streams: u32,
    via: Via,
    resident_before_kib: f64,
    kib_per_stream: f64,
}

/// Which ways are compared: the first's figure over the second's.
const COMPARED: [(Via, Via); 3] =
    [(Via::Millpond, Via::Nginx), (Via::Traced, Via::Millpond), (Via::Traced, Via::Other)];

/// One way's figure over another's. For times it is that of the added ones, and none where the other adds
/// nothing that can be measured.
#[derive(Serialize)]
struct Ratio {
    figure: &'static str,
    streams: u32,
    of: Via,
    over: Via,
    ratio: Option<f64>,
}

/// All that was measured, round by round.
pub struct Report {
    quick: bool,
    rounds: u32,
    nginx: Option<String>,
    pub took_seconds: f64,
    pub start: Option<Start>,
    paced: Vec<(Via, PacedRound)>,
    full_speed: Vec<(Via, FullRound)>,
    held: Vec<(Via, HeldRound)>,
}

/// The report as written.
#[derive(Serialize)]
struct Written<'a> {
    quick: bool,
    rounds: u32,
    took_seconds: f64,
    processors: usize,
    bench_threads: u32,
    nginx: Option<&'a str>,
    paced: Vec<Paced>,
    full_speed: Vec<Full>,
    held: Vec<Held>,
    ratios: Vec<Ratio>,
    start: Option<&'a Start>,
}

impl Report {
    pub fn new(options: &Options, nginx: Option<String>) -> Self {
        Self {
            quick: options.quick,
            rounds: options.rounds,
            nginx,
            took_seconds: f64::NAN,
            start: None,
            paced: Vec::new(),
            full_speed: Vec::new(),
            held: Vec::new(),
        }
    }

    pub fn heading(&self) -> String {
        let nginx = self.nginx.as_ref().map_or_else(
            || "nginx is not installed: it is left out".to_owned(),
            |version| format!("{version}, worker_processes auto (one per processor), proxy_buffering off"),
        );
        let build = if cfg!(debug_assertions) { "DEBUG BUILD, the figures mean little; " } else { "" };
        format!(
            "{build}{} rounds{}; {} processors; two bench threads (upstream, clients); {nginx}",
            self.rounds,
            if self.quick { ", a tenth of the load" } else { "" },
            processors()
        )
    }

    pub fn add_paced(&mut self, via: Via, round: PacedRound) {
        self.paced.push((via, round));
    }

    pub fn add_full_speed(&mut self, via: Via, round: FullRound) {
        self.full_speed.push((via, round));
    }

    pub fn add_held(&mut self, via: Via, round: HeldRound) {
        self.held.push((via, round));
    }

    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let written = serde_json::to_string_pretty(&self.written())?;
        Ok(std::fs::write(file, written + "\n")?)
    }

    fn written(&self) -> Written<'_> {
        let (paced, full_speed, held) = (self.paced(), self.full_speed(), self.held());
        Written {
            quick: self.quick,
            rounds: self.rounds,
            took_seconds: self.took_seconds,
            processors: processors(),
            bench_threads: 2,
            nginx: self.nginx.as_deref(),
            ratios: ratios(&paced, &full_speed, &held),
            paced,
            full_speed,
            held,
            start: self.start.as_ref(),
        }
    }

    fn paced(&self) -> Vec<Paced> {
        let summary = |streams, via, rounds: &[&PacedRound]| {
            let direct = of(&self.paced, |round| round.streams == streams, Via::Direct);
            let (first, event) =
                (|round: &PacedRound| round.first_event_us, |round: &PacedRound| round.event_us);
            let middle = |part: fn(&PacedRound) -> Spread| {
                Spread::median_of(&rounds.iter().map(|round| part(round)).collect::<Vec<_>>())
            };
            let added = |part: fn(&PacedRound) -> Spread| {
                let over = |(round, direct): (&&PacedRound, &&PacedRound)| part(round).over(part(direct));
                (via != Via::Direct)
                    .then(|| Spread::median_of(&rounds.iter().zip(&direct).map(over).collect::<Vec<_>>()))
            };
            Paced {
                streams,
                interval_ms: rounds.first().map_or(0, |round| round.interval.as_millis() as u64),
                via,
                first_event_us: middle(first),
                event_us: middle(event),
                added_first_event_us: added(first),
                added_event_us: added(event),
                cpu_per_event_us: median_where_known(rounds.iter().map(|round| round.cpu_per_event_us)),
            }
        };
        summaries(&self.paced, |round| round.streams, summary)
    }

    fn full_speed(&self) -> Vec<Full> {
        let rates = |rounds: &[&FullRound]| -> Vec<f64> {
            rounds.iter().map(|round| round.events_per_second).collect()
        };
        let summary = |streams, via, rounds: &[&FullRound]| {
            let direct = rates(&of(&self.full_speed, |round| round.streams == streams, Via::Direct));
            let cpu: Vec<f64> = rounds.iter().filter_map(|round| round.cpu_per_event_us).collect();
            let rates = rates(rounds);
            Full {
                streams,
                events_per_stream: rounds.first().map_or(0, |round| round.events_per_stream),
                via,
                events_per_second: median(&rates),
                share_of_direct: median(&rates) / median(&direct),
                cpu_per_event_us: (!cpu.is_empty()).then(|| median(&cpu)),
                events_per_second_of_rounds: rates,
                cpu_per_event_us_of_rounds: cpu,
            }
        };
        summaries(&self.full_speed, |round| round.streams, summary)
    }

    fn held(&self) -> Vec<Held> {
        let summary = |streams, via, rounds: &[&HeldRound]| {
            let grown = |round: &&HeldRound| {
                (round.with_kib as f64 - round.before_kib as f64) / f64::from(round.streams)
            };
            Held {
                streams,
                via,
                resident_before_kib: median(
                    &rounds.iter().map(|round| round.before_kib as f64).collect::<Vec<_>>(),
                ),
                kib_per_stream: median(&rounds.iter().map(grown).collect::<Vec<_>>()),
            }
        };
        summaries(&self.held, |round| round.streams, summary)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// The rounds of one way that match, in order.
fn of<R>(rounds: &[(Via, R)], matches: impl Fn(&R) -> bool, via: Via) -> Vec<&R> {
    rounds.iter().filter(|(other, round)| *other == via && matches(round)).map(|(_, round)| round).collect()
}

/// One summary for each number of streams and way, in the order of first appearance.
fn summaries<R, S>(
    rounds: &[(Via, R)],
    streams: impl Fn(&R) -> u32,
    summary: impl Fn(u32, Via, &[&R]) -> S,
) -> Vec<S> {
    let mut keys: Vec<(u32, Via)> = Vec::new();
    for (via, round) in rounds {
        let key = (streams(round), *via);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.into_iter()
        .map(|(count, via)| summary(count, via, &of(rounds, |round| streams(round) == count, via)))
        .collect()
}

fn median_where_known(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| median(&known))
}

fn ratios(paced: &[Paced], full_speed: &[Full], held: &[Held]) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for (of, over) in COMPARED {
        let mut add = |figure, streams, ours: Option<f64>, theirs: Option<f64>| {
            ratios.push(Ratio { figure, streams, of, over, ratio: ratio(ours, theirs) });
        };
        for ours in paced.iter().filter(|row| row.via == of) {
            let Some(theirs) = paced.iter().find(|row| row.via == over && row.streams == ours.streams) else {
                continue;
            };
            let mut figure =
                |name, part: fn(&Paced) -> Option<f64>| add(name, ours.streams, part(ours), part(theirs));
            figure("paced: first event added, median", |row| {
                row.added_first_event_us.map(|added| added.median)
            });
            figure("paced: first event added, p99", |row| row.added_first_event_us.map(|added| added.p99));
            figure("paced: event added, median", |row| row.added_event_us.map(|added| added.median));
            figure("paced: event added, p99", |row| row.added_event_us.map(|added| added.p99));
            figure("paced: CPU per event", |row| row.cpu_per_event_us);
        }
        for ours in full_speed.iter().filter(|row| row.via == of) {
            let Some(theirs) = full_speed.iter().find(|row| row.via == over && row.streams == ours.streams)
            else {
                continue;
            };
            let mut figure =
                |name, part: fn(&Full) -> Option<f64>| add(name, ours.streams, part(ours), part(theirs));
            figure("full speed: events per second", |row| Some(row.events_per_second));
            figure("full speed: CPU per event", |row| row.cpu_per_event_us);
        }
        for ours in held.iter().filter(|row| row.via == of) {
            let Some(theirs) = held.iter().find(|row| row.via == over) else { continue };
            let (ours_kib, theirs_kib) = (Some(ours.kib_per_stream), Some(theirs.kib_per_stream));
            add("held open: memory per stream", ours.streams, ours_kib, theirs_kib);
        }
    }
    ratios
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    ours.zip(theirs.filter(|theirs| *theirs > 0.0)).map(|(ours, theirs)| ours / theirs)
}

/// A number in a column, or a dash.
fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.written();
        paced_table(&written.paced, f)?;
        full_speed_table(&written.full_speed, f)?;
        held_table(&written.held, f)?;
        if !written.ratios.is_empty() {
            writeln!(f, "\n{:<34}{:<22}{:>8}{:>8}", "ratios", "of", "streams", "ratio")?;
        }
        for ratio in &written.ratios {
            let of = format!("{} / {}", ratio.of, ratio.over);
            let figure = cell(ratio.ratio, 2);
            writeln!(f, "{:<34}{of:<22}{:>8}{figure:>8}", ratio.figure, ratio.streams)?;
        }
        if let Some(start) = written.start {
            let (ms, kib) = (start.until_accepting_ms, start.idle_resident_kib);
            writeln!(
                f,
                "\nmillpond accepts {ms:.1} ms after spawn (median of {}); idle it holds {kib:.0} KiB",
                start.starts
            )?;
        }
        writeln!(f, "\n{:.0} s; every stream had all its text events in order and [DONE]", self.took_seconds)
    }
}

fn paced_table(rows: &[Paced], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\npaced streams; microseconds, in brackets what is added to direct")?;
    writeln!(
        f,
        "{:>7} {:>9}  {:<9}{:>18}{:>18}{:>18}{:>18}{:>11}",
        "streams", "interval", "via", "first median", "first p99", "event median", "event p99", "CPU/event"
    )?;
    for row in rows {
        let with = |value: f64, added: Option<f64>| {
            added.map_or(format!("{value:.0}"), |added| format!("{value:.0} ({added:+.0})"))
        };
        let (first, event) = (row.added_first_event_us, row.added_event_us);
        writeln!(
            f,
            "{:>7} {:>6} ms  {:<9}{:>18}{:>18}{:>18}{:>18}{:>11}",
            row.streams,
            row.interval_ms,
            row.via,
            with(row.first_event_us.median, first.map(|added| added.median)),
            with(row.first_event_us.p99, first.map(|added| added.p99)),
            with(row.event_us.median, event.map(|added| added.median)),
            with(row.event_us.p99, event.map(|added| added.p99)),
            cell(row.cpu_per_event_us, 2),
        )?;
    }
    Ok(())
}

fn full_speed_table(rows: &[Full], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nfull speed; CPU in microseconds; in brackets the lowest and the highest round")?;
    writeln!(
        f,
        "{:>7} {:>9}  {:<9}{:>26}{:>11}{:>20}",
        "streams", "events", "via", "events/s", "of direct", "CPU/event"
    )?;
    for row in rows {
        let rate = with_range(row.events_per_second, &row.events_per_second_of_rounds, 0);
        let cpu = row.cpu_per_event_us.map(|cpu| with_range(cpu, &row.cpu_per_event_us_of_rounds, 2));
        writeln!(
            f,
            "{:>7} {:>9}  {:<9}{rate:>26}{:>9.0} %{:>20}",
            row.streams,
            row.events_per_stream,
            row.via,
            row.share_of_direct * 100.0,
            cpu.as_deref().unwrap_or("-"),
        )?;
    }
    Ok(())
}

fn with_range(median: f64, rounds: &[f64], decimals: usize) -> String {
    let lowest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{median:.decimals$} ({lowest:.decimals$}-{highest:.decimals$})")
}

fn held_table(rows: &[Held], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nstreams held open, an event every 2 s; KiB")?;
    writeln!(f, "{:>7}            {:<9}{:>12}{:>12}", "streams", "via", "RSS before", "per stream")?;
    for row in rows {
        writeln!(
            f,
            "{:>7}            {:<9}{:>12.0}{:>12.1}",
            row.streams, row.via, row.resident_before_kib, row.kib_per_stream
        )?;
    }
    Ok(())
}
