//! The program itself, as its operator runs it: an environment, a config file, standard error, SIGTERM.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::interval;

use crate::harness::{KEY, Reply, client, until, within};

/// The flush at the end may take this long (and the machine a moment).
pub const FLUSH: Duration = Duration::from_millis(3500);

/// A program that runs; it ends with this value.
pub struct Program {
    pub address: SocketAddr,
    child: Child,
    stderr: Reading,
    client: reqwest::Client,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
    /// From the signal to the end.
    pub took: Duration,
}

/// What a program has printed so far, and who reads it.
struct Reading(Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

impl Reading {
    fn start(mut from: impl Read + Send + 'static) -> Reading {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                shared.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Reading(text, Some(thread))
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// An empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("telemetry").join(test);
    // It is there from an earlier run, or not at all.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A provider's entry in the config, with a key that must not be seen.
pub fn provider(name: &str, upstream: SocketAddr, more: &str) -> String {
    format!("[providers.{name}]\nbase_url = \"http://{upstream}/v1\"\napi_key = \"{KEY}\"\n{more}\n")
}

impl Program {
    /// Starts it with this config and nothing in its environment but these variables. Upstreams are asked
    /// once, unless the config says how often.
    pub async fn start(test: &str, config: &str, variables: &[(&str, String)]) -> Program {
        let file = folder(test).join("millpond.toml");
        let once = if config.contains("retry") { "" } else { "retry.attempts = 1\n" };
        std::fs::write(&file, format!("{once}{config}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(file.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = Reading::start(child.stderr.take().unwrap());
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Program { address: unknown, child, stderr, client: client() };
        until("the program's address", async || {
            let said = program.said();
            let gone = program.child.try_wait().unwrap();
            assert!(gone.is_none(), "{gone:?}: {said}");
            // The line is complete: a part of it could hold a part of the port.
            let line = said.lines().find_map(|line| line.split_once(" listens on http://"));
            let found = line.filter(|_| said.contains('\n')).and_then(|(_, rest)| rest.trim().parse().ok());
            program.address = found.unwrap_or(unknown);
            found.is_some()
        })
        .await;
        program
    }

    /// Starts it in front of one provider, named `mine`; `more` stands at the top of the config.
    pub async fn before(
        test: &str,
        upstream: SocketAddr,
        more: &str,
        variables: &[(&str, String)],
    ) -> Program {
        let config = format!("default_provider = \"mine\"\n{more}\n{}", provider("mine", upstream, ""));
        Program::start(test, &config, variables).await
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// Asks for an answer and reads it to its end, or to where it breaks off.
    pub async fn chat(&self, body: &Value) -> Reply {
        self.chat_with(body, &[]).await
    }

    pub async fn chat_with(&self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send("POST", "/v1/chat/completions", &all, body.to_string()).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let url = format!("http://{}{path}", self.address);
        let mut request = self.client.request(method.parse().unwrap(), url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = within("an answer", request.send()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = within("the end of the body", response.bytes()).await.unwrap().to_vec();
        Reply { status, headers, body }
    }

    /// What `GET /metrics` says.
    pub async fn scrape(&self) -> String {
        self.send("GET", "/metrics", &[], "").await.text()
    }

    /// Waits until a series of `GET /metrics` has a value. `series` is the name with the labels.
    pub async fn until_series(&self, series: &str, value: &str) {
        let line = format!("{series} {value}");
        until(&line, async || self.scrape().await.lines().any(|found| found == line)).await;
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        let line = format!("kill -TERM {}", self.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Sends SIGTERM, and waits for the end.
    pub async fn stop(self) -> Ended {
        self.signal();
        self.ended().await
    }

    /// Waits for the end, which must be a success.
    pub async fn ended(mut self) -> Ended {
        let start = Instant::now();
        let mut tick = interval(Duration::from_millis(5));
        let status = within("the program's end", async {
            loop {
                tick.tick().await;
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
            }
        })
        .await;
        let took = start.elapsed();
        self.stderr.1.take().unwrap().join().unwrap();
        let ended = Ended { code: status.code(), stderr: self.said(), took };
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        ended
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The log lines: every line is one JSON object, but for the greeting before them.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stderr.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The log lines of requests.
    pub fn requests(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["message"] == "request");
        lines
    }

    /// The only one.
    #[track_caller]
    pub fn request(&self) -> Value {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{}", self.stderr);
        requests.remove(0)
    }

    /// The log lines that are warnings or worse.
    pub fn warnings(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["level"] != "INFO" && line["level"] != "DEBUG");
        lines
    }
}
