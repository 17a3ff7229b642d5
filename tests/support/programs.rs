//! Programs that tests run: millpond itself, and those that are installed below the target folder from pins.

#[path = "run.rs"]
mod run;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use run::Process;
pub use run::run;

/// How long an installation may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
/// How long millpond may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A folder for the pins of `tests/<name>`: `target/<name>`.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The virtual environment with the packages of `tests/<name>/requirements.txt`.
pub fn python(name: &str) -> PathBuf {
    let _lock = lock(name);
    let requirements = root().join("tests").join(name).join("requirements.txt");
    let venv = scratch(name).join("venv");
    install("python3", &venv, &[&requirements], || {
        demand(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let mut pip = Command::new(venv.join("bin/python"));
        // Without dependencies: what is not pinned is not there.
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
        demand(pip.arg(&requirements));
    });
    venv
}

/// A folder with the packages that `tests/<name>/package-lock.json` locks.
pub fn node(name: &str) -> PathBuf {
    let _lock = lock(name);
    let sources =
        ["package.json", "package-lock.json"].map(|file| root().join("tests").join(name).join(file));
    let folder = scratch(name).join("node");
    install("node", &folder, &[&sources[0], &sources[1]], || {
        fs::create_dir_all(&folder).expect("the target folder can be written");
        for source in &sources {
            let file = source.file_name().expect("it has a name");
            fs::copy(source, folder.join(file)).expect("the target folder can be written");
        }
        let mut npm = Command::new("npm");
        demand(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder));
    });
    folder
}

/// Installs into an empty folder, unless the stamp says that these pins are installed for this interpreter.
fn install(interpreter: &str, folder: &Path, pins: &[&Path], install: impl FnOnce()) {
    let stamp = folder.join(".pins");
    let version = demand(Command::new(interpreter).arg("--version"));
    let pins = pins.iter().map(|path| fs::read_to_string(path).expect("the pins can be read"));
    let pins = [version].into_iter().chain(pins).collect::<String>();
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

#[track_caller]
fn demand(command: &mut Command) -> String {
    run(command, INSTALL_LIMIT).unwrap_or_else(|output| {
        panic!("Python 3.11 with venv, and Node 20 with npm, are needed: {command:?}: {output}")
    })
}

/// Installations wait for each other, also those of another run in the same target folder.
fn lock(name: &str) -> File {
    let file = File::create(scratch(name).join("lock")).expect("the target folder can be written");
    file.lock().expect("the lock can be taken");
    file
}

/// millpond, alone with its demo provider; it ends with this value.
pub struct Server {
    pub url: String,
    _process: Process,
}

impl Server {
    /// Starts it without any environment, so that no key of a provider is in it.
    pub fn start(folder: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(["serve", "--demo", "--listen", "127.0.0.1:0"]);
        command.env_clear().current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process(command.spawn().expect("millpond starts"));
        let stderr = process.0.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        // It reads to the end, or the server would wait for it.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line); // Nobody listens once the address is known.
            }
        });
        let line = lines.recv_timeout(START_LIMIT).expect("millpond says where it listens");
        let (_, url) = line.split_once(" listens on ").unwrap_or_else(|| panic!("millpond says: {line}"));
        Server { url: url.to_owned(), _process: process }
    }
}
