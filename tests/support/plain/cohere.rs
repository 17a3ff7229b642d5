//! A plain reading of Cohere's chat API, version 2.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::contract::Place;
use super::{Call, Plain, events, list, says};

const FORMAT: &str = "cohere-v2";

/// One answer, as far as it was read.
#[derive(Default)]
struct Reading {
    plain: Plain,
    /// Where the text of each block begins, in characters.
    starts: BTreeMap<i64, usize>,
    calls: BTreeMap<i64, usize>,
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
        let refused = event["message"].is_string() && matches!(kind, "" | "error");
        if event.get("error").is_some_and(says) || refused {
            self.plain.failed = true;
            return;
        }
        let index = event["index"].as_i64().unwrap_or(0);
        let message = &event["delta"]["message"];
        for piece in list(event.get("logprobs")) {
            let mut tokens = Vec::new();
            for (at, logprob) in piece["logprobs"].as_array().into_iter().flatten().enumerate() {
                let token = if at == 0 { piece["text"].as_str().unwrap_or_default() } else { "" };
                let bytes = token.as_bytes();
                tokens.push(json!({"token": token, "logprob": logprob, "bytes": bytes, "top_logprobs": []}));
            }
            self.plain.keep(Place::Choice(0), "logprobs", &json!({"content": tokens}));
        }
        match kind {
            "message-start" => self.message(message),
            "content-start" | "content-delta" => {
                self.content(index, &message["content"], kind == "content-start")
            }
            "tool-plan-delta" => self.think(message["tool_plan"].as_str(), Some("tool_plan")),
            "tool-call-start" => self.call(index, &message["tool_calls"]),
            "tool-call-delta" => {
                let piece = message["tool_calls"]["function"]["arguments"].as_str().unwrap_or_default();
                if !self.calls.contains_key(&index) {
                    self.call(index, &Value::Null);
                }
                let call = &mut self.plain.choices.get_mut(&0).unwrap().calls[self.calls[&index]];
                call.arguments += piece;
                call.pieces.push(piece.to_owned());
            }
            "citation-start" => self.cite(&message["citations"]),
            "message-end" => {
                for (name, value) in event["delta"].as_object().into_iter().flatten() {
                    if !["finish_reason", "usage", "error"].contains(&name.as_str()) {
                        self.plain.keep(Place::Choice(0), name, value);
                    }
                }
                self.end(&event["delta"]);
            }
            "" if event["message"].is_object() => {
                self.message(&event["message"]);
                self.end(event);
                self.plain.done = true;
            }
            _ => {}
        }
    }

    fn message(&mut self, message: &Value) {
        self.plain.choices.entry(0).or_default();
        self.think(message["tool_plan"].as_str(), Some("tool_plan"));
        for (at, block) in message["content"].as_array().into_iter().flatten().enumerate() {
            self.content(at as i64, block, true);
        }
        for (at, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            self.call(at as i64, call);
        }
        self.cite(&message["citations"]);
    }

    fn content(&mut self, index: i64, block: &Value, starts: bool) {
        let choice = self.plain.choices.entry(0).or_default();
        if starts {
            self.starts.insert(index, choice.text.chars().count());
        }
        choice.text += block["text"].as_str().unwrap_or_default();
        let thought = block["thinking"].as_str();
        let known = matches!(block["type"].as_str(), Some("text" | "thinking") | None);
        if !known {
            choice.said_more = true;
            self.plain.parts.push(block.clone());
        }
        self.think(thought, None);
    }

    fn think(&mut self, text: Option<&str>, id: Option<&str>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        let choice = self.plain.choices.entry(0).or_default();
        choice.reasoning += text;
        let mut detail = json!({"type": "reasoning.text", "text": text, "format": FORMAT});
        if let Some(id) = id {
            detail["id"] = json!(id);
        }
        choice.details.push(detail);
    }

    fn call(&mut self, index: i64, call: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = &mut self.plain.choices.entry(0).or_default().calls;
        self.calls.insert(index, calls.len());
        let arguments = text(&call["function"]["arguments"]);
        calls.push(Call {
            id: text(&call["id"]),
            name: text(&call["function"]["name"]),
            pieces: vec![arguments.clone()],
            arguments,
            ..Call::default()
        });
    }

    fn cite(&mut self, citations: &Value) {
        let mut annotations = Vec::new();
        for citation in list(Some(citations)).iter().filter(|citation| says(citation)) {
            if citation["type"].as_str().is_some_and(|kind| kind != "TEXT_CONTENT") {
                self.plain.keep(Place::Delta(0), "citations", &json!([citation]));
                continue;
            }
            let block = citation["content_index"].as_i64();
            let from = block.and_then(|block| self.starts.get(&block)).copied().unwrap_or(0);
            let place = |name: &str| citation[name].as_u64().unwrap_or(0) + from as u64;
            for (at, source) in citation["sources"].as_array().into_iter().flatten().enumerate() {
                let document = &source["document"];
                let url = document["url"].as_str().filter(|url| url.starts_with("http"));
                let kind = if url.is_some() { "url_citation" } else { "file_citation" };
                let mut inner = json!({"start_index": place("start"), "end_index": place("end")});
                for (name, value) in [
                    ("url", url),
                    ("title", document["title"].as_str()),
                    ("source_id", source["id"].as_str()),
                ] {
                    if let Some(value) = value {
                        inner[name] = json!(value);
                    }
                }
                let mut annotation = json!({"type": kind, kind: inner});
                if at == 0 {
                    annotation["citation"] = citation.clone();
                }
                annotations.push(annotation);
            }
        }
        self.plain.keep(Place::Delta(0), "annotations", &Value::Array(annotations));
    }

    fn end(&mut self, end: &Value) {
        let word = end["finish_reason"].as_str();
        let renamed = match word {
            Some("ERROR_TOXIC") => Some("content_filter"),
            Some("ERROR_LIMIT") => Some("length"),
            other => other,
        };
        self.plain.failed |=
            end.get("error").is_some_and(says) || matches!(word, Some("ERROR" | "TIMEOUT" | "USER_CANCEL"));
        let choice = self.plain.choices.entry(0).or_default();
        choice.finish = renamed.map(str::to_owned);
        choice.native = word.map(str::to_owned);
        self.plain.done |= word.is_none();
        let usage = &end["usage"];
        let (tokens, billed) = (&usage["tokens"], &usage["billed_units"]);
        let count = |name: &str| tokens[name].as_u64().or(billed[name].as_u64());
        let (Some(prompt), Some(completion)) = (count("input_tokens"), count("output_tokens")) else {
            return;
        };
        let mut report = json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "billed_units": billed,
        });
        if let Some(cached) = usage["cached_tokens"].as_u64() {
            report["prompt_tokens_details"] = json!({"cached_tokens": cached});
        }
        if let Some(thought) = tokens["reasoning_tokens"].as_u64() {
            report["completion_tokens_details"] = json!({"reasoning_tokens": thought});
        }
        if prompt + completion > 0 {
            self.plain.usages.push(report);
        }
    }
}
