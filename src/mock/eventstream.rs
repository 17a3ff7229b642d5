//! Messages of an AWS event stream: lengths, headers, payload, and two checksums.
//!
//! Source: <https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html>

/// The type of a header whose value is text.
const TEXT: u8 = 7;

/// Writes a message. Events whose name ends with `Exception` are exceptions.
pub fn message(name: &str, payload: &[u8]) -> Vec<u8> {
    let is_exception = name.ends_with("Exception");
    let (key, kind) = match is_exception {
        true => (":exception-type", "exception"),
        false => (":event-type", "event"),
    };
    let mut headers = Vec::new();
    for (name, value) in [(key, name), (":content-type", "application/json"), (":message-type", kind)] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(TEXT);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = 12 + headers.len() + payload.len() + 4;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&(total as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}
