//! Structured reasoning in one word, for clients that have one field for what they must send back unread.
//!
//! The Responses API has `encrypted_content`. Reasoning of other providers has several items, with forms, ids and
//! signatures; all of them are put into that field as they are, so that they come back as they were.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What such a word begins with.
const MARK: &str = "millpond.1.";

/// Packs `reasoning_details`, the text of a JSON array.
pub fn seal(details: &str) -> String {
    format!("{MARK}{}", STANDARD.encode(details))
}

/// Unpacks them; `None` for what no millpond packed.
pub fn open(word: &str) -> Option<String> {
    let bytes = STANDARD.decode(word.strip_prefix(MARK)?).ok()?; // Cut by the client: not ours any more.
    let text = String::from_utf8(bytes).ok()?; // The same.
    (text.starts_with('[') && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()).then_some(text)
}

/// True for a word that a millpond packed, also for one that was damaged since.
pub fn is_sealed(word: &str) -> bool {
    word.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_again() {
        let details = r#"[{"type":"reasoning.text","signature":"é"}]"#;
        assert_eq!(open(&seal(details)).as_deref(), Some(details));
        for other in ["gAAAA", "millpond.1.%", "millpond.1.QQ=="] {
            assert_eq!(open(other), None, "{other}");
        }
        assert!(is_sealed("millpond.1.%") && !is_sealed("gAAAA"));
    }
}
