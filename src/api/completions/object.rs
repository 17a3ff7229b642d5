//! Events are folded into one `text_completion` object (H1).

use super::logprobs::Logprobs;
use super::{logprobs, native, word, write_beside};
use crate::api::Encoder;
use crate::api::chat_completions::{ReasoningField, join_details, keep};
use crate::event::{Body, Event, Finish, FinishReason, Identity, Part, Unknown, Usage};
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
    text: String,
    refusal: String,
    reasoning: String,
    details: Vec<String>,
    logprobs: Logprobs,
    finish: Option<(FinishReason, Option<String>)>,
    beside: Vec<Field<'static>>,
}

impl Encoder for Fold {
    fn begin(&mut self, _: &str) {
        *self = Fold::new(self.reasoning);
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start(identity) => self.identity = Some((*identity).clone()),
            Event::Part(part) => self.part(part),
            Event::Finish(finish) => self.finish(finish),
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

    /// The choice of that index, with the fields that came with it.
    fn choice(&mut self, index: u32, unknown: &Unknown<'_>) -> &mut Choice {
        let carried = [unknown.answer, unknown.choice, unknown.delta];
        self.size += carried.iter().flat_map(|fields| fields.iter()).map(|f| f.value.len()).sum::<usize>();
        keep(&mut self.unknown, unknown.answer);
        let at = match self.choices.binary_search_by_key(&index, |choice| choice.index) {
            Ok(at) => at,
            Err(at) => {
                self.choices.insert(at, Choice { index, ..Choice::default() });
                at
            }
        };
        let choice = &mut self.choices[at];
        if let Some(raw) = logprobs(&[unknown.choice, unknown.delta]) {
            choice.logprobs.push(raw);
        }
        for field in unknown.choice.iter().chain(unknown.delta).filter(|field| field.name != "logprobs") {
            keep(&mut choice.beside, std::slice::from_ref(field));
        }
        choice
    }

    fn part(&mut self, part: &Part<'_>) {
        let choice = self.choice(part.choice, &part.unknown);
        self.size += match &part.body {
            Body::Text(text) => append(&mut choice.text, text),
            Body::Refusal(text) => append(&mut choice.refusal, text),
            Body::Reasoning { text, details } => {
                choice.details.extend(details.iter().map(|detail| detail.clone().into_owned()));
                append(&mut choice.reasoning, text) + details.iter().map(|detail| detail.len()).sum::<usize>()
            }
            Body::Nothing | Body::ToolStart { .. } | Body::ToolMore { .. } => 0,
        };
    }

    fn finish(&mut self, finish: &Finish<'_>) {
        let choice = self.choice(finish.choice, &finish.unknown);
        choice.finish = Some((finish.reason, finish.native.map(str::to_owned)));
    }

    /// Appends the object of a complete answer.
    fn write(&self, out: &mut Vec<u8>) {
        match &self.identity {
            Some(identity) => identity.write_as("text_completion", out),
            None => return, // Nothing is complete that did not start.
        }
        json::write_fields(&self.unknown, out);
        out.extend_from_slice(b",\"choices\":[");
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
        out.extend_from_slice(b",\"text\":");
        json::write_string(&choice.text, out);
        out.extend_from_slice(b",\"logprobs\":");
        choice.logprobs.write(out);
        out.extend_from_slice(b",\"finish_reason\":");
        match &choice.finish {
            Some((reason, said)) => {
                json::write_string(word(*reason), out);
                if let Some(native) = native(*reason, said.as_deref()) {
                    out.extend_from_slice(b",\"native_finish_reason\":");
                    json::write_string(native, out);
                }
            }
            None => out.extend_from_slice(b"null"),
        }
        if !choice.refusal.is_empty() {
            out.extend_from_slice(b",\"refusal\":");
            json::write_string(&choice.refusal, out);
        }
        if !choice.reasoning.is_empty() {
            self.reasoning.write(&choice.reasoning, out);
        }
        if !choice.details.is_empty() {
            out.extend_from_slice(b",\"reasoning_details\":");
            json::write_list(&join_details(&choice.details), out);
        }
        write_beside(&[&choice.beside], out);
        out.push(b'}');
    }
}

/// Adds text, and tells its length.
fn append(text: &mut String, more: &str) -> usize {
    text.push_str(more);
    more.len()
}
