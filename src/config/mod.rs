//! Configuration: [`File`] as written, [`Config`] as meant.
//!
//! The environment is an argument, so that nothing here depends on the process it runs in. Every mistake
//! names its place and what was expected.

mod access;
mod aliases;
mod aws;
mod deadlines;
mod file;
mod limits;
mod reasoning_memory;
mod retry;
mod telemetry;
mod tls;
mod traffic;
mod upstream;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

pub use access::{Access, ClientKey, KeyHash, is_key_name, key_of};
pub use aliases::{Alias, AliasTarget, Choose};
pub use aws::Credentials;
pub use deadlines::Deadlines;
pub use file::File;
use file::Span;
pub use limits::{KeepAliveForm, Limits, OnDisconnect};
pub use retry::{Breaker, Retry};
pub use tls::{Connect, ListenerTls};
pub use traffic::{KeyLimits, Traffic};
pub use upstream::Upstream;
use upstream::{Place, from_row};
use url::Url;

use crate::api::chat_completions::ReasoningField;
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::OpenAiChat;
use crate::provider::PROVIDERS;
use crate::recall;
use crate::telemetry::Settings;

/// Where millpond listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The config file that is read if none is named.
pub const FILE_NAME: &str = "millpond.toml";
/// The provider that bare models go to if nothing else decides.
const DEFAULT_PROVIDER: &str = "openrouter";

/// What is in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where millpond listens.
    pub listen: SocketAddr,
    /// Every provider that can be named: those of the table, and those of the file.
    pub providers: Vec<Upstream>,
    /// Where bare models go: an index into `providers`.
    pub default_provider: usize,
    /// Names for models.
    pub aliases: BTreeMap<String, Alias>,
    /// Under which names reasoning leaves.
    pub reasoning_field: ReasoningField,
    /// Limits and times.
    pub limits: Limits,
    /// How much may be under way.
    pub traffic: Traffic,
    /// Where several processes count requests and tokens together; it may hold a password.
    pub redis: Option<Secret>,
    /// How long an upstream may take, where nothing else is said.
    pub deadlines: Deadlines,
    /// When an upstream is asked again.
    pub retry: Retry,
    /// When one is left alone.
    pub breaker: Breaker,
    /// Where metrics and health are served, if not where millpond listens.
    pub admin_listen: Option<SocketAddr>,
    /// TLS, where it is spoken with clients.
    pub tls: Option<ListenerTls>,
    /// Who may ask.
    pub access: Access,
    /// How much reasoning is kept for clients that do not send it back; `None`: nothing.
    pub reasoning_memory: Option<recall::Limits>,
    /// How much of answers is kept for clients of the Responses API that only name them, unless it is switched off.
    pub responses_store: Option<recall::Limits>,
    /// Where a provider counts no tokens, `/v1/messages/count_tokens` estimates them.
    pub estimate_tokens: bool,
    /// Spans, metrics and prices.
    pub telemetry: Settings,
    /// Other files that were read: where keys and certificates stand.
    pub files: Vec<PathBuf>,
}

/// A key. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a key.
    pub fn new(key: impl Into<String>) -> Secret {
        Secret(key.into())
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML, or has a field that does not exist or has another type.
    #[error("{path}: line {line}, column {column}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// Values that cannot be used, one per line.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

/// The environment, as a function.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Turns what was written into what is meant. `listen` overrides the file's.
    pub fn new(mut file: File, listen: Option<&str>, env: Env<'_>) -> Result<Config, ConfigError> {
        let mut mistakes = Vec::new();
        let mut files = Vec::new();
        let access = file.take_access().read(env, &mut files, &mut mistakes);
        let tls =
            file.tls.take().map(|tls| tls.read(&mut files)).transpose().unwrap_or_else(|(field, what)| {
                mistakes.push(format!("tls.{field}: {what}"));
                None
            });
        mistakes.extend(file.deadlines().mistakes().map(|name| format!("{name}: must be longer than zero")));
        let deadlines = file.deadlines().over(Deadlines::default());
        let mut address = |field: &str, text: &str| {
            let address = address(text);
            if address.is_none() {
                mistakes.push(format!(
                    "{field}: \"{text}\" is no address; expected one such as \"127.0.0.1:8080\""
                ));
            }
            address
        };
        let listen =
            listen.or(file.listen.as_deref()).and_then(|text| address("listen", text)).unwrap_or(LISTEN);
        let admin_listen = file.admin_listen.as_deref().and_then(|text| address("admin_listen", text));
        let responses_store =
            reasoning_memory::limits("responses_store", file.responses_store, &mut mistakes);
        let reasoning_memory =
            reasoning_memory::limits("reasoning_memory", file.reasoning_memory, &mut mistakes);
        let telemetry = telemetry::settings(file.telemetry, file.prices, env, &mut mistakes);
        let retry = file.retry.read(&mut mistakes);
        let breaker = file.breaker.read(&mut mistakes);
        let redis = file.limits.redis(&mut mistakes);
        let traffic = file.limits.read(&mut mistakes);
        let row = |row| Upstream { deadlines, ..from_row(row, env) };
        let mut providers: Vec<Upstream> = PROVIDERS.iter().map(row).collect();
        for (name, written) in file.providers {
            let at = providers.iter().position(|provider| provider.name == name);
            let known = at.map(|at| providers.remove(at));
            let table = format!("providers.{name}");
            let mut place =
                Place { name: &name, table, deadlines, files: &mut files, mistakes: &mut mistakes };
            let provider = place.provider(known, written, env);
            providers.insert(at.unwrap_or(providers.len()), provider);
        }
        let default_provider = default(file.default_provider.as_deref(), &providers, &mut mistakes);
        let aliases = aliases::read(file.aliases, &mut mistakes);
        let defaults = Limits::default();
        let span = |written: Option<Span>, default| written.map_or(default, |span| span.0);
        let limits = Limits {
            body_bytes: file.body_limit_bytes.unwrap_or(defaults.body_bytes),
            frame_bytes: file.frame_limit_bytes.unwrap_or(defaults.frame_bytes),
            headers_after: span(file.headers_after, defaults.headers_after),
            keep_alive: span(file.keep_alive, defaults.keep_alive),
            keep_alive_form: file.keep_alive_form.unwrap_or_default(),
            drain: span(file.drain, defaults.drain),
            on_disconnect: file.on_disconnect.unwrap_or_default(),
            drain_limit: span(file.drain_limit, defaults.drain_limit),
        };
        if limits.keep_alive.is_zero() {
            mistakes.push("keep_alive: must be longer than zero".to_owned());
        }
        if mistakes.is_empty() {
            Ok(Config {
                listen,
                providers,
                default_provider,
                aliases,
                reasoning_field: file.reasoning_field.unwrap_or_default(),
                limits,
                traffic,
                redis,
                deadlines,
                retry,
                breaker,
                admin_listen,
                tls,
                access,
                reasoning_memory,
                responses_store,
                estimate_tokens: file.messages.estimate_tokens,
                telemetry,
                files,
            })
        } else {
            Err(ConfigError::Values(mistakes))
        }
    }

    /// The provider of that name.
    pub fn provider(&self, name: &str) -> Option<&Upstream> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// The models that the file names, in their providers' words.
    pub fn models(&self) -> HashSet<String> {
        let listed = self.providers.iter().flat_map(|provider| provider.models.iter().cloned());
        let targets = self.aliases.values().flat_map(|alias| &alias.targets);
        let aliased = targets.map(|target| match target.model.split_once('/') {
            Some((name, model)) if self.provider(name).is_some() => model.to_owned(),
            Some(_) | None => target.model.clone(),
        });
        listed.chain(aliased).collect()
    }

    /// The providers that have what they need.
    pub fn set_up(&self) -> impl Iterator<Item = &Upstream> {
        self.providers.iter().filter(|provider| provider.is_set_up)
    }

    /// Adds a provider that is always set up, as the demo is, and sends bare models there if no other
    /// provider was chosen or set up.
    pub fn add_demo(&mut self, base_url: Url) {
        let alone = self.set_up().next().is_none();
        let dialect = OpenAiChat { think_tags: ThinkTags::AtStart, ..OpenAiChat::PLAIN };
        self.providers.push(Upstream {
            base_url: Ok(base_url),
            is_set_up: true,
            ..Upstream::plain("demo", dialect.any())
        });
        // The model `demo` works even where another provider is the default.
        self.aliases.entry("demo".to_owned()).or_insert_with(|| "demo/demo".into());
        if alone {
            self.default_provider = self.providers.len() - 1;
        }
    }
}

/// An address; `localhost` is the loopback.
fn address(text: &str) -> Option<SocketAddr> {
    text.replace("localhost", "127.0.0.1").parse().ok() // The caller says what was expected.
}

fn default(written: Option<&str>, providers: &[Upstream], mistakes: &mut Vec<String>) -> usize {
    let at = |name: &str| providers.iter().position(|provider| provider.name == name);
    if let Some(name) = written {
        if let Some(at) = at(name) {
            return at;
        }
        mistakes.push(format!("default_provider: there is no provider \"{name}\"; expected one of the names in the list of providers, or add [providers.{name}]"));
    }
    let mut set_up = providers.iter().enumerate().filter(|(_, provider)| provider.is_set_up);
    match (set_up.next(), set_up.next()) {
        (Some((at, _)), None) => at,
        (_, _) => at(DEFAULT_PROVIDER).unwrap_or(0),
    }
}

impl fmt::Display for Config {
    /// What is in force, with secrets hidden: the answer of `millpond check`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen = \"{}\"", self.listen)?;
        if let Some(provider) = self.providers.get(self.default_provider) {
            writeln!(f, "default_provider = \"{}\"", provider.name)?;
        }
        if let Some(address) = self.admin_listen {
            writeln!(f, "admin_listen = \"{address}\"")?;
        }
        if let Some(tls) = &self.tls {
            write!(f, "{tls}")?;
        }
        write!(f, "{}", self.access)?;
        let Limits { body_bytes, frame_bytes, headers_after, keep_alive, .. } = self.limits;
        let Limits { drain, drain_limit, .. } = self.limits;
        let on_disconnect = match self.limits.on_disconnect {
            OnDisconnect::Cancel => "cancel",
            OnDisconnect::Drain => "drain",
        };
        writeln!(f, "on_disconnect = \"{on_disconnect}\"")?;
        writeln!(f, "body_limit_bytes = {body_bytes}\nframe_limit_bytes = {frame_bytes}")?;
        for (name, span) in [
            ("headers_after", headers_after),
            ("keep_alive", keep_alive),
            ("drain", drain),
            ("drain_limit", drain_limit),
        ] {
            writeln!(f, "{name} = \"{}\"", humantime::format_duration(span))?;
        }
        write!(f, "{}{}{}{}", self.deadlines, self.retry, self.breaker, self.traffic)?;
        if self.redis.is_some() {
            writeln!(f, "redis = {{ url = \"[hidden]\" }}")?;
        }
        for provider in self.set_up() {
            writeln!(f, "\n[providers.{}]\ndialect = \"{}\"", provider.name, provider.dialect.name())?;
            if let Ok(url) = &provider.base_url {
                writeln!(f, "base_url = \"{}\"", without_secrets(url))?;
            }
            let key = match (&provider.key, &provider.credentials) {
                (Some(_), _) => "api_key = \"[hidden]\"",
                (None, Some(_)) => "# signed with AWS credentials",
                (None, None) if self.access.keys.is_some() => "# no key",
                (None, None) => "# no key: the client's own authorization is passed on",
            };
            writeln!(f, "{key}")?;
            if provider.limits != KeyLimits::default() {
                writeln!(f, "limits = {}", provider.limits)?;
            }
        }
        if !self.aliases.is_empty() {
            writeln!(f, "\n[aliases]")?;
        }
        for (alias, target) in &self.aliases {
            writeln!(f, "{alias} = {target}")?;
        }
        reasoning_memory::write("reasoning_memory", self.reasoning_memory, f)?;
        reasoning_memory::write("responses_store", self.responses_store, f)?;
        writeln!(f, "\n[messages]\nestimate_tokens = {}", self.estimate_tokens)?;
        telemetry::write(&self.telemetry, f)
    }
}

/// A URL without its query, which may hold keys.
pub fn without_secrets(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    #[track_caller]
    fn mistake(text: &str) -> String {
        match File::parse(text) {
            Err(error) => error.to_string(),
            Ok(file) => Config::new(file, None, &no_env).unwrap_err().to_string(),
        }
    }

    #[test]
    fn without_a_file_keys_in_the_environment_set_providers_up() {
        let env = |name: &str| (name == "GROQ_API_KEY").then(|| " gsk ".to_owned());
        let config = Config::new(File::default(), None, &env).unwrap();
        let names: Vec<_> = config.set_up().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["groq"]);
        assert_eq!(config.providers[config.default_provider].name, "groq");
        assert_eq!(config.provider("groq").unwrap().key, Some(Secret::new("gsk")));
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn with_several_providers_bare_models_go_to_openrouter() {
        let env = |name: &str| matches!(name, "GROQ_API_KEY" | "OPENAI_API_KEY").then(|| "k".to_owned());
        let config = Config::new(File::default(), None, &env).unwrap();
        assert_eq!(config.providers[config.default_provider].name, "openrouter");
    }

    #[test]
    fn the_file_adds_and_changes_providers() {
        let file = File::parse(
            r#"
            listen = "localhost:9000"
            default_provider = "mine"
            keep_alive = "500ms"
            headers_after = 3
            [providers.mine]
            dialect = "openai-chat"
            base_url = "http://127.0.0.1:8000/v1"
            api_key_env = "MY_KEY"
            quirks = { think_tags = "open_omitted", finish_reason = "optional" }
            [providers.groq]
            base_url = "http://127.0.0.1:1/v1"
            [aliases]
            fast = "groq/llama"
            "#,
        )
        .unwrap();
        let env = |name: &str| (name == "MY_KEY").then(|| "secret".to_owned());
        let config = Config::new(file, None, &env).unwrap();
        let mine = config.provider("mine").unwrap();
        assert!(mine.is_set_up && mine.key == Some(Secret::new("secret")));
        assert!(mine.dialect.as_dialect().quirks().finish_optional);
        let groq = config.provider("groq").unwrap();
        assert_eq!(groq.dialect.as_dialect().quirks().think_tags, ThinkTags::AtStart);
        assert_eq!(groq.base_url.as_ref().unwrap().as_str(), "http://127.0.0.1:1/v1");
        assert_eq!(config.limits.keep_alive, Duration::from_millis(500));
        assert_eq!(config.limits.headers_after, Duration::from_secs(3));
        let shown = config.to_string();
        assert!(shown.contains("api_key = \"[hidden]\"") && !shown.contains("secret"), "{shown}");
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn every_mistake_names_its_place() {
        for (text, place) in [
            ("listne = 1", "unknown field `listne`"),
            ("listen = \"here\"", "listen: \"here\" is no address"),
            ("keep_alive = \"soon\"", "a length of time"),
            ("idle_timeout = \"99999999999 years\"", "a length of time"),
            ("total_timeout = 999999999999", "a length of time"),
            ("default_provider = \"x\"", "default_provider: there is no provider \"x\""),
            ("[providers.x]", "providers.x.base_url: is missing"),
            ("[providers.x]\nbase_url = \"nowhere at all\"", "providers.x.base_url"),
            ("[providers.groq]\ndialect = \"x\"", "providers.groq.dialect: there is no dialect \"x\""),
            ("[providers.groq]\napi_key_env = \"NO\"", "environment variable NO is not set"),
            ("[providers.groq]\napi_key_file = \"/no/such\"", "/no/such cannot be read"),
            ("[providers.groq]\napi_key = \"a\"\napi_key_env = \"B\"", "more than one of"),
            ("[limits]\nstreams = 0", "limits.streams: must be 1 or more"),
            ("[limits.redis]\nurl = \"http://x\"", "limits.redis.url: is no address of Redis"),
            ("[providers.groq.limits]\nstreams = 0", "providers.groq.limits.streams: must be 1 or more"),
            ("[providers.groq.per_model.m.limits]\nstreams = 1", "providers.groq.per_model.\"m\".limits"),
            ("[aliases]\na = \"b\"\nb = \"c/d\"", "aliases.a"),
        ] {
            let mistake = mistake(text);
            assert!(mistake.contains(place), "{text}: {mistake}");
        }
    }

    #[test]
    fn the_readmes_config_is_one() {
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once("Every field is optional:\n\n```toml\n").unwrap();
        File::parse(rest.split_once("```").unwrap().0).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = mistake("listen = \"x\"\n[providers.a]\n[providers.b]");
        assert_eq!(told.lines().count(), 3, "{told}");
    }

    #[test]
    fn a_local_server_is_set_up_by_saying_where_it_is() {
        let env = |name: &str| (name == "OLLAMA_HOST").then(|| "box:11434".to_owned());
        let config = Config::new(File::default(), None, &env).unwrap();
        let ollama = config.provider("ollama").unwrap();
        assert!(ollama.is_set_up);
        assert_eq!(ollama.base_url.as_ref().unwrap().as_str(), "http://box:11434/v1");
        assert_eq!(config.provider("azure").unwrap().base_url, Err("AZURE_OPENAI_ENDPOINT".to_owned()));
    }
}
