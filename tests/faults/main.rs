//! A bad week of upstreams, as a table: what the client gets, and what the span, the metric and the log tell.
//!
//! ```text
//! suite ─► millpond, the program itself ─► player: one port that plays each scenario's script, byte by byte
//!             └─ OTLP ─► `sink`             streams: one port for each scenario over TLS and HTTP/2
//! ```
//!
//! `table` makes the scenarios out of the golden answers of all seven dialects (`bases`, `wire`), each with the
//! end that it must have; `plain` and the golden cases say what was said, never the code under test. Each
//! scenario is a provider of its own, so that its metrics are its own. `suite` plays a table through one
//! program and compares the four places; `again` is the table with retries.

#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod harness;
#[path = "../telemetry/measure.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod measure;
#[path = "../telemetry/program.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod program;
#[path = "../telemetry/sink.rs"]
mod sink;
#[path = "../support/mod.rs"]
mod support;
#[path = "../telemetry/trace.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod trace;
#[path = "../e2e/upstream.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod upstream;

mod bases;
mod player;
mod said;
mod scenario;
mod streams;
mod suite;
mod table;
mod wire;

mod again;
mod compressed;
mod golden;
mod silences;
