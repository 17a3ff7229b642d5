//! What stands in a content field, and the items of structured reasoning beside it.

use std::borrow::Cow;

use crate::event::Detail;
use crate::json::{self, Field, Members};

/// What a content field says.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) reasoning: Option<Cow<'a, str>>,
    /// Signatures of the reasoning, as JSON strings.
    pub(super) signatures: Vec<&'a str>,
    /// Parts that are neither text nor thinking, as a JSON array.
    pub(super) unknown_parts: Option<String>,
}

impl<'a> Content<'a> {
    pub(super) fn of_parts(parts: &[&'a str]) -> Content<'a> {
        let mut content = Content::default();
        let mut unknown: Vec<&str> = Vec::new();
        for &raw in parts {
            if raw.starts_with('"') {
                append(&mut content.text, json::word(raw));
                continue;
            }
            let part = Members::of(raw);
            let kind = part.find("type").and_then(json::word).unwrap_or(Cow::Borrowed("text"));
            let thinks = matches!(kind.as_ref(), "thinking" | "reasoning" | "thought")
                || part.find("thought").is_some_and(|thought| thought == "true");
            if thinks {
                let inner = ["thinking", "reasoning", "summary", "text", "content"];
                append(
                    &mut content.reasoning,
                    inner.iter().find_map(|name| part.find(name).and_then(nested_text)),
                );
                let nested = inner.iter().filter_map(|name| part.find(name)).flat_map(json::elements);
                let signed = nested.chain([raw]).filter_map(|raw| Members::of(raw).find("signature"));
                content.signatures.extend(signed.filter(|raw| json::word(raw).is_some()));
            } else if let Some(text) =
                part.find("text").or_else(|| part.find("content")).and_then(nested_text)
            {
                append(&mut content.text, Some(text));
            } else if part.find("text").is_none() {
                unknown.push(raw);
            }
        }
        if !unknown.is_empty() {
            content.unknown_parts = Some(format!("[{}]", unknown.join(",")));
        }
        content
    }
}

/// The text of a string, or of an array of parts that hold one each.
fn nested_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') {
        return json::word(raw);
    }
    let mut text = None;
    for part in json::elements(raw) {
        append(&mut text, Members::of(part).find("text").and_then(json::word));
    }
    text
}

fn append<'a>(text: &mut Option<Cow<'a, str>>, more: Option<Cow<'a, str>>) {
    *text = match (text.take(), more) {
        (Some(text), Some(more)) => Some(text + more),
        (text, more) => text.or(more),
    };
}

/// Reads one element of `reasoning_details`; gives its text as it was written as well.
pub(super) fn detail(raw: &str) -> (Detail<'_>, Option<&str>) {
    let members = Members::of(raw);
    let kind = members.find("type").and_then(json::word);
    let named = |name: &&str| members.find(name).filter(|raw| json::word(raw).is_some());
    let written = ["text", "summary", "thinking"].iter().find_map(named);
    let encrypted = kind.as_deref() == Some("reasoning.encrypted");
    let signs = members.find("id").and_then(json::word).filter(|_| encrypted);
    (Detail { raw: Cow::Borrowed(raw), text: written.and_then(json::word), signs }, written)
}

/// Encrypted reasoning that a provider puts into a field of its own, as an item of structured reasoning.
pub(super) fn signature<'a>(field: &Field<'a>) -> Option<Detail<'a>> {
    let (format, data) = match field.name.as_ref() {
        "reasoning_opaque" | "reasoning_encrypted" | "encrypted_content" | "reasoning_signature" => {
            ("unknown", field.value.as_ref().to_owned())
        }
        "extra_content" => {
            let google = Members::of(&field.value).find("google")?.to_owned();
            ("google-gemini-v1", Members::of(&google).find("thought_signature")?.to_owned())
        }
        _ => return None,
    };
    json::word(&data)?;
    let raw = format!("{{\"type\":\"reasoning.encrypted\",\"data\":{data},\"format\":\"{format}\"}}");
    Some(Detail { raw: Cow::Owned(raw), text: None, signs: None })
}
