//! What is in `deploy`, the Dockerfile and the workflows: rendered, linted, validated and, where this machine can,
//! run.
//!
//! | what | by |
//! |---|---|
//! | image | hadolint; its root file system, started as a container is, without Docker (`deploy/image/try.sh`) |
//! | sidecar, chart | Helm and kubectl, the schemas of Kubernetes (`deploy/manifests.py`), `millpond check` |
//! | compose | its schema, its names (`deploy/compose.py`), promtool, the load against millpond |
//! | systemd | `systemd-analyze` |
//! | workflows | their schema, actionlint |
//! | scripts | shellcheck |
//!
//! The tools are pinned in `tests/deploy` and installed below the target folder; Prometheus' are found as
//! `tests/grafana.rs` finds them. Linux is needed, and root or sudo for the image; what is missing on another machine
//! is told there, and a failure in CI (the variable `CI` is set).
#![cfg(target_os = "linux")]

#[path = "support/programs.rs"]
mod programs;
#[path = "grafana/tools.rs"]
mod prometheus;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use programs::{Server, node, python, root, run, scratch};

/// The pins, and the folder below the target folder.
const NAME: &str = "deploy";
/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(120);
/// The exposure, in tenths, that `systemd-analyze security` may find: "OK" ends at 2.
const EXPOSURE_LIMIT: &str = "--threshold=15";

/// Runs a command and fails with what it says.
#[track_caller]
fn demand(command: &mut Command) -> String {
    run(command, LIMIT).unwrap_or_else(|output| panic!("{command:?}: {output}"))
}

/// A program of the virtual environment, in the project's folder.
fn tool(name: &str) -> Command {
    let mut command = Command::new(python(NAME).join("bin").join(name));
    command.current_dir(root());
    command
}

fn script(name: &str) -> Command {
    let mut command = tool("python");
    command.arg("-B").arg(root().join("tests/deploy").join(name));
    command
}

/// A script of this test's folder, beside its packages: an import is looked up from where the file lies.
fn in_node(name: &str) -> Command {
    let copy = node(NAME).join(name);
    fs::copy(root().join("tests/deploy").join(name), &copy).expect("the target folder can be written");
    let mut command = Command::new("node");
    command.arg(copy);
    command
}

fn millpond() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.env_clear();
    command
}

/// The files below a folder whose names end so.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no {ending}");
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What follows a text on the first line that has it.
#[track_caller]
fn after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
    rest.lines().next().unwrap_or_default().trim_end_matches(['"', ','])
}

/// True if this is reason enough to go without on this machine; in CI it is a failure.
#[track_caller]
fn goes_without(missing: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    true
}

#[test]
fn the_image_runs_as_its_user_and_drains() {
    let is_root = demand(Command::new("id").arg("-u")).trim() == "0";
    let may_be = is_root || run(Command::new("sudo").args(["-n", "true"]), LIMIT).is_ok();
    if !may_be && goes_without("root, or sudo without a password, is needed to run the image") {
        return;
    }
    let try_it = root().join("deploy/image/try.sh");
    let said = demand(Command::new(try_it).arg(env!("CARGO_BIN_EXE_millpond")));
    assert!(said.trim_end().ends_with("answered, streamed, drained, ended with 0"), "{said}");
    for file in ["millpond", "etc/ssl/certs/ca-certificates.crt", "etc/passwd"] {
        assert!(said.lines().any(|line| line.ends_with(&format!("  {file}"))), "no {file}: {said}");
    }
}

#[test]
fn the_dockerfile_follows_the_rules() {
    demand(tool("hadolint").args(["--failure-threshold", "style", "Dockerfile"]));
}

#[test]
fn the_dockerfile_knows_every_target_of_cargo() {
    // Without an empty file for each, the layer of the dependencies cannot be built.
    let manifest = read("Cargo.toml");
    let benches: Vec<String> = manifest
        .split("[[bench]]\n")
        .skip(1)
        .map(|bench| format!("benches/{}", after(bench, "name = \"")))
        .collect();
    let dockerfile = read("Dockerfile");
    let files: Vec<&str> =
        after(&dockerfile, "for file in ").split(';').next().unwrap_or_default().split(' ').collect();
    assert_eq!(files[0], "src/main");
    assert_eq!(files[1..], benches);
}

#[test]
fn manifests_and_chart_are_valid() {
    let output = scratch(NAME).join("manifests");
    demand(script("manifests.py").arg(&output));
    let mut configs = 0;
    for entry in fs::read_dir(&output).expect("it was written") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            demand(millpond().arg("check").arg("--config").arg(path));
            configs += 1;
        }
    }
    assert_eq!(configs, 4);
}

#[test]
fn the_compose_stack_is_valid() {
    demand(tool("check-jsonschema").args([
        "--builtin-schema",
        "vendor.compose-spec",
        "deploy/compose/compose.yaml",
    ]));
    demand(&mut script("compose.py"));
    demand(millpond().arg("check").arg("--config").arg(root().join("deploy/compose/millpond.toml")));
    if let Some(tools) = prometheus::tools() {
        let folder = prometheus::folder("compose");
        for file in ["compose/prometheus.yaml", "grafana/alerts.yaml"] {
            let source = root().join("deploy").join(file);
            let name = source.file_name().expect("it has a name");
            fs::copy(&source, folder.join(name)).expect("the target folder can be written");
        }
        tools.check(&["check", "config", "prometheus.yaml"], &folder, Stdio::null());
    }
}

/// The sum of the samples that begin so.
fn sum(metrics: &str, start: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(start));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn the_load_fills_the_panels() {
    let server = Server::start(&scratch(NAME));
    let load = root().join("deploy/compose/load.sh");
    demand(Command::new(load).args([server.url.as_str(), "1"]));
    // An answer is counted a moment after its client has it.
    let start = Instant::now();
    let metrics = loop {
        let metrics = demand(Command::new("curl").args(["-fsS", &format!("{}/metrics", server.url)]));
        if sum(&metrics, "millpond_stream_end_total{") >= 10.0 || start.elapsed() > LIMIT {
            break metrics;
        }
    };
    let sample = |start: &str| sum(&metrics, start);
    // Ten requests, one of them cut and one refused.
    assert!(sample("millpond_repairs_total{") > 0.0, "{metrics}");
    assert!(sample("gen_ai_client_inference_usage_output_tokens_total{") > 0.0, "{metrics}");
    assert_eq!(sample("millpond_streams_active{"), 0.0, "{metrics}");
    for (end, count) in [("complete", 8.0), ("truncated", 1.0), ("upstream_error", 1.0)] {
        let ends = format!(
            "millpond_stream_end_total{{gen_ai_provider_name=\"demo\",millpond_stream_end_reason=\"{end}\"}}"
        );
        assert_eq!(sample(&ends), count, "{end}: {metrics}");
    }
}

#[test]
fn the_unit_is_valid_and_confined() {
    if !Path::new("/usr/bin/systemd-analyze").exists()
        && goes_without("systemd-analyze is needed: apt-get install systemd")
    {
        return;
    }
    let unit = read("deploy/systemd/millpond.service");
    let program = "/usr/local/bin/millpond ";
    assert!(unit.contains(&format!("ExecStart={program}serve\n")));
    let folder = scratch(NAME).join("systemd");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let path = folder.join("millpond.service");
    // The program that is there instead of the one that will be.
    let unit = unit.replace(program, &format!("{} ", env!("CARGO_BIN_EXE_millpond")));
    fs::write(&path, unit).expect("the target folder can be written");
    let said = demand(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path));
    // Settings that it does not know are no failure to it.
    assert!(!said.contains("millpond"), "{said}");
    let mut security = Command::new("systemd-analyze");
    demand(security.args(["security", "--offline=true", "--no-pager", EXPOSURE_LIMIT]).arg(&path));
}

#[test]
fn workflows_are_valid() {
    let workflows = files(".github/workflows", ".yml");
    demand(tool("check-jsonschema").args(["--builtin-schema", "vendor.github-workflows"]).args(&workflows));
    demand(in_node("workflows.mjs").args(&workflows));
}

#[test]
fn the_formula_is_ruby_and_a_release_fills_it_in() {
    let formula = read("deploy/homebrew/millpond.rb");
    demand(in_node("formula.mjs").arg(root().join("deploy/homebrew/millpond.rb")));
    let release = read(".github/workflows/release.yml");
    for placeholder in ["HOMEPAGE", "URL", "SHA256"] {
        assert_eq!(formula.matches(&format!("\"{placeholder}\"")).count(), 1, "{placeholder}");
        assert!(release.contains(&format!("-e \"s|\\\"{placeholder}\\\"|")), "{placeholder}");
    }
    let manifest = read("Cargo.toml");
    assert_eq!(after(&formula, "\n  license \""), after(&manifest, "\nlicense = \""));
}

#[test]
fn scripts_pass_shellcheck() {
    let steps = scratch(NAME).join("steps");
    demand(script("steps.py").arg(&steps).args(files(".github/workflows", ".yml")));
    let mut shellcheck = tool("shellcheck");
    shellcheck.args(files("deploy", ".sh")).args(files(".ci", "run"));
    for entry in fs::read_dir(steps).expect("they were written") {
        shellcheck.arg(entry.expect("it can be listed").path());
    }
    demand(&mut shellcheck);
}

#[test]
fn every_file_names_the_same_versions() {
    let manifest = read("Cargo.toml");
    let version = after(&manifest, "\nversion = \"");
    assert_eq!(after(&read("deploy/helm/millpond/Chart.yaml"), "\nappVersion: "), version);
    for file in ["deploy/kubernetes/sidecar.yaml", "deploy/compose/compose.yaml"] {
        assert_eq!(after(&read(file), "image: millpond:"), version, "{file}");
    }
    // The oldest compiler that is promised is the one that builds the image and runs the tests.
    let rust = after(&manifest, "rust-version = \"");
    assert!(read("Dockerfile").contains(&format!("FROM rust:{rust}-slim-")));
    assert!(read(".github/workflows/ci.yml").contains(&format!("rust: [\"{rust}\", stable]")));
}
