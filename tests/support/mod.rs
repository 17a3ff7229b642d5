//! What the integration tests share: golden cases, ways to drive the machines, a strict reader of the
//! result ([`contract`]), what holds for any input ([`obey`]) and a plain reader of the input ([`plain`]).

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod completions;
pub mod contract;
pub mod messages;
pub mod obey;
pub mod plain;
pub mod responses;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond::api::Api;
use millpond::api::chat_completions::ReasoningField;
use millpond::chat::Chat;
use millpond::dialect::{AnyDialect, Outgoing, Target, framer};
use millpond::error::Error;
use millpond::event::Event;
use millpond::filter::{self, Options, Report};
use millpond::framing::{FRAME_LIMIT, Framing};
use millpond::normalize::Birth;
use millpond::pipeline::Pipeline;
use millpond::provider::{Entry, Provider, expand};
use serde_json::{Value, json};
use url::Url;

/// One folder `tests/golden/<provider>/<case>`.
#[derive(Debug)]
pub struct Case {
    pub provider: String,
    pub name: String,
    pub folder: PathBuf,
}

impl Case {
    /// `deepseek/reasoning_then_text`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }

    pub fn dialect(&self) -> AnyDialect {
        dialect_of(&self.provider)
    }

    /// The name of the row that the case belongs to.
    pub fn row(&self) -> &str {
        self.provider.split('+').next().unwrap()
    }

    /// The recorded body: `upstream.sse`, `upstream.ndjson` or `upstream.bin`. Cases of requests have none.
    pub fn upstream(&self) -> Option<Vec<u8>> {
        let body = entries(&self.folder).into_iter().find(|path| {
            path.file_stem().is_some_and(|stem| stem == "upstream")
                && path.extension().is_some_and(|extension| extension != "json")
        })?;
        Some(read(&body))
    }
}

/// Where the golden cases are.
pub fn golden_folder() -> PathBuf {
    root().join("tests/golden")
}

/// The folder of the project, also for the fuzz targets, whose package is below it.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("tests/golden").is_dir()).unwrap()
}

/// All golden cases, in the order of their names.
pub fn golden_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for provider in entries(&golden_folder()).into_iter().filter(|path| path.is_dir()) {
        for folder in entries(&provider).into_iter().filter(|path| path.is_dir()) {
            cases.push(Case { provider: file_name(&provider), name: file_name(&folder), folder });
        }
    }
    cases
}

/// The golden cases that have a recorded body, with that body.
pub fn golden_bodies() -> Vec<(Case, Vec<u8>)> {
    golden_cases()
        .into_iter()
        .filter_map(|case| {
            let body = case.upstream()?;
            Some((case, body))
        })
        .collect()
}

/// The files and folders in a folder, sorted; none if there is no such folder.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Reads a file, or names it.
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entry that a folder of cases is about: a row's first one, or with `row+dialect` that one.
pub fn entry_of(folder: &str) -> Option<&'static Entry> {
    let (row, dialect) = folder.split_once('+').map_or((folder, None), |(row, name)| (row, Some(name)));
    let mut entries = Provider::find(row)?.dialects.iter();
    entries.find(|entry| dialect.is_none_or(|name| entry.dialect.name() == name))
}

/// The dialect that a folder of cases is about. A name that is no row is that of a dialect without quirks,
/// or of chat completions.
pub fn dialect_of(folder: &str) -> AnyDialect {
    let name = folder.split_once('+').map_or(folder, |(_, dialect)| dialect);
    entry_of(folder)
        .map(|entry| entry.dialect)
        .or_else(|| AnyDialect::plain(name))
        .unwrap_or_else(|| AnyDialect::plain("openai-chat").unwrap())
}

/// Minted ids and times are the filter's, so that its output can be compared.
pub fn birth() -> Birth {
    Birth { id: "recording".to_owned(), model: "unknown".to_owned(), created: 0 }
}

/// A pipeline as the filter makes it.
pub fn pipeline(dialect: AnyDialect) -> Pipeline {
    let dialect = dialect.as_dialect();
    Pipeline::new(framer(dialect, FRAME_LIMIT), dialect.decoder(""), dialect.quirks(), birth())
}

/// What a client that asked for usage gets for a body that arrives in these pieces.
pub fn stream<'a>(dialect: AnyDialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    stream_as(Api::default(), dialect, pieces)
}

/// The same, in the API that the client speaks.
pub fn stream_as<'a>(api: Api, dialect: AnyDialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut pipeline = pipeline(dialect);
    let mut encoder = api.encoder(true, true, ReasoningField::default());
    encoder.begin("upstream");
    let mut out = Vec::new();
    let mut sink = |event: &Event<'_>| encoder.event(event, &mut out);
    for piece in pieces {
        pipeline.push(piece, &mut sink);
    }
    pipeline.finish(None, &mut sink);
    out
}

/// What the filter makes of a body: a stream, or one object.
pub fn filter(dialect: AnyDialect, body: &[u8], include_usage: bool, object: bool) -> (Vec<u8>, Report) {
    filter_as(Api::default(), dialect, body, include_usage, object)
}

/// The same, in the API that the client speaks.
pub fn filter_as(
    api: Api,
    dialect: AnyDialect,
    body: &[u8],
    include_usage: bool,
    object: bool,
) -> (Vec<u8>, Report) {
    let options = Options { dialect, api, include_usage, object, frame_limit: FRAME_LIMIT };
    let mut out = Vec::new();
    let report = filter::normalize(options, &mut &*body, &mut out).unwrap();
    (out, report)
}

/// The request that a provider gets for a client's body, or why it is refused. What the address has of the
/// environment is the same for all.
pub fn translate(
    provider: &str,
    dialect: AnyDialect,
    base_url: &str,
    body: &[u8],
) -> Result<Outgoing, Error> {
    let api = if dialect.name() == "openai-completions" { Api::Completions } else { Api::default() };
    let (chat, _) = api.read(body, ReasoningField::default())?;
    let host = |name: &str| {
        let value = if name == "AWS_REGION" { "us-east-1" } else { "https://host.example" };
        Some(value.to_owned())
    };
    let base_url = Url::parse(&expand(base_url, &host).unwrap()).unwrap();
    let model = chat.model.strip_prefix(&format!("{provider}/")).unwrap_or(&chat.model);
    let target = Target { provider, base_url: &base_url, model };
    Ok(dialect.as_dialect().request(&target, &chat)?)
}

/// What is known of the words in which the client said a chat, where that says something.
pub fn origin(chat: &Chat) -> serde_json::Map<String, Value> {
    let origin = chat.origin.as_deref().expect("another API's");
    let places = origin.places.iter().map(|said| match said.parts.as_slice() {
        [] => json!(said.place),
        parts => json!({ (said.place.as_str()): parts }),
    });
    let needs = origin.needs.iter().map(|need| format!("{}: {}", need.place, need.what));
    let told = [
        ("places", places.collect::<Value>()),
        ("needs", needs.collect()),
        ("left_out", json!(origin.left_out)),
    ];
    told.into_iter()
        .filter(|(_, value)| *value != json!([]))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Cuts a body at these places, which must be sorted.
pub fn cut<'a>(body: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::with_capacity(places.len() + 1);
    let mut start = 0;
    for &place in places {
        pieces.push(&body[start..place]);
        start = place;
    }
    pieces.push(&body[start..]);
    pieces
}

/// A body, frame by frame, with what belongs to the wire.
pub fn frames(dialect: AnyDialect, body: &[u8]) -> Vec<&[u8]> {
    let mut pieces = cut(body, &frame_ends(dialect, body));
    pieces.pop();
    pieces
}

/// Where the frames of a body end: behind each blank line, each line, each message.
pub fn frame_ends(dialect: AnyDialect, body: &[u8]) -> Vec<usize> {
    let mut ends = match dialect.as_dialect().framing() {
        Framing::Sse => line_ends(body, true),
        Framing::Ndjson => line_ends(body, false),
        Framing::EventStream => message_ends(body),
    };
    if ends.last() != Some(&body.len()) {
        ends.push(body.len());
    }
    ends
}

/// Behind each line, or each that is blank.
fn line_ends(body: &[u8], blank: bool) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut line = 0;
    for (at, &byte) in body.iter().enumerate() {
        if byte != b'\n' {
            continue;
        }
        if !blank || matches!(&body[line..at], b"" | b"\r") {
            ends.push(at + 1);
        }
        line = at + 1;
    }
    ends
}

/// Behind each message of an AWS event stream, by its length.
fn message_ends(body: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(length) = body.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        at += (u32::from_be_bytes(*length) as usize).max(16);
        if at > body.len() {
            break;
        }
        ends.push(at);
    }
    ends
}

/// A small generator of numbers that look random and are the same in every run (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// `count` places in a body, sorted.
    pub fn places(&mut self, count: usize, length: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).map(|_| self.below(length + 1)).collect();
        places.sort_unstable();
        places
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// Runs a check over all items on two threads and collects what fails, in the order of the items.
pub fn in_parallel<T: Sync>(items: &[T], check: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < items.len())
                {
                    let found = check(&items[at]);
                    failures.lock().unwrap().extend(found.into_iter().map(|what| (at, what)));
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|&(at, _)| at);
    failures.into_iter().map(|(_, what)| what).collect()
}

/// Fails with all failures, one a line.
#[track_caller]
pub fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The beginning of a text, for messages.
pub fn short(text: &str) -> String {
    const LIMIT: usize = 300;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where two texts part, with what stands there, for messages.
pub fn difference(left: &str, right: &str) -> String {
    let at = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count();
    let show = |text: &str| {
        let from = (0..=at.saturating_sub(40)).rev().find(|&from| text.is_char_boundary(from)).unwrap_or(0);
        let part: String = text.get(from..).unwrap_or_default().chars().take(120).collect();
        format!("{part:?}")
    };
    format!("they part at byte {at}: {} against {}", show(left), show(right))
}
