//! A provider as it is configured: its row of the table, and what the file says of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::file::{FinishQuirk, ProviderFile, QuirksFile};
use super::{Connect, Credentials, Deadlines, Env, KeyLimits, Secret, aws};
use crate::dialect::AnyDialect;
use crate::dialect::openai_chat::{OpenAiChat, OpenAiCompletions};
use crate::provider::{self, Auth, Provider};

/// A provider as it is configured.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub dialect: AnyDialect,
    /// Where it is; `Err` names the environment variable that is missing.
    pub base_url: Result<Url, String>,
    /// The key that is sent; without one the client's own is passed on, unless clients have keys of ours.
    pub key: Option<Secret>,
    /// How the key is sent.
    pub auth: Auth,
    /// What requests are signed with, where there is no key and the provider wants that.
    pub credentials: Option<Credentials>,
    /// The name of the header that carries the key, where the file chose one.
    pub key_header: Option<HeaderName>,
    /// The environment variable that would hold its key, if it needs one.
    pub key_env: Option<String>,
    /// More headers for every request.
    pub headers: HeaderMap,
    /// Models to list, besides those that the provider lists.
    pub models: Vec<String>,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// How it is connected to.
    pub connect: Connect,
    /// What it may be asked for, by all clients together.
    pub limits: KeyLimits,
    /// What is different for one of its models: the whole provider, as it is for that model.
    pub per_model: BTreeMap<String, Upstream>,
    /// It has its key, or the file names it: it is used for bare models and listed.
    pub is_set_up: bool,
}

impl Upstream {
    /// What the provider may quote and nobody else may see.
    pub fn secret(&self) -> Option<&Secret> {
        let token = self.credentials.as_ref().and_then(|credentials| credentials.session_token.as_ref());
        self.key.as_ref().or(token)
    }

    /// The provider as it is for a model.
    pub fn of_model(&self, model: &str) -> &Upstream {
        self.per_model.get(model).unwrap_or(self)
    }

    pub(super) fn plain(name: &str, dialect: AnyDialect) -> Upstream {
        Upstream {
            name: name.to_owned(),
            dialect,
            base_url: Err("base_url".to_owned()),
            key: None,
            auth: Auth::Bearer,
            credentials: None,
            key_header: None,
            key_env: None,
            headers: HeaderMap::new(),
            models: Vec::new(),
            deadlines: Deadlines::default(),
            connect: Connect::default(),
            limits: KeyLimits::default(),
            per_model: BTreeMap::new(),
            is_set_up: false,
        }
    }
}

pub(super) fn from_row(row: &Provider, env: Env<'_>) -> Upstream {
    let Some(entry) = row.dialects.first() else {
        return Upstream::plain(row.name, OpenAiChat::PLAIN.any());
    };
    let filled = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let key = row.key_env.iter().find_map(|name| filled(name)).map(|key| Secret::new(key.trim()));
    let base_url = base_url(entry.base_url, env);
    let named = provider::variables(entry.base_url).any(|name| filled(name).is_some());
    let auth = entry.dialect.as_dialect().auth().unwrap_or(row.auth);
    let credentials = credentials(auth, &base_url, env);
    let has_key = key.is_some() || (credentials.is_some() && aws::are_chosen(env));
    let is_set_up = base_url.is_ok() && (has_key || (row.is_local && named));
    Upstream {
        base_url,
        key,
        auth,
        credentials,
        key_env: row.key_env.first().filter(|_| !row.is_local).map(|name| (*name).to_owned()),
        is_set_up,
        ..Upstream::plain(row.name, entry.dialect)
    }
}

/// The credentials, for a provider that wants signatures.
fn credentials(auth: Auth, base_url: &Result<Url, String>, env: Env<'_>) -> Option<Credentials> {
    match auth {
        Auth::SigV4 { .. } => Credentials::find(base_url.as_ref().ok(), env), // The region then stands elsewhere.
        Auth::Bearer | Auth::Header(_) => None,
    }
}

fn base_url(template: &str, env: Env<'_>) -> Result<Url, String> {
    // AWS has more places for its region than one variable.
    let env = |name: &str| if name == "AWS_REGION" { aws::region(env) } else { env(name) };
    let text = provider::expand(template, &env)?;
    let url = Url::parse(&text).map_err(|_| template.to_owned())?;
    // A user and a password would be logged with the address, and are no way to send a key.
    if url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(template.to_owned()) }
}

/// One `[providers.NAME]` that is being read.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    /// The table it stands in, as it is written.
    pub(super) table: String,
    /// Of a provider that says nothing else.
    pub(super) deadlines: Deadlines,
    /// Files that were read.
    pub(super) files: &'a mut Vec<PathBuf>,
    pub(super) mistakes: &'a mut Vec<String>,
}

impl Place<'_> {
    fn wrong(&mut self, field: &str, what: impl fmt::Display) {
        self.mistakes.push(format!("{}.{field}: {what}", self.table));
    }

    /// The provider with what the file says of it.
    pub(super) fn provider(
        &mut self,
        known: Option<Upstream>,
        mut written: ProviderFile,
        env: Env<'_>,
    ) -> Upstream {
        if self.name.is_empty() || self.name.contains('/') {
            self.mistakes.push(format!(
                "providers.\"{}\": a provider's name must not be empty or hold a \"/\"",
                self.name
            ));
        }
        let is_new = known.is_none();
        let deadlines = self.deadlines;
        let new = || Upstream { deadlines, ..Upstream::plain(self.name, OpenAiChat::PLAIN.any()) };
        let mut provider = known.unwrap_or_else(new);
        if let Some(name) = &written.dialect {
            match self.dialect(name) {
                Some(dialect) => {
                    provider.dialect = dialect;
                    let row = Provider::find(self.name);
                    provider.auth =
                        dialect.as_dialect().auth().unwrap_or(row.map_or(Auth::Bearer, |row| row.auth));
                    if let Some(entry) = row.and_then(|row| row.entry(name)) {
                        provider.base_url = base_url(entry.base_url, env);
                    }
                }
                None => self.wrong(
                    "dialect",
                    format_args!(
                        "there is no dialect \"{name}\"; expected one of {}",
                        AnyDialect::NAMES.join(", ")
                    ),
                ),
            }
        }
        match written.base_url.as_deref() {
            Some(text) => match base_url(text, env) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                    provider.base_url = Ok(url)
                }
                // It may hold a password: it is not printed.
                Ok(_) | Err(_) if text.contains('@') => {
                    self.wrong(
                        "base_url",
                        "holds a user or a password; send a key by api_key_env and api_key_header",
                    );
                }
                Ok(_) | Err(_) => self.wrong(
                    "base_url",
                    format_args!("\"{text}\" is no URL; expected one such as \"http://127.0.0.1:8000/v1\""),
                ),
            },
            None if is_new => {
                self.wrong("base_url", "is missing; expected one such as \"http://127.0.0.1:8000/v1\"")
            }
            None => {}
        }
        provider.key = self.key(&written, env).or(provider.key);
        for field in written.deadlines().mistakes() {
            self.wrong(field, "must be longer than zero");
        }
        provider.deadlines = written.deadlines().over(provider.deadlines);
        let connect = written.take_connect().over(provider.connect.clone(), self.files);
        match connect {
            Ok(connect) => provider.connect = connect,
            Err((field, what)) => self.wrong(field, what),
        }
        if let Some(name) = written.api_key_header {
            match name.parse() {
                Ok(name) => provider.key_header = Some(name),
                Err(_) => self.wrong("api_key_header", format_args!("\"{name}\" is no header name")),
            }
        }
        for (name, value) in written.headers {
            match (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                (Ok(name), Ok(value)) => drop(provider.headers.insert(name, value)),
                (_, _) => self.wrong("headers", format_args!("\"{name}\" or its value is no header")),
            }
        }
        written.limits.check(&format!("{}.limits", self.table), self.mistakes);
        provider.limits = written.limits.over(provider.limits);
        provider.models = written.models;
        provider.dialect = with_quirks(provider.dialect, &written.quirks);
        provider.credentials = credentials(provider.auth, &provider.base_url, env);
        provider.is_set_up = provider.base_url.is_ok();
        for (model, written) in written.per_model {
            let own = self.of_model(&model, provider.clone(), written, env);
            provider.per_model.insert(model, own);
        }
        provider
    }

    /// The provider with what the file says of one model.
    fn of_model(&mut self, model: &str, base: Upstream, written: ProviderFile, env: Env<'_>) -> Upstream {
        let table = format!("{}.per_model.\"{model}\"", self.table);
        let deadlines = self.deadlines;
        let (files, mistakes) = (&mut *self.files, &mut *self.mistakes);
        let mut place = Place { name: self.name, table, deadlines, files, mistakes };
        if !written.models.is_empty() || !written.per_model.is_empty() {
            place.wrong("models", "stands in the provider's own table; so does per_model");
        }
        if written.limits != KeyLimits::default() {
            place.wrong("limits", "stands in the provider's own table");
        }
        let base = Upstream { per_model: BTreeMap::new(), models: Vec::new(), ..base };
        place.provider(Some(base), ProviderFile { per_model: BTreeMap::new(), ..written }, env)
    }

    /// The dialect of that name, with the quirks of the table where it has them.
    fn dialect(&self, name: &str) -> Option<AnyDialect> {
        let known = Provider::find(self.name).and_then(|row| row.entry(name));
        known.map(|entry| entry.dialect).or_else(|| AnyDialect::plain(name))
    }

    fn key(&mut self, written: &ProviderFile, env: Env<'_>) -> Option<Secret> {
        let given =
            [written.api_key.is_some(), written.api_key_env.is_some(), written.api_key_file.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            self.wrong(
                "api_key",
                "more than one of api_key, api_key_env and api_key_file is given; expected one",
            );
        }
        let key = if let Some(name) = &written.api_key_env {
            let key = env(name);
            if key.is_none() {
                self.wrong("api_key_env", format_args!("the environment variable {name} is not set"));
            }
            key
        } else if let Some(path) = &written.api_key_file {
            self.files.push(path.clone());
            match std::fs::read_to_string(path) {
                Ok(key) => Some(key),
                Err(error) => {
                    self.wrong("api_key_file", format_args!("{} cannot be read: {error}", path.display()));
                    None
                }
            }
        } else {
            written.api_key.clone()
        };
        let key = key?.trim().to_owned();
        if key.is_empty() || HeaderValue::from_str(&key).is_err() {
            self.wrong("api_key", "the key is empty or has characters that no header can carry");
            return None;
        }
        Some(Secret::new(key))
    }
}

fn with_quirks(dialect: AnyDialect, quirks: &QuirksFile) -> AnyDialect {
    let of_openai = |mut dialect: OpenAiChat| {
        dialect.stream_options = quirks.stream_options.unwrap_or(dialect.stream_options);
        dialect.think_tags = quirks.think_tags.unwrap_or(dialect.think_tags);
        dialect.reasoning_back = quirks.reasoning_back.unwrap_or(dialect.reasoning_back);
        dialect.finish_optional =
            quirks.finish_reason.map_or(dialect.finish_optional, |quirk| quirk == FinishQuirk::Optional);
        dialect
    };
    match dialect {
        AnyDialect::OpenAiChat(dialect) => of_openai(dialect).any(),
        AnyDialect::OpenAiCompletions(OpenAiCompletions(dialect)) => of_openai(dialect).completions(),
        AnyDialect::Ollama(mut dialect) => {
            dialect.think_tags = quirks.think_tags.unwrap_or(dialect.think_tags);
            AnyDialect::Ollama(dialect)
        }
        AnyDialect::Anthropic(_)
        | AnyDialect::Cohere(_)
        | AnyDialect::Bedrock(_)
        | AnyDialect::Gemini(_)
        | AnyDialect::OpenAiResponses(_) => dialect,
    }
}
