//! A plain reading of what an upstream sent: `serde_json::Value`, `if` and `+`. It is slow, knows no
//! streaming, and shares nothing with the code under test, so that the two can be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::contract::{Place, Unknown};

/// What a recording says.
#[derive(Debug, Default)]
pub struct Plain {
    pub choices: BTreeMap<u64, Choice>,
    /// Every report of usage that counts something.
    pub usages: Vec<Value>,
    /// Fields that say something and have no meaning in the API, in the order they came.
    pub unknown: Vec<Unknown>,
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

const REASONING: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "reasoning_text"];
const CHUNK: [&str; 9] =
    ["id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p"];
const CHOICE: [&str; 9] = [
    "index",
    "delta",
    "message",
    "finish_reason",
    "native_finish_reason",
    "error",
    "usage",
    "obfuscation",
    "p",
];
const DELTA: [&str; 6] = ["role", "content", "refusal", "reasoning_details", "tool_calls", "function_call"];
const TOOL: [&str; 5] = ["index", "id", "type", "function", "extra_content"];

/// Reads a recorded body.
pub fn read(body: &[u8]) -> Plain {
    let mut plain = Plain::default();
    for (name, data) in events(&String::from_utf8_lossy(body)) {
        if plain.done {
            break;
        }
        if data.trim().trim_matches('"').eq_ignore_ascii_case("[done]") {
            plain.done = true;
            continue;
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(Value::Object(chunk)) => plain.chunk(&chunk, &name),
            Ok(Value::Array(chunks)) => {
                chunks.iter().filter_map(Value::as_object).for_each(|chunk| plain.chunk(chunk, &name));
            }
            Ok(_) => {}
            Err(_) => plain.unread += 1,
        }
    }
    plain
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

    fn chunk(&mut self, chunk: &Map<String, Value>, event: &str) {
        let error = chunk.get("error").is_some_and(says);
        let refused = ["message", "detail", "msg"].iter().any(|name| chunk.get(*name).is_some_and(says))
            && !chunk.contains_key("choices")
            && !chunk.contains_key("usage");
        let base = chunk.get("base_resp").and_then(|base| base["status_code"].as_i64()).unwrap_or(0);
        if error || refused || base != 0 || event == "error" {
            self.failed = true;
        }
        for (name, value) in chunk {
            if name == "x_groq" {
                let mut rest = value.as_object().cloned().unwrap_or_default();
                self.usages.extend(rest.remove("usage").filter(counts));
                self.keep(Place::Answer, name, &Value::Object(rest));
            } else if !CHUNK.contains(&name.as_str()) {
                self.keep(Place::Answer, name, value);
            }
        }
        self.usages.extend(chunk.get("usage").filter(|usage| counts(usage)).cloned());
        for choice in list(chunk.get("choices")).iter().filter_map(Value::as_object) {
            self.choice(choice);
        }
        if chunk.get("object").is_some_and(|object| object == "chat.completion") && event.is_empty() {
            let whole = list(chunk.get("choices")).iter().all(|choice| choice.get("delta").is_none());
            self.done |= whole && self.choices.values().all(|choice| choice.finish.is_some());
        }
    }

    fn choice(&mut self, choice: &Map<String, Value>) {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        self.failed |= choice.get("error").is_some_and(says);
        self.usages.extend(choice.get("usage").filter(|usage| counts(usage)).cloned());
        let state = self.choices.entry(index).or_default();
        let word = |name: &str| match choice.get(name) {
            Some(Value::String(word)) if !word.is_empty() => Some(word.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let native = word("native_finish_reason");
        if let Some(finish) = word("finish_reason") {
            let failed = |word: &str| {
                let word = word.to_ascii_lowercase();
                matches!(word.as_str(), "error" | "malformed_function_call" | "network_error" | "abort")
            };
            self.failed |= failed(&finish) || native.as_deref().is_some_and(failed);
            state.finish = Some(finish);
            state.native = native.or(state.native.take());
        }
        for (name, value) in choice {
            if !CHOICE.contains(&name.as_str()) {
                self.keep(Place::Choice(index), name, value);
            }
        }
        let delta = choice.get("delta").and_then(Value::as_object);
        let message = choice.get("message").and_then(Value::as_object);
        match (delta, message) {
            (Some(delta), _) if delta.values().any(says) => self.delta(index, delta),
            // A message says all of the choice again, or for the first time.
            (_, Some(message)) if !self.choices[&index].said() => self.delta(index, message),
            _ => {}
        }
    }

    fn delta(&mut self, index: u64, delta: &Map<String, Value>) {
        for (name, value) in delta {
            if !DELTA.contains(&name.as_str()) && !REASONING.contains(&name.as_str()) {
                self.keep(Place::Delta(index), name, value);
                self.choices.entry(index).or_default().said_more |= says(value);
            }
        }
        let mut fragments = Vec::new();
        for fragment in list(delta.get("tool_calls")).iter().filter_map(Value::as_object) {
            for (name, value) in fragment.iter().filter(|(name, _)| !TOOL.contains(&name.as_str())) {
                self.keep(Place::Tool(index), name, value);
            }
            fragments.push(fragment.clone());
        }
        if let Some(function) = delta.get("function_call").filter(|function| function.is_object()) {
            fragments.push(Map::from_iter([("function".to_owned(), function.clone())]));
        }
        let state = self.choices.entry(index).or_default();
        let (text, thought) = parts(delta.get("content"));
        let mut fields: Vec<String> = Vec::new();
        for name in REASONING {
            let text = parts(delta.get(name)).0;
            if !text.is_empty() && !fields.contains(&text) {
                fields.push(text);
            }
        }
        let details = list(delta.get("reasoning_details"));
        if fields.is_empty() {
            for detail in details {
                let texts = ["text", "summary"].iter().filter_map(|name| detail.get(*name)?.as_str());
                fields.extend(texts.map(str::to_owned));
            }
        }
        state.reasoning += &fields.concat();
        state.reasoning += &thought;
        state.details.extend(details.iter().cloned());
        state.text += &text;
        state.refusal += delta.get("refusal").and_then(Value::as_str).unwrap_or_default();
        fragments.iter().for_each(|fragment| state.fragment(fragment));
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

    fn fragment(&mut self, fragment: &Map<String, Value>) {
        let function = fragment.get("function").cloned().unwrap_or_default();
        let word = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, name) = (word(fragment.get("id")), word(function.get("name")));
        let index = fragment.get("index").filter(|index| !index.is_null()).cloned();
        let known = match &index {
            Some(_) => self.calls.iter_mut().rev().find(|call| call.index == index),
            None => self.calls.last_mut(),
        };
        let opens = |call: &Call| !name.is_empty() && (id != call.id || id.is_empty() && index.is_none());
        let call = match known {
            Some(call) if !opens(call) => call,
            _ => {
                self.calls.push(Call { index, id, name, ..Call::default() });
                self.calls.last_mut().unwrap()
            }
        };
        let piece = match function.get("arguments") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        call.arguments += &piece;
        call.pieces.push(piece);
    }
}

/// Text and thinking of a content field: a string, or parts.
fn parts(content: Option<&Value>) -> (String, String) {
    let (mut text, mut thought) = (String::new(), String::new());
    match content {
        Some(Value::String(content)) => text += content,
        Some(Value::Array(parts)) => {
            for part in parts {
                let inner = |name: &str| match part.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(nested) => self::parts(Some(nested)).0,
                    None => String::new(),
                };
                text += &inner("text");
                thought += &inner("thinking");
            }
        }
        _ => {}
    }
    (text, thought)
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
