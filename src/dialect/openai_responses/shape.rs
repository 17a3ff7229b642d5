//! What an answer says beside text, in the shapes of chat completions and OpenRouter.

use std::borrow::Cow;

use crate::dialect::beside;
use crate::event::{Delta, Detail, Scope};
use crate::json::{self, Field, Members};

/// A field with its value as it came.
pub(super) fn field<'a>(name: Cow<'a, str>, value: &'a str) -> Field<'a> {
    Field { name, value: Cow::Borrowed(value) }
}

/// Carries the logarithms of probabilities in the shape of chat completions.
pub(super) fn logprobs<'a>(event: &Members<'a>, out: &mut Vec<Delta<'a>>) {
    if let Some(raw) = event.find("logprobs").filter(|raw| raw.starts_with('[') && !json::says_nothing(raw)) {
        let value = Cow::Owned(format!("{{\"content\":{raw},\"refusal\":null}}"));
        let field = Field { name: Cow::Borrowed("logprobs"), value };
        out.push(Delta::Unknown(Scope::Choice(0), field));
    }
}

/// Carries a piece of a recording, or of its transcript.
pub(super) fn audio(text: &str, name: &str, out: &mut Vec<Delta<'_>>) {
    let mut value = Vec::from(format!("{{\"{name}\":"));
    json::write_string(text, &mut value);
    value.push(b'}');
    let value = Cow::Owned(String::from_utf8_lossy(&value).into_owned());
    out.push(Delta::Unknown(Scope::Delta(0), Field { name: Cow::Borrowed("audio"), value }));
}

/// An item of structured reasoning with one text, of a form and an item's id.
pub(super) fn detail<'a>(
    kind: &str,
    (name, text): (&str, &str),
    (format, id): (&str, &str),
    index: u32,
) -> Delta<'a> {
    let mut raw = Vec::with_capacity(text.len() + 160);
    raw.extend_from_slice(b"{\"type\":\"reasoning.");
    raw.extend_from_slice(kind.as_bytes());
    raw.extend_from_slice(b"\",\"");
    raw.extend_from_slice(name.as_bytes());
    raw.extend_from_slice(b"\":");
    json::write_string(text, &mut raw);
    raw.extend_from_slice(b",\"format\":");
    json::write_string(format, &mut raw);
    if !id.is_empty() {
        raw.extend_from_slice(b",\"id\":");
        json::write_string(id, &mut raw);
    }
    raw.extend_from_slice(b",\"index\":");
    json::write_number(index, &mut raw);
    raw.push(b'}');
    let raw = Cow::Owned(String::from_utf8(raw).unwrap_or_default()); // Nothing but UTF-8 was written.
    Delta::Detail { choice: 0, detail: Box::new(Detail { raw, text: None, signs: None }) }
}

/// Carries an item that no other field can carry. An image is one for clients that know OpenRouter's shape.
pub(super) fn other(raw: &str, item: &Members<'_>, out: &mut Vec<Delta<'_>>) {
    let is_image = item.find("type") == Some("\"image_generation_call\"");
    let result = item.find("result").filter(|_| is_image).and_then(json::word);
    let Some(result) = result else { return beside::item(0, "content_parts", raw, out) };
    let format = item.find("output_format").and_then(json::word).unwrap_or(Cow::Borrowed("png"));
    let mut image = Vec::from(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
    let url = match result.starts_with("http") || result.starts_with("data:") {
        true => result,
        false => Cow::Owned(format!("data:image/{format};base64,{result}")),
    };
    json::write_string(&url, &mut image);
    image.extend_from_slice(b"},\"item\":{\"type\":\"image_generation_call\"");
    let rest = item.0.iter().filter(|(name, _)| !matches!(name.as_ref(), "type" | "result"));
    let rest: Vec<Field<'_>> = rest.map(|(name, value)| field(name.clone(), value)).collect();
    json::write_fields(&rest, &mut image);
    image.extend_from_slice(b"}}");
    beside::item(0, "images", &String::from_utf8_lossy(&image), out);
}

/// An annotation in the shape of chat completions; its places are those in the text of the whole answer.
pub(super) fn annotation(raw: &str, start: usize) -> String {
    let members = Members::of(raw);
    let Some(kind) = members.find("type").filter(|raw| json::word(raw).is_some() && raw.starts_with('"'))
    else {
        return raw.to_owned();
    };
    let mut out = Vec::from(format!("{{\"type\":{kind},{kind}:{{"));
    let mut is_first = true;
    for (name, value) in members.0.iter().filter(|(name, _)| name != "type") {
        if !std::mem::replace(&mut is_first, false) {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        match json::count(value).filter(|_| start > 0 && matches!(name.as_ref(), "start_index" | "end_index"))
        {
            Some(at) => json::write_number(at.saturating_add(start as u64), &mut out),
            None => out.extend_from_slice(value.as_bytes()),
        }
    }
    out.extend_from_slice(b"}}");
    String::from_utf8_lossy(&out).into_owned()
}
