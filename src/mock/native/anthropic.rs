//! Anthropic Messages.
//!
//! Source: <https://docs.claude.com/en/api/messages>, "Streaming messages", "Extended thinking"

use serde_json::Value;

use super::seal::{is_seal, seal, unwrap, wrap};
use super::{Calling, IN_TURN, Native, Post, REFUSES, Refused, list, must, text};
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
        name: "anthropic",
        about: "Anthropic Messages.",
        speech: SPEECH,
        headers: &[
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("request-id", "req_mock0001"),
        ],
        envelope: Envelope::Anthropic,
        model: Some("claude-mock-1"),
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
        usage: Usage { figures: FIGURES, ..DEMO.usage },
        ..DEMO
    },
    place: "/v1/messages",
    serves: |path| path.ends_with("/v1/messages"),
    ask,
};

const SPEECH: Speech = Speech {
    stream,
    whole,
    error: (
        "error",
        r#"{"type":"error","error":{"type":"overloaded_error","message":"The mock failed while it answered."},"request_id":"req_mock0001"}"#,
    ),
    unknown: ("telemetry", r#"{"type":"telemetry","step":3,"ducks":["a","b"]}"#),
    late: (
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" too late"}}"#,
    ),
};

const FIGURES: Figures = &[
    ("input_tokens", Figure::Uncached),
    ("cache_creation_input_tokens", Figure::Raw("0")),
    ("cache_read_input_tokens", Figure::Cached),
    ("output_tokens", Figure::Completion),
    ("output_tokens_details", Figure::Group(&[("thinking_tokens", Figure::Reasoning)])),
];

/// Words of the real API's own that make it hide its thoughts; the second half is left out.
const HIDES: &str = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING";

/// What thoughts are signed for.
const THOUGHT: &str = "anthropic thinking";

/// The fields that a request may have.
const FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "messages",
    "system",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "output_config",
    "cache_control",
    "container",
    "context_management",
    "mcp_servers",
    "inference_geo",
];

/// The kinds of content that a message may have and that are not looked into.
const OTHERS: &[&str] = &[
    "image",
    "document",
    "search_result",
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "container_upload",
];

/// What a call may have.
const CALL: &[&str] = &["type", "id", "name", "input", "cache_control", "caller", "toolset_name"];

/// A block of an answer.
enum Block<'a> {
    /// A thought with its signature; one that was cut has none.
    Thinking(&'a [String], bool),
    Redacted(String),
    Text(&'a [String]),
    Tool(usize, &'a Call),
}

fn blocks(choice: &Choice) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    if choice.hidden {
        blocks.push(Block::Redacted(wrap(THOUGHT, &choice.reasoning.concat())));
    } else if !choice.reasoning.is_empty() {
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

fn kind(kind: &str) -> Object {
    Object::default().with("type", kind)
}

fn tool_use(ids: Ids, slot: usize, call: &Call, input: Json) -> Object {
    kind("tool_use")
        .with("id", ids.call("toolu_01", 0, slot, 0))
        .with("name", call.name.as_str())
        .with("input", input)
}

fn message(answer: &Answer, manner: &Manner, content: Vec<Json>) -> Object {
    kind("message")
        .with("id", Ids::new(answer.seed).call("msg_01", 0, 0, 1))
        .with("role", "assistant")
        .with("model", manner.model.unwrap_or_default())
        .with("content", content)
        .with("stop_reason", Json::Null)
        .with("stop_sequence", Json::Null)
}

fn reason(manner: &Manner, choice: &Choice) -> &'static str {
    if choice.refusal.is_empty() { ending(manner.finish.words, choice) } else { "refusal" }
}

fn whole(answer: &Answer, manner: &Manner) -> Object {
    let Some(choice) = answer.choices.first() else {
        return Object::default();
    };
    let ids = Ids::new(answer.seed);
    let content = blocks(choice).into_iter().map(|block| {
        let block = match block {
            Block::Thinking(pieces, signed) => {
                let text = pieces.concat();
                let signature = if signed { seal(THOUGHT, &text) } else { String::new() };
                kind("thinking").with("thinking", text).with("signature", signature)
            }
            Block::Redacted(data) => kind("redacted_thinking").with("data", data),
            Block::Text(pieces) => kind("text").with("text", pieces.concat()),
            Block::Tool(slot, call) => {
                let input = call.value.clone().unwrap_or_else(|| Object::default().into());
                tool_use(ids, slot, call, input)
            }
        };
        Json::from(block)
    });
    message(answer, manner, content.collect())
        .with("stop_reason", reason(manner, choice))
        .with("usage", Counts::of(answer).report(manner.usage.figures))
}

fn stream(answer: &Answer, manner: &Manner, _asked: bool) -> Vec<Frame> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut voice = Voice { manner, frames: Vec::new() };
    let first = Counts { prompt: answer.prompt_tokens, completion: 1, reasoning: 0 };
    let start = message(answer, manner, Vec::new()).with("usage", first.report(manner.usage.figures));
    voice.say("message_start", Object::default().with("message", start));
    voice.say("ping", Object::default());
    let blocks = blocks(choice);
    let count = blocks.len();
    for (index, block) in (0..).zip(&blocks) {
        voice.block(Ids::new(answer.seed), index, block);
        // A call that the limit cuts is never closed.
        let is_open = choice.cut && index as usize + 1 == count && matches!(block, Block::Tool(..));
        if !is_open {
            voice.say("content_block_stop", Object::default().with("index", index));
        }
    }
    voice.end(answer, choice);
    voice.frames
}

struct Voice<'a> {
    manner: &'a Manner,
    frames: Vec<Frame>,
}

impl Voice<'_> {
    fn say(&mut self, name: &'static str, members: Object) {
        self.say_as(Kind::Chunk, name, members);
    }

    fn say_as(&mut self, frame: Kind, name: &'static str, members: Object) {
        let mut event = kind(name);
        event.extend(members);
        self.frames.push(Frame::named(frame, name, event.write(self.manner.hand)));
    }

    fn block(&mut self, ids: Ids, index: u64, block: &Block<'_>) {
        let start = match block {
            Block::Thinking(..) => kind("thinking").with("thinking", "").with("signature", ""),
            Block::Redacted(data) => kind("redacted_thinking").with("data", data.as_str()),
            Block::Text(_) => kind("text").with("text", ""),
            Block::Tool(slot, call) => tool_use(ids, *slot, call, Object::default().into()),
        };
        let start = Object::default().with("index", index).with("content_block", start);
        self.say("content_block_start", start);
        match block {
            Block::Thinking(pieces, signed) => {
                self.deltas(index, "thinking_delta", "thinking", pieces);
                if *signed {
                    let signature = [seal(THOUGHT, &pieces.concat())];
                    self.deltas(index, "signature_delta", "signature", &signature);
                }
            }
            Block::Redacted(_) => {}
            Block::Text(pieces) => self.deltas(index, "text_delta", "text", pieces),
            Block::Tool(_, call) => {
                self.deltas(index, "input_json_delta", "partial_json", &[String::new()]);
                self.deltas(index, "input_json_delta", "partial_json", &call.pieces);
            }
        }
    }

    fn deltas(&mut self, index: u64, name: &'static str, key: &'static str, pieces: &[String]) {
        for piece in pieces {
            let delta = kind(name).with(key, piece.as_str());
            self.say("content_block_delta", Object::default().with("index", index).with("delta", delta));
        }
    }

    fn end(&mut self, answer: &Answer, choice: &Choice) {
        if self.manner.finish.place != FinishPlace::Nowhere {
            let delta = Object::default()
                .with("stop_reason", reason(self.manner, choice))
                .with("stop_sequence", Json::Null);
            let usage = Counts::of(answer).report(self.manner.usage.figures);
            let end = Object::default().with("delta", delta).with("usage", usage);
            self.say_as(Kind::Ending, "message_delta", end);
        }
        if self.manner.wire.done {
            self.say_as(Kind::Done, "message_stop", Object::default());
        }
    }
}

fn ask(post: &Post<'_>) -> Result<Ask, Refused> {
    must(post.headers.contains_key("anthropic-version"), || {
        "anthropic-version: header is required".to_owned()
    })?;
    let body = post.body;
    for name in body.as_object().into_iter().flat_map(|body| body.keys()) {
        must(FIELDS.contains(&name.as_str()), || format!("{name}: Extra inputs are not permitted"))?;
    }
    let model = text(body, "model").ok_or_else(|| Refused::new("model: Field required"))?;
    let limit = body.get("max_tokens").ok_or_else(|| Refused::new("max_tokens: Field required"))?;
    let limit = limit.as_u64().filter(|limit| *limit > 0);
    let limit =
        limit.ok_or_else(|| Refused::new("max_tokens: Input should be greater than or equal to 1"))?;
    let messages = list(body.get("messages"));
    must(!messages.is_empty(), || "messages: at least one message is required".to_owned())?;
    let thinking = thinking(body, limit)?;
    Conversation::default().check(messages)?;
    if thinking == Thinking::Enabled {
        check_thoughts(messages)?;
    }
    let last = messages.last().and_then(|message| message.get("content"));
    let results: Vec<_> = blocks_of(last, "tool_result").collect();
    let tool_result =
        (!results.is_empty()).then(|| results.iter().map(|result| words(result.get("content"))).collect());
    let user = messages.iter().rev().find(|message| speaks(message));
    let user = words(user.and_then(|message| message.get("content")));
    let prompt = Value::from(messages.to_vec()).to_string();
    Ok(Ask {
        model: model.to_owned(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: true,
        calls: calling(body, messages, &user).next(),
        tool_result,
        structure: body.pointer("/output_config/format/schema").cloned(),
        limit: Some(limit),
        thinks: thinking != Thinking::Off,
        hides: user.contains(HIDES),
        refused: user.contains(REFUSES),
        user,
        ..Ask::about(&prompt)
    })
}

/// How a request tells the model to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Off,
    Enabled,
    Adaptive,
}

fn thinking(body: &Value, limit: u64) -> Result<Thinking, Refused> {
    let Some(thinking) = body.get("thinking") else {
        return Ok(Thinking::Off);
    };
    let how = match text(thinking, "type") {
        Some("disabled") => return Ok(Thinking::Off),
        Some("adaptive") => Thinking::Adaptive,
        Some("enabled") => Thinking::Enabled,
        Some(_) | None => return Err(Refused::new("thinking.type: Input tag is unknown")),
    };
    if how == Thinking::Enabled {
        let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
        let budget = budget.ok_or_else(|| Refused::new("thinking.enabled.budget_tokens: Field required"))?;
        must(budget >= 1024, || {
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024".to_owned()
        })?;
        must(budget < limit, || "`max_tokens` must be greater than `thinking.budget_tokens`.".to_owned())?;
        let forces =
            matches!(body.pointer("/tool_choice/type").and_then(Value::as_str), Some("any" | "tool"));
        must(!forces, || "Thinking may not be enabled when tool_choice forces tool use.".to_owned())?;
    }
    let temperature = body.get("temperature").and_then(Value::as_f64);
    must(temperature.is_none_or(|temperature| temperature == 1.0), || {
        "`temperature` may only be set to 1 when thinking is enabled.".to_owned()
    })?;
    Ok(how)
}

fn blocks_of<'a>(content: Option<&'a Value>, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(content).iter().filter(move |block| text(block, "type") == Some(kind))
}

/// True of a user's message that is no mere result of a tool.
fn speaks(message: &Value) -> bool {
    let content = message.get("content");
    text(message, "role") == Some("user") && blocks_of(content, "tool_result").next().is_none()
}

fn calling<'a>(body: &'a Value, messages: &'a [Value], user: &str) -> Calling<'a> {
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    let functions = list(body.get("tools")).iter().filter(|tool| tool.get("input_schema").is_some());
    let tools = functions.filter_map(|tool| {
        let parameters = tool.get("input_schema").cloned().unwrap_or(Value::Null);
        Some(Tool { name: text(tool, "name")?.to_owned(), parameters })
    });
    let since = messages.iter().rposition(speaks).unwrap_or(0);
    let called =
        messages.iter().skip(since).flat_map(|message| blocks_of(message.get("content"), "tool_use"));
    let alone = choice.get("disable_parallel_tool_use").and_then(Value::as_bool);
    Calling {
        tools: tools.collect(),
        never: text(choice, "type") == Some("none"),
        only: text(choice, "name"),
        in_turn: alone == Some(true) || user.contains(IN_TURN),
        called: called.filter_map(|block| text(block, "name")).collect(),
    }
}

/// With a budget, the turn that goes on must begin with the thought that led to its calls.
fn check_thoughts(messages: &[Value]) -> Result<(), Refused> {
    let since = messages.iter().rposition(speaks).unwrap_or(0);
    for (at, message) in messages.iter().enumerate().skip(since) {
        let content = list(message.get("content"));
        if text(message, "role") != Some("assistant")
            || blocks_of(message.get("content"), "tool_use").next().is_none()
        {
            continue;
        }
        let first = content.first().and_then(|block| text(block, "type")).unwrap_or_default();
        must(matches!(first, "thinking" | "redacted_thinking"), || {
            format!(
                "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. \
                 When `thinking` is enabled, a final `assistant` message must start with a thinking block \
                 (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
            )
        })?;
    }
    Ok(())
}

/// A conversation that is checked message by message.
#[derive(Debug, Default)]
struct Conversation<'a> {
    /// The calls of the message before, which await their results.
    open: Vec<&'a str>,
}

impl<'a> Conversation<'a> {
    fn check(mut self, messages: &'a [Value]) -> Result<(), Refused> {
        for (at, message) in messages.iter().enumerate() {
            let role = text(message, "role").unwrap_or_default();
            must(matches!(role, "user" | "assistant"), || {
                format!("messages.{at}.role: Input should be 'user' or 'assistant'")
            })?;
            let waiting = std::mem::take(&mut self.open);
            let content = message.get("content");
            if let Some(text) = content.and_then(Value::as_str) {
                check_words(text)?;
            }
            let mut answered = Vec::new();
            for (part, block) in list(content).iter().enumerate() {
                let place = format!("messages.{at}.content.{part}");
                answered.extend(self.block(&place, block, &waiting)?);
            }
            check_answered(at, &waiting, &answered)?;
        }
        check_answered(messages.len(), &self.open, &[])
    }

    /// Checks a block; gives the id of the call that it answers.
    fn block(&mut self, place: &str, block: &'a Value, waiting: &[&str]) -> Result<Option<&'a str>, Refused> {
        match text(block, "type").unwrap_or_default() {
            "text" => {
                check_words(text(block, "text").unwrap_or_default())?;
                for (at, citation) in list(block.get("citations")).iter().enumerate() {
                    must(text(citation, "encrypted_index") != Some(""), || {
                        format!("{place}.text.citations.{at}: Invalid `encrypted_index` in `citation`")
                    })?;
                }
            }
            "thinking" => {
                let signature = text(block, "signature");
                let signature = signature
                    .ok_or_else(|| Refused::new(format!("{place}.thinking.signature: Field required")))?;
                must(is_seal(THOUGHT, text(block, "thinking").unwrap_or_default(), signature), || {
                    format!("{place}: Invalid `signature` in `thinking` block")
                })?;
            }
            "redacted_thinking" => {
                must(unwrap(THOUGHT, text(block, "data").unwrap_or_default()).is_some(), || {
                    format!("{place}: Invalid `data` in `redacted_thinking` block")
                })?;
            }
            "tool_use" => {
                check_members(place, block, CALL)?;
                let id = text(block, "id").unwrap_or_default();
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                must(!id.is_empty() && id.chars().all(fits), || {
                    format!("{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
                })?;
                must(block.get("input").is_some_and(Value::is_object), || {
                    format!("{place}.tool_use.input: Input should be a valid dictionary")
                })?;
                self.open.push(id);
            }
            "tool_result" => {
                let id = text(block, "tool_use_id").unwrap_or_default();
                must(waiting.contains(&id), || {
                    format!(
                        "{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                         `tool_result` block must have a corresponding `tool_use` block in the previous message."
                    )
                })?;
                return Ok(Some(id));
            }
            kind => must(OTHERS.contains(&kind), || {
                format!(
                    "{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
                )
            })?,
        }
        Ok(None)
    }
}

/// Refuses a block with members that the API does not know.
fn check_members(place: &str, block: &Value, known: &[&str]) -> Result<(), Refused> {
    let kind = text(block, "type").unwrap_or_default();
    let unknown = block.as_object().into_iter().flat_map(|block| block.keys());
    match unknown.into_iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Refused::new(format!("{place}.{kind}.{name}: Extra inputs are not permitted"))),
        None => Ok(()),
    }
}

/// Checks that the message at `at` answers every call of the one before.
fn check_answered(at: usize, waiting: &[&str], answered: &[&str]) -> Result<(), Refused> {
    let missing: Vec<&str> = waiting.iter().copied().filter(|id| !answered.contains(id)).collect();
    must(missing.is_empty(), || {
        format!(
            "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
             `tool_use` block must have a corresponding `tool_result` block in the next message.",
            at.saturating_sub(1),
            missing.join(", ")
        )
    })
}

fn check_words(text: &str) -> Result<(), Refused> {
    must(!text.is_empty(), || "messages: text content blocks must be non-empty".to_owned())?;
    must(!text.trim().is_empty(), || {
        "messages: text content blocks must contain non-whitespace text".to_owned()
    })
}
