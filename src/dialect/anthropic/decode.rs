//! An event of the Messages API becomes deltas.

use std::borrow::Cow;

use super::wire::Tokens;
use crate::dialect::beside;
use crate::dialect::payload::Reader;
use crate::dialect::{DecodeError, Decoder, envelope};
use crate::event::{Delta, Detail, Fault, FaultCode, Repair, Repairs, Said, Scope, ToolFragment, Usage};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// Blocks that are open at once at most; to forget one would lose what comes of it.
const BLOCKS_LIMIT: usize = 256;
/// What is kept back of one block at most, in bytes; beyond it, it leaves as it is.
const KEPT_LIMIT: usize = 1 << 20;

/// The kinds of events whose unknown fields are carried; an unknown kind says nothing of this answer.
const KINDS: [&str; 7] = [
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "ping",
];
/// Their known fields.
const KNOWN: [&str; 7] = ["type", "index", "delta", "content_block", "message", "usage", "error"];

/// The decoder of one answer.
#[derive(Debug, Default)]
pub(super) struct AnthropicDecoder {
    reader: Reader,
    state: State,
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    /// The blocks that are open, by their index.
    blocks: Vec<(i64, Block)>,
    calls: i64,
    thoughts: u32,
    /// How many characters of text were said.
    said: usize,
    tokens: Tokens,
}

/// A block that is open.
#[derive(Debug)]
enum Block {
    /// Text, from this character on; what it cites.
    Text { start: usize, citations: Vec<String>, length: usize },
    /// Reasoning, with the index of its item.
    Thinking(u32),
    /// A tool call, with its number; whether its arguments began.
    Tool { call: i64, has_arguments: bool },
    /// Anything else: the block as it came, and what its deltas added to its input.
    Other { raw: String, input: String },
}

impl Decoder for AnthropicDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let AnthropicDecoder { reader, state } = self;
        reader.objects(frame, out, repairs, |text, event, out, repairs| {
            state.event(frame, text, event, out, repairs)
        })
    }

    fn usage_so_far(&self) -> Option<Usage> {
        self.state.tokens.report()
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
            beside::others(event, &KNOWN, Scope::Answer, out);
        }
        match kind.as_ref() {
            "content_block_delta" => self.block_delta(event, out, repairs)?,
            "content_block_start" => self.block_start(event, out)?,
            "content_block_stop" => {
                let index = index(event);
                if let Some(at) = self.blocks.iter().position(|(known, _)| *known == index) {
                    let (_, block) = self.blocks.remove(at);
                    self.close(block, out);
                }
            }
            "message_start" => {
                let message = event.find("message").map(Members::of).unwrap_or_default();
                self.message(&message, out);
            }
            "message_delta" => self.message_delta(event, out),
            "message_stop" => out.push(Delta::End),
            "ping" => {}
            "message" => {
                repairs.count(Repair::JsonInsteadOfStream);
                self.message(event, out);
                out.push(Delta::End);
            }
            _ if kind == "error"
                || frame.name == b"error"
                || event.find("error").is_some_and(envelope::tells) =>
            {
                let fault = envelope::read(text).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
                out.push(Delta::Error(Box::new(fault)));
            }
            _ => repairs.count(Repair::UnknownFrame),
        }
        Ok(())
    }

    /// The envelope of the answer; behind gateways, or where no stream was sent, with all of its content.
    fn message<'a>(&mut self, message: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let word = |name: &str| message.find(name).and_then(json::word);
        out.extend(word("id").map(Delta::Id));
        out.extend(word("model").map(Delta::Model));
        let known = [
            "type",
            "id",
            "model",
            "role",
            "content",
            "stop_reason",
            "usage",
            "stop_sequence",
            "stop_details",
        ];
        beside::others(message, &known, Scope::Answer, out);
        unknown_of(message, &["stop_sequence", "stop_details"], Scope::Choice(0), out);
        if let Some(usage) = message.find("usage") {
            self.tokens.merge(usage);
        }
        if message.find("stop_reason").and_then(json::word).is_none() {
            out.extend(self.tokens.report().map(|usage| Delta::Counted(Box::new(usage))));
        }
        out.push(Delta::Choice { choice: 0, role: word("role").is_some() });
        self.give_up_all(out);
        for (at, raw) in (0..).zip(message.find("content").map(json::elements).unwrap_or_default()) {
            self.open(at, raw, out);
            if let Some((_, block)) = self.blocks.pop() {
                self.close(block, out);
            }
        }
        if let Some(reason) = word("stop_reason") {
            out.push(Delta::Finish { choice: 0, reason, native: None });
            out.extend(self.tokens.report().map(|usage| Delta::Usage(Box::new(usage), true)));
        }
    }

    fn message_delta<'a>(&mut self, event: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let delta = event.find("delta").map(Members::of).unwrap_or_default();
        beside::others(&delta, &["stop_reason", "stop_sequence", "stop_details"], Scope::Answer, out);
        unknown_of(&delta, &["stop_sequence", "stop_details"], Scope::Choice(0), out);
        let reason = delta.find("stop_reason").and_then(json::word);
        if reason.is_some() {
            // Blocks that the limit cut are never closed.
            self.give_up_all(out);
        }
        out.extend(reason.map(|reason| Delta::Finish { choice: 0, reason, native: None }));
        if let Some(usage) = event.find("usage") {
            self.tokens.merge(usage);
            out.extend(self.tokens.report().map(|usage| Delta::Usage(Box::new(usage), true)));
        }
    }

    fn block_start<'a>(&mut self, event: &Members<'a>, out: &mut Vec<Delta<'a>>) -> Result<(), DecodeError> {
        let raw = event.find("content_block").filter(|raw| raw.starts_with('{'));
        self.open(index(event), raw.ok_or(DecodeError::Malformed)?, out);
        Ok(())
    }

    fn open<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        let members = Members::of(raw);
        let word = |name: &str| members.find(name).and_then(json::word);
        let block = match word("type").as_deref() {
            Some("text") => {
                let start = self.said;
                self.text(word("text"), out);
                let citations = members.find("citations").map(json::elements).unwrap_or_default();
                let citations = citations.into_iter().map(str::to_owned).collect();
                Block::Text { start, citations, length: 0 }
            }
            Some("thinking") => {
                let item = self.next_thought();
                self.thinking(item, members.find("thinking"), out);
                signature(item, members.find("signature"), out);
                Block::Thinking(item)
            }
            Some("redacted_thinking") => {
                let item = self.next_thought();
                let data = members.find("data").filter(|raw| json::word(raw).is_some());
                out.extend(data.map(|data| detail("encrypted", "data", data, item)));
                return;
            }
            Some("tool_use") => {
                let call = self.calls;
                self.calls += 1;
                let input = members.find("input").filter(|raw| !json::says_nothing(raw));
                let mut fields = Vec::new();
                for (name, value) in &members.0 {
                    if !matches!(
                        name.as_ref(),
                        "type" | "id" | "name" | "input" | "index" | "function" | "extra_content"
                    ) {
                        fields.push(Field { name: name.clone(), value: Cow::Borrowed(*value) });
                    }
                }
                let fragment = ToolFragment {
                    index: Some(call),
                    id: word("id"),
                    name: word("name"),
                    arguments: input.map(|raw| json::string(raw).unwrap_or(Cow::Borrowed(raw))),
                    unknown: fields,
                    ..ToolFragment::default()
                };
                out.push(Delta::Tool { choice: 0, fragment: Box::new(fragment) });
                Block::Tool { call, has_arguments: input.is_some() }
            }
            Some(_) | None => {
                let waits = members.find("input").is_some_and(json::says_nothing);
                if !waits {
                    part(raw, out);
                }
                // What came whole already left.
                let raw = if waits { raw.to_owned() } else { String::new() };
                Block::Other { raw, input: String::new() }
            }
        };
        self.remember(index, block, out);
    }

    /// Remembers an open block; what stood at its index leaves as it is.
    fn remember<'a>(&mut self, index: i64, block: Block, out: &mut Vec<Delta<'a>>) {
        if let Some(at) = self.blocks.iter().position(|(known, _)| *known == index) {
            let (_, old) = self.blocks.remove(at);
            self.give_up(old, out);
        }
        if self.blocks.len() >= BLOCKS_LIMIT {
            out.push(Delta::Error(Box::new(Fault::new(FaultCode::TooLarge))));
            return;
        }
        self.blocks.push((index, block));
    }

    fn give_up_all<'a>(&mut self, out: &mut Vec<Delta<'a>>) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            self.give_up(block, out);
        }
    }

    fn block_delta<'a>(
        &mut self,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let raw = event.find("delta").filter(|raw| raw.starts_with('{')).ok_or(DecodeError::Malformed)?;
        let delta = Members::of(raw);
        let index = index(event);
        match delta.find("type").and_then(json::word).as_deref() {
            Some("text_delta") => self.text(delta.find("text").and_then(json::word), out),
            Some("thinking_delta") => {
                let item = self.thought(index, out);
                self.thinking(item, delta.find("thinking"), out);
                beside::others(&delta, &["type", "thinking"], Scope::Delta(0), out);
            }
            Some("signature_delta") => {
                let item = self.thought(index, out);
                signature(item, delta.find("signature"), out);
            }
            Some("input_json_delta") => {
                self.input(index, delta.find("partial_json").and_then(json::word), out)
            }
            Some("citations_delta") => {
                let Some(citation) = delta.find("citation").filter(|raw| raw.starts_with('{')) else {
                    return Ok(());
                };
                self.cite(index, citation, out);
            }
            Some(_) | None => {
                repairs.count(Repair::UnknownFrame);
                part(raw, out);
            }
        }
        Ok(())
    }

    fn text<'a>(&mut self, text: Option<Cow<'a, str>>, out: &mut Vec<Delta<'a>>) {
        let Some(text) = text else { return };
        self.said += text.chars().count();
        out.push(Delta::Text { choice: 0, text: Said::Next(text) });
    }

    /// Reasoning leaves as text and as an item; both say the same.
    fn thinking<'a>(&mut self, item: u32, raw: Option<&'a str>, out: &mut Vec<Delta<'a>>) {
        let Some(raw) = raw else { return };
        let Some(text) = json::word(raw) else { return };
        out.push(Delta::Reasoning { choice: 0, text: Said::Next(text) });
        if raw.starts_with('"') {
            out.push(detail("text", "text", raw, item));
        }
    }

    fn input<'a>(&mut self, index: i64, piece: Option<Cow<'a, str>>, out: &mut Vec<Delta<'a>>) {
        let Some(piece) = piece else { return };
        let at = self.blocks.iter().position(|(known, _)| *known == index);
        match at.and_then(|at| self.blocks.get_mut(at)) {
            Some((_, Block::Other { raw, input })) => {
                input.push_str(&piece);
                if input.len() > KEPT_LIMIT {
                    let block = Block::Other { raw: raw.clone(), input: std::mem::take(input) };
                    self.give_up(block, out);
                }
            }
            Some((_, Block::Tool { call, has_arguments })) => {
                *has_arguments = true;
                out.push(arguments(*call, piece));
            }
            // A call that nobody opened.
            Some((_, Block::Text { .. } | Block::Thinking(_))) | None => {
                let call = self.calls;
                self.calls += 1;
                self.remember(index, Block::Tool { call, has_arguments: true }, out);
                out.push(arguments(call, piece));
            }
        }
    }

    /// Citations wait for the end of their block, because they say where their text ends.
    fn cite<'a>(&mut self, index: i64, citation: &'a str, out: &mut Vec<Delta<'a>>) {
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        let Some((_, Block::Text { citations, length, .. })) = block else {
            annotations(&[citation.to_owned()], self.said, self.said, out);
            return;
        };
        citations.push(citation.to_owned());
        *length += citation.len();
        if *length > KEPT_LIMIT {
            *length = 0;
            let (citations, start) = (std::mem::take(citations), self.start(index));
            annotations(&citations, start, self.said, out);
        }
    }

    fn start(&self, index: i64) -> usize {
        let block = self.blocks.iter().find(|(known, _)| *known == index);
        match block {
            Some((_, Block::Text { start, .. })) => *start,
            Some((_, Block::Thinking(_) | Block::Tool { .. } | Block::Other { .. })) | None => self.said,
        }
    }

    /// The block is complete.
    fn close<'a>(&mut self, block: Block, out: &mut Vec<Delta<'a>>) {
        match block {
            Block::Tool { call, has_arguments: false } => out.push(arguments(call, Cow::Borrowed("{}"))),
            Block::Text { .. } | Block::Thinking(_) | Block::Tool { .. } | Block::Other { .. } => {
                self.give_up(block, out);
            }
        }
    }

    /// No more comes of the block, complete or not.
    fn give_up<'a>(&mut self, block: Block, out: &mut Vec<Delta<'a>>) {
        match block {
            Block::Text { start, citations, .. } if !citations.is_empty() => {
                annotations(&citations, start, self.said, out);
            }
            Block::Other { raw, input } if !raw.is_empty() || !input.is_empty() => {
                part(&with_input(&raw, &input), out);
            }
            Block::Text { .. } | Block::Thinking(_) | Block::Tool { .. } | Block::Other { .. } => {}
        }
    }

    fn next_thought(&mut self) -> u32 {
        self.thoughts += 1;
        self.thoughts - 1
    }

    /// The item of the block at an index; one that nobody opened is opened.
    fn thought(&mut self, index: i64, out: &mut Vec<Delta<'_>>) -> u32 {
        let block = self.blocks.iter().find(|(known, _)| *known == index);
        match block {
            Some((_, Block::Thinking(item))) => *item,
            Some((_, Block::Text { .. } | Block::Tool { .. } | Block::Other { .. })) | None => {
                let item = self.next_thought();
                self.remember(index, Block::Thinking(item), out);
                item
            }
        }
    }
}

fn index(event: &Members<'_>) -> i64 {
    event.find("index").and_then(json::integer).unwrap_or(0)
}

/// Carries these members, where they say something.
fn unknown_of<'a>(members: &Members<'a>, names: &[&'static str], scope: Scope, out: &mut Vec<Delta<'a>>) {
    for name in names {
        if let Some(value) = members.find(name).filter(|raw| *raw != "null") {
            let field = Field { name: Cow::Borrowed(*name), value: Cow::Borrowed(value) };
            out.push(Delta::Unknown(scope, field));
        }
    }
}

fn arguments(call: i64, text: Cow<'_, str>) -> Delta<'_> {
    let fragment = ToolFragment { index: Some(call), arguments: Some(text), ..ToolFragment::default() };
    Delta::Tool { choice: 0, fragment: Box::new(fragment) }
}

fn signature<'a>(item: u32, raw: Option<&'a str>, out: &mut Vec<Delta<'a>>) {
    let raw = raw.filter(|raw| raw.starts_with('"') && json::word(raw).is_some());
    out.extend(raw.map(|raw| detail("text", "signature", raw, item)));
}

/// An item of structured reasoning with one member; `raw` is its JSON text.
fn detail<'a>(kind: &str, name: &str, raw: &str, item: u32) -> Delta<'a> {
    let raw = format!(
        "{{\"type\":\"reasoning.{kind}\",\"{name}\":{raw},\"format\":\"anthropic-claude-v1\",\"index\":{item}}}"
    );
    Delta::Detail { choice: 0, detail: Box::new(Detail { raw: Cow::Owned(raw), text: None, signs: None }) }
}

/// Carries a block that no other field can carry.
pub(in crate::dialect) fn part(raw: &str, out: &mut Vec<Delta<'_>>) {
    beside::item(0, "content_parts", raw, out);
}

/// The block with the input that its deltas made; input that is no JSON, because it was cut, stays text.
pub(in crate::dialect) fn with_input(raw: &str, input: &str) -> String {
    if input.is_empty() {
        return raw.to_owned();
    }
    let mut over = Vec::from(b"{\"input\":");
    match serde_json::from_str::<serde::de::IgnoredAny>(input) {
        Ok(_) => over.extend_from_slice(input.as_bytes()),
        Err(_) => json::write_string(input, &mut over),
    }
    over.push(b'}');
    let mut out = Vec::new();
    json::write_merged(if raw.is_empty() { "{}" } else { raw }, &String::from_utf8_lossy(&over), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Carries what a text cites, in the API's shape; the citation itself stays beside it.
fn annotations(citations: &[String], start: usize, end: usize, out: &mut Vec<Delta<'_>>) {
    let mut list = Vec::new();
    for (at, raw) in citations.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        annotation(raw, start, end, &mut list);
    }
    beside::item(0, "annotations", &String::from_utf8_lossy(&list), out);
}

fn annotation(raw: &str, start: usize, end: usize, out: &mut Vec<u8>) {
    let citation = Members::of(raw);
    let find = |name: &str| citation.find(name).filter(|raw| json::word(raw).is_some());
    let url = find("url").or_else(|| find("source").filter(|raw| raw.starts_with("\"http")));
    let kind = if url.is_some() { "url_citation" } else { "file_citation" };
    out.extend_from_slice(
        format!("{{\"type\":\"{kind}\",\"{kind}\":{{\"start_index\":{start},\"end_index\":{end}").as_bytes(),
    );
    let title = find("title").or_else(|| find("document_title"));
    for (name, raw) in [("url", url), ("title", title), ("content", find("cited_text"))] {
        if let Some(raw) = raw {
            out.extend_from_slice(format!(",\"{name}\":{raw}").as_bytes());
        }
    }
    out.extend_from_slice(format!("}},\"citation\":{raw}}}").as_bytes());
}
