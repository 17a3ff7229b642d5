//! What the fuzz targets check. `tests/fuzz/run` builds and runs them.
//!
//! An input is a few bytes that choose, and what is read. The checks are those of the main tests, compiled
//! in from `tests/support`; a target only says what they are applied to. A failure is a panic that names
//! the rule.

#[path = "../../support/mod.rs"]
pub mod support;

use millpond::api::Api;
use millpond::config::{Config, File};
use millpond::dialect::AnyDialect;
use millpond::error::Error;
use millpond::framing::{FRAME_LIMIT, Framer, Framing};
use millpond::provider::{Entry, PROVIDERS};
use serde::de::IgnoredAny;
use support::Random;
use support::obey::{frame_texts, obey_in_pieces};

/// How many bytes choose, before what is read.
pub const CHOICES: usize = 3;

/// The value of the first choice that leaves the body's checksums as they are.
pub const AS_IT_IS: u8 = 0;

/// The frames do not depend on how the bytes were cut; a small limit holds.
pub fn frames(framing: Framing, input: &[u8]) {
    let Some((&[form, limit, cuts], body)) = input.split_first_chunk::<CHOICES>() else { return };
    let body = mended(framing, form, body);
    let mut random = Random(cuts.into());
    let places = random.places(1 + usize::from(cuts % 6), body.len());
    let whole = frame_texts(Framer::new(framing, FRAME_LIMIT), [body.as_slice()]);
    for pieces in [support::cut(&body, &places), body.chunks(1).collect()] {
        let other = frame_texts(Framer::new(framing, FRAME_LIMIT), pieces);
        assert!(other == whole, "other frames when cut at {places:?}: {other}\nagainst {whole}");
    }
    frame_texts(Framer::new(framing, usize::from(limit)), support::cut(&body, &places));
}

/// An answer obeys the contract, however it is cut.
pub fn answer(dialect: &str, input: &[u8]) {
    let Some((&[form, row, cuts], body)) = input.split_first_chunk::<CHOICES>() else { return };
    let rows = rows(dialect);
    let dialect = rows[usize::from(row) % rows.len()];
    let body = mended(dialect.as_dialect().framing(), form, body);
    if let Err(rule) = obey_in_pieces(dialect, &body, &mut Random(cuts.into())) {
        panic!("{dialect:?} breaks {rule}");
    }
}

/// A request is refused as the client's mistake, or becomes JSON that asks for a stream, in every dialect.
pub fn request(body: &[u8]) {
    for (provider, entry) in entries() {
        let what = |error: &dyn std::fmt::Display| format!("{provider}, {}: {error}", entry.dialect.name());
        match support::translate(provider, entry.dialect, entry.base_url, body) {
            Ok(outgoing) => {
                let sent = outgoing.request.body();
                let read = serde_json::from_slice::<IgnoredAny>(sent).map_err(|error| what(&error));
                assert!(sent.starts_with(b"{") && read.is_ok(), "{read:?}");
                assert!(outgoing.request.uri().host().is_some(), "{}", what(&"no address"));
            }
            Err(error) => refused(&error).unwrap_or_else(|wrong| panic!("{}", what(&wrong))),
        }
    }
}

/// The error is one of the client's, in the form that clients read.
fn refused(error: &Error) -> Result<(), String> {
    let body: serde_json::Value =
        serde_json::from_slice(&error.body(Api::default())).map_err(|error| error.to_string())?;
    let said = body["error"]["message"].as_str().is_some_and(|message| !message.trim().is_empty());
    let proper = error.status() == 400 && body["error"]["type"] == "invalid_request_error" && said;
    if proper { Ok(()) } else { Err(format!("refused with {}: {body}", error.status())) }
}

/// A config file is read, or its mistakes are named.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if text.contains("_file") {
        return; // Whatever is on this machine is not to be read.
    }
    let env = |name: &str| name.ends_with("_API_KEY").then(|| "key".to_owned());
    let file = match File::parse(text) {
        Ok(file) => file,
        Err(error) => return assert!(!error.message().is_empty(), "a mistake without a name"),
    };
    match Config::new(file, None, &env) {
        Ok(config) => assert!(config.providers.get(config.default_provider).is_some(), "no provider"),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "a mistake without a name"),
    }
}

/// Every way in which a dialect is spoken: without quirks, and as the table has it.
pub fn rows(dialect: &str) -> Vec<AnyDialect> {
    let mut rows: Vec<AnyDialect> = AnyDialect::plain(dialect).into_iter().collect();
    for (_, entry) in entries().into_iter().filter(|(_, entry)| entry.dialect.name() == dialect) {
        if !rows.contains(&entry.dialect) {
            rows.push(entry.dialect);
        }
    }
    rows
}

/// The entries of the table that differ in more than their address.
fn entries() -> Vec<(&'static str, &'static Entry)> {
    let mut entries: Vec<(&str, &Entry)> = Vec::new();
    for (provider, entry) in
        PROVIDERS.iter().flat_map(|row| row.dialects.iter().map(|entry| (row.name, entry)))
    {
        if !entries.iter().any(|(_, known)| known.dialect == entry.dialect) {
            entries.push((provider, entry));
        }
    }
    entries
}

/// The body with the checksums of an AWS event stream put right, if the form is an odd one: a fuzzer finds
/// none by chance, and nearly everything lies behind them.
fn mended(framing: Framing, form: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    if framing != Framing::EventStream || form % 2 == AS_IT_IS {
        return body;
    }
    let mut rest = body.as_mut_slice();
    while let Some(length) = rest.first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length < 16 || length > rest.len() {
            break;
        }
        let (message, after) = rest.split_at_mut(length);
        let prelude = crc32fast::hash(&message[..8]);
        message[8..12].copy_from_slice(&prelude.to_be_bytes());
        let whole = crc32fast::hash(&message[..length - 4]);
        message[length - 4..].copy_from_slice(&whole.to_be_bytes());
        rest = after;
    }
    body
}
