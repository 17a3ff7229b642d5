//! Dialects of their own: what the mock speaks beside chat completions, and what it refuses as the real ones do.
//!
//! A dialect is a manner with a speech of its own and a way to read and check requests; the answer, the
//! faults and the sending are those of every manner. The model's name may be any, and its last part a
//! fault: `claude-sonnet-4-5/cut-after-3`. Tools are called as ever; they are called one after the other
//! if the request allows no parallel calls, or if the user's words have [`IN_TURN`] in them.

mod anthropic;
mod seal;

use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use super::manner::Manner;
use super::refuse::Problem;
use super::request::{Ask, Tool};

/// Words that make the model call tools one after the other.
const IN_TURN: &str = "one by one";

/// A dialect of its own.
#[derive(Debug)]
pub struct Native {
    /// How it speaks.
    pub manner: Manner,
    /// Whether it is spoken at a path.
    serves: fn(&str) -> bool,
    /// Reads and checks a request.
    ask: fn(&Post<'_>) -> Result<Ask, Refused>,
}

const NATIVES: &[Native] = &[anthropic::NATIVE];

/// Finds the dialect that is spoken at a path.
pub fn find(path: &str) -> Option<&'static Native> {
    NATIVES.iter().find(|native| (native.serves)(path))
}

impl Native {
    /// Reads and checks a request.
    pub fn read(&self, parts: &Parts, body: &[u8]) -> Result<Ask, Refused> {
        let body: Value =
            serde_json::from_slice(body).map_err(|_| Refused::new("The request body is not valid JSON."))?;
        (self.ask)(&Post { headers: &parts.headers, body: &body })
    }
}

/// A request.
#[derive(Debug)]
struct Post<'a> {
    headers: &'a HeaderMap,
    body: &'a Value,
}

/// Why a request is refused.
#[derive(Debug)]
pub struct Refused {
    message: String,
    code: &'static str,
}

impl Refused {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Problem::of_status(400).code }
    }

    /// The problem for the envelope.
    pub fn problem(&self) -> Problem<'_> {
        Problem { message: &self.message, code: self.code, ..Problem::of_status(400) }
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
    use super::*;

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
