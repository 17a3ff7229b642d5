//! Ollama `/api/chat`: JSON lines.
//!
//! Source: <https://docs.ollama.com/api/chat>

use serde_json::Value;

use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, must, since, text};
use crate::mock::answer::{Answer, Call, Choice};
use crate::mock::ids::Ids;
use crate::mock::json::{Json, Object};
use crate::mock::manner::{
    Envelope, Figure, Figures, Finish, FinishPlace, Manner, Speech, Table, Usage, Wire, Words,
};
use crate::mock::manners::DEMO;
use crate::mock::render::{Frame, Kind};
use crate::mock::request::{Ask, Tool};
use crate::mock::usage::Counts;
use crate::mock::voice::ending;

/// The dialect.
pub(super) const NATIVE: Native = Native {
    manner: Manner {
        name: "ollama",
        about: "Ollama.",
        speech: SPEECH,
        wire: Wire { field: "", gap: 0, done: false, ..DEMO.wire },
        headers: &[("content-type", "application/x-ndjson")],
        envelope: Envelope::Text,
        model: Some("mock:1b"),
        candidates: false,
        finish: Finish {
            words: Words { stop: "stop", length: "length", calls: "stop", cut_calls: "length" },
            ..DEMO.finish
        },
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/api/chat",
    serves: |path| path.ends_with("/api/chat"),
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: ("", r#"{"error":"The mock failed while it answered."}"#),
    unknown: ("", r#"{"type":"telemetry","step":3,"ducks":["a","b"]}"#),
    late: (
        "",
        r#"{"model":"mock:1b","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":" too late"},"done":false}"#,
    ),
};

const FIGURES: Figures = &[("prompt_eval_count", Figure::Prompt), ("eval_count", Figure::Completion)];

const DURATIONS: Table = &[
    ("total_duration", "246778792"),
    ("load_duration", "39831125"),
    ("prompt_eval_duration", "18102375"),
    ("eval_duration", "104431583"),
];

fn line(manner: &Manner, message: Object) -> Object {
    Object::default()
        .with("model", manner.model.unwrap_or_default())
        .with("created_at", "2026-01-01T00:00:00.123456789Z")
        .with("message", message)
}

fn said(content: &str) -> Object {
    Object::default().with("role", "assistant").with("content", content)
}

fn tool_call(ids: Ids, slot: usize, call: &Call) -> Json {
    let arguments = call.value.clone().unwrap_or_else(|| Object::default().into());
    let function = Object::default()
        .with("index", slot as u64)
        .with("name", call.name.as_str())
        .with("arguments", arguments);
    Object::default().with("id", ids.call("call_", 0, slot, 0)).with("function", function).into()
}

/// Calls come whole; those that were cut do not come.
fn tool_calls(answer: &Answer, choice: &Choice) -> Vec<Json> {
    let ids = Ids::new(answer.seed);
    let calls = choice.calls.iter().filter(|_| !choice.cut).enumerate();
    calls.map(|(slot, call)| tool_call(ids, slot, call)).collect()
}

fn end(answer: &Answer, manner: &Manner, choice: &Choice, message: Object) -> Object {
    let mut end = line(manner, message).with("done", true);
    end.set("done_reason", ending(manner.finish.words, choice));
    end.extend(Object::from_table(DURATIONS));
    if let Json::Object(counts) = Counts::of(answer).report(manner.usage.figures) {
        end.extend(counts);
    }
    end
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let Some(choice) = answer.choices.first() else {
        return Object::default();
    };
    let mut message = said(&[choice.text.concat(), choice.refusal.concat()].concat());
    if !choice.reasoning.is_empty() {
        message.set("thinking", choice.reasoning.concat());
    }
    let calls = tool_calls(answer, choice);
    if !calls.is_empty() {
        message.set("tool_calls", calls);
    }
    end(answer, manner, choice, message)
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    let mut say = |message| {
        let line = line(manner, message).with("done", false);
        frames.push(Frame::chunk(line.write(manner.hand)));
    };
    for piece in &choice.reasoning {
        say(said("").with("thinking", piece.as_str()));
    }
    for piece in choice.text.iter().chain(&choice.refusal) {
        say(said(piece));
    }
    for call in tool_calls(answer, choice) {
        say(said("").with("tool_calls", vec![call]));
    }
    if manner.finish.place != FinishPlace::Nowhere {
        let end = end(answer, manner, choice, said(""));
        frames.push(Frame::named(Kind::Ending, "", end.write(manner.hand)));
    }
    frames
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    let body = post.body;
    let model = text(body, "model").ok_or_else(|| Refused::new("model is required"))?;
    let messages = list(body.get("messages"));
    check(messages)?;
    let speaks = |message: &Value| text(message, "role") == Some("user");
    let user = messages.iter().rev().find(|message| speaks(message));
    let user = user.and_then(|message| text(message, "content")).unwrap_or_default();
    let last = messages.last().filter(|last| text(last, "role") == Some("tool"));
    let functions = list(body.get("tools")).iter().filter_map(|tool| tool.get("function"));
    let tools = functions.filter_map(|function| {
        let parameters = function.get("parameters").cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(function, "name")?.to_owned(), parameters })
    });
    let turn = since(messages, speaks);
    let called = turn.iter().flat_map(|message| list(message.get("tool_calls")));
    let called = called.filter_map(|call| text(call.get("function")?, "name"));
    let calling = Calling {
        tools: tools.collect(),
        in_turn: user.contains(IN_TURN),
        called: called.collect(),
        ..Calling::default()
    };
    let structure = match body.get("format") {
        None | Some(Value::Null) => None,
        Some(Value::String(format)) => (format == "json").then_some(Value::Null),
        Some(schema) => Some(schema.clone()),
    };
    let think = body.get("think").unwrap_or(&Value::Null);
    let prompt = Value::from(messages.to_vec()).to_string();
    Ok(Ask {
        model: model.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(true),
        include_usage: true,
        calls: calling.next(),
        tool_result: last.and_then(|last| text(last, "content")).map(str::to_owned),
        structure,
        limit: body.pointer("/options/num_predict").and_then(Value::as_u64),
        thinks: think.as_bool() == Some(true) || think.is_string(),
        refused: user.contains(REFUSES),
        user: user.to_owned(),
        ..Ask::about(&prompt)
    })
}

/// The real one decodes into Go's types, and says so.
fn check(messages: &[Value]) -> Result<(), Refused> {
    let field = |what: &str, place: &str, kind: &str| {
        format!(
            "json: cannot unmarshal {what} into Go struct field ChatRequest.messages.{place} of type {kind}"
        )
    };
    for message in messages {
        must(text(message, "role").is_some(), || "missing role".to_owned())?;
        let content = message.get("content").unwrap_or(&Value::Null);
        must(content.is_string() || content.is_null(), || field("array", "content", "string"))?;
        for call in list(message.get("tool_calls")) {
            let arguments = call.pointer("/function/arguments").unwrap_or(&Value::Null);
            must(arguments.is_object(), || {
                field("string", "tool_calls.function.arguments", "api.ToolCallFunctionArguments")
            })?;
        }
    }
    Ok(())
}
