//! The program: arguments, config, serve; exit codes.
//!
//! 0: done. 1: failed while running, or not healthy. 2: called or configured wrongly. 3: the filter's
//! recording ended with a fault.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use millpond::api::Api;
use millpond::config::{Config, ConfigError, FILE_NAME, File, KeyHash, ListenerTls, is_key_name, key_of};
use millpond::dialect::AnyDialect;
use millpond::filter::{self, Report};
use millpond::framing::FRAME_LIMIT;
use millpond::provider::{PROVIDERS, Provider};
use millpond::proxy::Shared;
use millpond::telemetry::{StartError, Telemetry, log};
use millpond::{mock, proxy};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;
use url::Url;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How often the files of the config are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a health check waits for the connection, and again for the answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A local proxy that turns any LLM provider's stream into one clean OpenAI stream.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Serve(Serve),
    /// Print what is in force, with secrets hidden, and exit
    Check(ConfigArgs),
    /// Ask the millpond of this config whether it is ready; exits with 0 if it is and with 1 if not
    Health(ConfigArgs),
    /// Make a key for a client: it goes to standard error, once, and its lines for the config to standard output
    Key(Key),
    /// Read a recorded upstream body and write what a client would get
    Normalize(Normalize),
    /// Serve the fake provider alone
    Mock(Mock),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Where to listen, such as 127.0.0.1:8080
    #[arg(long, env = "MILLPOND_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// The config file; millpond.toml is read if it exists
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// Start the fake provider as provider "demo" even if others are set up
    #[arg(long)]
    demo: bool,
    /// What to log, such as "debug" or "millpond=debug"
    #[arg(long, env = "RUST_LOG", default_value = "warn,millpond=info", value_name = "FILTER")]
    log: String,
    /// How log lines look; auto is text on a terminal and JSON otherwise
    #[arg(long, env = "MILLPOND_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Auto,
    Text,
    Json,
}

impl From<LogFormat> for log::LogFormat {
    fn from(format: LogFormat) -> log::LogFormat {
        match format {
            LogFormat::Auto => log::LogFormat::Auto,
            LogFormat::Text => log::LogFormat::Text,
            LogFormat::Json => log::LogFormat::Json,
        }
    }
}

#[derive(Debug, Args)]
struct Normalize {
    /// The provider whose quirks apply
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The dialect of the recording
    #[arg(long, value_name = "NAME")]
    dialect: Option<String>,
    /// What the client speaks: chat-completions, responses, messages or completions
    #[arg(long, value_name = "NAME", default_value = "chat-completions")]
    api: String,
    /// Send the usage chunk, as if the client had asked for it
    #[arg(long)]
    include_usage: bool,
    /// Write one object instead of a stream
    #[arg(long)]
    object: bool,
    /// Write how it ended, what was mended and the usage as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The recording; standard input if it is missing or "-"
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Key {
    /// The name of the client in the config; without one it is made of the key's hash
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Args)]
struct Mock {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Print the models that it serves, and exit
    #[arg(long)]
    list: bool,
}

/// Why the program ends early, in one line for people.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Telemetry(#[from] StartError),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("{scheme}://{address}/readyz: {why}")]
    NotReady { scheme: &'static str, address: SocketAddr, why: String },
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Run(#[from] io::Error),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Config(_)
            | Failure::Usage(_)
            | Failure::Telemetry(_)
            | Failure::Listen { .. }
            | Failure::File { .. } => ExitCode::from(2),
            Failure::Run(_) | Failure::NotReady { .. } => ExitCode::from(1),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => run_serve(serve),
        Command::Check(args) => load(&args).and_then(|config| {
            config.access.check(config.listen)?;
            print(&config.to_string())
        }),
        Command::Health(args) => load(&args).and_then(|config| health(&config)),
        Command::Key(args) => make_key(&args),
        Command::Normalize(args) => run_normalize(&args),
        Command::Mock(args) => run_mock(&args),
    };
    match done {
        Ok(code) => code,
        // Whoever read our output has left: that is no failure of ours.
        Err(Failure::Run(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("millpond: {failure}");
            failure.exit_code()
        }
    }
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn load(args: &ConfigArgs) -> Result<Config, Failure> {
    let file = match &args.config {
        Some(path) => File::read(path)?,
        None if Path::new(FILE_NAME).exists() => File::read(Path::new(FILE_NAME))?,
        None => File::default(),
    };
    Ok(Config::new(file, args.listen.as_deref(), &|name| std::env::var(name).ok())?) // Not text: not set.
}

fn run_serve(args: Serve) -> Result<ExitCode, Failure> {
    let mut config = load(&args.config)?;
    config.access.check(config.listen)?;
    let filter = EnvFilter::try_new(&args.log).map_err(|error| Failure::Usage(format!("--log: {error}")))?;
    log::start(filter, args.log_format.into());
    runtime()?.block_on(async {
        // Before anybody is told that the program runs.
        let mut signals = Signals::listen()?;
        let address = config.listen;
        let listener = listen(address)?;
        let bound = listener.local_addr()?;
        let mut demo = None;
        if args.demo || config.set_up().next().is_none() {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let url = format!("http://{}/v1", listener.local_addr()?);
            let url: Url = url.parse().map_err(|_| Failure::Usage(format!("{url} is no URL")))?;
            config.add_demo(url.clone());
            demo = Some(url);
            tokio::spawn(mock::serve(listener, std::future::pending()));
        }
        let files = config.files.clone();
        let telemetry = Telemetry::start(config.telemetry.clone(), config.models())?;
        greet(&config, bound);
        let admin_listen = config.admin_listen;
        let shared = Shared::new(config, telemetry.clone());
        if let Some(address) = admin_listen {
            let admin = listen(address)?;
            eprintln!("health and metrics are on http://{}", admin.local_addr()?);
            tokio::spawn(proxy::serve_admin(admin, Arc::clone(&shared), std::future::pending()));
        }
        let (stop, stopped) = oneshot::channel();
        let serving = proxy::serve_on(processors(), listener, Arc::clone(&shared), async {
            // Whoever could ask is gone only with the process.
            let _ = stopped.await;
        });
        let told = async {
            let start = Start { args: &args.config, demo: demo.as_ref(), bound };
            reload_until_stopped(&start, files, &shared, &mut signals).await;
            let _ = stop.send(()); // Serving may have failed at the same moment.
            while signals.next().await != Asked::Stop {}
        };
        tokio::select! {
            served = serving => served?,
            // Asked twice: now.
            () = told => return Ok(ExitCode::SUCCESS),
        }
        telemetry.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The runtime of the main thread: it accepts, waits for signals and serves the demo.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn processors() -> usize {
    // One is always right, if not always fast.
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Listens with a backlog that a burst of connections does not overflow.
fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| Failure::Listen { address, error })
}

/// Says where millpond listens, what is set up, and what to try.
fn greet(config: &Config, bound: SocketAddr) {
    let names: Vec<&str> = config.set_up().map(|provider| provider.name.as_str()).collect();
    let default = config.providers.get(config.default_provider).map_or("", |provider| provider.name.as_str());
    let has_demo = names.contains(&"demo");
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    eprintln!("millpond {} listens on {scheme}://{bound}", env!("CARGO_PKG_VERSION"));
    eprintln!("providers set up: {} (bare models go to {default})", names.join(", "));
    if has_demo {
        eprintln!(
            "demo is a fake provider inside; it speaks in the manner of the real ones (`millpond mock --list`)"
        );
        if names.len() == 1 {
            eprintln!("set a key such as OPENROUTER_API_KEY to reach a real one");
        }
    }
    let model = if has_demo { "demo" } else { "MODEL" };
    let key = if config.access.keys.is_some() { " -H 'authorization: Bearer KEY'" } else { "" };
    eprintln!(
        "try:\n  curl -N {scheme}://{bound}/v1/chat/completions -H 'content-type: application/json'{key} \\\n    -d '{{\"model\": \"{model}\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
    );
}

/// Asks `/readyz` where health is served, over the loopback if that is every address.
fn health(config: &Config) -> Result<ExitCode, Failure> {
    let (mut address, tls) = match config.admin_listen {
        Some(address) => (address, None),
        None => (config.listen, config.tls.as_ref()),
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let not_ready = |why: String| Failure::NotReady { scheme, address, why };
    let line = status_line(address, tls).map_err(|error| not_ready(error.to_string()))?;
    match line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)) {
        Some("200") => print("ready\n"),
        Some(_) | None => Err(not_ready(format!("it answers \"{}\"", line.trim_end().escape_default()))),
    }
}

/// The first line of the answer. The check runs every few seconds, so no client and no runtime is started for it.
fn status_line(address: SocketAddr, tls: Option<&ListenerTls>) -> io::Result<String> {
    let connection = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    connection.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    connection.set_write_timeout(Some(HEALTH_TIMEOUT))?;
    match tls {
        None => ask_ready(address, connection),
        Some(tls) => {
            let client = tls.client().map_err(io::Error::other)?;
            let name = ServerName::from(address.ip());
            let session = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
            ask_ready(address, StreamOwned::new(session, connection))
        }
    }
}

fn ask_ready(address: SocketAddr, mut connection: impl Read + Write) -> io::Result<String> {
    const LENGTH_LIMIT: u64 = 256;
    write!(connection, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(connection.take(LENGTH_LIMIT)).read_line(&mut line)?;
    Ok(line)
}

/// Makes a key and says it to the person who asked, apart from what may be written into a file.
fn make_key(args: &Key) -> Result<ExitCode, Failure> {
    let mut chance = [0; 32];
    getrandom::fill(&mut chance).map_err(io::Error::other)?;
    let key = key_of(chance);
    let hash = KeyHash::of(key.as_bytes()).to_string();
    let name = match &args.name {
        Some(name) if is_key_name(name) => name.clone(),
        Some(name) => {
            return Err(Failure::Usage(format!(
                "--name: \"{name}\": a name has letters, digits, \"-\" and \"_\" only"
            )));
        }
        None => format!("key-{}", hash.trim_start_matches("sha256:").get(..8).unwrap_or_default()),
    };
    eprintln!("{key}");
    print(&format!("[keys.{name}]\nhash = \"{hash}\"\n"))
}

/// The signals that end or reload the process.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Signals> {
        Ok(Signals {})
    }

    /// Waits for the next one.
    #[cfg(unix)]
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Asked {
        // An error: nobody will ask for anything.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Asked::Stop
    }
}

/// What a process keeps from its start, whatever config comes into force.
struct Start<'a> {
    args: &'a ConfigArgs,
    demo: Option<&'a Url>,
    /// Where it listens.
    bound: SocketAddr,
}

impl Start<'_> {
    /// Reads the config again. It must not open to others what was closed to them.
    fn load(&self) -> Result<Config, Failure> {
        let mut config = load(self.args)?;
        config.access.check(self.bound)?;
        if let Some(url) = self.demo {
            config.add_demo(url.clone());
        }
        Ok(config)
    }
}

/// Puts the config into force again whenever its files change or SIGHUP comes, until the process is to stop.
/// One that cannot be read is told of, and the one in force stays.
async fn reload_until_stopped(
    start: &Start<'_>,
    files: Vec<PathBuf>,
    shared: &Shared,
    signals: &mut Signals,
) {
    let mut watched = Watched::new(start.args, files);
    loop {
        let asked = timeout(LOOK_EVERY, signals.next()).await;
        match asked {
            Ok(Asked::Stop) => return,
            Ok(Asked::Reload) => {}
            Err(_) if watched.changed() => {}
            Err(_) => continue,
        }
        match start.load() {
            Ok(config) => {
                watched = Watched::new(start.args, config.files.clone());
                shared.reload(config);
                tracing::info!("the config was read again");
            }
            Err(failure) => {
                tracing::error!("the config stays as it was, because the new one is wrong: {failure}");
            }
        }
    }
}

/// The files that the config in force was made of. Their text is looked at, not their dates: what Kubernetes
/// changes is a link in the path.
struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Option<u64>>,
}

impl Watched {
    fn new(args: &ConfigArgs, mut files: Vec<PathBuf>) -> Watched {
        files.push(args.config.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME)));
        let seen = look(&files);
        Watched { files, seen }
    }

    /// True if a file is another since this was last asked.
    fn changed(&mut self) -> bool {
        let seen = look(&self.files);
        std::mem::replace(&mut self.seen, seen) != self.seen
    }
}

/// A hash of each file's text; `None` where there is none.
fn look(files: &[PathBuf]) -> Vec<Option<u64>> {
    let hash = |path: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(path).ok()?); // No file: nothing to compare.
        Some(hasher.finish())
    };
    files.iter().map(hash).collect()
}

fn run_mock(args: &Mock) -> Result<ExitCode, Failure> {
    if args.list {
        let lines: Vec<String> =
            mock::describe().into_iter().map(|(name, says)| format!("{name:<36} {says}\n")).collect();
        return print(&lines.concat());
    }
    runtime()?.block_on(async {
        let listener = listen(args.listen)?;
        eprintln!("the fake provider listens on http://{}/v1", listener.local_addr()?);
        let mut signals = Signals::listen()?;
        let stopped = async move { while signals.next().await != Asked::Stop {} };
        mock::serve(listener, stopped).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn run_normalize(args: &Normalize) -> Result<ExitCode, Failure> {
    let (api, dialect) = (api(&args.api)?, dialect(args.provider.as_deref(), args.dialect.as_deref())?);
    let options = filter::Options {
        // A recording of the API itself, where the provider has it.
        dialect: dialect.for_texts().filter(|_| api == Api::Completions).unwrap_or(dialect),
        api,
        include_usage: args.include_usage,
        object: args.object,
        frame_limit: FRAME_LIMIT,
    };
    let mut input: Box<dyn Read> = match &args.file {
        Some(path) if path != Path::new("-") => {
            Box::new(fs::File::open(path).map_err(|error| Failure::File { path: path.clone(), error })?)
        }
        Some(_) | None => Box::new(io::stdin().lock()),
    };
    let report = filter::normalize(options, &mut input, &mut io::stdout().lock())?;
    match &args.report {
        Some(path) => {
            fs::write(path, report.to_json()).map_err(|error| Failure::File { path: path.clone(), error })?
        }
        None => summarize(&report),
    }
    Ok(if report.fault.is_none() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The API of that name.
fn api(name: &str) -> Result<Api, Failure> {
    let named = Api::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, api)| api);
    named.ok_or_else(|| {
        let names: Vec<&str> = Api::NAMES.iter().map(|(name, _)| *name).collect();
        Failure::Usage(format!("there is no API \"{name}\"; expected one of {}", names.join(", ")))
    })
}

/// The dialect of a recording: the provider's own, or the one that is named, with the provider's quirks.
fn dialect(provider: Option<&str>, dialect: Option<&str>) -> Result<AnyDialect, Failure> {
    let unknown = |what: &str, name: &str, names: Vec<&str>| {
        Failure::Usage(format!("there is no {what} \"{name}\"; expected one of {}", names.join(", ")))
    };
    let entries = match provider {
        None => &[],
        Some(name) => {
            let row = Provider::find(name);
            row.ok_or_else(|| unknown("provider", name, PROVIDERS.iter().map(|row| row.name).collect()))?
                .dialects
        }
    };
    let entry = match dialect {
        None => entries.first(),
        Some(name) => entries.iter().find(|entry| entry.dialect.name() == name),
    };
    let name = dialect.unwrap_or("openai-chat");
    entry
        .map(|entry| entry.dialect)
        .or_else(|| AnyDialect::plain(name))
        .ok_or_else(|| unknown("dialect", name, AnyDialect::NAMES.to_vec()))
}

fn summarize(report: &Report) {
    let end = report.fault.map_or("complete", |fault| fault.as_str());
    let repairs: Vec<String> =
        report.repairs.iter().map(|(repair, count)| format!("{} {count}", repair.as_str())).collect();
    let repairs = if repairs.is_empty() { "nothing to mend".to_owned() } else { repairs.join(", ") };
    eprintln!("millpond: {end}; {repairs}");
}
