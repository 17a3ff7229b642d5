//! The proxies under test: started as children on free ports, stopped when their guard goes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, process::family};

const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The folder for configurations and logs, removed with its guard.
pub struct Workplace(PathBuf);

impl Workplace {
    pub fn create() -> Result<Self, Failure> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-proxy-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0)); // What stays behind is in the target folder, and harmless.
    }
}

/// An nginx that was found on this machine.
pub struct Nginx {
    program: PathBuf,
    pub version: String,
}

impl Nginx {
    pub fn find() -> Option<Self> {
        // `sbin` is not on every user's path.
        ["/usr/sbin/nginx", "nginx"].into_iter().map(PathBuf::from).find_map(|program| {
            // An error is that it is not there: try the next place.
            let output = Command::new(&program).arg("-v").output().ok()?;
            let version = String::from_utf8_lossy(&output.stderr).trim().replace("nginx version: ", "");
            Some(Self { program, version })
        })
    }
}

pub fn nginx(nginx: &Nginx, workplace: &Workplace, upstream: SocketAddr) -> Result<Child, Failure> {
    let address = free_address()?;
    let folder = workplace.0.display();
    let config = workplace.write(
        "nginx.conf",
        &format!(
            "daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream bench {{ server {upstream}; keepalive 4096; keepalive_requests 1000000; }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
        ),
    )?;
    let mut command = Command::new(&nginx.program);
    command.arg("-p").arg(&workplace.0).arg("-c").arg(config);
    Child::spawn(command, address, workplace.0.join("nginx.log"))
}

/// A build of millpond, with a collector for its spans and metrics or without.
pub fn millpond(
    program: &Path,
    workplace: &Workplace,
    upstream: SocketAddr,
    collector: Option<SocketAddr>,
) -> Result<Child, Failure> {
    let address = free_address()?;
    let name = format!("millpond-{}", address.port());
    let config = workplace.write(
        &format!("{name}.toml"),
        &format!(
            "listen = \"{address}\"
default_provider = \"bench\"
[providers.bench]
dialect = \"openai-chat\"
base_url = \"http://{upstream}/v1\"
"
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("--listen").arg(address.to_string()).arg("--config").arg(config);
    if let Some(collector) = collector {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
        // Several exports fall into each round.
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "1000").env("OTEL_BSP_SCHEDULE_DELAY", "500");
    }
    Child::spawn(command, address, workplace.0.join(format!("{name}.log")))
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A running proxy that accepts connections.
pub struct Child {
    process: process::Child,
    address: SocketAddr,
    log: PathBuf,
    started_after: Duration,
}

impl Child {
    /// Starts it and waits until its port accepts.
    fn spawn(mut command: Command, address: SocketAddr, log: PathBuf) -> Result<Self, Failure> {
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let began = Instant::now();
        let process =
            command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let mut child = Self { process, address, log, started_after: Duration::ZERO };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.process.try_wait()? {
                return Err(format!(
                    "{} ended at once, {status}{}",
                    command.get_program().display(),
                    child.log_tail()
                )
                .into());
            }
            if began.elapsed() > START_LIMIT {
                return Err(format!(
                    "{} does not listen after {START_LIMIT:?}{}",
                    command.get_program().display(),
                    child.log_tail()
                )
                .into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        child.started_after = began.elapsed();
        Ok(child)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From before the spawn to the first connection that was accepted.
    pub fn started_after(&self) -> Duration {
        self.started_after
    }

    pub fn wait_until_healthy(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let answer = self.health();
            if answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
                return Ok(());
            }
            if began.elapsed() > START_LIMIT {
                return Err(format!("GET /healthz answers {answer:?}{}", self.log_tail()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn health(&self) -> Result<String, Failure> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(START_LIMIT))?;
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The end of what it printed, to stand behind a message; empty if it printed nothing.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(2_000)..]).into_owned();
        if tail.is_empty() { tail } else { format!("\nits log ends:\n{tail}") }
    }
}

impl Drop for Child {
    /// Asks first, since an nginx that is killed leaves its workers behind; then kills, by number.
    fn drop(&mut self) {
        let members = family(self.id()).unwrap_or_else(|_| vec![self.id()]);
        signal("TERM", &[self.id()]);
        let asked = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_LIMIT {
                signal("KILL", &members);
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self.process.wait()); // It has ended one way or the other.
    }
}

/// The standard library can only kill, and only its own child.
fn signal(name: &str, processes: &[u32]) {
    let sent = Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$@""#, name])
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
    if let Err(error) = sent {
        eprintln!("cannot send {name} to {processes:?}: {error}");
    }
}
