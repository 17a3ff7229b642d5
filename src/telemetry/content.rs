//! Prompts and answers in the convention's JSON, for operators who switched their capture on.
//!
//! Shapes: messages `{role, parts, finish_reason?}`; parts `{type: text | reasoning | tool_call |
//! tool_call_response | blob | uri, …}`. Each attribute has a budget of bytes; what is beyond it is cut out of
//! texts, or left out, so that the JSON stays whole.

use std::borrow::Cow;

use crate::chat::Chat;
use crate::event::{Body, Event, Part};
use crate::json::{self, Members};

/// What stands where a text was cut.
const CUT: &str = "…";

/// A JSON text with a budget for the content in it.
struct Writer {
    out: Vec<u8>,
    left: usize,
}

impl Writer {
    fn new(budget: usize) -> Writer {
        Writer { out: Vec::new(), left: budget }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A string of content, cut to what is left.
    fn text(&mut self, text: &str) {
        if text.len() <= self.left {
            self.left -= text.len();
            return json::write_string(text, &mut self.out);
        }
        let end = (0..=self.left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.left = 0;
        json::write_string(&format!("{}{CUT}", text.get(..end).unwrap_or_default()), &mut self.out);
    }

    /// A JSON value of content, or `null` if it is too long.
    fn value(&mut self, raw: &str) {
        if raw.len() <= self.left {
            self.left -= raw.len();
            json::write_raw(raw, &mut self.out);
        } else {
            self.left = 0;
            self.raw("null");
        }
    }

    /// A name or an id.
    fn word(&mut self, text: &str) {
        json::write_string(text, &mut self.out);
    }

    /// What arguments of a call are: an object, or a string where they are none.
    fn arguments(&mut self, arguments: &str) {
        match serde_json::from_str::<&serde_json::value::RawValue>(arguments) {
            Ok(value) => self.value(value.get()),
            Err(_) => self.text(arguments),
        }
    }

    /// A list of items, for as long as something is left.
    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Writer, T)) {
        self.raw("[");
        let mut first = true;
        for next in items {
            if self.left == 0 && !first {
                break;
            }
            if !std::mem::take(&mut first) {
                self.raw(",");
            }
            item(self, next);
        }
        self.raw("]");
    }

    fn finish(self) -> String {
        String::from_utf8(self.out).unwrap_or_default()
    }
}

/// A part of a message, before it is written.
enum Piece<'a> {
    Text(&'static str, Cow<'a, str>),
    Call { id: Cow<'a, str>, name: Cow<'a, str>, arguments: Cow<'a, str> },
    Response { id: Cow<'a, str>, response: &'a str },
    Blob { modality: &'static str, mime: Cow<'a, str>, data: Cow<'a, str> },
    Uri { modality: &'static str, uri: Cow<'a, str> },
    Other(&'a str),
}

impl Piece<'_> {
    fn write(&self, out: &mut Writer) {
        match self {
            Piece::Text(kind, text) => {
                out.raw("{\"type\":");
                out.word(kind);
                out.raw(",\"content\":");
                out.text(text);
                out.raw("}");
            }
            Piece::Call { id, name, arguments } => {
                out.raw("{\"type\":\"tool_call\",\"id\":");
                out.word(id);
                out.raw(",\"name\":");
                out.word(name);
                out.raw(",\"arguments\":");
                out.arguments(arguments);
                out.raw("}");
            }
            Piece::Response { id, response } => {
                out.raw("{\"type\":\"tool_call_response\",\"id\":");
                out.word(id);
                out.raw(",\"response\":");
                match json::string(response) {
                    Some(text) => out.text(&text),
                    None => out.value(response),
                }
                out.raw("}");
            }
            Piece::Blob { modality, mime, data } => {
                out.raw("{\"type\":\"blob\",\"modality\":");
                out.word(modality);
                out.raw(",\"mime_type\":");
                out.word(mime);
                out.raw(",\"content\":");
                out.text(data);
                out.raw("}");
            }
            Piece::Uri { modality, uri } => {
                out.raw("{\"type\":\"uri\",\"modality\":");
                out.word(modality);
                out.raw(",\"uri\":");
                out.text(uri);
                out.raw("}");
            }
            Piece::Other(raw) => out.value(raw),
        }
    }
}

/// The request's messages, without instructions; a prompt is a message of the user's.
pub(super) fn input(chat: &Chat, budget: usize) -> String {
    let mut out = Writer::new(budget);
    if chat.is_completion {
        out.list(prompts(chat.field("prompt").unwrap_or_default()), |out, prompt| {
            out.raw("{\"role\":\"user\",\"parts\":[");
            prompt.write(out);
            out.raw("]}");
        });
        return out.finish();
    }
    let messages = chat.field("messages").map(json::elements).unwrap_or_default();
    let said = messages.into_iter().map(Members::of).filter(|message| !is_instruction(message));
    out.list(said, |out, message| {
        out.raw("{\"role\":");
        out.word(&role(&message));
        out.raw(",\"parts\":");
        out.list(pieces(&message), |out, piece| piece.write(out));
        out.raw("}");
    });
    out.finish()
}

/// The prompts of a request: texts, or tokens as they came.
fn prompts(raw: &str) -> Vec<Piece<'_>> {
    let all = match raw.as_bytes() {
        [b'"', ..] => vec![raw],
        _ => match json::elements(raw) {
            // A list of tokens is one prompt.
            tokens if tokens.iter().all(|token| !token.starts_with(['"', '['])) => vec![raw],
            several => several,
        },
    };
    let prompt = |raw| match json::string(raw) {
        Some(text) => Piece::Text("text", text),
        None => Piece::Text("tokens", Cow::Borrowed(raw)),
    };
    all.into_iter().filter(|raw| !json::says_nothing(raw)).map(prompt).collect()
}

/// The request's instructions, if it has any.
pub(super) fn instructions(chat: &Chat, budget: usize) -> Option<String> {
    let messages = chat.field("messages").map(json::elements).unwrap_or_default();
    let all: Vec<Members<'_>> = messages.into_iter().map(Members::of).filter(is_instruction).collect();
    if all.is_empty() {
        return None;
    }
    let mut out = Writer::new(budget);
    out.list(all.iter().flat_map(pieces), |out, piece| piece.write(out));
    Some(out.finish())
}

/// The request's tools, if it has any.
pub(super) fn tools(chat: &Chat, budget: usize) -> Option<String> {
    let tools = json::elements(chat.field("tools")?);
    let mut out = Writer::new(budget);
    out.list(tools, |out, tool| {
        let tool_members = Members::of(tool);
        let Some(function) = tool_members.find("function").map(Members::of) else { return out.value(tool) };
        out.raw("{\"type\":\"function\"");
        for name in ["name", "description", "parameters"] {
            if let Some(value) = function.find(name) {
                out.raw(",");
                out.word(name);
                out.raw(":");
                out.value(value);
            }
        }
        out.raw("}");
    });
    Some(out.finish())
}

fn is_instruction(message: &Members<'_>) -> bool {
    matches!(role(message).as_ref(), "system" | "developer")
}

fn role<'a>(message: &Members<'a>) -> Cow<'a, str> {
    message.find("role").and_then(json::string).unwrap_or_default()
}

fn string_of<'a>(members: &Members<'a>, name: &str) -> Cow<'a, str> {
    members.find(name).and_then(json::string).unwrap_or_default()
}

fn pieces<'a>(message: &Members<'a>) -> Vec<Piece<'a>> {
    let mut out = Vec::new();
    let reasoning = ["reasoning", "reasoning_content"].iter().find_map(|name| message.find(name));
    out.extend(reasoning.and_then(json::string).map(|text| Piece::Text("reasoning", text)));
    let content = message.find("content").filter(|content| !json::says_nothing(content));
    match content {
        Some(response) if role(message) == "tool" => {
            out.push(Piece::Response { id: string_of(message, "tool_call_id"), response });
        }
        Some(text) if text.starts_with('"') => {
            out.extend(json::string(text).map(|text| Piece::Text("text", text)));
        }
        Some(parts) => out.extend(json::elements(parts).into_iter().map(piece)),
        None => {}
    }
    for call in message.find("tool_calls").map(json::elements).unwrap_or_default() {
        let call = Members::of(call);
        let function = call.find("function").map(Members::of).unwrap_or_default();
        out.push(Piece::Call {
            id: string_of(&call, "id"),
            name: string_of(&function, "name"),
            arguments: string_of(&function, "arguments"),
        });
    }
    out
}

fn piece(raw: &str) -> Piece<'_> {
    let part = Members::of(raw);
    let inner = |name: &str| part.find(name).map(Members::of).unwrap_or_default();
    match string_of(&part, "type").as_ref() {
        "text" => Piece::Text("text", string_of(&part, "text")),
        "refusal" => Piece::Text("text", string_of(&part, "refusal")),
        "image_url" => at_url("image", string_of(&inner("image_url"), "url")),
        "input_audio" => {
            let audio = inner("input_audio");
            let mime = format!("audio/{}", string_of(&audio, "format"));
            Piece::Blob { modality: "audio", mime: mime.into(), data: string_of(&audio, "data") }
        }
        _ => Piece::Other(raw),
    }
}

/// What is at an address: bytes, if the address holds them itself.
fn at_url<'a>(modality: &'static str, url: Cow<'a, str>) -> Piece<'a> {
    let inside = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inside {
        Some((mime, data)) => {
            Piece::Blob { modality, mime: mime.to_owned().into(), data: data.to_owned().into() }
        }
        None => Piece::Uri { modality, uri: url },
    }
}

/// What an answer said, within a budget of bytes.
#[derive(Debug)]
pub(super) struct Said {
    budget: usize,
    left: usize,
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    number: u32,
    text: String,
    reasoning: String,
    calls: Vec<(u32, Call)>,
    finish: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Said {
    pub(super) fn new(budget: usize) -> Said {
        Said { budget, left: budget, choices: Vec::new() }
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Part(part) => self.part(part),
            Event::Finish(finish) => {
                if let Some(choice) = self.choice(finish.choice) {
                    choice.finish = Some(finish.reason.as_str());
                }
            }
            Event::Start(_) | Event::Usage(_) | Event::Complete | Event::Fault(_) => {}
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        let Said { left, .. } = *self;
        let Some(choice) = self.choice(part.choice) else { return };
        let more = match part.body {
            Body::Text(text) | Body::Refusal(text) => append(&mut choice.text, text, left),
            Body::Reasoning { text, .. } => append(&mut choice.reasoning, text, left),
            Body::ToolStart { index, id, name, arguments, .. } => {
                let mut call = Call { id: id.to_owned(), name: name.to_owned(), ..Call::default() };
                let more = append(&mut call.arguments, arguments, left);
                choice.calls.push((index, call));
                more + id.len() + name.len()
            }
            Body::ToolMore { index, arguments, .. } => {
                match choice.calls.iter_mut().find(|(number, _)| *number == index) {
                    Some((_, call)) => append(&mut call.arguments, arguments, left),
                    None => 0,
                }
            }
            Body::Nothing => 0,
        };
        self.left = self.left.saturating_sub(more);
    }

    /// The choice of that number, as long as something is left.
    fn choice(&mut self, number: u32) -> Option<&mut Choice> {
        let at = self.choices.iter().position(|choice| choice.number == number);
        if at.is_none() && self.left > 0 {
            self.left -= 1;
            self.choices.push(Choice {
                number,
                text: String::new(),
                reasoning: String::new(),
                calls: Vec::new(),
                finish: None,
            });
            return self.choices.last_mut();
        }
        self.choices.get_mut(at?)
    }

    /// The answer's messages.
    pub(super) fn output(&self) -> String {
        // What was kept is within the budget; this one is for the cut at its end.
        let mut out = Writer::new(self.budget);
        out.list(&self.choices, |out, choice| {
            out.raw("{\"role\":\"assistant\",\"parts\":");
            out.list(choice.pieces(), |out, piece| piece.write(out));
            out.raw(",\"finish_reason\":");
            out.word(choice.finish.unwrap_or("error"));
            out.raw("}");
        });
        out.finish()
    }
}

impl Choice {
    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut out = Vec::new();
        if !self.reasoning.is_empty() {
            out.push(Piece::Text("reasoning", Cow::Borrowed(&self.reasoning)));
        }
        if !self.text.is_empty() {
            out.push(Piece::Text("text", Cow::Borrowed(&self.text)));
        }
        out.extend(self.calls.iter().map(|(_, call)| Piece::Call {
            id: Cow::Borrowed(&call.id),
            name: Cow::Borrowed(&call.name),
            arguments: Cow::Borrowed(&call.arguments),
        }));
        out
    }
}

/// Appends as much as fits, on a character's boundary; returns how much was asked for.
fn append(to: &mut String, text: &str, left: usize) -> usize {
    if text.len() <= left {
        to.push_str(text);
    } else if left > 0 {
        let end = (0..=left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        to.push_str(text.get(..end).unwrap_or_default());
        to.push_str(CUT);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Chat {
        Chat::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn messages_have_the_shapes_of_the_convention() {
        let chat = chat(
            r#"{"model":"m","messages":[
            {"role":"system","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"Hi"},
              {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
              {"type":"image_url","image_url":{"url":"https://h/i.png"}}]},
            {"role":"assistant","content":null,"reasoning":"Hm","tool_calls":[
              {"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
            {"role":"tool","tool_call_id":"c","content":"ok"}],
            "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#,
        );
        assert_eq!(
            input(&chat, 1000),
            concat!(
                r#"[{"role":"user","parts":[{"type":"text","content":"Hi"},"#,
                r#"{"type":"blob","modality":"image","mime_type":"image/png","content":"AAAA"},"#,
                r#"{"type":"uri","modality":"image","uri":"https://h/i.png"}]},"#,
                r#"{"role":"assistant","parts":[{"type":"reasoning","content":"Hm"},"#,
                r#"{"type":"tool_call","id":"c","name":"f","arguments":{"a":1}}]},"#,
                r#"{"role":"tool","parts":[{"type":"tool_call_response","id":"c","response":"ok"}]}]"#
            )
        );
        assert_eq!(instructions(&chat, 1000).unwrap(), r#"[{"type":"text","content":"Be brief."}]"#);
        assert_eq!(
            tools(&chat, 1000).unwrap(),
            r#"[{"type":"function","name":"f","parameters":{"type":"object"}}]"#
        );
    }

    #[test]
    fn prompts_are_messages_of_the_user() {
        let input = |prompt: &str| {
            let body = format!("{{\"model\":\"m\",\"prompt\":{prompt}}}");
            input(&crate::api::completions::read(body.as_bytes()).unwrap(), 1000)
        };
        let text = |text: &str| {
            format!("{{\"role\":\"user\",\"parts\":[{{\"type\":\"text\",\"content\":\"{text}\"}}]}}")
        };
        assert_eq!(input("\"a\""), format!("[{}]", text("a")));
        assert_eq!(input(r#"["a","b"]"#), format!("[{},{}]", text("a"), text("b")));
        assert_eq!(input("[1,2]"), r#"[{"role":"user","parts":[{"type":"tokens","content":"[1,2]"}]}]"#);
        assert_eq!(input("null"), "[]");
    }

    #[test]
    fn a_cut_leaves_json() {
        let chat = chat(
            r#"{"model":"m","messages":[{"role":"user","content":"ééééé"},{"role":"user","content":"more"}]}"#,
        );
        for budget in 0..16 {
            let text = input(&chat, budget);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value.is_array(), "{text}");
        }
        assert_eq!(input(&chat, 5), r#"[{"role":"user","parts":[{"type":"text","content":"éé…"}]}]"#);
    }

    #[test]
    fn an_answer_is_kept_by_choice() {
        let mut said = Said::new(1000);
        let unknown = crate::event::Unknown::default();
        for body in [
            Body::Reasoning { text: "Hm", details: &[] },
            Body::Text("Hel"),
            Body::Text("lo"),
            Body::ToolStart {
                index: 0,
                id: "c",
                name: "f",
                arguments: "{\"a\":",
                extra_content: &[],
                unknown: &[],
            },
            Body::ToolMore { index: 0, arguments: "1}", extra_content: &[], unknown: &[] },
        ] {
            said.event(&Event::Part(Part { choice: 0, first: false, body, unknown }));
        }
        assert_eq!(
            said.output(),
            concat!(
                r#"[{"role":"assistant","parts":[{"type":"reasoning","content":"Hm"},"#,
                r#"{"type":"text","content":"Hello"},"#,
                r#"{"type":"tool_call","id":"c","name":"f","arguments":{"a":1}}],"finish_reason":"error"}]"#
            )
        );
    }
}
