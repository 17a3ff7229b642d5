//! A collector that takes everything over HTTP and forgets it, on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;

use crate::Failure;

/// Starts it; it lives as long as the process.
pub fn start() -> Result<SocketAddr, Failure> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("collector".into()).spawn(move || {
        runtime.block_on(async {
            // An empty message is a success, in every signal's response.
            let taken = |_: Bytes| async {};
            let router = Router::new().route("/v1/traces", post(taken)).route("/v1/metrics", post(taken));
            axum::serve(TcpListener::from_std(listener)?, router).await
        })
    })?;
    Ok(address)
}
