//! Logs on standard error: text for people on a terminal, JSON otherwise; one line per request.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How often the exporters may report the same trouble.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Where the exporters' reports come from.
const EXPORTERS: &str = "opentelemetry";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts to log what the filter lets pass. To be called once; later calls change nothing.
pub fn start(filter: EnvFilter, format: LogFormat) {
    let on_terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_ansi(on_terminal).boxed()
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter.and(Seldom::default())));
    // It fails if a logger is there already, as in tests: then that one logs.
    let _ = registry.try_init();
}

/// Lets each report of the exporters pass once in a while: a collector that is down fails every few seconds.
#[derive(Debug, Default)]
struct Seldom(Mutex<HashMap<Identifier, Instant>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Seldom {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !metadata.target().starts_with(EXPORTERS) {
            return true;
        }
        self.passes(metadata.callsite(), Instant::now())
    }
}

impl Seldom {
    fn passes(&self, callsite: Identifier, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passes =
            last.get(&callsite).is_none_or(|last| now.saturating_duration_since(*last) >= AGAIN_AFTER);
        if passes {
            last.insert(callsite, now);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_report_passes_once_a_minute() {
        let one = tracing::callsite!(name: "one", kind: tracing::metadata::Kind::EVENT, fields: );
        let other = tracing::callsite!(name: "other", kind: tracing::metadata::Kind::EVENT, fields: );
        let (one, other) =
            (tracing::Callsite::metadata(one).callsite(), tracing::Callsite::metadata(other).callsite());
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert!(seldom.passes(one.clone(), now));
        assert!(!seldom.passes(one.clone(), now + AGAIN_AFTER / 2));
        assert!(seldom.passes(other, now + AGAIN_AFTER / 2));
        assert!(seldom.passes(one, now + AGAIN_AFTER));
    }
}
