//! What to run, and how much of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::upstream::Plan;

/// The arguments, and the amounts that follow from them.
pub struct Options {
    pub quick: bool,
    pub streams: Vec<u32>,
    pub json: PathBuf,
    /// Another build of millpond, to be compared with.
    pub other: Option<PathBuf>,
    pub rounds: u32,
    pub starts: u32,
    /// Streams held open to see what they weigh.
    pub held: u32,
    /// How long a paced round lasts, about.
    paced_for: Duration,
    /// Text events of a round at full speed, all streams together.
    full_speed_events: u32,
}

impl Options {
    /// None if a filter names another bench.
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Failure> {
        let mut options = Self::default();
        let mut filters = Vec::new();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // Cargo says so to every bench.
                "--quick" => options = options.tenth(),
                "--streams" => {
                    let list = arguments.next().ok_or("--streams needs a list, such as 1,100,1000")?;
                    options.streams =
                        list.split(',').map(|count| parse_streams(count.trim())).collect::<Result<_, _>>()?;
                }
                "--json" => options.json = arguments.next().ok_or("--json needs a file")?.into(),
                "--other" => options.other = Some(arguments.next().ok_or("--other needs a file")?.into()),
                option if option.starts_with('-') => {
                    return Err(format!(
                        "{option} is unknown; there are --quick, --streams LIST, --json FILE and --other FILE"
                    )
                    .into());
                }
                filter => filters.push(filter.to_owned()),
            }
        }
        let is_wanted = filters.is_empty() || filters.iter().any(|filter| "proxy".contains(filter.as_str()));
        Ok(is_wanted.then_some(options))
    }

    fn tenth(self) -> Self {
        Self {
            quick: true,
            held: 100,
            paced_for: Duration::from_millis(200),
            full_speed_events: 30_000,
            ..self
        }
    }

    /// Open files that the bench and each proxy may need: for each stream a client, and the connections to
    /// the upstream that each of the ways may keep open after use.
    pub fn files(&self) -> u64 {
        let streams = self.streams.iter().copied().max().unwrap_or_default().max(self.held);
        u64::from(streams) * 10 + 256
    }

    /// What each answer of a paced round is, and how many of them a client asks for. The more streams, the
    /// slower each, so that all together stay at 10,000 events per second.
    pub fn paced(&self, streams: u32) -> (Plan, u32) {
        let plan = Plan { events: 10, interval: Duration::from_millis(u64::from(streams / 10).max(2)) };
        let answers = self.paced_for.as_millis() / (plan.interval * plan.events).as_millis();
        (plan, u32::try_from(answers).unwrap_or(u32::MAX).max(1))
    }

    pub fn full_speed(&self, streams: u32) -> Plan {
        Plan { events: (self.full_speed_events / streams).max(10), interval: Duration::ZERO }
    }
}

impl Default for Options {
    fn default() -> Self {
        // Cargo's folder for what benches write is target/tmp.
        let json = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join("proxy.json");
        Self {
            quick: false,
            streams: vec![1, 100, 1_000],
            json,
            other: None,
            rounds: 3,
            starts: 5,
            held: 1_000,
            paced_for: Duration::from_secs(2),
            full_speed_events: 300_000,
        }
    }
}

fn parse_streams(count: &str) -> Result<u32, Failure> {
    match count.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        Ok(_) | Err(_) => Err(format!("--streams takes numbers from 1 to 10000, not {count:?}").into()),
    }
}
