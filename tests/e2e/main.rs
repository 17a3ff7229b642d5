//! The edge, over real sockets: client, proxy and upstream in one process, on ports that the system chose.
//!
//! One file per behaviour. `harness` starts the proxy and the fake provider, `upstream` is a provider that a
//! test scripts byte by byte, `certificates` makes TLS for both, `client` is a client that sees the bytes. Nothing sleeps until something has
//! happened: tests wait for conditions, each with a deadline.

mod certificates;
mod client;
mod harness;
mod redis;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod watched;

mod access;
mod answers;
mod at_once;
mod completions;
mod departures;
mod early;
mod echoes;
mod forward;
mod forward_bytes;
mod forward_fails;
mod forward_limits;
mod headers;
mod health;
mod limits;
mod mended;
mod messages;
mod midstream;
mod mistakes;
mod models;
mod native;
mod plan;
mod program;
mod reload;
mod requests;
mod responses;
mod retries;
mod reuse;
mod routes;
mod secrets;
mod shared_rates;
mod shutdown;
mod signed;
mod silence;
mod status_line;
mod tls;
mod tunnel;
