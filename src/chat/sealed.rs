//! What an API of clients has no form for, as one opaque word that they keep and send back unread.
//!
//! The Responses API has `encrypted_content` for such words, the Messages API the `signature` of a thought and the
//! `data` of one that cannot be read. What other providers want to see again is put into them as it is: structured
//! reasoning, with forms, ids and signatures, and parts of answers that only their provider knows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What every such word begins with.
const MARK: &str = "millpond.";
const KINDS: [Kind; 3] = [Kind::Details, Kind::Detail, Kind::Part];

/// What a word holds: JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All `reasoning_details` of one item: an array.
    Details,
    /// One of them, or what it has beside its text: an object.
    Detail,
    /// One of `content_parts`: an object.
    Part,
}

impl Kind {
    fn mark(self) -> &'static str {
        match self {
            Kind::Details => "millpond.1.",
            Kind::Detail => "millpond.reasoning:",
            Kind::Part => "millpond.part:",
        }
    }
}

/// Makes a word of JSON text.
pub fn seal(kind: Kind, raw: &str) -> String {
    format!("{}{}", kind.mark(), STANDARD.encode(raw))
}

/// Opens a word; `None` for what no millpond made, and for what was changed on its way.
pub fn open(word: &str) -> Option<(Kind, String)> {
    let (kind, base64) = KINDS.into_iter().find_map(|kind| Some((kind, word.strip_prefix(kind.mark())?)))?;
    let bytes = STANDARD.decode(base64).ok()?; // Not ours any more.
    let raw = String::from_utf8(bytes).ok()?; // Not ours any more.
    let begins = if kind == Kind::Details { '[' } else { '{' };
    let is_whole = raw.starts_with(begins) && serde_json::from_str::<serde::de::IgnoredAny>(&raw).is_ok();
    is_whole.then_some((kind, raw))
}

/// True for a word that a millpond made, unharmed or not: no provider can read it.
pub fn is_sealed(word: &str) -> bool {
    word.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_again() {
        for (kind, raw) in
            [(Kind::Details, r#"[{"signature":"é"}]"#), (Kind::Detail, r#"{"data":"é"}"#), (Kind::Part, "{}")]
        {
            let word = seal(kind, raw);
            assert!(is_sealed(&word), "{word}");
            assert_eq!(open(&word), Some((kind, raw.to_owned())));
        }
    }

    #[test]
    fn what_was_changed_stays_closed() {
        for word in
            ["", "gAAAA", "millpond.1.%", "millpond.1.QQ==", "millpond.reasoning:", "millpond.part:W10="]
        {
            assert_eq!(open(word), None, "{word}");
        }
        assert!(is_sealed("millpond.1.%") && !is_sealed("gAAAAmillpond.1."));
    }
}
