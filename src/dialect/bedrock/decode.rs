//! A message of ConverseStream becomes deltas.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire;
use crate::dialect::anthropic::decode::{part, with_input};
use crate::dialect::beside;
use crate::dialect::payload::{Payload, Reader};
use crate::dialect::{DecodeError, Decoder, envelope};
use crate::event::{Delta, Detail, ErrorType, Fault, FaultCode, Repair, Repairs, Said, Scope, ToolFragment};
use crate::framing::Frame;
use crate::json::{self, Members};

/// Blocks that are open at once at most; to forget one would lose what comes of it.
const BLOCKS_LIMIT: usize = 256;
/// What is kept back of one block at most, in bytes; beyond it, it leaves as it is.
const KEPT_LIMIT: usize = 1 << 20;
/// The largest image that is put together, in bytes.
const IMAGE_LIMIT: usize = 16 << 20;

/// The kinds of messages; an unknown kind says nothing of this answer.
const KINDS: [&[u8]; 6] = [
    b"contentBlockDelta",
    b"contentBlockStart",
    b"contentBlockStop",
    b"messageStart",
    b"messageStop",
    b"metadata",
];
/// Their known fields; `p` is padding.
const KNOWN: [&str; 7] = ["p", "role", "contentBlockIndex", "start", "delta", "stopReason", "usage"];

/// What the names of exceptions have in them, and the status that they mean.
const EXCEPTIONS: [(&str, u16); 10] = [
    ("throttling", 429),
    ("quota", 429),
    ("notready", 429),
    ("validation", 400),
    ("accessdenied", 403),
    ("notfound", 404),
    ("unavailable", 503),
    ("timeout", 504),
    ("internal", 500),
    ("modelstreamerror", 502),
];

/// The decoder of one answer.
#[derive(Debug)]
pub(super) struct BedrockDecoder {
    reader: Reader,
    state: State,
}

impl BedrockDecoder {
    /// The decoder for a model whose readable reasoning is of that format.
    pub(super) fn new(format: &'static str) -> BedrockDecoder {
        BedrockDecoder { reader: Reader::default(), state: State { format, ..State::default() } }
    }
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    /// The format of readable reasoning.
    format: &'static str,
    /// The blocks that are open, by their index.
    blocks: Vec<(i64, Block)>,
    calls: i64,
    thoughts: u32,
    /// How many characters of text were said.
    said: usize,
    /// Where the last block with text begins and ends, in characters.
    last: (usize, usize),
    /// The finish came: what is left is the usage.
    stopped: bool,
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
    /// A call that the provider runs itself: how it began, and its input.
    ServerTool { raw: String, input: String },
    /// The result of such a call: how it began, and its pieces.
    Result { raw: String, content: Vec<String>, length: usize },
    /// An image, with its form.
    Image { format: String, bytes: Vec<u8> },
}

impl Decoder for BedrockDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let BedrockDecoder { reader, state } = self;
        if frame.failed {
            out.push(Delta::Error(Box::new(failure(frame))));
            return Ok(());
        }
        if !frame.name.is_empty() && !KINDS.contains(&frame.name) {
            repairs.count(Repair::UnknownFrame);
            return Ok(());
        }
        match reader.read(frame, repairs)? {
            Payload::Nothing => Ok(()),
            Payload::EndMark => {
                out.push(Delta::End);
                Ok(())
            }
            Payload::Failure(fault) => {
                out.push(Delta::Error(fault));
                Ok(())
            }
            Payload::Array(_) => Err(DecodeError::Malformed),
            Payload::Object(text, members) => state.event(frame.name, text, &members, out, repairs),
        }
    }
}

impl State {
    fn event<'a>(
        &mut self,
        name: &[u8],
        text: &'a str,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        if event.find("p").is_some() {
            repairs.count(Repair::PaddingDropped);
        }
        if !name.is_empty() {
            beside::others(event, &KNOWN, Scope::Answer, out);
        }
        match name {
            b"contentBlockDelta" => {
                let raw = event.find("delta").filter(|raw| raw.starts_with('{'));
                self.delta(index(event), raw.ok_or(DecodeError::Malformed)?, out, repairs);
            }
            b"contentBlockStart" => {
                let raw = event.find("start").filter(|raw| raw.starts_with('{'));
                self.start(index(event), raw.ok_or(DecodeError::Malformed)?, out, repairs);
            }
            b"contentBlockStop" => self.stop(index(event), out),
            b"messageStart" => {
                self.close_all(out);
                out.push(Delta::Choice {
                    choice: 0,
                    role: event.find("role").and_then(json::word).is_some(),
                });
            }
            b"messageStop" => self.finish(event, out),
            b"metadata" => {
                out.extend(event.find("usage").and_then(wire::usage).map(report));
                if self.stopped {
                    out.push(Delta::End);
                }
            }
            _ => self.bare(text, event, out, repairs),
        }
        Ok(())
    }

    /// What is no message of a stream: the whole answer, or an error.
    fn bare<'a>(
        &mut self,
        text: &'a str,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) {
        let output = event.find("output").map(Members::of).unwrap_or_default();
        let Some(message) = output.find("message").map(Members::of) else {
            match envelope::read(text) {
                Some(fault) => out.push(Delta::Error(Box::new(fault))),
                None => repairs.count(Repair::UnknownFrame),
            }
            return;
        };
        repairs.count(Repair::JsonInsteadOfStream);
        beside::others(event, &["output", "stopReason", "usage"], Scope::Answer, out);
        out.push(Delta::Choice { choice: 0, role: message.find("role").is_some() });
        for (at, raw) in (0..).zip(message.find("content").map(json::elements).unwrap_or_default()) {
            self.whole(at, raw, out, repairs);
            self.stop(at, out);
        }
        self.finish(event, out);
        out.extend(event.find("usage").and_then(wire::usage).map(report));
        out.push(Delta::End);
    }

    /// A block that comes at once.
    fn whole<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>, repairs: &mut Repairs) {
        let block = Members::of(raw);
        match block.0.first() {
            Some((name, _)) if name == "toolUse" => {
                self.start(index, raw, out, repairs);
                let call = block.find("toolUse").map(Members::of).unwrap_or_default();
                let input = call.find("input").filter(|raw| !json::says_nothing(raw));
                self.input(index, input.map(Cow::Borrowed), out);
            }
            Some((name, inner)) if name == "reasoningContent" => {
                let readable = Members::of(inner).find("reasoningText");
                self.reasoning(index, readable.unwrap_or(inner), out, repairs);
            }
            Some((name, _)) if name == "text" => self.delta(index, raw, out, repairs),
            Some(_) | None => part(raw, out),
        }
    }

    fn finish<'a>(&mut self, event: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        // Blocks that the limit cut may not be closed.
        self.close_all(out);
        if let Some(reason) = event.find("stopReason").and_then(json::word) {
            self.stopped = true;
            out.push(Delta::Finish { choice: 0, reason, native: None });
        }
    }

    fn close_all<'a>(&mut self, out: &mut Vec<Delta<'a>>) {
        for (_, block) in std::mem::take(&mut self.blocks) {
            self.give_up(block, out);
        }
    }

    fn start<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>, repairs: &mut Repairs) {
        let start = Members::of(raw);
        let block = match start.0.first() {
            Some((name, raw)) if name == "toolUse" => self.tool(raw, out),
            Some((name, raw)) if name == "toolResult" => {
                Block::Result { raw: (*raw).to_owned(), content: Vec::new(), length: 0 }
            }
            Some((name, raw)) if name == "image" => {
                let format = Members::of(raw).find("format").and_then(json::word);
                Block::Image { format: format.unwrap_or_default().into_owned(), bytes: Vec::new() }
            }
            // A text or reasoning may say nothing at its start.
            None => return,
            Some(_) => {
                repairs.count(Repair::UnknownFrame);
                return part(raw, out);
            }
        };
        self.open(index, block, out);
    }

    /// Opens a block; what stood at its index leaves as it is.
    fn open<'a>(&mut self, index: i64, block: Block, out: &mut Vec<Delta<'a>>) {
        if let Some(at) = self.blocks.iter().position(|(known, _)| *known == index) {
            let (_, block) = self.blocks.remove(at);
            self.give_up(block, out);
        }
        if self.blocks.len() >= BLOCKS_LIMIT {
            out.push(Delta::Error(Box::new(Fault::new(FaultCode::TooLarge))));
            return;
        }
        self.blocks.push((index, block));
    }

    fn tool<'a>(&mut self, raw: &'a str, out: &mut Vec<Delta<'a>>) -> Block {
        let tool = Members::of(raw);
        let word = |name: &str| tool.find(name).and_then(json::word);
        if word("type").is_some_and(|kind| kind != "tool_use") {
            return Block::ServerTool { raw: raw.to_owned(), input: String::new() };
        }
        let call = self.calls;
        self.calls += 1;
        let known = ["type", "toolUseId", "name", "input", "id", "index", "function", "extra_content"];
        let fragment = ToolFragment {
            index: Some(call),
            id: word("toolUseId"),
            name: word("name"),
            unknown: wire::others(&tool, &known),
            ..ToolFragment::default()
        };
        out.push(Delta::Tool { choice: 0, fragment: Box::new(fragment) });
        Block::Tool { call, has_arguments: false }
    }

    fn delta<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>, repairs: &mut Repairs) {
        let delta = Members::of(raw);
        for (name, value) in delta.0 {
            match name.as_ref() {
                "text" => self.text(index, value, out),
                "reasoningContent" => self.reasoning(index, value, out, repairs),
                "toolUse" => {
                    let input = Members::of(value).find("input").filter(|raw| *raw != "null");
                    self.input(index, input.map(|raw| json::string(raw).unwrap_or(Cow::Borrowed(raw))), out);
                }
                "citation" if value.starts_with('{') => self.cite(index, value, out),
                "toolResult" => self.result(index, value, out),
                "image" => self.image(index, value, out),
                _ if value == "null" => {}
                _ => {
                    repairs.count(Repair::UnknownFrame);
                    part(raw, out);
                }
            }
        }
    }

    fn text<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        let Some(text) = json::word(raw) else { return };
        // Text has no start of its own.
        if !self.blocks.iter().any(|(known, _)| *known == index) {
            self.open(index, Block::Text { start: self.said, citations: Vec::new(), length: 0 }, out);
        }
        self.said += text.chars().count();
        out.push(Delta::Text { choice: 0, text: Said::Next(text) });
    }

    /// Reasoning leaves as text and as an item; both say the same.
    fn reasoning<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>, repairs: &mut Repairs) {
        let reasoning = Members::of(raw);
        let item = self.thought(index, out);
        for (name, value) in reasoning.0 {
            match (name.as_ref(), json::word(value)) {
                ("text", Some(text)) => {
                    out.push(Delta::Reasoning { choice: 0, text: Said::Next(text) });
                    if value.starts_with('"') {
                        out.push(detail("text", ("text", value), self.format, item));
                    }
                }
                ("signature", Some(_)) if value.starts_with('"') => {
                    out.push(detail("text", ("signature", value), self.format, item));
                }
                ("redactedContent", Some(base64)) => match anthropics_own(&base64) {
                    Some(data) => out.push(detail("encrypted", ("data", &data), CLAUDE, item)),
                    None => out.push(detail("encrypted", ("data", value), wire::OWN_FORMAT, item)),
                },
                _ if json::says_nothing(value) => {}
                _ => {
                    repairs.count(Repair::UnknownFrame);
                    part(&format!("{{\"reasoningContent\":{raw}}}"), out);
                }
            }
        }
    }

    /// The item of the block at an index; blocks of reasoning have no start of their own.
    fn thought<'a>(&mut self, index: i64, out: &mut Vec<Delta<'a>>) -> u32 {
        let block = self.blocks.iter().find(|(known, _)| *known == index);
        if let Some((_, Block::Thinking(item))) = block {
            return *item;
        }
        let item = self.thoughts;
        self.thoughts += 1;
        self.open(index, Block::Thinking(item), out);
        item
    }

    fn input<'a>(&mut self, index: i64, piece: Option<Cow<'a, str>>, out: &mut Vec<Delta<'a>>) {
        let Some(piece) = piece.filter(|piece| !piece.is_empty()) else { return };
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        match block.map(|(_, block)| block) {
            Some(Block::Tool { call, has_arguments }) => {
                *has_arguments = true;
                out.push(arguments(*call, piece));
            }
            Some(Block::ServerTool { raw, input }) => {
                input.push_str(&piece);
                if input.len() > KEPT_LIMIT {
                    let block = Block::ServerTool { raw: raw.clone(), input: std::mem::take(input) };
                    self.give_up(block, out);
                }
            }
            // A call that nobody opened.
            Some(Block::Text { .. } | Block::Thinking(_) | Block::Result { .. } | Block::Image { .. })
            | None => {
                let call = self.calls;
                self.calls += 1;
                self.open(index, Block::Tool { call, has_arguments: true }, out);
                out.push(arguments(call, piece));
            }
        }
    }

    /// Citations wait for the end of their block, because they say where their text ends.
    fn cite<'a>(&mut self, index: i64, citation: &'a str, out: &mut Vec<Delta<'a>>) {
        if !self.blocks.iter().any(|(known, _)| *known == index) {
            self.open(index, Block::Text { start: self.said, citations: Vec::new(), length: 0 }, out);
        }
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        let Some((_, Block::Text { start, citations, length })) = block else {
            return annotations(&[citation.to_owned()], self.last, out);
        };
        citations.push(citation.to_owned());
        *length += citation.len();
        if *length > KEPT_LIMIT {
            *length = 0;
            let (start, citations) = (*start, std::mem::take(citations));
            annotations(&citations, self.cited(start), out);
        }
    }

    /// The text that a block cites for: its own, or, if it has none, that of the block before.
    fn cited(&self, start: usize) -> (usize, usize) {
        if self.said > start { (start, self.said) } else { self.last }
    }

    fn result<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        match block {
            Some((_, Block::Result { content, length, .. })) if *length <= KEPT_LIMIT => {
                *length += raw.len();
                content.extend(json::elements(raw).into_iter().map(str::to_owned));
            }
            Some(_) | None => part(&format!("{{\"toolResult\":{raw}}}"), out),
        }
    }

    fn image<'a>(&mut self, index: i64, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        let source = Members::of(raw).find("source").map(Members::of).unwrap_or_default();
        let more = source.find("bytes").and_then(json::word);
        let more = more.and_then(|base64| STANDARD.decode(base64.as_bytes()).ok()); // Else it is carried as it came.
        let block = self.blocks.iter_mut().find(|(known, _)| *known == index);
        match (block, more) {
            (Some((_, Block::Image { bytes, .. })), Some(more))
                if bytes.len() + more.len() <= IMAGE_LIMIT =>
            {
                bytes.extend(more);
            }
            (_, _) => part(&format!("{{\"image\":{raw}}}"), out),
        }
    }

    /// The block is complete.
    fn stop<'a>(&mut self, index: i64, out: &mut Vec<Delta<'a>>) {
        let Some(at) = self.blocks.iter().position(|(known, _)| *known == index) else { return };
        let (_, block) = self.blocks.remove(at);
        if let Block::Tool { call, has_arguments: false } = block {
            out.push(arguments(call, Cow::Borrowed("{}")));
        }
        self.give_up(block, out);
    }

    /// No more comes of the block, complete or not.
    fn give_up<'a>(&mut self, block: Block, out: &mut Vec<Delta<'a>>) {
        match block {
            Block::Text { start, citations, .. } => {
                let cited = self.cited(start);
                if !citations.is_empty() {
                    annotations(&citations, cited, out);
                }
                self.last = cited;
            }
            Block::ServerTool { raw, input } => {
                part(&format!("{{\"toolUse\":{}}}", with_input(&raw, &input)), out);
            }
            Block::Result { raw, content, .. } => {
                let mut result = Vec::new();
                json::write_merged(&raw, &format!("{{\"content\":[{}]}}", content.join(",")), &mut result);
                part(&format!("{{\"toolResult\":{}}}", String::from_utf8_lossy(&result)), out);
            }
            Block::Image { format, bytes } if !bytes.is_empty() => {
                let url = format!("data:image/{format};base64,{}", STANDARD.encode(bytes));
                let mut image = Vec::from(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
                json::write_string(&url, &mut image);
                image.extend_from_slice(b"}}");
                beside::item(0, "images", &String::from_utf8_lossy(&image), out);
            }
            Block::Thinking(_) | Block::Tool { .. } | Block::Image { .. } => {}
        }
    }
}

/// The format of what Claude's own API says.
const CLAUDE: &str = "anthropic-claude-v1";

fn index(event: &Members<'_>) -> i64 {
    event.find("contentBlockIndex").and_then(json::integer).unwrap_or(0)
}

fn report<'a>(usage: crate::event::Usage) -> Delta<'a> {
    Delta::Usage(Box::new(usage), true)
}

fn arguments(call: i64, text: Cow<'_, str>) -> Delta<'_> {
    let fragment = ToolFragment { index: Some(call), arguments: Some(text), ..ToolFragment::default() };
    Delta::Tool { choice: 0, fragment: Box::new(fragment) }
}

/// An item of structured reasoning with one member, whose value is JSON text.
fn detail<'a>(kind: &str, (name, raw): (&str, &str), format: &str, item: u32) -> Delta<'a> {
    let raw = format!(
        "{{\"type\":\"reasoning.{kind}\",\"{name}\":{raw},\"format\":\"{format}\",\"index\":{item}}}"
    );
    Delta::Detail { choice: 0, detail: Box::new(Detail { raw: Cow::Owned(raw), text: None, signs: None }) }
}

/// What Anthropic's own API says for this redacted reasoning, as JSON text: Bedrock wraps the same into one
/// more layer of base64. `None` if it is no text.
fn anthropics_own(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64.as_bytes()).ok()?; // Not base64: not wrapped.
    let is_text = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    let text = is_text.then(|| String::from_utf8_lossy(&bytes))?;
    let mut out = Vec::new();
    json::write_string(&text, &mut out);
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// What an exception tells.
fn failure(frame: Frame<'_>) -> Fault {
    let name = String::from_utf8_lossy(frame.name).into_owned();
    let text = std::str::from_utf8(frame.data).unwrap_or_default();
    let told = if text.trim_start().starts_with('{') { envelope::read(text) } else { None };
    let told = told.or_else(|| envelope::read_text(frame.data).filter(|_| !text.starts_with('{')));
    let mut fault = told.unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
    let lower = name.to_ascii_lowercase();
    if let Some(&(_, status)) = EXCEPTIONS.iter().find(|(word, _)| lower.contains(word)) {
        fault.status = status;
        fault.error_type = ErrorType::of_status(status);
    }
    let original = Members::of(text).find("originalMessage").and_then(json::word);
    if let Some(original) = original.filter(|original| !fault.message.contains(original.as_ref())) {
        fault.message = format!("{} ({original})", fault.message);
    }
    if !name.is_empty() {
        fault.provider_code = Some(name);
    }
    fault
}

/// Carries what a text cites, in the API's shape; the citation itself stays beside it.
fn annotations(citations: &[String], cited: (usize, usize), out: &mut Vec<Delta<'_>>) {
    let list: Vec<String> = citations.iter().map(|raw| annotation(raw, cited)).collect();
    beside::item(0, "annotations", &list.join(","), out);
}

fn annotation(raw: &str, (start, end): (usize, usize)) -> String {
    let citation = Members::of(raw);
    let web = citation.find("location").map(Members::of).unwrap_or_default();
    let web = web.find("web").map(Members::of).unwrap_or_default();
    let said = |raw: &&str| json::word(raw).is_some();
    let url = web.find("url").filter(said);
    let kind = if url.is_some() { "url_citation" } else { "file_citation" };
    let sources = citation.find("sourceContent").map(json::elements).unwrap_or_default();
    let texts = sources.into_iter().filter_map(|raw| Members::of(raw).find("text").and_then(json::string));
    let mut content = Vec::new();
    json::write_string(&texts.collect::<String>(), &mut content);
    let content = String::from_utf8_lossy(&content);
    let content = Some(content.as_ref()).filter(|raw| *raw != "\"\"");
    let mut out = format!("{{\"type\":\"{kind}\",\"{kind}\":{{\"start_index\":{start},\"end_index\":{end}");
    let title = citation.find("title").filter(said);
    for (name, raw) in [("url", url), ("title", title), ("content", content)] {
        if let Some(raw) = raw {
            out.push_str(&format!(",\"{name}\":{raw}"));
        }
    }
    out.push_str(&format!("}},\"citation\":{raw}}}"));
    out
}
