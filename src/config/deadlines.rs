//! How long an upstream may take: for everybody, for a provider, for a model.

use std::fmt;
use std::time::Duration;

use super::file::Span;

/// How long an upstream may take, each with a default. When one passes, the upstream's connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To take the connection: 10 s.
    pub connect: Duration,
    /// From the request to the status line: as long as [`Deadlines::idle`].
    pub response: Duration,
    /// From the status line to the first event that says something: as long as [`Deadlines::idle`].
    pub first_event: Duration,
    /// Between two events that say something; comments and empty chunks do not count: 5 min.
    pub idle: Duration,
    /// From the client's request to the end of the answer, all attempts together: 1 h.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let idle = Duration::from_secs(300);
        Deadlines {
            connect: Duration::from_secs(10),
            response: idle,
            first_event: idle,
            idle,
            total: Duration::from_secs(3600),
        }
    }
}

/// Deadlines as written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeadlinesFile {
    pub(super) connect_timeout: Option<Span>,
    pub(super) response_timeout: Option<Span>,
    pub(super) first_event_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    pub(super) total_timeout: Option<Span>,
}

impl DeadlinesFile {
    /// The fields by their names.
    fn fields(self) -> [(&'static str, Option<Span>); 5] {
        [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("first_event_timeout", self.first_event_timeout),
            ("idle_timeout", self.idle_timeout),
            ("total_timeout", self.total_timeout),
        ]
    }

    /// What is in force where these are written on top of others. A new idle time holds for the response and
    /// the first event as well.
    pub(super) fn over(self, base: Deadlines) -> Deadlines {
        let given = |written: Option<Span>| written.map(|span| span.0);
        let idle = given(self.idle_timeout);
        Deadlines {
            connect: given(self.connect_timeout).unwrap_or(base.connect),
            response: given(self.response_timeout).or(idle).unwrap_or(base.response),
            first_event: given(self.first_event_timeout).or(idle).unwrap_or(base.first_event),
            idle: idle.unwrap_or(base.idle),
            total: given(self.total_timeout).unwrap_or(base.total),
        }
    }

    /// The fields that leave no time at all.
    pub(super) fn mistakes(self) -> impl Iterator<Item = &'static str> {
        let none = |(name, span): (_, Option<Span>)| span.filter(|span| span.0.is_zero()).map(|_| name);
        self.fields().into_iter().filter_map(none)
    }
}

impl fmt::Display for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, span) in [
            ("connect_timeout", self.connect),
            ("response_timeout", self.response),
            ("first_event_timeout", self.first_event),
            ("idle_timeout", self.idle),
            ("total_timeout", self.total),
        ] {
            writeln!(f, "{name} = \"{}\"", humantime::format_duration(span))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_idle_time_holds_for_the_beginning_as_well() {
        let seconds = |seconds| Some(Span(Duration::from_secs(seconds)));
        let written = DeadlinesFile {
            idle_timeout: seconds(7),
            first_event_timeout: seconds(90),
            ..DeadlinesFile::default()
        };
        let deadlines = written.over(Deadlines::default());
        assert_eq!(deadlines.response, Duration::from_secs(7));
        assert_eq!(deadlines.first_event, Duration::from_secs(90));
        assert_eq!(deadlines.idle, Duration::from_secs(7));
        assert_eq!(deadlines.total, Deadlines::default().total);
    }
}
