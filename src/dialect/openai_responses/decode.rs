//! An event of the Responses API becomes deltas.

use std::borrow::Cow;

use super::items::{Body, Items, Kind, Part, Voice};
use super::shape::{annotation, audio, detail, field, logprobs, other};
use crate::dialect::beside;
use crate::dialect::payload::Reader;
use crate::dialect::{DecodeError, Decoder, envelope};
use crate::event::{
    Delta, Fault, FaultCode, Heard, ITEM_ID, Repair, Repairs, Said, Scope, ToolFragment, Usage,
};
use crate::framing::Frame;
use crate::json::{self, Field, Members};

/// Events that tell how an item of the provider's own goes on; the item says all of it when it is done.
const PROGRESS: &[&str] = &[
    "response.web_search_call.",
    "response.file_search_call.",
    "response.code_interpreter_call.",
    "response.code_interpreter_call_code.",
    "response.image_generation_call.",
    "response.mcp_call.",
    "response.mcp_call_arguments.",
    "response.mcp_list_tools.",
    "response.custom_tool_call_input.",
    "response.shell_call_command.",
    "response.shell_call_output_content.",
    "response.apply_patch_call_operation_diff.",
    "response.audio.done",
    "response.audio.transcript.done",
    "response.output_audio.",
];
/// Members of a response that repeat the request, or that other deltas say.
const ECHO: &[&str] = &[
    "id",
    "object",
    "type",
    "created_at",
    "completed_at",
    "model",
    "status",
    "output",
    "output_text",
    "usage",
    "error",
    "incomplete_details",
    "background",
    "frequency_penalty",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// What a response is when it ends; gateways may leave another word in it.
const ENDS: &[&str] = &["completed", "incomplete", "failed", "cancelled"];

/// The decoder of one answer.
#[derive(Debug)]
pub(super) struct ResponsesDecoder {
    reader: Reader,
    state: State,
}

impl ResponsesDecoder {
    /// A decoder whose reasoning has that form.
    pub(super) fn new(format: &'static str) -> ResponsesDecoder {
        ResponsesDecoder { reader: Reader::default(), state: State { format, ..State::default() } }
    }
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct State {
    format: &'static str,
    items: Items,
    calls: i64,
    details: u32,
    /// How many characters of text were said.
    said: usize,
    /// The answer was begun.
    is_open: bool,
}

impl Decoder for ResponsesDecoder {
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let ResponsesDecoder { reader, state } = self;
        reader.objects(frame, out, repairs, |text, event, out, repairs| {
            state.event(frame, text, event, out, repairs)
        })
    }
}

impl State {
    fn event<'a>(
        &mut self,
        frame: Frame<'a>,
        text: &'a str,
        event: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError> {
        let named = || std::str::from_utf8(frame.name).map(Cow::Borrowed).unwrap_or_default();
        let kind = event.find("type").and_then(json::word).unwrap_or_else(named);
        let own = out.len();
        match kind.as_ref() {
            "response.output_text.delta" => self.next(event, Voice::Text, out)?,
            "response.reasoning_summary_text.delta" => self.next(event, Voice::Summary, out)?,
            "response.reasoning_text.delta" => self.next(event, Voice::Thought, out)?,
            "response.refusal.delta" => self.next(event, Voice::Refusal, out)?,
            "response.function_call_arguments.delta" => self.arguments(event, "delta", out)?,
            "response.output_text.done" => self.whole(event, Voice::Text, event, out),
            "response.reasoning_summary_text.done" => self.whole(event, Voice::Summary, event, out),
            "response.reasoning_text.done" => self.whole(event, Voice::Thought, event, out),
            "response.refusal.done" => self.whole(event, Voice::Refusal, event, out),
            "response.function_call_arguments.done" => self.arguments(event, "arguments", out)?,
            "response.content_part.added"
            | "response.content_part.done"
            | "response.reasoning_part.added"
            | "response.reasoning_part.done"
            | "response.reasoning_summary_part.added"
            | "response.reasoning_summary_part.done" => {
                let part = event.find("part").map(Members::of).unwrap_or_default();
                if let Some(voice) = voice(&part) {
                    self.whole(event, voice, &part, out);
                }
            }
            "response.output_text.annotation.added" => self.annotation(event, out),
            "response.output_item.added" => self.item(item_of(event)?, place(event), false, out),
            "response.output_item.done" => self.item(item_of(event)?, place(event), true, out),
            "response.created" | "response.in_progress" | "response.queued" => {
                self.head(&event.find("response").map(Members::of).unwrap_or_default(), out);
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                let status = kind.strip_prefix("response.").unwrap_or_default();
                self.terminal(status, event.find("response").unwrap_or("{}"), out);
            }
            "response.audio.delta" => audio(&text_of(event, "delta")?, "data", out),
            "response.audio.transcript.delta" => audio(&text_of(event, "delta")?, "transcript", out),
            "keepalive" | "ping" => return Ok(()),
            _ if event.find("object") == Some("\"response\"") => {
                repairs.count(Repair::JsonInsteadOfStream);
                self.terminal("completed", text, out);
                return Ok(());
            }
            _ if kind == "error"
                || frame.name == b"error"
                || event.find("error").is_some_and(envelope::tells) =>
            {
                let fault = envelope::read(text).unwrap_or_else(|| Fault::new(FaultCode::UpstreamError));
                out.push(Delta::Error(Box::new(fault)));
                return Ok(());
            }
            known if PROGRESS.iter().any(|prefix| known.starts_with(prefix)) => return Ok(()),
            _ => {
                repairs.count(Repair::UnknownFrame);
                return Ok(());
            }
        }
        carry_unknown(event, own, out, repairs);
        Ok(())
    }

    /// Begins the answer, if it was not begun.
    fn open(&mut self, out: &mut Vec<Delta<'_>>) {
        if !std::mem::replace(&mut self.is_open, true) {
            out.push(Delta::Choice { choice: 0, role: true });
        }
    }

    fn head<'a>(&mut self, response: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let word = |name: &str| response.find(name).and_then(json::word);
        out.extend(word("id").map(Delta::Id));
        out.extend(word("model").map(Delta::Model));
        let created = response.find("created_at").and_then(json::count).filter(|&created| created > 0);
        out.extend(created.map(Delta::Created));
        self.open(out);
    }

    /// The next piece of a part.
    fn next<'a>(
        &mut self,
        event: &Members<'a>,
        voice: Voice,
        out: &mut Vec<Delta<'a>>,
    ) -> Result<(), DecodeError> {
        let text = text_of(event, "delta")?;
        self.open(out);
        let at = self.find(event, voice);
        if voice == Voice::Text {
            logprobs(event, out);
        }
        self.say(at, voice, number(event, voice), Said::Next(text), out);
        Ok(())
    }

    /// All of a part; `part` holds its text.
    fn whole<'a>(&mut self, event: &Members<'a>, voice: Voice, part: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        self.open(out);
        let at = self.find(event, voice);
        self.restate(at, voice, number(event, voice), part, out);
    }

    /// Where the item of an event is; one that nobody opened is opened.
    fn find(&mut self, event: &Members<'_>, voice: Voice) -> usize {
        let id = event.find("item_id").and_then(json::word).unwrap_or_default();
        let place = place(event);
        if let Some(at) = self.items.find(voice.kind(), &id, place) {
            return at;
        }
        let body = match voice {
            Voice::Text | Voice::Refusal => Body::Message(Vec::new()),
            Voice::Summary | Voice::Thought => Body::Reasoning(Vec::new()),
        };
        self.items.add(id.into_owned(), place, body)
    }

    /// A part as a whole: what was not heard of its text and its annotations.
    fn restate<'a>(
        &mut self,
        at: usize,
        voice: Voice,
        index: i64,
        part: &Members<'a>,
        out: &mut Vec<Delta<'a>>,
    ) {
        let name = if voice == Voice::Refusal { "refusal" } else { "text" };
        if let Some(text) = part.find(name).and_then(json::word) {
            let is_new = self.part(at, voice, index).is_some_and(|part| part.heard.is_empty());
            if is_new && voice == Voice::Text {
                logprobs(part, out);
            }
            self.say(at, voice, index, Said::Whole(text), out);
        }
        let cited = part.find("annotations").map(json::elements).unwrap_or_default();
        for (number, raw) in cited.into_iter().enumerate() {
            self.cite(at, index, number, raw, out);
        }
    }

    fn part(&mut self, at: usize, voice: Voice, index: i64) -> Option<&mut Part> {
        let State { items, said, details, .. } = self;
        items.at(at)?.part(voice, index, || {
            if voice.kind() == Kind::Reasoning {
                *details += 1;
            }
            Part::new(*said, details.saturating_sub(1))
        })
    }

    fn say<'a>(&mut self, at: usize, voice: Voice, index: i64, text: Said<'a>, out: &mut Vec<Delta<'a>>) {
        let Some(part) = self.part(at, voice, index) else { return };
        let Some(text) = new_text(&mut part.heard, text) else { return };
        let item = part.detail;
        match voice {
            Voice::Text => {
                self.said += text.chars().count();
                out.push(Delta::Text { choice: 0, text: Said::Next(text) });
            }
            Voice::Refusal => out.push(Delta::Refusal { choice: 0, text: Said::Next(text) }),
            Voice::Summary => self.think(at, item, ("summary", "summary"), text, out),
            Voice::Thought => self.think(at, item, ("text", "text"), text, out),
        }
    }

    /// Reasoning leaves as text and as an item; both say the same.
    fn think<'a>(
        &mut self,
        at: usize,
        index: u32,
        (kind, name): (&str, &str),
        text: Cow<'a, str>,
        out: &mut Vec<Delta<'a>>,
    ) {
        let id = self.items.at(at).map(|item| item.id.as_str()).unwrap_or_default();
        let raw = detail(kind, (name, &text), (self.format, id), index);
        out.push(Delta::Reasoning { choice: 0, text: Said::Next(text) });
        out.push(raw);
    }

    fn arguments<'a>(
        &mut self,
        event: &Members<'a>,
        name: &str,
        out: &mut Vec<Delta<'a>>,
    ) -> Result<(), DecodeError> {
        let is_next = name == "delta";
        let text = match text_of(event, name) {
            Err(_) if !is_next && event.find(name).is_none() => return Ok(()),
            text => text?,
        };
        self.open(out);
        let id = event.find("item_id").and_then(json::word).unwrap_or_default();
        let place = place(event);
        let at = match self.items.find(Kind::Call, &id, place) {
            Some(at) => at,
            None => self.call(id.into_owned(), place, None, out),
        };
        self.argue(at, if is_next { Said::Next(text) } else { Said::Whole(text) }, out);
        Ok(())
    }

    fn argue<'a>(&mut self, at: usize, text: Said<'a>, out: &mut Vec<Delta<'a>>) {
        let Some(Body::Call(call, heard)) = self.items.at(at).map(|item| &mut item.body) else { return };
        let Some(text) = new_text(heard, text) else { return };
        let fragment = ToolFragment { index: Some(*call), arguments: Some(text), ..ToolFragment::default() };
        out.push(Delta::Tool { choice: 0, fragment: Box::new(fragment) });
    }

    /// Opens a call; gives where it is.
    fn call<'a>(
        &mut self,
        id: String,
        place: Option<i64>,
        item: Option<&Members<'a>>,
        out: &mut Vec<Delta<'a>>,
    ) -> usize {
        let call = self.calls;
        self.calls += 1;
        if let Some(item) = item {
            let known = [
                "type",
                "id",
                "call_id",
                "name",
                "arguments",
                "status",
                "item_id",
                "output_index",
                "sequence_number",
            ];
            let taken = ["index", "function", "extra_content"];
            let unknown = item.0.iter().filter(|(name, value)| {
                let name = name.as_ref();
                !known.contains(&name) && !taken.contains(&name) && *value != "null"
            });
            let word = |name: &str| item.find(name).and_then(json::word);
            let own = item_id(item).filter(|_| word("call_id").is_some());
            let unknown = unknown.map(|(name, value)| field(name.clone(), value));
            let fragment = ToolFragment {
                index: Some(call),
                id: word("call_id").or_else(|| word("id")),
                name: word("name"),
                unknown: own.into_iter().chain(unknown).collect(),
                ..ToolFragment::default()
            };
            out.push(Delta::Tool { choice: 0, fragment: Box::new(fragment) });
        }
        self.items.add(id, place, Body::Call(call, Heard::default()))
    }

    /// An item that begins, or that is done and says all of itself again.
    fn item<'a>(&mut self, raw: &'a str, place: Option<i64>, done: bool, out: &mut Vec<Delta<'a>>) {
        self.open(out);
        let item = Members::of(raw);
        let word = |name: &str| item.find(name).and_then(json::word);
        let kind = Kind::of(word("type").as_deref().unwrap_or_default());
        let id = word("id").unwrap_or_default();
        // What begins is new, even at a place that another item had, unless it has the id of one.
        let known = if done { self.items.find(kind, &id, place) } else { self.items.named(kind, &id) };
        let at = match (known, kind) {
            (Some(at), _) => at,
            (None, Kind::Call) => self.call(id.into_owned(), place, Some(&item), out),
            (None, Kind::Message) => {
                // Beside the delta: it waits for what is said.
                out.extend(item_id(&item).map(|field| Delta::Unknown(Scope::Choice(0), field)));
                let known =
                    ["type", "id", "role", "content", "status", "annotations", "content_parts", "images"];
                for (name, value) in item.0.iter().filter(|(name, _)| !known.contains(&name.as_ref())) {
                    let says = !json::says_nothing(value);
                    out.extend(says.then(|| Delta::Unknown(Scope::Delta(0), field(name.clone(), value))));
                }
                self.items.add(id.into_owned(), place, Body::Message(Vec::new()))
            }
            (None, Kind::Reasoning) => self.items.add(id.into_owned(), place, Body::Reasoning(Vec::new())),
            (None, Kind::Other) => {
                let kept = if done { String::new() } else { raw.to_owned() };
                self.items.add(id.into_owned(), place, Body::Other(kept))
            }
        };
        let was_done = self.items.at(at).is_some_and(|item| {
            let was_done = item.is_done;
            item.is_done |= done;
            was_done
        });
        self.contents(at, kind, raw, &item, done && !was_done, out);
    }

    /// What an item says; `closes` if it is the first time that it says all.
    fn contents<'a>(
        &mut self,
        at: usize,
        kind: Kind,
        raw: &'a str,
        item: &Members<'a>,
        closes: bool,
        out: &mut Vec<Delta<'a>>,
    ) {
        let parts = |name: &str| item.find(name).map(json::elements).unwrap_or_default();
        match kind {
            Kind::Message | Kind::Reasoning => {
                for name in ["summary", "content"] {
                    for (index, raw) in (0..).zip(parts(name)) {
                        let part = Members::of(raw);
                        match voice(&part).filter(|voice| voice.kind() == kind) {
                            Some(voice) => self.restate(at, voice, index, &part, out),
                            None if closes => beside::item(0, "content_parts", raw, out),
                            None => {}
                        }
                    }
                }
                let encrypted = item.find("encrypted_content").filter(|_| kind == Kind::Reasoning && closes);
                if let Some(data) = encrypted.and_then(json::word) {
                    let id = item.find("id").and_then(json::word).unwrap_or_default();
                    self.details += 1;
                    out.push(detail("encrypted", ("data", &data), (self.format, &id), self.details - 1));
                }
            }
            Kind::Call => {
                let arguments = item.find("arguments").filter(|raw| *raw != "null");
                let text = arguments.map(|raw| json::string(raw).unwrap_or(Cow::Borrowed(raw)));
                self.argue(at, Said::Whole(text.unwrap_or_default()), out);
                let is_cut = item.find("status") == Some("\"incomplete\"");
                if closes && !is_cut {
                    // A call without arguments; where there were any, this adds nothing.
                    let body = self.items.at(at).map(|item| &item.body);
                    if matches!(body, Some(Body::Call(_, heard)) if heard.is_empty()) {
                        self.argue(at, Said::Next(Cow::Borrowed("{}")), out);
                    }
                }
            }
            Kind::Other if closes => {
                if let Some(Body::Other(kept)) = self.items.at(at).map(|item| &mut item.body) {
                    kept.clear();
                }
                other(raw, item, out);
            }
            Kind::Other => {}
        }
    }

    fn annotation<'a>(&mut self, event: &Members<'a>, out: &mut Vec<Delta<'a>>) {
        let Some(raw) = event.find("annotation").filter(|raw| raw.starts_with('{')) else { return };
        self.open(out);
        let at = self.find(event, Voice::Text);
        let index = number(event, Voice::Text);
        let known = self.part(at, Voice::Text, index).map_or(0, |part| part.annotations);
        let number = event.find("annotation_index").and_then(json::count).map_or(known, |at| at as usize);
        self.cite(at, index, number, raw, out);
    }

    /// Carries an annotation, unless it was carried.
    fn cite(&mut self, at: usize, index: i64, number: usize, raw: &str, out: &mut Vec<Delta<'_>>) {
        let Some(part) = self.part(at, Voice::Text, index) else { return };
        if number < part.annotations {
            return;
        }
        part.annotations = number.saturating_add(1);
        beside::item(0, "annotations", &annotation(raw, part.start), out);
    }

    /// The end of the answer; where no stream was sent, with all of its items.
    fn terminal<'a>(&mut self, status: &str, raw: &'a str, out: &mut Vec<Delta<'a>>) {
        let response = Members::of(raw);
        let word = |name: &str| response.find(name).and_then(json::word);
        let usage = response.find("usage").and_then(Usage::read);
        let usage = usage.map(|usage| Delta::Usage(Box::new(usage), true));
        let told = word("status").filter(|status| ENDS.contains(&status.as_ref()));
        let status = told.unwrap_or_else(|| Cow::Owned(status.replace("done", "completed")));
        if matches!(status.as_ref(), "failed" | "cancelled") {
            let told = response.find("error").is_some_and(envelope::tells);
            let fault = envelope::read(raw).filter(|_| told).unwrap_or_else(|| Fault {
                provider_code: Some(status.into_owned()),
                ..Fault::new(FaultCode::UpstreamError)
            });
            out.extend(usage);
            out.push(Delta::Error(Box::new(fault)));
            return;
        }
        self.head(&response, out);
        for (name, value) in &response.0 {
            if !ECHO.contains(&name.as_ref()) && !json::says_nothing(value) {
                out.push(Delta::Unknown(Scope::Answer, field(name.clone(), value)));
            }
        }
        let details = response.find("incomplete_details").filter(|raw| !json::says_nothing(raw));
        out.extend(
            details
                .map(|raw| Delta::Unknown(Scope::Choice(0), field(Cow::Borrowed("incomplete_details"), raw))),
        );
        let output = response.find("output").map(json::elements).unwrap_or_default();
        if output.len() > self.items.count {
            for (place, raw) in (0..).zip(output) {
                self.item(raw, Some(place), true, out);
            }
        }
        for raw in self.items.take_unfinished() {
            beside::item(0, "content_parts", &raw, out);
        }
        let reason = details.map(Members::of).and_then(|details| details.find("reason")).and_then(json::word);
        out.push(self.finish(status, reason));
        out.extend(usage);
        out.push(Delta::End);
    }

    /// The finish: an answer that is not complete has a reason of its own.
    fn finish<'a>(&self, status: Cow<'a, str>, reason: Option<Cow<'a, str>>) -> Delta<'a> {
        let (reason, native) = match (status.as_ref(), reason) {
            ("incomplete", Some(reason))
                if matches!(reason.as_ref(), "max_output_tokens" | "max_tokens" | "content_filter") =>
            {
                (reason, None)
            }
            ("incomplete", reason) => (Cow::Borrowed("length"), reason.or(Some(status))),
            (_, _) if self.calls > 0 => (Cow::Borrowed("tool_calls"), Some(status)),
            (_, _) => (status, None),
        };
        Delta::Finish { choice: 0, reason, native }
    }
}

/// The item's own id, for clients that speak this API.
fn item_id<'a>(item: &Members<'a>) -> Option<Field<'a>> {
    let id = item.find("id").filter(|raw| raw.starts_with('"') && json::word(raw).is_some())?;
    Some(field(Cow::Borrowed(ITEM_ID), id))
}

fn item_of<'a>(event: &Members<'a>) -> Result<&'a str, DecodeError> {
    event.find("item").filter(|raw| raw.starts_with('{')).ok_or(DecodeError::Malformed)
}

fn place(event: &Members<'_>) -> Option<i64> {
    event.find("output_index").and_then(json::integer)
}

fn number(event: &Members<'_>, voice: Voice) -> i64 {
    event.find(voice.numbered_by()).and_then(json::integer).unwrap_or(0)
}

/// A text that must be there; null says nothing.
fn text_of<'a>(event: &Members<'a>, name: &str) -> Result<Cow<'a, str>, DecodeError> {
    match event.find(name) {
        Some("null") => Ok(Cow::Borrowed("")),
        raw => raw.and_then(json::scalar).ok_or(DecodeError::Malformed),
    }
}

fn voice(part: &Members<'_>) -> Option<Voice> {
    match part.find("type").and_then(json::word)?.as_ref() {
        "output_text" | "text" => Some(Voice::Text),
        "refusal" => Some(Voice::Refusal),
        "summary_text" => Some(Voice::Summary),
        "reasoning_text" => Some(Voice::Thought),
        _ => None,
    }
}

/// What of a text is new.
fn new_text<'a>(heard: &mut Heard, text: Said<'a>) -> Option<Cow<'a, str>> {
    let new = match text {
        Said::Next(text) => text,
        Said::Whole(text) if heard.is_empty() => text,
        // What does not begin with what was said is another wording of it.
        Said::Whole(Cow::Borrowed(text)) => Cow::Borrowed(heard.tail(text)?),
        Said::Whole(Cow::Owned(text)) => Cow::Owned(heard.tail(&text)?.to_owned()),
    };
    heard.push(&new);
    (!new.is_empty()).then_some(new)
}

/// Carries what an event of a known kind has beside its own members, before what it says.
fn carry_unknown<'a>(event: &Members<'a>, own: usize, out: &mut Vec<Delta<'a>>, repairs: &mut Repairs) {
    for (name, value) in &event.0 {
        match name.as_ref() {
            "type" | "delta" | "item_id" | "output_index" | "content_index" | "summary_index"
            | "sequence_number" | "logprobs" | "text" | "refusal" | "arguments" | "name" | "item"
            | "part" | "annotation" | "annotation_index" | "response" | "status" => {}
            "obfuscation" => repairs.count(Repair::PaddingDropped),
            _ if json::says_nothing(value) => {}
            _ => out.insert(own, Delta::Unknown(Scope::Answer, field(name.clone(), value))),
        }
    }
}
