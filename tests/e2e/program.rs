//! The program itself: arguments, exit codes, what it prints, signals.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::harness::{DEADLINE, KEY, Mock, ask, client};
use crate::support::completions;
use crate::support::contract::{End, check_object, check_stream};
use crate::upstream::{DONE, FINISH, FIRST, Upstream};

/// The program in a folder of its own, with an empty environment.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// An empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(test);
    // It is there from an earlier run, or not at all.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A program that runs.
pub struct Running {
    child: Child,
    stdout: Reading,
    stderr: Reading,
}

/// What a program has printed so far, and who reads it.
struct Reading(Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

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

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Reading::start(child.stdout.take().unwrap());
        let stderr = Reading::start(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    /// Writes the standard input to its end.
    fn feed(&mut self, input: &[u8]) {
        self.child.stdin.take().unwrap().write_all(input).unwrap();
    }

    /// The address that the program says it listens on.
    pub fn address(&mut self) -> SocketAddr {
        self.wait("an address", |running| {
            let stderr = running.stderr.so_far();
            let (_, rest) = stderr.split_once("://")?;
            let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))?;
            rest[..end].parse().ok()
        })
    }

    /// Waits until the error output holds a text, and gives all of it.
    pub fn says(&mut self, text: &str) -> String {
        self.wait(text, |running| Some(running.stderr.so_far()).filter(|said| said.contains(text)))
    }

    fn wait<T>(&mut self, what: &str, condition: impl Fn(&Running) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = condition(self) {
                return found;
            }
            let gone = self.child.try_wait().unwrap();
            let said = self.stderr.so_far();
            assert!(gone.is_none() && start.elapsed() < DEADLINE, "no {what}: {gone:?}: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Bytes of its resident memory.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() << 10
    }

    /// Waits for the program's end.
    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "the program does not end: {}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(5));
        };
        for reading in [&mut self.stdout, &mut self.stderr] {
            reading.1.take().unwrap().join().unwrap();
        }
        Ended { code: status.code(), stdout: self.stdout.so_far(), stderr: self.stderr.so_far() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program with these arguments to its end.
fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = command(folder);
    command.args(arguments);
    Running::start(command).end()
}

/// Writes a config and runs `serve` with it, which must fail; gives what it says.
#[track_caller]
fn refused(test: &str, config: &str) -> String {
    let folder = folder(test);
    std::fs::write(folder.join("pond.toml"), config).unwrap();
    let mut command = command(&folder);
    command.args(["serve", "--config", "pond.toml"]);
    if !config.starts_with("listen") {
        // A config that is taken by mistake must not take a port that is somebody's.
        command.env("MILLPOND_LISTEN", "127.0.0.1:0");
    }
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    let told = ended.stderr.strip_prefix("millpond: ").unwrap_or_else(|| panic!("{ended:?}"));
    told.to_owned()
}

#[test]
fn a_bad_config_is_told_in_one_line() {
    for (test, config, says) in [
        ("bad_listen", "listen = \"here\"", &["listen", "\"here\"", "127.0.0.1:8080"][..]),
        (
            "bad_url",
            "[providers.mine]\nbase_url = \"nowhere at all\"",
            &["providers.mine.base_url", "nowhere"],
        ),
        (
            "bad_key_file",
            "[providers.groq]\napi_key_file = \"no/such.key\"",
            &["providers.groq.api_key_file", "no/such.key"],
        ),
        (
            "bad_key_env",
            "[providers.groq]\napi_key_env = \"NO_KEY\"",
            &["providers.groq.api_key_env", "NO_KEY"],
        ),
        (
            "bad_user",
            "[providers.mine]\nbase_url = \"http://user:secret@127.0.0.1:1/v1\"",
            &["providers.mine.base_url", "password"],
        ),
        ("bad_default", "default_provider = \"nobody\"", &["default_provider", "nobody"]),
    ] {
        let told = refused(test, config);
        for part in says {
            assert!(told.contains(part), "{test}: {told}");
        }
        assert_eq!(told.trim_end().lines().count(), 1, "{test}: {told}");
    }
}

#[test]
fn a_config_that_cannot_be_parsed_is_told_in_one_line() {
    for (test, config, says) in [
        ("bad_field", "listen = \"127.0.0.1:0\"\nlistne = 1", &["pond.toml", "listne", "line 2"][..]),
        ("bad_toml", "[providers", &["pond.toml", "line 1"]),
        ("bad_span", "keep_alive = \"soon\"", &["pond.toml", "soon", "15s"]),
    ] {
        let told = refused(test, config);
        for part in says {
            assert!(told.contains(part), "{test}: {told}");
        }
        assert_eq!(told.trim_end().lines().count(), 1, "{test}: {told}");
    }
}

#[test]
fn all_mistakes_of_a_config_are_told_at_once() {
    let told = refused("mistakes", "listen = \"here\"\n[providers.one]\n[providers.two]\n");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    for (line, place) in
        lines.iter().zip(["listen: ", "providers.one.base_url: ", "providers.two.base_url: "])
    {
        assert!(line.starts_with(place), "{told}");
    }
}

#[test]
fn a_config_that_is_not_there_is_told() {
    let ended = run(&folder("no_config"), &["--config", "none.toml"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("millpond: none.toml: cannot be read: "), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn a_key_file_that_cannot_be_read_is_told() {
    // A folder is no file, whoever runs the test.
    let folder = folder("key_folder");
    let config = format!("[providers.groq]\napi_key_file = \"{}\"", folder.display());
    let told = refused("key_file", &config);
    assert!(told.contains("providers.groq.api_key_file") && told.contains("cannot be read"), "{told}");
}

#[test]
fn an_address_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in
        [vec!["--listen", &address], vec!["serve", "--listen", &address], vec!["mock", "--listen", &address]]
    {
        let ended = run(&folder("in_use"), &arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        let expect = format!("millpond: cannot listen on {address}: ");
        assert!(ended.stderr.starts_with(&expect) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    }
}

#[test]
fn wrong_arguments_are_told() {
    for arguments in [
        &["--nonsense"][..],
        &["nonsense"],
        &["--log", "a=b=c", "--listen", "127.0.0.1:0"],
        &["mock", "--listen", "here"],
    ] {
        let ended = run(&folder("arguments"), arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["normalize", "--help"]] {
        let ended = run(&folder("arguments"), arguments);
        assert!(ended.code == Some(0) && ended.stderr.is_empty() && !ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn check_prints_what_is_in_force_and_hides_keys() {
    let folder = folder("check");
    std::fs::write(folder.join("groq.key"), format!("{KEY}-file\n")).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:9000\"\nidle_timeout = \"2m\"\ndefault_provider = \"mine\"\n\
         [providers.mine]\nbase_url = \"https://pond.example/v1?key={KEY}-query\"\napi_key = \"{KEY}\"\nheaders = {{ x-extra = \"{KEY}-header\" }}\n\
         [providers.groq]\napi_key_file = \"groq.key\"\n[providers.open]\nbase_url = \"http://127.0.0.1:1/v1\"\n[aliases]\nfast = \"groq/llama\"\n"
    );
    // The file that lies in the folder is read without being named.
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut command = command(&folder);
    command.arg("check").env("OPENAI_API_KEY", format!("{KEY}-env")).env("MILLPOND_LISTEN", "127.0.0.1:9001");
    let ended = Running::start(command).end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for line in [
        "listen = \"127.0.0.1:9001\"",
        "default_provider = \"mine\"",
        "body_limit_bytes = 33554432",
        "idle_timeout = \"2m\"",
        "[providers.mine]",
        "[providers.groq]",
        "base_url = \"https://api.groq.com/openai/v1\"",
        "[providers.openai]",
        "[providers.open]",
        "fast = \"groq/llama\"",
    ] {
        assert!(ended.stdout.lines().any(|known| known == line), "no {line} in\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("api_key = \"[hidden]\"").count(), 3, "{}", ended.stdout);
    assert!(!ended.stdout.contains(KEY), "{}", ended.stdout);
}

#[test]
fn the_mocks_models_are_listed() {
    let ended = run(&folder("mock_list"), &["mock", "--list"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for (name, about) in millpond::mock::describe() {
        let listed = ended.stdout.lines().any(|line| line.starts_with(&name) && line.ends_with(about));
        assert!(listed, "{name} in\n{}", ended.stdout);
    }
}

/// A recording that needs mending, and one that was cut.
fn recordings(test: &str) -> PathBuf {
    let folder = folder(test);
    std::fs::write(folder.join("whole.sse"), ["\u{feff}", FIRST, FINISH].concat()).unwrap();
    std::fs::write(folder.join("cut.sse"), FIRST).unwrap();
    folder
}

#[test]
fn normalize_reads_a_file() {
    let folder = recordings("normalize_file");
    let ended = run(&folder, &["normalize", "whole.sse"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let answer = check_stream(ended.stdout.as_bytes(), false).unwrap();
    assert_eq!((answer.end, answer.choices[&0].text.as_str()), (End::Complete, "Hello"));
    assert!(
        ended.stderr.starts_with("millpond: complete; ") && ended.stderr.contains("byte_order_mark 1"),
        "{}",
        ended.stderr
    );

    let ended = run(&folder, &["normalize", "cut.sse"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let answer = check_stream(ended.stdout.as_bytes(), false).unwrap();
    assert_eq!(answer.end, End::Fault("truncated".to_owned()));
    assert!(ended.stderr.starts_with("millpond: truncated; "), "{}", ended.stderr);
}

#[test]
fn normalize_reads_texts_as_its_provider_sends_them() {
    let folder = folder("normalize_texts");
    let piece = "data: {\"choices\":[{\"text\":\"<think>\"}]}\n\n";
    let end = "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n";
    std::fs::write(folder.join("texts.sse"), [piece, end, DONE].concat()).unwrap();
    // vLLM's chats have thoughts in tags; its texts are raw.
    let ended = run(&folder, &["normalize", "--provider", "vllm", "--api", "completions", "texts.sse"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let completion = completions::check_stream(ended.stdout.as_bytes(), false).unwrap();
    assert_eq!((completion.end, completion.choices[&0].text.as_str()), (End::Complete, "<think>"));
}

#[test]
fn normalize_reads_standard_input() {
    let folder = folder("normalize_stdin");
    for arguments in [&["normalize"][..], &["normalize", "-"]] {
        let mut command = command(&folder);
        command.args(arguments).stdin(Stdio::piped());
        let mut running = Running::start(command);
        running.feed([FIRST, FINISH, DONE].concat().as_bytes());
        let ended = running.end();
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), "millpond: complete; nothing to mend\n"),
            "{ended:?}"
        );
        assert!(ended.stdout.ends_with(DONE), "{ended:?}");
    }
}

#[test]
fn normalize_writes_an_object_and_a_report() {
    let folder = recordings("normalize_object");
    let ended = run(&folder, &["normalize", "--object", "--report", "report.json", "whole.sse"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let answer = check_object(ended.stdout.trim_end().as_bytes()).unwrap();
    assert_eq!((answer.end, answer.choices[&0].text.as_str()), (End::Complete, "Hello"));
    let report =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let told = report("report.json");
    assert_eq!((told["end"].as_str(), &told["usage"]), (Some("complete"), &Value::Null));
    assert_eq!(told["repairs"]["byte_order_mark"], 1, "{told}");

    let ended = run(&folder, &["normalize", "--object", "--report", "cut.json", "cut.sse"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let answer = check_object(ended.stdout.trim_end().as_bytes()).unwrap();
    assert_eq!(answer.end, End::Fault("truncated".to_owned()));
    assert_eq!(report("cut.json")["end"], "truncated");
}

#[test]
fn normalize_tells_what_it_cannot_do() {
    let folder = recordings("normalize_wrong");
    for (arguments, says) in [
        (&["normalize", "none.sse"][..], "none.sse"),
        (
            &["normalize", "--provider", "nobody", "whole.sse"],
            "there is no provider \"nobody\"; expected one of openrouter",
        ),
        (
            &["normalize", "--dialect", "latin", "whole.sse"],
            "there is no dialect \"latin\"; expected one of openai-chat",
        ),
        (&["normalize", "--report", "no/such/report.json", "whole.sse"], "no/such/report.json"),
        (&["normalize", "--nonsense"], "--nonsense"),
    ] {
        let ended = run(&folder, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    }
    // A folder can be opened, and fails when it is read.
    let ended = run(&folder, &["normalize", "."]);
    assert!(matches!(ended.code, Some(1 | 2)) && ended.stderr.starts_with("millpond: "), "{ended:?}");
}

/// Starts the proxy on a port that the system chooses.
fn serve(folder: &Path, arguments: &[&str]) -> Running {
    let mut command = command(folder);
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
    Running::start(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_says_what_to_try_and_it_works() {
    let mut running = serve(&folder("first_run"), &[]);
    let address = running.address();
    let said = running.says("curl");
    for part in
        ["providers set up: demo", "bare models go to demo", "OPENROUTER_API_KEY", "millpond mock --list"]
    {
        assert!(said.contains(part), "{said}");
    }
    // The line is tried as it stands, but for the program that sends it.
    let said = running.says("}'\n");
    let line = said.split_once("try:\n").unwrap().1.replace("\\\n", " ");
    assert!(
        line.trim_start().starts_with(&format!(
            "curl -N http://{address}/v1/chat/completions -H 'content-type: application/json'"
        )),
        "{line}"
    );
    let body = line.split_once("-d '").unwrap().1.split_once('\'').unwrap().0;
    let url = format!("http://{address}/v1/chat/completions");
    let sent = client().post(url).header("content-type", "application/json").body(body.to_owned()).send();
    let answer = check_stream(&sent.await.unwrap().bytes().await.unwrap(), false).unwrap();
    assert_eq!(answer.end, End::Complete);
    running.signal("TERM");
    let ended = running.end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_lets_running_answers_end() {
    for signal in ["TERM", "INT"] {
        let mut upstream = Upstream::start().await;
        let folder = folder(&format!("signal_{signal}"));
        let config = format!("[providers.mine]\nbase_url = \"http://{}/v1\"\n", upstream.address);
        std::fs::write(folder.join("millpond.toml"), config).unwrap();
        let mut running = serve(&folder, &[]);
        let address = running.address();
        let said = running.says("curl");
        assert!(
            said.contains("providers set up: mine (bare models go to mine)") && !said.contains("demo"),
            "{said}"
        );
        let mut client = Client::ask(address, &ask("m", true)).await;
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.unwrap().contains("Hello"));
        running.signal(signal);
        let refused = async || tokio::net::TcpStream::connect(address).await.is_err();
        crate::harness::until("the refusal of new connections", refused).await;
        connection.chunk([FINISH, DONE].concat()).await;
        assert!(client.rest().await.ends_with(DONE));
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_stands_beside_other_providers() {
    let mock = Mock::start().await;
    let folder = folder("demo");
    let config = format!("[providers.mine]\nbase_url = \"http://{}/v1\"\n", mock.address);
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut running = serve(&folder, &["--demo"]);
    let address = running.address();
    let said = running.says("curl");
    assert!(said.contains("providers set up: mine, demo (bare models go to mine)"), "{said}");
    for model in ["demo", "demo/openrouter", "mine/demo/mistral"] {
        let url = format!("http://{address}/v1/chat/completions");
        let body = ask(model, false).to_string();
        let sent = client().post(url).header("content-type", "application/json").body(body).send();
        check_object(&sent.await.unwrap().bytes().await.unwrap()).unwrap();
    }
    assert_eq!(mock.requests().await.len(), 1);
    running.signal("TERM");
    assert_eq!(running.end().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mock_serves_alone() {
    let mut command = command(&folder("mock_alone"));
    command.args(["mock", "--listen", "127.0.0.1:0"]);
    let mut running = Running::start(command);
    let url = format!("http://{}/v1/models", running.address());
    let body = client().get(url).send().await.unwrap().bytes().await.unwrap();
    let models: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(models["data"].as_array().unwrap().len(), millpond::mock::models().len());
    running.signal("TERM");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn whoever_stops_reading_is_no_failure() {
    let folder = recordings("broken_pipe");
    let many = text_of(20_000);
    std::fs::write(folder.join("long.sse"), many).unwrap();
    let line = format!("{} normalize long.sse | head -c 100 >/dev/null", env!("CARGO_BIN_EXE_millpond"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(&folder).stdin(Stdio::null());
    let ended = Running::start(shell).end();
    assert!(!ended.stderr.contains("Broken pipe") && !ended.stderr.contains("panicked"), "{ended:?}");
}

fn text_of(events: usize) -> String {
    let mut text = FIRST.to_owned();
    for number in 0..events {
        text += &crate::upstream::text(&format!(" {number}"));
    }
    text + FINISH + DONE
}
