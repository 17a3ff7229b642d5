//! `[reasoning_memory]`: how much reasoning is kept for clients that do not send it back, or none; and
//! `[responses_store]`: how much of answers of the Responses API, for clients that only name them.

use std::fmt;

use serde::Deserialize;

use super::file::Span;
use crate::recall::Limits;

/// `[reasoning_memory]` or `[responses_store]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryFile {
    enabled: Option<bool>,
    entries: Option<usize>,
    bytes: Option<usize>,
    ttl: Option<Span>,
}

/// Turns what was written into what is meant; `None` switches the memory off.
pub(super) fn limits(section: &str, file: MemoryFile, mistakes: &mut Vec<String>) -> Option<Limits> {
    let defaults = Limits::default();
    let limits = Limits {
        entries: file.entries.unwrap_or(defaults.entries),
        bytes: file.bytes.unwrap_or(defaults.bytes),
        ttl: file.ttl.map_or(defaults.ttl, |span| span.0),
    };
    for (name, is_zero) in
        [("entries", limits.entries == 0), ("bytes", limits.bytes == 0), ("ttl", limits.ttl.is_zero())]
    {
        if is_zero {
            mistakes
                .push(format!("{section}.{name}: must be more than zero; enabled = false switches it off"));
        }
    }
    file.enabled.unwrap_or(true).then_some(limits)
}

/// What is in force, for `millpond check`.
pub(super) fn write(section: &str, limits: Option<Limits>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[{section}]\nenabled = {}", limits.is_some())?;
    let Some(Limits { entries, bytes, ttl }) = limits else { return Ok(()) };
    writeln!(f, "entries = {entries}\nbytes = {bytes}\nttl = \"{}\"", humantime::format_duration(ttl))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, File};

    fn read(file: &str) -> Result<Config, String> {
        let file = File::parse(file).map_err(|error| error.to_string())?;
        Config::new(file, None, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_on_unless_it_is_switched_off() {
        assert_eq!(read("").unwrap().reasoning_memory, Some(Limits::default()));
        let config = read("[reasoning_memory]\nenabled = false").unwrap();
        assert_eq!(config.reasoning_memory, None);
        assert!(config.to_string().contains("[reasoning_memory]\nenabled = false\n"));
        let config = read("[reasoning_memory]\nentries = 2\nbytes = 3\nttl = \"4s\"").unwrap();
        let limits = Limits { entries: 2, bytes: 3, ttl: Duration::from_secs(4) };
        assert_eq!(config.reasoning_memory, Some(limits));
        assert!(config.to_string().contains("entries = 2\nbytes = 3\nttl = \"4s\"\n"));
    }

    #[test]
    fn nothing_is_no_limit() {
        for name in ["entries", "bytes", "ttl"] {
            let mistake = read(&format!("[reasoning_memory]\n{name} = 0")).unwrap_err();
            assert!(mistake.contains(&format!("reasoning_memory.{name}: must be more")), "{mistake}");
        }
        assert!(read("[reasoning_memory]\nsize = 1").unwrap_err().contains("unknown field"));
    }
}
