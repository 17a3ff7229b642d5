//! Who may ask: client keys, the hosts under which millpond is asked, and the pages that may ask from a browser.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use toml::value::Datetime;

use super::{ConfigError, Env, KeyLimits};

/// How the hash of a key is written: this, and 64 hexadecimal digits.
const PREFIX: &str = "sha256:";
/// The environment variable for `allow_anonymous`.
const ALLOW_ANONYMOUS: &str = "MILLPOND_ALLOW_ANONYMOUS";
/// How a key of ours begins.
const KEY_PREFIX: &str = "mp-";

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The keys of clients; `None`: none is wanted. With an empty list nobody may ask.
    pub keys: Option<Vec<Arc<ClientKey>>>,
    /// Others than this machine may ask without a key.
    pub allow_anonymous: bool,
    /// Names under which a loopback listener is asked, besides those of the loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may ask from a browser, as browsers write them.
    pub origins: Vec<String>,
}

/// A client's key, as far as it is known here: not the key itself.
#[derive(Clone)]
pub struct ClientKey {
    /// Its name in the config.
    pub name: String,
    hash: [u8; 32],
    /// Patterns of the models that it may ask for, in the client's words; empty: all.
    models: Vec<String>,
    /// What it may ask for, where that is not what all keys may.
    pub limits: KeyLimits,
    /// It is no longer taken from then on.
    expires: Option<SystemTime>,
}

/// The hash of a client's key.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Hashes what a client sent. Keys have 256 bits of chance: there is nothing to guess, so nothing that a slow
    /// hash would make slower.
    pub fn of(key: &[u8]) -> KeyHash {
        KeyHash(Sha256::digest(key).into())
    }
}

impl fmt::Display for KeyHash {
    /// As it stands in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey")
            .field("name", &self.name)
            .field("models", &self.models)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl ClientKey {
    /// True if the key may be used for a model, by the name that the client gave.
    pub fn allows(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| matches(pattern, model))
    }

    /// True if it may be used for all models.
    pub fn allows_all(&self) -> bool {
        self.models.is_empty()
    }

    /// True if its time is over.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }

    /// What tells its client from others, and is no secret.
    pub fn identity(&self) -> &[u8] {
        &self.hash
    }
}

impl Access {
    /// The key that a client sent, if it is one of `keys`.
    ///
    /// The time that this takes says nothing about a key. What is compared are hashes: whoever guesses keys
    /// cannot choose how far their hashes agree with one that is stored, so even a comparison that stops at the
    /// first difference would teach nothing of use; `subtle` compares all 32 bytes all the same, and the search
    /// goes on to the last key after one was found.
    pub fn find(&self, sent: &[u8]) -> Option<&Arc<ClientKey>> {
        let KeyHash(hash) = KeyHash::of(sent);
        let keys = self.keys.as_deref().unwrap_or_default();
        keys.iter().fold(None, |found, key| if bool::from(key.hash.ct_eq(&hash)) { Some(key) } else { found })
    }

    /// Refuses to serve beyond this machine whoever asks.
    pub fn check(&self, listen: SocketAddr) -> Result<(), ConfigError> {
        if listen.ip().to_canonical().is_loopback() || self.keys.is_some() || self.allow_anonymous {
            return Ok(());
        }
        Err(ConfigError::Values(vec![format!(
            "listen: {listen} is not the loopback, and there are no client keys: whoever reaches it could use the keys of the providers. Make one with `millpond key` and put it into [keys], or say allow_anonymous = true (or {ALLOW_ANONYMOUS}=true)"
        )]))
    }
}

/// `[keys.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    hash: String,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    limits: KeyLimits,
    expires: Option<toml::Value>,
}

/// The file that `keys_file` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    keys: BTreeMap<String, KeyFile>,
}

/// `[cors]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorsFile {
    #[serde(default)]
    origins: Vec<String>,
}

/// The fields of the config file that say who may ask.
pub(super) struct AccessFile {
    pub(super) keys: Option<BTreeMap<String, KeyFile>>,
    pub(super) keys_file: Option<PathBuf>,
    pub(super) allow_anonymous: Option<bool>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) cors: CorsFile,
}

impl AccessFile {
    /// Turns what was written into what is meant.
    pub(super) fn read(self, env: Env<'_>, files: &mut Vec<PathBuf>, mistakes: &mut Vec<String>) -> Access {
        let is_wanted = self.keys.is_some() || self.keys_file.is_some();
        let mut keys: Vec<Arc<ClientKey>> = Vec::new();
        let written = self.keys.unwrap_or_default();
        let from_file = self.keys_file.map(|path| read_file(path, files, mistakes)).unwrap_or_default();
        for (name, written) in written.into_iter().chain(from_file) {
            match key(&name, &written) {
                Ok(key) if keys.iter().any(|known| known.name == name || known.hash == key.hash) => {
                    mistakes.push(format!("keys.{name}: the name or the hash is there twice"));
                }
                Ok(key) => keys.push(Arc::new(key)),
                Err(mistake) => mistakes.push(format!("keys.{name}{mistake}")),
            }
        }
        for host in &self.allowed_hosts {
            if host.is_empty() || host.contains(['/', ':', '@']) {
                mistakes.push(format!(
                    "allowed_hosts: \"{host}\" is no name; expected one such as \"llm.internal\""
                ));
            }
        }
        for origin in &self.cors.origins {
            if !is_origin(origin) {
                mistakes.push(format!(
                    "cors.origins: \"{origin}\" is no origin; expected one such as \"https://app.example\", in lower case and without a path"
                ));
            }
        }
        let allow_anonymous = match env(ALLOW_ANONYMOUS).as_deref().map(str::trim) {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            None | Some("") => self.allow_anonymous.unwrap_or_default(),
            Some(other) => {
                mistakes.push(format!("{ALLOW_ANONYMOUS}: expected true or false, not \"{other}\""));
                false
            }
        };
        Access {
            keys: is_wanted.then_some(keys),
            allow_anonymous,
            allowed_hosts: self.allowed_hosts,
            origins: self.cors.origins,
        }
    }
}

fn read_file(
    path: PathBuf,
    files: &mut Vec<PathBuf>,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, KeyFile> {
    let text = std::fs::read_to_string(&path);
    let shown = path.display().to_string();
    files.push(path);
    let read = text.map_err(|error| format!("keys_file: {shown} cannot be read: {error}")).and_then(|text| {
        toml::from_str(&text).map_err(|error| {
            // The text itself is not told: somebody may have put a key there instead of its hash.
            let line =
                error.span().and_then(|span| text.get(..span.start)).map(|text| text.lines().count().max(1));
            let line = line.map_or(String::new(), |line| format!(" line {line}:"));
            format!("keys_file: {shown}:{line} {}", error.message().lines().next().unwrap_or_default())
        })
    });
    match read {
        Ok(KeysFile { keys }) => keys,
        Err(mistake) => {
            mistakes.push(mistake);
            BTreeMap::new()
        }
    }
}

fn key(name: &str, written: &KeyFile) -> Result<ClientKey, String> {
    if !is_key_name(name) {
        return Err(": a name has letters, digits, \"-\" and \"_\" only".to_owned());
    }
    // What is there instead may be the key itself: it is not printed.
    let hash = hash(&written.hash).ok_or(format!(
        ".hash: expected \"{PREFIX}\" and 64 hexadecimal digits, as `millpond key` prints them"
    ))?;
    let expires = written.expires.as_ref().map(|value| {
        time(value).ok_or_else(|| {
            format!(".expires: {value} is no date; expected one such as \"2030-01-31T12:00:00Z\" or \"2030-01-31\"")
        })
    });
    Ok(ClientKey {
        name: name.to_owned(),
        hash,
        models: written.models.clone(),
        limits: written.limits,
        expires: expires.transpose()?,
    })
}

/// True if a client key may have this name.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A key made of 256 bits of chance.
pub fn key_of(chance: [u8; 32]) -> String {
    use base64::Engine;
    format!("{KEY_PREFIX}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chance))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 64 && digits.is_ascii())?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?; // It is ASCII.
        *byte = u8::from_str_radix(pair, 16).ok()?; // The caller says what was expected.
    }
    Some(hash)
}

/// The moment that a date of RFC 3339 names; a date without a time is the beginning of that day in UTC.
fn time(value: &toml::Value) -> Option<SystemTime> {
    let written = match value {
        toml::Value::Datetime(written) => *written,
        toml::Value::String(text) => text.parse::<Datetime>().ok()?, // The caller says what was expected.
        _ => return None,
    };
    let offset = match (written.time, written.offset) {
        (None, _) | (Some(_), Some(toml::value::Offset::Z)) => 0,
        (Some(_), Some(toml::value::Offset::Custom { minutes })) => i64::from(minutes),
        (Some(_), None) => return None,
    };
    let date = written.date?;
    let time = written.time.map_or("00:00:00".to_owned(), |time| time.to_string());
    let utc = humantime::parse_rfc3339(&format!("{date}T{time}Z")).ok()?; // The caller says what was expected.
    let distance = Duration::from_secs(offset.unsigned_abs() * 60);
    if offset > 0 { utc.checked_sub(distance) } else { utc.checked_add(distance) }
}

/// As browsers write it: scheme, host, and a port that is not the usual one.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let known = text.parse::<Uri>().is_ok() || !matches!(scheme, "http" | "https");
    known
        && !scheme.is_empty()
        && !rest.is_empty()
        && !rest.contains(['/', '@', '*', '?', '#', ' '])
        && text.is_ascii()
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `*` in a pattern stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

impl fmt::Display for Access {
    /// As `millpond check` tells it: names, no hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |items: &[String]| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
        if self.allow_anonymous {
            writeln!(f, "allow_anonymous = true")?;
        }
        if !self.allowed_hosts.is_empty() {
            writeln!(f, "allowed_hosts = [{}]", list(&self.allowed_hosts))?;
        }
        if !self.origins.is_empty() {
            writeln!(f, "cors.origins = [{}]", list(&self.origins))?;
        }
        match self.keys.as_deref() {
            None => Ok(()),
            Some([]) => writeln!(f, "# client keys are wanted, and there are none: nobody may ask"),
            Some(keys) => keys.iter().try_for_each(|key| {
                write!(f, "keys.{} = {{ hash = \"[hidden]\"", key.name)?;
                if !key.models.is_empty() {
                    write!(f, ", models = [{}]", list(&key.models))?;
                }
                if let Some(end) = key.expires {
                    write!(f, ", expires = \"{}\"", humantime::format_rfc3339_seconds(end))?;
                }
                writeln!(f, " }}")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File};

    fn access(text: &str) -> Result<Access, String> {
        access_in(text, &|_| None)
    }

    fn access_in(text: &str, env: Env<'_>) -> Result<Access, String> {
        let file = File::parse(text).map_err(|error| error.to_string())?;
        Config::new(file, None, env).map(|config| config.access).map_err(|error| error.to_string())
    }

    fn entry(name: &str, key: &str, more: &str) -> String {
        format!("[keys.{name}]\nhash = \"{}\"\n{more}\n", KeyHash::of(key.as_bytes()))
    }

    #[test]
    fn the_hash_is_that_of_everybody() {
        assert_eq!(
            KeyHash::of(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_key_is_found_by_what_the_client_sent() {
        let text = entry("one", "mp-1", "") + &entry("two", "mp-2", "models = [\"groq/*\"]");
        let access = access(&text).unwrap();
        let name = |sent: &str| access.find(sent.as_bytes()).map(|key| key.name.as_str());
        assert_eq!(
            [name("mp-1"), name("mp-2"), name("mp-3"), name("")],
            [Some("one"), Some("two"), None, None]
        );
        let two = access.find(b"mp-2").unwrap();
        assert!(two.allows("groq/llama") && !two.allows("openai/gpt") && !two.is_expired(SystemTime::now()));
        assert!(access.find(b"mp-1").unwrap().allows("openai/gpt"));
        let shown = format!("{access}{access:?}");
        assert!(shown.contains("groq/*") && !shown.contains(&KeyHash::of(b"mp-1").to_string()), "{shown}");
    }

    #[test]
    fn no_keys_are_not_an_empty_list_of_keys() {
        assert!(access("").unwrap().keys.is_none());
        assert_eq!(access("[keys]").unwrap().keys.map(|keys| keys.len()), Some(0));
    }

    #[test]
    fn dates_are_those_of_rfc_3339() {
        let moment = |text: &str| {
            let value = toml::Value::String(text.to_owned());
            time(&value).map(|time| humantime::format_rfc3339_seconds(time).to_string())
        };
        for (written, meant) in [
            ("2030-01-31T12:00:00Z", Some("2030-01-31T12:00:00Z")),
            ("2030-01-31T12:00:00+02:00", Some("2030-01-31T10:00:00Z")),
            ("2030-01-31T12:00:00.25-05:30", Some("2030-01-31T17:30:00Z")),
            ("2030-01-31", Some("2030-01-31T00:00:00Z")),
            ("2030-01-31T12:00:00", None),
            ("12:00:00", None),
            ("soon", None),
        ] {
            assert_eq!(moment(written).as_deref(), meant, "{written}");
        }
        let written = access(&entry("a", "k", "expires = 2030-01-31T12:00:00Z")).unwrap();
        let key = written.find(b"k").unwrap();
        let end = humantime::parse_rfc3339("2030-01-31T12:00:00Z").unwrap();
        assert!(key.is_expired(end) && !key.is_expired(end - Duration::from_secs(1)));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("fast", "fast", true),
            ("fast", "faster", false),
            ("*", "anything", true),
            ("groq/*", "groq/llama", true),
            ("groq/*", "groqx/llama", false),
            ("*-mini", "openai/gpt-mini", true),
            ("*-mini", "openai/gpt-mini-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn mistakes_name_their_place_and_never_the_key() {
        for (text, place) in [
            ("[keys.a]\nhash = \"mp-secret\"", "keys.a.hash: expected \"sha256:\""),
            ("[keys.a]\nhash = \"sha256:mp-secret\"", "keys.a.hash: expected \"sha256:\""),
            ("[keys.\"a b\"]\nhash = \"\"", "keys.a b: a name has letters"),
            ("keys_file = \"/no/such\"", "keys_file: /no/such cannot be read"),
            ("[cors]\norigins = [\"*\"]", "cors.origins: \"*\" is no origin"),
            ("[cors]\norigins = [\"https://a.example/\"]", "is no origin"),
            ("[cors]\norigins = [\"https://A.example\"]", "is no origin"),
            ("allowed_hosts = [\"a:80\"]", "allowed_hosts: \"a:80\" is no name"),
        ] {
            let told = access(text).unwrap_err();
            assert!(told.contains(place) && !told.contains("mp-secret"), "{text}: {told}");
        }
        let twice = access(&(entry("a", "k", "") + &entry("b", "k", ""))).unwrap_err();
        assert!(twice.contains("keys.b: the name or the hash is there twice"), "{twice}");
        let late = access(&entry("a", "k", "expires = \"soon\"")).unwrap_err();
        assert!(late.contains("keys.a.expires: \"soon\" is no date"), "{late}");
        for origin in ["https://app.example", "http://localhost:3000", "app://-", "vscode-webview://a1"] {
            assert!(access(&format!("[cors]\norigins = [\"{origin}\"]")).is_ok(), "{origin}");
        }
    }

    #[test]
    fn beyond_the_loopback_somebody_must_have_said_who_may_ask() {
        let everywhere: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let told = access("").unwrap().check(everywhere).unwrap_err().to_string();
        assert!(told.contains("`millpond key`") && told.contains("allow_anonymous = true"), "{told}");
        for text in ["allow_anonymous = true", &entry("a", "k", "")] {
            access(text).unwrap().check(everywhere).unwrap();
        }
        for address in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            access("").unwrap().check(address.parse().unwrap()).unwrap();
        }
        for (value, allowed) in [("true", true), ("1", true), ("false", false), ("0", false)] {
            let env = |name: &str| (name == ALLOW_ANONYMOUS).then(|| value.to_owned());
            assert_eq!(access_in("", &env).unwrap().allow_anonymous, allowed, "{value}");
            assert_eq!(
                access_in("allow_anonymous = true", &env).unwrap().allow_anonymous,
                allowed,
                "{value}"
            );
        }
        let env = |name: &str| (name == ALLOW_ANONYMOUS).then(|| "maybe".to_owned());
        assert!(access_in("", &env).unwrap_err().contains("expected true or false"));
    }

    #[test]
    fn a_made_key_has_all_its_chance() {
        let key = key_of([0xff; 32]);
        assert!(key.starts_with("mp-") && key.len() == 3 + 43, "{key}");
        assert_ne!(key, key_of([0xfe; 32]));
        assert!(is_key_name("team-a_1") && !is_key_name("") && !is_key_name("a.b"));
    }
}
