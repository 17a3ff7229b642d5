//! An answer in a manner becomes the frames of an event stream.

use super::answer::Answer;
use super::ids::Ids;
use super::json::{Json, Object};
use super::manner::{Blank, Created, FinishPlace, Id, Manner, Running, UsagePlace};
use super::usage::Counts;
use super::voice::{Draft, drafts, set_blank};
use super::whole;

/// When every answer is said to have been made: the first second of 2026.
pub const CREATED: u64 = 1_767_225_600;

/// What Azure says of a prompt.
const PROMPT_FILTER: &str = r#"[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}]"#;

/// One event of a stream, or what stands between events.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The name of the event; empty where the speech has no names.
    pub name: &'static str,
    /// The JSON of a chunk, the words of a comment, or bytes to send as they stand.
    pub data: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A chunk that goes on.
    Chunk,
    /// A chunk with a finish reason.
    Ending,
    /// `[DONE]`.
    Done,
    /// A comment.
    Comment,
    /// Bytes that are sent as they stand.
    Verbatim,
}

impl Frame {
    /// Makes a frame of a chunk.
    pub fn chunk(data: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Chunk, name: "", data: data.into() }
    }

    /// Makes a frame of a named event.
    pub fn named(kind: Kind, name: &'static str, data: impl Into<Vec<u8>>) -> Self {
        Self { kind, name, data: data.into() }
    }

    /// Makes the end mark.
    pub fn done() -> Self {
        Self { kind: Kind::Done, name: "", data: b"[DONE]".to_vec() }
    }

    /// Makes a comment.
    pub fn comment(text: &str) -> Self {
        Self { kind: Kind::Comment, name: "", data: text.as_bytes().to_vec() }
    }

    /// Makes a frame of bytes that are sent as they stand.
    pub fn verbatim(data: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Verbatim, name: "", data: data.into() }
    }

    /// Says whether the frame is a chunk.
    pub fn is_chunk(&self) -> bool {
        matches!(self.kind, Kind::Chunk | Kind::Ending)
    }
}

/// Renders an answer as a stream; `asked` says that the client asked for usage.
pub fn stream(answer: &Answer, manner: &Manner, asked: bool) -> Vec<Frame> {
    let ids = Ids::new(answer.seed);
    let plan = Plan::new(answer, manner, asked);
    let mut frames = Vec::new();
    let mut chunks = Vec::new();
    if manner.whole_message {
        let event = whole::message_event(answer, manner).write(manner.hand);
        frames.push(Frame::named(Kind::Ending, "", event));
        plan.close(&mut chunks);
    } else {
        chunks = plan.chunks();
    }
    let count = chunks.len();
    for (position, chunk) in chunks.into_iter().enumerate() {
        frames.push(chunk.render(manner, ids, position, count));
    }
    if let Some(comment) = manner.wire.comment {
        frames.insert(frames.len().min(2), Frame::comment(comment));
        frames.insert(0, Frame::comment(comment));
    }
    if manner.wire.done {
        frames.push(Frame::done());
    }
    frames
}

/// What stands under `choices`.
#[derive(Debug, Clone)]
enum Choices {
    /// One choice.
    One(Object),
    /// None.
    Empty,
    /// `null`.
    Null,
    /// No such key.
    Absent,
    /// None; this is Azure's chunk of filter results.
    PromptFilter,
}

/// A chunk before its position is known.
#[derive(Debug, Clone)]
struct Chunk {
    choices: Choices,
    usage: Option<Json>,
    ends: bool,
}

impl Chunk {
    fn without_choice(choices: Choices, usage: Option<Json>) -> Self {
        Self { choices, usage, ends: false }
    }

    fn render(self, manner: &Manner, ids: Ids, position: usize, count: usize) -> Frame {
        let last = position + 1 == count;
        let filter = matches!(self.choices, Choices::PromptFilter);
        let mut chunk = match self.choices {
            Choices::PromptFilter => filter_head(manner),
            Choices::One(_) | Choices::Empty | Choices::Null | Choices::Absent => {
                head(manner, ids, position, last)
            }
        };
        match self.choices {
            Choices::One(choice) => chunk.set("choices", vec![choice.into()]),
            Choices::Empty | Choices::PromptFilter => chunk.set("choices", Vec::new()),
            Choices::Null => chunk.set("choices", Json::Null),
            Choices::Absent => &mut chunk,
        };
        if let Some(usage) = self.usage {
            if manner.usage.groq && matches!(usage, Json::Object(_)) {
                let copy = Object::default().with("id", "req_mock0001").with("usage", usage.clone());
                chunk.set("x_groq", copy);
            }
            chunk.set("usage", usage);
        }
        if last {
            chunk.extend(Object::from_table(manner.top_last));
        }
        if let Some(key) = manner.padding
            && !filter
        {
            chunk.set(key, ids.padding(position));
        }
        Frame {
            kind: if self.ends { Kind::Ending } else { Kind::Chunk },
            name: "",
            data: chunk.write(manner.hand).into_bytes(),
        }
    }
}

/// The keys of a chunk before `choices`.
fn head(manner: &Manner, ids: Ids, position: usize, last: bool) -> Object {
    let mut chunk = Object::default();
    let differs = last && manner.last_object.is_some();
    match manner.id {
        Id::Number => {
            chunk.set("id", ids.number());
        }
        id => {
            let position = if differs { usize::MAX } else { position };
            let id = if differs { fresh(id) } else { id };
            if let Some(id) = ids.chunk(id, position) {
                chunk.set("id", id);
            }
        }
    }
    if let Some(object) = manner.last_object.filter(|_| last).or(manner.object) {
        chunk.set("object", object);
    }
    match manner.created {
        Created::Same => chunk.set("created", CREATED),
        Created::Grows => chunk.set("created", CREATED + position as u64 / 4),
        Created::Zero => chunk.set("created", 0),
        Created::Float => chunk.set("created", Json::Raw(format!("{CREATED}.25"))),
        Created::Absent => &mut chunk,
    };
    if let Some(model) = manner.model {
        chunk.set("model", model);
    }
    chunk.extend(Object::from_table(manner.top));
    if position == 0 {
        chunk.extend(Object::from_table(manner.top_first));
    }
    chunk
}

fn fresh(id: Id) -> Id {
    match id {
        Id::Same(prefix) => Id::Fresh(prefix),
        Id::Fresh(_) | Id::FirstDiffers(..) | Id::Empty | Id::Number | Id::Absent => id,
    }
}

fn filter_head(manner: &Manner) -> Object {
    let mut chunk = Object::default().with("created", 0).with("id", "");
    chunk.set("model", "");
    if manner.object.is_some() {
        chunk.set("object", "");
    }
    chunk.with("prompt_filter_results", Json::Raw(PROMPT_FILTER.to_owned()))
}

/// The way from an answer to chunks.
struct Plan<'a> {
    answer: &'a Answer,
    manner: &'a Manner,
    ids: Ids,
    /// The client asked for usage.
    asked: bool,
    /// Usage will be reported.
    reports: bool,
    /// The counts so far.
    so_far: Counts,
    /// The text of each candidate so far.
    texts: Vec<String>,
}

impl<'a> Plan<'a> {
    fn new(answer: &'a Answer, manner: &'a Manner, asked: bool) -> Self {
        let usage = manner.usage;
        Self {
            answer,
            manner,
            ids: Ids::new(answer.seed),
            asked,
            reports: usage.place != UsagePlace::Nowhere && (asked || !usage.if_asked),
            so_far: Counts { prompt: answer.prompt_tokens, ..Counts::default() },
            texts: vec![String::new(); answer.choices.len()],
        }
    }

    fn chunks(mut self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        if self.manner.prompt_filter {
            chunks.push(Chunk::without_choice(Choices::PromptFilter, None));
        }
        let drafts = self.interleaved();
        let last = self.reporting_draft(&drafts);
        for (position, draft) in drafts.into_iter().enumerate() {
            let (candidate, ends) = (draft.candidate, draft.finish.is_some());
            chunks.push(self.chunk(draft, Some(position) == last));
            if ends && self.reports && self.manner.usage.place == UsagePlace::EachCandidate {
                chunks.extend(self.report_of(candidate));
            }
        }
        self.close(&mut chunks);
        chunks
    }

    /// The drafts of all candidates, one of each in turn.
    fn interleaved(&self) -> Vec<Draft> {
        let choices = self.answer.choices.iter().enumerate();
        let mut voices: Vec<_> = choices
            .map(|(candidate, choice)| drafts(self.manner, self.ids, candidate, choice).into_iter())
            .collect();
        let mut all = Vec::new();
        loop {
            let turn: Vec<Draft> = voices.iter_mut().filter_map(Iterator::next).collect();
            if turn.is_empty() {
                return all;
            }
            all.extend(turn);
        }
    }

    /// The draft on which the final report rides, if it rides on one.
    fn reporting_draft(&self, drafts: &[Draft]) -> Option<usize> {
        if !self.reports || self.manner.usage.place != UsagePlace::Finish {
            return None;
        }
        if self.manner.finish.place == FinishPlace::LastButOne {
            return drafts.len().checked_sub(1);
        }
        drafts.iter().rposition(|draft| draft.finish.is_some()).or(drafts.len().checked_sub(1))
    }

    fn chunk(&mut self, draft: Draft, reports: bool) -> Chunk {
        self.so_far.completion += draft.tokens.0;
        self.so_far.reasoning += draft.tokens.1;
        let usage = self.manner.usage;
        let report = match usage.running {
            Running::SoFar | Running::Nulls | Running::Nothing if reports => {
                Some(Counts::of(self.answer).report(usage.figures))
            }
            Running::SoFar => Some(self.so_far.report(usage.figures)),
            Running::Nulls => Some(self.so_far.report_unfinished(usage.figures)),
            Running::Nothing if self.reports && usage.before == Blank::Null => Some(Json::Null),
            Running::Nothing => None,
        };
        let ends = draft.finish.is_some();
        Chunk { choices: Choices::One(self.choice(draft)), usage: report, ends }
    }

    fn choice(&mut self, draft: Draft) -> Object {
        let mut choice = Object::default().with("index", draft.candidate as u64);
        if self.manner.duplicate_text {
            choice.set("text", draft.text.as_str());
        }
        if self.manner.cumulative_message {
            let text = self.texts.get_mut(draft.candidate);
            let text = text.map_or(String::new(), |text| {
                text.push_str(&draft.text);
                text.clone()
            });
            let message = Object::default().with("role", "assistant").with("content", text);
            choice.set("message", message);
        }
        if let Some(delta) = draft.delta {
            choice.set("delta", delta);
        }
        choice.extend(Object::from_table(self.manner.choice));
        match draft.finish {
            Some((reason, native)) => {
                choice.set("finish_reason", reason);
                if let Some(native) = native {
                    choice.set("native_finish_reason", native);
                }
            }
            None => {
                set_blank(&mut choice, "finish_reason", self.manner.finish.before);
                if self.manner.finish.native.is_some() {
                    choice.set("native_finish_reason", Json::Null);
                }
            }
        }
        choice
    }

    fn report_of(&self, candidate: usize) -> Option<Chunk> {
        let choice = self.answer.choices.get(candidate)?;
        let counts = Counts::of_choice(choice, self.answer.prompt_tokens);
        let report = counts.report(self.manner.usage.figures);
        Some(Chunk::without_choice(Choices::Empty, Some(report)))
    }

    /// Adds what follows the last draft.
    fn close(&self, chunks: &mut Vec<Chunk>) {
        let usage = self.manner.usage;
        let report = || Some(Counts::of(self.answer).report(usage.figures));
        if self.manner.chunk_without_choices {
            chunks.push(Chunk::without_choice(Choices::Absent, Some(Json::Null)));
        }
        if self.reports {
            let choices = match usage.place {
                UsagePlace::Own => Some(Choices::Empty),
                UsagePlace::NullChoices => Some(Choices::Null),
                UsagePlace::NoChoices => Some(Choices::Absent),
                UsagePlace::EmptyDelta => {
                    Some(Choices::One(Object::default().with("index", 0).with("delta", Object::default())))
                }
                UsagePlace::Nowhere | UsagePlace::Finish | UsagePlace::EachCandidate => None,
            };
            chunks.extend(choices.map(|choices| Chunk::without_choice(choices, report())));
        }
        if usage.again && self.asked {
            chunks.push(Chunk::without_choice(Choices::Empty, report()));
        }
        if usage.zeros && self.reports {
            let zeros = Counts::default().report(usage.figures);
            chunks.push(Chunk::without_choice(Choices::Empty, Some(zeros)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::manners;
    use super::super::request::{Ask, Tool};
    use super::*;

    fn asks() -> Vec<Ask> {
        let ask = Ask {
            user: "Hello, pond".to_owned(),
            candidates: 2,
            prompt_tokens: 20,
            include_usage: true,
            ..Ask::default()
        };
        let tool = |parameters| Tool { name: "weather".to_owned(), parameters };
        let city = serde_json::json!({"properties": {"city": {"type": "string"}}});
        let calls = Ask { calls: vec![tool(city), tool(Value::Null)], ..ask.clone() };
        let cut = Ask { limit: Some(3), ..ask.clone() };
        let cut_calls = Ask { limit: Some(15), ..calls.clone() };
        vec![ask, calls, cut, cut_calls]
    }

    fn rendered(manner: &Manner, ask: &Ask) -> Vec<Frame> {
        stream(&Answer::compose(ask, manner.means()), manner, ask.include_usage)
    }

    fn values(frames: &[Frame]) -> Vec<Value> {
        frames
            .iter()
            .filter(|frame| frame.is_chunk())
            .map(|frame| serde_json::from_slice(&frame.data).expect("JSON"))
            .collect()
    }

    #[test]
    fn every_manner_renders_json() {
        for manner in manners::all() {
            for ask in asks() {
                let frames = rendered(manner, &ask);
                let values = values(&frames);
                assert!(!values.is_empty(), "{}", manner.name);
                let done = frames.last().is_some_and(|frame| frame.kind == Kind::Done);
                assert_eq!(done, manner.wire.done, "{}", manner.name);
            }
        }
    }

    #[test]
    fn every_manner_ends_unless_it_never_does() {
        for manner in manners::all() {
            for ask in asks() {
                let frames = rendered(manner, &ask);
                let ends = frames.iter().filter(|frame| frame.kind == Kind::Ending);
                let expect = match manner.finish.place {
                    FinishPlace::Nowhere => 0,
                    FinishPlace::Twice => 2,
                    _ if manner.whole_message => 1,
                    _ if manner.candidates => 2,
                    _ => 1,
                };
                assert_eq!(ends.count(), expect, "{}", manner.name);
            }
        }
    }

    #[test]
    fn running_usage_grows_to_the_final_report() {
        let running = |manner: &&Manner| manner.usage.running == Running::SoFar;
        for manner in manners::all().filter(running) {
            for ask in asks() {
                let ask = Ask { candidates: 1, ..ask };
                let chunks = values(&rendered(manner, &ask));
                let counts: Vec<u64> =
                    chunks.iter().filter_map(|chunk| chunk["usage"]["completion_tokens"].as_u64()).collect();
                assert!(counts.is_sorted(), "{} {counts:?}", manner.name);
                let whole = Answer::compose(&ask, manner.means()).completion_tokens();
                assert_eq!(counts.last(), Some(&whole), "{}", manner.name);
            }
        }
    }

    #[test]
    fn the_clean_manner_reports_usage_only_if_asked() {
        let demo = manners::DEMO;
        let ask = asks().remove(0);
        let quiet = Ask { include_usage: false, ..ask.clone() };
        let silent = values(&rendered(&demo, &quiet));
        assert!(silent.iter().all(|chunk| chunk.get("usage").is_none()));
        let asked = values(&rendered(&demo, &ask));
        let (last, rest) = asked.split_last().expect("chunks");
        assert_eq!(last["choices"], Value::Array(Vec::new()));
        assert_eq!(last["usage"]["prompt_tokens"], 20);
        assert!(rest.iter().all(|chunk| chunk["usage"].is_null()));
    }

    #[test]
    fn openrouter_calls_a_cut_call_tool_calls() {
        let manner = manners::find("openrouter").expect("a manner");
        let tool = Tool { name: "f".to_owned(), parameters: serde_json::json!({"properties": {"city": {}}}) };
        let ask = Ask { calls: vec![tool], limit: Some(17), candidates: 1, ..Ask::default() };
        let chunks = values(&rendered(&manner, &ask));
        let choice = &chunks.last().expect("chunks")["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["native_finish_reason"], "length");
        assert!(chunks.last().expect("chunks")["usage"]["cost"].is_number());
    }
}
