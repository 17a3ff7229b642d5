//! Bedrock `ConverseStream`, an AWS event stream, and `Converse`.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

use serde_json::Value;

use super::seal::{is_seal, seal};
use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, model_in, must, signature, since, text};
use crate::mock::answer::{Answer, Call, Choice};
use crate::mock::ids::Ids;
use crate::mock::json::{Json, Object};
use crate::mock::manner::{
    Envelope, Figure, Figures, Finish, FinishPlace, Framing, Manner, Speech, Usage, Wire, Words,
};
use crate::mock::manners::DEMO;
use crate::mock::render::{Frame, Kind};
use crate::mock::request::{Ask, Tool, words};
use crate::mock::usage::Counts;
use crate::mock::voice::ending;

/// The dialect.
pub(super) const NATIVE: Native = Native {
    manner: Manner {
        name: "bedrock",
        about: "Bedrock ConverseStream.",
        speech: SPEECH,
        wire: Wire { framing: Framing::EventStream, done: false, ..DEMO.wire },
        headers: &[
            ("content-type", "application/vnd.amazon.eventstream"),
            ("x-amzn-requestid", "6f0c8f2e-0000-4000-8000-000000000001"),
        ],
        envelope: Envelope::Aws,
        candidates: false,
        finish: Finish {
            words: Words {
                stop: "end_turn",
                length: "max_tokens",
                calls: "tool_use",
                cut_calls: "max_tokens",
            },
            ..DEMO.finish
        },
        padding: Some("p"),
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/model/<model>/converse-stream",
    serves: |path| {
        path.contains("/model/") && (path.ends_with("/converse-stream") || path.ends_with("/converse"))
    },
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: (
        "modelStreamErrorException",
        r#"{"message":"The mock failed while it answered.","originalMessage":"The mock failed.","originalStatusCode":500}"#,
    ),
    unknown: ("telemetry", r#"{"step":3,"ducks":["a","b"]}"#),
    late: ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":" too late"}}"#),
};

const FIGURES: Figures = &[
    ("inputTokens", Figure::Uncached),
    ("outputTokens", Figure::Completion),
    ("totalTokens", Figure::Total),
    ("cacheReadInputTokens", Figure::Cached),
    ("cacheWriteInputTokens", Figure::Raw("0")),
];

/// What thoughts are signed for.
const THOUGHT: &str = "bedrock thinking";

/// A block of an answer.
enum Block<'a> {
    /// A thought with its signature; one that was cut has none.
    Thinking(&'a [String], bool),
    Text(&'a [String]),
    Tool(usize, &'a Call),
}

fn blocks(choice: &Choice) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    if !choice.reasoning.is_empty() {
        let went_on = !choice.cut || !choice.text.is_empty() || !choice.calls.is_empty();
        blocks.push(Block::Thinking(&choice.reasoning, went_on));
    }
    for pieces in [&choice.text, &choice.refusal] {
        if !pieces.is_empty() {
            blocks.push(Block::Text(pieces));
        }
    }
    blocks.extend(choice.calls.iter().enumerate().map(|(slot, call)| Block::Tool(slot, call)));
    blocks
}

fn one(key: &str, value: impl Into<Json>) -> Object {
    Object::default().with(key, value)
}

fn tool_use(ids: Ids, slot: usize, call: &Call) -> Object {
    one("toolUseId", ids.call("tooluse_", 0, slot, 0)).with("name", call.name.as_str())
}

fn reason(manner: &Manner, choice: &Choice) -> &'static str {
    if choice.refusal.is_empty() { ending(manner.finish.words, choice) } else { "content_filtered" }
}

fn report(answer: &Answer, manner: &Manner) -> Object {
    let usage = Counts::of(answer).report(manner.usage.figures);
    one("usage", usage).with("metrics", one("latencyMs", 42))
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let Some(choice) = answer.choices.first() else {
        return Object::default();
    };
    let ids = Ids::new(answer.seed);
    let content = blocks(choice).into_iter().map(|block| {
        Json::from(match block {
            Block::Thinking(pieces, signed) => {
                let mut text = one("text", pieces.concat());
                if signed {
                    text.set("signature", seal(THOUGHT, &pieces.concat()));
                }
                one("reasoningContent", one("reasoningText", text))
            }
            Block::Text(pieces) => one("text", pieces.concat()),
            Block::Tool(slot, call) => {
                let input = call.value.clone().unwrap_or_else(|| Object::default().into());
                one("toolUse", tool_use(ids, slot, call).with("input", input))
            }
        })
    });
    let message = one("role", "assistant").with("content", content.collect::<Vec<_>>());
    let mut whole = one("output", one("message", message)).with("stopReason", reason(manner, choice));
    whole.extend(report(answer, manner));
    whole
}

struct Voice<'a> {
    manner: &'a Manner,
    ids: Ids,
    frames: Vec<Frame>,
}

impl Voice<'_> {
    fn say(&mut self, kind: Kind, name: &'static str, mut event: Object) {
        if let Some(key) = self.manner.padding {
            event.set(key, self.ids.padding(self.frames.len()));
        }
        self.frames.push(Frame::named(kind, name, event.write(self.manner.hand)));
    }

    fn at(&mut self, name: &'static str, index: u64, key: &str, value: Option<Object>) {
        let mut event = one("contentBlockIndex", index);
        if let Some(value) = value {
            event.set(key, value);
        }
        self.say(Kind::Chunk, name, event);
    }

    fn delta(&mut self, index: u64, delta: Object) {
        self.at("contentBlockDelta", index, "delta", Some(delta));
    }

    /// Only calls have a beginning.
    fn block(&mut self, index: u64, block: &Block<'_>) {
        match block {
            Block::Thinking(pieces, signed) => {
                for piece in *pieces {
                    self.delta(index, one("reasoningContent", one("text", piece.as_str())));
                }
                if *signed {
                    let signature = one("signature", seal(THOUGHT, &pieces.concat()));
                    self.delta(index, one("reasoningContent", signature));
                }
            }
            Block::Text(pieces) => {
                for piece in *pieces {
                    self.delta(index, one("text", piece.as_str()));
                }
            }
            Block::Tool(slot, call) => {
                let start = one("toolUse", tool_use(self.ids, *slot, call));
                self.at("contentBlockStart", index, "start", Some(start));
                self.delta(index, one("toolUse", one("input", "")));
                for piece in &call.pieces {
                    self.delta(index, one("toolUse", one("input", piece.as_str())));
                }
            }
        }
        self.at("contentBlockStop", index, "", None);
    }
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut voice = Voice { manner, ids: Ids::new(answer.seed), frames: Vec::new() };
    voice.say(Kind::Chunk, "messageStart", one("role", "assistant"));
    for (index, block) in (0..).zip(&blocks(choice)) {
        voice.block(index, block);
    }
    if manner.finish.place != FinishPlace::Nowhere {
        voice.say(Kind::Ending, "messageStop", one("stopReason", reason(manner, choice)));
        voice.say(Kind::Chunk, "metadata", report(answer, manner));
    }
    voice.frames
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    signature::check(post.parts, post.bytes)?;
    let body = post.body;
    let messages = list(body.get("messages"));
    check(messages, body)?;
    let user = messages.iter().rev().find(|message| speaks(message));
    let user = words(user.and_then(|message| message.get("content")));
    let results: Vec<String> =
        of(messages.last(), "toolResult").map(|result| words(result.get("content"))).collect();
    let prompt = Value::from(messages.to_vec()).to_string();
    let thinking = body.pointer("/additionalModelRequestFields/thinking/type").and_then(Value::as_str);
    Ok(Ask {
        model: model_in(post.path, "/model/", '/').to_owned(),
        stream: post.path.ends_with("-stream"),
        include_usage: true,
        calls: calling(body, messages, &user).next(),
        tool_result: (!results.is_empty()).then(|| results.concat()),
        limit: body.pointer("/inferenceConfig/maxTokens").and_then(Value::as_u64),
        thinks: matches!(thinking, Some("enabled" | "adaptive")),
        refused: user.contains(REFUSES),
        user,
        ..Ask::about(&prompt)
    })
}

/// The blocks of one kind in a message.
fn of<'a>(message: Option<&'a Value>, key: &'a str) -> impl Iterator<Item = &'a Value> {
    list(message.and_then(|message| message.get("content"))).iter().filter_map(move |block| block.get(key))
}

/// True of a user's message that is no mere result of a tool.
fn speaks(message: &Value) -> bool {
    text(message, "role") == Some("user") && of(Some(message), "toolResult").next().is_none()
}

fn calling<'a>(body: &'a Value, messages: &'a [Value], user: &str) -> Calling<'a> {
    let specs = list(body.pointer("/toolConfig/tools")).iter().filter_map(|tool| tool.get("toolSpec"));
    let tools = specs.filter_map(|spec| {
        let parameters = spec.pointer("/inputSchema/json").cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(spec, "name")?.to_owned(), parameters })
    });
    let called = since(messages, speaks).iter().flat_map(|message| of(Some(message), "toolUse"));
    Calling {
        tools: tools.collect(),
        only: body.pointer("/toolConfig/toolChoice/tool/name").and_then(Value::as_str),
        in_turn: user.contains(IN_TURN),
        called: called.filter_map(|call| text(call, "name")).collect(),
        ..Calling::default()
    }
}

fn check(messages: &[Value], body: &Value) -> Result<(), Refused> {
    let mut open: Vec<&str> = Vec::new();
    let mut before = "assistant";
    for (at, message) in messages.iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        must(at > 0 || role == "user", || {
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.".to_owned()
        })?;
        must(role != before, || {
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".to_owned()
        })?;
        before = role;
        let content = list(message.get("content"));
        must(!content.is_empty(), || {
            format!(
                "The content field in the Message object at messages.{at} is empty. Add a ContentBlock object to the content field and try again."
            )
        })?;
        for (part, block) in content.iter().enumerate() {
            check_block(at, part, block)?;
        }
        let answered: Vec<&str> =
            of(Some(message), "toolResult").filter_map(|result| text(result, "toolUseId")).collect();
        let missing: Vec<&str> = open.iter().copied().filter(|id| !answered.contains(id)).collect();
        must(missing.is_empty(), || {
            format!(
                "Expected toolResult blocks at messages.{at}.content for the following Ids: {}",
                missing.join(", ")
            )
        })?;
        must(answered.iter().all(|id| open.contains(id)), || {
            format!(
                "The number of toolResult blocks at messages.{at}.content exceeds the number of toolUse blocks of previous turn."
            )
        })?;
        open = of(Some(message), "toolUse").filter_map(|call| text(call, "toolUseId")).collect();
        let uses_tools = !open.is_empty() || !answered.is_empty();
        must(!uses_tools || body.get("toolConfig").is_some(), || {
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
                .to_owned()
        })?;
    }
    check_thoughts(messages, body)
}

fn check_block(at: usize, part: usize, block: &Value) -> Result<(), Refused> {
    if let Some(said) = block.get("text") {
        must(said.as_str().is_some_and(|said| !said.trim().is_empty()), || {
            format!(
                "The text field in the ContentBlock object at messages.{at}.content.{part} is blank. Add text to the text field, and try again."
            )
        })?;
    }
    if let Some(thought) = block.pointer("/reasoningContent/reasoningText") {
        let place = format!("The model returned the following errors: messages.{at}.content.{part}");
        let signature = text(thought, "signature");
        let signature =
            signature.ok_or_else(|| Refused::new(format!("{place}.thinking.signature: Field required")))?;
        must(is_seal(THOUGHT, text(thought, "text").unwrap_or_default(), signature), || {
            format!("{place}: Invalid `signature` in `thinking` block")
        })?;
    }
    if let Some(input) = block.pointer("/toolUse/input") {
        must(input.is_object(), || {
            format!(
                "The format of the value at messages.{at}.content.{part}.toolUse.input is invalid. Provide a json object for the field and try again."
            )
        })?;
    }
    Ok(())
}

/// With a budget, the turn that goes on must begin with the thought that led to its calls.
fn check_thoughts(messages: &[Value], body: &Value) -> Result<(), Refused> {
    let thinking = body.pointer("/additionalModelRequestFields/thinking/type").and_then(Value::as_str);
    if thinking != Some("enabled") {
        return Ok(());
    }
    for message in since(messages, speaks) {
        let first = list(message.get("content")).first();
        let thinks = first.is_some_and(|block| block.get("reasoningContent").is_some());
        must(thinks || of(Some(message), "toolUse").next().is_none(), || {
            "The model returned the following errors: messages.1.content.0.type: Expected `thinking` or \
             `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message \
             must start with a thinking block."
                .to_owned()
        })?;
    }
    Ok(())
}
