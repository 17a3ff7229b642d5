//! One answer, gathered from its events: the items in their order, which stream and object share.
//!
//! [`Answer::take`] tells each step to whoever writes a stream; the object takes no notice of them.

use super::item::{Body, Call, Item, Part, Status, Voice};
use super::piece::{self, Piece};
use super::request::Spaced;
use crate::api::chat_completions::keep;
use crate::event::{self, Event, FinishReason, ITEM_ID, Identity, Usage, told};
use crate::json::{self, Field, Members};

/// How much of the answer's id is in the ids of its items: some servers refuse more than 64 characters.
const ID_ENOUGH: usize = 48;

/// What an item does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// It begins.
    Added,
    /// A part of it begins.
    PartAdded(&'a Part),
    /// The part goes on with this text, and these logarithms of probabilities.
    Said(&'a Part, &'a str, &'a str),
    /// The part has one more annotation.
    Cited(&'a Part, &'a str),
    /// The call goes on with these arguments.
    Argued(&'a str),
    /// The call's arguments are whole.
    Called(&'a Call),
    /// The part is whole.
    PartDone(&'a Part),
    /// It is whole.
    Done,
}

/// Whoever is told of the steps, each with the item's place.
pub(super) type Tell<'t> = dyn FnMut(usize, &Item, Step<'_>) + 't;

/// One answer so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) identity: Option<Identity>,
    pub(super) items: Vec<Item>,
    pub(super) usage: Option<Usage>,
    pub(super) finish: Option<FinishReason>,
    /// Why it is not complete, in the provider's words: JSON text.
    pub(super) incomplete: Option<String>,
    /// Fields of the answer that nobody knows.
    pub(super) unknown: Vec<Field<'static>>,
    /// The choice that is the answer: the API has one.
    choice: Option<u32>,
    /// The message or the reasoning that goes on.
    open: Option<usize>,
    /// The id and the fields of the message that begins next.
    next_id: Option<String>,
    next_fields: Vec<Field<'static>>,
    pub(super) size: usize,
    /// Functions that the client calls otherwise.
    spaced: Vec<Spaced>,
    /// What the answer is called where the provider has no name of this API for it.
    born: Option<String>,
}

impl Answer {
    /// An answer to a request with these functions in namespaces, and its name if it needs one.
    pub(super) fn new(spaced: Vec<Spaced>, born: Option<String>) -> Answer {
        Answer { spaced, born, ..Answer::default() }
    }

    /// Forgets what was said: another answer begins.
    pub(super) fn begin(&mut self) {
        *self = Answer::new(std::mem::take(&mut self.spaced), self.born.take());
    }

    /// Takes the next event; the answer's ends are the encoders' matter.
    pub(super) fn take(&mut self, event: &Event<'_>, tell: &mut Tell<'_>) {
        match event {
            Event::Start(identity) => {
                let mut identity = (*identity).clone();
                if !identity.id.starts_with("resp_") {
                    // Not all providers have a new id for each answer, and this one may be asked for by it.
                    identity.id = format!("resp_{}", self.born.as_ref().unwrap_or(&identity.id));
                }
                self.identity = Some(identity);
            }
            Event::Part(part) if *self.choice.get_or_insert(part.choice) == part.choice => {
                self.part(part, tell);
            }
            Event::Finish(finish) if *self.choice.get_or_insert(finish.choice) == finish.choice => {
                self.carry(&finish.unknown);
                self.finish(finish.reason, tell);
            }
            Event::Usage(usage) => self.usage = Some((*usage).clone()),
            Event::Part(_) | Event::Finish(_) | Event::Complete | Event::Fault(_) => {}
        }
    }

    /// Keeps the fields beside what is said.
    fn carry(&mut self, unknown: &event::Unknown<'_>) {
        keep(&mut self.unknown, unknown.answer);
        for field in unknown.choice {
            match field.name.as_ref() {
                "logprobs" | ITEM_ID => {}
                "incomplete_details" => self.incomplete = Some(field.value.clone().into_owned()),
                _ => keep(&mut self.unknown, std::slice::from_ref(field)),
            }
        }
    }

    fn part(&mut self, part: &event::Part<'_>, tell: &mut Tell<'_>) {
        self.carry(&part.unknown);
        if let Some(field) = part.unknown.choice.iter().find(|field| field.name == ITEM_ID) {
            self.begin_message(json::word(&field.value).map(String::from), tell);
        }
        for field in part.unknown.delta.iter().filter(|field| field.name == "content_parts") {
            self.content_parts(field, tell);
        }
        match &part.body {
            event::Body::Nothing => {}
            event::Body::Text(text) => {
                let logprobs = part.unknown.choice.iter().find(|field| field.name == "logprobs");
                self.text(Voice::Text, text, logprobs.map_or("", |field| tokens(&field.value)), tell);
            }
            event::Body::Refusal(text) => self.text(Voice::Refusal, text, "", tell),
            event::Body::Reasoning { text, details } => {
                piece::read(text, details, &mut |piece| self.reasoning(&piece, tell));
            }
            event::Body::ToolStart { index, id, name, arguments, extra_content, unknown } => {
                self.close(Status::Completed, tell);
                let own = unknown.iter().find(|field| field.name == ITEM_ID);
                let own = own.and_then(|field| json::word(&field.value)).map(String::from);
                let spaced = self.spaced.iter().find(|spaced| spaced.flat == *name);
                let call = Call {
                    index: *index,
                    call_id: (*id).to_owned(),
                    name: spaced.map_or(*name, |spaced| &spaced.name).to_owned(),
                    namespace: spaced.map(|spaced| spaced.namespace.clone()),
                    arguments: String::new(),
                    extra_content: Vec::new(),
                };
                self.size += id.len() + name.len();
                let at = self.add(own, "fc", Body::Call(call), tell);
                self.argue(at, arguments, extra_content, unknown, tell);
            }
            event::Body::ToolMore { index, arguments, extra_content, unknown } => {
                let is_it = |item: &Item| matches!(&item.body, Body::Call(call) if call.index == *index);
                if let Some(at) = self.items.iter().rposition(is_it) {
                    self.argue(at, arguments, extra_content, unknown, tell);
                }
            }
        }
        for field in part.unknown.delta {
            self.beside(field, tell);
        }
    }

    /// What stands beside the text in a delta.
    fn beside(&mut self, field: &Field<'_>, tell: &mut Tell<'_>) {
        match field.name.as_ref() {
            "content_parts" => {}
            "annotations" if field.value.starts_with('[') => {
                for raw in json::elements(&field.value) {
                    self.cite(raw, tell);
                }
            }
            "images" if field.value.starts_with('[') => {
                for raw in json::elements(&field.value) {
                    self.own(piece::image(raw), tell);
                }
            }
            _ => {
                self.size += field.value.len();
                match self.open_message() {
                    Some(item) => keep(&mut item.unknown, std::slice::from_ref(field)),
                    None => keep(&mut self.next_fields, std::slice::from_ref(field)),
                }
            }
        }
    }

    /// Items of the Responses API are items of the answer; parts of other APIs stay beside the text.
    fn content_parts(&mut self, field: &Field<'_>, tell: &mut Tell<'_>) {
        for raw in json::elements(&field.value) {
            if piece::is_item(raw) {
                self.own(raw.to_owned(), tell);
            } else {
                let value = format!("[{raw}]");
                self.size += value.len();
                let field = Field { name: "content_parts".into(), value: value.into() };
                match self.open_message() {
                    Some(item) => keep(&mut item.unknown, &[field]),
                    None => keep(&mut self.next_fields, &[field]),
                }
            }
        }
    }

    /// Adds an item that is whole.
    fn own(&mut self, raw: String, tell: &mut Tell<'_>) {
        self.close(Status::Completed, tell);
        self.size += raw.len();
        let id = Members::of(&raw).find("id").and_then(json::word).map(String::from);
        let at = self.add(id, "it", Body::Own(raw), tell);
        self.done(at, Status::Completed, tell);
    }

    fn open_message(&mut self) -> Option<&mut Item> {
        self.items.get_mut(self.open?).filter(|item| matches!(item.body, Body::Message(_)))
    }

    /// A message of this id begins, unless it goes on.
    fn begin_message(&mut self, id: Option<String>, tell: &mut Tell<'_>) {
        if self.open_message().is_some_and(|item| Some(&item.id) == id.as_ref()) {
            return;
        }
        self.close(Status::Completed, tell);
        self.next_id = id;
    }

    /// Adds an item; gives its place.
    fn add(&mut self, id: Option<String>, prefix: &str, body: Body, tell: &mut Tell<'_>) -> usize {
        let at = self.items.len();
        let id = id.unwrap_or_else(|| {
            let answer = self.identity.as_ref().map_or("", |identity| identity.id.as_str());
            let answer = answer.strip_prefix("resp_").unwrap_or(answer);
            let start = answer.char_indices().rev().nth(ID_ENOUGH).map_or(0, |(at, _)| at);
            format!("{prefix}_{}_{at}", answer.get(start..).unwrap_or_default())
        });
        let mut item = Item { id, status: Status::InProgress, body, unknown: Vec::new() };
        match &mut item.body {
            Body::Message(_) => item.unknown = std::mem::take(&mut self.next_fields),
            Body::Own(raw) if Members::of(raw).find("id").is_none() => {
                let rest = raw.trim_start().strip_prefix('{').unwrap_or_default();
                *raw = format!("{{\"id\":\"{}\",{rest}", item.id);
            }
            Body::Own(_) | Body::Reasoning(..) | Body::Call(_) => {}
        }
        self.items.push(item);
        if let Some(item) = self.items.get(at) {
            tell(at, item, Step::Added);
        }
        at
    }

    /// Where the part of a message is that goes on; a new one if it is of another voice.
    fn text(&mut self, voice: Voice, text: &str, logprobs: &str, tell: &mut Tell<'_>) {
        let at = match self.open.filter(|_| self.open_message().is_some()) {
            Some(at) => at,
            None => {
                self.close(Status::Completed, tell);
                let id = self.next_id.take();
                let at = self.add(id, "msg", Body::Message(Vec::new()), tell);
                self.open = Some(at);
                at
            }
        };
        self.say(at, voice, None, text, logprobs, tell);
    }

    fn reasoning(&mut self, piece: &Piece<'_>, tell: &mut Tell<'_>) {
        let goes_on = |item: &Item| match &item.body {
            Body::Reasoning(..) => piece.id.as_ref().is_none_or(|id| *id == item.id),
            Body::Message(_) | Body::Call(_) | Body::Own(_) => false,
        };
        let open = self.open.filter(|at| self.items.get(*at).is_some_and(goes_on));
        let at = match open {
            Some(at) => at,
            None => {
                self.close(Status::Completed, tell);
                let id = piece.id.as_deref().map(str::to_owned);
                let at = self.add(id, "rs", Body::Reasoning(Vec::new(), String::new()), tell);
                self.open = Some(at);
                at
            }
        };
        if let Some(Body::Reasoning(_, details)) = self.items.get_mut(at).map(|item| &mut item.body)
            && !piece.raw.is_empty()
        {
            if !details.is_empty() {
                details.push(',');
            }
            details.push_str(piece.raw);
            self.size += piece.raw.len();
        }
        if !piece.text.is_empty() {
            self.say(at, piece.voice, piece.number, &piece.text, "", tell);
        }
        if piece.is_last {
            self.close(Status::Completed, tell);
        }
    }

    /// Says the next piece of text in a part of an item.
    fn say(
        &mut self,
        at: usize,
        voice: Voice,
        number: Option<i64>,
        text: &str,
        logprobs: &str,
        tell: &mut Tell<'_>,
    ) {
        self.size += text.len() + logprobs.len();
        let goes_on = |part: &Part| {
            part.voice == voice && (number.is_none() || part.number.is_none() || part.number == number)
        };
        let last = self.items.get(at).and_then(|item| parts(item).last());
        if !last.is_some_and(goes_on) {
            self.end_part(at, tell);
            self.add_part(at, voice, number, tell);
        }
        let Some(part) = self.items.get_mut(at).and_then(|item| parts_mut(item)?.last_mut()) else { return };
        part.text.push_str(text);
        if !logprobs.is_empty() {
            if !part.logprobs.is_empty() {
                part.logprobs.push(',');
            }
            part.logprobs.push_str(logprobs);
        }
        part.number = part.number.or(number);
        if let Some(item) = self.items.get(at)
            && let Some(part) = parts(item).last()
        {
            tell(at, item, Step::Said(part, text, logprobs));
        }
    }

    fn add_part(&mut self, at: usize, voice: Voice, number: Option<i64>, tell: &mut Tell<'_>) {
        let Some(list) = self.items.get_mut(at).and_then(parts_mut) else { return };
        let same = |part: &&Part| part.voice.numbered_by() == voice.numbered_by();
        let index = u32::try_from(list.iter().filter(same).count()).unwrap_or(u32::MAX); // Bounded by memory.
        let (text, annotations, logprobs) = (String::new(), Vec::new(), String::new());
        list.push(Part { voice, index, number, text, annotations, logprobs });
        if let Some(item) = self.items.get(at)
            && let Some(part) = parts(item).last()
        {
            tell(at, item, Step::PartAdded(part));
        }
    }

    /// The last part of an item is whole.
    fn end_part(&mut self, at: usize, tell: &mut Tell<'_>) {
        if let Some(item) = self.items.get(at)
            && let Some(part) = parts(item).last()
        {
            tell(at, item, Step::PartDone(part));
        }
    }

    /// Adds an annotation to the text that goes on.
    fn cite(&mut self, raw: &str, tell: &mut Tell<'_>) {
        let is_text = |item: &Item| parts(item).last().is_some_and(|part| part.voice == Voice::Text);
        if !self.open_message().is_some_and(|item| is_text(item)) {
            self.text(Voice::Text, "", "", tell);
        }
        let Some(at) = self.open else { return };
        let before: usize = self.items.iter().flat_map(parts).map(characters).sum();
        let own = self.items.get(at).and_then(|item| parts(item).last()).map_or(0, characters);
        let raw = piece::annotation(raw, before - own);
        self.size += raw.len();
        let Some(part) = self.items.get_mut(at).and_then(|item| parts_mut(item)?.last_mut()) else { return };
        part.annotations.push(raw);
        if let Some(item) = self.items.get(at)
            && let Some(part) = parts(item).last()
            && let Some(raw) = part.annotations.last()
        {
            tell(at, item, Step::Cited(part, raw));
        }
    }

    fn argue(
        &mut self,
        at: usize,
        arguments: &str,
        extra_content: &[Field<'_>],
        unknown: &[Field<'_>],
        tell: &mut Tell<'_>,
    ) {
        let Some(item) = self.items.get_mut(at) else { return };
        for field in told(unknown) {
            self.size += field.value.len();
            keep(&mut item.unknown, std::slice::from_ref(field));
        }
        let Body::Call(call) = &mut item.body else { return };
        keep(&mut call.extra_content, extra_content);
        call.arguments.push_str(arguments);
        self.size += arguments.len();
        if !arguments.is_empty() {
            tell(at, item, Step::Argued(arguments));
        }
    }

    /// The message or the reasoning that went on is whole, or as much of it as there is.
    fn close(&mut self, status: Status, tell: &mut Tell<'_>) {
        if let Some(at) = self.open.take() {
            self.end_part(at, tell);
            self.done(at, status, tell);
        }
    }

    fn done(&mut self, at: usize, status: Status, tell: &mut Tell<'_>) {
        let Some(item) = self.items.get_mut(at) else { return };
        item.status = status;
        if let Body::Call(call) = &item.body {
            tell(at, item, Step::Called(call));
        }
        tell(at, item, Step::Done);
    }

    /// The answer ended: what goes on is whole, but for the last item of an answer that was cut.
    fn finish(&mut self, reason: FinishReason, tell: &mut Tell<'_>) {
        self.finish = Some(reason);
        if !self.next_fields.is_empty() && self.open_message().is_none() {
            // No text followed them. An empty message would be an agent's answer before its calls.
            match self.items.is_empty() {
                true => self.text(Voice::Text, "", "", tell),
                false => keep(&mut self.unknown, &std::mem::take(&mut self.next_fields)),
            }
        }
        let is_cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        let last = self.items.len().saturating_sub(1);
        let status = |at: usize, is_broken: bool| match is_cut && (at == last || is_broken) {
            true => Status::Incomplete,
            false => Status::Completed,
        };
        let open = self.open.unwrap_or_default();
        self.close(status(open, false), tell);
        for at in 0..self.items.len() {
            let Some(Item { body: Body::Call(call), status: Status::InProgress, .. }) = self.items.get(at)
            else {
                continue;
            };
            let is_broken = serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_err();
            self.done(at, status(at, is_broken), tell);
        }
    }

    /// The answer failed: what goes on stays as it is.
    pub(super) fn fail(&mut self) {
        for item in self.items.iter_mut().filter(|item| item.status == Status::InProgress) {
            item.status = Status::Incomplete;
        }
    }
}

fn parts(item: &Item) -> &[Part] {
    match &item.body {
        Body::Message(parts) | Body::Reasoning(parts, _) => parts,
        Body::Call(_) | Body::Own(_) => &[],
    }
}

fn parts_mut(item: &mut Item) -> Option<&mut Vec<Part>> {
    match &mut item.body {
        Body::Message(parts) | Body::Reasoning(parts, _) => Some(parts),
        Body::Call(_) | Body::Own(_) => None,
    }
}

/// The characters of the answer's text that a part holds.
fn characters(part: &Part) -> usize {
    if part.voice == Voice::Text { part.text.chars().count() } else { 0 }
}

/// The list in `{"content":[…]}`, without its brackets.
fn tokens(logprobs: &str) -> &str {
    if !logprobs.starts_with('{') {
        return "";
    }
    let list = Members::of(logprobs).find("content").unwrap_or_default();
    list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default().trim()
}
