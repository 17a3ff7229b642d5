//! Gemini: `streamGenerateContent` with `alt=sse`, and `generateContent`.
//!
//! Source: <https://ai.google.dev/api/generate-content>, "Thought signatures"

use serde_json::Value;

use super::seal::{is_seal, seal};
use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, model_in, must, since, text};
use crate::mock::answer::{Answer, Call, Choice};
use crate::mock::ids::Ids;
use crate::mock::json::{Handwriting, Json, Object};
use crate::mock::manner::{
    Envelope, Figure, Figures, Finish, FinishPlace, Manner, Speech, Usage, Wire, Words,
};
use crate::mock::manners::DEMO;
use crate::mock::render::{Frame, Kind};
use crate::mock::request::{Ask, Tool, words};
use crate::mock::usage::Counts;
use crate::mock::voice::ending;

/// The dialect.
pub(super) const NATIVE: Native = Native {
    manner: Manner {
        name: "gemini",
        about: "Gemini.",
        speech: SPEECH,
        wire: Wire { line_end: "\r\n", done: false, ..DEMO.wire },
        headers: &[("content-type", "text/event-stream")],
        envelope: Envelope::Status,
        model: Some("gemini-mock-1"),
        candidates: false,
        finish: Finish {
            words: Words { stop: "STOP", length: "MAX_TOKENS", calls: "STOP", cut_calls: "MAX_TOKENS" },
            ..DEMO.finish
        },
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/v1beta/models/<model>:streamGenerateContent",
    serves: |path| {
        path.contains("/models/")
            && (path.ends_with(":streamGenerateContent") || path.ends_with(":generateContent"))
    },
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: (
        "",
        r#"{"error":{"code":503,"message":"The mock failed while it answered.","status":"UNAVAILABLE"}}"#,
    ),
    unknown: ("", r#"{"telemetry":{"step":3,"ducks":["a","b"]}}"#),
    late: ("", r#"{"candidates":[{"content":{"parts":[{"text":" too late"}],"role":"model"},"index":0}]}"#),
};

const FIGURES: Figures = &[
    ("promptTokenCount", Figure::Prompt),
    ("cachedContentTokenCount", Figure::Cached),
    ("candidatesTokenCount", Figure::Visible),
    ("thoughtsTokenCount", Figure::Reasoning),
    ("totalTokenCount", Figure::Total),
];

/// What calls and texts are signed for.
const CALL: &str = "gemini call";
const TEXT: &str = "gemini text";

/// Signatures that the real API takes in place of its own.
const DUMMIES: &[&str] = &["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// Families of models that want no signatures back.
const OLDER: &[&str] = &["gemini-1", "gemini-2"];

/// The fields that a request may have.
const FIELDS: &[&str] = &[
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "labels",
    "serviceTier",
    "store",
];

/// A part, and the tokens and those of reasoning that it took.
type Part = (Object, u64, u64);

/// The signed call: its arguments may come back in another order.
fn signed(name: &str, arguments: &Value) -> String {
    format!("{name} {arguments}")
}

fn call_part(call: &Call, is_signed: bool) -> Part {
    let arguments = call.value.clone().unwrap_or_else(|| Object::default().into());
    let value = serde_json::from_str(&arguments.write(Handwriting::default())).unwrap_or(Value::Null);
    let function = Object::default().with("name", call.name.as_str()).with("args", arguments);
    let mut part = Object::default().with("functionCall", function);
    if is_signed {
        part.set("thoughtSignature", seal(CALL, &signed(&call.name, &value)));
    }
    (part, call.pieces.len() as u64 + 1, 0)
}

/// The parts of an answer, as a stream has them or joined. Calls that were cut are not said at all.
fn parts(choice: &Choice, joined: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut say = |pieces: &[String], thought: bool| {
        let whole = [pieces.concat()];
        let size = if joined { pieces.len() as u64 } else { 1 };
        for piece in if joined && !pieces.is_empty() { &whole } else { pieces } {
            let mut part = Object::default().with("text", piece.as_str());
            if thought {
                part.set("thought", true);
            }
            parts.push((part, size, if thought { size } else { 0 }));
        }
    };
    say(&choice.reasoning, true);
    say(&choice.text, false);
    if !choice.cut {
        // Of calls that are made at once only the first is signed.
        let calls = choice.calls.iter().enumerate();
        parts.extend(calls.map(|(slot, call)| call_part(call, slot == 0)));
    }
    parts
}

fn chunk(answer: &Answer, manner: &Manner, candidate: Option<Object>, counts: Counts) -> Object {
    let mut chunk = Object::default();
    match candidate {
        Some(candidate) => chunk.set("candidates", vec![candidate.with("index", 0).into()]),
        None => chunk.set("promptFeedback", Object::default().with("blockReason", "PROHIBITED_CONTENT")),
    };
    chunk
        .with("usageMetadata", counts.report(manner.usage.figures))
        .with("modelVersion", manner.model.unwrap_or_default())
        .with("responseId", Ids::new(answer.seed).call("mock", 0, 0, 1))
}

fn candidate(parts: Vec<Json>) -> Object {
    let content = Object::default().with("parts", parts).with("role", "model");
    Object::default().with("content", content)
}

/// A blocked prompt has neither candidates nor an answer.
fn blocked(answer: &Answer, manner: &Manner) -> Object {
    let counts = Counts { prompt: answer.prompt_tokens, ..Counts::default() };
    chunk(answer, manner, None, counts)
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let choice = answer.choices.first().filter(|choice| choice.refusal.is_empty());
    let Some(choice) = choice else {
        return blocked(answer, manner);
    };
    let parts = parts(choice, true).into_iter().map(|(part, ..)| part.into()).collect();
    let candidate = candidate(parts).with("finishReason", ending(manner.finish.words, choice));
    chunk(answer, manner, Some(candidate), Counts::of(answer))
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let say = |kind, chunk: Object| Frame::named(kind, "", chunk.write(manner.hand));
    let choice = answer.choices.first().filter(|choice| choice.refusal.is_empty());
    let Some(choice) = choice else {
        return vec![say(Kind::Ending, blocked(answer, manner))];
    };
    let mut frames = Vec::new();
    let mut counts = Counts { prompt: answer.prompt_tokens, ..Counts::default() };
    for (part, tokens, reasoning) in parts(choice, false) {
        counts.completion += tokens;
        counts.reasoning += reasoning;
        frames.push(say(Kind::Chunk, chunk(answer, manner, Some(candidate(vec![part.into()])), counts)));
    }
    if manner.finish.place != FinishPlace::Nowhere {
        let mut last = Object::default().with("text", "");
        if !choice.text.is_empty() && !choice.cut && !choice.reasoning.is_empty() {
            last.set("thoughtSignature", seal(TEXT, ""));
        }
        let end = candidate(vec![last.into()]).with("finishReason", ending(manner.finish.words, choice));
        frames.push(say(Kind::Ending, chunk(answer, manner, Some(end), Counts::of(answer))));
    }
    frames
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    let body = post.body;
    for name in body.as_object().into_iter().flat_map(|body| body.keys()) {
        must(FIELDS.iter().any(|field| field == name || snake(field) == *name), || {
            format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.")
        })?;
    }
    let contents = list(body.get("contents"));
    must(!contents.is_empty(), || {
        "* GenerateContentRequest.contents: contents is not specified\n".to_owned()
    })?;
    let model = model_in(post.path, "/models/", ':');
    check(contents, model)?;
    let user = contents.iter().rev().find(|content| speaks(content));
    let user = words(user.and_then(|content| content.get("parts")));
    let results: Vec<String> =
        of_parts(contents.last(), "functionResponse").map(|result| said(result.get("response"))).collect();
    let config = member(body, "generationConfig").unwrap_or(&Value::Null);
    let schema = member(config, "responseJsonSchema").or_else(|| member(config, "responseSchema"));
    let wants_json = member(config, "responseMimeType").and_then(Value::as_str) == Some("application/json");
    let thinking = member(config, "thinkingConfig").unwrap_or(&Value::Null);
    let prompt = Value::from(contents.to_vec()).to_string();
    Ok(Ask {
        model: model.to_owned(),
        stream: post.path.ends_with(":streamGenerateContent"),
        include_usage: true,
        calls: calling(body, contents, &user).next(),
        tool_result: (!results.is_empty()).then(|| results.concat()),
        structure: schema.cloned().or(wants_json.then_some(Value::Null)),
        limit: member(config, "maxOutputTokens").and_then(Value::as_u64),
        thinks: member(thinking, "includeThoughts").and_then(Value::as_bool) == Some(true),
        refused: user.contains(REFUSES),
        user,
        ..Ask::about(&prompt)
    })
}

/// A member by its name in JSON or by that of its field in Google's protocol buffers: the API takes both.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get(snake(name)))
}

/// A name in JSON as its field has it: `maxOutputTokens` is `max_output_tokens`.
fn snake(name: &str) -> String {
    let mut field = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            field.push('_');
        }
        field.push(c.to_ascii_lowercase());
    }
    field
}

/// The words of a result: what its first member says, or all of it.
fn said(response: Option<&Value>) -> String {
    let members = response.and_then(Value::as_object);
    let first = members.and_then(|members| members.values().find_map(Value::as_str));
    first.map_or_else(|| response.map(Value::to_string).unwrap_or_default(), str::to_owned)
}

fn of_parts<'a>(content: Option<&'a Value>, key: &'a str) -> impl Iterator<Item = &'a Value> {
    list(content.and_then(|content| content.get("parts"))).iter().filter_map(move |part| member(part, key))
}

/// True of what a user says, which no result of a function is.
fn speaks(content: &Value) -> bool {
    text(content, "role") != Some("model") && of_parts(Some(content), "functionResponse").next().is_none()
}

fn calling<'a>(body: &'a Value, contents: &'a [Value], user: &str) -> Calling<'a> {
    let declared = list(body.get("tools")).iter().flat_map(|tool| list(member(tool, "functionDeclarations")));
    let tools = declared.filter_map(|function| {
        let parameters = member(function, "parametersJsonSchema").or_else(|| function.get("parameters"));
        let parameters = parameters.cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(function, "name")?.to_owned(), parameters })
    });
    let config = member(body, "toolConfig").and_then(|config| member(config, "functionCallingConfig"));
    let config = config.unwrap_or(&Value::Null);
    let called = since(contents, speaks).iter().flat_map(|content| of_parts(Some(content), "functionCall"));
    Calling {
        tools: tools.collect(),
        never: text(config, "mode") == Some("NONE"),
        only: list(member(config, "allowedFunctionNames")).first().and_then(Value::as_str),
        in_turn: user.contains(IN_TURN),
        called: called.filter_map(|call| text(call, "name")).collect(),
    }
}

fn check(contents: &[Value], model: &str) -> Result<(), Refused> {
    let mut calls = 0;
    for (at, content) in contents.iter().enumerate() {
        let role = text(content, "role").unwrap_or("user");
        must(matches!(role, "user" | "model" | "function"), || {
            "Please use a valid role: user, model.".to_owned()
        })?;
        must(!list(content.get("parts")).is_empty(), || {
            format!("* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n")
        })?;
        let results = of_parts(Some(content), "functionResponse").count();
        must(results == calls, || {
            let why = match (calls, results) {
                (0, _) => "function response turn comes immediately after a function call turn",
                (_, _) => {
                    "the number of function response parts is equal to the number of function call parts of the function call turn"
                }
            };
            format!("Please ensure that {why}.")
        })?;
        calls = of_parts(Some(content), "functionCall").count();
        must(calls == 0 || at > 0 && role == "model", || {
            "Please ensure that function call turn comes immediately after a user turn or after a function response turn.".to_owned()
        })?;
        check_signatures(content)?;
    }
    if OLDER.iter().any(|family| model.contains(family)) {
        return Ok(());
    }
    for content in since(contents, speaks) {
        let parts = list(content.get("parts")).iter();
        let first = parts.enumerate().find_map(|(at, part)| Some((at, part, member(part, "functionCall")?)));
        if let Some((at, part, call)) = first {
            let name = text(call, "name").unwrap_or_default();
            must(signature(part).is_some(), || {
                format!(
                    "Function call is missing a thought_signature in functionCall parts. This is required for \
                     tools to work correctly, and missing thought_signature may lead to degraded model \
                     performance. Additional data, function call `default_api:{name}` , position {}. Please refer to \
                     https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                    at + 1
                )
            })?;
        }
    }
    Ok(())
}

fn signature(part: &Value) -> Option<&str> {
    member(part, "thoughtSignature").and_then(Value::as_str)
}

fn check_signatures(content: &Value) -> Result<(), Refused> {
    for part in list(content.get("parts")) {
        let signature = signature(part).filter(|signature| !DUMMIES.contains(signature));
        // Bytes in JSON may come back in the other alphabet of base64.
        let Some(signature) = signature.map(|signature| signature.replace('-', "+").replace('_', "/")) else {
            continue;
        };
        let is_own = match member(part, "functionCall") {
            Some(call) => {
                let nothing = serde_json::json!({});
                let arguments = call.get("args").unwrap_or(&nothing);
                let name = text(call, "name").unwrap_or_default();
                is_seal(CALL, &signed(name, arguments), &signature)
            }
            None => is_seal(TEXT, "", &signature),
        };
        must(is_own, || "Corrupted thought signature.".to_owned())?;
    }
    Ok(())
}
