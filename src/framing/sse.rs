//! Server-sent events, by the WHATWG standard ("Interpreting an event stream"), with the leniencies that
//! real servers need: a last event without its blank line, events that no blank line separates, JSON
//! without `data:`, white space before a field's name, a JSON text that goes on in the next line, all events in
//! one JSON array.

use std::ops::Range;

use super::balance::Balance;
use super::{Frame, FrameTooLong, STRAY_LIMIT};
use crate::event::{Repair, Repairs};

/// What a line may have beside the payload of the longest frame: the field's name and white space.
const LINE_SLACK: usize = 64;
/// A buffer that grew beyond this is given back when it is empty.
const BUFFER_KEPT: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The event-stream parser.
#[derive(Debug)]
pub struct Sse {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
    /// Up to where that line was searched for its end.
    searched: usize,
    /// The last line ended with CR: a LF that follows belongs to it.
    skip_line_feed: bool,
    /// The byte order mark, if any, is behind us.
    begun: bool,
    /// Events come without blank lines between them: a complete JSON text is an event.
    eager: bool,
    /// Inside of a bare array of objects, each of which is an event: the brackets of the one that is being read.
    array: Option<Balance>,
    event: Event,
    /// The event that was handed out last.
    taken: Event,
    stray: Vec<u8>,
}

/// The event that is being read.
#[derive(Debug, Default)]
struct Event {
    name: Vec<u8>,
    data: Data,
    /// The event had a line of any field.
    has_fields: bool,
    bare: Option<Balance>,
}

#[derive(Debug, Default, Clone)]
enum Data {
    #[default]
    None,
    /// One line, in the buffer.
    Line(Range<usize>),
    /// Several lines, joined.
    Joined(Vec<u8>),
}

/// What to do after a line was read.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Go on with the next line.
    Next,
    /// The line completed an event.
    Dispatch,
    /// The event was complete before this line, which is to be read again.
    DispatchBefore,
}

/// What a bare array gives.
#[derive(Debug, PartialEq, Eq)]
enum Array {
    /// There is none here: a line comes next.
    None,
    /// More bytes must tell.
    Open,
    /// An object, which is now the event that is being read.
    Object,
}

impl Sse {
    /// Makes a parser; `limit` is the longest payload in bytes.
    pub fn new(limit: usize) -> Sse {
        Sse {
            limit,
            buffer: Vec::new(),
            line: 0,
            searched: 0,
            skip_line_feed: false,
            begun: false,
            eager: false,
            array: None,
            event: Event::default(),
            taken: Event::default(),
            stray: Vec::new(),
        }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, input: &[u8]) {
        self.forget_consumed();
        self.buffer.extend_from_slice(input);
    }

    /// The next event that the bytes so far complete.
    pub fn next(&mut self, repairs: &mut Repairs) -> Result<Option<Frame<'_>>, FrameTooLong> {
        if !self.begun && !self.skip_byte_order_mark(repairs) {
            return Ok(None);
        }
        loop {
            match self.read_array(repairs) {
                Array::None => {}
                Array::Open => break,
                Array::Object => return self.dispatch(true).map(Some),
            }
            let Some(end) = self.line_end() else { break };
            self.check_length(end - self.line)?;
            match self.read_line(end, repairs) {
                Step::Next => self.advance(end),
                Step::Dispatch => {
                    self.advance(end);
                    return self.dispatch(true).map(Some);
                }
                Step::DispatchBefore => return self.dispatch(true).map(Some),
            }
        }
        self.check_length(self.buffer.len() - self.line)?;
        Ok(None)
    }

    /// The body ended: gives what is left of it. To be called until it gives nothing.
    pub fn finish(&mut self, repairs: &mut Repairs) -> Option<Frame<'_>> {
        if self.read_array(repairs) == Array::Object {
            return self.dispatch(true).ok(); // Its length was checked when it came.
        }
        let end = self.buffer.len();
        if self.array.take().is_some() && self.line < end {
            self.take_object(end);
            return self.dispatch(false).ok(); // As above.
        }
        let rest = self.buffer.get(self.line..end).unwrap_or_default();
        if !rest.is_empty()
            && (rest.contains(&b':') || rest.first().is_some_and(|&byte| !byte.is_ascii_alphabetic()))
        {
            let step = self.read_line(end, repairs);
            if step != Step::DispatchBefore {
                self.line = end;
            }
            if step != Step::Next {
                return self.dispatch(true).ok(); // As above.
            }
        } else if !rest.is_empty() {
            self.keep_stray(self.line..end);
            self.line = end;
        }
        match self.event.data {
            Data::None => None,
            Data::Line(_) | Data::Joined(_) => self.dispatch(false).ok(), // As above.
        }
    }

    /// The beginning of what was no event at all.
    pub fn stray(&self) -> &[u8] {
        &self.stray
    }

    /// Drops what was handed out, so that the buffer holds no more than one event and what came with it.
    fn forget_consumed(&mut self) {
        self.taken = Event::default();
        let keep = match self.event.data {
            Data::Line(ref range) => range.start,
            Data::None | Data::Joined(_) => self.line,
        };
        if keep == 0 {
            return;
        }
        if keep == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer = Vec::new();
            }
        } else {
            self.buffer.drain(..keep);
        }
        self.line -= keep;
        self.searched -= keep;
        if let Data::Line(range) = &mut self.event.data {
            *range = range.start - keep..range.end - keep;
        }
    }

    /// False while the bytes may still become a byte order mark.
    fn skip_byte_order_mark(&mut self, repairs: &mut Repairs) -> bool {
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            repairs.count(Repair::ByteOrderMark);
            self.advance(BYTE_ORDER_MARK.len() - 1);
        } else if BYTE_ORDER_MARK.starts_with(&self.buffer) {
            return false;
        }
        self.begun = true;
        true
    }

    /// Skips the LF of the CR that ended the last line.
    fn skip_line_feed(&mut self) {
        if self.skip_line_feed && self.line < self.buffer.len() {
            self.skip_line_feed = false;
            if self.buffer.get(self.line) == Some(&b'\n') {
                self.line += 1;
            }
        }
        self.searched = self.searched.max(self.line);
    }

    /// Where the line ends that begins at `line`: the position of its CR or LF.
    fn line_end(&mut self) -> Option<usize> {
        self.skip_line_feed();
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let found = memchr::memchr2(b'\n', b'\r', rest).map(|at| self.searched + at);
        self.searched = found.unwrap_or(self.buffer.len());
        found
    }

    /// Goes behind the line that ends at `end`.
    fn advance(&mut self, end: usize) {
        self.skip_line_feed = self.buffer.get(end) == Some(&b'\r');
        self.line = end + 1;
    }

    fn check_length(&self, line: usize) -> Result<(), FrameTooLong> {
        let before = match &self.event.data {
            Data::None => 0,
            Data::Line(range) => range.len(),
            Data::Joined(data) => data.len(),
        };
        if before + line > self.limit.saturating_add(LINE_SLACK) {
            return Err(FrameTooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Hands out the event that was read.
    fn dispatch(&mut self, closed: bool) -> Result<Frame<'_>, FrameTooLong> {
        self.taken = std::mem::take(&mut self.event);
        let bare = self.taken.bare.is_some();
        let data = match &self.taken.data {
            Data::None => &[],
            Data::Line(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            Data::Joined(data) => data,
        };
        if data.len() > self.limit {
            return Err(FrameTooLong { limit: self.limit });
        }
        Ok(Frame { name: &self.taken.name, data, closed, bare, failed: false })
    }

    fn read_line(&mut self, end: usize, repairs: &mut Repairs) -> Step {
        let line = self.buffer.get(self.line..end).unwrap_or_default();
        if self.event.bare.is_some() {
            return self.read_bare(end);
        }
        let Some(&first) = line.first() else { return self.read_blank(repairs) };
        if first == b':' {
            return Step::Next;
        }
        let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let body = line.get(indent..).unwrap_or_default();
        let colon = memchr::memchr(b':', body);
        let (name, value) = match colon {
            Some(colon) => (body.get(..colon).unwrap_or_default(), self.line + indent + colon + 1),
            None => (body, end),
        };
        let space =
            usize::from(self.buffer.get(value..end).is_some_and(|value| value.first() == Some(&b' ')));
        let value = value + space..end;
        match name {
            b"data" => self.read_data(value, repairs),
            b"error"
                if self
                    .buffer
                    .get(value.clone())
                    .is_some_and(|value| value.trim_ascii_start().starts_with(b"{")) =>
            {
                // llama.cpp names the field after what it holds.
                let step = self.read_data(value, repairs);
                if step != Step::DispatchBefore {
                    self.event.name = b"error".to_vec();
                }
                step
            }
            b"event" => {
                self.event.name = self.buffer.get(value).unwrap_or_default().to_vec();
                self.event.has_fields = true;
                Step::Next
            }
            b"id" | b"retry" => {
                self.event.has_fields = true;
                Step::Next
            }
            _ => self.read_other(self.line + indent..end, repairs),
        }
    }

    fn read_blank(&mut self, repairs: &mut Repairs) -> Step {
        let says_nothing = match &self.event.data {
            Data::None => true,
            Data::Line(range) => self.buffer.get(range.clone()).is_none_or(<[u8]>::is_empty),
            Data::Joined(data) => data.iter().all(u8::is_ascii_whitespace),
        };
        if !says_nothing {
            return Step::Dispatch;
        }
        if self.event.has_fields || !matches!(self.event.data, Data::None) {
            repairs.count(Repair::EmptyEvent);
            self.event = Event::default();
        }
        Step::Next
    }

    fn read_data(&mut self, value: Range<usize>, repairs: &mut Repairs) -> Step {
        let complete = match &self.event.data {
            Data::None => {
                let eager = self.eager && is_complete(self.buffer.get(value.clone()).unwrap_or_default());
                self.event.data = Data::Line(value);
                if !eager {
                    return Step::Next;
                }
                repairs.count(Repair::UnseparatedEvents);
                return Step::Dispatch;
            }
            Data::Line(range) => is_complete(self.buffer.get(range.clone()).unwrap_or_default()),
            Data::Joined(data) => is_complete(data),
        };
        if complete {
            // The standard joins the lines. Servers that forget the blank line mean two events.
            self.eager = true;
            repairs.count(Repair::UnseparatedEvents);
            return Step::DispatchBefore;
        }
        self.join(value);
        Step::Next
    }

    fn join(&mut self, value: Range<usize>) {
        let mut data = match std::mem::take(&mut self.event.data) {
            Data::None => Vec::new(),
            Data::Line(range) => self.buffer.get(range).unwrap_or_default().to_vec(),
            Data::Joined(data) => data,
        };
        data.push(b'\n');
        data.extend_from_slice(self.buffer.get(value).unwrap_or_default());
        self.event.data = Data::Joined(data);
    }

    /// A line that is no field of the standard.
    fn read_other(&mut self, line: Range<usize>, repairs: &mut Repairs) -> Step {
        let text = self.buffer.get(line.clone()).unwrap_or_default();
        let in_page = self.stray.first() == Some(&b'<');
        let opens = matches!(text.first(), Some(b'{' | b'[')) && !in_page;
        let complete = match &self.event.data {
            Data::None => None,
            Data::Line(range) => Some(is_complete(self.buffer.get(range.clone()).unwrap_or_default())),
            Data::Joined(data) => Some(is_complete(data)),
        };
        match (complete, opens) {
            (Some(true), true) => Step::DispatchBefore,
            (Some(false), _) => {
                self.join(line);
                Step::Next
            }
            (None, true) => {
                repairs.count(Repair::BareJson);
                self.event.data = Data::Line(line.start..line.start);
                self.event.bare = Some(Balance::default());
                self.read_bare(line.end)
            }
            (Some(true) | None, false) => {
                repairs.count(Repair::StrayLine);
                self.keep_stray(line);
                Step::Next
            }
        }
    }

    /// Reads on in a bare array of objects, or begins it where one stands at the beginning of a line.
    fn read_array(&mut self, repairs: &mut Repairs) -> Array {
        if self.array.is_none() {
            match self.array_start() {
                Some(Some(start)) => {
                    repairs.count(Repair::BareJson);
                    repairs.count(Repair::JsonInsteadOfStream);
                    self.array = Some(Balance::default());
                    (self.line, self.searched) = (start, start);
                }
                Some(None) => return Array::None,
                None => return Array::Open,
            }
        }
        let rest = self.buffer.get(self.line..).unwrap_or_default();
        if self.searched <= self.line {
            // Between two objects.
            let between = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
            self.line += between;
            self.searched = self.line;
            match rest.get(between) {
                None => return Array::Open,
                Some(b'{') => {}
                Some(byte) => {
                    // The end, or what has no place in such an array.
                    self.line += usize::from(*byte == b']');
                    self.searched = self.line;
                    self.array = None;
                    return Array::None;
                }
            }
        }
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = self.array.as_mut().and_then(|brackets| brackets.end(rest)) else {
            self.searched = self.buffer.len();
            return Array::Open;
        };
        self.searched += end;
        self.take_object(self.searched);
        Array::Object
    }

    /// Where the first object of a bare array comes, if one begins at this line; `None` if more bytes must tell.
    fn array_start(&mut self) -> Option<Option<usize>> {
        self.skip_line_feed();
        let in_page = self.stray.first() == Some(&b'<');
        if in_page || !matches!(self.event.data, Data::None) {
            return Some(None);
        }
        let rest = self.buffer.get(self.line..).unwrap_or_default();
        let indent = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let Some(inner) = rest.get(indent..).and_then(|rest| rest.strip_prefix(b"[")) else {
            return Some(None);
        };
        let first = inner.trim_ascii_start().first()?;
        Some((*first == b'{').then_some(self.line + indent + 1))
    }

    /// Makes what stands from `line` to `end` the event that is being read.
    fn take_object(&mut self, end: usize) {
        self.event.data = Data::Line(self.line..end);
        self.event.bare = Some(Balance::default());
        self.line = end;
    }

    /// A line of a JSON text without `data:`; the text may be spread over several lines.
    fn read_bare(&mut self, end: usize) -> Step {
        let (Some(balance), Data::Line(range)) = (&mut self.event.bare, &mut self.event.data) else {
            return Step::Next;
        };
        let line = self.buffer.get(self.line..end).unwrap_or_default();
        if range.end > self.line || range.start == range.end {
            // The first line.
        } else if is_field(line) {
            return Step::DispatchBefore;
        }
        let from = range.start.max(self.line);
        let closed = balance.scan(self.buffer.get(from..end).unwrap_or_default());
        range.end = end;
        if closed { Step::Dispatch } else { Step::Next }
    }

    fn keep_stray(&mut self, line: Range<usize>) {
        let room = STRAY_LIMIT.saturating_sub(self.stray.len());
        if room > 0 {
            let text = self.buffer.get(line).unwrap_or_default();
            self.stray.extend(text.iter().chain(b"\n").take(room));
        }
    }
}

/// True for a line that only an event stream has.
fn is_field(line: &[u8]) -> bool {
    [&b":"[..], b"data:", b"event:", b"id:", b"retry:"].iter().any(|prefix| line.starts_with(prefix))
}

/// True if this is a whole payload: a JSON text or the end mark.
fn is_complete(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Frames = Vec<(String, String)>;

    fn read(chunks: &[&[u8]]) -> (Frames, Repairs) {
        let mut sse = Sse::new(1 << 20);
        let mut repairs = Repairs::default();
        let mut frames = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for chunk in chunks {
            sse.push(chunk);
            while let Some(frame) = sse.next(&mut repairs).unwrap() {
                frames.push((text(frame.name), text(frame.data)));
            }
        }
        while let Some(frame) = sse.finish(&mut repairs) {
            frames.push((text(frame.name), text(frame.data)));
        }
        (frames, repairs)
    }

    /// Reads the input whole, byte by byte and at every two-way cut: the frames are the same.
    #[track_caller]
    fn check(input: &str, expect: &[(&str, &str)]) {
        let expect: Frames = expect.iter().map(|&(name, data)| (name.into(), data.into())).collect();
        let input = input.as_bytes();
        let (frames, repairs) = read(&[input]);
        assert_eq!(frames, expect);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(&bytes), (expect.clone(), repairs.clone()));
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(read(&[head, tail]), (expect.clone(), repairs.clone()), "cut at {at}");
        }
    }

    #[test]
    fn the_standards_stock_example() {
        check("data: YHOO\ndata: +2\ndata: 10\n\n", &[("", "YHOO\n+2\n10")]);
    }

    #[test]
    fn the_standards_comment_id_and_leading_space_example() {
        check(
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
            &[("", "first event"), ("", "second event"), ("", " third event")],
        );
    }

    #[test]
    fn every_line_end_ends_a_line() {
        check("data: 1\r\n\r\ndata: 2\r\rdata: 3\n\n", &[("", "1"), ("", "2"), ("", "3")]);
    }

    #[test]
    fn a_name_belongs_to_its_event_only() {
        check("event: error\ndata: {}\n\ndata: 2\n\n", &[("error", "{}"), ("", "2")]);
    }

    #[test]
    fn an_event_without_data_says_nothing() {
        check("event: ping\n\nid: 3\n\nretry: 10\n\ndata:\n\ndata: x\n\n", &[("", "x")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        check("\u{feff}data: x\n\n", &[("", "x")]);
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        check("data: 1\n\ndata: {\"a\":1}", &[("", "1"), ("", "{\"a\":1}")]);
        check("data: 1\n\ndata: {\"a\":1}\n", &[("", "1"), ("", "{\"a\":1}")]);
    }

    #[test]
    fn one_json_text_may_span_data_lines() {
        check("data: {\"a\":\ndata: 1}\n\n", &[("", "{\"a\":\n1}")]);
    }

    #[test]
    fn events_need_no_blank_line_between_them() {
        check(
            "data: {\"a\":1}\ndata: {\"a\":2}\ndata: {\"a\":3}\ndata: [DONE]\n",
            &[("", "{\"a\":1}"), ("", "{\"a\":2}"), ("", "{\"a\":3}"), ("", "[DONE]")],
        );
    }

    #[test]
    fn an_error_may_be_a_field_of_its_own() {
        check("data: {\"a\":1}\n\nerror: {\"b\":2}\n\n", &[("", "{\"a\":1}"), ("error", "{\"b\":2}")]);
    }

    #[test]
    fn a_json_body_is_one_frame() {
        check("{\"a\": {\n\n  \"b}\": 1\n}}\n", &[("", "{\"a\": {\n\n  \"b}\": 1\n}}")]);
        check("  [1,\n2]", &[("", "[1,\n2]")]);
    }

    #[test]
    fn an_array_of_objects_is_an_event_for_each() {
        let objects = [("", "{\"a\": [{}]}"), ("", "{\"b\":\"}],\\\"\"}")];
        check("  [{\"a\": [{}]},{\"b\":\"}],\\\"\"}]", &objects);
        check("[\r\n {\"a\": [{}]}\r\n,\r\n{\"b\":\"}],\\\"\"}\r\n]\r\n", &objects);
        check("\r\n[{\"a\": [{}]}]\n\ndata: x\n\n", &[objects[0], ("", "x")]);
        check("[{\"a\": [{}]}, data: x\n\n", &[objects[0], ("", "x")]);
    }

    #[test]
    fn an_array_that_is_cut_gives_what_is_complete() {
        let mut sse = Sse::new(1 << 20);
        let mut repairs = Repairs::default();
        sse.push(b"[{\"a\":1},{\"b\":");
        assert_eq!(sse.next(&mut repairs).unwrap().unwrap().data, b"{\"a\":1}");
        assert_eq!(sse.next(&mut repairs), Ok(None));
        let rest = sse.finish(&mut repairs).unwrap();
        assert_eq!((rest.data, rest.closed), (&b"{\"b\":"[..], false));
        assert_eq!(sse.finish(&mut repairs), None);
    }

    #[test]
    fn json_lines_are_frames() {
        check("{\"a\":1}\n{\"a\":2}\n", &[("", "{\"a\":1}"), ("", "{\"a\":2}")]);
    }

    #[test]
    fn a_bare_error_in_the_middle_is_a_frame() {
        check(
            "data: {\"a\":1}\n\n{\"error\":\"x\"}\n\ndata: {\"a\":2}\n\n",
            &[("", "{\"a\":1}"), ("", "{\"error\":\"x\"}"), ("", "{\"a\":2}")],
        );
        check("data: {\"a\":1}\n{\"error\":\"x\"}\n", &[("", "{\"a\":1}"), ("", "{\"error\":\"x\"}")]);
    }

    #[test]
    fn an_unbalanced_bare_text_ends_where_the_stream_goes_on() {
        check("{\"a\":\ndata: 1\n\n", &[("", "{\"a\":"), ("", "1")]);
    }

    #[test]
    fn a_field_may_be_indented() {
        check("  data: 1\n\n", &[("", "1")]);
    }

    #[test]
    fn a_page_is_no_event_but_is_kept_for_people() {
        let mut sse = Sse::new(100);
        let mut repairs = Repairs::default();
        sse.push(b"<html>\n{ no: json }\n<b>502</b></html>");
        assert_eq!(sse.next(&mut repairs), Ok(None));
        assert_eq!(sse.finish(&mut repairs), None);
        assert_eq!(sse.stray(), b"<html>\n{ no: json }\n<b>502</b></html>\n");
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused() {
        let long = format!("data: {}\n\n", "x".repeat(101));
        for size in [1, 7, long.len()] {
            let mut sse = Sse::new(100);
            let mut repairs = Repairs::default();
            let refused = long.as_bytes().chunks(size).any(|chunk| {
                sse.push(chunk);
                sse.next(&mut repairs).is_err()
            });
            assert!(refused, "in pieces of {size}");
        }
        let mut sse = Sse::new(100);
        sse.push(format!("[{{}},{{\"a\":\"{}", "x".repeat(200)).as_bytes());
        let mut repairs = Repairs::default();
        assert!(sse.next(&mut repairs).is_ok_and(|frame| frame.is_some()));
        assert!(sse.next(&mut repairs).is_err());
    }
}
