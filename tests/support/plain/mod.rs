//! A plain reading of what an upstream sent: `serde_json::Value`, `if` and `+`. It is slow, knows no
//! streaming, and shares nothing with the code under test, so that the two can be compared.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod openai_chat;
mod openai_completions;
mod openai_responses;

use std::collections::BTreeMap;

use serde_json::Value;

use super::contract::{Place, Unknown};

/// What a recording says.
#[derive(Debug, Default)]
pub struct Plain {
    pub choices: BTreeMap<u64, Choice>,
    /// Every report of usage that counts something.
    pub usages: Vec<Value>,
    /// Fields that say something and have no meaning in the API, in the order they came.
    pub unknown: Vec<Unknown>,
    /// Parts of the content that no field of the API can carry, whole.
    pub parts: Vec<Value>,
    /// The end mark came.
    pub done: bool,
    /// An error was reported.
    pub failed: bool,
    /// Events that are not JSON.
    pub unread: usize,
}

#[derive(Debug, Default)]
pub struct Choice {
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    pub details: Vec<Value>,
    pub calls: Vec<Call>,
    pub finish: Option<String>,
    pub native: Option<String>,
    /// Something came that no field above holds: audio, images, annotations.
    pub said_more: bool,
}

#[derive(Debug, Default)]
pub struct Call {
    index: Option<Value>,
    pub id: String,
    pub name: String,
    pub arguments: String,
    /// The fragments of the arguments, one by one.
    pub pieces: Vec<String>,
}

/// How an answer must end by rule E5.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    /// Incomplete, for whatever reason.
    Fault,
}

type Reader = fn(&[u8]) -> Plain;

/// The readers, by the dialect's name.
const READERS: &[(&str, Reader)] = &[
    ("openai-chat", openai_chat::read),
    ("openai-completions", openai_completions::read),
    ("anthropic", anthropic::read),
    ("gemini", gemini::read),
    ("openai-responses", openai_responses::read),
    ("cohere", cohere::read),
    ("ollama", ollama::read),
    ("bedrock", bedrock::read),
];

/// True if there is a plain reader of the dialect.
pub fn can_read(dialect: &str) -> bool {
    READERS.iter().any(|(name, _)| *name == dialect)
}

/// Reads a recorded body in a dialect.
pub fn read(dialect: &str, body: &[u8]) -> Plain {
    let reader = READERS.iter().find(|(name, _)| *name == dialect);
    reader.unwrap_or_else(|| panic!("there is no plain reader of {dialect}")).1(body)
}

/// The events of an event stream: name and data.
fn events(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()) {
        return vec![(String::new(), text)];
    }
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let mut name = String::new();
        let mut lines = Vec::new();
        for line in block.lines() {
            if let Some(data) = line.trim_start().strip_prefix("data:") {
                lines.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            } else if let Some(event) = line.strip_prefix("event:") {
                event.trim().clone_into(&mut name);
            } else if line.starts_with('{') {
                lines.push(line.to_owned());
            }
        }
        let joined = lines.join("\n");
        if joined.trim().is_empty() {
            continue;
        }
        if lines.len() > 1 && serde_json::from_str::<Value>(&joined).is_err() {
            events.extend(lines.into_iter().map(|line| (name.clone(), line)));
        } else {
            events.push((name, joined));
        }
    }
    events
}

impl Plain {
    /// How the answer must end (E5).
    pub fn ending(&self, finish_optional: bool) -> Ending {
        let finished = self.choices.values().filter(|choice| choice.finish.is_some()).count();
        let said = self.choices.values().any(|choice| choice.finish.is_some() || choice.said());
        let all = finished == self.choices.len();
        let by_mark = self.done && (all || finish_optional || !self.usages.is_empty());
        if !self.failed && said && (all || by_mark) { Ending::Complete } else { Ending::Fault }
    }

    fn keep(&mut self, place: Place, name: &str, value: &Value) {
        if says(value) {
            self.unknown.push(Unknown { place, name: name.to_owned(), value: value.clone() });
        }
    }
}

impl Choice {
    fn said(&self) -> bool {
        let texts = [&self.text, &self.reasoning, &self.refusal];
        texts.iter().any(|text| !text.is_empty())
            || !self.calls.is_empty()
            || !self.details.is_empty()
            || self.said_more
    }
}

/// The items of an array, or an object that stands alone in its place.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(items)) => items,
        Some(object @ Value::Object(_)) => std::slice::from_ref(object),
        _ => &[],
    }
}

/// False for the ways to say nothing.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// True for a report that counts something.
fn counts(usage: &Value) -> bool {
    ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"]
        .iter()
        .any(|name| usage.get(*name).and_then(Value::as_f64).is_some_and(|count| count > 0.0))
}
