//! Frames become bytes, one write for each.

use super::eventstream;
use super::fault::Bytes;
use super::manner::{Framing, Wire};
use super::render::{Frame, Kind};

/// Writes frames; each becomes one element of the list.
pub fn write(frames: &[Frame], wire: Wire) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| write_frame(frame, wire)).collect()
}

/// Changes the bytes; `number` is the one in the fault's name, `most` the last write to cut after.
pub fn damage(fault: Bytes, number: usize, most: usize, writes: &mut Vec<Vec<u8>>) {
    match fault {
        Bytes::Bom => {
            if let Some(first) = writes.first_mut() {
                first.splice(0..0, *b"\xef\xbb\xbf");
            }
        }
        Bytes::NoBlankLine => {
            if let Some(last) = writes.last_mut() {
                let end = last.iter().rposition(|byte| !b"\r\n".contains(byte));
                last.truncate(end.map_or(0, |end| end + 1));
            }
        }
        Bytes::CutByte => {
            let most: usize = writes.iter().take(most).map(Vec::len).sum();
            cut(writes, number.min(most));
        }
        Bytes::CutHalf => {
            writes.truncate(most + 1);
            if let Some(last) = writes.last_mut() {
                last.truncate(last.len() / 2);
            }
        }
        Bytes::Drip => {
            *writes = writes.concat().into_iter().map(|byte| vec![byte]).collect();
        }
    }
}

/// Cuts the body at a byte.
fn cut(writes: &mut Vec<Vec<u8>>, mut left: usize) {
    writes.retain_mut(|write| {
        write.truncate(left);
        left -= write.len();
        !write.is_empty()
    });
}

fn write_frame(frame: &Frame, wire: Wire) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.data.len() + 12);
    match frame.kind {
        Kind::Verbatim => return frame.data.clone(),
        Kind::Comment => out.extend_from_slice(b": "),
        Kind::Chunk | Kind::Ending | Kind::Done => {
            if wire.framing == Framing::EventStream {
                return eventstream::message(frame.name, &frame.data);
            }
            if !frame.name.is_empty() {
                for text in ["event: ", frame.name, wire.line_end] {
                    out.extend_from_slice(text.as_bytes());
                }
            }
            out.extend_from_slice(wire.field.as_bytes());
        }
    }
    out.extend_from_slice(&frame.data);
    for _ in 0..=wire.gap {
        out.extend_from_slice(wire.line_end.as_bytes());
    }
    out
}
