//! A client's JSON schema in the words that the API reads.

use std::borrow::Cow;

use crate::json::{self, Members};

/// Members that hold schemas by name: what looks like a keyword there is the name of a property.
const BY_NAME: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];
/// Members that hold a schema, or a list of them.
const NESTED: [&str; 8] =
    ["items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not", "contains"];

/// The schema with `const` as an `enum` of one value, because the API passes over `const`, and without
/// `$schema`. What else it does not know, it passes over by itself.
pub(super) fn schema(raw: &str) -> Cow<'_, str> {
    if !["\"const\"", "\"$schema\""].iter().any(|word| raw.contains(word)) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len() + 16);
    write(raw, &mut out);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn write(raw: &str, out: &mut Vec<u8>) {
    match raw.as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') => return write_list(raw, out),
        _ => return out.extend_from_slice(raw.as_bytes()),
    }
    let members = Members::of(raw);
    let has_enum = members.find("enum").is_some();
    out.push(b'{');
    let mut is_first = true;
    for (name, value) in &members.0 {
        let name = name.as_ref();
        if name == "$schema" || name == "const" && has_enum {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        json::write_string(if name == "const" { "enum" } else { name }, out);
        out.push(b':');
        match name {
            "const" => out.extend_from_slice(format!("[{value}]").as_bytes()),
            _ if BY_NAME.contains(&name) => write_named(value, out),
            _ if NESTED.contains(&name) => write(value, out),
            _ => out.extend_from_slice(value.as_bytes()),
        }
    }
    out.push(b'}');
}

fn write_list(raw: &str, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, element) in json::elements(raw).into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_named(raw: &str, out: &mut Vec<u8>) {
    if !raw.starts_with('{') {
        return out.extend_from_slice(raw.as_bytes());
    }
    out.push(b'{');
    for (at, (name, value)) in Members::of(raw).0.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_string(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expect: &str) {
        assert_eq!(schema(raw), expect);
    }

    #[test]
    fn const_becomes_an_enum_of_one() {
        check(
            r#"{"$schema":"x","type":"object","properties":{"const":{"const":1.0},"b":{"anyOf":[{"const":"x"},{"type":"null"}]}}}"#,
            r#"{"type":"object","properties":{"const":{"enum":[1.0]},"b":{"anyOf":[{"enum":["x"]},{"type":"null"}]}}}"#,
        );
    }

    #[test]
    fn values_are_no_schemas() {
        check(
            r#"{"default":{"const":1},"enum":[{"const":1}],"const":2}"#,
            r#"{"default":{"const":1},"enum":[{"const":1}]}"#,
        );
        assert!(matches!(schema(r#"{"type": "object"}"#), Cow::Borrowed(_)));
    }
}
