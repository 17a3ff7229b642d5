//! What was said: by an upstream as the plain reader finds it, and to a client that reads strictly.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::contract::Answer;
use crate::support::plain::{self, Ending, Plain};

/// Every text of an answer, by choice and name; none is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said(BTreeMap<(u64, String), String>);

impl Said {
    /// What a body says in a dialect, and the end that it has if nothing breaks (E5).
    pub fn by(dialect: &str, body: &[u8]) -> (Said, &'static str) {
        let plain = plain::read(dialect, body);
        let end = end_of(&plain);
        let mut said = Said::default();
        for (index, choice) in &plain.choices {
            let calls = choice.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()));
            said.choice(*index, [&choice.text, &choice.reasoning, &choice.refusal], calls);
        }
        (said, end)
    }

    /// What a client understood.
    pub fn to(answer: &Answer) -> Said {
        let mut said = Said::default();
        for (index, choice) in &answer.choices {
            let calls = choice.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()));
            said.choice(*index, [&choice.text, &choice.reasoning, &choice.refusal], calls);
        }
        said
    }

    fn choice<'a>(
        &mut self,
        index: u64,
        [text, reasoning, refusal]: [&String; 3],
        calls: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut keep = |name: String, text: &str| {
            if !text.is_empty() {
                self.0.insert((index, name), text.to_owned());
            }
        };
        keep("text".to_owned(), text);
        keep("reasoning".to_owned(), reasoning);
        keep("refusal".to_owned(), refusal);
        for (at, (name, arguments)) in calls.enumerate() {
            keep(format!("call {at} name"), name);
            // Whole arguments are compared as JSON: some dialects have an object where others have its text.
            let whole = serde_json::from_str::<Value>(arguments).map(|object| object.to_string());
            keep(format!("call {at} arguments"), &whole.unwrap_or_else(|_| arguments.to_owned()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without the calls, which a fault may leave without their end.
    pub fn texts(&self) -> Vec<(&(u64, String), &String)> {
        self.0.iter().filter(|((_, name), _)| !name.starts_with("call ")).collect()
    }

    /// True if each text is a beginning of the other's text of that name: nothing is invented or doubled.
    pub fn begins(&self, whole: &Said) -> bool {
        self.0.iter().all(|(name, text)| whole.0.get(name).is_some_and(|whole| whole.starts_with(text)))
    }
}

/// How an answer ends whose body ends cleanly.
fn end_of(plain: &Plain) -> &'static str {
    let said = plain.choices.values().any(|choice| {
        let texts = [&choice.text, &choice.reasoning, &choice.refusal];
        choice.finish.is_some() || texts.iter().any(|text| !text.is_empty()) || !choice.calls.is_empty()
    });
    match plain.ending(false) {
        Ending::Complete => "complete",
        Ending::Fault if plain.failed => "upstream_error",
        Ending::Fault if said => "truncated",
        Ending::Fault => "empty",
    }
}
