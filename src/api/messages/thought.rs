//! One block of reasoning: which items of `reasoning_details` it holds, and what proves it.

use std::borrow::Cow;

use super::blocks::{Piece, Writer};
use crate::chat::sealed::{self, Kind};
use crate::json::{self, Members};

/// A block of reasoning that is open.
#[derive(Debug, Default)]
pub(super) struct Thought {
    /// The type, index and id of its item, as JSON texts; `None` for plain text.
    item: Option<[String; 3]>,
    /// What the item has beside its text, where that is of no use but to its provider.
    rest: Vec<u8>,
    /// It has its signature: what comes next is another item.
    is_signed: bool,
}

const IDENTITY: [&str; 3] = ["type", "index", "id"];

impl Thought {
    /// True if the item is the next piece of this one.
    pub(super) fn goes_on_with(&self, item: &Members<'_>) -> bool {
        let Some([kind, index, id]) = &self.item else { return true };
        let find = |name: &str| item.find(name).unwrap_or("null");
        let same_id = find("id") == "null" || find("id") == id;
        !self.is_signed && find("type") == kind && find("index") == index && same_id
    }

    /// Says a piece of plain text.
    pub(super) fn add(&mut self, text: &str, to: &mut dyn Writer) {
        to.piece(Piece::Thinking(text));
    }

    /// Takes a piece of the item: its text, if any, and its signature.
    pub(super) fn take(&mut self, item: &Members<'_>, text: &str, to: &mut dyn Writer) {
        if !text.is_empty() {
            self.add(text, to);
        }
        let signature = item.find("signature").filter(|raw| json::word(raw).is_some());
        if self.item.is_none() {
            let identity = IDENTITY.map(|name| item.find(name).unwrap_or("null").to_owned());
            self.item = Some(identity);
            if !is_native(item) && (signature.is_some() || is_worth_keeping(item)) {
                self.rest = rest(item);
            }
        }
        let Some(signature) = signature else { return };
        self.is_signed = true;
        if is_native(item) {
            if let Some(signature) = json::word(signature) {
                to.piece(Piece::Signature(&signature));
            }
        } else {
            // The last piece has what the first one has, and the signature.
            self.rest = rest(item);
        }
    }

    /// The block ends.
    pub(super) fn end(self, to: &mut dyn Writer) {
        if !self.rest.is_empty() {
            to.piece(Piece::Signature(&sealed::seal(Kind::Detail, &String::from_utf8_lossy(&self.rest))));
        }
    }
}

/// The readable text of an item.
pub(super) fn text_of<'a>(item: &Members<'a>) -> Option<Cow<'a, str>> {
    ["text", "summary"].iter().find_map(|name| item.find(name).and_then(json::word))
}

/// True for an item with text or a signature.
pub(super) fn says_something(item: &Members<'_>) -> bool {
    text_of(item).is_some() || item.find("signature").and_then(json::word).is_some()
}

/// The data of an item that cannot be read: Anthropic's as it is, anything else sealed.
pub(super) fn hidden<'a>(item: &Members<'a>, raw: &str) -> Option<Cow<'a, str>> {
    if says_something(item) {
        return None;
    }
    let data = item.find("data").and_then(json::word)?;
    let is_data = item.find("type").and_then(json::word).is_some_and(|kind| kind == "reasoning.encrypted");
    Some(if is_native(item) && is_data { data } else { Cow::Owned(sealed::seal(Kind::Detail, raw)) })
}

/// True for an item of this API's own form.
fn is_native(item: &Members<'_>) -> bool {
    item.find("format").and_then(json::word).is_some_and(|format| format.starts_with("anthropic"))
}

/// True if an item says more than its text: a summary, an id, a form of somebody's.
fn is_worth_keeping(item: &Members<'_>) -> bool {
    let word = |name: &str| item.find(name).and_then(json::word);
    let has_form = word("format").is_some_and(|format| format != "unknown");
    has_form || word("id").is_some() || word("type").is_some_and(|kind| kind == "reasoning.summary")
}

/// The item without its text.
fn rest(item: &Members<'_>) -> Vec<u8> {
    let mut out = Vec::from(b"{");
    for (name, value) in item.0.iter().filter(|(name, _)| name != "text" && name != "summary") {
        if out.len() > 1 {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        json::write_raw(value, &mut out);
    }
    out.push(b'}');
    out
}
