//! What every answer tells of its way, in headers of its own.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Who was asked, how often, what was left out of the request, and how long it took until here.
pub(super) struct Told<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) attempts: u32,
    pub(super) dropped: &'a [String],
    /// The last attempt's time.
    pub(super) upstream: Duration,
    /// millpond's own.
    pub(super) ours: Duration,
    /// That of failed attempts and the pauses between them, if there were any.
    pub(super) retries: Option<Duration>,
}

impl Told<'_> {
    /// Puts it into the headers of the answer.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let (upstream, ours) = (milliseconds(self.upstream), milliseconds(self.ours));
        let mut timing = format!("upstream;dur={upstream:.3}, millpond;dur={ours:.3}");
        if let Some(retries) = self.retries {
            timing = format!("{timing}, retries;dur={:.3}", milliseconds(retries));
        }
        for (name, value) in [
            ("x-millpond-provider", self.provider),
            ("x-millpond-model", self.model),
            ("x-millpond-attempts", &self.attempts.to_string()),
            ("x-millpond-dropped", &self.dropped.join(", ")),
            ("server-timing", &timing),
        ] {
            // A model's name may hold what no header can carry.
            if let Ok(value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}
