//! A plain reading of Bedrock's ConverseStream.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::contract::Place;
use super::{Call, Plain, says};

const FORMAT: &str = "anthropic-claude-v1";

/// One answer, as far as it was read.
#[derive(Default)]
struct Reading {
    plain: Plain,
    blocks: BTreeMap<i64, Block>,
    /// Where the last block with text begins and ends, in characters.
    last: (usize, usize),
}

#[derive(Default)]
struct Block {
    /// `text`, `reasoning`, `call`, `server`, `result` or `image`.
    kind: &'static str,
    /// What its start says.
    raw: Value,
    /// Where its text begins, in characters.
    start: usize,
    citations: Vec<Value>,
    input: String,
    content: Vec<Value>,
    bytes: Vec<u8>,
    call: usize,
}

/// Reads a recorded body.
pub(super) fn read(body: &[u8]) -> Plain {
    let mut reading = Reading::default();
    if body.first().is_some_and(|byte| byte.is_ascii_graphic()) {
        // No stream: the whole answer, an error or a page.
        reading.whole(&serde_json::from_slice::<Value>(body).unwrap_or_default());
        return reading.plain;
    }
    let mut rest = body;
    while let Some((headers, payload, after)) = message(rest) {
        rest = after;
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        if header(":message-type").is_some_and(|kind| kind != "event") {
            reading.plain.failed = true;
        }
        if reading.plain.done || reading.plain.failed {
            break;
        }
        match serde_json::from_slice::<Value>(payload) {
            Ok(event) => reading.event(header(":event-type").unwrap_or_default(), &event),
            Err(_) => reading.plain.unread += 1,
        }
    }
    reading.plain
}

type Headers = Vec<(String, String)>;

/// The first message of a body: headers (texts only), payload, and what is behind it. `None` if it is cut or
/// damaged.
fn message(body: &[u8]) -> Option<(Headers, &[u8], &[u8])> {
    let number = |at: usize| Some(u32::from_be_bytes(*body.get(at..)?.first_chunk()?) as usize);
    let (total, length) = (number(0)?, number(4)?);
    let end = total.checked_sub(4)?;
    if crc32fast::hash(body.get(..end)?) as usize != number(end)? {
        return None;
    }
    let mut headers = Vec::new();
    let mut block = &body[12..12 + length];
    while let [name, rest @ ..] = block {
        let (name, rest) = rest.split_at(usize::from(*name));
        assert_eq!(rest[0], 7, "only texts are recorded");
        let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        let (value, rest) = rest[3..].split_at(length);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        headers.push((text(name), text(value)));
        block = rest;
    }
    Some((headers, &body[12 + length..end], &body[total..]))
}

impl Reading {
    fn whole(&mut self, answer: &Value) {
        self.plain.failed = answer.get("output").is_none();
        let choice = self.plain.choices.entry(0).or_default();
        for block in answer["output"]["message"]["content"].as_array().into_iter().flatten() {
            choice.text += block["text"].as_str().unwrap_or_default();
            choice.said_more = true;
        }
        choice.finish = answer["stopReason"].as_str().map(str::to_owned);
        self.plain.done = true;
    }

    fn event(&mut self, kind: &str, event: &Value) {
        let known = ["p", "role", "contentBlockIndex", "start", "delta", "stopReason", "usage"];
        let index = event["contentBlockIndex"].as_i64().unwrap_or(0);
        match kind {
            "messageStart" => {
                self.plain.choices.entry(0).or_default();
            }
            "contentBlockStart" => self.start(index, &event["start"]),
            "contentBlockDelta" if !event["delta"].is_object() => self.plain.failed = true,
            "contentBlockDelta" => self.delta(index, &event["delta"]),
            "contentBlockStop" => self.stop(index),
            "messageStop" => {
                let open: Vec<i64> = self.blocks.keys().copied().collect();
                open.into_iter().for_each(|index| self.give_up(index));
                self.plain.choices.entry(0).or_default().finish =
                    event["stopReason"].as_str().map(str::to_owned);
            }
            "metadata" => {
                self.usage(&event["usage"]);
                self.plain.done = self.plain.choices.values().any(|choice| choice.finish.is_some());
            }
            _ => return,
        }
        for (name, value) in event.as_object().unwrap() {
            if !known.contains(&name.as_str()) {
                self.plain.keep(Place::Answer, name, value);
            }
        }
    }

    fn start(&mut self, index: i64, start: &Value) {
        let choice = self.plain.choices.entry(0).or_default();
        let mut block = Block { start: choice.text.chars().count(), ..Block::default() };
        if let Some(tool) = start.get("toolUse") {
            block.raw = tool.clone();
            if tool["type"].as_str().is_none_or(|kind| kind == "tool_use") {
                block.kind = "call";
                block.call = choice.calls.len();
                choice.calls.push(Call {
                    id: tool["toolUseId"].as_str().unwrap_or_default().to_owned(),
                    name: tool["name"].as_str().unwrap_or_default().to_owned(),
                    ..Call::default()
                });
            } else {
                block.kind = "server";
            }
        } else if let Some(result) = start.get("toolResult") {
            block.kind = "result";
            block.raw = result.clone();
        } else if let Some(image) = start.get("image") {
            block.kind = "image";
            block.raw = image.clone();
        } else {
            self.plain.parts.push(start.clone());
            return;
        }
        choice.said_more |= block.kind != "call";
        self.blocks.insert(index, block);
    }

    fn delta(&mut self, index: i64, delta: &Value) {
        let choice = self.plain.choices.entry(0).or_default();
        let said = choice.text.chars().count();
        let block = self.blocks.entry(index).or_insert_with(|| Block { start: said, ..Block::default() });
        for (name, value) in delta.as_object().unwrap() {
            match name.as_str() {
                "text" => {
                    block.kind = "text";
                    choice.text += value.as_str().unwrap();
                }
                "citation" => {
                    block.kind = "text";
                    block.citations.push(value.clone());
                }
                "reasoningContent" => {
                    block.kind = "reasoning";
                    think(choice, value);
                }
                "toolUse" if block.kind == "call" => {
                    let call = &mut choice.calls[block.call];
                    let input = value["input"].as_str().unwrap();
                    call.arguments += input;
                    call.pieces.push(input.to_owned());
                }
                "toolUse" => block.input += value["input"].as_str().unwrap(),
                "toolResult" => block.content.extend(value.as_array().unwrap().iter().cloned()),
                "image" => {
                    block.bytes.extend(STANDARD.decode(value["source"]["bytes"].as_str().unwrap()).unwrap());
                }
                _ => self.plain.parts.push(delta.clone()),
            }
        }
    }

    fn stop(&mut self, index: i64) {
        if let Some(block) = self.blocks.get(&index).filter(|block| block.kind == "call") {
            let call = &mut self.plain.choices.entry(0).or_default().calls[block.call];
            if call.arguments.is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
        }
        self.give_up(index);
    }

    fn give_up(&mut self, index: i64) {
        let Some(mut block) = self.blocks.remove(&index) else { return };
        let said = self.plain.choices[&0].text.chars().count();
        match block.kind {
            "text" => {
                if said > block.start {
                    self.last = (block.start, said);
                }
                let cited: Vec<Value> =
                    block.citations.iter().map(|citation| annotation(citation, self.last)).collect();
                self.plain.keep(Place::Delta(0), "annotations", &Value::Array(cited));
            }
            "server" => {
                if !block.input.is_empty() {
                    block.raw["input"] =
                        serde_json::from_str(&block.input).unwrap_or(Value::String(block.input));
                }
                self.plain.parts.push(json!({"toolUse": block.raw}));
            }
            "result" => {
                block.raw["content"] = Value::Array(block.content);
                self.plain.parts.push(json!({"toolResult": block.raw}));
            }
            "image" => {
                let format = block.raw["format"].as_str().unwrap();
                let url = format!("data:image/{format};base64,{}", STANDARD.encode(block.bytes));
                let image = json!([{"type": "image_url", "image_url": {"url": url}}]);
                self.plain.keep(Place::Delta(0), "images", &image);
            }
            _ => {}
        }
    }

    fn usage(&mut self, usage: &Value) {
        let count = |name: &str| usage[name].as_u64();
        let (read, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
        let (Some(output), Some(total)) = (count("outputTokens"), count("totalTokens")) else { return };
        // Whether the input has what was cached or not: the total has it.
        let prompt = total - output;
        let mut said = json!({"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total});
        said["prompt_tokens_details"] = json!({"cached_tokens": read, "cache_write_tokens": written});
        for (name, value) in usage.as_object().unwrap() {
            let cached = name.starts_with("cacheRead") || name.starts_with("cacheWrite");
            let counted = ["inputTokens", "outputTokens", "totalTokens"].contains(&name.as_str());
            if !cached && !counted && says(value) {
                said[name] = value.clone();
            }
        }
        self.plain.usages.push(said);
    }
}

fn think(choice: &mut super::Choice, reasoning: &Value) {
    let text = |name: &str| reasoning[name].as_str().filter(|text| !text.is_empty());
    if let Some(text) = text("text") {
        choice.reasoning += text;
        choice.details.push(json!({"type": "reasoning.text", "text": text, "format": FORMAT}));
    }
    if let Some(signature) = text("signature") {
        choice.details.push(json!({"type": "reasoning.text", "signature": signature, "format": FORMAT}));
    }
    if let Some(redacted) = text("redactedContent") {
        // Claude's own form is text, in base64 once more.
        let data = STANDARD.decode(redacted).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        choice.details.push(match data {
            Some(data) => json!({"type": "reasoning.encrypted", "data": data, "format": FORMAT}),
            None => {
                json!({"type": "reasoning.encrypted", "data": redacted, "format": "bedrock-converse-v1"})
            }
        });
    }
}

fn annotation(citation: &Value, (start, end): (usize, usize)) -> Value {
    let url = citation["location"]["web"]["url"].as_str();
    let kind = if url.is_some() { "url_citation" } else { "file_citation" };
    let mut inner = json!({"start_index": start, "end_index": end});
    let sources = citation["sourceContent"].as_array().into_iter().flatten();
    let content: String = sources.filter_map(|source| source["text"].as_str()).collect();
    let content = Some(content.as_str()).filter(|text| !text.is_empty());
    let title = citation["title"].as_str().filter(|text| !text.is_empty());
    for (name, value) in [("url", url), ("title", title), ("content", content)] {
        if let Some(value) = value {
            inner[name] = json!(value);
        }
    }
    json!({"type": kind, kind: inner, "citation": citation})
}
