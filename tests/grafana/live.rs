//! What runs in the live test: millpond with its demo, a collector and a provider that the test plays, and
//! Prometheus.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::dashboard;
use crate::tools::{Process, Tools};

/// How long a program may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The trace that the test's requests belong to.
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A provider that counts tokens which went into a cache, and what they cost.
const COUNTED: &str = concat!(
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"weir-1\",\"choices\":",
    "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Water.\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"weir-1\",\"choices\":[],",
    "\"usage\":{\"prompt_tokens\":2000,\"completion_tokens\":40,\"total_tokens\":2040,\"cost\":0.03,",
    "\"prompt_tokens_details\":{\"cached_tokens\":1000,\"cache_write_tokens\":500},",
    "\"completion_tokens_details\":{\"reasoning_tokens\":30}}}\n\n",
    "data: [DONE]\n\n",
);

/// Requests of one round, as the fake provider's models: every kind of answer that a panel tells of.
const ROUND: [&str; 8] = [
    "demo",
    "demo/openrouter",
    "demo/xai",
    "weir/weir-1",
    "demo/openai/429",
    "demo/openai/cut-after-3",
    "demo/groq/error-3",
    "demo/mistral/no-done",
];
/// An answer that lasts for seconds, for a client that does not.
const SLOW: &str = "demo/slow";

/// A model whose provider takes one request and answers none.
const NARROW: &str = "narrow/sluice-1";

/// Plays the collector, which takes everything, and the provider `weir`.
pub async fn play() -> SocketAddr {
    let answer = ([(CONTENT_TYPE, "text/event-stream")], COUNTED);
    let app = Router::new()
        .route("/v1/chat/completions", post(async move || answer))
        .route("/narrow/chat/completions", post(async || std::future::pending::<()>().await))
        .fallback(any(async || ()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A program that serves HTTP, and ends with this value.
pub struct Server {
    address: String,
    client: reqwest::Client,
    _process: Process,
}

impl Server {
    /// Starts millpond between the demo and the provider, which is the collector as well.
    pub fn millpond(folder: &Path, played: SocketAddr) -> Server {
        let config = format!(
            "limits = {{ queue = 1, queue_timeout = \"5m\" }}\n[providers.weir]\nbase_url = \"http://{played}/v1\"\n\
             [providers.narrow]\nbase_url = \"http://{played}/narrow\"\nlimits.streams = 1\n"
        );
        std::fs::write(folder.join("millpond.toml"), config).expect("the target folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(["serve", "--demo", "--config", "millpond.toml", "--listen", "127.0.0.1:0"]);
        command.env_clear().current_dir(folder);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{played}"));
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
        Server::start(command, " listens on http://")
    }

    /// Starts Prometheus, which asks millpond every second and knows the alerts.
    pub fn prometheus(tools: &Tools, folder: &Path, millpond: &Server) -> Server {
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [dashboard::folder().join("alerts.yaml")],
            "scrape_configs": [{"job_name": "millpond", "static_configs": [{"targets": [millpond.address]}]}],
        });
        // JSON is YAML.
        std::fs::write(folder.join("prometheus.yml"), config.to_string())
            .expect("the target folder can be written");
        let mut command = Command::new(&tools.prometheus);
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.args(["--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage"]);
        command.current_dir(folder);
        Server::start(command, "\"Listening on\" address=")
    }

    /// Starts a program that writes its address after this mark.
    fn start(mut command: Command, mark: &'static str) -> Server {
        let mut process = Process(
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap(),
        );
        let stderr = process.0.stderr.take().unwrap();
        let (sender, lines) = channel();
        // It reads to the end, or the program would wait for it.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line); // Nobody listens once the address is known.
            }
        });
        let mut said = String::new();
        let address = loop {
            let line = lines.recv_timeout(START_LIMIT).unwrap_or_else(|_| panic!("no address: {said}"));
            if let Some((_, rest)) = line.split_once(mark) {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                break rest[..end.unwrap_or(rest.len())].to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        let client = reqwest::Client::builder().no_proxy().timeout(START_LIMIT).build().unwrap();
        Server { address, client, _process: process }
    }

    /// All that a page says.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> String {
        let address = format!("http://{}{path}", self.address);
        let url = Url::parse_with_params(&address, query).unwrap();
        let response = self.client.get(url).send().await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{path} {query:?}: {status}: {body}");
        body
    }

    /// A request for an answer.
    fn request(&self, model: &str, stream: bool) -> reqwest::RequestBuilder {
        let body =
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]});
        self.client
            .post(format!("http://{}/v1/chat/completions", self.address))
            .header(CONTENT_TYPE, "application/json")
            .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
            .body(body.to_string())
    }

    /// Asks for an answer; gives the response when its head is there.
    async fn ask(&self, model: &str, stream: bool) -> reqwest::Response {
        self.request(model, stream).send().await.unwrap()
    }

    /// Sends one request of each kind. Gives those that are under way at the end, one of them with its answer begun,
    /// one that waits: their clients leave when they are dropped.
    pub async fn round(&self) -> (reqwest::Response, JoinSet<()>) {
        let mut crowd = JoinSet::new();
        // One of them has the place, one waits for it, one is too many.
        for _ in 0..3 {
            let sent = self.request(NARROW, true).send();
            crowd.spawn(async move { drop(sent.await) });
        }
        for model in ROUND {
            for stream in [true, false] {
                // A fault may break the answer off: that is what it is for.
                let _ = self.ask(model, stream).await.bytes().await;
            }
        }
        let mut slow = self.ask(SLOW, true).await;
        assert!(slow.chunk().await.unwrap().is_some(), "{SLOW} says nothing");
        (slow, crowd)
    }

    /// What Prometheus' API answers.
    async fn data(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let mut answer: Value = serde_json::from_str(&self.get(path, query).await).unwrap();
        answer["data"].take()
    }

    /// The numbers that an expression has now; those that are none are left out.
    pub async fn numbers(&self, expression: &str) -> Vec<f64> {
        let data = self.data("/api/v1/query", &[("query", expression)]).await;
        let series = dashboard::list(&data["result"]).iter();
        let values = series.map(|series| dashboard::text(&series["value"][1]).parse::<f64>().unwrap());
        values.filter(|value| value.is_finite()).collect()
    }

    /// The values of a label.
    pub async fn values(&self, label: &str, selector: &str) -> Vec<String> {
        let data = self.data(&format!("/api/v1/label/{label}/values"), &[("match[]", selector)]).await;
        dashboard::list(&data).iter().map(|value| dashboard::text(value).to_owned()).collect()
    }

    /// The traces of an expression's exemplars.
    pub async fn traces(&self, expression: &str) -> Vec<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (start, end) = ((now - 300).to_string(), (now + 1).to_string());
        let query = [("query", expression), ("start", &start), ("end", &end)];
        let data = self.data("/api/v1/query_exemplars", &query).await;
        let exemplars =
            dashboard::list(&data).iter().flat_map(|series| dashboard::list(&series["exemplars"]));
        exemplars.map(|exemplar| dashboard::text(&exemplar["labels"]["trace_id"]).to_owned()).collect()
    }

    /// The rules that Prometheus runs.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.data("/api/v1/rules", &[]).await;
        let groups = dashboard::list(&data["groups"]).iter();
        groups.flat_map(|group| dashboard::list(&group["rules"])).cloned().collect()
    }
}
