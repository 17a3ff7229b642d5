//! One part of a candidate's content becomes deltas.

use std::borrow::Cow;
use std::collections::HashSet;

use super::partial::Partial;
use crate::dialect::beside;
use crate::event::{Delta, Detail, Repair, Repairs, Said, Scope, ToolFragment};
use crate::json::{self, Field, Members};

/// Text that is kept for the places of citations at most, in bytes; those of a longer text stay as they are.
const SAID_LIMIT: usize = 1 << 20;

/// What is known of a candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) index: u32,
    /// The text so far, because citations count its bytes; `None` once it is too long.
    pub(super) said: Option<String>,
    /// The annotations that left, by their hash: metadata comes again.
    pub(super) cited: HashSet<u64>,
    /// How many calls were opened.
    calls: i64,
    /// The call whose arguments are being streamed.
    streamed: Option<Partial>,
    images: u32,
}

impl Candidate {
    pub(super) fn new(index: u32) -> Candidate {
        let said = Some(String::new());
        Candidate { index, said, cited: HashSet::new(), calls: 0, streamed: None, images: 0 }
    }

    /// True if it called a tool.
    pub(super) fn has_called(&self) -> bool {
        self.calls > 0
    }

    fn say(&mut self, text: &str) {
        let too_long = self.said.as_ref().is_some_and(|said| said.len() + text.len() > SAID_LIMIT);
        if too_long {
            self.said = None;
        }
        if let Some(said) = &mut self.said {
            said.push_str(text);
        }
    }
}

/// Reads one part.
pub(super) fn part<'a>(
    candidate: &mut Candidate,
    raw: &'a str,
    out: &mut Vec<Delta<'a>>,
    repairs: &mut Repairs,
) {
    let members = Members::of(raw);
    let find = |name: &str| members.find(name).filter(|raw| *raw != "null");
    let choice = candidate.index;
    let signature = find("thoughtSignature").filter(|raw| json::word(raw).is_some());
    let is_thought = find("thought") == Some("true");
    let inline = find("inlineData").map(Members::of);
    let kind = inline.as_ref().and_then(|inline| inline.find("mimeType")).and_then(json::word);
    let kind = kind.as_deref().unwrap_or_default();
    let says = |(name, raw): &(Cow<'_, str>, &str)| *raw != "null" && !is_seal(name);
    if let Some(call) = find("functionCall") {
        function_call(candidate, call, &members, out, repairs);
    } else if let Some(text) = members.find("text").and_then(json::scalar) {
        beside(choice, &members, &["text", "thought", "thoughtSignature"], out);
        if is_thought {
            thought(choice, text, members.find("text").unwrap_or_default(), signature, out);
            return;
        }
        candidate.say(&text);
        out.push(Delta::Text { choice, text: Said::Next(text) });
        out.extend(signature.map(|signature| sealed(choice, signature)));
    } else if let (Some(inline), true) = (&inline, kind.starts_with("image/") && !is_thought) {
        beside(choice, &members, &["inlineData", "thought", "thoughtSignature"], out);
        image(candidate, kind, inline, out);
        out.extend(signature.map(|signature| sealed(choice, signature)));
    } else if let (Some(inline), true) = (&inline, kind.starts_with("audio/") && !is_thought) {
        beside(choice, &members, &["inlineData", "thought", "thoughtSignature"], out);
        audio(choice, inline, out);
        out.extend(signature.map(|signature| sealed(choice, signature)));
    } else if !members.0.iter().any(says) {
        out.extend(signature.map(|signature| sealed(choice, signature)));
    } else {
        // Code that ran, tools that the provider called: the part is needed whole to send it back.
        beside::item(choice, "content_parts", raw, out);
    }
}

/// The candidate ended: arguments that are still being streamed were cut, and stay open.
pub(super) fn cut(candidate: &mut Candidate, out: &mut Vec<Delta<'_>>) {
    if let Some(mut partial) = candidate.streamed.take() {
        let text = partial.take();
        out.push(arguments(candidate.index, partial.call, text));
    }
}

fn is_seal(name: &str) -> bool {
    matches!(name, "thoughtSignature" | "thought")
}

/// Carries what stands beside the members that are translated.
fn beside<'a>(choice: u32, members: &Members<'a>, known: &[&str], out: &mut Vec<Delta<'a>>) {
    if members.0.len() > 1 {
        beside::others(members, known, Scope::Delta(choice), out);
    }
}

/// Reasoning leaves as text and as an item; both say the same.
fn thought<'a>(
    choice: u32,
    text: Cow<'a, str>,
    raw: &'a str,
    signature: Option<&'a str>,
    out: &mut Vec<Delta<'a>>,
) {
    let mut members = String::new();
    if !text.is_empty() && raw.starts_with('"') {
        members.push_str(&format!(",\"text\":{raw}"));
    }
    if let Some(signature) = signature {
        members.push_str(&format!(",\"signature\":{signature}"));
    }
    out.push(Delta::Reasoning { choice, text: Said::Next(text) });
    if !members.is_empty() {
        out.push(detail(choice, &format!("\"type\":\"reasoning.text\"{members}")));
    }
}

/// A signature that belongs to no call and no thought.
fn sealed<'a>(choice: u32, signature: &str) -> Delta<'a> {
    detail(choice, &format!("\"type\":\"reasoning.encrypted\",\"data\":{signature}"))
}

/// An item of structured reasoning with these members. It gets its index where those of calls get theirs.
fn detail<'a>(choice: u32, members: &str) -> Delta<'a> {
    let raw = Cow::Owned(format!("{{{members},\"format\":\"google-gemini-v1\"}}"));
    Delta::Detail { choice, detail: Box::new(Detail { raw, text: None, signs: None }) }
}

fn function_call<'a>(
    candidate: &mut Candidate,
    raw: &'a str,
    part: &Members<'a>,
    out: &mut Vec<Delta<'a>>,
    repairs: &mut Repairs,
) {
    let call = Members::of(raw);
    let name = call.find("name").and_then(json::word);
    let pieces = call.find("partialArgs").map(json::elements).unwrap_or_default();
    let goes_on = call.find("willContinue") == Some("true");
    if name.is_none()
        && let Some(partial) = &mut candidate.streamed
    {
        pieces.iter().for_each(|piece| partial.push(&Members::of(piece)));
        if !goes_on {
            partial.close();
        }
        let (call, text) = (partial.call, partial.take());
        if !goes_on {
            candidate.streamed = None;
        }
        out.push(arguments(candidate.index, call, text));
        return;
    }
    if let Some(mut partial) = candidate.streamed.take() {
        partial.close();
        let text = partial.take();
        out.push(arguments(candidate.index, partial.call, text));
    }
    let args = call.find("args").filter(|raw| *raw != "null");
    if name.is_none() && args.is_none() {
        repairs.count(Repair::UnknownFrame);
        return;
    }
    let index = candidate.calls;
    candidate.calls += 1;
    let arguments = if goes_on || !pieces.is_empty() {
        let mut partial = Partial::new(index);
        pieces.iter().for_each(|piece| partial.push(&Members::of(piece)));
        if !goes_on {
            partial.close();
        }
        let text = partial.take();
        candidate.streamed = goes_on.then_some(partial);
        Cow::Owned(text)
    } else {
        Cow::Borrowed(args.unwrap_or("{}"))
    };
    let mut fields = Vec::new();
    let known = ["name", "args", "id", "partialArgs", "willContinue", "index", "function", "extra_content"];
    let of_part = ["functionCall", "thoughtSignature", "thought", "id", "index", "type", "function"];
    let inner = call.0.iter().filter(|(name, _)| !known.contains(&name.as_ref()) && name != "type");
    let outer =
        part.0.iter().filter(|(name, _)| !of_part.contains(&name.as_ref()) && name != "extra_content");
    for (name, value) in inner.chain(outer) {
        fields.push(Field { name: name.clone(), value: Cow::Borrowed(*value) });
    }
    let fragment = ToolFragment {
        index: Some(index),
        id: call.find("id").and_then(json::word),
        name,
        arguments: Some(arguments).filter(|text| !text.is_empty()),
        signature: part.find("thoughtSignature").and_then(json::word),
        unknown: fields,
        ..ToolFragment::default()
    };
    out.push(Delta::Tool { choice: candidate.index, fragment: Box::new(fragment) });
}

fn arguments<'a>(choice: u32, call: i64, text: String) -> Delta<'a> {
    let arguments = Some(text).filter(|text| !text.is_empty()).map(Cow::Owned);
    let fragment = ToolFragment { index: Some(call), arguments, ..ToolFragment::default() };
    Delta::Tool { choice, fragment: Box::new(fragment) }
}

/// An image in OpenRouter's shape.
fn image(candidate: &mut Candidate, kind: &str, inline: &Members<'_>, out: &mut Vec<Delta<'_>>) {
    let data = inline.find("data").and_then(json::word).unwrap_or_default();
    let mut url = Vec::new();
    json::write_string(&format!("data:{kind};base64,{data}"), &mut url);
    let (url, index) = (String::from_utf8_lossy(&url), candidate.images);
    candidate.images += 1;
    let image = format!("{{\"type\":\"image_url\",\"image_url\":{{\"url\":{url}}},\"index\":{index}}}");
    beside::item(candidate.index, "images", &image, out);
}

/// Sound in the API's shape, with the form that it has.
fn audio<'a>(choice: u32, inline: &Members<'a>, out: &mut Vec<Delta<'a>>) {
    let find = |name: &str| inline.find(name).filter(|raw| raw.starts_with('"')).unwrap_or("\"\"");
    let value = format!("{{\"data\":{},\"mime_type\":{}}}", find("data"), find("mimeType"));
    let field = Field { name: Cow::Borrowed("audio"), value: Cow::Owned(value) };
    out.push(Delta::Unknown(Scope::Delta(choice), field));
}
