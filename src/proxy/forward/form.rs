//! The field `model` of a form (`multipart/form-data`, RFC 7578), found without reading the rest.
//!
//! A [`Form`] looks at the bytes that have come so far, each time at what is new. It changes nothing, and it does not
//! judge: what is no form has no model, and the provider says what is wrong with it.

use std::ops::Range;

use memchr::memmem;

/// The end of a part's headers.
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// A form that is being looked through.
#[derive(Debug)]
pub(super) struct Form {
    /// A line break, two dashes and the boundary: what stands between parts.
    delimiter: Vec<u8>,
    state: State,
    /// Up to here nothing is looked at again.
    at: usize,
    /// Where the values of the fields called `model` stand.
    models: Vec<Range<usize>>,
}

/// What is looked for next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// The first delimiter, which may stand at the very beginning.
    Beginning,
    /// What follows a delimiter: another part, or the end.
    Delimited,
    /// The end of the headers, which begin here.
    Headers(usize),
    /// The end of a value, which begins here.
    Value { start: usize, is_model: bool },
    /// Nothing.
    Over,
}

impl Form {
    /// The form with the boundary that this content type names.
    pub(super) fn new(content_type: &str) -> Option<Form> {
        let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Some(Form { delimiter, state: State::Beginning, at: 0, models: Vec::new() })
    }

    /// Where the values of the fields called `model` stand, as far as they have come.
    pub(super) fn models(&self) -> &[Range<usize>] {
        &self.models
    }

    /// True if there is nothing more to be found.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Looks at all that has come so far.
    pub(super) fn look(&mut self, all: &[u8]) {
        while self.step(all).is_some() {}
    }

    /// One step; `None` if more has to come.
    fn step(&mut self, all: &[u8]) -> Option<()> {
        match self.state {
            State::Beginning => {
                let first = self.delimiter.get(2..)?;
                if all.len() < first.len() {
                    return None;
                }
                self.at = match all.starts_with(first) {
                    true => first.len(),
                    false => self.find(all)? + self.delimiter.len(),
                };
                self.state = State::Delimited;
            }
            State::Delimited => {
                let rest = all.get(self.at..)?;
                let next = rest.get(..2)?;
                if next == b"--" {
                    self.state = State::Over;
                } else if next == b"\r\n" {
                    // The line break may be the first half of the headers' end, if there are none.
                    self.state = State::Headers(self.at);
                } else if next.starts_with(b" ") || next.starts_with(b"\t") {
                    self.at += 1;
                } else {
                    // It only began like the boundary.
                    self.state = State::Value { start: self.at, is_model: false };
                }
            }
            State::Headers(start) => {
                let Some(end) = memmem::find(all.get(self.at..)?, HEADERS_END) else {
                    self.at = self.at.max(all.len().saturating_sub(HEADERS_END.len()));
                    return None;
                };
                let end = self.at + end;
                let is_model = name(all.get(start..end)?).is_some_and(|name| name == "model");
                self.at = end + HEADERS_END.len();
                // An empty value ends where it begins: its line break is the headers'.
                let start = self.at;
                self.at -= 2;
                self.state = State::Value { start, is_model };
            }
            State::Value { start, is_model } => {
                let end = self.find(all)?;
                if is_model {
                    self.models.push(start.min(end)..end);
                }
                self.at = end + self.delimiter.len();
                self.state = State::Delimited;
            }
            State::Over => return None,
        }
        Some(())
    }

    /// Where the next delimiter is. What may be the beginning of one is looked at again.
    fn find(&mut self, all: &[u8]) -> Option<usize> {
        let found = memmem::find(all.get(self.at..)?, &self.delimiter);
        if found.is_none() {
            self.at = self.at.max(all.len().saturating_sub(self.delimiter.len()));
        }
        Some(self.at + found?)
    }
}

/// The name of the field whose part has these headers.
fn name(headers: &[u8]) -> Option<String> {
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.split("\r\n").find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim().to_owned())
    })?;
    parameter(&disposition, "name")
}

/// The parameter of a header's value, without its quotes.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (text, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (text, next) = after.split_once(';').unwrap_or((after, ""));
                (text.trim().to_owned(), next)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = next;
    }
}

/// The text up to the closing quote, and what comes after the semicolon behind it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let after = quoted.get(at + 1..).unwrap_or_default();
                return (text, after.split_once(';').map_or("", |(_, next)| next));
            }
            // Browsers write a quote as %22; others put a backslash in front of it.
            '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
            letter => text.push(letter),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=pond";

    /// The models of a form, however it is cut.
    #[track_caller]
    fn check(form: &str, expected: &[&str]) {
        for size in [1, 2, 7, form.len()] {
            let mut seen = Form::new(TYPE).unwrap();
            let mut at = 0;
            while at < form.len() {
                at = (at + size).min(form.len());
                seen.look(&form.as_bytes()[..at]);
            }
            let models: Vec<&str> = seen.models().iter().map(|range| &form[range.clone()]).collect();
            assert_eq!(models, expected, "in pieces of {size}: {form:?}");
            assert!(seen.is_over() || !form.contains("pond--"), "{form:?}");
        }
    }

    #[test]
    fn the_field_is_found_wherever_it_stands() {
        let part = |name: &str, value: &str| {
            format!("--pond\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n")
        };
        let file =
            part("name=\"file\"; filename=\"x; name=\\\"model\\\"\"", "--pon\r\n--pon\r\n--pondering\r\n");
        let model = part("name=\"model\"", "whisper-1");
        check(&format!("{model}{file}--pond--\r\n"), &["whisper-1"]);
        check(&format!("{file}{model}--pond--\r\n"), &["whisper-1"]);
        check(&format!("a preamble\r\n{file}{model}{model}--pond--"), &["whisper-1", "whisper-1"]);
        check(&format!("{}--pond--", part("name=model", "m")), &["m"]);
        check(&format!("{}--pond--", part("name=\"model\"", "")), &[""]);
        check(&format!("{}--pond--", part("filename=\"f\"; name=\"models\"", "m")), &[]);
        check(
            "--pond \t\r\ncontent-type: text/plain\r\ncontent-disposition:form-data;NAME=\"model\"\r\n\r\nm\r\n--pond--",
            &["m"],
        );
    }

    #[test]
    fn what_is_no_form_has_no_model() {
        check("--pond\r\n\r\nm\r\n--pond--", &[]);
        check("--pond--", &[]);
        check("{\"model\":\"m\"}", &[]);
        check("--pond\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ncut", &[]);
    }

    #[test]
    fn a_boundary_may_be_quoted() {
        let delimiter = |text| Form::new(text).map(|form| String::from_utf8(form.delimiter).unwrap());
        for text in ["multipart/form-data; charset=\"a;b\"; Boundary=\"p q\"", "m; boundary=\"p q\"; x=y"] {
            assert_eq!(delimiter(text).as_deref(), Some("\r\n--p q"), "{text}");
        }
        for text in ["multipart/form-data", "multipart/form-data; boundary=", "x; boundary"] {
            assert_eq!(delimiter(text), None, "{text}");
        }
    }
}
