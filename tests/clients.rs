//! The official SDKs in front of the program: every manner and every fault of the fake provider, in Python and
//! in Node, with OpenAI's SDKs and with Anthropic's. Other clients first show that some manners break them without
//! millpond, then that none does in front of it: `clients/python/frameworks.py`, `clients/node/trial.mjs` and
//! `clients/rust/src/lib.rs` say how. What is large to install or to build runs if it is asked for: `--ignored`.
//!
//! ```text
//! script (clients/python, clients/node) ─ SDK ─► millpond ─► the fake provider inside
//!                                                        └─► a fake provider outside, under the names of those
//!                                                            that are known to think in tags, or that speak a
//!                                                            dialect of their own
//! ```
//!
//! What is expected stands in `clients/*.json`, which the scripts share; how a client finds millpond, in README's table
//! of clients. `native.py` and `protocols.py` ask the fake provider outside themselves, with the SDKs of the dialects
//! that it speaks.
//!
//! The SDKs are pinned in `clients/requirements.txt` and `clients/package-lock.json`, the larger ones in folders beside
//! them, and installed below the target folder, again only if the pins change: the newest that work with the oldest
//! Python, Node and Rust that are supported. Python 3.11 and Node 20 or newer are needed, and a package registry the
//! first time. One script alone, against any millpond that serves the fake provider:
//!
//! ```text
//! MILLPOND_URL=http://127.0.0.1:8080 target/clients/venv/bin/python tests/clients/python/manners.py
//! MILLPOND_URL=http://127.0.0.1:8080 CLIENTS_NODE=target/clients/node node tests/clients/node/faults.mjs
//! ```

#[path = "support/run.rs"]
mod run;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use run::{Process, run};

/// How long an installation may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
/// How long the clients in Rust may take to build.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
/// How long a script may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(150);
/// How long a server may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

const PYTHON_HELP: &str = "python3 with its venv module, version 3.11 or newer, is needed for tests/clients.rs. \
    Debian: apt-get install python3 python3-venv";
const NODE_HELP: &str = "node, version 20 or newer, and npm are needed for tests/clients.rs. \
    Debian: apt-get install nodejs npm";

#[test]
fn python_reads_every_manner() {
    python("manners.py");
}

#[test]
fn python_is_told_of_every_fault() {
    python("faults.py");
}

#[test]
fn python_speaks_to_the_fake_provider_itself() {
    python("native.py");
}

#[test]
fn python_speaks_every_protocol_to_the_fake_provider() {
    python("protocols.py");
}

#[test]
fn python_calls_tools_over_three_turns() {
    python("tools.py");
}

#[test]
fn python_speaks_the_responses_api() {
    python("responses.py");
}

#[test]
fn python_asks_for_what_is_no_chat() {
    python("surface.py");
}

#[test]
fn python_goes_on_with_texts() {
    python("completions.py");
}

#[test]
fn node_goes_on_with_texts() {
    node("completions.mjs");
}

#[test]
fn the_agents_sdk_runs_in_front_of_every_provider() {
    python("openai_agents.py");
}

#[test]
fn pydantic_ai_runs_in_front_of_every_provider() {
    python("pydantic_agents.py");
}

#[test]
fn langchain_reads_every_manner() {
    python("langchain_chat.py");
}

#[test]
fn llm_reads_every_manner() {
    python("llm_command.py");
}

#[test]
#[ignore = "it installs LlamaIndex and LiteLLM, which are 130 MB to load and 500 MB on the disk"]
fn llama_index_and_litellm_read_every_manner() {
    let venv = install_python("frameworks", "frameworks.txt");
    run_python(&venv, "llama.py");
    run_python(&venv, "litellm_sdk.py");
}

#[test]
fn node_speaks_the_responses_api() {
    node("responses.mjs");
}

#[test]
fn node_reads_every_manner() {
    node("manners.mjs");
}

#[test]
fn node_is_told_of_every_fault() {
    node("faults.mjs");
}

#[test]
fn node_calls_tools_over_three_turns() {
    node("tools.mjs");
}

/// Its download is large: `cargo test --test clients -- --ignored` runs it.
#[test]
#[ignore = "installs 400 MB"]
fn codex_works_in_front_of_every_provider() {
    install_node("codex", &sources().join("codex"));
    node("codex.mjs");
}

#[test]
fn python_speaks_messages() {
    python("messages.py");
}

#[test]
fn node_speaks_messages() {
    node("messages.mjs");
}

#[test]
fn vercels_ai_sdk_is_right_where_providers_break_it() {
    node("ai.mjs");
}

#[test]
#[ignore = "installs 130 MB"]
fn langchain_js_is_right_where_providers_break_it() {
    node_framework("langchain.mjs");
}

#[test]
#[ignore = "installs 130 MB"]
fn the_agents_sdk_of_node_is_right_where_providers_break_it() {
    node_framework("openai-agents.mjs");
}

#[test]
#[ignore = "builds 550 MB, which takes minutes"]
fn async_openai_is_right_where_providers_break_it() {
    rust("async-openai");
}

#[test]
#[ignore = "builds 550 MB, which takes minutes"]
fn rig_is_right_where_providers_break_it() {
    rust("rig");
}

#[test]
#[ignore = "it installs Claude Code, which is 380 MB"]
fn claude_code_works_and_is_told_of_faults() {
    install_node("claude-code", &sources().join("claude-code"));
    node("claude-code.mjs");
}

/// The scripts take the lines of README's table of clients from it, each those of its client.
#[test]
fn every_client_of_the_readme_is_run() {
    let readme = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let (_, table) = readme.split_once("| client |").expect("README has a table of clients");
    let clients: Vec<&str> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split_once(" |"))
        .map(|(client, _)| client)
        .collect();
    let scripts: String = ["python", "node", "rust/src/bin"]
        .iter()
        .flat_map(|folder| fs::read_dir(sources().join(folder)).expect("there are scripts"))
        .map(|entry| read(&entry.expect("it can be listed").path()))
        .collect();
    assert!(clients.len() > 3, "{clients:?}");
    for client in clients {
        assert!(scripts.contains(&format!("\"{client}\"")), "no script runs {client}");
    }
}

fn python(script: &str) {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    run_python(INSTALLED.get_or_init(|| install_python("venv", "requirements.txt")), script);
}

fn run_python(venv: &Path, script: &str) {
    let mut command = clean(&venv.join("bin/python"));
    command
        .arg(sources().join("python").join(script))
        .env("PYTHONUTF8", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    check(script, command);
}

fn node(script: &str) {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    node_in(INSTALLED.get_or_init(|| install_node("node", &sources())), script);
}

/// Runs a script of a client whose download is large.
fn node_framework(script: &str) {
    node_in(&install_node("node-frameworks", &sources().join("frameworks")), script);
}

fn node_in(folder: &Path, script: &str) {
    let mut command = clean(Path::new("node"));
    command.arg(sources().join("node").join(script)).env("CLIENTS_NODE", folder);
    check(script, command);
}

/// Builds the clients in Rust into `clients/rust`, and runs one of them.
fn rust(name: &str) {
    let target = scratch().join("rust");
    {
        let _lock = lock();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet"]).current_dir(sources().join("rust"));
        let built = run(cargo.env("CARGO_TARGET_DIR", &target), BUILD_LIMIT);
        built.unwrap_or_else(|output| panic!("cargo build: {output}"));
    }
    check(name, clean(&target.join("debug").join(name)));
}

/// A command whose environment cannot lead an SDK elsewhere: it reads addresses, keys and proxies from there.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

/// Runs a script against servers of its own, and fails with its output.
fn check(script: &str, mut command: Command) {
    let outside = Server::start(&["mock", "--listen", "127.0.0.1:0"]);
    // It says where its chat completions are; other dialects begin above.
    let mock = outside.url.trim_end_matches("/v1");
    let millpond = proxy(script, &providers(mock));
    let without = format!("[reasoning_memory]\nenabled = false\n{}", providers(mock));
    let forgetful = proxy(&format!("forgetful-{script}"), &without);
    command.env("MILLPOND_URL", &millpond.url).env("FORGETFUL_URL", &forgetful.url).env("MOCK_URL", mock);
    if let Err(output) = run(&mut command, SCRIPT_LIMIT) {
        panic!("{script} failed:\n{output}\nmillpond said:\n{}\n{}", millpond.said(), forgetful.said());
    }
}

/// Starts the program with a config of this text in a file of this name.
fn proxy(name: &str, text: &str) -> Server {
    let config = scratch().join(format!("{name}.toml"));
    fs::write(&config, text).expect("the config can be written");
    let path = config.to_str().expect("the target folder's name is text");
    Server::start(&["--demo", "--listen", "127.0.0.1:0", "--config", path])
}

/// Providers at the fake provider's address: those that are known to think in tags, and each dialect.
fn providers(url: &str) -> String {
    [
        ("huggingface", "/v1", ""),
        ("perplexity", "/v1", ""),
        ("think-unopened", "/v1", "quirks.think_tags = \"open_omitted\""),
        ("openrouter", "/v1", ""),
        ("anthropic", "/v1", "dialect = \"anthropic\""),
        ("bedrock", "", "dialect = \"bedrock\"\napi_key = \"of-a-test\""),
        ("cohere", "/v2", "dialect = \"cohere\""),
        ("google", "/v1beta", "dialect = \"gemini\""),
        ("ollama", "/api", "dialect = \"ollama\""),
        ("openai", "/v1", "dialect = \"openai-responses\""),
    ]
    .map(|(name, base, more)| format!("[providers.{name}]\nbase_url = \"{url}{base}\"\n{more}\n"))
    .concat()
}

/// Makes a virtual environment with the packages that are pinned in a file, unless it is there.
fn install_python(name: &str, pins: &str) -> PathBuf {
    let _lock = lock();
    let version = version("python3", (3, 11), PYTHON_HELP);
    let requirements = sources().join(pins);
    let venv = scratch().join(name);
    install(&venv, &format!("{version}{}", read(&requirements)), || {
        let mut make = Command::new("python3");
        run(make.args(["-m", "venv"]).arg(&venv), INSTALL_LIMIT)
            .unwrap_or_else(|output| panic!("{PYTHON_HELP}\n{output}"));
        let mut pip = Command::new(venv.join("bin/python"));
        // Without dependencies: what is not pinned is not there, and the check below says so.
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
        run(pip.arg(&requirements), INSTALL_LIMIT).unwrap_or_else(|output| panic!("pip install: {output}"));
        let mut check = Command::new(venv.join("bin/python"));
        run(check.args(["-m", "pip", "check"]), INSTALL_LIMIT)
            .unwrap_or_else(|output| panic!("pip check: {output}"));
    });
    venv
}

/// Installs the packages that are locked in a folder into `clients/<name>`, unless they are there.
fn install_node(name: &str, from: &Path) -> PathBuf {
    let _lock = lock();
    let version = version("node", (20, 0), NODE_HELP);
    let files = ["package.json", "package-lock.json"];
    let folder = scratch().join(name);
    let pins: String = files.iter().map(|file| read(&from.join(file))).collect();
    install(&folder, &format!("{version}{pins}"), || {
        fs::create_dir_all(&folder).expect("the target folder can be written");
        for file in files {
            fs::copy(from.join(file), folder.join(file)).expect("the target folder can be written");
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
        run(&mut npm, INSTALL_LIMIT).unwrap_or_else(|output| panic!("{NODE_HELP}\nnpm ci: {output}"));
    });
    folder
}

/// Installs into an empty folder, unless the stamp says that these pins are installed.
fn install(folder: &Path, pins: &str, install: impl FnOnce()) {
    let stamp = folder.join(".pins");
    // A stamp that cannot be read is none.
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        return;
    }
    if folder.exists() {
        fs::remove_dir_all(folder).expect("an old installation can be removed");
    }
    install();
    fs::write(stamp, pins).expect("the stamp can be written");
}

/// What a program says of its version, which is at least the one that is needed.
fn version(program: &str, least: (u32, u32), help: &str) -> String {
    let said = run(Command::new(program).arg("--version"), START_LIMIT)
        .unwrap_or_else(|output| panic!("{help}\n{program} --version: {output}"));
    let mut numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    assert!(found >= least, "{help}\nfound: {program} {said}");
    said
}

/// A server of the program under test; it ends with this value.
struct Server {
    url: String,
    lines: Receiver<String>,
    _process: Process,
}

impl Server {
    /// Starts the program without any environment, so that no key of a provider is in it.
    fn start(arguments: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(arguments).env_clear().current_dir(scratch()).stderr(Stdio::piped());
        let mut process = Process(command.spawn().expect("millpond starts"));
        let stderr = process.0.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        // It reads to the end, or the server would wait for it.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line); // Nobody listens once the test is over.
            }
        });
        let line = lines.recv_timeout(START_LIMIT).expect("the server says where it listens");
        let (_, url) = line.split_once(" listens on ").unwrap_or_else(|| panic!("the server says: {line}"));
        Server { url: url.to_owned(), lines, _process: process }
    }

    /// What it said since.
    fn said(&self) -> String {
        self.lines.try_iter().collect::<Vec<_>>().join("\n")
    }
}

/// The folder of the scripts.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// `clients` in the target folder.
fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Installations wait for each other, also those of another run in the same target folder.
fn lock() -> File {
    let file = File::create(scratch().join("lock")).expect("the target folder can be written");
    file.lock().expect("the lock can be taken");
    file
}
