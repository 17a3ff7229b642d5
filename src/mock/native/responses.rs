//! OpenAI Responses.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses-streaming>

use serde_json::Value;

use super::seal::{unwrap, wrap};
use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, must, since, text};
use crate::mock::answer::{Answer, Call, Choice};
use crate::mock::ids::Ids;
use crate::mock::json::{Json, Object};
use crate::mock::manner::{Figure, Figures, FinishPlace, Manner, Speech, Usage, Wire};
use crate::mock::manners::DEMO;
use crate::mock::render::{CREATED, Frame, Kind};
use crate::mock::request::{Ask, Tool, words};
use crate::mock::usage::Counts;

/// The dialect.
pub(super) const NATIVE: Native = Native {
    manner: Manner {
        name: "responses",
        about: "OpenAI Responses.",
        speech: SPEECH,
        wire: Wire { done: false, ..DEMO.wire },
        candidates: false,
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/v1/responses",
    serves: |path| path.ends_with("/responses"),
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: (
        "error",
        r#"{"type":"error","code":"server_error","message":"The mock failed while it answered.","param":null,"sequence_number":99}"#,
    ),
    unknown: (
        "response.telemetry",
        r#"{"type":"response.telemetry","sequence_number":99,"ducks":["a","b"]}"#,
    ),
    late: (
        "response.output_text.delta",
        r#"{"type":"response.output_text.delta","content_index":0,"delta":" too late","item_id":"msg_late","output_index":0,"sequence_number":99}"#,
    ),
};

const FIGURES: Figures = &[
    ("input_tokens", Figure::Prompt),
    ("input_tokens_details", Figure::Group(&[("cached_tokens", Figure::Cached)])),
    ("output_tokens", Figure::Completion),
    ("output_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Reasoning)])),
    ("total_tokens", Figure::Total),
];

/// What thoughts are wrapped for.
const THOUGHT: &str = "responses reasoning";

/// The beginning of the id of a call that a thought led to: it may not come back without that thought.
const THOUGHTFUL: &str = "fc_r";

/// The fields that a request may have.
const FIELDS: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_tool_calls",
    "reasoning",
    "include",
    "store",
    "max_output_tokens",
    "text",
    "temperature",
    "top_p",
    "top_logprobs",
    "metadata",
    "user",
    "previous_response_id",
    "service_tier",
    "truncation",
    "background",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "conversation",
    "client_metadata",
    "context_management",
];

/// What items may have, by their type.
const MEMBERS: &[(&str, &[&str])] = &[
    ("message", &["type", "id", "status", "role", "content", "phase"]),
    ("reasoning", &["type", "id", "summary", "content", "encrypted_content"]),
    ("function_call", &["type", "id", "status", "call_id", "name", "namespace", "arguments"]),
    ("function_call_output", &["type", "id", "status", "call_id", "output"]),
];

/// The longest id of a call.
const CALL_ID_AT_MOST: usize = 64;

/// An item of the output: what it is called, and what it says.
enum Item<'a> {
    Reasoning(&'a Choice),
    Message(&'a [String], Part),
    Call(usize, &'a Call),
}

/// A part of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Refusal,
}

impl Part {
    fn object(self, text: &str) -> Object {
        match self {
            Part::Text => kind("output_text")
                .with("annotations", Vec::new())
                .with("logprobs", Vec::new())
                .with("text", text),
            Part::Refusal => kind("refusal").with("refusal", text),
        }
    }
}

fn kind(kind: &str) -> Object {
    Object::default().with("type", kind)
}

fn items(choice: &Choice) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    if !choice.reasoning.is_empty() {
        items.push(Item::Reasoning(choice));
    }
    for (pieces, part) in [(&choice.text, Part::Text), (&choice.refusal, Part::Refusal)] {
        if !pieces.is_empty() {
            items.push(Item::Message(pieces, part));
        }
    }
    items.extend(choice.calls.iter().enumerate().map(|(slot, call)| Item::Call(slot, call)));
    items
}

struct Voice<'a> {
    answer: &'a Answer,
    choice: &'a Choice,
    manner: &'a Manner,
    ids: Ids,
    frames: Vec<Frame>,
}

impl<'a> Voice<'a> {
    fn new(answer: &'a Answer, choice: &'a Choice, manner: &'a Manner) -> Self {
        Self { answer, choice, manner, ids: Ids::new(answer.seed), frames: Vec::new() }
    }

    fn id(&self, item: &Item<'_>) -> String {
        match item {
            Item::Reasoning(_) => self.ids.call("rs_", 0, 0, 2),
            Item::Message(..) => self.ids.call("msg_", 0, 0, 3),
            Item::Call(slot, _) => {
                let prefix = if self.choice.reasoning.is_empty() { "fc_0" } else { THOUGHTFUL };
                self.ids.call(prefix, 0, *slot, 4)
            }
        }
    }

    /// An item as it begins, or as it ends.
    fn item(&self, item: &Item<'_>, is_done: bool) -> Object {
        let mut object = Object::default().with("id", self.id(item));
        let status = match (is_done, self.choice.cut) {
            (false, _) => "in_progress",
            (true, true) => "incomplete",
            (true, false) => "completed",
        };
        match item {
            Item::Reasoning(choice) => {
                let text = choice.reasoning.concat();
                object.set("type", "reasoning");
                if choice.sealed {
                    object.set("encrypted_content", wrap(THOUGHT, &text));
                }
                let summary = kind("summary_text").with("text", text);
                let is_told = is_done && !choice.hidden;
                object.set("summary", if is_told { vec![summary.into()] } else { Vec::new() });
            }
            Item::Message(pieces, part) => {
                object.set("type", "message").set("status", status);
                let content = if is_done { vec![part.object(&pieces.concat()).into()] } else { Vec::new() };
                object.set("content", content).set("role", "assistant");
            }
            Item::Call(slot, call) => {
                object.set("type", "function_call").set("status", status);
                object.set("arguments", if is_done { arguments(call) } else { String::new() });
                object.set("call_id", self.ids.call("call_", 0, *slot, 0));
                object.set("name", call.name.as_str());
            }
        }
        object
    }

    fn response(&self, status: &str, output: Vec<Json>) -> Object {
        let incomplete = match status {
            "incomplete" => Json::from(Object::default().with("reason", "max_output_tokens")),
            _ => Json::Null,
        };
        let usage = match status {
            "in_progress" => Json::Null,
            _ => Counts::of(self.answer).report(self.manner.usage.figures),
        };
        Object::default()
            .with("id", self.ids.call("resp_", 0, 0, 1))
            .with("object", "response")
            .with("created_at", CREATED)
            .with("status", status)
            .with("error", Json::Null)
            .with("incomplete_details", incomplete)
            .with("instructions", Json::Null)
            .with("metadata", Object::default())
            .with("model", self.manner.model.unwrap_or_default())
            .with("output", output)
            .with("parallel_tool_calls", true)
            .with("temperature", 1)
            .with("tool_choice", "auto")
            .with("tools", Vec::new())
            .with("top_p", 1)
            .with("usage", usage)
    }

    fn status(&self) -> &'static str {
        if self.choice.cut { "incomplete" } else { "completed" }
    }

    fn finished(&self) -> Object {
        let output = items(self.choice).iter().map(|item| self.item(item, true).into()).collect();
        self.response(self.status(), output)
    }

    fn say(&mut self, frame: Kind, name: &'static str, members: Object) {
        let mut event = kind(name).with("sequence_number", self.frames.len() as u64);
        event.extend(members);
        self.frames.push(Frame::named(frame, name, event.write(self.manner.hand)));
    }

    fn output(&mut self, index: u64, item: &Item<'_>) {
        let at = Object::default().with("output_index", index);
        let begun = at.clone().with("item", self.item(item, false));
        self.say(Kind::Chunk, "response.output_item.added", begun);
        let place = at.clone().with("item_id", self.id(item));
        match item {
            Item::Reasoning(choice) if choice.hidden => {}
            Item::Reasoning(choice) => self.summary(&place, &choice.reasoning),
            Item::Message(pieces, part) => self.message(&place, pieces, *part),
            Item::Call(_, call) => self.call(&place, call),
        }
        let done = at.with("item", self.item(item, true));
        self.say(Kind::Chunk, "response.output_item.done", done);
    }

    fn summary(&mut self, place: &Object, pieces: &[String]) {
        let place = place.clone().with("summary_index", 0);
        let part = |text: &str| kind("summary_text").with("text", text);
        let all = pieces.concat();
        let name = "response.reasoning_summary_part.added";
        self.say(Kind::Chunk, name, place.clone().with("part", part("")));
        for piece in pieces {
            let delta = place.clone().with("delta", piece.as_str());
            self.say(Kind::Chunk, "response.reasoning_summary_text.delta", delta);
        }
        let name = "response.reasoning_summary_text.done";
        self.say(Kind::Chunk, name, place.clone().with("text", all.as_str()));
        self.say(Kind::Chunk, "response.reasoning_summary_part.done", place.with("part", part(&all)));
    }

    fn message(&mut self, place: &Object, pieces: &[String], part: Part) {
        let place = place.clone().with("content_index", 0);
        let all = pieces.concat();
        let added = place.clone().with("part", part.object(""));
        self.say(Kind::Chunk, "response.content_part.added", added);
        let (delta, done, key) = match part {
            Part::Text => ("response.output_text.delta", "response.output_text.done", "text"),
            Part::Refusal => ("response.refusal.delta", "response.refusal.done", "refusal"),
        };
        for (position, piece) in pieces.iter().enumerate() {
            let mut event = place.clone().with("delta", piece.as_str());
            if part == Part::Text {
                event.set("logprobs", Vec::new());
            }
            event.set("obfuscation", self.ids.padding(position));
            self.say(Kind::Chunk, delta, event);
        }
        let mut event = place.clone().with(key, all.as_str());
        if part == Part::Text {
            event.set("logprobs", Vec::new());
        }
        self.say(Kind::Chunk, done, event);
        self.say(Kind::Chunk, "response.content_part.done", place.with("part", part.object(&all)));
    }

    fn call(&mut self, place: &Object, call: &Call) {
        let nothing = ["{}".to_owned()];
        let pieces = if call.value.is_some() { call.pieces.as_slice() } else { &nothing };
        for piece in pieces {
            let delta = place.clone().with("delta", piece.as_str());
            self.say(Kind::Chunk, "response.function_call_arguments.delta", delta);
        }
        let done = place.clone().with("arguments", arguments(call)).with("name", call.name.as_str());
        self.say(Kind::Chunk, "response.function_call_arguments.done", done);
    }
}

/// A tool without parameters is called with an empty object.
fn arguments(call: &Call) -> String {
    if call.value.is_some() { call.pieces.concat() } else { "{}".to_owned() }
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let choice = answer.choices.first();
    choice.map(|choice| Voice::new(answer, choice, manner).finished()).unwrap_or_default()
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut voice = Voice::new(answer, choice, manner);
    for name in ["response.created", "response.in_progress"] {
        let response = voice.response("in_progress", Vec::new());
        voice.say(Kind::Chunk, name, Object::default().with("response", response));
    }
    for (index, item) in (0..).zip(&items(choice)) {
        voice.output(index, item);
    }
    if manner.finish.place != FinishPlace::Nowhere {
        let name = if choice.cut { "response.incomplete" } else { "response.completed" };
        let response = voice.finished();
        voice.say(Kind::Ending, name, Object::default().with("response", response));
    }
    voice.frames
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    let body = post.body;
    for name in body.as_object().into_iter().flat_map(|body| body.keys()) {
        must(FIELDS.contains(&name.as_str()), || format!("Unknown parameter: '{name}'."))?;
    }
    let model = text(body, "model").ok_or_else(|| Refused::new("Missing required parameter: 'model'."))?;
    let limit = body.get("max_output_tokens").and_then(Value::as_u64);
    must(limit.is_none_or(|limit| limit >= 16), || {
        format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {} instead.",
            limit.unwrap_or_default()
        )
    })?;
    let input = body.get("input").unwrap_or(&Value::Null);
    let items = list(Some(input));
    check(items, body)?;
    let user = items.iter().rev().find(|item| speaks(item));
    let user = match input {
        Value::String(words) => words.clone(),
        _ => words(user.and_then(|item| item.get("content"))),
    };
    let last = items.last().filter(|item| text(item, "type") == Some("function_call_output"));
    let effort = body.pointer("/reasoning/effort").and_then(Value::as_str);
    let summary = body.pointer("/reasoning/summary").and_then(Value::as_str);
    let structure = match body.pointer("/text/format/type").and_then(Value::as_str) {
        Some("json_schema") => body.pointer("/text/format/schema").cloned(),
        Some("json_object") => Some(Value::Null),
        Some(_) | None => None,
    };
    Ok(Ask {
        model: model.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: true,
        calls: calling(body, items, &user).next(),
        tool_result: last.map(|last| words(last.get("output"))),
        structure,
        limit,
        thinks: effort.is_some_and(|effort| effort != "none") || summary.is_some(),
        hides: summary.is_none(),
        seals: list(body.get("include")).iter().any(|name| name == "reasoning.encrypted_content"),
        refused: user.contains(REFUSES),
        user,
        ..Ask::about(&input.to_string())
    })
}

/// True of a message of the user's.
fn speaks(item: &Value) -> bool {
    text(item, "role") == Some("user")
}

fn calling<'a>(body: &'a Value, items: &'a [Value], user: &str) -> Calling<'a> {
    let functions = list(body.get("tools")).iter().filter(|tool| text(tool, "type") == Some("function"));
    let tools = functions.filter_map(|tool| {
        let parameters = tool.get("parameters").cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(tool, "name")?.to_owned(), parameters })
    });
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    let called = since(items, speaks).iter().filter(|item| text(item, "type") == Some("function_call"));
    let alone = body.get("parallel_tool_calls").and_then(Value::as_bool) == Some(false);
    Calling {
        tools: tools.collect(),
        never: choice == "none",
        only: text(choice, "name"),
        in_turn: alone || user.contains(IN_TURN),
        called: called.filter_map(|item| text(item, "name")).collect(),
    }
}

fn check(items: &[Value], body: &Value) -> Result<(), Refused> {
    if let Some(id) = text(body, "previous_response_id") {
        return Err(Refused::new(format!("Previous response with id '{id}' not found.")));
    }
    let stores = body.get("store").and_then(Value::as_bool) != Some(false);
    let (mut open, mut thought) = (Vec::new(), false);
    for (at, item) in items.iter().enumerate() {
        let kind = text(item, "type").unwrap_or("message");
        let known = MEMBERS.iter().find(|(known, _)| *known == kind).map(|(_, members)| *members);
        for name in item.as_object().into_iter().flat_map(|item| item.keys()) {
            must(known.is_none_or(|known| known.contains(&name.as_str())), || {
                format!("Unknown parameter: 'input[{at}].{name}'.")
            })?;
        }
        let id = text(item, "id").unwrap_or_default();
        let call = text(item, "call_id").unwrap_or_default();
        must(call.len() <= CALL_ID_AT_MOST, || {
            format!(
                "Invalid 'input[{at}].call_id': string too long. Expected a string with maximum length {CALL_ID_AT_MOST}."
            )
        })?;
        match kind {
            "reasoning" => {
                thought = true;
                match text(item, "encrypted_content") {
                    Some(content) => must(unwrap(THOUGHT, content).is_some(), || {
                        format!("The encrypted content for item {id} could not be verified.")
                    })?,
                    None => must(stores, || {
                        format!(
                            "Item with id '{id}' not found. Items are not persisted when `store` is set to false. \
                             Try again with `store` set to true, or remove this item from your input."
                        )
                    })?,
                }
            }
            "function_call" => {
                must(thought || !id.starts_with(THOUGHTFUL), || {
                    format!(
                        "Item '{id}' of type 'function_call' was provided without its required 'reasoning' item."
                    )
                })?;
                must(text(item, "arguments").is_some(), || {
                    "Invalid type for 'input.arguments': expected a string.".to_owned()
                })?;
                open.push(call);
            }
            "function_call_output" => {
                must(open.contains(&call), || {
                    format!("No tool call found for function call output with call_id {call}.")
                })?;
                open.retain(|known| *known != call);
            }
            _ => thought &= !speaks(item),
        }
    }
    let missing = open.first().copied().unwrap_or_default();
    must(open.is_empty(), || format!("No tool output found for function call {missing}."))
}
