//! Events are folded into one `chat.completion` object (H1).

use super::{ReasoningField, key, write_extra_content};
use crate::api::Encoder;
use crate::event::{Body, Event, FinishReason, Identity, Part, Usage, told};
use crate::json::{self, Field};

/// The fold of one answer.
#[derive(Debug)]
pub struct Fold {
    reasoning: ReasoningField,
    identity: Option<Identity>,
    choices: Vec<Choice>,
    unknown: Vec<Field<'static>>,
    usage: Option<Usage>,
    size: usize,
}

#[derive(Debug, Default)]
struct Choice {
    index: u32,
    content: Option<String>,
    refusal: Option<String>,
    reasoning: String,
    details: Vec<String>,
    calls: Vec<Call>,
    finish: Option<(FinishReason, Option<String>)>,
    beside: Vec<Field<'static>>,
    inside: Vec<Field<'static>>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    extra_content: Vec<Field<'static>>,
    unknown: Vec<Field<'static>>,
}

impl Encoder for Fold {
    fn begin(&mut self, _: &str) {
        *self = Fold::new(self.reasoning);
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.identity = Some((*identity).clone()),
            Event::Part(part) => self.part(part),
            Event::Finish(finish) => {
                keep(&mut self.unknown, finish.unknown.answer);
                let choice = self.choice(finish.choice);
                choice.finish = Some((finish.reason, finish.native.map(str::to_owned)));
                keep(&mut choice.beside, finish.unknown.choice);
            }
            Event::Usage(usage) => self.usage = Some((*usage).clone()),
            Event::Complete => self.write(out),
            // The client gets an HTTP error.
            Event::Fault(_) => {}
        }
    }

    fn held(&self) -> usize {
        self.size
    }
}

impl Fold {
    /// Begins a fold.
    pub fn new(reasoning: ReasoningField) -> Fold {
        Fold { reasoning, identity: None, choices: Vec::new(), unknown: Vec::new(), usage: None, size: 0 }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let at = match self.choices.binary_search_by_key(&index, |choice| choice.index) {
            Ok(at) => at,
            Err(at) => {
                self.choices.insert(at, Choice { index, ..Choice::default() });
                at
            }
        };
        &mut self.choices[at]
    }

    fn part(&mut self, part: &Part<'_>) {
        keep(&mut self.unknown, part.unknown.answer);
        let choice = self.choice(part.choice);
        keep(&mut choice.beside, part.unknown.choice);
        keep(&mut choice.inside, part.unknown.delta);
        let size = match &part.body {
            Body::Nothing => 0,
            Body::Text(text) => {
                choice.content.get_or_insert_default().push_str(text);
                text.len()
            }
            Body::Refusal(text) => {
                choice.refusal.get_or_insert_default().push_str(text);
                text.len()
            }
            Body::Reasoning { text, details } => {
                choice.reasoning.push_str(text);
                choice.details.extend(details.iter().map(|detail| detail.clone().into_owned()));
                text.len() + details.iter().map(|detail| detail.len()).sum::<usize>()
            }
            Body::ToolStart { id, name, arguments, extra_content, unknown, .. } => {
                let mut call = Call {
                    id: (*id).to_owned(),
                    name: (*name).to_owned(),
                    arguments: (*arguments).to_owned(),
                    ..Call::default()
                };
                keep(&mut call.extra_content, extra_content);
                keep(&mut call.unknown, unknown);
                choice.calls.push(call);
                id.len() + name.len() + arguments.len()
            }
            Body::ToolMore { index, arguments, extra_content, unknown } => {
                let call = usize::try_from(*index).ok().and_then(|at| choice.calls.get_mut(at)); // Opened before.
                if let Some(call) = call {
                    call.arguments.push_str(arguments);
                    keep(&mut call.extra_content, extra_content);
                    keep(&mut call.unknown, unknown);
                }
                arguments.len()
            }
        };
        let carried = [part.unknown.answer, part.unknown.choice, part.unknown.delta];
        self.size +=
            size + carried.iter().flat_map(|fields| fields.iter()).map(|f| f.value.len()).sum::<usize>();
    }

    /// Appends the object of a complete answer.
    fn write(&self, out: &mut Vec<u8>) {
        let mut first = true;
        out.push(b'{');
        if let Some(identity) = &self.identity {
            key("id", &mut first, out);
            json::write_string(&identity.id, out);
            out.extend_from_slice(b",\"object\":\"chat.completion\",\"created\":");
            json::write_number(identity.created, out);
            out.extend_from_slice(b",\"model\":");
            json::write_string(&identity.model, out);
        }
        for field in &self.unknown {
            key(&field.name, &mut first, out);
            json::write_raw(&field.value, out);
        }
        key("choices", &mut first, out);
        out.push(b'[');
        for (at, choice) in self.choices.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.write_choice(choice, out);
        }
        out.push(b']');
        if let Some(usage) = self.usage.as_ref().filter(|usage| usage.is_whole()) {
            out.extend_from_slice(b",\"usage\":");
            usage.write(out);
        }
        out.push(b'}');
    }

    fn write_choice(&self, choice: &Choice, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"index\":");
        json::write_number(choice.index, out);
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        match &choice.content {
            Some(text) => json::write_string(text, out),
            // An answer without text has null beside calls, a refusal or audio; alone it is empty.
            None if choice.calls.is_empty() && choice.refusal.is_none() && choice.inside.is_empty() => {
                json::write_string("", out);
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"refusal\":");
        match &choice.refusal {
            Some(text) => json::write_string(text, out),
            None => out.extend_from_slice(b"null"),
        }
        if !choice.reasoning.is_empty() {
            self.reasoning.write(&choice.reasoning, out);
        }
        if !choice.details.is_empty() {
            out.extend_from_slice(b",\"reasoning_details\":");
            json::write_list(&join_details(&choice.details), out);
        }
        if !choice.calls.is_empty() {
            out.extend_from_slice(b",\"tool_calls\":[");
            for (at, call) in choice.calls.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_call(call, out);
            }
            out.push(b']');
        }
        json::write_fields(&choice.inside, out);
        out.extend_from_slice(b"},\"finish_reason\":");
        match &choice.finish {
            Some((reason, native)) => {
                json::write_string(reason.as_str(), out);
                if let Some(native) = native {
                    out.extend_from_slice(b",\"native_finish_reason\":");
                    json::write_string(native, out);
                }
            }
            None => out.extend_from_slice(b"null"),
        }
        json::write_fields(told(&choice.beside), out);
        out.push(b'}');
    }
}

fn write_call(call: &Call, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(&call.id, out);
    out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
    json::write_string(&call.name, out);
    out.extend_from_slice(b",\"arguments\":");
    json::write_string(&call.arguments, out);
    out.push(b'}');
    write_extra_content(&call.extra_content, out);
    json::write_fields(told(&call.unknown), out);
    out.push(b'}');
}

/// Joins the pieces of one reasoning item: neighbours of one type, id and index, whose text or summary was
/// streamed.
pub(crate) fn join_details(details: &[String]) -> Vec<String> {
    let mut joined: Vec<Vec<Field<'static>>> = Vec::new();
    for raw in details {
        let fields: Vec<Field<'static>> = json::Members::of(raw)
            .0
            .into_iter()
            .map(|(name, value)| Field { name, value: value.into() }.into_owned())
            .collect();
        match joined.last_mut() {
            Some(last) if is_same_item(last, &fields) => fold(last, &fields),
            Some(_) | None => joined.push(fields),
        }
    }
    joined
        .iter()
        .map(|fields| {
            let mut out = Vec::from(b"{");
            let mut first = true;
            for field in fields {
                key(&field.name, &mut first, &mut out);
                out.extend_from_slice(field.value.as_bytes());
            }
            out.push(b'}');
            String::from_utf8_lossy(&out).into_owned()
        })
        .collect()
}

fn is_same_item(a: &[Field<'_>], b: &[Field<'_>]) -> bool {
    let value = |fields: &[Field<'_>], name: &str| {
        fields
            .iter()
            .find(|field| field.name == name && field.value != "null")
            .map(|field| field.value.to_string())
    };
    let kind = value(a, "type");
    let agrees = |name| match (value(a, name), value(b, name)) {
        (Some(a), Some(b)) => a == b,
        (_, _) => true,
    };
    kind == value(b, "type")
        && kind.as_deref() != Some("\"reasoning.encrypted\"")
        && value(a, "index") == value(b, "index")
        && agrees("id")
        && agrees("signature")
}

/// Adds the next chunk's fields to those of the chunks before: text of one name is joined, lists are joined,
/// objects are merged, anything else is replaced by what says something.
pub(crate) fn keep(known: &mut Vec<Field<'static>>, fields: &[Field<'_>]) {
    for field in fields {
        match known.iter_mut().find(|known| known.name == field.name) {
            None => known.push(field.clone().into_owned()),
            Some(known) => {
                if let Some(value) = add(&field.name, &known.value, &field.value) {
                    known.value = value.into();
                }
            }
        }
    }
}

fn fold(known: &mut Vec<Field<'static>>, fields: &[Field<'_>]) {
    for field in fields {
        let known_field = known.iter_mut().find(|known| known.name == field.name);
        match known_field {
            None => known.push(field.clone().into_owned()),
            Some(known) if matches!(known.name.as_ref(), "text" | "summary" | "data") => {
                if let (Some(a), Some(b)) = (json::string(&known.value), json::string(&field.value)) {
                    let text = format!("{a}{b}");
                    known.value = quoted(&text).into();
                } else if known.says_nothing() {
                    known.value = field.value.clone().into_owned().into();
                }
            }
            Some(known) if !field.says_nothing() => known.value = field.value.clone().into_owned().into(),
            Some(_) => {}
        }
    }
}

/// The value of a field after another chunk brought it again; `None` if it stays.
fn add(name: &str, known: &str, next: &str) -> Option<String> {
    if json::says_nothing(next) || known == next {
        return None;
    }
    if json::says_nothing(known) {
        return Some(next.to_owned());
    }
    match (known.as_bytes().first()?, next.as_bytes().first()?) {
        // Pieces of streamed text inside an object (`audio.transcript`, `audio.data`); ids stay.
        (b'"', b'"') if matches!(name, "transcript" | "data") => {
            Some(quoted(&format!("{}{}", json::string(known)?, json::string(next)?)))
        }
        (b'[', b'[') => Some(join_arrays(known, next)),
        (b'{', b'{') => {
            let mut members = Vec::new();
            for raw in [known, next] {
                let fields: Vec<Field<'_>> = json::Members::of(raw)
                    .0
                    .into_iter()
                    .map(|(name, value)| Field { name, value: value.into() })
                    .collect();
                keep(&mut members, &fields);
            }
            let mut out = Vec::from(b"{");
            let mut first = true;
            for field in &members {
                key(&field.name, &mut first, &mut out);
                out.extend_from_slice(field.value.as_bytes());
            }
            out.push(b'}');
            Some(String::from_utf8_lossy(&out).into_owned())
        }
        _ => Some(next.to_owned()),
    }
}

/// Both arrays in one, unless the second says all of the first again.
fn join_arrays(known: &str, next: &str) -> String {
    let (known_items, next_items) = (json::elements(known), json::elements(next));
    if next_items.starts_with(&known_items) {
        return next.to_owned();
    }
    let head = known.trim().strip_suffix(']').unwrap_or(known);
    let tail = next.trim().strip_prefix('[').unwrap_or(next);
    format!("{head},{tail}")
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json::write_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
