//! When an upstream is asked again, and when it is left alone.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::file::Span;

/// How often a request is tried, and with which pauses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Requests to upstreams for one request of a client, at most: 3. Every target of an alias may be asked
    /// once, also if they are more. 1 switches retries off.
    pub attempts: u32,
    /// The first pause is up to this long, by chance, and each further one up to twice as long: 250 ms.
    pub base: Duration,
    /// But no pause is longer: 8 s.
    pub cap: Duration,
    /// A `retry-after` that is longer is not waited for; the client is told of it: 10 s.
    pub retry_after_max: Duration,
    /// How many retries there may be for each request, over time: 0.2. So an outage is not made worse.
    /// Asking another target is no retry.
    pub budget: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 3,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(8),
            retry_after_max: Duration::from_secs(10),
            budget: 0.2,
        }
    }
}

/// When a target is taken for broken, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// Failures in a row that open it: 10. 0 switches the breaker off.
    pub failures: u32,
    /// The part of failures among the answers of the last 30 s that opens it, if there are 20 or more: 0.5.
    pub ratio: f64,
    /// How long it stays open before one request may try, the first time; each time in a row twice as long,
    /// up to 2 min: 5 s.
    pub cooldown: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { failures: 10, ratio: 0.5, cooldown: Duration::from_secs(5) }
    }
}

/// `[retry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryFile {
    attempts: Option<u32>,
    base: Option<Span>,
    cap: Option<Span>,
    retry_after_max: Option<Span>,
    budget: Option<f64>,
}

impl RetryFile {
    pub(super) fn read(self, mistakes: &mut Vec<String>) -> Retry {
        let defaults = Retry::default();
        let span = |written: Option<Span>, default| written.map_or(default, |span| span.0);
        if self.attempts == Some(0) {
            mistakes.push("retry.attempts: must be 1 or more; 1 is no retries".to_owned());
        }
        if self.budget.is_some_and(|budget| !(0.0..=100.0).contains(&budget)) {
            mistakes.push("retry.budget: must be a number from 0 to 100".to_owned());
        }
        Retry {
            attempts: self.attempts.unwrap_or(defaults.attempts),
            base: span(self.base, defaults.base),
            cap: span(self.cap, defaults.cap),
            retry_after_max: span(self.retry_after_max, defaults.retry_after_max),
            budget: self.budget.unwrap_or(defaults.budget),
        }
    }
}

/// `[breaker]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakerFile {
    failures: Option<u32>,
    ratio: Option<f64>,
    cooldown: Option<Span>,
}

impl BreakerFile {
    pub(super) fn read(self, mistakes: &mut Vec<String>) -> Breaker {
        let defaults = Breaker::default();
        if self.ratio.is_some_and(|ratio| !(ratio > 0.0 && ratio <= 1.0)) {
            mistakes.push("breaker.ratio: must be a number above 0 and up to 1".to_owned());
        }
        Breaker {
            failures: self.failures.unwrap_or(defaults.failures),
            ratio: self.ratio.unwrap_or(defaults.ratio),
            cooldown: self.cooldown.map_or(defaults.cooldown, |span| span.0),
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[retry]\nattempts = {}", self.attempts)?;
        for (name, span) in
            [("base", self.base), ("cap", self.cap), ("retry_after_max", self.retry_after_max)]
        {
            writeln!(f, "{name} = \"{}\"", humantime::format_duration(span))?;
        }
        writeln!(f, "budget = {:?}", self.budget)
    }
}

impl fmt::Display for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[breaker]\nfailures = {}\nratio = {:?}", self.failures, self.ratio)?;
        writeln!(f, "cooldown = \"{}\"", humantime::format_duration(self.cooldown))
    }
}
