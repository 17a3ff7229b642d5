//! A plain reading of Ollama's chat API.

use serde_json::{Value, json};

use super::super::contract::Place;
use super::{Call, Plain, list, says};

const LINE: [&str; 11] = [
    "model",
    "created_at",
    "message",
    "done",
    "done_reason",
    "prompt_eval_count",
    "eval_count",
    "logprobs",
    "response",
    "thinking",
    "error",
];

/// Reads a recorded body.
pub(super) fn read(body: &[u8]) -> Plain {
    let mut plain = Plain::default();
    for line in String::from_utf8_lossy(body).lines().filter(|line| !line.trim().is_empty()) {
        if plain.done || plain.failed {
            break;
        }
        match serde_json::from_str::<Value>(line) {
            Ok(value) => plain.line(&value, line),
            Err(_) => plain.unread += 1,
        }
    }
    plain
}

impl Plain {
    fn line(&mut self, line: &Value, written: &str) {
        if line.get("error").is_some_and(says) {
            self.failed = true;
            return;
        }
        for (name, value) in line.as_object().into_iter().flatten() {
            if !LINE.contains(&name.as_str()) {
                self.keep(Place::Answer, name, value);
            }
        }
        if line.get("logprobs").is_some_and(says) {
            self.keep(Place::Choice(0), "logprobs", &json!({"content": line["logprobs"]}));
        }
        let message = &line["message"];
        for (name, value) in message.as_object().into_iter().flatten() {
            if !["role", "content", "thinking", "tool_calls"].contains(&name.as_str()) {
                self.keep(Place::Delta(0), name, value);
            }
        }
        let choice = self.choices.entry(0).or_default();
        for (object, name) in [(message, "content"), (line, "response")] {
            choice.text += object[name].as_str().unwrap_or_default();
        }
        for object in [message, line] {
            choice.reasoning += object["thinking"].as_str().unwrap_or_default();
        }
        for (at, call) in list(message.get("tool_calls")).iter().enumerate() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let arguments = as_written(written, at).unwrap_or_default();
            choice.calls.push(Call {
                id: text(&call["id"]),
                name: text(&call["function"]["name"]),
                pieces: vec![arguments.clone()],
                arguments,
                ..Call::default()
            });
        }
        if line["done"] != true {
            return;
        }
        self.done = true;
        let native = line["done_reason"].as_str().map(str::to_owned);
        choice.finish = match native.as_deref() {
            Some("load" | "unload") => Some("stop".to_owned()),
            Some("stop") if !choice.calls.is_empty() => Some("tool_calls".to_owned()),
            _ => native.clone(),
        };
        choice.native = native;
        let count = |name: &str| line[name].as_u64();
        if let (Some(prompt), Some(completion)) = (count("prompt_eval_count"), count("eval_count")) {
            self.usages.push(json!({
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            }));
        }
    }
}

/// The arguments of a call as the line has them: the object behind the key, up to its closing brace.
fn as_written(line: &str, at: usize) -> Option<String> {
    let (from, key) = line.match_indices("\"arguments\":").nth(at)?;
    let rest = line[from + key.len()..].trim_start();
    let value = serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
    value.flatten().next().map(|raw| raw.get().to_owned())
}
