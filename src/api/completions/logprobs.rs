//! Log probabilities of a whole answer, out of those of its pieces (T4).
//!
//! Two forms are known: lists that run beside each other (`tokens`, `token_logprobs`, `top_logprobs`, `text_offset`
//! and whatever a provider adds), and the list of chat completions (`content`). In both, lists are joined.

use crate::json::{self, Members};

/// The list that the others run beside.
const TOKENS: &str = "tokens";

/// Those of the pieces so far.
#[derive(Debug, Default)]
pub(super) struct Logprobs {
    members: Vec<(String, Member)>,
    /// How many tokens there are.
    tokens: usize,
}

#[derive(Debug)]
enum Member {
    /// The elements with commas between them, and how many they are.
    List(String, usize),
    /// What was said last.
    Other(String),
}

impl Logprobs {
    /// Adds those of the next piece.
    pub(super) fn push(&mut self, raw: &str) {
        let before = self.tokens;
        let members = Members::of(raw);
        self.tokens += members.find(TOKENS).map_or(0, |raw| json::elements(raw).len());
        let runs_beside = members.find(TOKENS).is_some();
        for (name, value) in &members.0 {
            let at = match self.members.iter().position(|(known, _)| known == name) {
                Some(at) => at,
                None => {
                    self.members.push((name.clone().into_owned(), Member::Other("null".to_owned())));
                    self.members.len() - 1
                }
            };
            let Some((_, member)) = self.members.get_mut(at) else { continue };
            if value.starts_with('[') {
                if runs_beside {
                    member.fill(before);
                }
                member.append(value);
            } else if *value != "null" {
                *member = Member::Other((*value).to_owned());
            }
        }
    }

    /// Appends all of them, or null.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.members.is_empty() {
            return out.extend_from_slice(b"null");
        }
        for (at, (name, member)) in self.members.iter().enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            json::write_string(name, out);
            out.push(b':');
            match member {
                Member::List(elements, count) => {
                    out.push(b'[');
                    json::write_raw(elements, out);
                    // A list that is no list of tokens may have any length, so only what began beside them is filled.
                    let missing = if *count > 0 { self.tokens.saturating_sub(*count) } else { 0 };
                    out.extend(b",null".repeat(missing));
                    out.push(b']');
                }
                Member::Other(raw) => json::write_raw(raw, out),
            }
        }
        out.push(b'}');
    }
}

impl Member {
    /// Nothing was told of the tokens before: nulls stand for them.
    fn fill(&mut self, count: usize) {
        let known = if let Member::List(_, known) = self { *known } else { 0 };
        for _ in known..count {
            self.append("[null]");
        }
    }

    /// Adds the elements of a list.
    fn append(&mut self, list: &str) {
        let more = json::elements(list);
        let (mut elements, mut count) = match std::mem::replace(self, Member::Other(String::new())) {
            Member::List(elements, count) => (elements, count),
            Member::Other(_) => (String::new(), 0),
        };
        for element in more {
            if count > 0 {
                elements.push(',');
            }
            elements.push_str(element);
            count += 1;
        }
        *self = Member::List(elements, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], expect: &str) {
        let mut logprobs = Logprobs::default();
        pieces.iter().for_each(|piece| logprobs.push(piece));
        let mut out = Vec::new();
        logprobs.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn lists_are_joined_even_if_they_are_alike() {
        check(&[], "null");
        check(
            &[
                r#"{"tokens":["ha"],"token_logprobs":[-1.50],"top_logprobs":null,"text_offset":[0]}"#,
                r#"{"tokens":["ha"],"token_logprobs":[-1.50],"top_logprobs":null,"text_offset":[2]}"#,
            ],
            r#"{"tokens":["ha","ha"],"token_logprobs":[-1.50,-1.50],"top_logprobs":null,"text_offset":[0,2]}"#,
        );
        check(&[r#"{"content":[{"token":"a"}]}"#; 2], r#"{"content":[{"token":"a"},{"token":"a"}]}"#);
    }

    #[test]
    fn what_nobody_told_of_a_token_is_null() {
        check(
            &[
                r#"{"tokens":["a"]}"#,
                r#"{"tokens":["b","c"],"token_logprobs":[-1,-2],"top_logprobs":[{"b":-1}]}"#,
                r#"{"tokens":["d"],"token_logprobs":null}"#,
            ],
            r#"{"tokens":["a","b","c","d"],"token_logprobs":[null,-1,-2,null],"top_logprobs":[null,{"b":-1},null,null]}"#,
        );
    }
}
