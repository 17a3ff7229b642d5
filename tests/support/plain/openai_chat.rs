//! A plain reading of chat completions.

use serde_json::{Map, Value};

use super::super::contract::Place;
use super::{Call, Choice, Plain, counts, events, list, says};

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
pub(super) fn read(body: &[u8]) -> Plain {
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

impl Plain {
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
}

impl Choice {
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
