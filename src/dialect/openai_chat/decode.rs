//! A frame of chat completions, or of text completions, becomes deltas.

use std::borrow::Cow;

use super::chunk::{Choice, Chunk, Function, List, Message, Node, ToolCall};
use super::content::{Content, detail, signature};
use super::memory::{Hole, Kind, Memory, place_in};
use crate::dialect::mend::{Mender, may_hold_surrogates};
use crate::dialect::{DecodeError, Decoder, envelope};
use crate::event::{Delta, Detail, Fault, FaultCode, Repair, Repairs, Said, Scope, ToolFragment, Usage};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// Members of a tool call's `extra_content` that are carried at most.
const EXTRA_LIMIT: usize = 64;

/// The decoder of one answer.
#[derive(Debug, Default)]
pub(super) struct OpenAiChatDecoder {
    mender: Mender,
    mended: Vec<u8>,
    /// The usage that was reported last, as it was written: some providers repeat it in every chunk.
    usage: String,
    memory: Memory,
    /// Choices have a `text`, and a delta only where a server answers as in a chat.
    texts: bool,
    /// A frame was read that is no end mark.
    heard: bool,
}

impl OpenAiChatDecoder {
    /// The decoder of an answer that goes on with a text.
    pub(super) fn of_texts() -> OpenAiChatDecoder {
        OpenAiChatDecoder { texts: true, ..OpenAiChatDecoder::default() }
    }
}

impl Decoder for OpenAiChatDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            repairs.count(Repair::EmptyEvent);
            return Ok(());
        }
        if is_end_mark(data) {
            if data.len() < frame.data.len() {
                repairs.count(Repair::EndMarkPadded);
            }
            out.push(Delta::End);
            return Ok(());
        }
        let OpenAiChatDecoder { mender, mended, usage, memory, texts, heard } = self;
        let (texts, first) = (*texts, !std::mem::replace(heard, true));
        let strict = !mender.is_waiting() && !may_hold_surrogates(data);
        let text = std::str::from_utf8(data).ok().filter(|_| strict); // Else it is mended below.
        let plain = frame.name.is_empty() && !frame.bare;
        if let Some(text) = text.filter(|_| plain)
            && memory.recall(text, out, repairs)
        {
            return Ok(());
        }
        let whole = text.unwrap_or_default();
        let mut interpreter =
            Interpreter { frame, first, texts, whole, holes: Vec::new(), usage, out, repairs };
        if let Some(text) = text
            && let Some(chunks) = parse(text)
        {
            if !plain || !memory.is_learning() {
                return interpreter.chunks(text, chunks);
            }
            let before = interpreter.repairs.clone();
            interpreter.chunks(text, chunks)?;
            let Interpreter { holes, out, repairs, .. } = interpreter;
            memory.learn(text, holes, out, repairs.since(&before));
            return Ok(());
        }
        *mended = mender.mend(data, interpreter.repairs);
        match std::str::from_utf8(mended).ok().and_then(|text| Some((text, parse(text)?))) {
            Some((text, chunks)) => interpreter.chunks(text, chunks),
            None if frame.name == b"error" => {
                let fault = envelope::read_text(data).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
                interpreter.out.push(Delta::Error(Box::new(fault)));
                Ok(())
            }
            None => Err(DecodeError::Malformed),
        }
    }
}

fn is_end_mark(data: &[u8]) -> bool {
    data == b"[DONE]" || data.eq_ignore_ascii_case(b"[done]") || data == b"\"[DONE]\""
}

/// What a frame holds.
enum Parsed<'a> {
    One(Box<Chunk<'a>>),
    Several(Vec<Chunk<'a>>),
    /// Valid JSON, but neither an object nor an array of objects.
    Scalar,
}

fn parse(text: &str) -> Option<Parsed<'_>> {
    match text.as_bytes().first()? {
        b'{' => serde_json::from_str(text).ok().map(Parsed::One), // Not JSON: the caller's to judge.
        b'[' => serde_json::from_str(text).ok().map(Parsed::Several), // Likewise.
        _ => serde_json::from_str::<serde::de::IgnoredAny>(text).ok().map(|_| Parsed::Scalar), // Likewise.
    }
}

struct Interpreter<'a, 'b> {
    frame: Frame<'a>,
    first: bool,
    texts: bool,
    /// The frame's text, if it is read as it came.
    whole: &'a str,
    /// The strings that may differ in the next frame.
    holes: Vec<Hole>,
    usage: &'b mut String,
    out: &'b mut Vec<Delta<'a>>,
    repairs: &'b mut Repairs,
}

impl<'a> Interpreter<'a, '_> {
    fn chunks(&mut self, text: &'a str, parsed: Parsed<'a>) -> Result<(), DecodeError> {
        match parsed {
            Parsed::One(chunk) => self.chunk(text, *chunk),
            Parsed::Several(chunks) => {
                self.repairs.count(Repair::FieldType);
                let texts = json::elements(text);
                chunks.into_iter().zip(texts).try_for_each(|(chunk, text)| self.chunk(text, chunk))
            }
            // A string may have been meant as text; null, a number or a flag says nothing.
            Parsed::Scalar if text.starts_with('"') => Err(DecodeError::Malformed),
            Parsed::Scalar => {
                self.repairs.count(Repair::UnknownFrame);
                Ok(())
            }
        }
    }

    fn chunk(&mut self, text: &'a str, mut chunk: Chunk<'a>) -> Result<(), DecodeError> {
        if chunk.duplicated {
            self.repairs.count(Repair::KeyDuplicated);
        }
        let error = self.error(text, &chunk);
        let object = chunk.object.and_then(json::word);
        let is_chunk = !matches!(chunk.choices, List::Missing)
            || [chunk.usage, chunk.id, chunk.created, chunk.model, chunk.x_groq].iter().any(Option::is_some)
            || object.as_ref().is_some_and(|object| object.starts_with(self.named().0));
        if !is_chunk {
            match error {
                Some(error) => self.out.push(Delta::Error(Box::new(error))),
                None => self.repairs.count(Repair::UnknownFrame),
            }
            return Ok(());
        }
        self.padding(chunk.padding);
        self.identity(&chunk);
        let is_completion = self.is_completion(object.as_deref(), &chunk);
        if is_completion {
            self.repairs.count(Repair::JsonInsteadOfStream);
        } else if object.as_deref() != Some(self.named().1) {
            self.repairs.count(Repair::ObjectUnusual);
        }
        for field in std::mem::take(&mut chunk.unknown) {
            match field.name.as_ref() {
                // Strict clients read both as words, and know the tiers.
                "service_tier" | "system_fingerprint" if !field.value.starts_with(['"', 'n']) => {
                    self.repairs.count(Repair::FieldType);
                }
                "service_tier" if field.value == "\"\"" => self.repairs.count(Repair::FieldType),
                _ => self.out.push(Delta::Unknown(Scope::Answer, field)),
            }
        }
        let mut in_choice = None;
        let has_choices = match std::mem::take(&mut chunk.choices) {
            List::Items(choices, alone) => {
                if alone {
                    self.repairs.count(Repair::FieldType);
                }
                let any = !choices.is_empty();
                in_choice = choices.iter().find_map(|choice| choice.usage);
                choices.into_iter().for_each(|choice| self.choice(choice));
                any
            }
            List::Missing => {
                self.repairs.count(Repair::ChoicesMissing);
                false
            }
            List::Other => return Err(DecodeError::Malformed),
        };
        self.usage(&chunk, has_choices, in_choice);
        if let Some(error) = error {
            self.out.push(Delta::Error(Box::new(error)));
        } else if is_completion {
            self.out.push(Delta::End);
        }
        Ok(())
    }

    /// The names of a whole answer and of a piece of one.
    fn named(&self) -> (&'static str, &'static str) {
        match self.texts {
            true => ("text_completion", "text_completion"),
            false => ("chat.completion", "chat.completion.chunk"),
        }
    }

    /// True for a whole answer where a stream was asked for. Pieces of a text have no other name; but only
    /// something whole begins with its tokens counted.
    fn is_completion(&self, object: Option<&str>, chunk: &Chunk<'a>) -> bool {
        let counted = || chunk.usage.is_some_and(|usage| !json::says_nothing(usage));
        self.frame.bare && object == Some(self.named().0) && (!self.texts || self.first && counted())
    }

    /// The failure that the frame reports, if it does.
    fn error(&mut self, text: &'a str, chunk: &Chunk<'a>) -> Option<Fault> {
        if self.frame.name == b"error" {
            return Some(envelope::read(text).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError)));
        }
        let told = chunk.error.is_some_and(envelope::tells)
            || chunk.unknown.iter().any(|field| field.name == "base_resp")
            || matches!(chunk.choices, List::Missing)
                && chunk.usage.is_none()
                && chunk
                    .unknown
                    .iter()
                    .any(|field| matches!(field.name.as_ref(), "message" | "msg" | "detail" | "errors"));
        if told && let Some(fault) = envelope::read(text) {
            return Some(fault);
        }
        let List::Items(choices, _) = &chunk.choices else { return None };
        let error = choices.iter().find_map(|choice| choice.error.filter(|error| envelope::tells(error)))?;
        self.repairs.count(Repair::ErrorInChoice);
        // The reader of envelopes wants the object around the error.
        let outer = format!("{{\"error\":{error}}}");
        envelope::read(&outer)
    }

    /// Counts a field that is there and whose text does not begin as its type does.
    fn check_type(&mut self, raw: &str, begins: impl Fn(u8) -> bool) {
        if raw != "null" && !raw.bytes().next().is_some_and(begins) {
            self.repairs.count(Repair::FieldType);
        }
    }

    fn padding(&mut self, padding: Option<&'a str>) {
        if let Some(raw) = padding {
            self.repairs.count(Repair::PaddingDropped);
            self.hole(Kind::Padding, raw);
        }
    }

    /// Notes a string that may differ in the next frame; an empty one is a part of the form.
    fn hole(&mut self, kind: Kind, raw: &'a str) {
        let content = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        let content = content.filter(|content| kind == Kind::Padding || !content.is_empty());
        if let Some(place) = content.and_then(|content| place_in(self.whole, content)) {
            self.holes.push(Hole { kind, place });
        }
    }

    fn identity(&mut self, chunk: &Chunk<'a>) {
        chunk.id.into_iter().for_each(|raw| self.check_type(raw, |first| first == b'"'));
        if let Some(id) = chunk.id.and_then(json::word) {
            self.out.push(Delta::Id(id));
        }
        if let Some(model) = chunk.model.and_then(json::word) {
            self.out.push(Delta::Model(model));
        }
        if let Some(created) = chunk.created.and_then(json::count).filter(|&created| created > 0) {
            self.out.push(Delta::Created(created));
        }
    }

    fn usage(&mut self, chunk: &Chunk<'a>, has_choices: bool, in_choice: Option<&'a str>) {
        let mut report = chunk.usage.or(in_choice).filter(|usage| !json::says_nothing(usage));
        let mut misplaced = report.is_some() && has_choices;
        if let Some(x_groq) = chunk.x_groq.filter(|x_groq| !json::says_nothing(x_groq)) {
            let members = Members::of(x_groq);
            if let Some(usage) = members.find("usage").filter(|usage| !json::says_nothing(usage)) {
                misplaced = true;
                report = report.or(Some(usage));
            }
            self.groq(members);
        }
        let Some(report) = report else { return };
        if misplaced {
            self.repairs.count(Repair::UsageMisplaced);
        }
        if self.usage == report && has_choices {
            self.repairs.count(Repair::UsageRepeated);
            return;
        }
        report.clone_into(self.usage);
        if let Some(usage) = Usage::read(report) {
            self.out.push(Delta::Usage(Box::new(usage), has_choices));
        }
    }

    /// Carries what stands in Groq's wrapper beside the usage.
    fn groq(&mut self, members: Members<'a>) {
        let mut value = Vec::from(b"{");
        for (name, raw) in members.0.iter().filter(|(name, _)| name != "usage") {
            if value.len() > 1 {
                value.push(b',');
            }
            json::write_string(name, &mut value);
            value.push(b':');
            value.extend_from_slice(raw.as_bytes());
        }
        value.push(b'}');
        if value.len() > 2
            && let Ok(value) = String::from_utf8(value)
        {
            let field = Field { name: Cow::Borrowed("x_groq"), value: Cow::Owned(value) };
            self.out.push(Delta::Unknown(Scope::Answer, field));
        }
    }

    fn choice(&mut self, choice: Choice<'a>) {
        let index = choice.index.and_then(json::count).and_then(|index| u32::try_from(index).ok());
        match choice.index {
            Some(raw) if index.is_some() => self.check_type(raw, |first| first.is_ascii_digit()),
            Some(_) | None => self.repairs.count(Repair::ChoiceIndexMissing),
        }
        let index = index.unwrap_or(0);
        if choice.duplicated {
            self.repairs.count(Repair::KeyDuplicated);
        }
        self.padding(choice.padding);
        let Choice { mut delta, message, mut text, mut unknown, .. } = choice;
        if self.texts {
            delta.take_text(text.take(), &mut unknown);
        }
        for field in unknown {
            match field.name.as_ref() {
                // Strict clients read into it.
                "logprobs" if !field.value.starts_with(['{', 'n']) => self.repairs.count(Repair::FieldType),
                "logprobs" if self.texts && field.says_nothing() => {}
                // They tell of tokens, with or without a text: a part of the answer.
                "logprobs" if self.texts => self.out.push(Delta::Unknown(Scope::Delta(index), field)),
                _ => self.out.push(Delta::Unknown(Scope::Choice(index), field)),
            }
        }
        let message = message.map_or(Node::Missing, |message| *message);
        let text = text.filter(|text| {
            let stands_alone =
                matches!((&delta, &message), (Node::Missing | Node::Other, Node::Missing | Node::Other));
            if !stands_alone {
                // Beside a delta it repeats it.
                let field = Field { name: Cow::Borrowed("text"), value: Cow::Borrowed(*text) };
                self.out.push(Delta::Unknown(Scope::Choice(index), field));
            }
            stands_alone
        });
        let before = self.out.len();
        let has_delta = match delta {
            Node::Object(delta) => {
                self.message(index, delta, false);
                true
            }
            Node::Text(text) => {
                self.mentioned(index, false);
                self.repairs.count(Repair::FieldType);
                self.out.push(Delta::Text { choice: index, text: Said::Next(text) });
                true
            }
            Node::Missing | Node::Other => {
                self.repairs.count(Repair::DeltaMissing);
                self.mentioned(index, false);
                false
            }
        };
        let said = self.out.iter().skip(before).any(says_something);
        if let Node::Object(message) = message
            && !said
            && (!has_delta || message.says_something())
        {
            self.repairs.count(Repair::MessageRestated);
            self.message(index, message, true);
        }
        if let Some(text) = text.and_then(json::word) {
            self.out.push(Delta::Text { choice: index, text: Said::Next(text) });
        }
        if let Some(reason) = choice.finish_reason.and_then(finish_word) {
            let native = choice.native_finish_reason.and_then(finish_word);
            self.out.push(Delta::Finish { choice: index, reason, native });
        }
    }

    fn mentioned(&mut self, choice: u32, role: bool) {
        self.out.push(Delta::Choice { choice, role });
    }

    fn message(&mut self, choice: u32, mut message: Message<'a>, whole: bool) {
        if message.duplicated {
            self.repairs.count(Repair::KeyDuplicated);
        }
        self.mentioned(choice, !self.texts && message.role.and_then(json::word).is_some());
        let content = message.content.map(|raw| self.content(raw)).unwrap_or_default();
        let signatures: Vec<Detail<'a>> = message.unknown.iter().filter_map(signature).collect();
        for field in std::mem::take(&mut message.unknown) {
            match field.name.as_ref() {
                // Strict clients read a list.
                "annotations" if !field.value.starts_with(['[', 'n']) => {
                    self.repairs.count(Repair::FieldType);
                }
                _ => self.out.push(Delta::Unknown(Scope::Delta(choice), field)),
            }
        }
        if let Some(parts) = content.unknown_parts {
            let field = Field { name: Cow::Borrowed("content_parts"), value: Cow::Owned(parts) };
            self.out.push(Delta::Unknown(Scope::Delta(choice), field));
        }
        self.reasoning(choice, &message, content.reasoning, whole);
        let in_parts = content.signatures.into_iter().map(|raw| Detail {
            raw: Cow::Owned(format!(
                "{{\"type\":\"reasoning.text\",\"signature\":{raw},\"format\":\"unknown\"}}"
            )),
            text: None,
            signs: None,
        });
        for detail in signatures.into_iter().chain(in_parts) {
            self.out.push(Delta::Detail { choice, detail: Box::new(detail) });
        }
        if let Some(text) = content.text {
            self.out.push(Delta::Text { choice, text: said(text, whole) });
        }
        message.refusal.into_iter().for_each(|raw| self.check_type(raw, |first| first == b'"'));
        if let Some(refusal) = message.refusal.and_then(json::string).filter(|text| !text.is_empty()) {
            self.out.push(Delta::Refusal { choice, text: said(refusal, whole) });
        }
        match message.tool_calls {
            List::Items(calls, alone) => {
                if alone {
                    self.repairs.count(Repair::FieldType);
                }
                for (place, call) in (0..).zip(calls) {
                    self.tool_call(choice, call, whole.then_some(place));
                }
            }
            List::Missing => {}
            List::Other => self.repairs.count(Repair::FieldType),
        }
        if let Node::Object(function) = message.function_call {
            self.function_call(choice, function, whole);
        }
    }

    fn reasoning(
        &mut self,
        choice: u32,
        message: &Message<'a>,
        in_content: Option<Cow<'a, str>>,
        whole: bool,
    ) {
        let mut texts: Vec<Cow<'a, str>> = Vec::new();
        for (at, raw) in message.reasoning.iter().enumerate() {
            let Some(text) = raw.and_then(|raw| self.content(raw).text) else { continue };
            if at > 0 {
                self.repairs.count(Repair::ReasoningRenamed);
            }
            if texts.contains(&text) {
                self.repairs.count(Repair::ReasoningDuplicated);
            } else {
                texts.push(text);
            }
        }
        texts.extend(in_content);
        let plain = !texts.is_empty();
        for text in texts {
            self.out.push(Delta::Reasoning { choice, text: said(text, whole) });
        }
        for raw in message.reasoning_details.map(json::elements).unwrap_or_default() {
            if !raw.starts_with('{') {
                self.repairs.count(Repair::FieldType);
                continue;
            }
            let (detail, text) = detail(raw);
            if let Some(text) = text {
                self.hole(Kind::Said, text);
            }
            let twice = plain && detail.text.is_some();
            if twice {
                self.repairs.count(Repair::ReasoningDuplicated);
            }
            let text = detail.text.filter(|_| !plain);
            self.out.push(Delta::Detail { choice, detail: Box::new(Detail { text, ..detail }) });
        }
    }

    /// Reads content: a string, parts, or what stands in their place.
    fn content(&mut self, raw: &'a str) -> Content<'a> {
        match raw.as_bytes().first() {
            Some(b'"') => {
                self.hole(Kind::Said, raw);
                Content { text: json::word(raw), ..Content::default() }
            }
            Some(b'[' | b'{') => {
                let parts = json::elements(raw);
                if !parts.is_empty() {
                    self.repairs.count(Repair::ContentParts);
                }
                Content::of_parts(&parts)
            }
            Some(b'n') | None => Content::default(),
            Some(b't' | b'f') => {
                self.repairs.count(Repair::FieldType);
                Content::default()
            }
            Some(_) => {
                self.repairs.count(Repair::FieldType);
                Content { text: json::word(raw), ..Content::default() }
            }
        }
    }

    fn tool_call(&mut self, choice: u32, call: ToolCall<'a>, again: Option<i64>) {
        let function = match call.function {
            Node::Object(function) => function,
            Node::Missing | Node::Text(_) | Node::Other => Function::default(),
        };
        let extra_content = call.extra_content.map(Members::of).unwrap_or_default();
        let signature = extra_content
            .find("google")
            .and_then(|google| Members::of(google).find("thought_signature").and_then(json::word));
        call.index
            .into_iter()
            .for_each(|raw| self.check_type(raw, |first| first == b'-' || first.is_ascii_digit()));
        call.id.into_iter().for_each(|raw| self.check_type(raw, |first| first == b'"'));
        let fragment = ToolFragment {
            index: call.index.and_then(json::integer).or(again),
            id: call.id.and_then(json::word),
            name: function.name.and_then(json::word),
            arguments: function.arguments.and_then(|raw| self.arguments(raw)),
            whole: again.is_some(),
            signature,
            extra_content: extra_content
                .0
                .into_iter()
                .take(EXTRA_LIMIT)
                .map(|(name, value)| Field { name, value: Cow::Borrowed(value) })
                .collect(),
            unknown: call.unknown,
        };
        self.out.push(Delta::Tool { choice, fragment: Box::new(fragment) });
    }

    /// The API's older form of a tool call: one, without an id.
    fn function_call(&mut self, choice: u32, function: Function<'a>, whole: bool) {
        let fragment = ToolFragment {
            index: Some(0),
            name: function.name.and_then(json::word),
            arguments: function.arguments.and_then(|raw| self.arguments(raw)),
            whole,
            ..ToolFragment::default()
        };
        if fragment.name.is_some() || fragment.arguments.is_some() {
            self.repairs.count(Repair::FunctionCallLegacy);
            self.out.push(Delta::Tool { choice, fragment: Box::new(fragment) });
        }
    }

    fn arguments(&mut self, raw: &'a str) -> Option<Cow<'a, str>> {
        match raw.as_bytes().first()? {
            b'"' => {
                self.hole(Kind::Said, raw);
                json::word(raw)
            }
            b'n' => None,
            _ => {
                self.repairs.count(Repair::ArgumentsRetyped);
                Some(Cow::Borrowed(raw))
            }
        }
    }
}

fn said(text: Cow<'_, str>, whole: bool) -> Said<'_> {
    if whole { Said::Whole(text) } else { Said::Next(text) }
}

fn says_something(delta: &Delta<'_>) -> bool {
    match delta {
        Delta::Reasoning { .. }
        | Delta::Detail { .. }
        | Delta::Text { .. }
        | Delta::Refusal { .. }
        | Delta::Tool { .. } => true,
        Delta::Id(_)
        | Delta::Model(_)
        | Delta::Created(_)
        | Delta::Unknown(..)
        | Delta::Choice { .. }
        | Delta::Finish { .. }
        | Delta::Counted(_)
        | Delta::Usage(..)
        | Delta::Error(_)
        | Delta::End => false,
    }
}

/// A finish reason that is there: not null, not empty, not a word for nothing.
fn finish_word(raw: &str) -> Option<Cow<'_, str>> {
    json::word(raw).filter(|word| !matches!(word.as_ref(), "null" | "none" | "None" | "false"))
}

impl Message<'_> {
    fn says_something(&self) -> bool {
        let texts = [self.content, self.refusal, self.reasoning_details];
        texts.iter().chain(&self.reasoning).flatten().any(|raw| !json::says_nothing(raw))
            || matches!(&self.tool_calls, List::Items(calls, _) if !calls.is_empty())
            || matches!(self.function_call, Node::Object(_))
    }
}
