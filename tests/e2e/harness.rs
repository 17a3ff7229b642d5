//! What the tests start: the proxy, the fake provider; and what they ask of an answer.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use millpond::config::{Config, File};
use millpond::proxy::Shared;
use millpond::telemetry::Telemetry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::support::contract::{Answer, End, check_object, check_stream, is_error_type};

/// How long a condition may take to come true before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How long a test looks on to see that nothing happens.
pub const A_WHILE: Duration = Duration::from_millis(150);
/// A key that must never be seen.
pub const KEY: &str = "sk-mill-4f9c2d7be1a8";

/// Waits for something that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}

/// Waits until a condition is true.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut tick = interval(Duration::from_millis(5));
    within(what, async {
        while !condition().await {
            tick.tick().await;
        }
    })
    .await;
}

/// The proxy, as `millpond serve` runs it.
pub struct Proxy {
    pub address: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Proxy {
    /// Starts it with a config file of this text, in an empty environment.
    pub async fn start(config: &str) -> Proxy {
        Proxy::start_in(|_| None, config).await
    }

    /// Starts it in another environment. Upstreams are asked once, unless the config says how often.
    pub async fn start_in(env: fn(&str) -> Option<String>, config: &str) -> Proxy {
        let once = if config.contains("retry") { "" } else { "retry.attempts = 1\n" };
        let config = &format!("{once}{config}");
        let file = File::parse(config).unwrap_or_else(|error| panic!("{error}"));
        let config = Config::new(file, None, &env).unwrap_or_else(|error| panic!("{error}"));
        let telemetry = Telemetry::start(config.telemetry.clone(), config.models()).unwrap();
        Proxy::serve(Shared::new(config, telemetry)).await
    }

    /// Serves with what a test holds as well.
    pub async fn serve(shared: Arc<Shared>) -> Proxy {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            // A test that ended without stopping the proxy stops it as well.
            let _ = stopped.await;
        };
        let serving = tokio::spawn(millpond::proxy::serve(listener, shared, shutdown));
        Proxy { address, client: client(), stop: Some(stop), serving }
    }

    /// Starts it in front of one provider.
    pub async fn of(name: &str, upstream: SocketAddr, more: &str) -> Proxy {
        Proxy::start(&format!("default_provider = \"{name}\"\n{more}\n{}", provider(name, upstream, "")))
            .await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks for an answer, as most clients do.
    pub async fn chat(&self, body: &Value) -> Reply {
        self.chat_with(body, &[]).await
    }

    /// Asks for an answer with more headers.
    pub async fn chat_with(&self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send("POST", "/v1/chat/completions", &all, body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], String::new()).await
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let mut request = self.client.request(method.parse().unwrap(), self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = within("an answer", request.send()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = within("the end of the body", response.bytes()).await.unwrap().to_vec();
        Reply { status, headers, body }
    }

    /// Tells the proxy to stop, as a signal does.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end of serving.
    pub async fn served(self) {
        within("the end of serving", self.serving).await.unwrap().unwrap();
    }
}

/// A client that goes straight to where it is told.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Listens on a port that the system chooses.
pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    listen().await.local_addr().unwrap()
}

/// A provider's entry in the config.
pub fn provider(name: &str, upstream: SocketAddr, more: &str) -> String {
    format!("[providers.{name}]\nbase_url = \"http://{upstream}/v1\"\n{more}\n")
}

/// A request for an answer in words.
pub fn ask(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello, ducks!"}]})
}

/// The same with usage, which a stream reports only if asked.
pub fn ask_usage(model: &str) -> Value {
    let mut body = ask(model, true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// The fake provider.
pub struct Mock {
    pub address: SocketAddr,
    client: reqwest::Client,
}

impl Mock {
    pub async fn start() -> Mock {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        tokio::spawn(millpond::mock::serve(listener, std::future::pending()));
        Mock { address, client: client() }
    }

    /// The requests that arrived, oldest first.
    pub async fn requests(&self) -> Vec<Value> {
        let url = format!("http://{}/mock/requests", self.address);
        let body = self.client.get(url).send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The bytes that a model's stream has, up to its end or its break.
    pub async fn bytes(&self, body: &Value) -> Vec<u8> {
        let url = format!("http://{}/v1/chat/completions", self.address);
        let sent = self.client.post(url).body(body.to_string()).send();
        let mut response = within("the mock's answer", sent).await.unwrap();
        let mut bytes = Vec::new();
        while let Ok(Some(piece)) = within("the mock's next piece", response.chunk()).await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What a client understood of a stream that keeps the contract.
    #[track_caller]
    pub fn stream(&self, asked_usage: bool) -> Answer {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        assert_stream_headers(&self.headers);
        check_stream(&self.body, asked_usage).unwrap_or_else(|rule| panic!("{rule}\n{}", self.text()))
    }

    /// What a client understood of a complete stream.
    #[track_caller]
    pub fn complete(&self, asked_usage: bool) -> Answer {
        let answer = self.stream(asked_usage);
        assert_eq!(answer.end, End::Complete, "{}", self.text());
        answer
    }

    /// What a client understood of one complete object.
    #[track_caller]
    pub fn object(&self) -> Answer {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let answer = check_object(&self.body).unwrap_or_else(|rule| panic!("{rule}\n{}", self.text()));
        assert_eq!(answer.end, End::Complete, "{}", self.text());
        answer
    }

    /// The error object of an HTTP error, which keeps F1.
    #[track_caller]
    pub fn error(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        let outer = body.as_object().unwrap();
        assert!(outer.len() == 1 && outer.contains_key("error"), "{body}");
        check_error(&outer["error"])
    }
}

/// Checks that an error object has its four keys (F1), and gives it.
#[track_caller]
pub fn check_error(error: &Value) -> Value {
    for name in ["message", "type", "param", "code"] {
        assert!(error.get(name).is_some(), "no {name}: {error}");
    }
    assert!(error["message"].as_str().is_some_and(|message| !message.trim().is_empty()), "{error}");
    assert!(error["type"].as_str().is_some_and(is_error_type), "{error}");
    assert!(error["param"].is_null() || error["param"].is_string(), "{error}");
    assert!(error["code"].is_null() || error["code"].is_string(), "{error}");
    error.clone()
}

/// Checks the headers of a stream (A1).
#[track_caller]
pub fn assert_stream_headers(headers: &HeaderMap) {
    let all = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    assert_eq!(all("content-type"), [b"text/event-stream; charset=utf-8"]);
    assert_eq!(all("cache-control"), [b"no-cache"]);
    assert_eq!(all("x-accel-buffering"), [b"no"]);
    assert!(!headers.contains_key(HeaderName::from_static("content-encoding")));
}
