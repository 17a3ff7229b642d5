//! The examples in `deploy/examples`, as a reader would run them, against millpond with its demo provider.
//!
//! The packages are pinned in `tests/examples` and installed below the target folder. Python 3.11, Node 20 and curl
//! are needed, and a package registry the first time.

#[path = "support/programs.rs"]
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use programs::{Server, node, python, root, run, scratch};

/// The pins, and the folder below the target folder.
const NAME: &str = "examples";
/// How long an example may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What the demo provider says.
const ANSWER: &str = "Its 42 ducks 🦆 drift past the café, the mill (水車) turns";
/// Examples that have a way of their own to be run.
const NOT_RUN: [(&str, &str); 1] = [("phoenix.sh", "installs 900 MB; run by hand, as its first lines say")];

fn examples() -> PathBuf {
    root().join("deploy/examples")
}

/// Runs an example without any of our environment; gives what it prints.
#[track_caller]
fn output(mut command: Command) -> String {
    let server = Server::start(&scratch(NAME));
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Packages that report home must not.
    command.env_clear().env("PATH", path).env("PYTHONUTF8", "1").env("LANGSMITH_TRACING", "false");
    command.env("OPENAI_BASE_URL", format!("{}/v1", server.url));
    run(&mut command, LIMIT).unwrap_or_else(|output| panic!("{command:?}: {output}"))
}

#[track_caller]
fn answers(command: Command) {
    let output = output(command);
    assert!(output.contains(ANSWER), "{output}");
}

fn in_python(file: &str) -> Command {
    let mut command = Command::new(python(NAME).join("bin/python"));
    command.arg("-B").arg(examples().join(file));
    command
}

fn in_node(file: &str) -> Command {
    // An import is looked up from where the file lies.
    let copy = node(NAME).join(file);
    fs::copy(examples().join(file), &copy).expect("the target folder can be written");
    let mut command = Command::new("node");
    command.arg(copy);
    command
}

#[test]
fn curl() {
    let output = output(Command::new(examples().join("curl.sh")));
    assert!(output.contains("\"content\":") && output.trim_end().ends_with("data: [DONE]"), "{output}");
}

#[test]
fn openai_python() {
    answers(in_python("openai_python.py"));
}

#[test]
fn langchain_python() {
    answers(in_python("langchain_python.py"));
}

#[test]
fn pydantic_ai_python() {
    answers(in_python("pydantic_ai_python.py"));
}

#[test]
fn openai_node() {
    answers(in_node("openai_node.mjs"));
}

#[test]
fn vercel_ai() {
    answers(in_node("vercel_ai.mjs"));
}

#[test]
fn every_example_is_run() {
    let tests = fs::read_to_string(root().join(file!())).expect("this file can be read");
    for entry in fs::read_dir(examples()).expect("there are examples") {
        let name = entry.expect("it can be listed").file_name().into_string().expect("its name is text");
        let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let run = tests.contains(&format!("#[test]\nfn {stem}()"));
        assert!(run || NOT_RUN.iter().any(|(known, _)| *known == name), "no test runs {name}");
    }
}
