//! The chat-completions API: the stream of chunks, the one object, the error object.

mod chunks;
mod error;
mod object;
mod stream;

pub(crate) use chunks::Chunks;
pub use error::{ErrorBody, write_error};
pub use object::Fold;
pub(crate) use object::{join_details, keep};
pub use stream::Stream;

use crate::json::{self, Field};

/// Under which names reasoning text leaves (G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// As `reasoning_content` and as `reasoning`.
    #[default]
    Both,
    /// As `reasoning_content` only.
    ReasoningContent,
    /// As `reasoning` only.
    Reasoning,
    /// Not at all; `reasoning_details` still leave.
    None,
}

impl ReasoningField {
    fn names(self) -> &'static [&'static str] {
        match self {
            ReasoningField::Both => &["reasoning_content", "reasoning"],
            ReasoningField::ReasoningContent => &["reasoning_content"],
            ReasoningField::Reasoning => &["reasoning"],
            ReasoningField::None => &[],
        }
    }

    /// Appends `,"name":text` for each of the names.
    pub(crate) fn write(self, text: &str, out: &mut Vec<u8>) {
        for name in self.names() {
            out.push(b',');
            json::write_string(name, out);
            out.push(b':');
            json::write_string(text, out);
        }
    }
}

/// Appends `"name":` after a comma where one is due.
fn key(name: &str, first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    json::write_string(name, out);
    out.push(b':');
}

/// Appends `"extra_content":{…}` if there is any; of two members of one name the first counts.
fn write_extra_content(fields: &[Field<'_>], out: &mut Vec<u8>) {
    if fields.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"extra_content\":{");
    let mut first = true;
    for (at, field) in fields.iter().enumerate() {
        if fields.iter().take(at).any(|earlier| earlier.name == field.name) {
            continue;
        }
        key(&field.name, &mut first, out);
        json::write_raw(&field.value, out);
    }
    out.push(b'}');
}
