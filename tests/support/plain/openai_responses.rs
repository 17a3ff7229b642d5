//! A plain reading of OpenAI's Responses API.

use serde_json::{Map, Value, json};

use super::super::contract::Place;
use super::{Call, Plain, counts, events, says};

/// One answer, as far as it was read.
#[derive(Default)]
struct Reading {
    plain: Plain,
    items: Vec<Item>,
}

#[derive(Default)]
struct Item {
    kind: String,
    id: Value,
    place: Value,
    /// Texts by what they are and their number, with where they begin and how many annotations they have.
    texts: Vec<Text>,
    call: usize,
    /// As it came first, for items that are never done.
    raw: Value,
    done: bool,
}

struct Text {
    key: (&'static str, u64),
    text: String,
    start: usize,
    annotations: u64,
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
        if event["object"] == "response" {
            return self.end(event);
        }
        let Some(kind) = kind.strip_prefix("response.") else {
            self.plain.failed |= kind == "error" || event.get("error").is_some_and(says);
            return;
        };
        let words: Vec<&str> = kind.split('.').collect();
        let spoken = match words[0] {
            "output_text" => "text",
            "refusal" => "refusal",
            "reasoning_summary_text" => "summary",
            "reasoning_text" => "thought",
            _ => "",
        };
        match words.as_slice() {
            ["created" | "in_progress" | "queued"] => drop(self.plain.choices.entry(0).or_default()),
            ["completed" | "incomplete" | "failed" | "done"] => self.end(&event["response"]),
            ["output_text", "annotation", "added"] => {
                let item = self.find("message", &event["item_id"], &event["output_index"]);
                let number = event["annotation_index"].as_u64().unwrap_or(0);
                self.cite(item, event["content_index"].as_u64().unwrap_or(0), number, &event["annotation"]);
            }
            [_, "delta"] if !spoken.is_empty() => self.text(event, spoken, &event["delta"], true),
            [_, "done"] if !spoken.is_empty() => {
                let text = if spoken == "refusal" { &event["refusal"] } else { &event["text"] };
                self.text(event, spoken, text, false);
            }
            ["function_call_arguments", how] => {
                let item = self.find("function_call", &event["item_id"], &event["output_index"]);
                let call = self.items[item].call;
                match *how {
                    "delta" => self.argue(call, event["delta"].as_str().unwrap_or_default(), true),
                    _ => self.argue(call, event["arguments"].as_str().unwrap_or_default(), false),
                }
            }
            ["output_item", how] => self.item(&event["item"], &event["output_index"], *how == "done"),
            ["audio", "delta"] => self.beside("audio", json!({"data": event["delta"]})),
            ["audio", "transcript", "delta"] => self.beside("audio", json!({"transcript": event["delta"]})),
            _ => return,
        }
        let ours = "type delta item_id output_index content_index summary_index sequence_number logprobs text \
                    refusal arguments name item annotation annotation_index response status obfuscation";
        for (name, value) in event.as_object().unwrap() {
            if !ours.split_whitespace().any(|known| known == name) {
                self.plain.keep(Place::Answer, name, value);
            }
        }
    }

    fn beside(&mut self, name: &str, value: Value) {
        self.plain.choices.entry(0).or_default().said_more = true;
        self.plain.keep(Place::Delta(0), name, &value);
    }

    /// The item that an event is about; it is made if it is not known.
    fn find(&mut self, kind: &str, id: &Value, place: &Value) -> usize {
        let same = |item: &Item| item.kind == kind && !id.is_null() && item.id == *id;
        let near = |item: &Item| item.kind == kind && item.place == *place;
        let known = self.items.iter().rposition(same).or_else(|| self.items.iter().rposition(near));
        known.unwrap_or_else(|| {
            let choice = self.plain.choices.entry(0).or_default();
            let call = choice.calls.len();
            if kind == "function_call" {
                choice.calls.push(Call::default());
            }
            let (kind, id, place) = (kind.to_owned(), id.clone(), place.clone());
            self.items.push(Item { kind, id, place, call, ..Item::default() });
            self.items.len() - 1
        })
    }

    fn text(&mut self, event: &Value, spoken: &'static str, text: &Value, next: bool) {
        let kind = if matches!(spoken, "text" | "refusal") { "message" } else { "reasoning" };
        let item = self.find(kind, &event["item_id"], &event["output_index"]);
        let number = if spoken == "summary" { &event["summary_index"] } else { &event["content_index"] };
        let key = (spoken, number.as_u64().unwrap_or(0));
        self.say(item, key, text.as_str().unwrap_or_default(), next, &event["logprobs"]);
    }

    fn say(&mut self, item: usize, key: (&'static str, u64), text: &str, next: bool, logprobs: &Value) {
        let known = &mut self.items[item];
        let id = known.id.clone();
        let start = self.plain.choices.entry(0).or_default().text.chars().count();
        let at = known.texts.iter().position(|text| text.key == key).unwrap_or_else(|| {
            known.texts.push(Text { key, text: String::new(), start, annotations: 0 });
            known.texts.len() - 1
        });
        let heard = &mut known.texts[at].text;
        let more = if next { text } else { text.strip_prefix(heard.as_str()).unwrap_or_default() };
        let is_new = next || heard.is_empty();
        heard.push_str(more);
        if is_new && says(logprobs) {
            self.plain.keep(Place::Choice(0), "logprobs", &json!({"content": logprobs, "refusal": null}));
        }
        if more.is_empty() {
            return;
        }
        let choice = self.plain.choices.entry(0).or_default();
        match key.0 {
            "text" => choice.text += more,
            "refusal" => choice.refusal += more,
            spoken => {
                choice.reasoning += more;
                let name = if spoken == "summary" { "summary" } else { "text" };
                let mut detail = Map::new();
                detail.insert("type".to_owned(), json!(format!("reasoning.{name}")));
                detail.insert(name.to_owned(), json!(more));
                choice.details.push(with_id(detail, &id));
            }
        }
    }

    fn argue(&mut self, call: usize, text: &str, next: bool) {
        let call = &mut self.plain.choices.entry(0).or_default().calls[call];
        let more = if next { text } else { text.strip_prefix(call.arguments.as_str()).unwrap_or_default() };
        call.arguments += more;
        call.pieces.push(more.to_owned());
    }

    fn item(&mut self, raw: &Value, place: &Value, done: bool) {
        let kind = raw["type"].as_str().unwrap_or_default();
        let count = self.items.len();
        let is_known = |item: &Item| item.kind == kind && !raw["id"].is_null() && item.id == raw["id"];
        let at = if done || self.items.iter().any(is_known) {
            self.find(kind, &raw["id"], place)
        } else {
            self.find(kind, &json!({"never": "equal"}), &json!({"never": "equal"}))
        };
        let is_new = self.items.len() > count;
        if is_new {
            self.items[at].id = raw["id"].clone();
            self.items[at].place = place.clone();
            self.begin(at, raw);
        }
        let closes = done && !self.items[at].done;
        self.items[at].done |= done;
        let choice = self.plain.choices.entry(0).or_default();
        match kind {
            "message" | "reasoning" => {
                for (number, part) in ["summary", "content"]
                    .iter()
                    .flat_map(|name| raw[*name].as_array().into_iter().flatten().enumerate())
                {
                    let spoken = match part["type"].as_str().unwrap_or_default() {
                        "output_text" => "text",
                        "refusal" => "refusal",
                        "summary_text" => "summary",
                        "reasoning_text" => "thought",
                        _ => {
                            self.plain.parts.extend(closes.then(|| part.clone()));
                            continue;
                        }
                    };
                    let text = part["text"].as_str().or(part["refusal"].as_str()).unwrap_or_default();
                    self.say(at, (spoken, number as u64), text, false, &part["logprobs"]);
                    for (cited, annotation) in
                        part["annotations"].as_array().into_iter().flatten().enumerate()
                    {
                        self.cite(at, number as u64, cited as u64, annotation);
                    }
                }
                if closes && says(&raw["encrypted_content"]) {
                    let choice = self.plain.choices.entry(0).or_default();
                    let detail = json!({"type": "reasoning.encrypted", "data": raw["encrypted_content"]});
                    choice.details.push(with_id(detail.as_object().unwrap().clone(), &raw["id"]));
                }
            }
            "function_call" => {
                let call = self.items[at].call;
                self.argue(call, raw["arguments"].as_str().unwrap_or_default(), false);
            }
            "image_generation_call" if closes && says(&raw["result"]) => {
                let format = raw["output_format"].as_str().unwrap_or("png");
                let url = format!("data:image/{format};base64,{}", raw["result"].as_str().unwrap());
                let mut rest = raw.clone();
                rest.as_object_mut().unwrap().remove("result");
                let image = json!([{"type": "image_url", "image_url": {"url": url}, "item": rest}]);
                self.beside("images", image);
            }
            _ if closes => {
                choice.said_more = true;
                self.plain.parts.push(raw.clone());
            }
            _ => self.items[at].raw = raw.clone(),
        }
    }

    /// An item that was not known.
    fn begin(&mut self, at: usize, raw: &Value) {
        let choice = self.plain.choices.entry(0).or_default();
        let (place, known) = match self.items[at].kind.as_str() {
            "message" => (Place::Delta(0), "type id role content status"),
            "function_call" => {
                let text = |name: &str| raw[name].as_str().unwrap_or_default().to_owned();
                let call = &mut choice.calls[self.items[at].call];
                (call.id, call.name) = (text("call_id"), text("name"));
                (Place::Tool(0), "type id call_id name arguments status item_id output_index sequence_number")
            }
            _ => return,
        };
        // The item's own id is for clients of this API alone.
        for (name, value) in raw.as_object().unwrap() {
            if !known.split_whitespace().any(|known| known == name) {
                self.plain.keep(place, name, value);
            }
        }
    }

    fn cite(&mut self, item: usize, index: u64, number: u64, annotation: &Value) {
        let Some(text) = self.items[item].texts.iter_mut().find(|text| text.key == ("text", index)) else {
            return;
        };
        if number < text.annotations {
            return;
        }
        text.annotations = number + 1;
        let mut inner = annotation.as_object().unwrap().clone();
        let kind = inner.remove("type").unwrap();
        for name in ["start_index", "end_index"] {
            if let Some(at) = inner.get(name).and_then(Value::as_u64) {
                inner.insert(name.to_owned(), json!(at + text.start as u64));
            }
        }
        let start = json!([{"type": kind, (kind.as_str().unwrap()): inner}]);
        self.plain.keep(Place::Delta(0), "annotations", &start);
    }

    fn end(&mut self, response: &Value) {
        let usage = response["usage"].clone();
        if counts(&usage) {
            self.plain.usages.push(in_words_of_chat(usage));
        }
        if response["status"] == "failed" || response["status"] == "cancelled" {
            self.plain.failed = true;
            return;
        }
        let output = response["output"].as_array().cloned().unwrap_or_default();
        if output.len() > self.items.len() {
            for (place, item) in output.iter().enumerate() {
                self.item(item, &json!(place), true);
            }
        }
        let open = self.items.iter_mut().filter(|item| !item.done && item.raw.is_object());
        self.plain.parts.extend(open.map(|item| item.raw.take()));
        for name in ["service_tier", "content_filters", "tool_usage", "moderation", "conversation"] {
            self.plain.keep(Place::Answer, name, &response[name]);
        }
        for name in ["input_messages", "output_messages"] {
            self.plain.keep(Place::Answer, name, &response[name]);
        }
        self.plain.keep(Place::Choice(0), "incomplete_details", &response["incomplete_details"]);
        let reason = response["incomplete_details"]["reason"].as_str();
        let status = response["status"].as_str().unwrap_or("completed");
        self.plain.choices.entry(0).or_default().finish = Some(reason.unwrap_or(status).to_owned());
        self.plain.done = true;
    }
}

fn with_id(mut detail: Map<String, Value>, id: &Value) -> Value {
    if says(id) {
        detail.insert("id".to_owned(), id.clone());
    }
    Value::Object(detail)
}

fn in_words_of_chat(mut usage: Value) -> Value {
    let usage_of = usage.as_object_mut().unwrap();
    for (name, ours) in [("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")] {
        for ending in ["", "_details"] {
            if let Some(value) = usage_of.remove(&format!("{name}{ending}")) {
                usage_of.insert(format!("{ours}{ending}"), value);
            }
        }
    }
    usage
}
