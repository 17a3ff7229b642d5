//! Cohere v2 chat.
//!
//! Source: <https://docs.cohere.com/v2/reference/chat-stream>

use serde_json::Value;

use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, must, since, text};
use crate::mock::answer::{Answer, Call, Choice};
use crate::mock::ids::Ids;
use crate::mock::json::{Json, Object};
use crate::mock::manner::{Envelope, Figure, Figures, Finish, FinishPlace, Manner, Speech, Usage, Words};
use crate::mock::manners::DEMO;
use crate::mock::render::{Frame, Kind};
use crate::mock::request::{Ask, Tool, words};
use crate::mock::usage::Counts;
use crate::mock::voice::ending;

/// The dialect.
pub(super) const NATIVE: Native = Native {
    manner: Manner {
        name: "cohere",
        about: "Cohere v2 chat.",
        speech: SPEECH,
        headers: &[("content-type", "text/event-stream"), ("x-debug-trace-id", "mock0001")],
        envelope: Envelope::Cohere,
        candidates: false,
        finish: Finish {
            words: Words {
                stop: "COMPLETE",
                length: "MAX_TOKENS",
                calls: "TOOL_CALL",
                cut_calls: "MAX_TOKENS",
            },
            ..DEMO.finish
        },
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/v2/chat",
    serves: |path| path.ends_with("/v2/chat"),
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: (
        "message-end",
        r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"The mock failed while it answered."}}"#,
    ),
    unknown: ("telemetry", r#"{"type":"telemetry","step":3,"ducks":["a","b"]}"#),
    late: (
        "content-delta",
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":" too late"}}}}"#,
    ),
};

/// What is billed is less than what is counted.
const FIGURES: Figures = &[
    (
        "billed_units",
        Figure::Group(&[("input_tokens", Figure::Uncached), ("output_tokens", Figure::Visible)]),
    ),
    ("tokens", Figure::Group(&[("input_tokens", Figure::Prompt), ("output_tokens", Figure::Completion)])),
    ("cached_tokens", Figure::Cached),
];

fn function(call: &Call, arguments: &str) -> Object {
    Object::default().with("name", call.name.as_str()).with("arguments", arguments)
}

fn tool_call(ids: Ids, slot: usize, call: &Call, arguments: &str) -> Object {
    Object::default()
        .with("id", ids.call(&format!("{}_", call.name), 0, slot, 0))
        .with("type", "function")
        .with("function", function(call, arguments))
}

/// What the model plans before it calls tools, unless it thinks; a limit that cuts the calls leaves no room for it.
const PLAN: [&str; 4] = ["I will", " look", " at the", " étang."];

fn plan(choice: &Choice) -> &'static [&'static str] {
    if choice.calls.is_empty() || !choice.reasoning.is_empty() || choice.cut { &[] } else { &PLAN }
}

/// The blocks of content: thoughts, then words.
fn blocks(choice: &Choice) -> impl Iterator<Item = (&'static str, &[String])> {
    let blocks = [
        ("thinking", choice.reasoning.as_slice()),
        ("text", choice.text.as_slice()),
        ("text", choice.refusal.as_slice()),
    ];
    blocks.into_iter().filter(|(_, pieces)| !pieces.is_empty())
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let Some(choice) = answer.choices.first() else {
        return Object::default();
    };
    let content = blocks(choice)
        .map(|(key, pieces)| Json::from(Object::default().with("type", key).with(key, pieces.concat())));
    let mut message =
        Object::default().with("role", "assistant").with("content", content.collect::<Vec<_>>());
    let ids = Ids::new(answer.seed);
    if !plan(choice).is_empty() {
        message.set("tool_plan", plan(choice).concat());
    }
    if !choice.calls.is_empty() {
        let calls = choice.calls.iter().enumerate();
        let calls = calls.map(|(slot, call)| tool_call(ids, slot, call, &arguments(call)).into());
        message.set("tool_calls", calls.collect::<Vec<Json>>());
    }
    Object::default()
        .with("id", ids.call("mock-", 0, 0, 1))
        .with("message", message)
        .with("finish_reason", ending(manner.finish.words, choice))
        .with("usage", Counts::of(answer).report(manner.usage.figures))
}

/// A tool without parameters is called with an empty object.
fn arguments(call: &Call) -> String {
    if call.pieces.is_empty() { "{}".to_owned() } else { call.pieces.concat() }
}

struct Voice<'a> {
    manner: &'a Manner,
    frames: Vec<Frame>,
}

impl Voice<'_> {
    /// Says an event of the message: where it stands, and what it says.
    fn say(&mut self, name: &'static str, index: u64, key: &str, value: Option<Object>) {
        let mut event = Object::default().with("type", name).with("index", index);
        if let Some(value) = value {
            let message = Object::default().with(key, value);
            event.set("delta", Object::default().with("message", message));
        }
        self.frames.push(Frame::named(Kind::Chunk, name, event.write(self.manner.hand)));
    }

    fn start(&mut self, ids: Ids) {
        let mut message = Object::default().with("role", "assistant");
        for key in ["content", "tool_calls", "citations"] {
            message.set(key, Vec::new());
        }
        message.set("tool_plan", "");
        let event = Object::default()
            .with("id", ids.call("mock-", 0, 0, 1))
            .with("type", "message-start")
            .with("delta", Object::default().with("message", message));
        self.frames.push(Frame::named(Kind::Chunk, "message-start", event.write(self.manner.hand)));
    }

    /// The plan has no place among the blocks.
    fn plan(&mut self, pieces: &[&str]) {
        for piece in pieces {
            let message = Object::default().with("tool_plan", *piece);
            let event = Object::default()
                .with("type", "tool-plan-delta")
                .with("delta", Object::default().with("message", message));
            self.frames.push(Frame::named(Kind::Chunk, "tool-plan-delta", event.write(self.manner.hand)));
        }
    }

    fn block(&mut self, index: u64, key: &'static str, pieces: &[String]) {
        let start = Object::default().with("type", key).with(key, "");
        self.say("content-start", index, "content", Some(start));
        for piece in pieces {
            self.say("content-delta", index, "content", Some(Object::default().with(key, piece.as_str())));
        }
        self.say("content-end", index, "", None);
    }

    fn call(&mut self, ids: Ids, slot: usize, call: &Call) {
        let index = slot as u64;
        self.say("tool-call-start", index, "tool_calls", Some(tool_call(ids, slot, call, "")));
        let nothing = ["{}".to_owned()];
        let pieces = if call.value.is_some() { call.pieces.as_slice() } else { &nothing };
        for piece in pieces {
            let function = Object::default().with("arguments", piece.as_str());
            let delta = Object::default().with("function", function);
            self.say("tool-call-delta", index, "tool_calls", Some(delta));
        }
        self.say("tool-call-end", index, "", None);
    }

    fn end(&mut self, answer: &Answer, choice: &Choice) {
        if self.manner.finish.place != FinishPlace::Nowhere {
            let delta = Object::default()
                .with("finish_reason", ending(self.manner.finish.words, choice))
                .with("usage", Counts::of(answer).report(self.manner.usage.figures));
            let event = Object::default().with("type", "message-end").with("delta", delta);
            self.frames.push(Frame::named(Kind::Ending, "message-end", event.write(self.manner.hand)));
        }
        if self.manner.wire.done {
            self.frames.push(Frame::done());
        }
    }
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let ids = Ids::new(answer.seed);
    let mut voice = Voice { manner, frames: Vec::new() };
    voice.start(ids);
    voice.plan(plan(choice));
    for (index, (key, pieces)) in (0..).zip(blocks(choice)) {
        voice.block(index, key, pieces);
    }
    for (slot, call) in choice.calls.iter().enumerate() {
        voice.call(ids, slot, call);
    }
    voice.end(answer, choice);
    voice.frames
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    let body = post.body;
    let model =
        text(body, "model").ok_or_else(|| Refused::new("invalid request: model parameter is required."))?;
    let messages = list(body.get("messages"));
    must(!messages.is_empty(), || "invalid request: messages must not be empty".to_owned())?;
    check(messages)?;
    let speaks = |message: &Value| text(message, "role") == Some("user");
    let user = messages.iter().rev().find(|message| speaks(message));
    let user = words(user.and_then(|message| message.get("content")));
    let last = messages.last().filter(|last| text(last, "role") == Some("tool"));
    let functions = list(body.get("tools")).iter().filter_map(|tool| tool.get("function"));
    let tools = functions.filter_map(|function| {
        let parameters = function.get("parameters").cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(function, "name")?.to_owned(), parameters })
    });
    let turn = since(messages, speaks);
    let called = turn.iter().flat_map(|message| list(message.get("tool_calls")));
    let calling = Calling {
        tools: tools.collect(),
        never: text(body, "tool_choice") == Some("NONE"),
        in_turn: user.contains(IN_TURN),
        called: called.filter_map(|call| text(call.get("function")?, "name")).collect(),
        ..Calling::default()
    };
    let format = body.get("response_format").filter(|format| text(format, "type") == Some("json_object"));
    let structure = format.map(|format| {
        let schema = format.get("json_schema").or_else(|| format.get("schema"));
        schema.cloned().unwrap_or(Value::Null)
    });
    let prompt = Value::from(messages.to_vec()).to_string();
    Ok(Ask {
        model: model.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: true,
        calls: calling.next(),
        tool_result: last.map(result),
        structure,
        limit: body.get("max_tokens").and_then(Value::as_u64),
        thinks: body.pointer("/thinking/type").and_then(Value::as_str) == Some("enabled"),
        refused: user.contains(REFUSES),
        user,
        ..Ask::about(&prompt)
    })
}

/// The words of a result, which may be a document.
fn result(message: &Value) -> String {
    let content = message.get("content");
    let documents = list(content).iter().filter_map(|part| {
        let data = part.pointer("/document/data")?;
        Some(data.as_str().map_or_else(|| data.to_string(), str::to_owned))
    });
    words(content) + &documents.collect::<String>()
}

fn check(messages: &[Value]) -> Result<(), Refused> {
    let mut waiting: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        must(matches!(role, "system" | "user" | "assistant" | "tool"), || {
            format!("invalid request: messages[{at}].role must be one of system, user, assistant, tool")
        })?;
        if role == "tool" {
            let id = text(message, "tool_call_id").unwrap_or_default();
            must(waiting.contains(&id), || {
                format!("invalid request: tool call id not found in previous tool calls: {id}")
            })?;
            waiting.retain(|known| *known != id);
            continue;
        }
        must(waiting.is_empty(), || {
            format!("invalid request: missing tool results for tool calls: {}", waiting.join(", "))
        })?;
        let calls = list(message.get("tool_calls")).iter();
        waiting = calls.filter_map(|call| text(call, "id")).collect();
        let says = !words(message.get("content")).is_empty() || !list(message.get("content")).is_empty();
        must(says || !waiting.is_empty(), || {
            format!("invalid request: messages[{at}] must have non-empty content or tool calls")
        })?;
    }
    must(waiting.is_empty(), || {
        format!("invalid request: missing tool results for tool calls: {}", waiting.join(", "))
    })
}
