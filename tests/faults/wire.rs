//! Bytes that upstreams send beside their answers, in the words of each dialect.

use millpond::framing::Framing;

use crate::bases::Speech;
use crate::upstream::chunk;

/// The limit of a frame in the suite.
pub const FRAME_LIMIT: usize = 64 << 10;

/// The beginning of a response whose body is sent in chunks.
pub fn head(speech: Speech, more: &str) -> Vec<u8> {
    head_of("200 OK", content_type(speech), &format!("transfer-encoding: chunked\r\n{more}"))
}

/// The beginning of any response.
pub fn head_of(status: &str, content_type: &str, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{more}\r\n").into_bytes()
}

pub fn content_type(speech: Speech) -> &'static str {
    match speech.dialect().as_dialect().framing() {
        Framing::Sse => "text/event-stream",
        Framing::Ndjson => "application/x-ndjson",
        Framing::EventStream => "application/vnd.amazon.eventstream",
    }
}

/// A whole response in chunks, to its end.
pub fn whole(speech: Speech, more: &str, body: &[u8]) -> Vec<u8> {
    let body = if body.is_empty() { Vec::new() } else { chunk(body) };
    [head(speech, more), body, b"0\r\n\r\n".to_vec()].concat()
}

/// A response whose body has a length.
pub fn response(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    [head_of(status, content_type, &format!("content-length: {}\r\n", body.len())), body.to_vec()].concat()
}

/// An event of an event stream of AWS.
pub fn message(kind: &str, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    let name_header = if kind == "event" { ":event-type" } else { ":exception-type" };
    for (name, value) in [(name_header, name), (":content-type", "application/json"), (":message-type", kind)]
    {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7); // A text.
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut out = prelude(12 + headers.len() + payload.len() + 4, headers.len());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

/// The beginning of a message of AWS.
fn prelude(total: usize, headers: usize) -> Vec<u8> {
    let mut out = [(total as u32).to_be_bytes(), (headers as u32).to_be_bytes()].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

/// A frame that may have held a part of the answer, and cannot be read.
pub fn garbage(speech: Speech) -> Vec<u8> {
    match speech.name {
        "anthropic" => {
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",oops\n\n".to_vec()
        }
        "openai-responses" => {
            b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",oops\n\n"
                .to_vec()
        }
        "cohere" => b"event: content-delta\ndata: {\"type\":\"content-delta\",oops\n\n".to_vec(),
        "ollama" => b"{\"model\":\"m\",\"message\":{\"role\":\"assistant\",oops}\n".to_vec(),
        "bedrock" => message("event", "contentBlockDelta", b"{\"contentBlockIndex\":0,oops"),
        _ => b"data: {\"choices\":[{\"delta\":{oops\n\n".to_vec(),
    }
}

/// A frame beyond the limit.
pub fn oversize(speech: Speech) -> Vec<u8> {
    let padding = "x".repeat(FRAME_LIMIT + 1000);
    match speech.name {
        "bedrock" => [prelude(FRAME_LIMIT + 1000, 0), padding.into_bytes()].concat(),
        "ollama" => format!("{{\"pad\":\"{padding}\"}}\n").into_bytes(),
        _ => format!("data: {{\"pad\":\"{padding}\"}}\n\n").into_bytes(),
    }
}

/// What an upstream sends that only wants to stay connected.
pub fn heartbeat(speech: Speech) -> Vec<u8> {
    match speech.name {
        "openai-chat" => b"data: {\"id\":\"c\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\n\n".to_vec(),
        "anthropic" => b"event: ping\ndata: {\"type\":\"ping\"}\n\n".to_vec(),
        "openai-responses" => b"event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":9}\n\n".to_vec(),
        "ollama" => b"\n".to_vec(),
        "bedrock" => message("event", "contentBlockDelta", b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"\"},\"p\":\"abc\"}"),
        _ => b": wait\n\n".to_vec(),
    }
}

/// A frame that reports a failure.
pub fn failure(speech: Speech) -> Vec<u8> {
    match speech.name {
        "openai-chat" => b"data: {\"error\":{\"message\":\"The engine broke.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n".to_vec(),
        "anthropic" => b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n".to_vec(),
        "gemini" => b"data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}\n\n".to_vec(),
        "openai-responses" => b"event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"The engine broke.\",\"param\":null,\"sequence_number\":9}\n\n".to_vec(),
        "cohere" => b"data: {\"message\":\"internal server error, this has been reported to our developers\"}\n\n".to_vec(),
        "ollama" => b"{\"error\":\"an error was encountered while running the model\"}\n".to_vec(),
        "bedrock" => message("exception", "modelStreamErrorException", b"{\"message\":\"The model broke.\"}"),
        other => panic!("{other} has no failure"),
    }
}

/// The body of a refusal.
pub fn refusal(speech: Speech, status: u16) -> String {
    match speech.name {
        "anthropic" => {
            "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"No.\"}}".to_owned()
        }
        "gemini" => {
            format!("{{\"error\":{{\"code\":{status},\"message\":\"No.\",\"status\":\"INTERNAL\"}}}}")
        }
        "cohere" | "bedrock" => "{\"message\":\"No.\"}".to_owned(),
        "ollama" => "{\"error\":\"No.\"}".to_owned(),
        _ => "{\"error\":{\"message\":\"No.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"
            .to_owned(),
    }
}
