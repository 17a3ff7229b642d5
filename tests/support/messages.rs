//! A strict reader of what clients of Anthropic's Messages API get, written from its contract and not from the
//! code: it accepts nothing but what the contract promises, and gives what a client would have understood.

use millpond::api::Api;
use millpond::api::chat_completions::ReasoningField;
use millpond::dialect::AnyDialect;
use millpond::event::Event;
use millpond::filter::{self, Options};
use millpond::framing::FRAME_LIMIT;
use serde_json::{Value, json};

use super::contract::{Answer, End};
use super::short;

/// What a client understood.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Message {
    pub id: String,
    pub model: String,
    /// The blocks; the input of a call is the text that its pieces made.
    pub content: Vec<Value>,
    pub stop_reason: Option<String>,
    pub stop_sequence: Option<String>,
    pub usage: Value,
    pub end: End,
}

const TYPES: [&str; 9] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
];
const REASONS: [&str; 7] = [
    "end_turn",
    "max_tokens",
    "tool_use",
    "stop_sequence",
    "refusal",
    "pause_turn",
    "model_context_window_exceeded",
];
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}";

/// What a client of the API gets for a body that arrives in these pieces.
pub fn stream<'a>(dialect: AnyDialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut pipeline = super::pipeline(dialect);
    let mut encoder = Api::Messages.encoder(true, true, ReasoningField::default());
    encoder.begin("upstream");
    let mut out = Vec::new();
    let mut sink = |event: &Event<'_>| encoder.event(event, &mut out);
    for piece in pieces {
        pipeline.push(piece, &mut sink);
    }
    pipeline.finish(None, &mut sink);
    out
}

/// The object that a client of the API gets for a body, or the error in its place.
pub fn object(dialect: AnyDialect, body: &[u8]) -> Vec<u8> {
    let options =
        Options { dialect, api: Api::Messages, include_usage: true, object: true, frame_limit: FRAME_LIMIT };
    let mut out = Vec::new();
    filter::normalize(options, &mut &*body, &mut out).unwrap();
    out
}

/// Reads a stream.
pub fn check_stream(bytes: &[u8]) -> Result<Message, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("no UTF-8: {error}"))?;
    ensure(!text.contains('\r'), "a CR")?;
    let events = text.strip_suffix("\n\n").ok_or("the last event is not closed by a blank line")?;
    let mut reader = Reader::default();
    for event in events.split("\n\n").filter(|event| *event != PING) {
        ensure(!reader.is_over, "an event after the end")?;
        let read = || {
            let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            let data: Value = serde_json::from_str(data).ok()?;
            (data["type"] == name && !event.contains("\n\n")).then_some(data)
        };
        let data = read().ok_or_else(|| format!("no event: {}", short(event)))?;
        reader.event(&data).map_err(|rule| format!("{rule}, in {}", short(event)))?;
    }
    ensure(reader.is_over, "it ends without an end")?;
    Ok(reader.message)
}

#[derive(Default)]
struct Reader {
    message: Message,
    has_begun: bool,
    is_open: bool,
    has_reason: bool,
    is_over: bool,
}

impl Reader {
    fn event(&mut self, data: &Value) -> Result<(), String> {
        let kind = data["type"].as_str().unwrap_or_default();
        if kind == "error" {
            self.is_over = true;
            self.message.end = check_error(data)?;
            return Ok(());
        }
        ensure(self.has_begun == (kind != "message_start"), "message_start is not the first, and once")?;
        let at = self.message.content.len();
        match kind {
            "message_start" => {
                self.has_begun = true;
                let message = &data["message"];
                ensure(
                    message["content"] == json!([]) && message["stop_reason"].is_null(),
                    "a full beginning",
                )?;
                check_envelope(message)?;
                self.message.id = message["id"].as_str().unwrap().to_owned();
                self.message.model = message["model"].as_str().unwrap().to_owned();
            }
            "content_block_start" => {
                ensure(!self.is_open, "a block begins in another one")?;
                ensure(!self.has_reason, "a block after message_delta")?;
                ensure(data["index"] == at, "an index out of order")?;
                let mut block = data["content_block"].clone();
                check_begun(&block)?;
                if block["type"] == "tool_use" {
                    block["input"] = json!("");
                }
                self.message.content.push(block);
                self.is_open = true;
            }
            "content_block_delta" => {
                ensure(self.is_open && data["index"] == at - 1, "a delta of no open block")?;
                add(&mut self.message.content[at - 1], &data["delta"])?;
            }
            "content_block_stop" => {
                ensure(self.is_open && data["index"] == at - 1, "the end of no open block")?;
                self.is_open = false;
            }
            "message_delta" => {
                ensure(!self.is_open && !self.has_reason, "message_delta in a block, or twice")?;
                self.has_reason = true;
                self.reason(&data["delta"])?;
                check_usage(&data["usage"])?;
                self.message.usage = data["usage"].clone();
            }
            "message_stop" => {
                ensure(self.has_reason, "message_stop without message_delta")?;
                self.is_over = true;
            }
            _ => return Err("an unknown event".to_owned()),
        }
        Ok(())
    }

    fn reason(&mut self, delta: &Value) -> Result<(), String> {
        let reason = delta["stop_reason"].as_str().ok_or("no stop_reason")?;
        ensure(REASONS.contains(&reason), "an unknown stop_reason")?;
        ensure(delta.get("stop_sequence").is_some(), "no stop_sequence")?;
        let sequence = delta["stop_sequence"].as_str().map(str::to_owned);
        self.message.stop_reason = Some(reason.to_owned());
        self.message.stop_sequence = sequence;
        Ok(())
    }
}

/// Reads an object, or the error in its place.
pub fn check_object(bytes: &[u8]) -> Result<Message, String> {
    let body: Value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
    if body["type"] == "error" {
        return Ok(Message { end: check_error(&body)?, ..Message::default() });
    }
    check_envelope(&body)?;
    let mut reader = Reader::default();
    reader.reason(&body)?;
    let mut message = reader.message;
    for block in body["content"].as_array().ok_or("no content")? {
        if block["type"] == "tool_use" {
            ensure(block["input"].is_object(), "an input that is no object")?;
        }
        message.content.push(block.clone());
    }
    message.id = body["id"].as_str().unwrap().to_owned();
    message.model = body["model"].as_str().unwrap().to_owned();
    message.usage = body["usage"].clone();
    Ok(message)
}

/// Checks the error envelope; gives the code of the fault.
pub fn check_error(body: &Value) -> Result<End, String> {
    ensure(body["type"] == "error", "no error")?;
    let error = &body["error"];
    ensure(error["type"].as_str().is_some_and(|kind| TYPES.contains(&kind)), "an unknown type of error")?;
    ensure(error["message"].as_str().is_some_and(|message| !message.is_empty()), "an error without words")?;
    Ok(End::Fault(error["code"].as_str().unwrap_or_default().to_owned()))
}

fn check_envelope(message: &Value) -> Result<(), String> {
    ensure(message["type"] == "message" && message["role"] == "assistant", "no message of the assistant")?;
    ensure(message["id"].is_string() && message["model"].is_string(), "no id or model")?;
    check_usage(&message["usage"])
}

fn check_usage(usage: &Value) -> Result<(), String> {
    let names = ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    ensure(names.iter().all(|name| usage[name].is_u64()), "a count is missing")
}

/// A block begins empty, unless it comes whole.
fn check_begun(block: &Value) -> Result<(), String> {
    match block["type"].as_str().ok_or("a block without a type")? {
        "text" => ensure(block["text"] == "", "text in the beginning"),
        "thinking" => {
            ensure(block["thinking"] == "" && block["signature"] == "", "thoughts in the beginning")
        }
        "tool_use" => {
            // A name that the upstream never told is empty in chat completions as well.
            let has_id = block["id"].as_str().is_some_and(|text| !text.is_empty());
            ensure(has_id && block["name"].is_string() && block["input"] == json!({}), "a call without an id")
        }
        "redacted_thinking" => ensure(block["data"].is_string(), "no data"),
        "message" | "error" => Err("no block".to_owned()),
        _ => Ok(()),
    }
}

fn add(block: &mut Value, delta: &Value) -> Result<(), String> {
    let (of, name) = match delta["type"].as_str().unwrap_or_default() {
        "text_delta" => ("text", "text"),
        "thinking_delta" => ("thinking", "thinking"),
        "signature_delta" => ("thinking", "signature"),
        "input_json_delta" => ("tool_use", "partial_json"),
        "citations_delta" => {
            ensure(block["type"] == "text" && delta["citation"].is_object(), "a citation of no text")?;
            let mut citations = block["citations"].as_array().cloned().unwrap_or_default();
            citations.push(delta["citation"].clone());
            block["citations"] = Value::Array(citations);
            return Ok(());
        }
        _ => return Err("an unknown delta".to_owned()),
    };
    let piece = delta[name].as_str().ok_or("a delta without its text")?;
    if of == "tool_use" && block["type"] != "tool_use" {
        // A tool of the provider's own: its input comes in one piece.
        ensure(block["input"] == json!({}), "an input of something else")?;
        block["input"] =
            serde_json::from_str(piece).map_err(|error| format!("an input of a tool: {error}"))?;
        return Ok(());
    }
    ensure(block["type"] == of, "a delta of another block")?;
    let member = if of == "tool_use" { "input" } else { name };
    let text = format!("{}{piece}", block[member].as_str().unwrap_or_default());
    block[member] = Value::String(text);
    Ok(())
}

/// The message says what the same answer says in chat completions.
pub fn says(message: &Message, answer: &Answer) -> Result<(), String> {
    if message.end != answer.end {
        return Err(format!("it ends as {:?}, chat completions as {:?}", message.end, answer.end));
    }
    let Some((id, model, _)) = &answer.identity else { return Ok(()) };
    if !message.id.is_empty() && (&message.id, &message.model) != (id, model) {
        return Err("another id or model".to_owned());
    }
    let unsaid = Default::default();
    let choice = answer.choices.values().next().unwrap_or(&unsaid);
    let joined = |kind: &str, name: &str| -> String {
        let blocks = message.content.iter().filter(|block| block["type"] == kind);
        blocks.map(|block| block[name].as_str().unwrap_or_default()).collect()
    };
    let both = format!("{}{}", choice.text, choice.refusal);
    let is_mixed = !choice.text.is_empty() && !choice.refusal.is_empty();
    let text = joined("text", "text");
    // What waited for the end of a call when a fault came is left out.
    let is_cut = answer.end != End::Complete;
    let same = if is_cut {
        is_mixed || both.starts_with(&text)
    } else if is_mixed {
        text.len() == both.len()
    } else {
        text == both
    };
    if !same {
        return Err(format!("the text is {text:?}, in chat completions {both:?}"));
    }
    let reasoning = joined("thinking", "thinking");
    if reasoning != choice.reasoning && !(is_cut && choice.reasoning.starts_with(&reasoning)) {
        return Err(format!("the reasoning is {reasoning:?}, in chat completions {:?}", choice.reasoning));
    }
    let calls = message.content.iter().filter(|block| block["type"] == "tool_use");
    let calls: Vec<Value> = calls.map(|call| json!([call["id"], call["name"], call["input"]])).collect();
    let others = choice.calls.iter().map(|call| json!([call.id, call.name, call.arguments]));
    let others: Vec<Value> = others.collect();
    if calls != others && !(is_cut && others.starts_with(&calls)) {
        return Err(format!("the calls are {calls:?}, in chat completions {:?}", choice.calls));
    }
    if is_cut {
        return Ok(());
    }
    let reason = message.stop_reason.as_deref().unwrap_or_default();
    let fits = match choice.finish.as_deref() {
        Some("stop") | None => ["end_turn", "stop_sequence", "pause_turn", "refusal"].contains(&reason),
        Some("length") => ["max_tokens", "model_context_window_exceeded"].contains(&reason),
        Some("tool_calls") => reason == "tool_use",
        Some(_) => reason == "refusal",
    };
    ensure(fits, &format!("{reason} for {:?}", choice.finish))?;
    let Some(usage) = &answer.usage else { return Ok(()) };
    let count = |name: &str| message.usage[name].as_u64().unwrap_or_default();
    let input =
        count("input_tokens") + count("cache_read_input_tokens") + count("cache_creation_input_tokens");
    let same = usage["prompt_tokens"] == input && usage["completion_tokens"] == count("output_tokens");
    ensure(same, &format!("other tokens: {} for {usage}", message.usage))
}

/// The message as an object has it: the inputs of calls are objects.
pub fn as_object(message: &Message) -> Message {
    let mut message = message.clone();
    for block in message.content.iter_mut().filter(|block| block["type"] == "tool_use") {
        let text = block["input"].as_str().unwrap_or_default().trim().to_owned();
        let read = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
        block["input"] = match text.as_str() {
            "" | "null" => json!({}),
            _ => read.unwrap_or_else(|| json!({"INVALID_JSON": text})),
        };
    }
    message
}

fn ensure(condition: bool, rule: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(rule.to_owned()) }
}
