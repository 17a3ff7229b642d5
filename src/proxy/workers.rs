//! One thread per processor, each with a runtime, a share of the connections and a pool of its own.
//!
//! An answer passes from the upstream's connection to the client's several thousand times a second. Where both
//! live on one thread, that is a function call; where any thread may pick up either, it is a wake-up of another
//! processor. One thread accepts and deals the connections out in turn.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::thread;

use axum::serve::Listener;
use core::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Shared, run};

/// Connections that may wait for a worker.
const WAITING: usize = 1024;

/// A worker's share of the connections.
struct Dealt {
    address: SocketAddr,
    connections: mpsc::Receiver<(std::net::TcpStream, SocketAddr)>,
}

impl Listener for Dealt {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        while let Some((connection, address)) = self.connections.recv().await {
            match TcpStream::from_std(connection) {
                Ok(connection) => return (connection, address),
                Err(error) => tracing::warn!(%error, "a connection cannot be served"),
            }
        }
        // Nothing more is dealt: the shutdown ends the wait.
        pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves on `count` threads until `shutdown` is ready, then lets running answers end.
pub async fn serve_on(
    count: usize,
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(());
    // Each worker holds a sender until it is done.
    let (working, mut done) = mpsc::channel::<io::Error>(count.max(1));
    let mut workers = Vec::new();
    for number in 0..count.max(1) {
        let (sender, connections) = mpsc::channel(WAITING);
        let worker = Worker {
            dealt: Dealt { address, connections },
            shared: Arc::clone(&shared),
            stopped: stopped.clone(),
            working: working.clone(),
        };
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || worker.run())?;
        workers.push(sender);
    }
    drop((working, stopped));
    tokio::select! {
        error = deal(listener, &workers) => return Err(error),
        failed = done.recv() => return failed.map_or(Ok(()), Err),
        () = shutdown => {}
    }
    drop((stop, workers));
    match done.recv().await {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Accepts connections and deals them out in turn.
async fn deal(
    mut listener: TcpListener,
    workers: &[mpsc::Sender<(std::net::TcpStream, SocketAddr)>],
) -> io::Error {
    for worker in workers.iter().cycle() {
        // Retries by itself when the process is out of descriptors.
        let (connection, address) = Listener::accept(&mut listener).await;
        let connection = match connection.into_std() {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        if worker.send((connection, address)).await.is_err() {
            return io::Error::other("a worker ended");
        }
    }
    io::Error::other("there are no workers")
}

/// One thread's part.
struct Worker {
    dealt: Dealt,
    shared: Arc<Shared>,
    stopped: watch::Receiver<()>,
    working: mpsc::Sender<io::Error>,
}

impl Worker {
    fn run(self) {
        let Worker { dealt, shared, mut stopped, working } = self;
        let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            runtime.block_on(async move {
                let shutdown = async move {
                    // The sender does not send: it is dropped.
                    let _ = stopped.changed().await;
                };
                run(dealt, shared, shutdown).await
            })
        });
        if let Err(error) = served {
            // Nobody listens only if the program is ending already.
            let _ = working.blocking_send(error);
        }
    }
}
