//! Certificates and their keys: of the listener, and of the connections to a provider.
//!
//! They are read with the config, so that one that cannot be used is a mistake like any other: it is told, and the
//! config in force stays.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use serde::Deserialize;

/// What is offered to clients, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of the listener.
#[derive(Clone)]
pub struct ListenerTls {
    cert: PathBuf,
    key: PathBuf,
    /// What a handshake begins with.
    pub server: Arc<ServerConfig>,
    /// The certificate itself, without those that vouch for it.
    own: Option<CertificateDer<'static>>,
}

impl ListenerTls {
    /// A client that talks to this listener alone: whoever has the certificate that stands in the file, whatever
    /// name it is asked by.
    pub fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pinned = Pinned { own: self.own.clone(), provider: Arc::clone(&provider) };
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(client.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth())
    }
}

/// Trusts one certificate.
#[derive(Debug)]
struct Pinned {
    own: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the certificate is not the one of the config".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls")
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ListenerTls {
    /// As `millpond check` tells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tls = {{ cert = \"{}\", key = \"{}\" }}", self.cert.display(), self.key.display())
    }
}

/// How a provider is connected to, beside the deadline. Those that are alike share connections.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Connect {
    /// The certificates, in PEM, of those who may vouch for the provider; `None`: whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The certificate and the key, in PEM, that say who millpond is.
    pub identity: Option<Vec<u8>>,
    /// HTTP/2 always, or never; `None`: where it is offered.
    pub http2: Option<bool>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("has_ca", &self.ca.is_some())
            .field("has_identity", &self.identity.is_some())
            .field("http2", &self.http2)
            .finish()
    }
}

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsFile {
    cert: PathBuf,
    key: PathBuf,
}

/// The fields of a provider that say how it is connected to.
#[derive(Debug, Default)]
pub(super) struct ConnectFile {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) http2: Option<bool>,
}

/// The field that is wrong, and what is wrong with it.
type Mistake = (&'static str, String);

impl TlsFile {
    /// Reads both files.
    pub(super) fn read(self, files: &mut Vec<PathBuf>) -> Result<ListenerTls, Mistake> {
        let TlsFile { cert, key } = self;
        files.extend([cert.clone(), key.clone()]);
        let (_, chain) = certificates(&cert).map_err(|what| ("cert", what))?;
        let (_, private) = private_key(&key).map_err(|what| ("key", what))?;
        let own = chain.first().cloned();
        let server = server(chain, private).map_err(|error| {
            ("cert", format!("{} and {} cannot be used: {error}", cert.display(), key.display()))
        })?;
        Ok(ListenerTls { cert, key, server: Arc::new(server), own })
    }
}

/// It compares the certificate with the key, too.
fn server(
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(server)
}

impl ConnectFile {
    /// The connection with what the file says of it.
    pub(super) fn over(self, known: Connect, files: &mut Vec<PathBuf>) -> Result<Connect, Mistake> {
        files.extend([&self.ca_file, &self.client_cert, &self.client_key].into_iter().flatten().cloned());
        let ca = match &self.ca_file {
            Some(path) => Some(certificates(path).map_err(|what| ("ca_file", what))?.0),
            None => known.ca,
        };
        let identity = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let (mut pem, _) = certificates(cert).map_err(|what| ("client_cert", what))?;
                let (private, _) = private_key(key).map_err(|what| ("client_key", what))?;
                pem.push(b'\n');
                pem.extend_from_slice(&private);
                Some(pem)
            }
            (None, None) => known.identity,
            (Some(_), None) => return Err(("client_key", "is missing beside client_cert".to_owned())),
            (None, Some(_)) => return Err(("client_cert", "is missing beside client_key".to_owned())),
        };
        Ok(Connect { ca, identity, http2: self.http2.or(known.http2) })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The text of a file, and the certificates in it, of which there is one at least.
fn certificates(path: &Path) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), String> {
    let pem = read(path)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok((pem, found)),
        Ok(_) => Err(format!("{} holds no certificate in PEM", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The text of a file, and the key in it.
fn private_key(path: &Path) -> Result<(Vec<u8>, PrivateKeyDer<'static>), String> {
    let pem = read(path)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok((pem, key)),
        // What the error says may be a part of the file.
        Err(_) => Err(format!("{} holds no private key in PEM", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File};

    struct Files {
        folder: PathBuf,
    }

    impl Files {
        /// A certificate and its key, and the key of another one.
        fn new(name: &str) -> Files {
            let folder = std::env::temp_dir().join(format!("millpond-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            for name in ["one", "other"] {
                let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
                std::fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
                std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
            }
            std::fs::write(folder.join("garbage"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
            Files { folder }
        }

        /// The config of this text, in which `@` is the folder.
        fn config(&self, text: &str) -> Result<Config, String> {
            let text = text.replace('@', &format!("{}/", self.folder.display()));
            let file = File::parse(&text).map_err(|error| error.to_string())?;
            Config::new(file, None, &|_| None).map_err(|error| error.to_string())
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            // It may be gone.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn the_listener_has_a_certificate_and_offers_both_protocols() {
        let files = Files::new("listener");
        let config = files.config("[tls]\ncert = \"@one.crt\"\nkey = \"@one.key\"").unwrap();
        let tls = config.tls.as_ref().unwrap();
        assert_eq!(tls.server.alpn_protocols, PROTOCOLS);
        assert_eq!(config.files.len(), 2);
        assert!(!format!("{config:?}{config}").contains("PRIVATE"));
    }

    #[test]
    fn what_cannot_be_used_is_a_mistake_with_its_place() {
        let files = Files::new("mistakes");
        let upstream = "[providers.a]\nbase_url = \"https://127.0.0.1/v1\"\n";
        for (text, place) in [
            ("[tls]\ncert = \"@one.crt\"\nkey = \"@other.key\"", "tls.cert: "),
            ("[tls]\ncert = \"@one.crt\"\nkey = \"@one.crt\"", "tls.key: "),
            ("[tls]\ncert = \"@one.key\"\nkey = \"@one.key\"", "tls.cert: "),
            ("[tls]\ncert = \"@garbage\"\nkey = \"@one.key\"", "tls.cert: "),
            ("[tls]\ncert = \"@none\"\nkey = \"@one.key\"", "tls.cert: "),
            (&format!("{upstream}ca_file = \"@one.key\""), "providers.a.ca_file: "),
            (&format!("{upstream}client_cert = \"@one.crt\""), "providers.a.client_key: is missing"),
            (&format!("{upstream}client_key = \"@one.key\""), "providers.a.client_cert: is missing"),
            (
                &format!("{upstream}client_cert = \"@one.crt\"\nclient_key = \"@one.crt\""),
                "providers.a.client_key: ",
            ),
        ] {
            let told = files.config(text).unwrap_err();
            assert!(told.starts_with(place) && told.lines().count() == 1, "{text}: {told}");
        }
    }

    #[test]
    fn a_model_of_a_provider_connects_as_the_provider_does() {
        let files = Files::new("per_model");
        let config = files
            .config(
                "[providers.a]\nbase_url = \"https://127.0.0.1/v1\"\nca_file = \"@one.crt\"\nclient_cert = \"@one.crt\"\nclient_key = \"@one.key\"\n[providers.a.per_model.m]\nhttp2 = false\n",
            )
            .unwrap();
        let provider = config.provider("a").unwrap();
        let of_model = &provider.of_model("m").connect;
        assert_eq!(of_model, &Connect { http2: Some(false), ..provider.connect.clone() });
        assert!(provider.connect.ca.is_some() && provider.connect.identity.is_some());
        assert!(!format!("{config:?}").contains("PRIVATE"));
    }
}
