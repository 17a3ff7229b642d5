//! A plain reading of Anthropic's Messages API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::contract::Place;
use super::{Call, Plain, events, says};

const FORMAT: &str = "anthropic-claude-v1";

/// One answer, as far as it was read.
#[derive(Default)]
struct Reading {
    plain: Plain,
    blocks: BTreeMap<i64, Block>,
    usage: Map<String, Value>,
}

#[derive(Default)]
struct Block {
    kind: String,
    /// The block as it came.
    raw: Value,
    /// Where its text begins, in characters.
    start: usize,
    citations: Vec<Value>,
    input: String,
    call: usize,
}

/// Reads a recorded body.
pub(super) fn read(body: &[u8]) -> Plain {
    let mut reading = Reading::default();
    for (name, data) in events(&String::from_utf8_lossy(body)) {
        if reading.plain.done || reading.plain.failed {
            break;
        }
        if data.trim() == "[DONE]" {
            reading.plain.done = true;
            continue;
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(event) => reading.event(&event, &name),
            Err(_) => reading.plain.unread += 1,
        }
    }
    reading.plain
}

impl Reading {
    fn event(&mut self, event: &Value, name: &str) {
        let kind = event["type"].as_str().unwrap_or(name);
        if kind == "error" || event.get("error").is_some_and(says) {
            self.plain.failed = true;
            return;
        }
        let known = ["type", "index", "delta", "content_block", "message", "usage"];
        if kind.starts_with("message_") || kind.starts_with("content_block_") || kind == "ping" {
            self.keep(Place::Answer, event, &known);
        }
        let index = event["index"].as_i64().unwrap_or(0);
        match kind {
            "message_start" => self.message(&event["message"]),
            "message" => {
                self.message(event);
                self.plain.done = true;
            }
            "content_block_start" => self.start(index, &event["content_block"]),
            "content_block_delta" => self.delta(index, &event["delta"]),
            "content_block_stop" => self.stop(index),
            "message_delta" => {
                let delta = &event["delta"];
                self.ends(delta);
                self.keep(Place::Answer, delta, &["stop_reason", "stop_sequence", "stop_details"]);
                self.usage(&event["usage"], true);
            }
            "message_stop" => self.plain.done = true,
            _ => {}
        }
    }

    fn message(&mut self, message: &Value) {
        self.plain.choices.entry(0).or_default();
        let known = ["type", "id", "model", "role", "content", "usage"];
        let ends = ["stop_reason", "stop_sequence", "stop_details"];
        self.keep(Place::Answer, message, &[&known[..], &ends].concat());
        for (at, block) in message["content"].as_array().into_iter().flatten().enumerate() {
            self.start(at as i64, block);
            self.stop(at as i64);
        }
        self.ends(message);
        self.usage(&message["usage"], message["stop_reason"].is_string());
    }

    fn ends(&mut self, object: &Value) {
        for name in ["stop_sequence", "stop_details"] {
            self.plain.keep(Place::Choice(0), name, &object[name]);
        }
        if let Some(reason) = object["stop_reason"].as_str() {
            let open: Vec<i64> = self.blocks.keys().copied().collect();
            open.into_iter().for_each(|index| self.give_up(index));
            self.plain.choices.entry(0).or_default().finish = Some(reason.to_owned());
        }
    }

    fn keep(&mut self, place: Place, object: &Value, known: &[&str]) {
        for (name, value) in object.as_object().into_iter().flatten() {
            if !known.contains(&name.as_str()) {
                self.plain.keep(place, name, value);
            }
        }
    }

    fn start(&mut self, index: i64, raw: &Value) {
        let kind = raw["type"].as_str().unwrap_or_default().to_owned();
        let choice = self.plain.choices.entry(0).or_default();
        let mut block = Block { kind, raw: raw.clone(), ..Block::default() };
        block.start = choice.text.chars().count();
        let text = |name: &str| raw[name].as_str().unwrap_or_default();
        match block.kind.as_str() {
            "text" => {
                choice.text += text("text");
                block.citations = raw["citations"].as_array().cloned().unwrap_or_default();
            }
            "thinking" => {
                think(choice, text("thinking"));
                sign(choice, text("signature"));
            }
            "redacted_thinking" => choice
                .details
                .push(json!({"type": "reasoning.encrypted", "data": text("data"), "format": FORMAT})),
            "tool_use" => {
                block.call = choice.calls.len();
                let input = if says(&raw["input"]) { raw["input"].to_string() } else { String::new() };
                choice.calls.push(Call {
                    id: text("id").to_owned(),
                    name: text("name").to_owned(),
                    pieces: vec![input.clone()],
                    arguments: input,
                    ..Call::default()
                });
                self.keep(Place::Tool(0), raw, &["type", "id", "name", "input"]);
            }
            _ => {
                choice.said_more = true;
                if raw.get("input").is_none_or(says) {
                    self.plain.parts.push(raw.clone());
                    block.raw = Value::Null;
                }
            }
        }
        self.blocks.insert(index, block);
    }

    fn delta(&mut self, index: i64, delta: &Value) {
        let choice = self.plain.choices.entry(0).or_default();
        let block = self.blocks.entry(index).or_default();
        let text = |name: &str| delta[name].as_str().unwrap_or_default();
        match text("type") {
            "text_delta" => choice.text += text("text"),
            "thinking_delta" => {
                think(choice, text("thinking"));
                self.keep(Place::Delta(0), delta, &["type", "thinking"]);
            }
            "signature_delta" => sign(choice, text("signature")),
            "citations_delta" => block.citations.push(delta["citation"].clone()),
            "input_json_delta" if block.kind == "tool_use" => {
                let call = &mut choice.calls[block.call];
                call.arguments += text("partial_json");
                call.pieces.push(text("partial_json").to_owned());
            }
            "input_json_delta" => block.input += text("partial_json"),
            _ => self.plain.parts.push(delta.clone()),
        }
    }

    fn stop(&mut self, index: i64) {
        if let Some(block) = self.blocks.get(&index).filter(|block| block.kind == "tool_use") {
            let call = &mut self.plain.choices.entry(0).or_default().calls[block.call];
            if call.arguments.is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
        }
        self.give_up(index);
    }

    fn give_up(&mut self, index: i64) {
        let Some(block) = self.blocks.remove(&index) else { return };
        if !block.citations.is_empty() {
            let end = self.plain.choices[&0].text.chars().count();
            let cited = block.citations.iter().map(|citation| annotation(citation, block.start, end));
            self.plain.keep(Place::Delta(0), "annotations", &cited.collect());
        }
        let other = !matches!(block.kind.as_str(), "text" | "thinking" | "redacted_thinking" | "tool_use");
        if other && (block.raw.is_object() || !block.input.is_empty()) {
            let mut part = if block.raw.is_object() { block.raw } else { json!({}) };
            if !block.input.is_empty() {
                part["input"] = serde_json::from_str(&block.input).unwrap_or(Value::String(block.input));
            }
            self.plain.parts.push(part);
        }
    }

    fn usage(&mut self, usage: &Value, reported: bool) {
        for (name, value) in usage.as_object().into_iter().flatten() {
            let less = self.usage.get(name).and_then(Value::as_u64) > value.as_u64();
            if !self.usage.contains_key(name) || !less && says(value) {
                self.usage.insert(name.clone(), value.clone());
            }
        }
        if !reported {
            return;
        }
        let count = |name: &str| self.usage.get(name).and_then(Value::as_u64);
        let (read, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
        let prompt = count("input_tokens").map(|input| input + read.unwrap_or(0) + written.unwrap_or(0));
        let completion = count("output_tokens");
        if prompt.unwrap_or(0) + completion.unwrap_or(0) == 0 {
            return;
        }
        let mut said = self.usage.clone();
        for name in
            ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
        {
            said.remove(name);
        }
        let thought = said.remove("output_tokens_details");
        let mut said = Value::Object(said);
        if let Some(thought) = thought.and_then(|details| details["thinking_tokens"].as_u64()) {
            said["completion_tokens_details"] = json!({"reasoning_tokens": thought});
        }
        let mut member = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                said[name] = json!(value);
            }
        };
        member("prompt_tokens", prompt);
        member("completion_tokens", completion);
        member("total_tokens", prompt.zip(completion).map(|(prompt, completion)| prompt + completion));
        said["prompt_tokens_details"] = json!({"cached_tokens": read, "cache_write_tokens": written});
        self.plain.usages.push(said);
    }
}

fn think(choice: &mut super::Choice, text: &str) {
    if !text.is_empty() {
        choice.reasoning += text;
        choice.details.push(json!({"type": "reasoning.text", "text": text, "format": FORMAT}));
    }
}

fn sign(choice: &mut super::Choice, signature: &str) {
    if !signature.is_empty() {
        choice.details.push(json!({"type": "reasoning.text", "signature": signature, "format": FORMAT}));
    }
}

fn annotation(citation: &Value, start: usize, end: usize) -> Value {
    let text = |name: &str| citation[name].as_str().filter(|text| !text.is_empty());
    let url = text("url").or(text("source").filter(|source| source.starts_with("http")));
    let kind = if url.is_some() { "url_citation" } else { "file_citation" };
    let mut inner = json!({"start_index": start, "end_index": end});
    let title = text("title").or(text("document_title"));
    for (name, value) in [("url", url), ("title", title), ("content", text("cited_text"))] {
        if let Some(value) = value {
            inner[name] = json!(value);
        }
    }
    json!({"type": kind, kind: inner, "citation": citation})
}
