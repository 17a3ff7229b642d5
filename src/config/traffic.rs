//! How much may be under way: in total, for each provider, for each client key.

use std::fmt;
use std::time::Duration;

use redis::IntoConnectionInfo;
use serde::Deserialize;

use super::Secret;
use super::file::Span;

/// How much may be under way in total, and how many requests may wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Answers under way at once: 10,000.
    pub streams: u32,
    /// Requests that may wait for a place among them, or among those of a provider or key: 1,000.
    pub queue: usize,
    /// How long one may wait: 5 s.
    pub queue_timeout: Duration,
    /// What each client key may do that has no limits of its own.
    pub per_key: KeyLimits,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            streams: 10_000,
            queue: 1_000,
            queue_timeout: Duration::from_secs(5),
            per_key: KeyLimits::default(),
        }
    }
}

/// What a provider may be asked for, or a client key may ask for; `None` is as much as anybody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Answers under way at once.
    pub streams: Option<u32>,
    /// Requests in a minute; as many may come at once after a quiet one.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, of requests and answers together.
    pub tokens_per_minute: Option<u32>,
}

impl KeyLimits {
    /// The figures by their names.
    fn fields(self) -> [(&'static str, Option<u32>); 3] {
        [
            ("streams", self.streams),
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
        ]
    }

    /// These limits, and those of `base` where these say nothing.
    pub fn over(self, base: KeyLimits) -> KeyLimits {
        KeyLimits {
            streams: self.streams.or(base.streams),
            requests_per_minute: self.requests_per_minute.or(base.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(base.tokens_per_minute),
        }
    }

    /// Tells which figures leave nothing at all, as fields of a table.
    pub(super) fn check(self, table: &str, mistakes: &mut Vec<String>) {
        let nothing = self.fields().into_iter().filter(|(_, figure)| *figure == Some(0));
        mistakes.extend(nothing.map(|(name, _)| format!("{table}.{name}: must be 1 or more")));
    }
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficFile {
    streams: Option<u32>,
    queue: Option<usize>,
    queue_timeout: Option<Span>,
    #[serde(default)]
    per_key: KeyLimits,
    redis: Option<RedisFile>,
}

/// `[limits.redis]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisFile {
    url: String,
}

impl TrafficFile {
    /// Where rates are counted together. What was written is not told: it may hold a password.
    pub(super) fn redis(&self, mistakes: &mut Vec<String>) -> Option<Secret> {
        let RedisFile { url } = self.redis.as_ref()?;
        if url.as_str().into_connection_info().is_err() {
            mistakes.push(
                "limits.redis.url: is no address of Redis; expected one such as \"redis://127.0.0.1:6379\""
                    .to_owned(),
            );
        }
        Some(Secret::new(url))
    }

    pub(super) fn read(self, mistakes: &mut Vec<String>) -> Traffic {
        let defaults = Traffic::default();
        KeyLimits { streams: self.streams, ..KeyLimits::default() }.check("limits", mistakes);
        self.per_key.check("limits.per_key", mistakes);
        Traffic {
            streams: self.streams.unwrap_or(defaults.streams),
            queue: self.queue.unwrap_or(defaults.queue),
            queue_timeout: self.queue_timeout.map_or(defaults.queue_timeout, |span| span.0),
            per_key: self.per_key,
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n[limits]\nstreams = {}\nqueue = {}", self.streams, self.queue)?;
        writeln!(f, "queue_timeout = \"{}\"", humantime::format_duration(self.queue_timeout))?;
        if self.per_key != KeyLimits::default() {
            writeln!(f, "per_key = {}", self.per_key)?;
        }
        Ok(())
    }
}

impl fmt::Display for KeyLimits {
    /// As it would be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |(name, figure): (_, Option<u32>)| figure.map(|figure| format!("{name} = {figure}"));
        let given: Vec<String> = self.fields().into_iter().filter_map(given).collect();
        write!(f, "{{ {} }}", given.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Traffic, Vec<String>) {
        let file: TrafficFile = toml::from_str(text).unwrap();
        let mut mistakes = Vec::new();
        (file.read(&mut mistakes), mistakes)
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        let text = "streams = 7\nqueue = 0\nqueue_timeout = \"250ms\"\nper_key = { streams = 2, tokens_per_minute = 60000 }\n";
        let (traffic, mistakes) = parse(text);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(traffic.to_string(), format!("\n[limits]\n{text}"));
        assert_eq!(parse(""), (Traffic::default(), Vec::new()));
    }

    #[test]
    fn nothing_at_all_is_a_mistake() {
        let (_, mistakes) = parse("streams = 0\nper_key.requests_per_minute = 0");
        let told =
            ["limits.streams: must be 1 or more", "limits.per_key.requests_per_minute: must be 1 or more"];
        assert_eq!(mistakes, told);
    }

    #[test]
    fn a_keys_own_limits_come_before_those_of_all_keys() {
        let own = KeyLimits { streams: Some(9), ..KeyLimits::default() };
        let all = KeyLimits { streams: Some(1), requests_per_minute: Some(60), tokens_per_minute: None };
        assert_eq!(own.over(all), KeyLimits { streams: Some(9), ..all });
    }
}
