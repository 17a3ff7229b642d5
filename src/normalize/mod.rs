//! Deltas become events: the only place where the lenient turns into the strict.
//!
//! One [`Normalizer`] serves one answer. What it holds back is held for a reason of the contract: a finish
//! reason until the end, because providers send intermediate ones (E1); the first fragment of a tool call
//! until its name is whole (D3); a placeholder until the arguments (D4); the beginning of a `<think>` tag
//! (G3); unknown fields of a frame that yields no chunk (B3).

mod carry;
mod choice;
mod finish;
mod think;
mod tools;

use std::borrow::Cow;

use carry::{Carried, CarriedChoice, Fields, Waiting, any_says};
use choice::Choice;
use think::Piece;
use tools::{Ids, Outgoing};

use crate::dialect::{Quirks, ThinkTags};
use crate::event::{
    Body, Delta, Detail, Event, Fault, FaultCode, Finish, Heard, Identity, Part, Repair, Repairs, Said, Sink,
    ToolFragment, Unknown, Usage,
};

/// Choices of one answer at most.
const CHOICES_LIMIT: usize = 256;

/// What an answer is called if the upstream does not say.
#[derive(Debug, Clone)]
pub struct Birth {
    /// Unique among answers; becomes `chatcmpl-…` or `cmpl-…`.
    pub id: String,
    /// The model that was asked for.
    pub model: String,
    /// When the answer began, in Unix seconds.
    pub created: u64,
}

/// Why no more frames come.
#[derive(Debug)]
pub enum End {
    /// The body ended by itself.
    Body,
    /// The body was broken off, or reading it was given up.
    Fault(Box<Fault>),
}

/// The normalizer of one answer.
#[derive(Debug)]
pub struct Normalizer {
    quirks: Quirks,
    birth: Birth,
    identity: Named,
    /// The envelope of all chunks, once the first one left.
    started: Option<Identity>,
    choices: Vec<Choice>,
    /// How many choices an answer has at least that ends without an end mark.
    expected: usize,
    ids: Ids,
    waiting: Waiting,
    usage: Reports,
    /// The tokens of the request, where they were told before the answer.
    counted: Option<Usage>,
    ended: bool,
}

/// The identity as far as the upstream told it: its first value of each.
#[derive(Debug, Default)]
struct Named {
    id: Option<String>,
    model: Option<String>,
    created: Option<u64>,
}

/// The reports of usage so far.
#[derive(Debug, Default)]
struct Reports {
    /// The candidates whose report is over.
    others: Option<Usage>,
    current: Option<Usage>,
    /// How many choices had finished when a report on a chunk of its own came.
    finished: usize,
}

/// What happens to one frame's deltas: where they go and what is counted.
struct Scene<'s, 'a> {
    carried: Carried<'a>,
    repairs: &'s mut Repairs,
    sink: &'s mut dyn Sink,
}

impl Normalizer {
    /// Makes the normalizer of one answer.
    pub fn new(quirks: Quirks, birth: Birth) -> Normalizer {
        Normalizer {
            quirks,
            ids: Ids::new(&birth.id, quirks.call_ids_optional),
            birth,
            identity: Named::default(),
            started: None,
            choices: Vec::new(),
            expected: 1,
            waiting: Waiting::default(),
            usage: Reports::default(),
            counted: None,
            ended: false,
        }
    }

    /// So many choices were asked for.
    pub fn set_expected(&mut self, choices: usize) {
        self.expected = choices.max(1);
    }

    /// True once `Complete` or `Fault` was sent.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes the deltas of one frame.
    pub fn frame(&mut self, deltas: &mut Vec<Delta<'_>>, repairs: &mut Repairs, sink: &mut dyn Sink) {
        let mut scene = Scene { carried: Carried::default(), repairs, sink };
        let mut failed = None;
        let mut failed_word = None;
        let mut is_end = false;
        for choice in &mut self.choices {
            choice.tools.next_frame();
        }
        for delta in deltas.drain(..) {
            match delta {
                Delta::Id(id) => self.name_id(id, &mut scene),
                Delta::Model(model) => self.name_model(model, &mut scene),
                Delta::Created(created) => self.name_created(created, &mut scene),
                Delta::Unknown(scope, field) => scene.carried.add(scope, field),
                Delta::Choice { choice, .. } if self.is_one_too_many(choice) => {
                    failed = Some(Box::new(Fault::new(FaultCode::TooLarge)));
                    break;
                }
                Delta::Choice { choice, role } => self.mention(choice, role, &mut scene),
                Delta::Reasoning { choice, text } => self.reasoning(choice, text, &mut scene),
                Delta::Detail { choice, detail } => self.detail(choice, *detail, &mut scene),
                Delta::Text { choice, text } => self.text(choice, text, &mut scene),
                Delta::Refusal { choice, text } => self.refusal(choice, text, &mut scene),
                Delta::Tool { choice, fragment } => {
                    if !self.tool(choice, *fragment, &mut scene) {
                        failed.get_or_insert_with(|| Box::new(Fault::new(FaultCode::TooLarge)));
                    }
                }
                Delta::Finish { choice, reason, native } => {
                    failed_word = self.finished(choice, reason, native, &mut scene).or(failed_word);
                }
                Delta::Counted(usage) => self.counted = Some(*usage),
                Delta::Usage(usage, on_choices) => self.report(*usage, on_choices, &mut scene),
                Delta::Error(fault) => failed = Some(fault),
                Delta::End => is_end = true,
            }
        }
        if let Some(word) = failed_word
            && failed.is_none()
        {
            scene.repairs.count(Repair::ErrorInChoice);
            failed = Some(Box::new(failed_by(&word)));
        }
        self.say_pending_reasoning(&mut scene);
        self.settle(&mut scene);
        match failed {
            Some(fault) => self.fail(&fault, &mut scene),
            None if is_end => self.end_mark(&mut scene),
            None => {}
        }
    }

    /// No more frames come.
    pub fn finish(&mut self, end: End, repairs: &mut Repairs, sink: &mut dyn Sink) {
        if self.ended {
            return;
        }
        let mut scene = Scene { carried: Carried::default(), repairs, sink };
        let finished =
            self.choices.len() >= self.expected && self.choices.iter().all(|choice| choice.finish.is_some());
        match end {
            End::Body | End::Fault(_) if finished => {
                if !self.quirks.is_foreign {
                    scene.repairs.count(Repair::DoneMissing);
                }
                self.complete(&mut scene);
            }
            End::Body if self.says_nothing() => self.fail(&Fault::new(FaultCode::Empty), &mut scene),
            End::Body => self.fail(&Fault::new(FaultCode::Truncated), &mut scene),
            End::Fault(fault) => self.fail(&fault, &mut scene),
        }
    }

    /// Sends a part that says nothing, for the first choice.
    pub fn keep_alive(&mut self, repairs: &mut Repairs, sink: &mut dyn Sink) {
        if self.ended {
            return;
        }
        let mut scene = Scene { carried: Carried::default(), repairs, sink };
        let choice = self.choices.first().map_or(0, |choice| choice.index);
        self.say(choice, Body::Nothing, &mut scene);
    }

    /// The upstream says that the answer is complete.
    fn end_mark(&mut self, scene: &mut Scene<'_, '_>) {
        if self.says_nothing() {
            return self.fail(&Fault::new(FaultCode::Empty), scene);
        }
        let unfinished = self.choices.iter().filter(|choice| choice.finish.is_none()).count();
        if unfinished > 0 && self.usage.current.is_none() && !self.quirks.finish_optional {
            // Gateways put an end mark behind answers that were cut.
            return self.fail(&Fault::new(FaultCode::Truncated), scene);
        }
        for _ in 0..unfinished {
            scene.repairs.count(Repair::FinishMissing);
        }
        self.complete(scene);
    }

    /// True if no choice said anything or got a finish reason.
    fn says_nothing(&self) -> bool {
        self.choices.iter().all(|choice| !choice.said && choice.finish.is_none())
    }

    fn name_id(&mut self, id: Cow<'_, str>, scene: &mut Scene<'_, '_>) {
        match self.identity.id.as_deref() {
            Some(known) if known != id => scene.repairs.count(Repair::IdChanged),
            Some(_) => {}
            None => self.identity.id = Some(id.into_owned()),
        }
    }

    fn name_model(&mut self, model: Cow<'_, str>, scene: &mut Scene<'_, '_>) {
        match self.identity.model.as_deref() {
            Some(known) if known != model => scene.repairs.count(Repair::ModelChanged),
            Some(_) => {}
            None => self.identity.model = Some(model.into_owned()),
        }
    }

    fn name_created(&mut self, created: u64, scene: &mut Scene<'_, '_>) {
        match self.identity.created {
            Some(known) if known != created => scene.repairs.count(Repair::CreatedChanged),
            Some(_) => {}
            None => self.identity.created = Some(created),
        }
    }

    /// Where a choice stands in `choices`; it is opened if it was not.
    fn at(&mut self, choice: u32) -> usize {
        match self.choices.binary_search_by_key(&choice, |known| known.index) {
            Ok(at) => at,
            Err(at) => {
                self.choices.insert(at, Choice::new(choice, &self.quirks));
                at
            }
        }
    }

    fn is_one_too_many(&self, choice: u32) -> bool {
        self.choices.len() >= CHOICES_LIMIT
            && self.choices.binary_search_by_key(&choice, |known| known.index).is_err()
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        let at = self.at(choice);
        &mut self.choices[at]
    }

    fn mention(&mut self, choice: u32, role: bool, scene: &mut Scene<'_, '_>) {
        let choice = self.choice(choice);
        if role && std::mem::replace(&mut choice.role_named, true) {
            scene.repairs.count(Repair::RoleRepeated);
        }
    }

    /// Notes that a choice says something, and lets go what waited for that.
    fn speaks(&mut self, choice: u32, scene: &mut Scene<'_, '_>) {
        let choice = self.choice(choice);
        choice.said = true;
        if choice.finish.is_some() && !std::mem::replace(&mut choice.spoke_late, true) {
            scene.repairs.count(Repair::FinishEarly);
        }
    }

    fn reasoning(&mut self, choice: u32, text: Said<'_>, scene: &mut Scene<'_, '_>) {
        self.pause_tools(choice, scene);
        let state = self.choice(choice);
        let Some(text) = new_text(&mut state.reasoning, &text) else { return };
        state.plain_reasoning = true;
        state.pending_reasoning.push_str(text);
        self.speaks(choice, scene);
    }

    fn detail(&mut self, choice: u32, detail: Detail<'_>, scene: &mut Scene<'_, '_>) {
        let state = self.choice(choice);
        if let Some(text) = &detail.text {
            // A provider that streams plain text may say all of it again in one item.
            let again = state.plain_reasoning && state.reasoning.tail(text) == Some("");
            if again {
                scene.repairs.count(Repair::ReasoningDuplicated);
            } else {
                if !self.quirks.is_foreign {
                    scene.repairs.count(Repair::ReasoningRenamed);
                }
                let state = self.choice(choice);
                state.reasoning.push(text);
                state.pending_reasoning.push_str(text);
            }
        }
        self.choice(choice).take_detail(&detail.raw);
        self.speaks(choice, scene);
        let Some(id) = detail.signs else { return };
        let mut fragments = Vec::new();
        self.choice(choice).tools.sign(&id, &detail.raw, &mut fragments);
        if !fragments.is_empty() {
            self.say_reasoning(choice, scene);
            self.say_tools(choice, fragments, scene);
        }
    }

    fn text(&mut self, choice: u32, text: Said<'_>, scene: &mut Scene<'_, '_>) {
        self.say_reasoning(choice, scene);
        self.pause_tools(choice, scene);
        let at = self.at(choice);
        let state = &mut self.choices[at];
        let Some(text) = new_text(&mut state.text, &text) else { return };
        self.speaks(choice, scene);
        let mut splitter =
            std::mem::replace(&mut self.choices[at].splitter, think::Splitter::new(ThinkTags::None));
        let met = splitter.push(text, &mut |piece| self.say_piece(choice, piece, scene));
        self.choices[at].splitter = splitter;
        if met {
            scene.repairs.count(Repair::ThinkTags);
        }
    }

    fn say_piece(&mut self, choice: u32, piece: Piece<'_>, scene: &mut Scene<'_, '_>) {
        match piece {
            Piece::Text(text) => self.say(choice, Body::Text(text), scene),
            Piece::Reasoning(text) => self.say(choice, Body::Reasoning { text, details: &[] }, scene),
        }
    }

    fn refusal(&mut self, choice: u32, text: Said<'_>, scene: &mut Scene<'_, '_>) {
        self.say_reasoning(choice, scene);
        self.pause_tools(choice, scene);
        let state = self.choice(choice);
        let Some(text) = new_text(&mut state.refusal, &text) else { return };
        self.speaks(choice, scene);
        self.say(choice, Body::Refusal(text), scene);
    }

    /// False if there are too many calls.
    fn tool(&mut self, choice: u32, fragment: ToolFragment<'_>, scene: &mut Scene<'_, '_>) -> bool {
        self.speaks(choice, scene);
        let at = self.at(choice);
        let said = self.choices[at].tools.push(fragment, &mut self.ids, scene.repairs);
        let Some(said) = said else { return false };
        if let Some(detail) = said.detail {
            self.choices[at].take_detail(&detail);
        }
        self.say_reasoning(choice, scene);
        self.say_tools(choice, said.fragments, scene);
        true
    }

    /// Something other than a tool call follows: calls that were kept back leave before it.
    fn pause_tools(&mut self, choice: u32, scene: &mut Scene<'_, '_>) {
        let at = self.at(choice);
        if self.choices[at].tools.is_empty() {
            return;
        }
        let mut fragments = Vec::new();
        self.choices[at].tools.pause(&mut self.ids, scene.repairs, &mut fragments);
        self.say_tools(choice, fragments, scene);
    }

    fn say_tools(&mut self, choice: u32, fragments: Vec<Outgoing<'_>>, scene: &mut Scene<'_, '_>) {
        for fragment in fragments {
            let at = self.at(choice);
            let tools = std::mem::take(&mut self.choices[at].tools);
            let (index, id, name) = tools.describe(fragment.call);
            let (arguments, extra_content) = (fragment.arguments.as_ref(), fragment.extra_content.as_slice());
            let unknown = fragment.unknown.as_slice();
            let body = if fragment.first {
                Body::ToolStart { index, id, name, arguments, extra_content, unknown }
            } else {
                Body::ToolMore { index, arguments, extra_content, unknown }
            };
            self.say(choice, body, scene);
            self.choices[at].tools = tools;
        }
    }

    /// Notes a finish reason; gives the provider's word if it means failure.
    fn finished(
        &mut self,
        choice: u32,
        reason: Cow<'_, str>,
        native: Option<Cow<'_, str>>,
        scene: &mut Scene<'_, '_>,
    ) -> Option<String> {
        let failed = [Some(&reason), native.as_ref()]
            .into_iter()
            .flatten()
            .find(|word| finish::meaning(word) == finish::Meaning::Failed);
        if let Some(word) = failed {
            return Some(word.clone().into_owned());
        }
        let state = self.choice(choice);
        let spoke_late = std::mem::replace(&mut state.spoke_late, false);
        if state.finish.is_some() && !spoke_late {
            scene.repairs.count(Repair::FinishRepeated);
        }
        let native =
            native.map(Cow::into_owned).or_else(|| state.finish.take().and_then(|finish| finish.native));
        state.finish = Some(choice::Finished { reason: reason.into_owned(), native });
        None
    }

    fn report(&mut self, usage: Usage, on_choices: bool, scene: &mut Scene<'_, '_>) {
        let finished = self.choices.iter().filter(|choice| choice.finish.is_some()).count();
        if !on_choices && finished < self.choices.len() {
            scene.repairs.count(Repair::UsageMisplaced);
        }
        let reports = &mut self.usage;
        let next_candidate = !on_choices && reports.finished > 0 && finished > reports.finished;
        if !on_choices {
            reports.finished = if finished < self.choices.len() || next_candidate { finished } else { 0 };
        }
        match &mut reports.current {
            None => reports.current = Some(usage),
            Some(current) if next_candidate => {
                let before = std::mem::replace(current, usage);
                match &mut reports.others {
                    None => reports.others = Some(before),
                    Some(others) => others.add(&before),
                }
            }
            Some(current) => {
                if !self.quirks.usage_grows {
                    scene.repairs.count(Repair::UsageRepeated);
                }
                current.merge(usage);
            }
        }
    }

    fn say_pending_reasoning(&mut self, scene: &mut Scene<'_, '_>) {
        for at in 0..self.choices.len() {
            if self.choices[at].has_pending_reasoning() {
                self.say_reasoning(self.choices[at].index, scene);
            }
        }
    }

    /// Says the reasoning of the frame that was collected: text and items together.
    fn say_reasoning(&mut self, choice: u32, scene: &mut Scene<'_, '_>) {
        let state = self.choice(choice);
        if !state.has_pending_reasoning() {
            return;
        }
        let text = std::mem::take(&mut state.pending_reasoning);
        let details: Vec<Cow<'_, str>> = state.pending_details.drain(..).map(Cow::Owned).collect();
        self.say(choice, Body::Reasoning { text: &text, details: &details }, scene);
        let state = self.choice(choice);
        state.pending_reasoning = text;
        state.pending_reasoning.clear();
    }

    /// Sends one part, with the unknown fields that ride on it.
    fn say(&mut self, choice: u32, body: Body<'_>, scene: &mut Scene<'_, '_>) {
        let CarriedChoice { mut beside, mut inside, .. } = scene.carried.take(choice);
        let mut answer = std::mem::take(&mut scene.carried.answer);
        let at = self.at(choice);
        let state = &self.choices[at];
        if self.waiting.conflicts(&answer)
            || state.beside.conflicts(&beside)
            || state.inside.conflicts(&inside)
        {
            self.send(at, Body::Nothing, Fields::new(), Fields::new(), Fields::new(), scene);
        }
        let state = &mut self.choices[at];
        self.waiting.leave_with(&mut answer);
        state.beside.leave_with(&mut beside);
        state.inside.leave_with(&mut inside);
        self.send(at, body, answer, beside, inside, scene);
    }

    fn send(
        &mut self,
        at: usize,
        body: Body<'_>,
        mut answer: Fields<'_>,
        mut beside: Fields<'_>,
        mut inside: Fields<'_>,
        scene: &mut Scene<'_, '_>,
    ) {
        self.waiting.leave_with(&mut answer);
        let state = &mut self.choices[at];
        state.beside.leave_with(&mut beside);
        state.inside.leave_with(&mut inside);
        let first = state.start(scene.repairs);
        let choice = state.index;
        self.start(scene);
        let unknown = Unknown { answer: &answer, choice: &beside, delta: &inside };
        scene.sink.event(&Event::Part(Part { choice, first, body, unknown }));
    }

    /// Sends the envelope, before the first chunk.
    fn start(&mut self, scene: &mut Scene<'_, '_>) {
        if self.started.is_some() {
            return;
        }
        let named = &self.identity;
        for (missing, repair) in [
            (named.id.is_none(), Repair::IdMissing),
            (named.model.is_none(), Repair::ModelMissing),
            (named.created.is_none(), Repair::CreatedMissing),
        ] {
            if missing && !self.quirks.is_foreign {
                scene.repairs.count(repair);
            }
        }
        let identity = Identity {
            id: named.id.clone().unwrap_or_else(|| {
                let kind = if self.quirks.is_completion { "cmpl" } else { "chatcmpl" };
                format!("{kind}-{}", self.birth.id)
            }),
            model: named.model.clone().unwrap_or_else(|| self.birth.model.clone()),
            created: named.created.unwrap_or(self.birth.created),
            counted: self.counted.take(),
        };
        scene.sink.event(&Event::Start(&identity));
        self.started = Some(identity);
    }

    /// The frame is read: what unknown fields are left wait for the next chunk, or are one by themselves.
    fn settle(&mut self, scene: &mut Scene<'_, '_>) {
        let carried = std::mem::take(&mut scene.carried.choices);
        for CarriedChoice { choice, beside, inside } in carried {
            let at = self.at(choice);
            let says = any_says(&inside);
            let state = &self.choices[at];
            if state.beside.conflicts(&beside) || state.inside.conflicts(&inside) {
                self.send(at, Body::Nothing, Fields::new(), Fields::new(), Fields::new(), scene);
            }
            if says {
                // Images, audio, annotations: a part of the answer.
                self.choices[at].said = true;
                let answer = std::mem::take(&mut scene.carried.answer);
                self.send(at, Body::Nothing, answer, beside, inside, scene);
            } else {
                let state = &mut self.choices[at];
                state.beside.add(beside);
                state.inside.add(inside);
            }
        }
        let answer = std::mem::take(&mut scene.carried.answer);
        if self.waiting.conflicts(&answer) && !self.choices.is_empty() {
            self.send(0, Body::Nothing, Fields::new(), Fields::new(), Fields::new(), scene);
        }
        self.waiting.add(answer);
    }

    /// Lets go whatever is held back of a choice.
    fn release(&mut self, at: usize, cut: bool, scene: &mut Scene<'_, '_>) {
        let choice = self.choices[at].index;
        let mut splitter =
            std::mem::replace(&mut self.choices[at].splitter, think::Splitter::new(ThinkTags::None));
        splitter.finish(&mut |piece| self.say_piece(choice, piece, scene));
        let mut fragments = Vec::new();
        self.choices[at].tools.finish(cut, &mut self.ids, scene.repairs, &mut fragments);
        self.say_tools(choice, fragments, scene);
    }

    /// The answer is complete: finishes, usage, end.
    fn complete(&mut self, scene: &mut Scene<'_, '_>) {
        for at in 0..self.choices.len() {
            // What waited since the finish reason came belongs to the finish, not to what is let go now.
            let cut = self.choices[at].is_cut();
            let waiting = std::mem::take(&mut self.waiting);
            let beside = std::mem::take(&mut self.choices[at].beside);
            self.release(at, cut, scene);
            self.waiting = waiting;
            self.choices[at].beside = beside;
            if !self.choices[at].started {
                self.send(at, Body::Nothing, Fields::new(), Fields::new(), Fields::new(), scene);
            }
            let (reason, native) = self.choices[at].reason(self.quirks.is_foreign, scene.repairs);
            let (mut answer, mut beside) = (Fields::new(), Fields::new());
            self.waiting.leave_with(&mut answer);
            self.choices[at].beside.leave_with(&mut beside);
            let unknown = Unknown { answer: &answer, choice: &beside, delta: &[] };
            let choice = self.choices[at].index;
            let native = native.as_deref();
            scene.sink.event(&Event::Finish(Finish { choice, reason, native, unknown }));
        }
        if let Some(usage) = &mut self.usage.current {
            if let Some(others) = self.usage.others.take() {
                usage.add(&others);
            }
            usage.complete(scene.repairs);
            scene.sink.event(&Event::Usage(usage));
        }
        scene.sink.event(&Event::Complete);
        self.ended = true;
    }

    /// The answer is incomplete: what was held back leaves, then the fault.
    fn fail(&mut self, fault: &Fault, scene: &mut Scene<'_, '_>) {
        for at in 0..self.choices.len() {
            self.release(at, true, scene);
        }
        scene.sink.event(&Event::Fault(fault));
        self.ended = true;
    }

    /// The usage that was reported so far, also of an answer that is incomplete.
    pub fn usage(&self) -> Option<Usage> {
        let mut usage = self.usage.current.clone()?;
        if let Some(others) = &self.usage.others {
            usage.add(others);
        }
        usage.complete(&mut Repairs::default());
        Some(usage)
    }
}

/// What of a text is new.
fn new_text<'t>(heard: &mut Heard, text: &'t Said<'_>) -> Option<&'t str> {
    let new = match text {
        Said::Next(text) => text.as_ref(),
        Said::Whole(text) if heard.is_empty() => text.as_ref(),
        // What does not begin with what was said is another wording of it.
        Said::Whole(text) => heard.tail(text)?,
    };
    heard.push(new);
    (!new.is_empty()).then_some(new)
}

/// The fault of an answer whose finish reason says that it failed.
fn failed_by(word: &str) -> Fault {
    Fault {
        message: format!("The upstream ended its answer with finish reason \"{word}\"."),
        provider_code: Some(word.to_owned()),
        ..Fault::new(FaultCode::UpstreamError)
    }
}
