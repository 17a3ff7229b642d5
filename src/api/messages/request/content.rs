//! Messages and their blocks, in the words of chat completions.

use super::settings::marker;
use super::{given, kind, malformed, member, object, text_member};
use crate::chat::sealed::{self, Kind};
use crate::chat::{Origin, RequestError, Said};
use crate::json::{self, Members};
use std::borrow::Cow;

const BLOCKS: &str = "a string or a list of blocks";

/// The chat's messages as they are written.
#[derive(Debug)]
pub(super) struct Messages<'o> {
    /// Is told where the messages were said, and what no other API can say.
    origin: &'o mut Origin,
    /// A list that is not closed.
    out: Vec<u8>,
    /// How many items of reasoning there were.
    thoughts: u32,
    /// There was something beside instructions.
    said: bool,
}

/// A part of a message's content.
struct Part {
    /// Where it stands.
    place: String,
    /// JSON text.
    raw: Vec<u8>,
    /// The text that the part is: JSON text.
    text: Option<String>,
    is_marked: bool,
}

/// What an assistant's message holds.
#[derive(Default)]
struct Turn<'a> {
    text: String,
    reasoning: String,
    /// Lists of JSON texts that are not closed.
    details: Vec<u8>,
    parts: Vec<u8>,
    calls: Vec<u8>,
    marker: Option<&'a str>,
}

impl<'o> Messages<'o> {
    pub(super) fn new(origin: &'o mut Origin) -> Messages<'o> {
        Messages { origin, out: Vec::new(), thoughts: 0, said: false }
    }

    /// The messages as JSON text.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, RequestError> {
        // What only others can read is something.
        if !self.said && self.origin.needs.is_empty() {
            return Err(RequestError::WrongType("messages", "a list with something in it"));
        }
        if self.out.is_empty() {
            self.out.push(b'[');
        }
        self.out.push(b']');
        Ok(self.out)
    }

    /// What the model is told about its task.
    pub(super) fn system(&mut self, raw: &str) -> Result<(), RequestError> {
        if matches!(raw, "null" | "\"\"" | "[]") {
            return Ok(());
        }
        let parts = self.texts(raw, "system")?;
        self.message("system", "system".to_owned(), parts);
        Ok(())
    }

    /// The conversation.
    pub(super) fn read(&mut self, raw: &str) -> Result<(), RequestError> {
        for (at, raw) in json::elements(raw).into_iter().enumerate() {
            let message = Members::of(raw);
            let place = format!("messages[{at}]");
            let content = given(&message, "content").unwrap_or_default();
            match message.find("role").and_then(json::word).as_deref() {
                Some("user") => self.user(content, &place)?,
                Some("assistant") => self.assistant(content, &place)?,
                Some("system") => {
                    let parts = self.texts(content, &format!("{place}.content"))?;
                    self.message("system", place, parts);
                }
                Some(_) | None => return Err(malformed(format!("{place}.role"), "user or assistant")),
            }
        }
        Ok(())
    }

    fn texts(&mut self, raw: &str, place: &str) -> Result<Vec<Part>, RequestError> {
        let mut parts = Vec::new();
        for (place, block) in blocks(raw, place)? {
            match kind(&block).as_ref() {
                "text" => parts.extend(text_part(&block, place)?),
                _ => return Err(malformed(place, "a block of type text")),
            }
        }
        Ok(parts)
    }

    /// Results of tools come before what the user says beside them; their images come with that.
    fn user(&mut self, raw: &str, place: &str) -> Result<(), RequestError> {
        let mut parts = Vec::new();
        for (place, block) in blocks(raw, &format!("{place}.content"))? {
            if kind(&block) == "tool_result" {
                self.result(&block, place, &mut parts)?;
            } else {
                self.part(&block, place, &mut parts)?;
            }
        }
        self.message("user", place.to_owned(), parts);
        Ok(())
    }

    /// A block of the user's, or of a tool's result.
    fn part(
        &mut self,
        block: &Members<'_>,
        place: String,
        parts: &mut Vec<Part>,
    ) -> Result<(), RequestError> {
        match kind(block).as_ref() {
            "text" => parts.extend(text_part(block, place)?),
            "image" => match source(block, &place)? {
                Some(url) => parts.push(Part::of(place, "image_url", ("url", &url), None, marker(block))),
                None => self.origin.need(format!("{place}.source"), "an image by its file_id"),
            },
            "document" => self.document(block, place, parts)?,
            "search_result" => {
                let word = |name: &str| block.find(name).and_then(json::word).unwrap_or_default();
                let head = format!("{} ({})\n", word("title"), word("source"));
                let mut texts = Vec::new();
                for (place, block) in
                    blocks(given(block, "content").unwrap_or("[]"), &format!("{place}.content"))?
                {
                    texts.extend(block.find("text").and_then(json::word));
                    if kind(&block) != "text" {
                        return Err(malformed(place, "a block of type text"));
                    }
                }
                parts.push(Part::text(place, &format!("{head}{}", texts.join("\n")), marker(block)));
            }
            "" => return Err(malformed(place, "a block with a type")),
            kind => self.origin.need(place, format!("the block \"{kind}\"")),
        }
        Ok(())
    }

    fn document(
        &mut self,
        block: &Members<'_>,
        place: String,
        parts: &mut Vec<Part>,
    ) -> Result<(), RequestError> {
        let title = block.find("title").and_then(json::word);
        let inner = object(block, "source");
        match kind(&inner).as_ref() {
            "text" => {
                let data = inner.find("data").and_then(json::string);
                let data = data.ok_or_else(|| malformed(format!("{place}.source.data"), "a string"))?;
                let text = title.map_or_else(|| data.to_string(), |title| format!("{title}\n\n{data}"));
                parts.push(Part::text(place, &text, marker(block)));
            }
            "content" => {
                let content = given(&inner, "content").unwrap_or_default();
                for (place, block) in blocks(content, &format!("{place}.source.content"))? {
                    self.part(&block, place, parts)?;
                }
            }
            _ => match source(block, &place)? {
                Some(url) => {
                    // What comes without a name is refused by those who take files.
                    let name = title.as_deref().or(url.starts_with("data:").then_some("document.pdf"));
                    parts.push(Part::of(place, "file", ("file_data", &url), name, marker(block)));
                }
                None => self.origin.need(format!("{place}.source"), "a file by its file_id"),
            },
        }
        Ok(())
    }

    /// A tool's result becomes a message of its own; APIs take text there and nothing else, so images follow
    /// with the user's words.
    fn result(
        &mut self,
        block: &Members<'_>,
        place: String,
        parts: &mut Vec<Part>,
    ) -> Result<(), RequestError> {
        let id = block.find("tool_use_id").and_then(json::word);
        let id = id.ok_or_else(|| malformed(format!("{place}.tool_use_id"), "the id of a tool call"))?;
        let mut inner = Vec::new();
        let content = given(block, "content").unwrap_or("\"\"");
        for (place, block) in blocks(content, &format!("{place}.content"))? {
            self.part(&block, place, &mut inner)?;
        }
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        for part in &inner {
            texts.extend(part.text.as_deref().and_then(json::string));
        }
        let mut text = texts.join("\n");
        let says_so = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"));
        if given(block, "is_error") == Some("true") && !says_so {
            text = format!("Error: {text}");
        }
        let out = self.begin("tool", Said { place, parts: Vec::new() });
        text_member("tool_call_id", &id, out);
        match marker(block) {
            None => text_member("content", &text, out),
            Some(marker) => {
                member("content", "[", out);
                out.extend_from_slice(&Part::text(String::new(), &text, Some(marker)).raw);
                out.push(b']');
            }
        }
        out.push(b'}');
        parts.extend(inner.into_iter().filter(|part| part.text.is_none()));
        Ok(())
    }

    fn assistant(&mut self, raw: &str, place: &str) -> Result<(), RequestError> {
        let mut turn = Turn::default();
        for (place, block) in blocks(raw, &format!("{place}.content"))? {
            turn.marker = marker(&block).or(turn.marker);
            match kind(&block).as_ref() {
                "text" => turn.text.push_str(&string(&block, "text", &place)?),
                "thinking" => self.thinking(&block, &mut turn),
                "redacted_thinking" => self.redacted(&block, &mut turn),
                "tool_use" => call(&block, &place, &mut turn.calls)?,
                "" => return Err(malformed(place, "a block with a type")),
                kind => self.origin.need(place, format!("the block \"{kind}\"")),
            }
        }
        let Turn { text, reasoning, details, parts, calls, marker } = turn;
        let lists = [("reasoning_details", details), ("tool_calls", calls), ("content_parts", parts)];
        if text.is_empty() && reasoning.is_empty() && lists.iter().all(|(_, list)| list.is_empty()) {
            return Ok(());
        }
        let out = self.begin("assistant", Said { place: place.to_owned(), parts: Vec::new() });
        if text.is_empty() && lists.iter().any(|(name, list)| *name == "tool_calls" && !list.is_empty()) {
            member("content", "null", out);
        } else {
            text_member("content", &text, out);
        }
        if !reasoning.is_empty() {
            text_member("reasoning_content", &reasoning, out);
        }
        for (name, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            member(name, "", out);
            out.extend_from_slice(list);
            out.push(b']');
        }
        if let Some(marker) = marker {
            member("cache_control", marker, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// Reasoning that is signed is an item; without a signature it is text.
    fn thinking(&mut self, block: &Members<'_>, turn: &mut Turn<'_>) {
        let text = block.find("thinking").and_then(json::word).unwrap_or_default();
        turn.reasoning.push_str(&text);
        let signature = block.find("signature").and_then(json::word).unwrap_or_default();
        match sealed::open(&signature) {
            Some((Kind::Detail, rest)) => {
                let rest = Members::of(&rest);
                let is_summary = kind(&rest) == "reasoning.summary";
                let out = next(&mut turn.details);
                out.push(b'{');
                for (name, value) in &rest.0 {
                    member(name, value, out);
                }
                text_member(if is_summary { "summary" } else { "text" }, &text, out);
                out.push(b'}');
            }
            Some((Kind::Details | Kind::Part, _)) => {}
            None if signature.is_empty() || sealed::is_sealed(&signature) => {}
            None => {
                let index = self.next_thought();
                let out = next(&mut turn.details);
                out.extend_from_slice(b"{\"type\":\"reasoning.text\"");
                text_member("text", &text, out);
                text_member("signature", &signature, out);
                finish_native(index, out);
            }
        }
    }

    fn redacted(&mut self, block: &Members<'_>, turn: &mut Turn<'_>) {
        let data = block.find("data").and_then(json::word).unwrap_or_default();
        match sealed::open(&data) {
            Some((Kind::Detail, raw)) => next(&mut turn.details).extend_from_slice(raw.as_bytes()),
            Some((Kind::Part, raw)) => next(&mut turn.parts).extend_from_slice(raw.as_bytes()),
            Some((Kind::Details, _)) => {}
            None if data.is_empty() || sealed::is_sealed(&data) => {}
            None => {
                let index = self.next_thought();
                let out = next(&mut turn.details);
                out.extend_from_slice(b"{\"type\":\"reasoning.encrypted\"");
                text_member("data", &data, out);
                finish_native(index, out);
            }
        }
    }

    fn next_thought(&mut self) -> u32 {
        self.thoughts += 1;
        self.thoughts - 1
    }

    /// Begins a message.
    fn begin(&mut self, role: &str, said: Said) -> &mut Vec<u8> {
        self.said |= role != "system";
        self.origin.places.push(said);
        let out = next(&mut self.out);
        out.push(b'{');
        text_member("role", role, out);
        out
    }

    /// Writes a message that says something.
    fn message(&mut self, role: &str, place: String, parts: Vec<Part>) {
        if parts.is_empty() {
            return;
        }
        let places = parts.iter().map(|part| part.place.clone()).collect();
        let out = self.begin(role, Said { place, parts: places });
        match parts.as_slice() {
            [Part { text: Some(text), is_marked: false, .. }] => member("content", text, out),
            parts => {
                let mut list = Vec::new();
                for part in parts {
                    next(&mut list).extend_from_slice(&part.raw);
                }
                member("content", "", out);
                out.extend_from_slice(&list);
                out.push(b']');
            }
        }
        out.push(b'}');
    }
}

impl Part {
    fn text(place: String, text: &str, marker: Option<&str>) -> Part {
        let mut raw = Vec::new();
        json::write_string(text, &mut raw);
        Part::of_raw(place, &String::from_utf8_lossy(&raw), marker)
    }

    /// Of a text that is JSON text.
    fn of_raw(place: String, text: &str, marker: Option<&str>) -> Part {
        let mut raw = Vec::from(b"{\"type\":\"text\"");
        member("text", text, &mut raw);
        if let Some(marker) = marker {
            member("cache_control", marker, &mut raw);
        }
        raw.push(b'}');
        Part { place, raw, text: Some(text.to_owned()), is_marked: marker.is_some() }
    }

    /// A medium.
    fn of(
        place: String,
        kind: &str,
        (name, url): (&str, &str),
        title: Option<&str>,
        marker: Option<&str>,
    ) -> Part {
        let mut raw = Vec::from(b"{");
        text_member("type", kind, &mut raw);
        member(kind, "{", &mut raw);
        if let Some(title) = title {
            text_member("filename", title, &mut raw);
        }
        text_member(name, url, &mut raw);
        raw.push(b'}');
        if let Some(marker) = marker {
            member("cache_control", marker, &mut raw);
        }
        raw.push(b'}');
        Part { place, raw, text: None, is_marked: marker.is_some() }
    }
}

/// The blocks of a content, each with its place; a string is one block of text.
fn blocks<'a>(raw: &'a str, place: &str) -> Result<Vec<(String, Members<'a>)>, RequestError> {
    match raw.as_bytes().first() {
        Some(b'"') => {
            let text = Members(vec![(Cow::Borrowed("type"), "\"text\""), (Cow::Borrowed("text"), raw)]);
            Ok(vec![(place.to_owned(), text)])
        }
        Some(b'[') => {
            let blocks = json::elements(raw).into_iter().enumerate();
            Ok(blocks.map(|(at, raw)| (format!("{place}[{at}]"), Members::of(raw))).collect())
        }
        Some(_) | None => Err(malformed(place, BLOCKS)),
    }
}

fn string<'a>(block: &Members<'a>, name: &str, place: &str) -> Result<Cow<'a, str>, RequestError> {
    let text = block.find(name).and_then(json::string);
    text.ok_or_else(|| malformed(format!("{place}.{name}"), "a string"))
}

/// A block of text, unless it is empty.
fn text_part(block: &Members<'_>, place: String) -> Result<Option<Part>, RequestError> {
    let raw = block.find("text").filter(|raw| raw.starts_with('"'));
    let raw = raw.ok_or_else(|| malformed(format!("{place}.text"), "a string"))?;
    Ok((raw != "\"\"").then(|| Part::of_raw(place, raw, marker(block))))
}

/// Where a medium is, as a URL; `None` if it is a file at the provider.
fn source<'a>(block: &Members<'a>, place: &str) -> Result<Option<Cow<'a, str>>, RequestError> {
    let source = object(block, "source");
    let word = |name: &str| source.find(name).and_then(json::word);
    let url = match kind(&source).as_ref() {
        "base64" => word("media_type")
            .zip(word("data"))
            .map(|(media_type, data)| Cow::Owned(format!("data:{media_type};base64,{data}"))),
        "url" => word("url"),
        "file" => return Ok(None),
        _ => None,
    };
    url.map(Some).ok_or_else(|| malformed(format!("{place}.source"), "of type base64 or url, with its data"))
}

fn call(block: &Members<'_>, place: &str, calls: &mut Vec<u8>) -> Result<(), RequestError> {
    let id = block.find("id").and_then(json::word);
    let id = id.ok_or_else(|| malformed(format!("{place}.id"), "a string"))?;
    // A model that forgot the name is told so by its tool's result.
    let name = string(block, "name", place)?;
    let out = next(calls);
    out.push(b'{');
    text_member("id", &id, out);
    text_member("type", "function", out);
    member("function", "{", out);
    text_member("name", &name, out);
    text_member("arguments", given(block, "input").unwrap_or("{}"), out);
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Begins the next element of a list that is not closed.
fn next(list: &mut Vec<u8>) -> &mut Vec<u8> {
    list.push(if list.is_empty() { b'[' } else { b',' });
    list
}

fn finish_native(index: u32, out: &mut Vec<u8>) {
    text_member("format", "anthropic-claude-v1", out);
    member("index", &index.to_string(), out);
    out.push(b'}');
}
