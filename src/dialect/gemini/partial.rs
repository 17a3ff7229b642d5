//! Arguments that come value by value (`partialArgs`) become one JSON text, written while they come.
//!
//! A value is named by its JSON path. The model writes its arguments from front to back, so a container is
//! complete once a value outside of it comes.

use crate::json::{self, Members};

/// The writer of one call's arguments.
#[derive(Debug)]
pub(super) struct Partial {
    /// The call's number.
    pub(super) call: i64,
    /// Where the last value stands; each step but the last one is in an open container.
    path: Vec<Step>,
    /// The last value is a string that goes on.
    in_string: bool,
    /// What is written and has not left.
    out: Vec<u8>,
}

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(String),
}

impl Partial {
    pub(super) fn new(call: i64) -> Partial {
        Partial { call, path: Vec::new(), in_string: false, out: Vec::new() }
    }

    /// Takes what was written.
    pub(super) fn take(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap_or_default()
    }

    /// Writes the next value, or more of the last one.
    pub(super) fn push(&mut self, piece: &Members<'_>) {
        let path = piece.find("jsonPath").and_then(json::word).map(|path| steps(&path)).unwrap_or_default();
        let text = piece.find("stringValue").filter(|raw| raw.starts_with('"'));
        let inner = text.and_then(|raw| raw.get(1..raw.len() - 1)).unwrap_or_default();
        let goes_on = piece.find("willContinue") == Some("true");
        if self.in_string && path == self.path {
            self.out.extend_from_slice(inner.as_bytes());
        } else if !path.is_empty() {
            self.go_to(path);
            if text.is_some() {
                self.out.push(b'"');
                self.out.extend_from_slice(inner.as_bytes());
                self.in_string = true;
            } else {
                let mut values = piece.0.iter().filter(|(name, _)| name.ends_with("Value"));
                let value = values.next().filter(|(name, _)| name != "nullValue");
                self.out.extend_from_slice(value.map_or("null", |(_, raw)| raw).as_bytes());
            }
        }
        if !goes_on {
            self.end_string();
        }
    }

    /// All values came.
    pub(super) fn close(&mut self) {
        self.end_string();
        if self.path.is_empty() {
            self.out.extend_from_slice(b"{}");
        }
        self.leave(0);
        self.path.clear();
    }

    fn end_string(&mut self) {
        if std::mem::take(&mut self.in_string) {
            self.out.push(b'"');
        }
    }

    /// Closes the containers from this depth on.
    fn leave(&mut self, depth: usize) {
        for step in self.path.drain(depth..).rev() {
            self.out.push(match step {
                Step::Key(_) => b'}',
                Step::Item(_) => b']',
            });
        }
    }

    /// Closes and opens containers up to the place of a value.
    fn go_to(&mut self, path: Vec<Step>) {
        self.end_string();
        let same = self.path.iter().zip(&path).take_while(|(known, next)| known == next).count();
        let most = self.path.len().min(path.len()).saturating_sub(1);
        let same = same.min(most);
        let is_first = self.path.is_empty();
        if !is_first {
            self.leave(same + 1);
            self.path.truncate(same);
            self.out.push(b',');
        }
        for (depth, step) in path.into_iter().enumerate().skip(same) {
            let opens = is_first || depth > same;
            match &step {
                Step::Key(name) => {
                    if opens {
                        self.out.push(b'{');
                    }
                    json::write_string(name, &mut self.out);
                    self.out.push(b':');
                }
                Step::Item(_) if opens => self.out.push(b'['),
                Step::Item(_) => {}
            }
            self.path.push(step);
        }
    }
}

/// The steps of a path such as `$.steps[0]['a key']`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let quote = inner.chars().next().filter(|c| matches!(c, '\'' | '"'));
            let (step, after) = match quote {
                Some(quote) => quoted(inner, quote),
                None => {
                    let (number, after) = inner.split_once(']').unwrap_or((inner, ""));
                    (Step::Item(number.to_owned()), after)
                }
            };
            steps.push(step);
            rest = after;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            if !name.is_empty() {
                steps.push(Step::Key(name.to_owned()));
            }
            rest = after;
        }
    }
    steps
}

/// A key in quotes, and what follows its bracket.
fn quoted(text: &str, quote: char) -> (Step, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let after = text.get(at + 1..).unwrap_or_default();
            return (Step::Key(name), after.strip_prefix(']').unwrap_or(after));
        }
        name.push(if c == '\\' { chars.next().map_or(c, |(_, c)| c) } else { c });
    }
    (Step::Key(name), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], expect: &str) {
        let mut partial = Partial::new(0);
        let mut text = String::new();
        for piece in pieces {
            partial.push(&Members::of(piece));
            text.push_str(&partial.take());
        }
        partial.close();
        text.push_str(&partial.take());
        assert_eq!(text, expect);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn values_become_an_object() {
        check(
            &[
                r#"{"jsonPath":"$.a.b[0].c","stringValue":"x\"","willContinue":true}"#,
                r#"{"jsonPath":"$.a.b[0].c","stringValue":"y"}"#,
                r#"{"jsonPath":"$.a.b[0].d","numberValue":1.50}"#,
                r#"{"jsonPath":"$.a.b[1].c","boolValue":true}"#,
                r#"{"jsonPath":"$['e f']","nullValue":"NULL_VALUE"}"#,
            ],
            r#"{"a":{"b":[{"c":"x\"y","d":1.50},{"c":true}]},"e f":null}"#,
        );
    }

    #[test]
    fn lists_hold_lists() {
        check(
            &[
                r#"{"jsonPath":"$.m[0][0]","numberValue":1}"#,
                r#"{"jsonPath":"$.m[0][1]","numberValue":2}"#,
                r#"{"jsonPath":"$.m[1][0]","numberValue":3}"#,
            ],
            r#"{"m":[[1,2],[3]]}"#,
        );
    }

    #[test]
    fn no_value_is_an_empty_object() {
        check(&[], "{}");
    }

    #[test]
    fn a_string_that_ends_with_nothing_is_closed_once() {
        check(
            &[
                r#"{"jsonPath":"$.a","stringValue":"x","willContinue":true}"#,
                r#"{"jsonPath":"$.a","stringValue":""}"#,
                r#"{"jsonPath":"$.b","stringValue":""}"#,
            ],
            r#"{"a":"x","b":""}"#,
        );
    }
}
