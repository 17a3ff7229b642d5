//! A plain reading of Gemini's `streamGenerateContent`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::contract::Place;
use super::{Call, Plain, counts, events, list, says};

const FORMAT: &str = "google-gemini-v1";

/// One answer, as far as it was read.
#[derive(Default)]
struct Reading {
    plain: Plain,
    /// The arguments that are being streamed, by candidate.
    streamed: BTreeMap<u64, Value>,
    cited: Vec<Value>,
    images: BTreeMap<u64, u64>,
}

/// Reads a recorded body.
pub(super) fn read(body: &[u8]) -> Plain {
    let text = String::from_utf8_lossy(body);
    let mut reading = Reading::default();
    if let Some(frames) = array(&text) {
        frames.iter().for_each(|frame| reading.frame(frame));
        return reading.plain;
    }
    for (_, data) in events(&text) {
        if reading.plain.done || reading.plain.failed {
            break;
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(Value::Array(frames)) => frames.iter().for_each(|frame| reading.frame(frame)),
            Ok(frame) => reading.frame(&frame),
            Err(_) if data.trim() == "[DONE]" => reading.plain.done = true,
            Err(_) => reading.plain.unread += 1,
        }
    }
    reading.plain
}

/// The elements of a body that is one array, up to where it is cut.
fn array(text: &str) -> Option<Vec<Value>> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start().strip_prefix('[')?;
    let mut frames = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',');
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(frame)) => frames.push(frame),
            Some(Err(_)) | None => return Some(frames),
        }
        rest = &rest[values.byte_offset()..];
    }
}

impl Reading {
    fn frame(&mut self, frame: &Value) {
        if frame.get("error").is_some_and(says) {
            self.plain.failed = true;
            return;
        }
        let known = ["candidates", "usageMetadata", "modelVersion", "responseId", "createTime"];
        self.keep(Place::Answer, frame, &known);
        let candidates = list(frame.get("candidates"));
        for (at, candidate) in candidates.iter().enumerate() {
            self.candidate(at as u64, candidate);
        }
        if candidates.is_empty() && frame["promptFeedback"]["blockReason"].is_string() {
            let choice = self.plain.choices.entry(0).or_default();
            choice.finish = Some("content_filter".to_owned());
            choice.native = frame["promptFeedback"]["blockReason"].as_str().map(str::to_owned);
        }
        self.usage(&frame["usageMetadata"]);
    }

    fn keep(&mut self, place: Place, object: &Value, known: &[&str]) {
        for (name, value) in object.as_object().into_iter().flatten() {
            if !known.contains(&name.as_str()) {
                self.plain.keep(place, name, value);
            }
        }
    }

    fn candidate(&mut self, at: u64, candidate: &Value) {
        let index = candidate["index"].as_u64().unwrap_or(at);
        self.plain.choices.entry(index).or_default();
        self.keep(Place::Choice(index), candidate, &["content", "finishReason", "index"]);
        self.keep(Place::Choice(index), &candidate["content"], &["parts", "role"]);
        let mut images = Vec::new();
        for part in list(candidate["content"].get("parts")) {
            self.part(index, part, &mut images);
        }
        self.plain.keep(Place::Delta(index), "images", &Value::Array(images));
        self.annotate(index, candidate);
        let choice = self.plain.choices.entry(index).or_default();
        match &candidate["finishReason"] {
            Value::Null => {}
            Value::Number(number) if number.as_u64() == Some(1) => choice.finish = Some("STOP".to_owned()),
            Value::String(word) => {
                let failed = ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"];
                self.plain.failed |= failed.contains(&word.as_str());
                choice.finish = Some(word.clone());
            }
            other => panic!("a finish reason that no recording had: {other}"),
        }
    }

    fn part(&mut self, index: u64, part: &Value, images: &mut Vec<Value>) {
        let choice = self.plain.choices.entry(index).or_default();
        let signature = part["thoughtSignature"].as_str();
        if part.get("functionCall").is_some() {
            self.call(index, &part["functionCall"], signature);
        } else if let Some(text) = part["text"].as_str() {
            if part["thought"] == true {
                choice.reasoning += text;
                let mut item = json!({"type": "reasoning.text", "text": text, "format": FORMAT});
                if let Some(signature) = signature {
                    item["signature"] = json!(signature);
                }
                choice.details.push(item);
                return;
            }
            choice.text += text;
            if let Some(signature) = signature {
                let item = json!({"type": "reasoning.encrypted", "data": signature, "format": FORMAT});
                choice.details.push(item);
            }
        } else if part["inlineData"]["mimeType"].as_str().is_some_and(|kind| kind.starts_with("image/")) {
            choice.said_more = true;
            let number = self.images.entry(index).or_default();
            let (kind, data) = (&part["inlineData"]["mimeType"], &part["inlineData"]["data"]);
            let url = format!("data:{};base64,{}", kind.as_str().unwrap(), data.as_str().unwrap());
            images.push(json!({"type": "image_url", "image_url": {"url": url}, "index": *number}));
            *number += 1;
        } else {
            choice.said_more = true;
            self.plain.parts.push(part.clone());
        }
    }

    fn call(&mut self, index: u64, raw: &Value, signature: Option<&str>) {
        let choice = self.plain.choices.entry(index).or_default();
        let goes_on = raw["willContinue"] == true;
        if let Some(name) = raw["name"].as_str() {
            let id = raw["id"].as_str().unwrap_or_default();
            if let Some(signature) = signature.filter(|_| !id.is_empty()) {
                let item =
                    json!({"type": "reasoning.encrypted", "data": signature, "id": id, "format": FORMAT});
                choice.details.push(item);
            }
            let whole = raw.get("args").map_or("{}".to_owned(), Value::to_string);
            choice.calls.push(Call {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: whole,
                ..Call::default()
            });
        }
        if goes_on || raw.get("partialArgs").is_some() {
            let args = self.streamed.entry(index).or_insert_with(|| json!({}));
            for piece in raw["partialArgs"].as_array().into_iter().flatten() {
                set(args, piece);
            }
            choice.calls.last_mut().unwrap().arguments = args.to_string();
        }
        if !goes_on {
            self.streamed.remove(&index);
        }
    }

    fn annotate(&mut self, index: u64, candidate: &Value) {
        let text = self.plain.choices[&index].text.clone();
        let mut all = Vec::new();
        let grounding = &candidate["groundingMetadata"];
        let chunks: Vec<&Value> = grounding["groundingChunks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|chunk| chunk.as_object().unwrap().values().next().unwrap())
            .collect();
        let mut unused = vec![true; chunks.len()];
        for support in grounding["groundingSupports"].as_array().into_iter().flatten() {
            let segment = &support["segment"];
            for chunk in support["groundingChunkIndices"].as_array().into_iter().flatten() {
                let at = chunk.as_u64().unwrap() as usize;
                if at >= chunks.len() {
                    continue;
                }
                unused[at] = false;
                all.push(annotation(&text, segment, chunks[at], segment["text"].as_str()));
            }
        }
        let end = json!({"startIndex": text.len(), "endIndex": text.len()});
        for at in (0..chunks.len()).filter(|at| unused[*at]) {
            all.push(annotation(&text, &end, chunks[at], None));
        }
        for name in ["citationSources", "citations"] {
            for source in candidate["citationMetadata"][name].as_array().into_iter().flatten() {
                all.push(annotation(&text, source, source, None));
            }
        }
        all.retain(|annotation| {
            let is_new = !self.cited.contains(annotation);
            self.cited.push(annotation.clone());
            is_new
        });
        self.plain.keep(Place::Delta(index), "annotations", &Value::Array(all));
    }

    fn usage(&mut self, usage: &Value) {
        let count = |name: &str| usage[name].as_u64();
        let (tools, thoughts) = (count("toolUsePromptTokenCount"), count("thoughtsTokenCount"));
        let mut said = Map::new();
        let mut member = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                said.insert(name.to_owned(), json!(value));
            }
        };
        let candidates = count("candidatesTokenCount");
        let completion = candidates.or(thoughts).map(|_| candidates.unwrap_or(0) + thoughts.unwrap_or(0));
        let prompt = count("promptTokenCount").map(|prompt| prompt + tools.unwrap_or(0));
        member("prompt_tokens", prompt);
        member("completion_tokens", completion);
        member("total_tokens", count("totalTokenCount"));
        let ours = [
            "promptTokenCount",
            "candidatesTokenCount",
            "totalTokenCount",
            "thoughtsTokenCount",
            "toolUsePromptTokenCount",
            "cachedContentTokenCount",
        ];
        for (name, value) in usage.as_object().into_iter().flatten() {
            if !ours.contains(&name.as_str()) {
                said.insert(name.clone(), value.clone());
            }
        }
        said.insert(
            "prompt_tokens_details".to_owned(),
            json!({"cached_tokens": count("cachedContentTokenCount"), "tool_use_tokens": tools}),
        );
        said.insert("completion_tokens_details".to_owned(), json!({"reasoning_tokens": thoughts}));
        let said = Value::Object(said);
        if counts(&said) {
            self.plain.usages.push(said);
        }
    }
}

/// Puts a value where its path says.
fn set(args: &mut Value, piece: &Value) {
    let path = piece["jsonPath"].as_str().unwrap().trim_start_matches('$');
    let path = path.replace('[', "/").replace(']', "").replace('.', "/").replace('\'', "");
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let mut place = args;
    for step in steps {
        place = match step.parse::<usize>() {
            Ok(at) => {
                if !place.is_array() {
                    *place = json!([]);
                }
                let items = place.as_array_mut().unwrap();
                if items.len() <= at {
                    items.push(Value::Null);
                }
                &mut items[at]
            }
            Err(_) => {
                if !place.is_object() {
                    *place = json!({});
                }
                place.as_object_mut().unwrap().entry(step).or_insert(Value::Null)
            }
        };
    }
    let before = place.as_str().unwrap_or_default().to_owned();
    *place = match &piece["stringValue"] {
        Value::String(text) => json!(before + text),
        _ if piece.get("numberValue").is_some() => piece["numberValue"].clone(),
        _ => piece.get("boolValue").cloned().unwrap_or(Value::Null),
    };
}

fn annotation(text: &str, place: &Value, source: &Value, content: Option<&str>) -> Value {
    let character = |name: &str| {
        let byte = place[name].as_u64().unwrap_or(0) as usize;
        text.get(..byte).map_or(byte, |before| before.chars().count())
    };
    let word = |name: &str| source[name].as_str().filter(|text| !text.is_empty());
    let mut inner = json!({"start_index": character("startIndex"), "end_index": character("endIndex")});
    for (name, value) in
        [("url", word("uri")), ("title", word("title")), ("content", word("text").or(content))]
    {
        if let Some(value) = value {
            inner[name] = json!(value);
        }
    }
    let kind = if word("uri").is_some() { "url_citation" } else { "file_citation" };
    json!({"type": kind, kind: inner})
}
