//! A strict reader of text completions, written from the rules of the API's page and not from the code: it accepts
//! nothing but what they promise, and gives what a client would have understood.

use std::collections::BTreeMap;

use millpond::api::Api;
use millpond::dialect::AnyDialect;
use serde_json::Value;

use super::contract::{End, Json, Members, check_error, check_usage, ensure, identity};
use super::short;

/// What a client understood.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Completion {
    pub choices: BTreeMap<u64, Choice>,
    pub usage: Option<Value>,
    pub end: End,
    /// `id`, `model` and `created`.
    pub identity: Option<(String, String, u64)>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Choice {
    pub text: String,
    pub refusal: String,
    pub reasoning: String,
    /// The tokens whose probabilities were told, in the older form.
    pub tokens: Vec<Value>,
    /// How many tokens were told of in the form of chat completions.
    pub told: usize,
    pub finish: Option<String>,
    pub native: Option<String>,
    /// Fields that say something and have no meaning in the API, by name.
    pub unknown: BTreeMap<String, Value>,
}

const KIND: &str = "text_completion";
const REASONS: [&str; 3] = ["stop", "length", "content_filter"];

/// What a client that asked for usage gets for a body that arrives in these pieces.
pub fn stream<'a>(dialect: AnyDialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    super::stream_as(Api::Completions, dialect, pieces)
}

/// The object that a client gets for a body, or the error in its place.
pub fn object(dialect: AnyDialect, body: &[u8]) -> Vec<u8> {
    super::filter_as(Api::Completions, dialect, body, true, true).0
}

/// Reads a stream and checks the rules A1–A4, T1, T2, T5, T6 and F2.
pub fn check_stream(downstream: &[u8], asked_usage: bool) -> Result<Completion, String> {
    let text = std::str::from_utf8(downstream).map_err(|error| format!("A1: no UTF-8: {error}"))?;
    ensure(!text.contains('\r'), "A1: a CR")?;
    ensure(!text.is_empty(), "A4: no event at all")?;
    let events = text.strip_suffix("\n\n").ok_or("A2: the last event is not closed by a blank line")?;
    let mut reader = Reader { asked_usage, ..Reader::default() };
    for event in events.split("\n\n").filter(|event| *event != ": keep-alive") {
        let data = event.strip_prefix("data: ").filter(|data| !data.contains('\n'));
        let data = data.ok_or_else(|| format!("A2: not one line `data: …`: {}", short(event)))?;
        reader.event(data).map_err(|rule| format!("{rule}, in {}", short(data)))?;
    }
    ensure(reader.is_over, "A3, A4: neither [DONE] nor an error event")?;
    Ok(reader.completion)
}

/// Reads the one object of a request that is no stream, or the error in its place.
pub fn check_object(body: &[u8]) -> Result<Completion, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("A1: no UTF-8: {error}"))?;
    let json = Json::parse(text)?;
    let object = json.object("the body")?;
    let mut completion = Completion::default();
    if let Some(error) = object.get("error") {
        ensure(object.0.len() == 1, "F1: a key beside `error`")?;
        completion.end = End::Fault(check_error(error)?);
        return Ok(completion);
    }
    completion.identity = Some(identity(object, KIND)?);
    completion.usage = object.get("usage").map(check_usage).transpose()?;
    for choice in object.array("choices", "T2")? {
        let members = choice.object("a choice")?;
        let index = members.unsigned("index", "T2")?;
        ensure(!completion.choices.contains_key(&index), "T2: two choices of one index")?;
        let choice = completion.choices.entry(index).or_default();
        choice.add(members)?;
        ensure(choice.finish.is_some(), "T5: a choice without finish_reason")?;
    }
    ensure(!completion.choices.is_empty(), "E5: a complete answer without choices")?;
    Ok(completion)
}

#[derive(Default)]
struct Reader {
    asked_usage: bool,
    completion: Completion,
    is_over: bool,
}

impl Reader {
    fn event(&mut self, data: &str) -> Result<(), String> {
        ensure(!self.is_over, "A3, A4: something follows the last event")?;
        let choices = &self.completion.choices;
        if data == "[DONE]" {
            let finished = choices.values().all(|choice| choice.finish.is_some());
            ensure(
                finished && !choices.is_empty(),
                "T5: a complete answer has a choice without finish_reason",
            )?;
            self.is_over = true;
            return Ok(());
        }
        let json = Json::parse(data)?;
        let chunk = json.object("an event")?;
        if let Some(error) = chunk.get("error") {
            ensure(chunk.0.len() == 1, "F2: a key beside `error`")?;
            self.completion.end = End::Fault(check_error(error)?);
            self.is_over = true;
            return Ok(());
        }
        ensure(self.completion.usage.is_none(), "T6: a chunk between usage and [DONE]")?;
        let identity = identity(chunk, KIND)?;
        ensure(
            *self.completion.identity.get_or_insert(identity.clone()) == identity,
            "T1: the identity changed",
        )?;
        match (chunk.array("choices", "T2")?, chunk.get("usage")) {
            ([], Some(usage)) => {
                ensure(self.asked_usage, "T6: usage that nobody asked for")?;
                ensure(choices.values().all(|choice| choice.finish.is_some()), "T6: usage before a finish")?;
                self.completion.usage = Some(check_usage(usage)?);
                Ok(())
            }
            ([choice], None) => {
                let members = choice.object("a choice")?;
                let index = members.unsigned("index", "T2")?;
                let choice = self.completion.choices.entry(index).or_default();
                ensure(choice.finish.is_none(), "T5: something after the finish of its choice")?;
                choice.add(members)?;
                let said = members.string("text", "T2")?;
                ensure(
                    choice.finish.is_none() || said.is_empty(),
                    "T5: the finish is not on a chunk of its own",
                )
            }
            _ => Err("T2, T6: neither one choice nor usage alone".to_owned()),
        }
    }
}

impl Choice {
    /// Adds what a choice says.
    fn add(&mut self, choice: &Members) -> Result<(), String> {
        self.text += &choice.string("text", "T2")?;
        match choice.get("logprobs") {
            Some(Json::Null) => {}
            Some(logprobs) => self.logprobs(&logprobs.object("T2: `logprobs`")?.clone())?,
            None => return Err("T2: no logprobs".to_owned()),
        }
        self.finish = choice.string_or_null("finish_reason", "T2")?;
        self.native = choice.optional_string("native_finish_reason", "T5")?;
        if let Some(finish) = &self.finish {
            ensure(REASONS.contains(&finish.as_str()), "T5: not one of the three reasons")?;
        }
        ensure(self.native.is_none() || self.finish.is_some(), "T5: a native reason without a reason")?;
        self.refusal += &choice.optional_string("refusal", "T9")?.unwrap_or_default();
        let reasoning = choice.optional_string("reasoning", "T9")?;
        ensure(
            reasoning == choice.optional_string("reasoning_content", "T9")?,
            "T9: two fields of reasoning differ",
        )?;
        self.reasoning += &reasoning.unwrap_or_default();
        for (name, value) in &choice.0 {
            match name.as_str() {
                "index"
                | "text"
                | "logprobs"
                | "finish_reason"
                | "native_finish_reason"
                | "refusal"
                | "reasoning"
                | "reasoning_content"
                | "reasoning_details" => {}
                "delta" | "message" | "usage" | "obfuscation" | "p" => {
                    return Err(format!("T2: `{name}` in a choice"));
                }
                _ => drop(self.unknown.insert(name.clone(), value.to_value())),
            }
        }
        Ok(())
    }

    fn logprobs(&mut self, logprobs: &Members) -> Result<(), String> {
        let Some(Json::Array(tokens)) = logprobs.get("tokens") else {
            self.told += logprobs.optional_array("content", "T4").map_or(0, <[Json]>::len);
            return Ok(());
        };
        self.tokens.extend(tokens.iter().map(Json::to_value));
        Ok(())
    }
}
