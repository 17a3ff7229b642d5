//! JSON in the order it was built, in the handwriting of the server that is played.
//!
//! Providers differ in the order of keys, in the blanks after separators and in what they escape,
//! and a parser that scans bytes can trip over each. `serde_json` sorts and knows one handwriting.

/// A JSON value that keeps its keys in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// A string.
    Text(String),
    /// JSON text that is written as it stands.
    Raw(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A JSON object whose keys stay in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(Vec<(String, Json)>);

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handwriting {
    /// A blank after each `:` and `,`, as Python's `json.dumps` does.
    pub blanks: bool,
    /// What becomes an escape beyond what must.
    pub escape: Escape,
}

/// What a JSON writer escapes beyond what must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// Nothing.
    #[default]
    Least,
    /// All that is not ASCII, as Python does; what is outside the basic plane becomes a pair.
    NonAscii,
    /// `<`, `>` and `&`, as Go does.
    Html,
}

impl Object {
    /// Makes an object from pairs of a key and JSON text.
    pub fn from_table(table: &[(&str, &str)]) -> Self {
        let mut object = Self::default();
        for (key, raw) in table {
            object.set(key, Json::Raw((*raw).to_owned()));
        }
        object
    }

    /// Sets a key; one that is there already keeps its place.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) -> &mut Self {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
        self
    }

    /// Sets a key, and gives the object back.
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds all of another object.
    pub fn extend(&mut self, other: Object) -> &mut Self {
        for (key, value) in other.0 {
            self.set(&key, value);
        }
        self
    }

    /// Finds the value of a key.
    pub fn find(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Writes the object as JSON text.
    pub fn write(&self, hand: Handwriting) -> String {
        let mut out = String::new();
        write_object(self, hand, &mut out);
        out
    }
}

impl Json {
    /// Writes the value as JSON text.
    pub fn write(&self, hand: Handwriting) -> String {
        let mut out = String::new();
        write_value(self, hand, &mut out);
        out
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Json::Number(number)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Json::Object(object)
    }
}

impl From<Vec<Json>> for Json {
    fn from(list: Vec<Json>) -> Self {
        Json::List(list)
    }
}

fn write_value(value: &Json, hand: Handwriting, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::Text(text) => write_text(text, hand.escape, out),
        Json::Raw(raw) => out.push_str(raw),
        Json::List(list) => {
            out.push('[');
            for (position, item) in list.iter().enumerate() {
                separate(position, hand, out);
                write_value(item, hand, out);
            }
            out.push(']');
        }
        Json::Object(object) => write_object(object, hand, out),
    }
}

fn write_object(object: &Object, hand: Handwriting, out: &mut String) {
    out.push('{');
    for (position, (key, value)) in object.0.iter().enumerate() {
        separate(position, hand, out);
        write_text(key, hand.escape, out);
        out.push_str(if hand.blanks { ": " } else { ":" });
        write_value(value, hand, out);
    }
    out.push('}');
}

fn separate(position: usize, hand: Handwriting, out: &mut String) {
    if position > 0 {
        out.push_str(if hand.blanks { ", " } else { "," });
    }
}

fn write_text(text: &str, escape: Escape, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' if escape == Escape::Html => write_escape(character, out),
            _ if character < ' ' => write_escape(character, out),
            _ if !character.is_ascii() && escape == Escape::NonAscii => {
                write_escape(character, out);
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn write_escape(character: char, out: &mut String) {
    let mut units = [0u16; 2];
    for unit in character.encode_utf16(&mut units) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_a_second_value_its_place() {
        let object = Object::default().with("b", 1).with("a", "x").with("b", Json::Null);
        assert_eq!(object.write(Handwriting::default()), r#"{"b":null,"a":"x"}"#);
    }

    #[test]
    fn handwriting_changes_blanks_and_escapes_only() {
        let object = Object::default().with("a", "é🦆<\u{1}").with("b", true);
        let python = Handwriting { blanks: true, escape: Escape::NonAscii };
        assert_eq!(object.write(python), r#"{"a": "\u00e9\ud83e\udd86<\u0001", "b": true}"#);
        let go = Handwriting { blanks: false, escape: Escape::Html };
        assert_eq!(object.write(go), r#"{"a":"é🦆\u003c\u0001","b":true}"#);
    }
}
