//! What an operator sees of millpond: spans, metrics, log lines, as a receiver gets them.
//!
//! ```text
//! client ─► millpond, the program itself ─► the fake provider, or one that a test scripts
//!                      └─ OTLP over HTTP or gRPC ─► `sink`, which keeps all of it; or a real collector
//! ```
//!
//! A test starts the program, asks, stops it with SIGTERM, and then looks at everything that arrived: what was
//! not flushed at the end is missing. `trace` makes one tree of each request and refuses every other shape,
//! `measure` reads metrics and holds them against `semconv`, `program` is the child process and its log.

#[path = "../e2e/client.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod client;
#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod harness;
#[path = "../support/mod.rs"]
mod support;
#[path = "../e2e/upstream.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod upstream;

mod measure;
mod nobody;
mod program;
mod sink;
mod trace;

mod collectors;
mod content;
mod departures;
mod dialects;
mod environment;
mod forward;
mod lines;
mod many;
mod metrics;
mod outcomes;
mod rotel;
mod trees;
