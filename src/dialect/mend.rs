//! Mends JSON text that a strict parser rejects, so that what is wrong with it costs no more than the
//! character or the number concerned (F5).
//!
//! Only frames that a strict parser refused, or that hold surrogate escapes, come here.

use std::collections::VecDeque;

use crate::event::{Repair, Repairs};

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Mends texts, and remembers the halves of characters that a provider split over two frames.
#[derive(Debug, Default)]
pub(super) struct Mender {
    halves: VecDeque<Half>,
}

/// The first half of a character, at the end of a string.
#[derive(Debug)]
struct Half {
    /// Where the string stood: its key and the key around it.
    place: Vec<u8>,
    bytes: HalfBytes,
}

#[derive(Debug)]
enum HalfBytes {
    /// A high surrogate.
    Surrogate(u16),
    /// The beginning of a UTF-8 sequence.
    Utf8(Vec<u8>),
}

/// Values around a string that are told apart at most.
const DEPTH_KEPT: usize = 32;
/// Halves that are kept at most; a provider that leaves more behind is sending noise.
const HALVES_KEPT: usize = 64;

/// True if the text may hold a surrogate as an escape.
pub(super) fn may_hold_surrogates(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', text).any(|at| matches!(text.get(at + 1..at + 3), Some(b"ud" | b"uD")))
}

impl Mender {
    /// True if the next text may hold the second half of a character.
    pub(super) fn is_waiting(&self) -> bool {
        !self.halves.is_empty()
    }

    /// Rewrites the text.
    pub(super) fn mend(&mut self, text: &[u8], repairs: &mut Repairs) -> Vec<u8> {
        let mut pass = Pass {
            text,
            at: 0,
            key: &[],
            around: Vec::new(),
            last: &[],
            out: Vec::with_capacity(text.len() + 16),
            mender: self,
            repairs,
        };
        pass.run();
        pass.out
    }

    fn take(&mut self, place: &[u8]) -> Option<HalfBytes> {
        let at = self.halves.iter().position(|half| half.place == place)?;
        self.halves.remove(at).map(|half| half.bytes)
    }

    fn keep(&mut self, place: &[u8], bytes: HalfBytes) {
        if self.halves.len() == HALVES_KEPT {
            self.halves.pop_front();
        }
        self.halves.push_back(Half { place: place.to_vec(), bytes });
    }
}

/// One pass over one text.
struct Pass<'a> {
    text: &'a [u8],
    at: usize,
    /// The key of the value that is being read.
    key: &'a [u8],
    /// The keys of the values around it.
    around: Vec<&'a [u8]>,
    /// The string that was read last: a key, if a colon follows.
    last: &'a [u8],
    out: Vec<u8>,
    mender: &'a mut Mender,
    repairs: &'a mut Repairs,
}

impl Pass<'_> {
    fn run(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => self.string(),
                b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => self.word(),
                _ => {
                    match byte {
                        b':' => self.key = self.last,
                        b'{' | b'[' if self.around.len() < DEPTH_KEPT => self.around.push(self.key),
                        b'}' | b']' => self.key = self.around.pop().unwrap_or_default(),
                        _ => {}
                    }
                    self.out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// A number, `true`, `false`, `null`, or a number that JSON does not know.
    fn word(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
        let word = rest.get(..length).unwrap_or_default();
        let text = std::str::from_utf8(word).unwrap_or_default();
        let unsigned = text.trim_start_matches('-');
        let no_number = ["nan", "infinity", "inf"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
        if no_number || text.parse::<f64>().is_ok_and(|number| !number.is_finite()) {
            self.repairs.count(Repair::NumberInvalid);
            self.out.extend_from_slice(b"null");
        } else {
            self.out.extend_from_slice(word);
        }
        self.at += length;
    }

    fn string(&mut self) {
        self.at += 1;
        self.out.push(b'"');
        let start = self.at;
        self.second_half();
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => break,
                b'\\' => self.escape(),
                0..0x20 => {
                    self.repairs.count(Repair::ControlCharacter);
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    self.at += 1;
                }
                0x20..0x80 => {
                    self.out.push(byte);
                    self.at += 1;
                }
                _ => self.sequence(),
            }
        }
        self.last = self.text.get(start..self.at).unwrap_or_default();
        if self.at < self.text.len() {
            self.out.push(b'"');
            self.at += 1;
        }
    }

    /// At the beginning of a string: joins what an earlier frame left of a character.
    fn second_half(&mut self) {
        if !self.mender.is_waiting() || self.text.get(self.at) == Some(&b'"') || self.is_key() {
            return;
        }
        match self.mender.take(&self.place()) {
            None => {}
            Some(HalfBytes::Surrogate(high)) => match self.unit() {
                Some(low @ 0xdc00..0xe000) => {
                    self.at += 6;
                    self.out.extend_from_slice(format!("\\u{high:04x}\\u{low:04x}").as_bytes());
                }
                _ => self.out.extend_from_slice(REPLACEMENT),
            },
            Some(HalfBytes::Utf8(head)) => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let tail = rest.iter().take(3).take_while(|&&byte| byte & 0xc0 == 0x80).count();
                let joined: Vec<u8> = head.iter().chain(rest.iter().take(tail)).copied().collect();
                match std::str::from_utf8(&joined) {
                    Ok(text) if tail > 0 => {
                        self.out.extend_from_slice(text.as_bytes());
                        self.at += tail;
                    }
                    Ok(_) | Err(_) => self.out.extend_from_slice(REPLACEMENT),
                }
            }
        }
    }

    /// Where the value stands: `delta.content` and `message.content` are two places.
    fn place(&self) -> Vec<u8> {
        let outer = self.around.last().copied().unwrap_or_default();
        [outer, b".", self.key].concat()
    }

    /// True if the string that begins here is a key: only a value can hold the rest of a character.
    fn is_key(&self) -> bool {
        let before = self.out.iter().rev().skip(1).find(|byte| !byte.is_ascii_whitespace());
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'"');
        let after = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        matches!(before, Some(b'{' | b','))
            && after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
    }

    /// The UTF-16 unit that is escaped here.
    fn unit(&self) -> Option<u16> {
        let hex = self.text.get(self.at..self.at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok() // No hex digits: no unit.
    }

    fn escape(&mut self) {
        match self.unit() {
            Some(high @ 0xd800..0xdc00) => {
                self.at += 6;
                match self.unit() {
                    Some(low @ 0xdc00..0xe000) => {
                        self.at += 6;
                        self.out.extend_from_slice(format!("\\u{high:04x}\\u{low:04x}").as_bytes());
                    }
                    _ if self.text.get(self.at) == Some(&b'"') => {
                        self.repairs.count(Repair::LoneSurrogate);
                        let place = self.place();
                        self.mender.keep(&place, HalfBytes::Surrogate(high));
                    }
                    _ => {
                        self.repairs.count(Repair::LoneSurrogate);
                        self.out.extend_from_slice(REPLACEMENT);
                    }
                }
            }
            Some(0xdc00..0xe000) => {
                self.at += 6;
                self.repairs.count(Repair::LoneSurrogate);
                self.out.extend_from_slice(REPLACEMENT);
            }
            Some(_) => self.copy(6),
            None => match self.text.get(self.at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.copy(2),
                _ => {
                    // No escape of JSON's: the backslash was meant as one.
                    self.repairs.count(Repair::ControlCharacter);
                    self.out.extend_from_slice(b"\\\\");
                    self.at += 1;
                }
            },
        }
    }

    fn copy(&mut self, length: usize) {
        let end = (self.at + length).min(self.text.len());
        self.out.extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    /// A character beyond ASCII, or bytes that are none.
    fn sequence(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = rest.iter().take_while(|&&byte| byte >= 0x80).count();
        let bytes = rest.get(..run).unwrap_or_default();
        let Err(error) = std::str::from_utf8(bytes) else { return self.copy(run) };
        self.copy(error.valid_up_to());
        self.repairs.count(Repair::InvalidUtf8);
        match error.error_len() {
            Some(length) => {
                self.out.extend_from_slice(REPLACEMENT);
                self.at += length;
            }
            None => {
                // Cut at the end of the run: another frame may hold the rest of it.
                let head = rest.get(error.valid_up_to()..run).unwrap_or_default();
                self.at += head.len();
                if self.text.get(self.at) == Some(&b'"') {
                    let place = self.place();
                    self.mender.keep(&place, HalfBytes::Utf8(head.to_vec()));
                } else {
                    self.out.extend_from_slice(REPLACEMENT);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frames: &[&[u8]], expect: &[&str]) {
        let mut mender = Mender::default();
        let mut repairs = Repairs::default();
        for (frame, expect) in frames.iter().zip(expect) {
            let mended = String::from_utf8(mender.mend(frame, &mut repairs)).unwrap();
            assert_eq!(&mended, expect);
            serde_json::from_str::<serde_json::Value>(&mended).unwrap();
        }
        assert!(!mender.is_waiting());
    }

    #[test]
    fn numbers_that_json_does_not_know_become_null() {
        check(
            &[br#"{"a":NaN,"b":[-Infinity,1e999,-1.5e3],"c":"NaN"}"#],
            &[r#"{"a":null,"b":[null,null,-1.5e3],"c":"NaN"}"#],
        );
    }

    #[test]
    fn a_split_surrogate_pair_is_joined() {
        check(
            &[br#"{"content":"duck \ud83e"}"#, br#"{"content":"\udd86!"}"#],
            &[r#"{"content":"duck "}"#, r#"{"content":"\ud83e\udd86!"}"#],
        );
    }

    #[test]
    fn interleaved_halves_find_their_own_key() {
        check(
            &[
                br#"{"content":"\ud83e"}"#,
                br#"{"reasoning":"x"}"#,
                br#"{"content":"","x":1}"#,
                br#"{"content":"\udd86"}"#,
            ],
            &[
                r#"{"content":""}"#,
                r#"{"reasoning":"x"}"#,
                r#"{"content":"","x":1}"#,
                r#"{"content":"\ud83e\udd86"}"#,
            ],
        );
    }

    #[test]
    fn the_same_key_elsewhere_is_another_place() {
        check(
            &[
                br#"{"message":{"content":"x\ud83e"},"delta":{"content":"\ud83e"}}"#,
                br#"{"message":{"content":"x\ud83e\udd86"},"delta":{"content":"\udd86"}}"#,
            ],
            &[
                r#"{"message":{"content":"x"},"delta":{"content":""}}"#,
                "{\"message\":{\"content\":\"\u{fffd}x\\ud83e\\udd86\"},\"delta\":{\"content\":\"\\ud83e\\udd86\"}}",
            ],
        );
    }

    #[test]
    fn a_lone_surrogate_costs_one_character() {
        check(&[br#"{"a":"x\ud83ey","b":"\udd86"}"#], &["{\"a\":\"x\u{fffd}y\",\"b\":\"\u{fffd}\"}"]);
        check(&[br#"{"a":"\ud83e"}"#, br#"{"a":"y"}"#], &["{\"a\":\"\"}", "{\"a\":\"\u{fffd}y\"}"]);
    }

    #[test]
    fn a_whole_pair_stays() {
        check(&[br#"{"a":"\uD83E\uDD86"}"#], &[r#"{"a":"\ud83e\udd86"}"#]);
    }

    #[test]
    fn invalid_utf8_costs_one_character() {
        check(&[b"{\"a\":\"x\xff\xc3\xa9\"}"], &["{\"a\":\"x\u{fffd}é\"}"]);
    }

    #[test]
    fn a_character_split_over_two_frames_is_joined() {
        check(&[b"{\"a\":\"x\xf0\x9f\"}", b"{\"a\":\"\xa6\x86y\"}"], &["{\"a\":\"x\"}", "{\"a\":\"🦆y\"}"]);
    }

    #[test]
    fn control_characters_are_escaped() {
        check(&[b"{\"a\":\"x\ny\\q\"}"], &[r#"{"a":"x\u000ay\\q"}"#]);
    }
}
