//! What this API has no form for travels as opaque text, which clients keep and send back: other providers'
//! structured reasoning as the signature of a `thinking` block or the data of a `redacted_thinking` block.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::chat::native::SEALED;

const REASONING: &str = "millpond.reasoning:";
const PART: &str = "millpond.part:";

/// What opaque text turned out to hold: JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// An item of `reasoning_details`, or what it has beside its text.
    Reasoning(String),
    /// An item of `content_parts`.
    Part(String),
}

/// Seals an item of structured reasoning.
pub(super) fn reasoning(raw: &str) -> String {
    seal(REASONING, raw)
}

/// Seals a part of an answer.
pub(super) fn part(raw: &str) -> String {
    seal(PART, raw)
}

fn seal(kind: &str, raw: &str) -> String {
    let mut out = kind.to_owned();
    STANDARD.encode_string(raw, &mut out);
    out
}

/// Opens what was sealed; `None` for what was not, and for what was changed on its way.
pub(super) fn open(text: &str) -> Option<Sealed> {
    let object = |base64: &str| {
        let bytes = STANDARD.decode(base64).ok()?; // Not ours any more.
        let raw = String::from_utf8(bytes).ok()?; // Not ours any more.
        let is_object = raw.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(&raw).is_ok();
        is_object.then_some(raw)
    };
    if let Some(base64) = text.strip_prefix(REASONING) {
        return object(base64).map(Sealed::Reasoning);
    }
    text.strip_prefix(PART).and_then(object).map(Sealed::Part)
}

/// True for text that was sealed here, unharmed or not: no provider can read it.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened() {
        let raw = r#"{"type":"reasoning.encrypted","data":"é"}"#;
        assert_eq!(open(&reasoning(raw)), Some(Sealed::Reasoning(raw.to_owned())));
        assert_eq!(open(&part("{}")), Some(Sealed::Part("{}".to_owned())));
    }

    #[test]
    fn what_was_changed_stays_closed() {
        for text in ["", "EqQB", "millpond.reasoning:", "millpond.part:!", "millpond.part:W10="] {
            assert_eq!(open(text), None, "{text}");
        }
        assert!(is_sealed("millpond.part:!") && !is_sealed("EqQBmillpond.part:"));
    }
}
