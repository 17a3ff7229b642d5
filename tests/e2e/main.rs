//! The edge, over real sockets: client, proxy and upstream in one process, on ports that the system chose.
//!
//! One file per behaviour. `harness` starts the proxy and the fake provider, `upstream` is a provider that a
//! test scripts byte by byte, `client` is a client that sees the bytes. Nothing sleeps until something has
//! happened: tests wait for conditions, each with a deadline.

mod client;
mod harness;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod watched;

mod answers;
mod at_once;
mod departures;
mod early;
mod headers;
mod health;
mod mended;
mod messages;
mod midstream;
mod mistakes;
mod models;
mod native;
mod plan;
mod program;
mod requests;
mod retries;
mod reuse;
mod routes;
mod secrets;
mod shutdown;
mod signed;
mod silence;
mod status_line;
