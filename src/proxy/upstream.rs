//! The upstream's side: the client, the request with its key, the headers that are passed on.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::access::Client;
use crate::config::{Config, Connect, Secret, Upstream};
use crate::error::Error;
use crate::event::{Fault, FaultCode};
use crate::observe::Unreachable;
use crate::provider::Auth;

/// In which clients of Anthropic's API send their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Additions to that API that a client wants.
pub(super) const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The clients of one runtime, each a pool of connections: one for all upstreams that are connected to alike.
#[derive(Debug)]
pub(super) struct Clients {
    usual: reqwest::Client,
    others: Vec<(Way, reqwest::Client)>,
}

/// How an upstream is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    timeout: Duration,
    connect: Connect,
}

impl Way {
    fn leads_to(&self, upstream: &Upstream) -> bool {
        self.timeout == upstream.deadlines.connect && self.connect == upstream.connect
    }
}

impl Clients {
    /// Makes the clients for all upstreams.
    pub(super) fn new(config: &Config) -> reqwest::Result<Clients> {
        let usual = Way { timeout: config.deadlines.connect, connect: Connect::default() };
        let mut others: Vec<(Way, reqwest::Client)> = Vec::new();
        for provider in &config.providers {
            for upstream in std::iter::once(provider).chain(provider.per_model.values()) {
                if !usual.leads_to(upstream) && !others.iter().any(|(way, _)| way.leads_to(upstream)) {
                    let way = Way { timeout: upstream.deadlines.connect, connect: upstream.connect.clone() };
                    let client = client(&way)?;
                    others.push((way, client));
                }
            }
        }
        Ok(Clients { usual: client(&usual)?, others })
    }

    /// The client for an upstream.
    pub(super) fn of(&self, upstream: &Upstream) -> &reqwest::Client {
        self.others.iter().find(|(way, _)| way.leads_to(upstream)).map_or(&self.usual, |(_, client)| client)
    }
}

fn client(way: &Way) -> reqwest::Result<reqwest::Client> {
    let Connect { ca, identity, http2 } = &way.connect;
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("millpond/", env!("CARGO_PKG_VERSION")))
        // Events that are compressed may wait for one another. Bodies that come compressed all the same are read.
        .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
        // Whether something is tried again is decided and counted in one place only.
        .retry(reqwest::retry::never())
        .connect_timeout(way.timeout)
        // A redirect could carry the key to another host.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(90));
    if let Some(pem) = ca {
        client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
    }
    if let Some(pem) = identity {
        client = client.identity(reqwest::Identity::from_pem(pem)?);
    }
    client = match http2 {
        Some(true) => client.http2_prior_knowledge(),
        Some(false) => client.http1_only(),
        None => client,
    };
    client.build()
}

/// Where the provider is.
pub(super) fn base_url(upstream: &Upstream) -> Result<&Url, Error> {
    upstream.base_url.as_ref().map_err(|variable| Error::ProviderUnset {
        provider: upstream.name.clone(),
        variable: variable.clone(),
    })
}

/// Removes the key from what the provider says of a failure: some quote the one that they refuse.
pub(super) fn hide_key(fault: &mut Fault, key: Option<&Secret>) {
    let Some(key) = key else { return };
    let told = [Some(&mut fault.message), fault.param.as_mut(), fault.provider_code.as_mut()];
    for text in told.into_iter().flatten() {
        *text = text.replace(key.expose(), "[hidden]");
    }
}

/// Puts the key, or the client's own, and the configured headers on a request.
pub(super) fn authorize(
    upstream: &Upstream,
    client: &HeaderMap,
    headers: &mut HeaderMap,
) -> Result<(), Error> {
    match &upstream.key {
        Some(key) => {
            let (name, text) = match (&upstream.key_header, upstream.auth) {
                (Some(name), _) => (name.clone(), key.expose().to_owned()),
                (None, Auth::Header(name)) => (HeaderName::from_static(name), key.expose().to_owned()),
                (None, Auth::Bearer | Auth::SigV4 { .. }) => {
                    (AUTHORIZATION, format!("Bearer {}", key.expose()))
                }
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Internal)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        None => {
            // Without a key of ours the client's own is passed on.
            let names = [Some(AUTHORIZATION), own_header(upstream)];
            for name in names.iter().flatten().cloned() {
                if let Some(value) = client.get(&name) {
                    let mut value = value.clone();
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
            }
            let has_none = !names.into_iter().flatten().any(|name| headers.contains_key(name));
            if let Some(key) = client.get(X_API_KEY).and_then(|key| key.to_str().ok()).filter(|_| has_none) {
                let (name, text) = match own_header(upstream) {
                    Some(name) => (name, key.to_owned()),
                    None => (AUTHORIZATION, format!("Bearer {key}")),
                };
                let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Internal)?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }
    headers.extend(upstream.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(())
}

/// What tells a client's key: clients of some APIs send it in a header of their own.
pub(super) fn credential(client: &HeaderMap) -> Option<&HeaderValue> {
    client.get(AUTHORIZATION).or_else(|| client.get(X_API_KEY))
}

/// Passes on which additions to Anthropic's API the client wants, beside those of the request itself.
pub(super) fn pass_betas(client: &HeaderMap, headers: &mut HeaderMap) {
    for value in client.get_all(BETA) {
        headers.append(BETA, value.clone());
    }
}

fn own_header(upstream: &Upstream) -> Option<HeaderName> {
    match upstream.auth {
        Auth::Header(name) => Some(HeaderName::from_static(name)),
        Auth::Bearer | Auth::SigV4 { .. } => None,
    }
}

/// Refuses a request that would go out without any key although the provider wants one.
pub(super) fn check_key(
    upstream: &Upstream,
    model: &str,
    headers: &HeaderMap,
    client: &Client,
) -> Result<(), Error> {
    let Some(variable) = &upstream.key_env else { return Ok(()) };
    let given = credential(headers).is_some()
        || own_header(upstream).is_some_and(|name| headers.contains_key(name))
        || !upstream.headers.is_empty();
    if upstream.key.is_some() || upstream.credentials.is_some() || given || upstream.is_set_up {
        return Ok(());
    }
    let provider = &upstream.name;
    // The authorization of a client with a key of ours is that key.
    let own = if client.name().is_none() { "send an authorization header of your own, or " } else { "" };
    Err(Error::NoKey {
        provider: provider.clone(),
        hint: format!(
            "Set {variable} where millpond runs, or {own}ask another provider (for example openrouter/{provider}/{model})."
        ),
    })
}

/// rustls reports what it refuses as data that cannot be right, perhaps inside another error of its kind.
fn is_tls(error: &io::Error) -> bool {
    let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<io::Error>());
    error.kind() == io::ErrorKind::InvalidData || inside.is_some_and(is_tls)
}

/// Turns an [`http::Request`] of a dialect into one that the client sends.
pub(super) fn to_reqwest(request: http::Request<Bytes>) -> Result<reqwest::Request, Error> {
    reqwest::Request::try_from(request).map_err(|_| Error::Internal)
}

/// Why a request could not be sent, as far as the error tells.
pub(super) fn cause(error: &reqwest::Error) -> Unreachable {
    if error.is_timeout() {
        return Unreachable::Timeout;
    }
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        // The resolver's error has no type of its own.
        if inner.to_string().starts_with("dns error") {
            return Unreachable::Dns;
        }
        if inner.downcast_ref().is_some_and(is_tls) {
            return Unreachable::Tls;
        }
        source = inner.source();
    }
    Unreachable::Connect
}

/// A provider that could not be asked.
pub(super) fn unreachable(provider: &str, error: &reqwest::Error) -> Fault {
    let code = if error.is_timeout() { FaultCode::Timeout } else { FaultCode::ConnectionLost };
    let message = format!("Provider {provider} cannot be reached: {}.", reason(error));
    Fault { message, ..Fault::new(code) }
}

/// A provider that let the deadline of this name pass.
pub(super) fn silent(provider: &str, name: &str, limit: Duration) -> Fault {
    let limit = humantime::format_duration(limit);
    let message = format!("Provider {provider} sent nothing for {limit} ({name}).");
    Fault { message, ..Fault::new(FaultCode::Stalled) }
}

/// An answer that went on for too long.
pub(super) fn too_long(limit: Duration) -> Fault {
    let limit = humantime::format_duration(limit);
    let message = format!("The answer took longer than {limit} (total_timeout).");
    Fault { message, ..Fault::new(FaultCode::Timeout) }
}

/// Why a request could not be sent, in words without addresses.
pub(super) fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "the connection failed"
    } else {
        "the request failed"
    }
}

/// What a body that breaks off is to be blamed for; nothing if it came to its end and only its compression
/// did not.
pub(super) fn broken(error: &reqwest::Error) -> Option<FaultCode> {
    // Of the connection it is the client's error that tells, of what cannot be decompressed a plain one.
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
        None => Some(FaultCode::ConnectionLost),
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Some(_) => Some(FaultCode::Malformed),
    }
}

/// The headers of an upstream's answer that a client may use (F1): when to come back, its limits, its name
/// for the request.
pub(super) fn passed_on(upstream: &HeaderMap, now: SystemTime) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in upstream {
        let text = name.as_str();
        if text == "x-request-id" {
            headers.append(HeaderName::from_static("x-upstream-request-id"), value.clone());
        } else if text.starts_with("x-ratelimit-")
            || text.starts_with("ratelimit")
            || text.starts_with("anthropic-ratelimit-")
            || matches!(
                text,
                "request-id"
                    | "mistral-correlation-id"
                    | "x-generation-id"
                    | "x-amzn-requestid"
                    | "openai-processing-ms"
                    | "openai-version"
            )
        {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(seconds) = upstream.get(RETRY_AFTER).and_then(|value| retry_after(value, now)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    headers
}

/// Whole seconds, at least one: clients ignore zero, fractions and some of them dates.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<u64> {
    let text = value.to_str().ok()?.trim(); // Not text: no time.
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some((seconds.ceil() as u64).max(1));
    }
    let date = httpdate::parse_http_date(text).ok()?; // Neither number nor date: no time.
    let wait = date.duration_since(now).unwrap_or_default();
    Some(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn upstreams_that_connect_alike_share_a_client() {
        let file = File::parse(
            r#"
            [providers.a]
            base_url = "http://127.0.0.1:1/v1"
            http2 = true
            [providers.b]
            base_url = "http://127.0.0.1:2/v1"
            http2 = true
            per_model.m = { http2 = false }
            [providers.c]
            base_url = "http://127.0.0.1:3/v1"
            connect_timeout = "1s"
            "#,
        );
        let config = Config::new(file.unwrap(), None, &|_| None).unwrap();
        let clients = Clients::new(&config).unwrap();
        assert_eq!(clients.others.len(), 3);
        let of = |name: &str, model: &str| {
            std::ptr::from_ref(clients.of(config.provider(name).unwrap().of_model(model)))
        };
        assert_eq!(of("a", "m"), of("b", ""));
        assert_ne!(of("b", "m"), of("b", ""));
        assert_eq!(of("groq", ""), std::ptr::from_ref(&clients.usual));
    }

    #[test]
    fn retry_after_is_whole_seconds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let seconds = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap(), now);
        assert_eq!(seconds("2"), Some(2));
        assert_eq!(seconds("0"), Some(1));
        assert_eq!(seconds("0.3"), Some(1));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sat, 06 Nov 1993 08:49:37 GMT"), Some(1));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
    }

    #[test]
    fn only_listed_headers_are_passed_on() {
        let mut upstream = HeaderMap::new();
        for (name, value) in
            [("x-request-id", "r"), ("x-ratelimit-remaining", "3"), ("set-cookie", "c"), ("retry-after", "5")]
        {
            upstream.insert(name, value.parse().unwrap());
        }
        let headers = passed_on(&upstream, SystemTime::UNIX_EPOCH);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["retry-after", "x-ratelimit-remaining", "x-upstream-request-id"]);
    }
}
