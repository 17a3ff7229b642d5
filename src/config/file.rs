//! The config file, as written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::access::{AccessFile, CorsFile, KeyFile};
use super::aliases::AliasFile;
use super::deadlines::DeadlinesFile;
use super::reasoning_memory::MemoryFile;
use super::retry::{BreakerFile, RetryFile};
use super::telemetry::TelemetryFile;
use super::tls::{ConnectFile, TlsFile};
use super::traffic::{KeyLimits, TrafficFile};
use super::{ConfigError, KeepAliveForm, OnDisconnect};
use crate::api::chat_completions::ReasoningField;
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::ReasoningBack;
use crate::telemetry::Price;

/// The longest time that can be meant: later than that no clock of the system's can be asked to ring.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The config file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub(super) listen: Option<String>,
    pub(super) default_provider: Option<String>,
    pub(super) reasoning_field: Option<ReasoningField>,
    pub(super) keep_alive: Option<Span>,
    pub(super) keep_alive_form: Option<KeepAliveForm>,
    pub(super) headers_after: Option<Span>,
    connect_timeout: Option<Span>,
    response_timeout: Option<Span>,
    first_event_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    total_timeout: Option<Span>,
    #[serde(default)]
    pub(super) retry: RetryFile,
    #[serde(default)]
    pub(super) breaker: BreakerFile,
    #[serde(default)]
    pub(super) limits: TrafficFile,
    pub(super) body_limit_bytes: Option<usize>,
    pub(super) frame_limit_bytes: Option<usize>,
    #[serde(default)]
    pub(super) providers: BTreeMap<String, ProviderFile>,
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, AliasFile>,
    pub(super) admin_listen: Option<String>,
    pub(super) tls: Option<TlsFile>,
    keys: Option<BTreeMap<String, KeyFile>>,
    keys_file: Option<PathBuf>,
    allow_anonymous: Option<bool>,
    #[serde(default)]
    allowed_hosts: Vec<String>,
    #[serde(default)]
    cors: CorsFile,
    pub(super) drain: Option<Span>,
    pub(super) on_disconnect: Option<OnDisconnect>,
    pub(super) drain_limit: Option<Span>,
    #[serde(default)]
    pub(super) reasoning_memory: MemoryFile,
    #[serde(default)]
    pub(super) responses_store: MemoryFile,
    #[serde(default)]
    pub(super) messages: MessagesFile,
    #[serde(default)]
    pub(super) telemetry: TelemetryFile,
    #[serde(default)]
    pub(super) prices: BTreeMap<String, Price>,
}

/// `[providers.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderFile {
    pub(super) dialect: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) api_key_env: Option<String>,
    pub(super) api_key_file: Option<PathBuf>,
    /// The header that carries the key as it is, instead of `authorization: Bearer …`.
    pub(super) api_key_header: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) models: Vec<String>,
    #[serde(default)]
    pub(super) quirks: QuirksFile,
    pub(super) connect_timeout: Option<Span>,
    pub(super) response_timeout: Option<Span>,
    pub(super) first_event_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    pub(super) total_timeout: Option<Span>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) http2: Option<bool>,
    #[serde(default)]
    pub(super) limits: KeyLimits,
    /// What is different for one of its models.
    #[serde(default)]
    pub(super) per_model: BTreeMap<String, ProviderFile>,
}

/// `[messages]`: what is special to clients of Anthropic's Messages API.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesFile {
    /// Tokens are estimated where the provider does not count them: a quarter of the request's bytes.
    #[serde(default)]
    pub(super) estimate_tokens: bool,
}

/// `[providers.NAME.quirks]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuirksFile {
    pub(super) stream_options: Option<bool>,
    pub(super) think_tags: Option<ThinkTags>,
    pub(super) finish_reason: Option<FinishQuirk>,
    pub(super) reasoning_back: Option<ReasoningBack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FinishQuirk {
    Required,
    Optional,
}

/// A length of time: `"15s"`, `"500ms"`, `"2m"`, or a number of seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl serde::de::Visitor<'_> for Read {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"15s\", \"500ms\", \"2m\", or a number of seconds")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                let time = humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST); // Told below.
                time.map(Span).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
                let time = u64::try_from(seconds).ok().map(Duration::from_secs); // Told below.
                let time = time.filter(|time| *time <= LONGEST);
                time.map(Span).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(seconds), &self))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl ProviderFile {
    /// Takes what it says of connections.
    pub(super) fn take_connect(&mut self) -> ConnectFile {
        ConnectFile {
            ca_file: self.ca_file.take(),
            client_cert: self.client_cert.take(),
            client_key: self.client_key.take(),
            http2: self.http2,
        }
    }

    pub(super) fn deadlines(&self) -> DeadlinesFile {
        DeadlinesFile {
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            first_event_timeout: self.first_event_timeout,
            idle_timeout: self.idle_timeout,
            total_timeout: self.total_timeout,
        }
    }
}

impl File {
    /// Takes what it says of who may ask.
    pub(super) fn take_access(&mut self) -> AccessFile {
        AccessFile {
            keys: self.keys.take(),
            keys_file: self.keys_file.take(),
            allow_anonymous: self.allow_anonymous,
            allowed_hosts: std::mem::take(&mut self.allowed_hosts),
            cors: std::mem::take(&mut self.cors),
        }
    }

    pub(super) fn deadlines(&self) -> DeadlinesFile {
        DeadlinesFile {
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            first_event_timeout: self.first_event_timeout,
            idle_timeout: self.idle_timeout,
            total_timeout: self.total_timeout,
        }
    }

    /// Reads a config file.
    pub fn read(path: &Path) -> Result<File, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        File::parse(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.chars().rev().take_while(|&c| c != '\n').count() + 1,
                message: error.message().lines().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// Parses the text of a config file.
    pub fn parse(text: &str) -> Result<File, toml::de::Error> {
        toml::from_str(text)
    }
}
