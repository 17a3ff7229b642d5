//! A strict reader of what millpond sends, written from the contract and not from the code: it accepts
//! nothing but what the contract promises, and gives what a client would have understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::short;

/// What a client understood.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    pub choices: BTreeMap<u64, Choice>,
    pub usage: Option<Value>,
    pub end: End,
    /// Fields that the contract does not name, in the order they came.
    pub unknown: Vec<Unknown>,
    /// `id`, `model` and `created` of all chunks.
    pub identity: Option<(String, String, u64)>,
}

/// How the answer ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum End {
    #[default]
    Complete,
    /// The code of the fault.
    Fault(String),
}

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Choice {
    pub text: String,
    pub refusal: String,
    pub reasoning: String,
    /// Items of structured reasoning, as they were written.
    pub details: Vec<String>,
    pub calls: Vec<Call>,
    pub finish: Option<String>,
    pub native: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// A field that the contract does not name.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    pub place: Place,
    pub name: String,
    pub value: Value,
}

/// Where a field stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Answer,
    Choice(u64),
    Delta(u64),
    Tool(u64),
}

const REASONS: [&str; 4] = ["stop", "length", "tool_calls", "content_filter"];
const TYPES: [&str; 9] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "upstream_error",
    "timeout_error",
    "server_error",
    "overloaded_error",
];
const CODES: [&str; 9] = [
    "truncated",
    "empty",
    "malformed",
    "stalled",
    "timeout",
    "upstream_error",
    "connection_lost",
    "too_large",
    "draining",
];
/// The order of what one delta holds (C5).
const ORDER: [&str; 7] =
    ["role", "reasoning_content", "reasoning", "reasoning_details", "content", "refusal", "tool_calls"];

/// True for a type of the closed list (F4).
pub fn is_error_type(word: &str) -> bool {
    TYPES.contains(&word)
}

/// Reads a stream and checks the rules A2–A4, B1–B3, C2–C5, D1–D4, E1–E3, F2, F4 and G1.
pub fn check_stream(downstream: &[u8], asked_usage: bool) -> Result<Answer, String> {
    let text = std::str::from_utf8(downstream).map_err(|error| format!("A1: no UTF-8: {error}"))?;
    ensure(!text.contains('\r'), "A1: a CR")?;
    ensure(!text.starts_with('\u{feff}'), "A1: a byte order mark")?;
    ensure(!text.is_empty(), "A4: no event at all")?;
    let Some(events) = text.strip_suffix("\n\n") else {
        return Err("A2: the last event is not closed by a blank line".to_owned());
    };
    let mut checker = Checker { asked_usage, ..Checker::default() };
    for event in events.split("\n\n") {
        if event == ": keep-alive" {
            continue;
        }
        let Some(data) = event.strip_prefix("data: ").filter(|data| !data.contains('\n')) else {
            return Err(format!("A2: not one line `data: …`: {}", short(event)));
        };
        checker.event(data).map_err(|rule| format!("{rule}, in {}", short(data)))?;
    }
    checker.finish()
}

/// Reads the one object of a request that is no stream (H1), or the error in its place.
pub fn check_object(body: &[u8]) -> Result<Answer, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("A1: no UTF-8: {error}"))?;
    let json = Json::parse(text)?;
    let object = json.object("the body")?;
    let mut answer = Answer::default();
    if let Some(error) = object.get("error") {
        ensure(object.0.len() == 1, "F1: a key beside `error`")?;
        answer.end = End::Fault(check_error(error)?);
        return Ok(answer);
    }
    answer.identity = Some(identity(object, "chat.completion")?);
    for (name, value) in &object.0 {
        match name.as_str() {
            "id" | "object" | "created" | "model" | "choices" => {}
            "usage" => answer.usage = Some(check_usage(value)?),
            _ => answer.unknown.push(Unknown {
                place: Place::Answer,
                name: name.clone(),
                value: value.to_value(),
            }),
        }
    }
    let mut ids = BTreeSet::new();
    for choice in object.array("choices", "B2")? {
        let choice = choice.object("a choice")?;
        let index = choice.unsigned("index", "B2")?;
        let read = check_whole_choice(index, choice, &mut answer.unknown, &mut ids)?;
        ensure(answer.choices.insert(index, read).is_none(), "B2: two choices of one index")?;
    }
    ensure(!answer.choices.is_empty(), "E5: a complete answer without choices")?;
    for (index, details) in raw_details(text) {
        answer.choices.entry(index).or_default().details.extend(details);
    }
    Ok(answer)
}

fn check_whole_choice(
    index: u64,
    choice: &Members,
    unknown: &mut Vec<Unknown>,
    ids: &mut BTreeSet<String>,
) -> Result<Choice, String> {
    let mut read = Choice::default();
    let message = choice.get("message").ok_or("H1: no message")?.object("`message`")?;
    ensure(message.string("role", "H1")? == "assistant", "H1: role")?;
    read.text = message.string_or_null("content", "H1")?.unwrap_or_default();
    read.refusal = message.string_or_null("refusal", "H1")?.unwrap_or_default();
    read.reasoning = reasoning(message)?;
    for call in message.optional_array("tool_calls", "H1")? {
        let call = call.object("a call")?;
        ensure(call.string("type", "H1")? == "function", "H1: type of a call")?;
        let function = call.get("function").ok_or("H1: no function")?.object("`function`")?;
        let id = call.string("id", "H1")?;
        ensure(!id.is_empty() && ids.insert(id.clone()), "D3: an id is empty or comes twice")?;
        let (name, arguments) = (function.string("name", "H1")?, function.string("arguments", "H1")?);
        read.calls.push(Call { id, name, arguments });
    }
    let finish = choice.string("finish_reason", "H1")?;
    ensure(REASONS.contains(&finish.as_str()), "E1: not one of the four reasons")?;
    check_finish(&finish, &read.calls)?;
    read.finish = Some(finish);
    read.native = choice.optional_string("native_finish_reason", "E1")?;
    let mut keep = |place, name: &str, value: &Json| {
        unknown.push(Unknown { place, name: name.to_owned(), value: value.to_value() });
    };
    for (name, value) in &choice.0 {
        match name.as_str() {
            "index" | "message" | "finish_reason" | "native_finish_reason" => {}
            _ => keep(Place::Choice(index), name, value),
        }
    }
    for (name, value) in message.0.iter().filter(|(name, _)| !ORDER.contains(&name.as_str())) {
        keep(Place::Delta(index), name, value);
    }
    Ok(read)
}

/// What is known while a stream is read.
#[derive(Debug, Default)]
struct Checker {
    asked_usage: bool,
    answer: Answer,
    ids: BTreeSet<String>,
    ended: bool,
}

impl Checker {
    fn event(&mut self, data: &str) -> Result<(), String> {
        ensure(!self.ended, "A3, A4: something follows the last event")?;
        if data == "[DONE]" {
            return self.done();
        }
        let json = Json::parse(data)?;
        let object = json.object("an event")?;
        if let Some(error) = object.get("error") {
            ensure(object.0.len() == 1, "F2: a key beside `error`")?;
            ensure(self.answer.usage.is_none(), "F2: usage before a fault")?;
            self.answer.end = End::Fault(check_error(error)?);
            self.ended = true;
            return Ok(());
        }
        self.chunk(object)?;
        for (index, details) in raw_details(data) {
            self.answer.choices.entry(index).or_default().details.extend(details);
        }
        Ok(())
    }

    fn done(&mut self) -> Result<(), String> {
        ensure(!self.answer.choices.is_empty(), "E5: a complete answer without choices")?;
        for choice in self.answer.choices.values() {
            let Some(finish) = &choice.finish else {
                return Err("E1: a complete answer has a choice without finish_reason".to_owned());
            };
            check_finish(finish, &choice.calls)?;
        }
        self.ended = true;
        Ok(())
    }

    fn finish(self) -> Result<Answer, String> {
        ensure(self.ended, "A3, A4: neither [DONE] nor an error event")?;
        Ok(self.answer)
    }

    fn chunk(&mut self, chunk: &Members) -> Result<(), String> {
        ensure(self.answer.usage.is_none(), "E2: a chunk between usage and [DONE]")?;
        let identity = identity(chunk, "chat.completion.chunk")?;
        match &self.answer.identity {
            None => self.answer.identity = Some(identity),
            Some(known) => ensure(*known == identity, "B1: the identity changed")?,
        }
        let mut says = false;
        for (name, value) in &chunk.0 {
            match name.as_str() {
                "id" | "object" | "created" | "model" | "choices" | "usage" => {}
                _ => says |= self.unknown(Place::Answer, name, value)?,
            }
        }
        let choices = chunk.array("choices", "B2")?;
        match (choices, chunk.get("usage")) {
            ([], Some(usage)) => return self.usage(usage),
            ([], None) => return Err("B2: no choices, and no usage".to_owned()),
            (_, Some(_)) => return Err("E2: usage beside choices".to_owned()),
            (_, None) => {}
        }
        for choice in choices {
            says |= self.choice(choice.object("a choice")?, choices.len())?;
        }
        ensure(says, "C3: a chunk that says nothing")
    }

    fn usage(&mut self, usage: &Json) -> Result<(), String> {
        ensure(self.asked_usage, "E2: usage that nobody asked for")?;
        let finished = self.answer.choices.values().all(|choice| choice.finish.is_some());
        ensure(finished && !self.answer.choices.is_empty(), "E2: usage before the last finish")?;
        self.answer.usage = Some(check_usage(usage)?);
        Ok(())
    }

    /// True if the choice says something.
    fn choice(&mut self, choice: &Members, beside: usize) -> Result<bool, String> {
        let index = choice.unsigned("index", "B2")?;
        let first = !self.answer.choices.contains_key(&index);
        let state = self.answer.choices.entry(index).or_default();
        ensure(state.finish.is_none(), "E1: something after the finish of its choice")?;
        let delta = choice.get("delta").ok_or("C2: no delta")?.object("C2: `delta`")?;
        let finish = choice.string_or_null("finish_reason", "B2")?;
        let native = choice.optional_string("native_finish_reason", "E1")?;
        ensure(native.is_none() || finish.is_some(), "E1: a native reason without a reason")?;
        let mut says = first;
        for (name, value) in &choice.0 {
            match name.as_str() {
                "index" | "delta" | "finish_reason" | "native_finish_reason" => {}
                "message" | "usage" => return Err(format!("B2: `{name}` in a choice of a chunk")),
                _ => says |= self.unknown(Place::Choice(index), name, value)?,
            }
        }
        if let Some(finish) = finish {
            ensure(REASONS.contains(&finish.as_str()), "E1: not one of the four reasons")?;
            ensure(delta.0.is_empty() && beside == 1, "E1: the finish is not on a chunk of its own")?;
            ensure(!first, "C2: a choice begins with its finish, without a role")?;
            let state = self.answer.choices.entry(index).or_default();
            (state.finish, state.native) = (Some(finish), native);
            return Ok(true);
        }
        let role = delta.get("role");
        ensure(role.is_some() == first, "C2: role once, on the first chunk of a choice")?;
        ensure(!first || delta.string("role", "C2")? == "assistant", "C2: role")?;
        Ok(self.delta(index, delta)? | says)
    }

    /// True if the delta says something beside the role.
    fn delta(&mut self, index: u64, delta: &Members) -> Result<bool, String> {
        let places: Vec<usize> =
            delta.0.iter().filter_map(|(name, _)| ORDER.iter().position(|known| known == name)).collect();
        ensure(places.is_sorted(), "C5: the order within a delta")?;
        let mut says = false;
        for (name, value) in &delta.0 {
            if !ORDER.contains(&name.as_str()) {
                ensure(name != "function_call", "D5: a legacy function_call")?;
                says |= self.unknown(Place::Delta(index), name, value)?;
            }
        }
        let text = delta.optional_string("content", "C3")?.unwrap_or_default();
        let refusal = delta.optional_string("refusal", "C3")?.unwrap_or_default();
        let reasoning = reasoning(delta)?;
        let details = delta.optional_array("reasoning_details", "G4")?;
        let objects = details.iter().all(|detail| matches!(detail, Json::Object(_)));
        ensure(objects, "G4: a detail is no object")?;
        says |= !text.is_empty() || !refusal.is_empty() || !reasoning.is_empty() || !details.is_empty();
        let state = self.answer.choices.entry(index).or_default();
        state.text.push_str(&text);
        state.refusal.push_str(&refusal);
        state.reasoning.push_str(&reasoning);
        if delta.get("tool_calls").is_some() {
            let fragments = delta.optional_array("tool_calls", "D2")?;
            ensure(!fragments.is_empty(), "C3: empty tool_calls")?;
            for fragment in fragments {
                self.fragment(index, fragment.object("a fragment")?)?;
            }
            says = true;
        }
        Ok(says)
    }

    fn fragment(&mut self, choice: u64, fragment: &Members) -> Result<(), String> {
        let mut carries = false;
        for (name, value) in &fragment.0 {
            match name.as_str() {
                "index" | "id" | "type" | "function" => {}
                "extra_content" => carries |= !value.object("D6: `extra_content`")?.0.is_empty(),
                _ => carries |= self.unknown(Place::Tool(choice), name, value)?,
            }
        }
        let at = fragment.unsigned("index", "D1")?;
        let function = fragment.get("function").ok_or("D2: no function")?.object("D2: `function`")?;
        let arguments = function.string("arguments", "D4")?;
        let known = self.answer.choices.entry(choice).or_default().calls.len() as u64;
        ensure(at <= known, "D1: an index was left out")?;
        if at < known {
            let names: Vec<&str> = function.0.iter().map(|(name, _)| name.as_str()).collect();
            ensure(names == ["arguments"], "D2: a later fragment has more than arguments")?;
            let bare = fragment.get("id").is_none() && fragment.get("type").is_none();
            ensure(bare, "D2: a later fragment has an id or a type")?;
            ensure(carries || !arguments.is_empty(), "C3: a fragment that says nothing")?;
            let calls = &mut self.answer.choices.entry(choice).or_default().calls;
            calls[usize::try_from(at).unwrap()].arguments.push_str(&arguments);
            return Ok(());
        }
        let id = fragment.string("id", "D2")?;
        ensure(!id.is_empty(), "D3: an empty id")?;
        ensure(self.ids.insert(id.clone()), "D3: an id comes twice")?;
        ensure(fragment.string("type", "D2")? == "function", "D2: type")?;
        ensure(function.0.len() == 2, "D2: a function has more than name and arguments")?;
        let name = function.string("name", "D2")?;
        self.answer.choices.entry(choice).or_default().calls.push(Call { id, name, arguments });
        Ok(())
    }

    /// Keeps a field that the contract does not name; true if it says something.
    fn unknown(&mut self, place: Place, name: &str, value: &Json) -> Result<bool, String> {
        let padding =
            matches!(name, "obfuscation" | "p") && matches!(place, Place::Answer | Place::Choice(_));
        ensure(!padding, "B3: padding")?;
        if name == "x_groq" {
            let usage = value.object("B3: `x_groq`").is_ok_and(|x_groq| x_groq.get("usage").is_some());
            ensure(!usage, "E2: usage under `x_groq`")?;
        }
        self.answer.unknown.push(Unknown { place, name: name.to_owned(), value: value.to_value() });
        Ok(!value.says_nothing())
    }
}

/// A call that ended has arguments, and an answer with calls does not merely stop.
fn check_finish(finish: &str, calls: &[Call]) -> Result<(), String> {
    ensure(finish != "stop" || calls.is_empty(), "E1: `stop` with tool calls")?;
    let cut = matches!(finish, "length" | "content_filter");
    ensure(cut || calls.iter().all(|call| !call.arguments.is_empty()), "D4: a call without arguments")
}

pub(super) fn identity(chunk: &Members, kind: &str) -> Result<(String, String, u64), String> {
    ensure(chunk.string("object", "B1")? == kind, "B1: object")?;
    let (id, model) = (chunk.string("id", "B1")?, chunk.string("model", "B1")?);
    ensure(!id.is_empty() && !model.is_empty(), "B1: an empty id or model")?;
    Ok((id, model, chunk.unsigned("created", "B1")?))
}

/// The reasoning text, which stands in both fields or in none (G1).
fn reasoning(delta: &Members) -> Result<String, String> {
    let content = delta.optional_string("reasoning_content", "G1")?;
    let plain = delta.optional_string("reasoning", "G1")?;
    ensure(content == plain, "G1: the two fields of reasoning differ")?;
    Ok(content.unwrap_or_default())
}

pub(super) fn check_usage(usage: &Json) -> Result<Value, String> {
    let counts = usage.object("E3: `usage`")?;
    for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        counts.unsigned(name, "E3")?;
    }
    for name in ["prompt_tokens_details", "completion_tokens_details"] {
        if let Some(details) = counts.get(name) {
            details.object("E3: details")?;
        }
    }
    Ok(usage.to_value())
}

/// Parts are inside their wholes (E3). An upstream that reports nonsense cannot be mended, so this is for
/// answers of honest upstreams only.
pub fn check_parts(usage: &Value) -> Result<(), String> {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let (prompt, completion) = (count("/prompt_tokens"), count("/completion_tokens"));
    let cached = count("/prompt_tokens_details/cached_tokens");
    ensure(cached <= prompt, "E3: more cached tokens than prompt tokens")?;
    // Some count reasoning by another tokenizer; the total then says that it is inside all the same.
    let reasoning = count("/completion_tokens_details/reasoning_tokens");
    let inside = reasoning <= completion || count("/total_tokens") == prompt + completion;
    ensure(inside, "E3: more reasoning tokens than completion tokens")
}

/// Checks an error object and gives its code; an HTTP error that is no fault has none.
pub(super) fn check_error(error: &Json) -> Result<String, String> {
    let error = error.object("F2: `error`")?;
    for name in ["message", "type", "param", "code", "provider"] {
        ensure(error.get(name).is_some(), "F2: a key of the error object is missing")?;
    }
    let allowed = ["message", "type", "param", "code", "provider", "provider_code", "upstream_status"];
    ensure(error.0.iter().all(|(name, _)| allowed.contains(&name.as_str())), "F2: a key too many")?;
    ensure(!error.string("message", "F1")?.trim().is_empty(), "F1: an empty message")?;
    ensure(TYPES.contains(&error.string("type", "F4")?.as_str()), "F4: type")?;
    error.string_or_null("param", "F2")?;
    error.string("provider", "F2")?;
    error.optional_string("provider_code", "F4")?;
    let code = error.string("code", "F4")?;
    ensure(CODES.contains(&code.as_str()), "F4: code")?;
    Ok(code)
}

/// The items of `reasoning_details` of each choice, as they were written.
fn raw_details(text: &str) -> Vec<(u64, Vec<String>)> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow, default)]
        choices: Vec<RawChoice<'a>>,
    }
    #[derive(Deserialize)]
    struct RawChoice<'a> {
        index: u64,
        #[serde(borrow, alias = "message")]
        delta: Option<RawDelta<'a>>,
    }
    #[derive(Deserialize)]
    struct RawDelta<'a> {
        #[serde(borrow, default)]
        reasoning_details: Vec<&'a RawValue>,
    }
    if !text.contains("\"reasoning_details\"") {
        return Vec::new();
    }
    let chunk: Chunk<'_> = serde_json::from_str(text).unwrap();
    let details =
        |delta: RawDelta<'_>| delta.reasoning_details.iter().map(|raw| raw.get().to_owned()).collect();
    chunk.choices.into_iter().filter_map(|choice| Some((choice.index, details(choice.delta?)))).collect()
}

pub(super) fn ensure(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

/// JSON with the order of its members.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Json>),
    Object(Members),
}

/// The members of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Members(pub Vec<(String, Json)>);

impl Json {
    pub fn parse(text: &str) -> Result<Json, String> {
        serde_json::from_str(text).map_err(|error| format!("A2: no JSON object: {error}: {}", short(text)))
    }

    /// The members of an object, which may not have one key twice (F5). Values that pass byte for byte
    /// (B3) are not looked into: duplicates in there are the provider's own.
    pub fn object(&self, what: &str) -> Result<&Members, String> {
        let Json::Object(members) = self else { return Err(format!("{what} is no object")) };
        let names: BTreeSet<&str> = members.0.iter().map(|(name, _)| name.as_str()).collect();
        ensure(names.len() == members.0.len(), &format!("F5: {what} has a key twice"))?;
        Ok(members)
    }

    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => items.iter().map(Json::to_value).collect(),
            Json::Object(members) => {
                members.0.iter().map(|(name, value)| (name.clone(), value.to_value())).collect()
            }
        }
    }

    fn says_nothing(&self) -> bool {
        match self {
            Json::Null => true,
            Json::Bool(_) | Json::Number(_) => false,
            Json::String(text) => text.is_empty(),
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.0.is_empty(),
        }
    }
}

impl Members {
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn string(&self, name: &str, rule: &str) -> Result<String, String> {
        match self.get(name) {
            Some(Json::String(text)) => Ok(text.clone()),
            _ => Err(format!("{rule}: `{name}` is no string")),
        }
    }

    /// A string if the key is there.
    pub(super) fn optional_string(&self, name: &str, rule: &str) -> Result<Option<String>, String> {
        self.get(name).map(|_| self.string(name, rule)).transpose()
    }

    /// A string or null; the key must be there.
    pub(super) fn string_or_null(&self, name: &str, rule: &str) -> Result<Option<String>, String> {
        match self.get(name) {
            Some(Json::Null) => Ok(None),
            _ => self.string(name, rule).map(Some),
        }
    }

    pub(super) fn unsigned(&self, name: &str, rule: &str) -> Result<u64, String> {
        match self.get(name) {
            Some(Json::Number(number)) if number.as_u64().is_some() => Ok(number.as_u64().unwrap()),
            _ => Err(format!("{rule}: `{name}` is no integer")),
        }
    }

    pub(super) fn array(&self, name: &str, rule: &str) -> Result<&[Json], String> {
        match self.get(name) {
            Some(Json::Array(items)) => Ok(items),
            _ => Err(format!("{rule}: `{name}` is no array")),
        }
    }

    pub(super) fn optional_array(&self, name: &str, rule: &str) -> Result<&[Json], String> {
        if self.get(name).is_some() { self.array(name, rule) } else { Ok(&[]) }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
                Ok(Json::Bool(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
                let number = serde_json::Number::from_f64(number);
                number.map(Json::Number).ok_or_else(|| E::custom("a number beyond all bounds"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::String(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    members.push((name, value));
                }
                Ok(Json::Object(Members(members)))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
