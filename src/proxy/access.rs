//! Who may ask: the key that a client sends, the host that it asks for, the page that asks from a browser.
//!
//! The host is looked at on loopback listeners: a page can give its own name the address 127.0.0.1 (DNS rebinding),
//! but the browser goes on to send that name.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use core::net::{IpAddr, SocketAddr};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use super::Shared;
use super::handler::{discard, rejected};
use super::limit::Party;
use super::upstream;
use crate::config::{Access, ClientKey, KeyLimits};
use crate::error::Error;

/// How long a browser need not ask again whether it may ask.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who asks: the holder of a client key, or anybody where none is wanted.
#[derive(Debug, Clone)]
pub(super) struct Client {
    key: Option<Arc<ClientKey>>,
}

impl Client {
    /// Finds out who asks.
    pub(super) fn of(access: &Access, headers: &HeaderMap, now: SystemTime) -> Result<Client, Error> {
        if access.keys.is_none() {
            return Ok(Client { key: None });
        }
        let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
        let plain = headers.get_all(X_API_KEY).iter().map(HeaderValue::as_bytes);
        let mut sent = bearer.chain(plain).peekable();
        if sent.peek().is_none() {
            return Err(Error::Unauthorized(
                "millpond wants a key. Send one of its own as authorization: Bearer.",
            ));
        }
        match sent.find_map(|key| access.find(key)) {
            None => Err(Error::Unauthorized("millpond does not know this key.")),
            Some(key) if key.is_expired(now) => {
                Err(Error::Unauthorized("This key of millpond's has expired."))
            }
            Some(key) => Ok(Client { key: Some(Arc::clone(key)) }),
        }
    }

    /// The name of the key, where there is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.name.as_str())
    }

    /// True if the client may ask for this model, by the name that it gave.
    pub(super) fn may_use(&self, model: &str) -> bool {
        self.key.as_ref().is_none_or(|key| key.allows(model))
    }

    /// Refuses a model that the client may not ask for.
    pub(super) fn check_model(&self, model: &str) -> Result<(), Error> {
        if self.may_use(model) { Ok(()) } else { Err(Error::ModelNotAllowed(model.to_owned())) }
    }

    /// True if the client may ask for every model.
    pub(super) fn may_use_all(&self) -> bool {
        self.key.as_ref().is_none_or(|key| key.allows_all())
    }

    /// Refuses what the client may not ask for: a model, or a request that names none.
    pub(super) fn check_named(&self, model: Option<&str>) -> Result<(), Error> {
        match model {
            Some(model) => self.check_model(model),
            None if self.may_use_all() => Ok(()),
            None => Err(Error::ModelUntold),
        }
    }

    /// Whose limits hold for it, where there are keys; `all` are those of keys without their own.
    pub(super) fn party(&self, all: KeyLimits) -> Option<Party> {
        let key = self.key.as_ref()?;
        Some(Party { name: key.name.clone(), limits: key.limits.over(all) })
    }

    /// What tells the client from others.
    pub(super) fn identity<'a>(&'a self, headers: &'a HeaderMap) -> &'a [u8] {
        match &self.key {
            Some(key) => key.identity(),
            None => upstream::credential(headers).map_or(&[], HeaderValue::as_bytes),
        }
    }

    /// The headers that may hold a key of the client's for a provider, and those that are meant for one. A key of
    /// ours goes nowhere.
    pub(super) fn for_providers(&self, headers: &HeaderMap) -> HeaderMap {
        if self.key.is_none() {
            return headers.clone();
        }
        let betas = headers.get_all(upstream::BETA).iter();
        betas.map(|value| (upstream::BETA, value.clone())).collect()
    }
}

/// The key in an `authorization` header, or all of it if it is no `Bearer`.
fn bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => key.trim_ascii(),
        Some(_) | None => value,
    }
}

/// Lets those pass who have a key, and says who they are.
pub(super) async fn keyed(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    match Client::of(&shared.setup().config.access, request.headers(), SystemTime::now()) {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// What a listener looks at before anything else.
#[derive(Clone)]
pub(super) struct Guard {
    shared: Arc<Shared>,
    is_loopback: bool,
}

impl Guard {
    /// The guard of the listener at this address.
    pub(super) fn new(shared: &Arc<Shared>, address: SocketAddr) -> Guard {
        Guard { shared: Arc::clone(shared), is_loopback: address.ip().to_canonical().is_loopback() }
    }

    fn check(&self, access: &Access, request: &Request) -> Result<(), Error> {
        let hosts = hosts(request);
        if self.is_loopback {
            let is_ours = |host: &Option<Authority>| host.as_ref().is_some_and(|host| is_ours(access, host));
            if hosts.is_empty() || !hosts.iter().all(is_ours) {
                return Err(Error::ForeignHost);
            }
        }
        let may_ask = |origin: &HeaderValue| {
            access.origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
                || matches!(hosts.first(), Some(Some(host)) if is_same(origin, host))
        };
        if request.headers().get_all(ORIGIN).iter().all(may_ask) { Ok(()) } else { Err(Error::ForeignOrigin) }
    }
}

/// Refuses foreign hosts and origins, and tells browsers what the pages of known origins may do.
pub(super) async fn guarded(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let setup = guard.shared.setup();
    if let Err(error) = guard.check(&setup.config.access, &request) {
        let (head, body) = request.into_parts();
        discard(body).await;
        return rejected(&guard.shared, &head, error);
    }
    match &setup.cors {
        Some(cors) => cors.layer(next).oneshot(request).await.into_response(),
        None => next.run(request).await,
    }
}

/// The headers for browsers, if any page may ask.
pub(super) fn cors(access: &Access) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        access.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(); // They were read as origins.
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            // SDKs send headers of their own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(Any)
            .max_age(PREFLIGHT_AGE)
    })
}

/// The hosts that a request names: in its address, then in its headers; `None` for one that cannot be read.
fn hosts(request: &Request) -> Vec<Option<Authority>> {
    let named = request.headers().get_all(HOST).iter();
    let named = named.map(|value| Authority::try_from(value.as_bytes()).ok().filter(has_no_user)); // The caller refuses.
    request.uri().authority().cloned().map(Some).into_iter().chain(named).collect()
}

fn has_no_user(host: &Authority) -> bool {
    !host.as_str().contains('@')
}

fn is_ours(access: &Access, host: &Authority) -> bool {
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    has_no_user(host)
        && (address.is_ok_and(|address| address.to_canonical().is_loopback())
            || name.eq_ignore_ascii_case("localhost")
            || access.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// True if a page of this origin came from the host itself.
fn is_same(origin: &HeaderValue, host: &Authority) -> bool {
    let Some((scheme, of_page)) = origin.to_str().ok().and_then(|text| text.split_once("://")) else {
        return false; // Not text, or `null`: no page of ours.
    };
    let Ok(of_page) = of_page.parse::<Authority>() else { return false };
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    of_page.host().eq_ignore_ascii_case(host.host()) && port(&of_page) == port(host)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::config::{Config, File, KeyHash};
    use crate::telemetry::Telemetry;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn config(text: &str) -> Config {
        Config::new(File::parse(text).unwrap(), None, &|_| None).unwrap()
    }

    fn keys() -> Access {
        let hash = |key: &str| KeyHash::of(key.as_bytes());
        config(&format!(
            "[keys.one]\nhash = \"{}\"\n[keys.old]\nhash = \"{}\"\nexpires = 1970-01-01\n",
            hash("mp-1"),
            hash("mp-old"),
        ))
        .access
    }

    #[test]
    fn a_key_comes_in_either_header() {
        let access = keys();
        let name = |headers: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            Client::of(&access, &map, NOW).map(|client| client.name().unwrap().to_owned())
        };
        for headers in [
            &[("authorization", "Bearer mp-1")][..],
            &[("authorization", "bearer  mp-1 ")],
            &[("x-api-key", "mp-1")],
            &[("authorization", "Bearer unused"), ("x-api-key", "mp-1")],
        ] {
            assert_eq!(name(headers).unwrap(), "one", "{headers:?}");
        }
        for (headers, told) in [
            (&[][..], "wants a key"),
            (&[("api-key", "mp-1")], "wants a key"),
            (&[("authorization", "Bearer ")], "does not know"),
            (&[("authorization", "Basic mp-1")], "does not know"),
            (&[("x-api-key", "mp-2")], "does not know"),
            (&[("x-api-key", "mp-old")], "has expired"),
        ] {
            let error = name(headers).unwrap_err();
            assert!(error.status() == 401 && error.to_string().contains(told), "{headers:?}: {error}");
        }
    }

    #[test]
    fn who_shares_no_key_shares_no_memory() {
        let identity = |access: &Access, key: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {key}").parse().unwrap())]);
            Client::of(access, &headers, NOW).unwrap().identity(&headers).to_vec()
        };
        let hash = |key: &str| KeyHash::of(key.as_bytes());
        let text = format!("[keys.a]\nhash = \"{}\"\n[keys.b]\nhash = \"{}\"\n", hash("1"), hash("2"));
        for access in [config(&text).access, Access::default()] {
            assert_eq!(identity(&access, "1"), identity(&access, "1"));
            assert_ne!(identity(&access, "1"), identity(&access, "2"));
        }
    }

    #[test]
    fn a_key_of_ours_is_not_for_providers() {
        let headers = HeaderMap::from_iter([(X_API_KEY, HeaderValue::from_static("mp-1"))]);
        let ours = Client::of(&keys(), &headers, NOW).unwrap();
        assert!(ours.for_providers(&headers).is_empty());
        let anybody = Client::of(&Access::default(), &headers, NOW).unwrap();
        assert_eq!((anybody.name(), anybody.for_providers(&headers)), (None, headers));
    }

    fn guard(address: &str, config: &str) -> impl Fn(&str, &[(&str, &str)]) -> Option<u16> {
        let config = self::config(config);
        let access = config.access.clone();
        let telemetry = Telemetry::start(config.telemetry.clone(), config.models()).unwrap();
        let guard = Guard::new(&Shared::new(config, telemetry), address.parse().unwrap());
        move |uri, headers| {
            let mut request = http::Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            guard.check(&access, &request).err().map(|error| error.status().as_u16())
        }
    }

    #[tokio::test]
    async fn a_loopback_listener_answers_to_names_of_the_loopback() {
        let refuses = guard("127.0.0.1:8080", "allowed_hosts = [\"Box.internal\"]");
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "box.internal:80",
        ] {
            assert_eq!(refuses("/", &[("host", host)]), None, "{host}");
            assert_eq!(refuses(&format!("http://{host}/"), &[]), None, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:8080",
            "10.0.0.1",
            "[::2]",
            "localhost@evil.example",
            "evil.example@localhost",
            "a b",
            "",
        ] {
            assert_eq!(refuses("/", &[("host", host)]), Some(403), "{host}");
        }
        assert_eq!(refuses("/", &[]), Some(403));
        assert_eq!(refuses("http://localhost/", &[("host", "evil.example")]), Some(403));
        assert_eq!(refuses("http://evil.example/", &[("host", "localhost")]), Some(403));
        assert_eq!(refuses("/", &[("host", "localhost"), ("host", "evil.example")]), Some(403));
        assert_eq!(guard("0.0.0.0:8080", "")("/", &[("host", "evil.example")]), None);
    }

    #[tokio::test]
    async fn a_page_of_another_origin_must_be_configured() {
        for address in ["127.0.0.1:80", "10.0.0.1:80"] {
            let refuses = guard(address, "[cors]\norigins = [\"https://app.example\"]");
            for (host, origin, refused) in [
                ("localhost", "https://app.example", None),
                ("localhost", "http://app.example", Some(403)),
                ("localhost", "https://app.example:8443", Some(403)),
                ("localhost", "https://app.example.evil", Some(403)),
                ("localhost", "null", Some(403)),
                ("localhost:8080", "http://localhost:8080", None),
                ("localhost:8080", "http://localhost:3000", Some(403)),
                ("localhost", "http://localhost", None),
                ("localhost", "http://localhost:80", None),
                ("localhost", "https://localhost:443", None),
                ("localhost:443", "https://localhost", None),
                ("localhost:443", "http://localhost", Some(403)),
            ] {
                let found = refuses("/", &[("host", host), ("origin", origin)]);
                assert_eq!(found, refused, "{host} {origin}");
            }
            let two = [
                ("host", "localhost"),
                ("origin", "https://app.example"),
                ("origin", "https://evil.example"),
            ];
            assert_eq!(refuses("/", &two), Some(403));
        }
    }

    #[test]
    fn nothing_is_said_to_browsers_unless_configured() {
        assert!(cors(&Access::default()).is_none());
        assert!(cors(&config("[cors]\norigins = [\"https://app.example\"]").access).is_some());
    }
}
