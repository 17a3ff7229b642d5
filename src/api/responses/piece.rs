//! What comes in the shapes of chat completions and OpenRouter, in those of the Responses API.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::item::Voice;
use crate::json::{self, Members};

/// A piece of reasoning.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// The item that it belongs to, where it has a name of its own.
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) voice: Voice,
    /// The provider's number of the part.
    pub(super) number: Option<i64>,
    pub(super) text: Cow<'a, str>,
    /// The piece as it came; empty for text alone.
    pub(super) raw: &'a str,
    /// Nothing follows it in its item.
    pub(super) is_last: bool,
}

/// What is looked at in a detail. Values are raw, so that an odd type costs nothing beside it.
#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
}

/// Tells the pieces of one event, in their order. `text` is what is new; the details say the same in their form,
/// or say again what was said.
pub(super) fn read<'a>(text: &'a str, details: &'a [Cow<'a, str>], tell: &mut dyn FnMut(Piece<'a>)) {
    let one = match details {
        [] => {
            let (id, number, raw) = (None, None, "");
            return tell(Piece { id, voice: Voice::Summary, number, text: text.into(), raw, is_last: false });
        }
        [_] => true,
        _ => false,
    };
    // Several parts at once: each says its own, if together they say the text.
    let is_split = !one && details.iter().map(|raw| piece(raw).text.len()).sum::<usize>() == text.len();
    let mut rest = Cow::Borrowed(text);
    for raw in details {
        let piece = piece(raw);
        let text = if is_split { piece.text } else { std::mem::take(&mut rest) };
        tell(Piece { text, ..piece });
    }
}

fn piece(raw: &str) -> Piece<'_> {
    let Ok(detail) = serde_json::from_str::<Detail<'_>>(raw) else {
        let (id, number, text) = (None, None, "".into());
        return Piece { id, voice: Voice::Summary, number, text, raw, is_last: false };
    };
    let kind = word(detail.kind).unwrap_or_default();
    // Elsewhere numbers are those of chunks or of items, and a name may be that of a call.
    let is_items = word(detail.format).is_some_and(|format| format.ends_with("-responses-v1"));
    let is_thought = is_items && kind == "reasoning.text";
    let is_last = is_items && kind == "reasoning.encrypted";
    Piece {
        id: word(detail.id).filter(|_| is_items),
        voice: if is_thought { Voice::Thought } else { Voice::Summary },
        number: detail.index.map(RawValue::get).and_then(json::integer).filter(|_| is_items),
        text: word(detail.text.or(detail.summary)).unwrap_or_default(),
        raw,
        is_last,
    }
}

fn word(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    raw.map(RawValue::get).and_then(json::word)
}

/// An annotation out of its wrapper; its places are those in the text of one part, which has this many characters
/// of the answer before it.
pub(super) fn annotation(raw: &str, before: usize) -> String {
    let members = Members::of(raw);
    let kind = members.find("type").and_then(json::word).unwrap_or_default();
    let Some(inner) = members.find(&kind).filter(|raw| raw.starts_with('{')) else {
        let mut out = Vec::new();
        json::write_raw(raw, &mut out);
        return String::from_utf8_lossy(&out).into_owned();
    };
    let mut out = Vec::from(b"{\"type\":");
    json::write_string(&kind, &mut out);
    for (name, value) in Members::of(inner).0.iter().filter(|(name, _)| name != "type") {
        out.push(b',');
        json::write_string(name, &mut out);
        out.push(b':');
        let is_place = matches!(name.as_ref(), "start_index" | "end_index");
        match json::count(value).filter(|_| before > 0 && is_place) {
            Some(at) => json::write_number(at.saturating_sub(before as u64), &mut out),
            None => json::write_raw(value, &mut out),
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// An image as the item that brings it.
pub(super) fn image(raw: &str) -> String {
    let members = Members::of(raw);
    let url = members.find("image_url").map(Members::of).and_then(|image| image.find("url"));
    let url = url.and_then(json::word).unwrap_or_default();
    let inline = url.split_once(";base64,").filter(|(head, _)| head.starts_with("data:"));
    let result = inline.map_or(url.as_ref(), |(_, base64)| base64);
    let item = members.find("item").map(Members::of).unwrap_or_default();
    let mut out = Vec::from(b"{\"type\":\"image_generation_call\"");
    for (name, value) in item.0.iter().filter(|(name, _)| !matches!(name.as_ref(), "type" | "result")) {
        out.push(b',');
        json::write_string(name, &mut out);
        out.push(b':');
        json::write_raw(value, &mut out);
    }
    let media_type = inline.and_then(|(head, _)| head.strip_prefix("data:image/")).unwrap_or("png");
    for (name, value) in [("status", "completed"), ("output_format", media_type)] {
        if item.find(name).is_none() && (name != "output_format" || item.0.is_empty()) {
            out.push(b',');
            json::write_string(name, &mut out);
            out.push(b':');
            json::write_string(value, &mut out);
        }
    }
    out.extend_from_slice(b",\"result\":");
    json::write_string(result, &mut out);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// True for an item of the Responses API; parts of other APIs have other types, or none.
pub(super) fn is_item(raw: &str) -> bool {
    const ENDS: &[&str] = &["_call", "_call_output", "_list_tools", "_approval_request", "compaction"];
    let kind = Members::of(raw).find("type").and_then(json::word).unwrap_or_default();
    ENDS.iter().any(|end| kind.ends_with(end))
}
