//! Raw JSON text: reading one leaf leniently, writing one string.
//!
//! A provider may put a number where a string belongs, or an object where text belongs. The decoders
//! therefore keep values as the text the provider wrote ([`serde_json::value::RawValue`]) and read each
//! leaf here, so that an odd type costs that leaf and nothing beside it. The text handed to the readers
//! has been validated by serde_json already.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;

/// A list of members that is short enough to be looked through for every name.
const SHORT: usize = 32;

/// One member of an object, its value as the provider wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The member's name, unescaped.
    pub name: Cow<'a, str>,
    /// The member's value: JSON text, byte for byte.
    pub value: Cow<'a, str>,
}

impl Field<'_> {
    /// Copies the field out of the frame it was read from.
    pub fn into_owned(self) -> Field<'static> {
        Field { name: Cow::Owned(self.name.into_owned()), value: Cow::Owned(self.value.into_owned()) }
    }

    /// True for `null`, `""`, `[]` and `{}`: ways to say nothing.
    pub fn says_nothing(&self) -> bool {
        says_nothing(&self.value)
    }
}

/// True for `null`, `""`, `[]` and `{}`: ways to say nothing.
pub fn says_nothing(raw: &str) -> bool {
    matches!(raw, "null" | "\"\"" | "[]" | "{}")
}

/// The string that this JSON text is, if it is one.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned) // Not a string after all: no leaf.
}

/// The text of a scalar: a string's content, or a number's or a boolean's own digits and letters.
pub fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => string(raw),
        b'n' | b'{' | b'[' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// A scalar that says something: not empty.
pub fn word(raw: &str) -> Option<Cow<'_, str>> {
    scalar(raw).filter(|text| !text.is_empty())
}

/// The integer that this JSON text means: `3`, `3.0` or `"3"`.
pub fn integer(raw: &str) -> Option<i64> {
    let text = scalar(raw)?;
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    let number = text.parse::<f64>().ok()?; // Neither integer nor float: no number.
    (number.is_finite() && number.abs() < 9e15).then_some(number as i64)
}

/// The count that this JSON text means: an integer that is not negative.
pub fn count(raw: &str) -> Option<u64> {
    integer(raw).and_then(|number| u64::try_from(number).ok()) // Negative: no count.
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(start..at).unwrap_or_default());
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                for nibble in [other >> 4, other & 15] {
                    out.extend(HEX.get(usize::from(nibble)));
                }
            }
        }
    }
    out.extend_from_slice(bytes.get(start..).unwrap_or_default());
    out.push(b'"');
}

/// Appends `,"name":value` for each field.
pub fn write_fields<'a, 'b: 'a>(fields: impl IntoIterator<Item = &'a Field<'b>>, out: &mut Vec<u8>) {
    for field in fields {
        out.push(b',');
        write_string(&field.name, out);
        out.push(b':');
        write_raw(&field.value, out);
    }
}

/// Appends JSON text on one line: a line break between tokens (the only place where valid JSON may
/// have one) would end the event that carries it. Numbers that no double can hold become null: many readers
/// refuse all of the text for one of them.
pub fn write_raw(raw: &str, out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', raw.as_bytes()).is_none() && !may_overflow(raw.as_bytes()) {
        out.extend_from_slice(raw.as_bytes());
        return;
    }
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let (token, next) = match first {
            '"' => rest.split_at(string_length(rest)),
            '-' | '0'..='9' => rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len())),
            _ => rest.split_at(first.len_utf8()),
        };
        match first {
            '\n' | '\r' => out.push(b' '),
            '-' | '0'..='9' if token.parse().is_ok_and(f64::is_infinite) => out.extend_from_slice(b"null"),
            _ => out.extend_from_slice(token.as_bytes()),
        }
        rest = next;
    }
}

/// True if there may be a number that no double can hold: one with an exponent of three digits, or with hundreds
/// of digits.
fn may_overflow(bytes: &[u8]) -> bool {
    const LONGEST: usize = 308;
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let exponent = memchr::memchr2_iter(b'e', b'E', bytes).any(|at| {
        let digits = at + 1 + usize::from(bytes.get(at + 1) == Some(&b'+'));
        at.checked_sub(1).is_some_and(is_digit) && (digits..digits + 3).all(is_digit)
    });
    // A run of so many digits has one at every such distance.
    let is_long = |at: usize| {
        let before = bytes.get(..at).unwrap_or_default().iter().rev();
        let behind = bytes.get(at..).unwrap_or_default().iter();
        let run =
            |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_digit()).count();
        is_digit(at) && run(&mut before.into_iter()) + run(&mut behind.into_iter()) > LONGEST
    };
    exponent || (0..bytes.len()).step_by(LONGEST).skip(1).any(is_long)
}

/// The length of the string that the text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Appends an array of JSON texts.
pub fn write_list<T: AsRef<str>>(items: &[T], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_raw(item.as_ref(), out);
    }
    out.push(b']');
}

/// Appends a number in decimal.
pub fn write_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// JSON text that serde writes as it is. It must be valid: it was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a str);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Appends `base` with the members of `over` put into it: objects are joined member by member, of anything
/// else the value of `over` counts.
pub fn write_merged(base: &str, over: &str, out: &mut Vec<u8>) {
    let (base, over) = (base.trim(), over.trim());
    if !base.starts_with('{') || !over.starts_with('{') {
        return out.extend_from_slice(over.as_bytes());
    }
    let (base, over) = (Members::of(base), Members::of(over));
    out.push(b'{');
    let added = over.0.iter().filter(|(name, _)| base.find(name).is_none());
    for (at, (name, value)) in base.0.iter().chain(added).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        match over.find(name).filter(|_| base.find(name).is_some()) {
            Some(other) => write_merged(value, other, out),
            None => out.extend_from_slice(value.as_bytes()),
        }
    }
    out.push(b'}');
}

/// The members of an object in the order they were written, values raw; empty for any other JSON. Of a name
/// that comes twice, the last value counts.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    /// Reads an object's members from its text.
    pub fn of(raw: &'a str) -> Members<'a> {
        serde_json::from_str(raw).unwrap_or_default()
    }

    /// The raw value of the last member of that name.
    pub fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|&(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de str)> = Vec::new();
                let mut places: HashMap<Cow<'de, str>, usize> = HashMap::new();
                while let Some(Key(name)) = map.next_key()? {
                    let value = map.next_value::<&'de RawValue>()?.get();
                    // Looking through a short list is cheaper than hashing; a long one may be an attack.
                    let known = if members.len() <= SHORT {
                        members.iter().position(|(known, _)| *known == name)
                    } else {
                        if places.is_empty() {
                            places
                                .extend(members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)));
                        }
                        places.get(&name).copied()
                    };
                    match known.and_then(|at| members.get_mut(at)) {
                        Some(member) => member.1 = value,
                        None => {
                            if members.len() > SHORT {
                                places.insert(name.clone(), members.len());
                            }
                            members.push((name, value));
                        }
                    }
                }
                Ok(Members(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Members::default())
            }
        }
        deserializer.deserialize_any(Collect)
    }
}

/// The elements of an array, raw; one element for an object; none for anything else.
pub fn elements(raw: &str) -> Vec<&str> {
    match raw.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(raw)
            .map(|values| values.into_iter().map(RawValue::get).collect())
            .unwrap_or_default(),
        Some(b'{') => vec![raw],
        _ => Vec::new(),
    }
}

/// An object's key, borrowed where it has no escapes.
#[derive(Debug, PartialEq, Eq)]
pub struct Key<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_double_holds_become_null() {
        let long = "1".repeat(400);
        for (raw, written) in [
            ("125e35792", "null"),
            ("-1E+999", "null"),
            ("1e308", "1e308"),
            ("1e-999", "1e-999"),
            (r#"{"a":[1e999,"1e999 \"1e999"],"b":2}"#, r#"{"a":[null,"1e999 \"1e999"],"b":2}"#),
            (&format!("[{long}]"), "[null]"),
            (&format!("\"{long}\""), &format!("\"{long}\"")),
            ("{\n\"e123\": \"5e123\"\r}", "{ \"e123\": \"5e123\" }"),
        ] {
            let mut out = Vec::new();
            write_raw(raw, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written, "{raw}");
        }
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        assert!(matches!(string("\"plain é\""), Some(Cow::Borrowed("plain é"))));
        assert_eq!(string(r#""a\n\u00e9""#).as_deref(), Some("a\né"));
        assert_eq!(string("12"), None);
    }

    #[test]
    fn an_integer_may_be_a_float_or_a_string() {
        for raw in ["7", "7.0", "\"7\"", "\" 7 \""] {
            assert_eq!(integer(raw), Some(7), "{raw}");
        }
        for raw in ["null", "\"x\"", "{}", "1e300"] {
            assert_eq!(integer(raw), None, "{raw}");
        }
        assert_eq!(count("-1"), None);
    }

    #[test]
    fn a_written_string_reads_back() {
        let text = "q\" b\\ n\n t\t c\u{1} é 🦆 \u{7f}";
        let mut out = Vec::new();
        write_string(text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn raw_json_leaves_on_one_line() {
        let mut out = Vec::new();
        write_raw("{\n \"a\":\r\n1}", &mut out);
        assert_eq!(out, b"{  \"a\":  1}");
    }

    #[test]
    fn objects_are_joined_member_by_member() {
        let mut out = Vec::new();
        write_merged(r#"{"a":{"x":1,"y":2},"b":[1]}"#, r#"{"a":{"y":3.0,"z":4},"b":[2],"c":null}"#, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":{"x":1,"y":3.0,"z":4},"b":[2],"c":null}"#);
    }

    #[test]
    fn members_keep_their_order_and_the_last_of_a_name_wins() {
        let members = Members::of(r#"{"b":1,"a":[2],"b":3}"#);
        assert_eq!(members.0.len(), 2);
        assert_eq!(members.find("b"), Some("3"));
        assert!(Members::of("[1]").0.is_empty());
    }

    #[test]
    fn a_long_object_has_each_name_once() {
        let members: Vec<String> = (0..100).map(|at| format!("\"k{}\":{at}", at % 50)).collect();
        let text = format!("{{{}}}", members.join(","));
        let members = Members::of(&text);
        assert_eq!(members.0.len(), 50);
        assert_eq!((members.find("k3"), members.find("k49")), (Some("53"), Some("99")));
    }
}
