//! AWS event stream: binary messages, each with a checksum of its lengths and one of the whole.
//!
//! A message is its length, the length of its headers and the CRC-32 of these two, then headers, payload
//! and the CRC-32 of everything before it; all numbers are big-endian. The frame's name is the header
//! `:event-type`, or for a failure `:exception-type` or `:error-code`.
//!
//! Source: "Amazon Transcribe, event stream encoding", <https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>

use std::ops::Range;

use super::{Frame, FrameError, FrameTooLong, STRAY_LIMIT};
use crate::event::{Repair, Repairs};

/// The lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const TRAILER: usize = 4;
/// A buffer that grew beyond this is given back when it is empty.
const BUFFER_KEPT: usize = 64 << 10;

/// The parser of messages.
#[derive(Debug)]
pub struct EventStream {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the message that is being read begins.
    start: usize,
    /// A message was read: what follows is no page or error body.
    begun: bool,
    /// The body is text: an error or a page that a gateway put in place of the stream.
    is_text: bool,
    stray: Vec<u8>,
}

/// Where things stand in one message.
#[derive(Debug, Default)]
struct Message {
    name: Range<usize>,
    payload: Range<usize>,
    failed: bool,
}

impl EventStream {
    /// Makes a parser; `limit` is the longest message in bytes.
    pub fn new(limit: usize) -> EventStream {
        EventStream { limit, buffer: Vec::new(), start: 0, begun: false, is_text: false, stray: Vec::new() }
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
        self.start = 0;
        self.buffer.extend_from_slice(input);
    }

    /// The next message that the bytes so far complete.
    pub fn frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        // A message that began so would be longer than half a gigabyte.
        self.is_text |= !self.begun && rest.first().is_some_and(|byte| (b'\t'..0x80).contains(byte));
        if self.is_text {
            let long = self.buffer.len() > self.limit;
            return if long { Err(FrameTooLong { limit: self.limit }.into()) } else { Ok(None) };
        }
        let Some(prelude) = rest.get(..PRELUDE) else { return Ok(None) };
        let (Some(total), Some(headers), Some(sum)) =
            (number(prelude, 0), number(prelude, 4), number(prelude, 8))
        else {
            return Ok(None);
        };
        if prelude.get(..8).map(crc32fast::hash) != Some(sum) {
            return Err(FrameError::Damaged);
        }
        let (total, headers) = (total as usize, headers as usize);
        if total > self.limit {
            return Err(FrameTooLong { limit: self.limit }.into());
        }
        if total < PRELUDE + TRAILER || headers > total - PRELUDE - TRAILER {
            return Err(FrameError::Damaged);
        }
        let Some(message) = rest.get(..total) else { return Ok(None) };
        let end = total - TRAILER;
        if message.get(..end).map(crc32fast::hash) != number(message, end) {
            return Err(FrameError::Damaged);
        }
        let found = read(message, PRELUDE..PRELUDE + headers, end).ok_or(FrameError::Damaged)?;
        let start = self.start;
        self.start += total;
        self.begun = true;
        let part =
            |range: Range<usize>| self.buffer.get(start + range.start..start + range.end).unwrap_or_default();
        let Message { name, payload, failed } = found;
        Ok(Some(Frame { name: part(name), data: part(payload), closed: true, bare: false, failed }))
    }

    /// The body ended: gives what is left of it. To be called until it gives nothing.
    pub fn finish(&mut self, repairs: &mut Repairs) -> Option<Frame<'_>> {
        let start = std::mem::replace(&mut self.start, self.buffer.len());
        let rest = self.buffer.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        if !self.is_text {
            // A piece of a message: nothing in it is proven by a checksum.
            return Some(Frame { name: &[], data: &[], closed: false, bare: false, failed: false });
        }
        let text = rest.trim_ascii();
        if matches!(text.first(), Some(b'{' | b'[')) {
            repairs.count(Repair::BareJson);
            return Some(Frame { name: &[], data: text, closed: true, bare: true, failed: false });
        }
        repairs.count(Repair::StrayLine);
        self.stray.extend(text.iter().take(STRAY_LIMIT));
        None
    }

    /// The beginning of a body that was no event stream.
    pub fn stray(&self) -> &[u8] {
        &self.stray
    }
}

/// The number of four bytes at a place.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Finds name and payload of a message; `None` if its headers cannot be read.
fn read(message: &[u8], headers: Range<usize>, end: usize) -> Option<Message> {
    let mut found = Message { payload: headers.end..end, ..Message::default() };
    let mut said = None;
    let mut at = headers.start;
    while at < headers.end {
        let length = usize::from(*message.get(at)?);
        let name = message.get(at + 1..at + 1 + length)?;
        let value = value(message, at + 1 + length)?;
        at = value.end;
        match name {
            b":message-type" => found.failed = message.get(value)? != b"event",
            b":event-type" | b":exception-type" | b":error-code" => found.name = value,
            b":error-message" => said = Some(value),
            _ => {}
        }
    }
    if let Some(said) = said.filter(|_| found.payload.is_empty()) {
        found.payload = said;
    }
    (at == headers.end).then_some(found)
}

/// Where the value of a header stands; its type is at `at`.
fn value(message: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 1;
    let length = match message.get(at)? {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        6 | 7 => {
            let length = message.get(start..)?.first_chunk::<2>()?;
            let start = start + 2;
            return Some(start..start + usize::from(u16::from_be_bytes(*length)));
        }
        9 => 16,
        _ => return None,
    };
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(name.len() as u8);
            block.extend(name.as_bytes());
            block.push(7);
            block.extend((value.len() as u16).to_be_bytes());
            block.extend(value.as_bytes());
        }
        raw(&block, payload)
    }

    fn raw(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = PRELUDE + headers.len() + payload.len() + TRAILER;
        let mut out = Vec::new();
        out.extend((total as u32).to_be_bytes());
        out.extend((headers.len() as u32).to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend(headers);
        out.extend(payload);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn event(name: &str, payload: &[u8]) -> Vec<u8> {
        let kind = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
        message(&kind, payload)
    }

    type Frames = Vec<(String, String, bool, bool)>;

    fn read(chunks: &[&[u8]]) -> Result<Frames, FrameError> {
        let mut stream = EventStream::new(1 << 20);
        let mut frames = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut take = |frame: Frame<'_>| {
            frames.push((text(frame.name), text(frame.data), frame.closed, frame.failed));
        };
        for chunk in chunks {
            stream.push(chunk);
            while let Some(frame) = stream.frame()? {
                take(frame);
            }
        }
        while let Some(frame) = stream.finish(&mut Repairs::default()) {
            take(frame);
        }
        Ok(frames)
    }

    /// Reads the input whole, byte by byte and at every two-way cut: the result is the same.
    #[track_caller]
    fn check(input: &[u8], expect: Result<&[(&str, &str, bool, bool)], FrameError>) {
        let expect = expect.map(|frames| {
            let owned = frames
                .iter()
                .map(|&(name, data, closed, failed)| (name.to_owned(), data.to_owned(), closed, failed));
            owned.collect::<Frames>()
        });
        assert_eq!(read(&[input]), expect);
        assert_eq!(read(&input.chunks(1).collect::<Vec<_>>()), expect);
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(read(&[head, tail]), expect, "cut at {at}");
        }
    }

    #[test]
    fn a_message_without_headers_and_payload_has_sixteen_bytes() {
        let bytes = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        check(&bytes, Ok(&[("", "", true, false)]));
        assert_eq!(raw(&[], &[]), bytes);
    }

    #[test]
    fn the_event_type_is_the_name() {
        let body = [event("messageStart", b"{}"), event("messageStop", b"{\"a\":1}")].concat();
        check(&body, Ok(&[("messageStart", "{}", true, false), ("messageStop", "{\"a\":1}", true, false)]));
    }

    #[test]
    fn a_failure_has_its_own_name() {
        let exception = [(":exception-type", "throttlingException"), (":message-type", "exception")];
        check(
            &message(&exception, b"{\"message\":\"slow\"}"),
            Ok(&[("throttlingException", "{\"message\":\"slow\"}", true, true)]),
        );
        let error = [(":error-code", "InternalError"), (":error-message", "no"), (":message-type", "error")];
        check(&message(&error, b""), Ok(&[("InternalError", "no", true, true)]));
    }

    #[test]
    fn headers_of_every_type_are_read_past() {
        let mut headers = Vec::new();
        let values: [(u8, &[u8]); 10] = [
            (0, b""),
            (1, b""),
            (2, b"1"),
            (3, b"12"),
            (4, b"1234"),
            (5, b"12345678"),
            (6, b"\0\x03abc"),
            (7, b"\0\x01x"),
            (8, b"12345678"),
            (9, b"1234567890123456"),
        ];
        for (kind, value) in values {
            headers.extend([1, b'h', kind]);
            headers.extend(value);
        }
        check(&raw(&headers, b"p"), Ok(&[("", "p", true, false)]));
        headers.extend([1, b'h', 10]);
        check(&raw(&headers, b"p"), Err(FrameError::Damaged));
    }

    #[test]
    fn a_wrong_checksum_is_damage() {
        let good = event("x", b"{}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            assert_eq!(read(&[&bad]), Err(FrameError::Damaged), "at {at}");
        }
    }

    #[test]
    fn a_piece_of_a_message_is_not_closed() {
        let whole = event("x", b"{}");
        check(&whole[..whole.len() - 1], Ok(&[("", "", false, false)]));
    }

    #[test]
    fn a_text_body_is_no_event_stream() {
        check(b"{\"message\":\"no\"}", Ok(&[("", "{\"message\":\"no\"}", true, false)]));
        let mut stream = EventStream::new(100);
        stream.push(b"<html>no</html>");
        assert_eq!(stream.frame(), Ok(None));
        assert_eq!(stream.finish(&mut Repairs::default()), None);
        assert_eq!(stream.stray(), b"<html>no</html>");
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_by_its_prelude() {
        let mut stream = EventStream::new(100);
        stream.push(&event("x", &[b' '; 100])[..PRELUDE]);
        assert_eq!(stream.frame(), Err(FrameTooLong { limit: 100 }.into()));
    }
}
