//! Signatures of reasoning: made from what they sign, so that the mock knows its own without a memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What no client knows; nothing depends on its being a secret.
const KEY: &[u8] = b"the ducks of this pond";

/// Signs text for a purpose: what was signed for one is not valid for another.
pub fn seal(purpose: &str, text: &str) -> String {
    STANDARD.encode(mac(purpose, text.as_bytes()))
}

/// Says whether a signature is the text's own.
pub fn is_seal(purpose: &str, text: &str, signature: &str) -> bool {
    seal(purpose, text) == signature
}

/// Wraps text so that only the mock reads it.
pub fn wrap(purpose: &str, text: &str) -> String {
    let mut bytes = mac(purpose, text.as_bytes()).to_vec();
    bytes.extend(text.bytes().map(|byte| byte ^ 0x5a));
    STANDARD.encode(bytes)
}

/// The text that was wrapped; `None` if it was altered.
pub fn unwrap(purpose: &str, wrapped: &str) -> Option<String> {
    let bytes = STANDARD.decode(wrapped).ok()?; // What is no base64 was altered.
    let (mac_part, text) = bytes.split_at_checked(32)?;
    let text: Vec<u8> = text.iter().map(|byte| byte ^ 0x5a).collect();
    (mac(purpose, &text) == mac_part).then(|| String::from_utf8(text).ok()).flatten() // The mock writes UTF-8 only.
}

/// Four lanes of FNV-1a over key, purpose and text.
fn mac(purpose: &str, text: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (lane, room) in (0u8..).zip(out.chunks_exact_mut(8)) {
        let start = [lane];
        let bytes = [KEY, &start, purpose.as_bytes(), &[0], text, KEY].concat();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
        });
        room.copy_from_slice(&hash.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_text_and_one_purpose() {
        let signature = seal("a", "text");
        assert!(is_seal("a", "text", &signature));
        assert!(!is_seal("a", "texts", &signature) && !is_seal("b", "text", &signature));
        let wrapped = wrap("a", "ducks 🦆");
        assert_eq!(unwrap("a", &wrapped).as_deref(), Some("ducks 🦆"));
        assert_eq!(unwrap("a", &wrapped.replacen(char::is_alphabetic, "0", 1)), None);
        assert_eq!(unwrap("a", "no base64!"), None);
    }
}
