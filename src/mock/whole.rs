//! An answer in a manner as one JSON object: what a request without `stream` gets.

use super::answer::{Answer, Choice};
use super::fragments::Fragments;
use super::ids::Ids;
use super::json::{Json, Object};
use super::manner::{FinishPlace, Id, Manner, UsagePlace};
use super::render::CREATED;
use super::usage::Counts;
use super::voice::{detail, ending};

/// Renders an answer as a `chat.completion`, which has its end and its usage in any manner.
pub fn completion(answer: &Answer, manner: &Manner) -> Object {
    let what = What { name: "chat.completion", usage: true, finish: true };
    object(answer, manner, what)
}

/// Renders an answer as the only event of a stream, with `message` in place of `delta`.
pub fn message_event(answer: &Answer, manner: &Manner) -> Object {
    let what = What {
        name: "chat.completion.chunk",
        usage: manner.usage.place == UsagePlace::Finish,
        finish: manner.finish.place != FinishPlace::Nowhere,
    };
    object(answer, manner, what)
}

/// What to render.
#[derive(Clone, Copy)]
struct What {
    name: &'static str,
    usage: bool,
    finish: bool,
}

fn object(answer: &Answer, manner: &Manner, what: What) -> Object {
    let ids = Ids::new(answer.seed);
    let mut object = Object::default();
    if let Some(id) = ids.chunk(manner.id, 0) {
        object.set("id", id);
    } else if manner.id == Id::Number {
        object.set("id", ids.number());
    }
    object.set("object", what.name).set("created", CREATED);
    object.set("model", manner.model.unwrap_or("mock-1"));
    object.extend(Object::from_table(manner.top));
    let choices = answer.choices.iter().enumerate();
    let choices: Vec<Json> = choices
        .map(|(candidate, choice)| {
            let mut whole = whole_choice(manner, ids, candidate, choice);
            if !what.finish {
                whole.set("finish_reason", Json::Null);
            }
            whole.into()
        })
        .collect();
    object.set("choices", choices);
    if what.usage {
        object.set("usage", Counts::of(answer).report(manner.usage.figures));
    }
    object
}

fn whole_choice(manner: &Manner, ids: Ids, candidate: usize, choice: &Choice) -> Object {
    let finish = manner.finish;
    let mut whole = Object::default()
        .with("index", candidate as u64)
        .with("message", message(manner, ids, candidate, choice));
    whole.extend(Object::from_table(manner.choice));
    whole.set("finish_reason", ending(finish.words, choice));
    if let Some(native) = finish.native {
        whole.set("native_finish_reason", ending(native, choice));
    }
    whole
}

fn message(manner: &Manner, ids: Ids, candidate: usize, choice: &Choice) -> Object {
    let mut message = Object::default().with("role", "assistant");
    let text = text(manner, choice);
    if text.is_empty() {
        message.set("content", Json::Null);
    } else if manner.audio {
        message.set("content", Json::Null);
        message.set("audio", Object::default().with("transcript", text));
    } else {
        message.set("content", text);
    }
    if !choice.refusal.is_empty() {
        message.set("refusal", choice.refusal.concat());
    }
    set_reasoning(&mut message, manner, choice);
    if choice.calls.is_empty() {
        return message;
    }
    let fragments = Fragments::new(manner.calls, ids, candidate);
    if manner.calls.legacy
        && let Some(call) = choice.calls.first()
        && let Json::Object(call) = fragments.finished(0, call)
        && let Some(function) = call.find("function")
    {
        return message.with("function_call", function.clone());
    }
    let calls = choice.calls.iter().enumerate();
    let calls: Vec<Json> = calls.map(|(slot, call)| fragments.finished(slot, call)).collect();
    message.with("tool_calls", calls)
}

/// The text, with the reasoning between tags before it where the manner says so.
fn text(manner: &Manner, choice: &Choice) -> String {
    let tags = manner.reasoning.and_then(|reasoning| reasoning.tags);
    let text = choice.text.concat();
    match tags {
        Some((opening, closing)) => {
            let reasoning = choice.reasoning.concat();
            format!("{}{reasoning}{}{text}", opening.concat(), closing.concat())
        }
        None => text,
    }
}

fn set_reasoning(message: &mut Object, manner: &Manner, choice: &Choice) {
    let Some(reasoning) = manner.reasoning else {
        return;
    };
    let text = choice.reasoning.concat();
    for field in reasoning.fields {
        message.set(field, text.as_str());
    }
    if let Some(details) = &reasoning.details {
        let detail = detail(details, &text).with("format", details.format);
        message.set("reasoning_details", vec![detail.into()]);
    }
}
