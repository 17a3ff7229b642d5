//! A Redis server: that of this machine, or Debian's, unpacked below the target folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tokio::net::TcpStream;

use crate::harness::until;

/// What the server is and what it needs that not every machine has.
const PACKAGES: [&str; 4] = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1"];

/// A server that runs; it ends with this value.
pub struct Redis {
    pub address: SocketAddr,
    child: Child,
}

/// How the server is started.
struct Program {
    path: PathBuf,
    /// Where its libraries are, if not where the system has them.
    libraries: Option<PathBuf>,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn starts(&self) -> bool {
        self.command().arg("--version").status().is_ok_and(|status| status.success())
    }
}

impl Redis {
    /// Starts one that keeps nothing; `None`, after saying so, where there is none and none can be had. In CI that
    /// is a failure.
    pub async fn start(address: SocketAddr) -> Option<Redis> {
        static PROGRAM: OnceLock<Result<Program, String>> = OnceLock::new();
        let program = match PROGRAM.get_or_init(program) {
            Ok(program) => program,
            Err(why) => {
                let missing = format!("redis-server is missing, and cannot be fetched: {why}");
                assert!(std::env::var_os("CI").is_none(), "{missing}");
                eprintln!("skipped: {missing}");
                return None;
            }
        };
        let mut command = program.command();
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]).current_dir(scratch());
        let redis = Redis { address, child: command.spawn().unwrap() };
        until("a Redis that listens", async || TcpStream::connect(address).await.is_ok()).await;
        Some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn program() -> Result<Program, String> {
    let here = Program { path: "redis-server".into(), libraries: None };
    if here.starts() {
        return Ok(here);
    }
    let folder = scratch();
    // Two runs in one target folder wait for each other.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !unpacked(&folder).is_some_and(|program| program.starts()) {
        fetch(&folder)?;
    }
    unpacked(&folder).filter(Program::starts).ok_or_else(|| "it does not start".to_owned())
}

/// The server in a folder that the packages were unpacked in.
fn unpacked(folder: &Path) -> Option<Program> {
    let mut inner = fs::read_dir(folder.join("root/usr/lib")).ok()?.flatten().map(|entry| entry.path());
    let libraries = inner.find(|path| path.to_string_lossy().ends_with("-linux-gnu"))?;
    Some(Program { path: folder.join("root/usr/bin/redis-server"), libraries: Some(libraries) })
}

/// Downloads the packages and unpacks them; nothing is installed.
fn fetch(folder: &Path) -> Result<(), String> {
    let debian = folder.join("debian");
    // It is there from a download that broke off, or not at all.
    let _ = fs::remove_dir_all(&debian);
    fs::create_dir_all(&debian).map_err(|error| error.to_string())?;
    let download = || run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&debian));
    if let Err(first) = download() {
        let update = run(Command::new("apt-get").arg("update"));
        update.and_then(|()| download()).map_err(|second| format!("{first}\n{second}"))?;
    }
    for file in fs::read_dir(&debian).map_err(|error| error.to_string())?.flatten() {
        if file.path().extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg").arg("-x").arg(file.path()).arg(folder.join("root")))?;
        }
    }
    Ok(())
}

/// Runs a command to its end; what it wrote is the error if it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = || format!("{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.status.success().then_some(()).ok_or_else(said)
}
