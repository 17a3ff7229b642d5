//! An upstream over TLS and HTTP/2 for one scenario, with a certificate made for the run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::server::SendResponse;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use crate::harness::{DEADLINE, listen};
use crate::scenario::Stop;

/// A certificate for `localhost`, and the file that has millpond trust it.
pub struct Identity {
    acceptor: TlsAcceptor,
    pub file: PathBuf,
}

impl Identity {
    pub fn new(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let text = STANDARD.encode(&certificate);
        let file = crate::program::folder(&format!("{name}_trust")).join("certificate.pem");
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, pem).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Identity { acceptor: TlsAcceptor::from(Arc::new(config)), file }
    }

    /// Serves one scenario on a port of its own, and counts the requests.
    pub async fn serve(
        &self,
        content_type: &'static str,
        pieces: Vec<Vec<u8>>,
        stop: Stop,
    ) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let (acceptor, asked) = (self.acceptor.clone(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, pieces, counter) = (acceptor.clone(), pieces.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    // A client that does not come this far is seen by the test.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        play(stream, content_type, pieces, stop, &counter).await;
                    }
                });
            }
        });
        (address, asked)
    }
}

async fn play(
    stream: TlsStream<TcpStream>,
    content_type: &'static str,
    pieces: Vec<Vec<u8>>,
    stop: Stop,
    counter: &AtomicUsize,
) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (said, mut all_said) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            next = connection.accept() => {
                let Some(Ok((request, response))) = next else { return };
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(speak(request.into_body(), response, content_type, pieces.clone(), stop, said.clone()));
            }
            Some(()) = all_said.recv() => match stop {
                Stop::GoAway(reason) => connection.abrupt_shutdown(reason),
                Stop::GoAwayAfterThis => connection.graceful_shutdown(),
                Stop::End | Stop::Reset(_) | Stop::ResetAtOnce(_) => {}
            },
        }
    }
}

/// Answers one request; `said` is told when the connection may go away.
async fn speak(
    mut request: h2::RecvStream,
    mut response: SendResponse<Bytes>,
    content_type: &'static str,
    pieces: Vec<Vec<u8>>,
    stop: Stop,
    said: UnboundedSender<()>,
) {
    while let Some(Ok(data)) = request.data().await {
        request.flow_control().release_capacity(data.len()).unwrap();
    }
    if let Stop::ResetAtOnce(reason) = stop {
        return response.send_reset(reason);
    }
    let head = http::Response::builder().header("content-type", content_type).body(()).unwrap();
    let mut stream = response.send_response(head, false).unwrap();
    if stop == Stop::GoAwayAfterThis {
        let _ = said.send(()); // The connection is gone, and so is the client.
    }
    for piece in pieces {
        if stream.send_data(Bytes::from(piece), false).is_err() {
            return; // The proxy has read the end mark.
        }
        // Pieces are apart; what is not out when the end comes is lost, as it is with real ones.
        sleep(Duration::from_millis(20)).await;
    }
    match stop {
        Stop::End | Stop::GoAwayAfterThis => {
            // Whoever has read the end mark may have left.
            let _ = stream.send_data(Bytes::new(), true);
        }
        Stop::Reset(reason) => stream.send_reset(reason),
        Stop::ResetAtOnce(_) | Stop::GoAway(_) => {
            let _ = said.send(()); // As above.
            sleep(DEADLINE).await;
        }
    }
}
