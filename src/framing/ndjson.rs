//! Newline-delimited JSON, with the leniencies that real servers need: a last line without its line end, a
//! JSON text that is spread over several lines, as errors often are, lines that are no JSON.

use super::balance::Balance;
use super::{Frame, FrameTooLong, STRAY_LIMIT};
use crate::event::{Repair, Repairs};

/// A buffer that grew beyond this is given back when it is empty.
const BUFFER_KEPT: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The parser of lines.
#[derive(Debug)]
pub struct Ndjson {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the text that is being read begins.
    start: usize,
    /// Where the line that is being read begins.
    line: usize,
    /// Up to where that line was searched for its end.
    searched: usize,
    /// The brackets of a text that did not end with its first line.
    open: Option<Balance>,
    /// The byte order mark, if any, is behind us.
    begun: bool,
    stray: Vec<u8>,
}

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Blank, or no JSON.
    Nothing,
    /// The beginning or a part of a text.
    Part,
    /// The end of a text.
    Text,
    /// A text of its own behind one that never ended.
    Next,
}

impl Ndjson {
    /// Makes a parser; `limit` is the longest text in bytes.
    pub fn new(limit: usize) -> Ndjson {
        Ndjson {
            limit,
            buffer: Vec::new(),
            start: 0,
            line: 0,
            searched: 0,
            open: None,
            begun: false,
            stray: Vec::new(),
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, input: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer = Vec::new();
            }
        } else {
            self.buffer.drain(..self.start);
        }
        self.line -= self.start;
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(input);
    }

    /// The next text that the bytes so far complete.
    pub fn next(&mut self, repairs: &mut Repairs) -> Result<Option<Frame<'_>>, FrameTooLong> {
        if !self.begun && !self.skip_byte_order_mark(repairs) {
            return Ok(None);
        }
        while let Some(end) = self.line_end() {
            self.check_length(end)?;
            let line = self.read_line(end, repairs);
            let begin = std::mem::replace(&mut self.line, end + 1);
            self.searched = self.line;
            match line {
                Line::Next => {
                    // The line is read again, as the beginning of a text.
                    (self.line, self.searched) = (begin, begin);
                    let start = std::mem::replace(&mut self.start, begin);
                    return Ok(Some(frame(self.buffer.get(start..begin), true)));
                }
                Line::Part => {}
                Line::Nothing => self.start = self.line,
                Line::Text => {
                    let start = std::mem::replace(&mut self.start, self.line);
                    return Ok(Some(frame(self.buffer.get(start..end), true)));
                }
            }
        }
        self.check_length(self.buffer.len())?;
        Ok(None)
    }

    /// The body ended: gives what is left of it. To be called until it gives nothing.
    pub fn finish(&mut self, repairs: &mut Repairs) -> Option<Frame<'_>> {
        let end = self.buffer.len();
        let begun = self.open.is_some();
        let line = self.read_line(end, repairs);
        if line == Line::Next {
            let start = std::mem::replace(&mut self.start, self.line);
            return Some(frame(self.buffer.get(start..self.line), true));
        }
        let start = std::mem::replace(&mut self.start, end);
        (self.line, self.searched, self.open) = (end, end, None);
        match line {
            Line::Nothing if !begun => None,
            Line::Nothing | Line::Part | Line::Text | Line::Next => {
                Some(frame(self.buffer.get(start..end), false))
            }
        }
    }

    /// The beginning of what was no JSON at all.
    pub fn stray(&self) -> &[u8] {
        &self.stray
    }

    /// False while the bytes may still become a byte order mark.
    fn skip_byte_order_mark(&mut self, repairs: &mut Repairs) -> bool {
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            repairs.count(Repair::ByteOrderMark);
            self.start = BYTE_ORDER_MARK.len();
            self.line = self.start;
        } else if BYTE_ORDER_MARK.starts_with(&self.buffer) {
            return false;
        }
        self.begun = true;
        true
    }

    fn line_end(&mut self) -> Option<usize> {
        self.searched = self.searched.max(self.line);
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let found = memchr::memchr(b'\n', rest).map(|at| self.searched + at);
        self.searched = found.unwrap_or(self.buffer.len());
        found
    }

    fn check_length(&self, end: usize) -> Result<(), FrameTooLong> {
        if end - self.start > self.limit { Err(FrameTooLong { limit: self.limit }) } else { Ok(()) }
    }

    fn read_line(&mut self, end: usize, repairs: &mut Repairs) -> Line {
        let line = self.buffer.get(self.line..end).unwrap_or_default();
        // Inside an object that is spread over lines no line is an object at its very beginning.
        let is_object = || line.trim_ascii_end().ends_with(b"}") && Balance::default().scan(line);
        let in_object = self.buffer.get(self.start..self.line).unwrap_or_default();
        let in_object = in_object.trim_ascii_start().starts_with(b"{");
        if self.open.is_some() && in_object && line.starts_with(b"{") && is_object() {
            self.open = None;
            return Line::Next;
        }
        if let Some(balance) = &mut self.open {
            let closed = balance.scan(line);
            if closed {
                self.open = None;
            }
            return if closed { Line::Text } else { Line::Part };
        }
        let text = line.trim_ascii();
        match (text.first(), text.last()) {
            (None, _) | (_, None) => Line::Nothing,
            (Some(b'{'), Some(b'}')) if self.stray.first() != Some(&b'<') => Line::Text,
            (Some(b'{' | b'['), Some(_)) if self.stray.first() != Some(&b'<') => {
                let mut balance = Balance::default();
                if balance.scan(text) {
                    return Line::Text;
                }
                self.open = Some(balance);
                Line::Part
            }
            (Some(_), Some(_)) => {
                repairs.count(Repair::StrayLine);
                let room = STRAY_LIMIT.saturating_sub(self.stray.len());
                self.stray.extend(line.iter().chain(b"\n").take(room));
                Line::Nothing
            }
        }
    }
}

fn frame(data: Option<&[u8]>, closed: bool) -> Frame<'_> {
    let data = data.unwrap_or_default().trim_ascii();
    Frame { name: &[], data, closed, bare: false, failed: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> (Vec<(String, bool)>, Vec<u8>, Repairs) {
        let mut ndjson = Ndjson::new(1 << 20);
        let mut repairs = Repairs::default();
        let mut frames = Vec::new();
        let mut take =
            |frame: Frame<'_>| frames.push((String::from_utf8(frame.data.to_vec()).unwrap(), frame.closed));
        for chunk in chunks {
            ndjson.push(chunk);
            while let Some(frame) = ndjson.next(&mut repairs).unwrap() {
                take(frame);
            }
        }
        while let Some(frame) = ndjson.finish(&mut repairs) {
            take(frame);
        }
        (frames, ndjson.stray().to_vec(), repairs)
    }

    /// Reads the input whole, byte by byte and at every two-way cut: the frames are the same.
    #[track_caller]
    fn check(input: &str, expect: &[(&str, bool)]) {
        let whole = read(&[input.as_bytes()]);
        let expect: Vec<_> = expect.iter().map(|&(text, closed)| (text.to_owned(), closed)).collect();
        assert_eq!(whole.0, expect);
        assert_eq!(read(&input.as_bytes().chunks(1).collect::<Vec<_>>()), whole);
        for at in 0..=input.len() {
            let (head, tail) = input.as_bytes().split_at(at);
            assert_eq!(read(&[head, tail]), whole, "cut at {at}");
        }
    }

    #[test]
    fn each_line_is_a_text() {
        check("{\"a\":1}\n{\"a\":2}\r\n", &[("{\"a\":1}", true), ("{\"a\":2}", true)]);
    }

    #[test]
    fn blank_lines_and_a_byte_order_mark_say_nothing() {
        check("\u{feff}\n{\"a\":1}\n\n \r\n{}\n", &[("{\"a\":1}", true), ("{}", true)]);
    }

    #[test]
    fn the_last_line_needs_no_line_end() {
        check("{\"a\":1}\n{\"a\":2}", &[("{\"a\":1}", true), ("{\"a\":2}", false)]);
        check("{\"a\":1}\n{\"a\":", &[("{\"a\":1}", true), ("{\"a\":", false)]);
    }

    #[test]
    fn a_text_may_be_spread_over_lines() {
        check("{\n \"a\": \"}\"\n}\n{}\n", &[("{\n \"a\": \"}\"\n}", true), ("{}", true)]);
    }

    #[test]
    fn a_text_that_never_ends_does_not_swallow_the_next() {
        check(
            "{\"a\":[{oops\n{\"a\":2}\n{}\n",
            &[("{\"a\":[{oops", true), ("{\"a\":2}", true), ("{}", true)],
        );
        check("{\"a\":\"oops\n{\"a\":2}", &[("{\"a\":\"oops", true), ("{\"a\":2}", false)]);
        check("[\n{\"a\":1},\n{\"a\":2}\n]\n", &[("[\n{\"a\":1},\n{\"a\":2}\n]", true)]);
    }

    #[test]
    fn a_page_is_no_text_but_is_kept_for_people() {
        let (frames, stray, _) = read(&[b"<html>\n{ no }\n</html>"]);
        assert_eq!((frames.len(), stray.as_slice()), (0, &b"<html>\n{ no }\n</html>\n"[..]));
    }

    #[test]
    fn a_text_beyond_the_limit_is_refused() {
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(101));
        for size in [1, 7, long.len()] {
            let mut ndjson = Ndjson::new(100);
            let refused = long.as_bytes().chunks(size).any(|chunk| {
                ndjson.push(chunk);
                ndjson.next(&mut Repairs::default()).is_err()
            });
            assert!(refused, "in pieces of {size}");
        }
    }
}
