//! TLS with clients: handshakes, each on its own, so that a slow one delays nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use core::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Shared;
use crate::config::ListenerTls;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes that may be under way; connections beyond that wait to be accepted.
const AT_ONCE: usize = 1024;

type Secured = (TlsStream<TcpStream>, SocketAddr);

/// A listener that gives connections whose handshake is done.
pub(super) struct Handshakes<L> {
    inner: L,
    shared: Arc<Shared>,
    /// The last that was in force. Whether TLS is spoken stays as it was at the start.
    tls: ListenerTls,
    running: JoinSet<Option<Secured>>,
    patience: Duration,
}

impl<L> Handshakes<L> {
    pub(super) fn new(inner: L, shared: Arc<Shared>, tls: ListenerTls) -> Handshakes<L> {
        Handshakes { inner, shared, tls, running: JoinSet::new(), patience: PATIENCE }
    }

    fn begin(&mut self, connection: TcpStream, address: SocketAddr) {
        // Another config may have brought another certificate.
        if let Some(tls) = &self.shared.setup().config.tls {
            self.tls.clone_from(tls);
        }
        let accepting = TlsAcceptor::from(Arc::clone(&self.tls.server)).accept(connection);
        let patience = self.patience;
        self.running.spawn(async move {
            match timeout(patience, accepting).await {
                Ok(Ok(secured)) => Some((secured, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!("a handshake took too long");
                    None
                }
            }
        });
    }
}

impl<L: Listener<Io = TcpStream, Addr = SocketAddr>> Listener for Handshakes<L> {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Secured {
        loop {
            tokio::select! {
                (connection, address) = self.inner.accept(), if self.running.len() < AT_ONCE => {
                    self.begin(connection, address);
                }
                Some(done) = self.running.join_next() => {
                    // Nothing: it failed, and was told of.
                    if let Ok(Some(secured)) = done {
                        return secured;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::{Config, File};
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn a_handshake_that_does_not_come_ends_and_delays_nobody() {
        let folder = std::env::temp_dir().join(format!("millpond-{}-handshakes", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("c"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("k"), made.signing_key.serialize_pem()).unwrap();
        let text = format!("[tls]\ncert = \"{0}/c\"\nkey = \"{0}/k\"", folder.display());
        let config = Config::new(File::parse(&text).unwrap(), None, &|_| None).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let tls = config.tls.clone().unwrap();
        let connector = TlsConnector::from(Arc::new(tls.client().unwrap()));
        let telemetry = Telemetry::start(config.telemetry.clone(), config.models()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut handshakes = Handshakes::new(listener, Shared::new(config, telemetry), tls);
        handshakes.patience = Duration::from_millis(50);

        let mut silent = TcpStream::connect(address).await.unwrap();
        let asked = async {
            let connection = TcpStream::connect(address).await.unwrap();
            connector.connect("localhost".try_into().unwrap(), connection).await.unwrap()
        };
        let ((_, accepted), secured) = tokio::join!(handshakes.accept(), asked);
        assert_eq!(secured.get_ref().0.local_addr().unwrap(), accepted);
        let mut rest = Vec::new();
        tokio::select! {
            _ = handshakes.accept() => panic!("nobody else asked"),
            // An end or a reset.
            ended = timeout(Duration::from_secs(20), silent.read_to_end(&mut rest)) => drop(ended.unwrap()),
        }
        assert!(rest.is_empty());
    }
}
