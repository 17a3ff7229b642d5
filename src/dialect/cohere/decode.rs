//! An event of Cohere's stream becomes deltas.

use std::borrow::Cow;

use super::{FORMAT, PLAN, wire};
use crate::dialect::payload::Reader;
use crate::dialect::{DecodeError, Decoder, beside, envelope};
use crate::event::{Delta, Detail, ErrorType, Fault, FaultCode, Repair, Repairs, Said, Scope, ToolFragment};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// Blocks, which citations name, that are remembered at most, and calls that are open at once; beyond it the
/// oldest block is forgotten, but to forget a call would lose what comes of it.
const REMEMBERED: usize = 256;

/// The kinds of events whose unknown fields are carried; an unknown kind says nothing of this answer.
const KINDS: [&str; 11] = [
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
];
/// Their known fields.
const KNOWN: [&str; 5] = ["type", "id", "index", "delta", "logprobs"];

/// The decoder of one answer.
#[derive(Debug, Default)]
pub(super) struct CohereDecoder {
    reader: Reader,
    state: State,
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    /// The blocks so far, by their index; citations name them after they ended.
    blocks: Vec<(i64, Block)>,
    /// The calls that are open, by their index.
    calls: Vec<(i64, Call)>,
    calls_begun: i64,
    /// Items of reasoning so far, and the one that holds the plan.
    thoughts: u32,
    plan: Option<u32>,
    /// How many characters of text were said.
    said: usize,
}

/// A block of content.
#[derive(Debug, Clone, Copy)]
enum Block {
    /// Text, from this character on.
    Text(usize),
    /// Reasoning, with the index of its item.
    Thinking(u32),
    /// Anything else.
    Other,
}

/// A tool call that is open.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: i64,
    has_arguments: bool,
}

impl Decoder for CohereDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let CohereDecoder { reader, state } = self;
        reader.objects(frame, out, repairs, |text, event, out, repairs| {
            state.event(frame, text, event, out, repairs)
        })
    }
}

impl State {
    fn event<'a>(
        &mut self,
        frame: Frame<'a>,
        text: &'a str,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let named = || std::str::from_utf8(frame.name).map(Cow::Borrowed).unwrap_or_default();
        let kind = event.find("type").and_then(json::word).unwrap_or_else(named);
        if KINDS.contains(&kind.as_ref()) {
            out.extend(event.find("id").and_then(json::word).map(Delta::Id));
            beside::others(event, &KNOWN, Scope::Answer, out);
        }
        let index = event.find("index").and_then(json::integer).unwrap_or(0);
        match kind.as_ref() {
            "content-delta" => {
                out.extend(event.find("logprobs").and_then(wire::logprobs).map(logprobs));
                let message = message_of(event, out)?;
                self.content_delta(index, &message, out);
                self.extras(&message, out);
            }
            "message-start" => {
                let message = event.find("delta").map(Members::of).unwrap_or_default();
                let message = message.find("message").map(Members::of).unwrap_or_default();
                self.message(&message, out);
            }
            "content-start" => {
                let message = message_of(event, out)?;
                self.content(index, message.find("content").unwrap_or_default(), out);
                self.extras(&message, out);
            }
            "tool-plan-delta" => {
                let message = message_of(event, out)?;
                self.plan(message.find("tool_plan"), out);
                self.extras(&message, out);
            }
            "tool-call-start" => {
                let message = message_of(event, out)?;
                self.extras(&message, out);
                self.tool_calls(index, message.find("tool_calls").unwrap_or_default(), out);
            }
            "tool-call-delta" => {
                let message = message_of(event, out)?;
                self.extras(&message, out);
                self.tool_delta(index, message.find("tool_calls").unwrap_or_default(), out);
            }
            "tool-call-end" => self.tool_end(index, out),
            "citation-start" => {
                let message = message_of(event, out)?;
                self.cite(message.find("citations").unwrap_or_default(), out);
                self.extras(&message, out);
            }
            "content-end" | "citation-end" => {}
            "message-end" => {
                let raw = event.find("delta").filter(|raw| raw.starts_with('{'));
                let raw = raw.ok_or(DecodeError::Malformed)?;
                let delta = Members::of(raw);
                beside::others(&delta, &["finish_reason", "usage", "error"], Scope::Choice(0), out);
                end(raw, &delta, out);
            }
            _ => self.unknown_event(frame, text, event, out, repairs),
        }
        Ok(())
    }

    /// An event of another kind: the whole answer, a failure, or nothing.
    fn unknown_event<'a>(
        &mut self,
        frame: Frame<'a>,
        text: &'a str,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) {
        let kind = event.find("type").and_then(json::word).unwrap_or_default();
        let message = event.find("message").filter(|raw| raw.starts_with('{'));
        if let (Some(message), "") = (message, kind.as_ref()) {
            repairs.count(Repair::JsonInsteadOfStream);
            out.extend(event.find("id").and_then(json::word).map(Delta::Id));
            let known = ["id", "message", "finish_reason", "usage", "logprobs", "error"];
            beside::others(event, &known, Scope::Answer, out);
            out.extend(event.find("logprobs").and_then(wire::logprobs).map(logprobs));
            self.message(&Members::of(message), out);
            end(text, event, out);
            out.push(Delta::End);
            return;
        }
        let failed = frame.name == b"error" || event.find("error").is_some_and(envelope::tells);
        let fault = (failed || matches!(kind.as_ref(), "" | "error")).then(|| envelope::read(text)).flatten();
        match fault {
            Some(fault) => out.push(Delta::Error(Box::new(fault))),
            None if failed => out.push(Delta::Error(Box::new(Fault::new(FaultCode::UpstreamError)))),
            None => repairs.count(Repair::UnknownFrame),
        }
    }

    /// A message, empty at the beginning of a stream, or whole where no stream was sent.
    fn message<'a>(&mut self, message: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let role = message.find("role").and_then(json::word).is_some();
        out.push(Delta::Choice { choice: 0, role });
        self.extras(message, out);
        self.plan(message.find("tool_plan"), out);
        self.blocks.clear();
        self.content(0, message.find("content").unwrap_or_default(), out);
        let first = self.calls_begun;
        self.tool_calls(first, message.find("tool_calls").unwrap_or_default(), out);
        for index in first..self.calls_begun {
            self.tool_end(index, out);
        }
        self.cite(message.find("citations").unwrap_or_default(), out);
    }

    /// Fields of a message that nobody knows.
    fn extras<'a>(&self, message: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let known = ["role", "content", "tool_plan", "tool_calls", "citations"];
        beside::others(message, &known, Scope::Delta(0), out);
    }

    /// The beginning of a block, or blocks as a whole.
    fn content<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        if raw.starts_with('"') {
            self.remember(index, Block::Text(self.said));
            self.text(json::word(raw), out);
        }
        for (index, raw) in (index..).zip(json::elements(raw)) {
            let members = Members::of(raw);
            let kind = members.find("type").and_then(json::word);
            let thinks = || members.find("thinking").is_some();
            match kind.as_deref() {
                Some("thinking") => self.think(index, members.find("thinking"), out),
                None if thinks() => self.think(index, members.find("thinking"), out),
                Some("text") | None => {
                    self.remember(index, Block::Text(self.said));
                    self.text(members.find("text").and_then(json::word), out);
                }
                Some(_) => {
                    self.remember(index, Block::Other);
                    beside::item(0, "content_parts", raw, out);
                    continue;
                }
            }
            beside::others(&members, &["type", "text", "thinking"], Scope::Delta(0), out);
        }
    }

    fn think<'a>(&mut self, index: i64, raw: Option<&'a str>, out: &mut Vec<Delta<'a>>) {
        let item = self.next_thought();
        self.remember(index, Block::Thinking(item));
        thinking(item, "", raw, out);
    }

    fn content_delta<'a>(&mut self, index: i64, message: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let Some(raw) = message.find("content") else { return };
        let block = self.blocks.iter().rev().find(|(known, _)| *known == index).map(|(_, block)| *block);
        let members = Members::of(raw);
        let (text, thought) = (members.find("text"), members.find("thinking"));
        if matches!(block, Some(Block::Other)) || raw.starts_with('{') && text.is_none() && thought.is_none()
        {
            beside::item(0, "content_parts", raw, out);
            return;
        }
        if thought.is_some() {
            let item = match block {
                Some(Block::Thinking(item)) => item,
                Some(Block::Text(_) | Block::Other) | None => {
                    let item = self.next_thought();
                    self.remember(index, Block::Thinking(item));
                    item
                }
            };
            thinking(item, "", thought, out);
        }
        if block.is_none() && thought.is_none() {
            self.remember(index, Block::Text(self.said));
        }
        self.text(text.or(Some(raw)).and_then(json::word), out);
        beside::others(&members, &["type", "text", "thinking"], Scope::Delta(0), out);
    }

    fn text<'a>(&mut self, text: Option<Cow<'a, str>>, out: &mut Vec<Delta<'a>>) {
        let Some(text) = text else { return };
        self.said += text.chars().count();
        out.push(Delta::Text { choice: 0, text: Said::Next(text) });
    }

    fn plan<'a>(&mut self, raw: Option<&'a str>, out: &mut Vec<Delta<'a>>) {
        if raw.is_none_or(json::says_nothing) {
            return;
        }
        let item = match self.plan {
            Some(item) => item,
            None => self.next_thought(),
        };
        self.plan = Some(item);
        thinking(item, PLAN, raw, out);
    }

    fn next_thought(&mut self) -> u32 {
        self.thoughts += 1;
        self.thoughts - 1
    }

    fn remember(&mut self, index: i64, block: Block) {
        self.blocks.retain(|(known, _)| *known != index);
        if self.blocks.len() >= REMEMBERED {
            self.blocks.remove(0);
        }
        self.blocks.push((index, block));
    }

    fn tool_calls<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        for (index, raw) in (index..).zip(json::elements(raw)) {
            let members = Members::of(raw);
            let function = members.find("function").map(Members::of).unwrap_or_default();
            let mut fields = Vec::new();
            for (name, value) in &members.0 {
                if !matches!(name.as_ref(), "id" | "type" | "function" | "index" | "extra_content") {
                    fields.push(Field { name: name.clone(), value: Cow::Borrowed(*value) });
                }
            }
            let arguments = function.find("arguments").filter(|raw| !json::says_nothing(raw));
            let number = self.open_call(index, arguments.is_some(), out);
            let fragment = ToolFragment {
                index: Some(number),
                id: members.find("id").and_then(json::word),
                name: function.find("name").and_then(json::word),
                arguments: arguments.map(|raw| json::string(raw).unwrap_or(Cow::Borrowed(raw))),
                unknown: fields,
                ..ToolFragment::default()
            };
            out.push(Delta::Tool { choice: 0, fragment: Box::new(fragment) });
        }
    }

    fn open_call(&mut self, index: i64, has_arguments: bool, out: &mut Vec<Delta<'_>>) -> i64 {
        let number = self.calls_begun;
        self.calls_begun += 1;
        self.calls.retain(|(known, _)| *known != index);
        if self.calls.len() >= REMEMBERED {
            out.push(Delta::Error(Box::new(Fault::new(FaultCode::TooLarge))));
        } else {
            self.calls.push((index, Call { number, has_arguments }));
        }
        number
    }

    fn tool_delta<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        for (index, raw) in (index..).zip(json::elements(raw)) {
            let function = Members::of(raw).find("function").map(Members::of).unwrap_or_default();
            let Some(piece) = function.find("arguments").filter(|raw| *raw != "null" && *raw != "\"\"")
            else {
                continue;
            };
            let known = self.calls.iter_mut().find(|(known, _)| *known == index);
            let number = match known {
                Some((_, call)) => {
                    call.has_arguments = true;
                    call.number
                }
                // A call that nobody opened.
                None => self.open_call(index, true, out),
            };
            out.push(arguments(number, json::string(piece).unwrap_or(Cow::Borrowed(piece))));
        }
    }

    fn tool_end(&mut self, index: i64, out: &mut Vec<Delta<'_>>) {
        let Some(at) = self.calls.iter().position(|(known, _)| *known == index) else { return };
        let (_, call) = self.calls.remove(at);
        if !call.has_arguments {
            out.push(arguments(call.number, Cow::Borrowed("{}")));
        }
    }

    /// Citations of the text become annotations; those of the plan and of the thinking have no place there.
    fn cite(&self, raw: &str, out: &mut Vec<Delta<'_>>) {
        for raw in json::elements(raw) {
            let citation = Members::of(raw);
            let kind = citation.find("type").and_then(json::word);
            if kind.is_some_and(|kind| kind != "TEXT_CONTENT") {
                beside::item(0, "citations", raw, out);
                continue;
            }
            let block = citation.find("content_index").and_then(json::integer);
            let block = self.blocks.iter().find(|(known, _)| Some(*known) == block);
            let from = match block {
                Some((_, Block::Text(start))) => *start,
                Some((_, Block::Thinking(_) | Block::Other)) | None => 0,
            };
            annotate(raw, &citation, from, out);
        }
    }
}

/// What an event adds to the message; an event that has nothing to add was damaged.
fn message_of<'a>(event: &Members<'a>, out: &mut Vec<Delta<'a>>) -> Result<Members<'a>, DecodeError> {
    let raw = event.find("delta").filter(|raw| raw.starts_with('{')).ok_or(DecodeError::Malformed)?;
    let delta = Members::of(raw);
    beside::others(&delta, &["message"], Scope::Delta(0), out);
    Ok(delta.find("message").map(Members::of).unwrap_or_default())
}

/// The end of the message: why, and how many tokens.
fn end<'a>(raw: &'a str, delta: &Members<'a>, out: &mut Vec<Delta<'a>>) {
    let usage = delta.find("usage").and_then(wire::usage);
    if delta.find("error").is_some_and(envelope::tells) {
        out.extend(usage.map(|usage| Delta::Usage(Box::new(usage), true)));
        let fault = envelope::read(raw).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
        out.push(Delta::Error(Box::new(fault)));
        return;
    }
    let reason = delta.find("finish_reason").and_then(json::word);
    let renamed = match reason.as_deref() {
        Some("ERROR_TOXIC") => Some("content_filter"),
        Some("ERROR_LIMIT") => Some("length"),
        Some(_) | None => None,
    };
    let failed = match reason.as_deref() {
        Some("TIMEOUT") => Some(("The model took too long.", 504)),
        Some("USER_CANCEL") => Some(("The answer was cancelled.", 502)),
        Some(_) | None => None,
    };
    if let Some((message, status)) = failed {
        let fault = Fault {
            message: message.to_owned(),
            provider_code: reason.map(Cow::into_owned),
            status,
            error_type: ErrorType::of_status(status),
            ..Fault::new(FaultCode::UpstreamError)
        };
        out.push(Delta::Error(Box::new(fault)));
        return;
    }
    match (reason, renamed) {
        (Some(native), Some(reason)) => {
            out.push(Delta::Finish { choice: 0, reason: Cow::Borrowed(reason), native: Some(native) });
        }
        (Some(reason), None) => out.push(Delta::Finish { choice: 0, reason, native: None }),
        (None, _) => out.push(Delta::End),
    }
    out.extend(usage.map(|usage| Delta::Usage(Box::new(usage), true)));
}

fn logprobs<'a>(raw: String) -> Delta<'a> {
    let field = Field { name: Cow::Borrowed("logprobs"), value: Cow::Owned(raw) };
    Delta::Unknown(Scope::Choice(0), field)
}

fn arguments(number: i64, text: Cow<'_, str>) -> Delta<'_> {
    let fragment = ToolFragment { index: Some(number), arguments: Some(text), ..ToolFragment::default() };
    Delta::Tool { choice: 0, fragment: Box::new(fragment) }
}

/// Reasoning leaves as text and as an item; both say the same.
fn thinking<'a>(item: u32, id: &str, raw: Option<&'a str>, out: &mut Vec<Delta<'a>>) {
    let Some(raw) = raw else { return };
    let Some(text) = json::word(raw) else { return };
    out.push(Delta::Reasoning { choice: 0, text: Said::Next(text) });
    if !raw.starts_with('"') {
        return;
    }
    let id = if id.is_empty() { String::new() } else { format!("\"id\":\"{id}\",") };
    let raw = format!(
        "{{\"type\":\"reasoning.text\",\"text\":{raw},{id}\"format\":\"{FORMAT}\",\"index\":{item}}}"
    );
    let detail = Detail { raw: Cow::Owned(raw), text: None, signs: None };
    out.push(Delta::Detail { choice: 0, detail: Box::new(detail) });
}

/// Carries a citation in the API's shape, once per source; the citation itself stays beside the first.
fn annotate(raw: &str, citation: &Members<'_>, from: usize, out: &mut Vec<Delta<'_>>) {
    let place = |name: &str| {
        let count = citation.find(name).and_then(json::count).unwrap_or(0);
        count.saturating_add(from as u64)
    };
    let (start, end) = (place("start"), place("end"));
    let sources = json::elements(citation.find("sources").unwrap_or_default());
    let sources = if sources.is_empty() { vec!["{}"] } else { sources };
    for (at, source) in sources.into_iter().enumerate() {
        let source = Members::of(source);
        let document = source.find("document").map(Members::of).unwrap_or_default();
        let find = |name: &str| document.find(name).filter(|raw| json::word(raw).is_some());
        let url = find("url").filter(|raw| raw.starts_with("\"http"));
        let kind = if url.is_some() { "url_citation" } else { "file_citation" };
        let id = source.find("id").filter(|raw| json::word(raw).is_some());
        let mut item =
            format!("{{\"type\":\"{kind}\",\"{kind}\":{{\"start_index\":{start},\"end_index\":{end}");
        for (name, raw) in [("url", url), ("title", find("title")), ("source_id", id)] {
            if let Some(raw) = raw {
                item.push_str(&format!(",\"{name}\":{raw}"));
            }
        }
        item.push('}');
        if at == 0 {
            item.push_str(&format!(",\"citation\":{raw}"));
        }
        item.push('}');
        beside::item(0, "annotations", &item, out);
    }
}
