//! A piece of a `GenerateContentResponse` becomes deltas.

use std::borrow::Cow;

use super::annotate;
use super::part::{self, Candidate};
use super::usage::Report;
use crate::dialect::beside;
use crate::dialect::payload::{Payload, Reader};
use crate::dialect::{DecodeError, Decoder, envelope};
use crate::event::{Delta, Fault, FaultCode, Repair, Repairs, Scope, Usage};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// Candidates that are read at most; the normalizer gives up before.
const CANDIDATES_LIMIT: usize = 512;

/// The fields of a frame that are translated.
const KNOWN: [&str; 5] = ["candidates", "usageMetadata", "modelVersion", "responseId", "createTime"];
/// Those of a candidate.
const KNOWN_OF_CANDIDATE: [&str; 4] = ["content", "finishReason", "index", "logprobsResult"];
/// Finish reasons as numbers, as some transports write enums; number 0 says nothing.
const REASONS: [&str; 13] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "UNEXPECTED_TOOL_CALL",
];

/// The decoder of one answer.
#[derive(Debug, Default)]
pub(super) struct GeminiDecoder {
    reader: Reader,
    state: State,
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    candidates: Vec<Candidate>,
    report: Report,
    /// A candidate had its finish reason.
    finished: bool,
}

impl Decoder for GeminiDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let GeminiDecoder { reader, state } = self;
        match reader.read(frame, repairs)? {
            Payload::Nothing => Ok(()),
            Payload::EndMark => {
                out.push(Delta::End);
                Ok(())
            }
            Payload::Failure(fault) => {
                out.push(Delta::Error(fault));
                Ok(())
            }
            Payload::Array(text) => {
                // All of the answer in one event; an array that is the body itself comes object by object.
                repairs.count(Repair::JsonInsteadOfStream);
                json::elements(text)
                    .into_iter()
                    .try_for_each(|text| state.response(frame, text, &Members::of(text), out, repairs))
            }
            Payload::Object(text, members) => state.response(frame, text, &members, out, repairs),
        }
    }

    fn usage_so_far(&self) -> Option<Usage> {
        self.state.report.so_far()
    }
}

impl State {
    fn response<'a>(
        &mut self,
        frame: Frame<'a>,
        text: &'a str,
        response: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let failed =
            frame.failed || frame.name == b"error" || response.find("error").is_some_and(envelope::tells);
        if failed {
            // A last piece of the answer may stand beside the failure.
            for (at, raw) in list(response.find("candidates"))?.into_iter().enumerate() {
                self.candidate(at, raw, out, repairs)?;
            }
            let fault = envelope::read(text).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
            out.push(Delta::Error(Box::new(fault)));
            return Ok(());
        }
        let feedback = response.find("promptFeedback");
        let is_known = feedback.is_some() || KNOWN.iter().any(|name| response.find(name).is_some());
        if !is_known {
            repairs.count(Repair::UnknownFrame);
            return Ok(());
        }
        let word = |name: &str| response.find(name).and_then(json::word);
        out.extend(word("responseId").map(Delta::Id));
        out.extend(word("modelVersion").map(Delta::Model));
        out.extend(word("createTime").as_deref().and_then(seconds).map(Delta::Created));
        beside::others(response, &KNOWN, Scope::Answer, out);
        let candidates = list(response.find("candidates"))?;
        for (at, raw) in candidates.iter().enumerate() {
            self.candidate(at, raw, out, repairs)?;
        }
        if candidates.is_empty()
            && let Some(reason) = feedback.map(Members::of).and_then(|feedback| feedback.find("blockReason"))
        {
            let native = json::word(reason).unwrap_or(Cow::Borrowed("BLOCK_REASON_UNSPECIFIED"));
            out.push(Delta::Choice { choice: 0, role: true });
            let reason = Cow::Borrowed("content_filter");
            out.push(Delta::Finish { choice: 0, reason, native: Some(native) });
        }
        self.finished |= out.iter().any(|delta| matches!(delta, Delta::Finish { .. }));
        if let Some(usage) = response.find("usageMetadata") {
            self.report.keep(usage);
        }
        if self.finished {
            self.report.leave(out);
        }
        Ok(())
    }

    fn candidate<'a>(
        &mut self,
        at: usize,
        raw: &'a str,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let members = Members::of(raw);
        // The first candidate has no index where defaults are left out.
        let index = members.find("index").and_then(json::integer).and_then(|index| u32::try_from(index).ok());
        let choice = index.or_else(|| u32::try_from(at).ok()).unwrap_or_default();
        let (state, is_new) = self.at(choice).ok_or(DecodeError::Malformed)?;
        beside::others(&members, &KNOWN_OF_CANDIDATE, Scope::Choice(choice), out);
        if let Some(result) = members.find("logprobsResult") {
            logprobs(choice, result, out);
        }
        out.push(Delta::Choice { choice, role: is_new });
        if let Some(content) = members.find("content").filter(|raw| *raw != "null") {
            if !content.starts_with('{') {
                return Err(DecodeError::Malformed);
            }
            let content = Members::of(content);
            beside::others(&content, &["parts", "role"], Scope::Choice(choice), out);
            for raw in list(content.find("parts"))? {
                part::part(state, raw, out, repairs);
            }
        }
        let metadata = [members.find("groundingMetadata"), members.find("citationMetadata")];
        if metadata.iter().any(Option::is_some) {
            annotate::annotate(state, metadata, out);
        }
        if let Some(reason) = members.find("finishReason").and_then(reason) {
            part::cut(state, out);
            // The API has no word of its own for calls.
            let called = reason == "STOP" && state.has_called();
            let native = called.then(|| reason.clone());
            let reason = if called { Cow::Borrowed("tool_calls") } else { reason };
            out.push(Delta::Finish { choice, reason, native });
        }
        Ok(())
    }

    /// The candidate of that index, and whether it is new; `None` if there are too many.
    fn at(&mut self, index: u32) -> Option<(&mut Candidate, bool)> {
        let known = self.candidates.iter().position(|candidate| candidate.index == index);
        let at = match known {
            Some(at) => at,
            None if self.candidates.len() >= CANDIDATES_LIMIT => return None,
            None => {
                self.candidates.push(Candidate::new(index));
                self.candidates.len() - 1
            }
        };
        self.candidates.get_mut(at).map(|candidate| (candidate, known.is_none()))
    }
}

/// The objects of a list; anything else in its place may have held a part of the answer.
fn list(raw: Option<&str>) -> Result<Vec<&str>, DecodeError> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(Vec::new()) };
    let elements = json::elements(raw);
    let objects = raw.starts_with(['[', '{']) && elements.iter().all(|raw| raw.starts_with('{'));
    if objects { Ok(elements) } else { Err(DecodeError::Malformed) }
}

/// The provider's word for the end of a candidate, where it ended.
fn reason(raw: &str) -> Option<Cow<'_, str>> {
    let word = json::word(raw)?;
    let number = word.parse::<usize>().ok(); // A word, as a rule.
    let word = number.and_then(|number| REASONS.get(number)).map_or(word, |name| Cow::Borrowed(*name));
    (word != "FINISH_REASON_UNSPECIFIED").then_some(word)
}

/// Unix seconds of a time such as `2025-10-10T15:57:26.830111Z`.
fn seconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?; // No time: it is left out.
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs()) // Before 1970: the same.
}

/// Carries the logarithms of probabilities in the API's shape.
fn logprobs(choice: u32, raw: &str, out: &mut Vec<Delta<'_>>) {
    let result = Members::of(raw);
    let chosen = json::elements(result.find("chosenCandidates").unwrap_or_default());
    let top = json::elements(result.find("topCandidates").unwrap_or_default());
    let mut content = Vec::new();
    for (at, raw) in chosen.into_iter().enumerate() {
        let others = top.get(at).map(|raw| Members::of(raw)).unwrap_or_default();
        let others = json::elements(others.find("candidates").unwrap_or_default());
        let others: Vec<String> = others.into_iter().map(|raw| format!("{{{}}}", token(raw))).collect();
        content.push(format!("{{{},\"top_logprobs\":[{}]}}", token(raw), others.join(",")));
    }
    if content.is_empty() {
        return;
    }
    let value = format!("{{\"content\":[{}],\"refusal\":null}}", content.join(","));
    let field = Field { name: Cow::Borrowed("logprobs"), value: Cow::Owned(value) };
    out.push(Delta::Unknown(Scope::Choice(choice), field));
}

/// The members of one token.
fn token(raw: &str) -> String {
    let members = Members::of(raw);
    let text = members.find("token").and_then(json::word).unwrap_or_default();
    let mut token = Vec::new();
    json::write_string(&text, &mut token);
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    let logprob = members.find("logProbability").unwrap_or("0");
    let token = String::from_utf8_lossy(&token);
    format!("\"token\":{token},\"logprob\":{logprob},\"bytes\":[{}]", bytes.join(","))
}
