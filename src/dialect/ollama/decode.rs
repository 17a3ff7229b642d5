//! A line of Ollama's answer becomes deltas.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use crate::dialect::payload::{Payload, Reader};
use crate::dialect::{DecodeError, Decoder, beside, envelope};
use crate::event::{Delta, Fault, FaultCode, Repair, Repairs, Said, Scope, ToolFragment, Usage};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// The fields of a line that have a meaning; the others are carried.
const KNOWN: [&str; 11] = [
    "model",
    "created_at",
    "message",
    "done",
    "done_reason",
    "prompt_eval_count",
    "eval_count",
    "logprobs",
    "response",
    "thinking",
    "error",
];
/// Those of a message.
const KNOWN_OF_MESSAGE: [&str; 4] = ["role", "content", "thinking", "tool_calls"];

/// The decoder of one answer.
#[derive(Debug, Default)]
pub(super) struct OllamaDecoder {
    reader: Reader,
    state: State,
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    /// The first line was read.
    begun: bool,
    calls: i64,
}

impl Decoder for OllamaDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let OllamaDecoder { reader, state } = self;
        match reader.read(frame, repairs)? {
            Payload::Nothing => {}
            // Not Ollama's own: behind an answer that was cut it would mean nothing.
            Payload::EndMark => repairs.count(Repair::UnknownFrame),
            Payload::Failure(fault) => out.push(Delta::Error(fault)),
            Payload::Array(text) => {
                for text in json::elements(text) {
                    state.line(text, &Members::of(text), out, repairs);
                }
            }
            Payload::Object(text, members) => state.line(text, &members, out, repairs),
        }
        Ok(())
    }
}

impl State {
    fn line<'a>(
        &mut self,
        text: &'a str,
        line: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) {
        let says = |name: &str| line.find(name).is_some_and(|raw| raw != "null");
        let failed = line.find("error").is_some_and(envelope::tells);
        if failed || !["message", "done", "response", "thinking"].into_iter().any(says) {
            match envelope::read(text) {
                Some(fault) => out.push(Delta::Error(Box::new(fault))),
                None if failed => out.push(Delta::Error(Box::new(Fault::new(FaultCode::UpstreamError)))),
                None => repairs.count(Repair::UnknownFrame),
            }
            return;
        }
        let message = line.find("message").map(Members::of).unwrap_or_default();
        out.extend(line.find("model").and_then(json::word).map(Delta::Model));
        if !std::mem::replace(&mut self.begun, true) {
            begin(line, &message, out);
        }
        beside::others(line, &KNOWN, Scope::Answer, out);
        if let Some(raw) = line.find("logprobs").filter(|raw| !json::says_nothing(raw)) {
            let value = Cow::Owned(format!("{{\"content\":{raw}}}"));
            out.push(Delta::Unknown(Scope::Choice(0), Field { name: Cow::Borrowed("logprobs"), value }));
        }
        beside::others(&message, &KNOWN_OF_MESSAGE, Scope::Delta(0), out);
        let first = |name: &str, other: Option<&'a str>| {
            message.find(name).and_then(json::word).or_else(|| other.and_then(json::word))
        };
        if let Some(text) = first("thinking", line.find("thinking")) {
            out.push(Delta::Reasoning { choice: 0, text: Said::Next(text) });
        }
        if let Some(text) = first("content", line.find("response")) {
            out.push(Delta::Text { choice: 0, text: Said::Next(text) });
        }
        for raw in message.find("tool_calls").map(json::elements).unwrap_or_default() {
            out.push(self.call(raw));
        }
        if line.find("done") == Some("true") {
            self.end(line, out);
        }
    }

    /// A call comes whole; the daemon's own number for it starts anew with every line in some versions.
    fn call<'a>(&mut self, raw: &'a str) -> Delta<'a> {
        let members = Members::of(raw);
        let function = members.find("function").map(Members::of).unwrap_or_default();
        let mut unknown = Vec::new();
        for (name, value) in members.0.iter().chain(&function.0) {
            let known = matches!(
                name.as_ref(),
                "id" | "type" | "function" | "index" | "name" | "arguments" | "extra_content"
            );
            if !known && *value != "null" {
                unknown.push(Field { name: name.clone(), value: Cow::Borrowed(*value) });
            }
        }
        let arguments = function.find("arguments").filter(|raw| *raw != "null" && *raw != "\"\"");
        let arguments = arguments.unwrap_or("{}");
        let fragment = ToolFragment {
            index: Some(self.calls),
            id: members.find("id").and_then(json::word),
            name: function.find("name").and_then(json::word),
            arguments: Some(json::string(arguments).unwrap_or(Cow::Borrowed(arguments))),
            unknown,
            ..ToolFragment::default()
        };
        self.calls += 1;
        Delta::Tool { choice: 0, fragment: Box::new(fragment) }
    }

    /// The last line: why, and how many tokens.
    fn end<'a>(&self, line: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let reason = line.find("done_reason").and_then(json::word);
        let meant = match reason.as_deref() {
            // The daemon has no other word for it.
            Some("stop") if self.calls > 0 => Some("tool_calls"),
            // A model was loaded or unloaded, as asked.
            Some("load" | "unload") => Some("stop"),
            Some(_) | None => None,
        };
        out.extend(reason.map(|word| match meant {
            Some(meant) => Delta::Finish { choice: 0, reason: Cow::Borrowed(meant), native: Some(word) },
            None => Delta::Finish { choice: 0, reason: word, native: None },
        }));
        out.extend(usage(line).map(|usage| Delta::Usage(Box::new(usage), true)));
        out.push(Delta::End);
    }
}

/// What the first line says of the whole answer.
fn begin<'a>(line: &Members<'a>, message: &Members<'a>, out: &mut Vec<Delta<'a>>) {
    if let Some(raw) = line.find("created_at") {
        let created = json::word(raw).and_then(|text| humantime::parse_rfc3339(&text).ok()); // Another form: carried.
        let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok()); // Before 1970: as well.
        match created {
            Some(since) => out.push(Delta::Created(since.as_secs())),
            None => {
                let field = Field { name: Cow::Borrowed("created_at"), value: Cow::Borrowed(raw) };
                out.push(Delta::Unknown(Scope::Answer, field));
            }
        }
    }
    let role = message.find("role").and_then(json::word).is_some();
    out.push(Delta::Choice { choice: 0, role });
}

fn usage(line: &Members<'_>) -> Option<Usage> {
    let count = |name: &str| line.find(name).and_then(json::count);
    let (prompt, completion) = (count("prompt_eval_count"), count("eval_count"));
    let total = prompt.zip(completion).map(|(prompt, completion)| prompt.saturating_add(completion));
    let counts = [("prompt_tokens", prompt), ("completion_tokens", completion), ("total_tokens", total)];
    let counts = counts.iter().filter_map(|(name, count)| count.map(|count| format!("\"{name}\":{count}")));
    let counts: Vec<String> = counts.collect();
    Usage::read(&format!("{{{}}}", counts.join(",")))
}
