//! Limits and times, each with a name and a default.

use std::time::Duration;

use serde::Deserialize;

use crate::framing::FRAME_LIMIT;

/// Limits and times, each with a default.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest request body: 32 MiB.
    pub body_bytes: usize,
    /// The longest frame of an upstream: 16 MiB.
    pub frame_bytes: usize,
    /// How long the status line waits for the first event that says something: 10 s.
    pub headers_after: Duration,
    /// After how much silence a keep-alive is sent: 15 s.
    pub keep_alive: Duration,
    /// In which form.
    pub keep_alive_form: KeepAliveForm,
    /// How long running answers may go on when millpond stops: 25 s.
    pub drain: Duration,
    /// What becomes of the upstream's answer when the client leaves.
    pub on_disconnect: OnDisconnect,
    /// How long an answer without a client is read on: 60 s.
    pub drain_limit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 32 << 20,
            frame_bytes: FRAME_LIMIT,
            headers_after: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            keep_alive_form: KeepAliveForm::default(),
            drain: Duration::from_secs(25),
            on_disconnect: OnDisconnect::default(),
            drain_limit: Duration::from_secs(60),
        }
    }
}

/// How a stream is kept alive while nothing else is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepAliveForm {
    /// A comment line.
    #[default]
    Comment,
    /// A chunk with an empty delta, for clients that do not count comments.
    Chunk,
}

/// What becomes of the upstream's answer when the client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// The upstream's connection is closed: most providers stop, and bill no more.
    #[default]
    Cancel,
    /// It is read to its end, within [`Limits::drain_limit`], for the true figures.
    Drain,
}
