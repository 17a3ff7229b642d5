//! Dialects of their own: what the mock speaks beside chat completions, and what it refuses as the real ones do.
//!
//! A dialect is a manner with a speech of its own and a way to read and check requests; the answer, the
//! faults and the sending are those of every manner. The model's name may be any, and its last part a
//! fault: `claude-sonnet-4-5/cut-after-3`. Tools are called as ever; they are called one after the other
//! if the request allows no parallel calls, or if the user's words have `IN_TURN` in them.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod ollama;
mod responses;
mod seal;
mod signature;

use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use super::manner::Manner;
use super::refuse::Problem;
use super::request::{Ask, IN_TURN, Tool};

/// Words that make the model refuse: the beginning of a phrase that Anthropic made for that.
const REFUSES: &str = "ANTHROPIC_MAGIC_STRING_TRIGGER_REFUSAL";

/// A dialect of its own.
#[derive(Debug)]
pub struct Native {
    /// How it speaks.
    pub manner: Manner,
    /// Where it is spoken, for people.
    pub place: &'static str,
    /// Whether it is spoken at a path.
    serves: fn(&str) -> bool,
    /// Reads and checks a request.
    ask: fn(&Post<'_>) -> Result<Ask, Refused>,
}

const NATIVES: &[Native] =
    &[anthropic::NATIVE, gemini::NATIVE, responses::NATIVE, cohere::NATIVE, ollama::NATIVE, bedrock::NATIVE];

/// Lists where the dialects are spoken, and what each is.
pub fn list_places() -> impl Iterator<Item = (&'static str, &'static str)> {
    NATIVES.iter().map(|native| (native.place, native.manner.about))
}

/// Finds the dialect that is spoken at a path.
pub fn find(path: &str) -> Option<&'static Native> {
    NATIVES.iter().find(|native| (native.serves)(path))
}

impl Native {
    /// Reads and checks a request.
    pub fn read(&self, parts: &Parts, bytes: &[u8]) -> Result<Ask, Refused> {
        // Models that stand in the path may have a fault behind them, whose `/` is escaped.
        let path = parts.uri.path().replace("%2F", "/").replace("%3A", ":");
        let body: Value =
            serde_json::from_slice(bytes).map_err(|_| Refused::new("The request body is not valid JSON."))?;
        (self.ask)(&Post { path: &path, parts, headers: &parts.headers, bytes, body: &body })
    }
}

/// A request.
#[derive(Debug)]
struct Post<'a> {
    path: &'a str,
    /// The head as it came.
    parts: &'a Parts,
    headers: &'a HeaderMap,
    /// The body as it came.
    bytes: &'a [u8],
    body: &'a Value,
}

/// Why a request is refused.
#[derive(Debug)]
pub struct Refused {
    status: u16,
    message: String,
}

impl Refused {
    fn new(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// The problem for the envelope.
    pub fn problem(&self) -> Problem<'_> {
        Problem { message: &self.message, ..Problem::of_status(self.status) }
    }
}

/// Refuses a request unless it is as it must be.
fn must(is: bool, message: impl FnOnce() -> String) -> Result<(), Refused> {
    if is { Ok(()) } else { Err(Refused::new(message())) }
}

/// What decides which tools are called.
#[derive(Debug, Default)]
struct Calling<'a> {
    /// The tools that are offered.
    tools: Vec<Tool>,
    /// None may be called.
    never: bool,
    /// The only one that may be called.
    only: Option<&'a str>,
    /// They are called one after the other.
    in_turn: bool,
    /// Those that were called since the user spoke.
    called: Vec<&'a str>,
}

impl Calling<'_> {
    /// The tools to call now: the first two, or the next one.
    fn next(mut self) -> Vec<Tool> {
        if self.never || !self.in_turn && !self.called.is_empty() {
            return Vec::new();
        }
        if let Some(only) = self.only {
            self.tools.retain(|tool| tool.name == only);
        }
        self.tools.retain(|tool| !self.called.contains(&tool.name.as_str()));
        self.tools.truncate(if self.in_turn { 1 } else { 2 });
        self.tools
    }
}

/// The model that a path names between a word and an ending.
fn model_in<'a>(path: &'a str, word: &str, end: char) -> &'a str {
    let rest = path.split_once(word).map(|(_, rest)| rest).unwrap_or_default();
    rest.rsplit_once(end).map_or(rest, |(model, _)| model)
}

/// The items that were added since the last one that is true: a turn of the user's.
fn since<T>(items: &[T], is_turn: impl Fn(&T) -> bool) -> &[T] {
    let at = items.iter().rposition(is_turn).unwrap_or(0);
    items.get(at..).unwrap_or_default()
}

/// A string member.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The items of a list; none of what is no list.
fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::manner::Framing;
    use super::super::render::Kind;
    use super::super::wire;
    use super::*;
    use crate::event::Repairs;
    use crate::framing::Framer;

    fn asks() -> Vec<Ask> {
        let parameters = serde_json::json!({"properties": {"city": {"type": "string"}}});
        let tool =
            |name: &str, parameters: &Value| Tool { name: name.to_owned(), parameters: parameters.clone() };
        let ask = Ask { user: "Hello, pond".to_owned(), thinks: true, seals: true, ..Ask::about("hello") };
        let calls = vec![tool("weather", &parameters), tool("ping", &Value::Null)];
        let calls = Ask { calls, ..ask.clone() };
        vec![
            Ask { limit: Some(3), ..ask.clone() },
            Ask { limit: Some(19), ..calls.clone() },
            Ask { refused: true, ..ask.clone() },
            Ask { hides: true, ..ask.clone() },
            ask,
            calls,
        ]
    }

    #[test]
    fn every_dialect_says_json_in_its_framing_and_ends_once() {
        for native in NATIVES {
            let manner = &native.manner;
            for ask in asks() {
                let answer = Answer::compose(&ask, manner.means());
                let whole = (manner.speech.whole)(&answer, manner).write(manner.hand);
                assert!(serde_json::from_str::<Value>(&whole).is_ok(), "{}: {whole}", manner.name);
                let frames = (manner.speech.stream)(&answer, manner, true);
                let ends = frames.iter().filter(|frame| frame.kind == Kind::Ending).count();
                assert_eq!(ends, 1, "{}", manner.name);
                let framing = match (manner.wire.framing, manner.wire.field) {
                    (Framing::EventStream, _) => crate::framing::Framing::EventStream,
                    (Framing::Lines, "") => crate::framing::Framing::Ndjson,
                    (Framing::Lines, _) => crate::framing::Framing::Sse,
                };
                let (mut framer, mut repairs) = (Framer::new(framing, 1 << 20), Repairs::default());
                framer.push(&wire::write(&frames, manner.wire).concat());
                for frame in &frames {
                    let read = framer.next(&mut repairs).expect("a frame").expect("as many frames");
                    assert_eq!(read.name, frame.name.as_bytes(), "{}", manner.name);
                    let is_json = serde_json::from_slice::<Value>(read.data).is_ok();
                    assert!(is_json || read.data == b"[DONE]", "{}", manner.name);
                }
                assert!(matches!(framer.next(&mut repairs), Ok(None)), "{}", manner.name);
            }
        }
    }

    #[test]
    fn tools_are_called_at_once_or_in_turn() {
        let tools = |names: &[&str]| -> Vec<Tool> {
            let tool = |name: &&str| Tool { name: (*name).to_owned(), parameters: Value::Null };
            names.iter().map(tool).collect()
        };
        let calling = |in_turn, called: &[&'static str]| Calling {
            tools: tools(&["a", "b", "c"]),
            in_turn,
            called: called.to_vec(),
            ..Calling::default()
        };
        assert_eq!(calling(false, &[]).next(), tools(&["a", "b"]));
        assert_eq!(calling(false, &["a"]).next(), []);
        assert_eq!(calling(true, &[]).next(), tools(&["a"]));
        assert_eq!(calling(true, &["a", "b"]).next(), tools(&["c"]));
        assert_eq!(calling(true, &["a", "b", "c"]).next(), []);
        assert_eq!(Calling { only: Some("b"), ..calling(false, &[]) }.next(), tools(&["b"]));
    }
}
