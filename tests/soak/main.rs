//! Many streams, for long: nothing of them may be left behind, and nothing of what they said may be wrong.
//!
//! ```text
//! clients ─► millpond, a process that is looked at from outside ─► the fake provider, another process
//! ```
//!
//! `storm` lets streams fail and clients leave at random, then counts what is left; `held` keeps thousands
//! of silent streams open; `leaving` times how soon an upstream knows that the client left; `draining` stops
//! the program under running streams. `process` counts what a process holds. One test runs at a time: they
//! measure.
//!
//! `SOAK_STREAMS=10000` makes the storm longer; by default it has 2,000 streams after the warm-up, which is
//! what two cores play in well under a minute with the dev profile. `SOAK_SEED` changes its chance.

#[path = "../e2e/client.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod client;
#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod harness;
#[path = "../telemetry/program.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod program;
#[path = "../e2e/native/rows.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod rows;
#[path = "../support/mod.rs"]
mod support;
#[path = "../e2e/upstream.rs"]
#[expect(dead_code, reason = "the other test binary uses more of it")]
mod upstream;

mod process;

mod draining;
mod held;
mod leaving;
mod storm;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
