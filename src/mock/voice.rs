//! One candidate in a manner: the deltas it is said in, each still without an envelope.

use super::answer::{Call, Choice};
use super::fragments::Fragments;
use super::ids::Ids;
use super::json::{Json, Object};
use super::manner::{Blank, Details, FinishPlace, Manner, Reasoning, Role, Seal, Words};

/// A delta and what stands beside it.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The index of the choice.
    pub candidate: usize,
    /// The delta; absent where only filter results are sent.
    pub delta: Option<Object>,
    /// The text that it adds.
    pub text: String,
    /// Whether it has calls.
    pub calls: bool,
    /// The finish reason and the provider's own word.
    pub finish: Option<(&'static str, Option<&'static str>)>,
    /// How many tokens it took, and how many of them were reasoning.
    pub tokens: (u64, u64),
}

/// Says a candidate in a manner.
pub fn drafts(manner: &Manner, ids: Ids, candidate: usize, choice: &Choice) -> Vec<Draft> {
    let mut voice = Voice { manner, ids, candidate, said: Vec::new() };
    voice.open();
    voice.think(choice);
    voice.speak(choice);
    voice.call(&choice.calls);
    voice.end(choice);
    voice.said
}

/// The word with which a choice ends.
pub fn ending(words: Words, choice: &Choice) -> &'static str {
    match (choice.cut, choice.calls.is_empty()) {
        (true, true) => words.length,
        (true, false) => words.cut_calls,
        (false, false) => words.calls,
        (false, true) => words.stop,
    }
}

/// A detail of structured reasoning with its text.
pub fn detail(details: &Details, text: &str) -> Object {
    Object::default().with("type", details.kind).with(details.text, text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Reasoning,
    Words,
    Calls,
    Finish,
}

struct Voice<'a> {
    manner: &'a Manner,
    ids: Ids,
    candidate: usize,
    said: Vec<Draft>,
}

impl Voice<'_> {
    fn open(&mut self) {
        if self.manner.opening {
            let mut delta = self.delta(Phase::Opening);
            delta.extend(Object::from_table(self.manner.opening_delta));
            self.say(delta, "", (0, 0));
        }
    }

    fn think(&mut self, choice: &Choice) {
        let Some(reasoning) = self.manner.reasoning else {
            return;
        };
        if let Some((opening, closing)) = reasoning.tags {
            self.think_in_tags(choice, opening, closing);
            return;
        }
        if !reasoning.parts && reasoning.fields.is_empty() && reasoning.details.is_none() {
            return;
        }
        for piece in &choice.reasoning {
            let delta = self.thought(&reasoning, piece);
            self.say(delta, "", (1, 1));
        }
        if let Some(details) = reasoning.details
            && !choice.cut
        {
            self.seal(&details, choice);
        }
    }

    /// A model that was cut while it thinks never closes the tag.
    fn think_in_tags(&mut self, choice: &Choice, opening: &[&str], closing: &[&str]) {
        for tag in opening {
            self.word(tag, (0, 0));
        }
        for piece in &choice.reasoning {
            self.word(piece, (1, 1));
        }
        if !choice.cut || !choice.text.is_empty() || !choice.calls.is_empty() {
            for tag in closing {
                self.word(tag, (0, 0));
            }
        }
    }

    fn thought(&self, reasoning: &Reasoning, piece: &str) -> Object {
        let mut delta = self.delta(Phase::Reasoning);
        if reasoning.parts {
            let text = Object::default().with("type", "text").with("text", piece);
            let part = Object::default().with("type", "thinking").with("thinking", vec![text.into()]);
            delta.set("content", vec![part.into()]);
        }
        for field in reasoning.fields {
            delta.set(field, piece);
        }
        if let Some(details) = &reasoning.details {
            let detail = closed(details, detail(details, piece));
            delta.set("reasoning_details", vec![detail.into()]);
        }
        delta.extend(Object::from_table(reasoning.extra));
        delta
    }

    fn seal(&mut self, details: &Details, choice: &Choice) {
        let encrypted = |id: String| {
            Object::default()
                .with("type", "reasoning.encrypted")
                .with("data", "bW9jayBlbmNyeXB0ZWQgcmVhc29uaW5n")
                .with("id", id)
        };
        let detail = match details.seal {
            Seal::None => return,
            Seal::Signature => {
                Object::default().with("type", details.kind).with("signature", "bW9jayBzaWduYXR1cmU=")
            }
            Seal::Encrypted => encrypted(self.ids.call("rs_", self.candidate, 9, 0)),
            Seal::Call if choice.calls.is_empty() => return,
            Seal::Call => {
                let prefix = self.manner.calls.id_prefix;
                encrypted(self.ids.call(prefix, self.candidate, 0, 0))
            }
        };
        let mut delta = self.delta(Phase::Reasoning);
        delta.set("reasoning_details", vec![closed(details, detail).into()]);
        self.say(delta, "", (0, 0));
    }

    fn speak(&mut self, choice: &Choice) {
        for (position, piece) in choice.text.iter().enumerate() {
            if position == 3 && self.manner.filter_without_delta {
                self.said.push(Draft { candidate: self.candidate, ..Draft::default() });
            }
            self.word(piece, (1, 0));
        }
        for piece in &choice.refusal {
            let mut delta = self.delta(Phase::Words);
            delta.set("refusal", piece.as_str());
            self.say(delta, "", (1, 0));
        }
    }

    fn word(&mut self, piece: &str, tokens: (u64, u64)) {
        let mut delta = self.delta(Phase::Words);
        let content = self.manner.content;
        if self.manner.audio {
            delta.set("audio", self.transcript(piece));
        } else if content.parts {
            let part = Object::default().with("type", "text").with("text", piece);
            delta.set("content", vec![part.into()]);
        } else {
            match piece.parse::<u64>() {
                Ok(number) if content.numbers => delta.set("content", number),
                _ => delta.set("content", piece),
            };
        }
        self.say(delta, piece, tokens);
    }

    fn transcript(&self, piece: &str) -> Object {
        let mut audio = Object::default();
        if self.said.len() <= 1 {
            audio.set("id", self.ids.call("audio_", self.candidate, 8, 0));
        }
        audio.with("transcript", piece)
    }

    fn call(&mut self, calls: &[Call]) {
        let fragments = Fragments::new(self.manner.calls, self.ids, self.candidate);
        for (delta, tokens) in fragments.deltas(calls) {
            let mut whole = self.delta(Phase::Calls);
            whole.extend(delta);
            self.say(whole, "", (tokens, 0));
            if let Some(last) = self.said.last_mut() {
                last.calls = true;
            }
        }
    }

    fn end(&mut self, choice: &Choice) {
        let finish = self.manner.finish;
        let native = finish.native.map(|words| ending(words, choice));
        let reason = Some((ending(finish.words, choice), native));
        let count = self.said.len();
        let target = match finish.place {
            FinishPlace::Nowhere => return,
            FinishPlace::Own | FinishPlace::Twice => None,
            FinishPlace::Last => count.checked_sub(1),
            FinishPlace::LastButOne => count.checked_sub(2),
            FinishPlace::LastCall if choice.calls.is_empty() => None,
            FinishPlace::LastCall => count.checked_sub(1),
        };
        if let Some(draft) = target.and_then(|target| self.said.get_mut(target)) {
            draft.finish = reason;
            return;
        }
        let times = if finish.place == FinishPlace::Twice { 2 } else { 1 };
        for _ in 0..times {
            let delta = self.delta(Phase::Finish);
            self.said.push(Draft {
                candidate: self.candidate,
                delta: Some(delta),
                finish: reason,
                ..Draft::default()
            });
        }
    }

    fn say(&mut self, delta: Object, text: &str, tokens: (u64, u64)) {
        self.said.push(Draft {
            candidate: self.candidate,
            delta: Some(delta),
            text: text.to_owned(),
            tokens,
            ..Draft::default()
        });
    }

    /// What a delta says beside its own words: the role, and the ways to say nothing.
    fn delta(&self, phase: Phase) -> Object {
        let mut delta = Object::default();
        match (self.manner.role, self.said.is_empty()) {
            (Role::First | Role::ThenNull, true) | (Role::Every, _) => {
                delta.set("role", "assistant");
            }
            (Role::ThenNull, false) => {
                delta.set("role", Json::Null);
            }
            (Role::First, false) | (Role::Never, _) => {}
        }
        delta.extend(Object::from_table(self.manner.delta));
        let content = self.manner.content;
        let blank = match phase {
            Phase::Opening => content.opening,
            Phase::Reasoning => content.reasoning,
            Phase::Words => Blank::Absent,
            Phase::Calls => content.calls,
            Phase::Finish => content.finish,
        };
        set_blank(&mut delta, "content", blank);
        if let Some(reasoning) = self.manner.reasoning
            && phase != Phase::Reasoning
        {
            for field in reasoning.fields {
                set_blank(&mut delta, field, reasoning.idle);
            }
        }
        delta
    }
}

/// Sets a key to one of the ways to say nothing.
pub fn set_blank(object: &mut Object, key: &str, blank: Blank) {
    match blank {
        Blank::Absent => {}
        Blank::Null => {
            object.set(key, Json::Null);
        }
        Blank::Empty => {
            object.set(key, "");
        }
    }
}

/// Adds what every detail ends with.
fn closed(details: &Details, mut detail: Object) -> Object {
    if let Some(id) = details.id {
        detail.set("id", id);
    }
    detail.with("format", details.format).with("index", 0)
}
