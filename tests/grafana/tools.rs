//! Prometheus and promtool: those of this machine, or Debian's, unpacked below the target folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long a command may take; a download is the longest.
const LIMIT: Duration = Duration::from_secs(120);

/// The two programs.
pub struct Tools {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
}

/// The programs; `None`, after saying so, where there are none and none can be had. In CI that is a failure.
pub fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
    match TOOLS.get_or_init(|| on_path().map_or_else(unpacked, Ok)) {
        Ok(tools) => Some(tools),
        Err(why) => {
            let missing = format!("prometheus and promtool are missing, and cannot be fetched: {why}");
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            eprintln!("skipped: {missing}");
            None
        }
    }
}

fn on_path() -> Option<Tools> {
    let tools = Tools { prometheus: "prometheus".into(), promtool: "promtool".into() };
    tools.version().is_ok().then_some(tools)
}

/// Debian's package, fetched unless it was before.
fn unpacked() -> Result<Tools, String> {
    let folder = scratch();
    // Two runs in one target folder wait for each other.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let bin = folder.join("root/usr/bin");
    let tools = Tools { prometheus: bin.join("prometheus"), promtool: bin.join("promtool") };
    if tools.version().is_err() {
        fetch(&folder)?;
        tools.version()?;
    }
    Ok(tools)
}

/// Downloads the package and unpacks it. It needs nothing but the C library, and nothing is installed.
fn fetch(folder: &Path) -> Result<(), String> {
    let debian = folder.join("debian");
    // It is there from a download that broke off, or not at all.
    let _ = fs::remove_dir_all(&debian);
    fs::create_dir_all(&debian).map_err(|error| error.to_string())?;
    let download = || run(Command::new("apt-get").args(["download", "prometheus"]).current_dir(&debian));
    if let Err(first) = download() {
        let update = run(Command::new("apt-get").arg("update"));
        update.and_then(|_| download()).map_err(|second| format!("{first}\n{second}"))?;
    }
    let files = fs::read_dir(&debian).map_err(|error| error.to_string())?;
    let package = files
        .filter_map(|file| Some(file.ok()?.path())) // A file that vanished is not the package.
        .find(|path| path.extension() == Some(OsStr::new("deb")))
        .ok_or("apt-get downloaded no package")?;
    run(Command::new("dpkg").arg("-x").arg(&package).arg(folder.join("root")))?;
    fs::remove_file(package).map_err(|error| error.to_string())
}

impl Tools {
    /// Whether both start.
    fn version(&self) -> Result<(), String> {
        run(Command::new(&self.prometheus).arg("--version"))?;
        run(Command::new(&self.promtool).arg("--version"))?;
        Ok(())
    }

    /// Runs promtool in a folder, with this for input, and fails with what it says.
    #[track_caller]
    pub fn check(&self, arguments: &[&str], folder: &Path, input: Stdio) {
        let mut command = Command::new(&self.promtool);
        command.args(arguments).current_dir(folder);
        if let Err(said) = run_with(&mut command, input) {
            panic!("promtool {}: {said}", arguments.join(" "));
        }
    }
}

/// A child process, which ends with this value.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    run_with(command, Stdio::null())
}

/// Runs a command to its end. Returns what it wrote, as an error if it failed or took too long.
fn run_with(command: &mut Command, input: Stdio) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let fail = |error: io::Error| format!("{name}: {error}");
    let (mut reader, writer) = io::pipe().map_err(fail)?;
    let both = writer.try_clone().map_err(fail)?;
    command.stdin(input).stdout(writer).stderr(both);
    let mut process = Process(command.spawn().map_err(fail)?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()); // Drops our ends of the pipe.
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes)); // Nobody listens if it took too long.
    });
    let bytes = output
        .recv_timeout(LIMIT)
        .map_err(|_| format!("{name} took more than {} s", LIMIT.as_secs()))?
        .map_err(fail)?;
    let output = String::from_utf8_lossy(&bytes).into_owned();
    let status = process.0.wait().map_err(fail)?;
    if status.success() { Ok(output) } else { Err(format!("{name}: {status}\n{output}")) }
}

/// `prometheus` in the target folder.
pub fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("prometheus");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// An empty folder for one test.
pub fn folder(test: &str) -> PathBuf {
    let folder = scratch().join(test);
    // It is there from an earlier run, or not at all.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}
