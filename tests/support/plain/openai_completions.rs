//! A plain reading of text completions.

use serde_json::{Map, Value};

use super::super::contract::Place;
use super::{Choice, Plain, counts, events, list, says};

const REASONING: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "reasoning_text"];
const CHUNK: [&str; 9] =
    ["id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p"];
const CHOICE: [&str; 10] = [
    "index",
    "text",
    "delta",
    "message",
    "finish_reason",
    "native_finish_reason",
    "error",
    "usage",
    "obfuscation",
    "p",
];

/// Reads a recorded body.
pub(super) fn read(body: &[u8]) -> Plain {
    let mut plain = Plain::default();
    let all = events(&String::from_utf8_lossy(body));
    let alone = all.len() == 1;
    for (name, data) in all {
        if plain.done {
            break;
        }
        if data.trim().trim_matches('"').eq_ignore_ascii_case("[done]") {
            plain.done = true;
            continue;
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(Value::Object(chunk)) => {
                plain.piece(&chunk, &name);
                // A whole answer counts its tokens.
                plain.done |= alone && !body.starts_with(b"data:") && !plain.usages.is_empty();
            }
            Ok(Value::Array(chunks)) => {
                chunks.iter().filter_map(Value::as_object).for_each(|chunk| plain.piece(chunk, &name));
            }
            Ok(_) => {}
            Err(_) => plain.unread += 1,
        }
    }
    plain
}

impl Plain {
    fn piece(&mut self, chunk: &Map<String, Value>, event: &str) {
        let refused = ["message", "detail", "msg"].iter().any(|name| chunk.get(*name).is_some_and(says))
            && !chunk.contains_key("choices")
            && !chunk.contains_key("usage");
        self.failed |= chunk.get("error").is_some_and(says) || refused || event == "error";
        for (name, value) in chunk.iter().filter(|(name, _)| !CHUNK.contains(&name.as_str())) {
            self.keep(Place::Answer, name, value);
        }
        self.usages.extend(chunk.get("usage").filter(|usage| counts(usage)).cloned());
        for choice in list(chunk.get("choices")).iter().filter_map(Value::as_object) {
            self.text(choice);
        }
    }

    fn text(&mut self, choice: &Map<String, Value>) {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        self.failed |= choice.get("error").is_some_and(says);
        let state = self.choices.entry(index).or_default();
        if let Some(Value::String(finish)) = choice.get("finish_reason").filter(|finish| says(finish)) {
            self.failed |= matches!(finish.as_str(), "error" | "abort");
            state.finish = Some(finish.clone());
        }
        let form = ["delta", "message"].iter().find_map(|name| choice.get(*name)?.as_object());
        let said = [choice.get("text"), form.and_then(|form| form.get("content"))];
        if let Some(text) = said.into_iter().flatten().find(|text| says(text)) {
            state.text += &text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        }
        state.think(choice);
        form.into_iter().for_each(|form| state.think(form));
        for (name, value) in choice.iter().filter(|(name, _)| !CHOICE.contains(&name.as_str())) {
            if name == "logprobs" {
                if value.is_object() {
                    self.keep(Place::Delta(index), name, value);
                    self.choices.entry(index).or_default().said_more |= says(value);
                }
            } else if !REASONING.contains(&name.as_str()) {
                self.keep(Place::Choice(index), name, value);
            }
        }
        for (name, value) in form.into_iter().flatten() {
            if !["role", "content"].contains(&name.as_str()) && !REASONING.contains(&name.as_str()) {
                self.keep(Place::Delta(index), name, value);
                self.choices.entry(index).or_default().said_more |= says(value);
            }
        }
    }
}

impl Choice {
    fn think(&mut self, fields: &Map<String, Value>) {
        let thought = REASONING.iter().find_map(|name| fields.get(*name)?.as_str());
        self.reasoning += thought.unwrap_or_default();
    }
}
