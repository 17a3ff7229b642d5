//! Certificates that the tests make for themselves, and a provider that speaks TLS and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::harness::listen;
use crate::upstream::{DONE, FINISH, FIRST};

/// Who vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct Certificate {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this machine.
    pub fn vouch(&self) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { cert, key: key.serialize_pem() }
    }

    /// Writes its own certificate into a folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// A client that trusts nobody else.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let ca = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        // The connection of one request is not that of the next: each shows the certificate of its time.
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).tls_certs_only([ca])
    }
}

impl Certificate {
    /// Writes both into a folder; gives the lines of a config that name them by these fields.
    pub fn write(&self, folder: &Path, fields: [&str; 2]) -> String {
        let mut lines = String::new();
        for (field, text) in fields.into_iter().zip([&self.cert, &self.key]) {
            let path = folder.join(format!("{field}.pem"));
            std::fs::write(&path, text).unwrap();
            lines += &format!("{field} = \"{}\"\n", path.display());
        }
        lines
    }
}

/// The protocol and the authorization of a request.
pub type Asked = (Version, Option<String>);

/// A provider that speaks whatever protocol is asked for, and gives one short answer to everything.
pub struct Provider {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    /// Without TLS.
    pub async fn plain() -> Provider {
        Provider::start(None).await
    }

    /// With TLS; with `clients` only those come in for whom that one vouches.
    pub async fn secured(authority: &Authority, clients: Option<&Authority>) -> Provider {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let Certificate { cert, key } = authority.vouch();
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Provider::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(acceptor: Option<TlsAcceptor>) -> Provider {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(connection, seen).await,
                        Some(acceptor) => {
                            // Whoever is not let in is no request.
                            let Ok(connection) = acceptor.accept(connection).await else { return };
                            serve(connection, seen).await;
                        }
                    }
                });
            }
        });
        Provider { address, asked }
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Its entry in the config.
    pub fn entry(&self, scheme: &str, more: &str) -> String {
        format!("[providers.mine]\nbase_url = \"{scheme}://{}/v1\"\n{more}\n", self.address)
    }
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Vec<Asked>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let key = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((request.version(), key));
        let body = Full::new(Bytes::from([FIRST, FINISH, DONE].concat()));
        let response = Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    // The proxy may leave.
    let _ =
        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
}
