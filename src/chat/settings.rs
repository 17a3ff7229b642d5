//! What a chat asks for besides its messages and tools: limits, reasoning, the form of the answer.

use std::borrow::Cow;

use super::{Chat, RequestError};
use crate::json::{self, Members};

/// How much the model is to think; the order is that of the amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// A little.
    Low,
    /// What most models do by themselves.
    Medium,
    /// Much.
    High,
    /// More than much.
    ExtraHigh,
    /// As much as possible.
    Max,
}

impl Effort {
    /// Reads the word of the API.
    pub fn of(word: &str) -> Option<Effort> {
        Some(match word {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::ExtraHigh,
            "max" => Effort::Max,
            _ => return None,
        })
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::ExtraHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// The share of an answer's tokens that is thought, in percent, where a provider takes a number of
    /// tokens: the shares that OpenRouter documents.
    pub fn percent(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal => 10,
            Effort::Low => 20,
            Effort::Medium => 50,
            Effort::High => 80,
            Effort::ExtraHigh | Effort::Max => 95,
        }
    }
}

/// What the client says about reasoning, by `reasoning_effort` or OpenRouter's `reasoning`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How much, in a word.
    pub effort: Option<Effort>,
    /// How much, in tokens.
    pub tokens: Option<u64>,
    /// It is wanted, or not, without saying how much.
    pub enabled: Option<bool>,
}

impl Thinking {
    /// True if reasoning is not wanted.
    pub fn is_off(self) -> bool {
        self.enabled == Some(false) || self.effort == Some(Effort::None) || self.tokens == Some(0)
    }

    /// True if reasoning is wanted.
    pub fn is_on(self) -> bool {
        let asked = self.enabled == Some(true) || self.effort.is_some() || self.tokens.is_some();
        asked && !self.is_off()
    }
}

/// The form that the answer must have.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponseFormat<'a> {
    /// Text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// The schema's name.
        name: Option<Cow<'a, str>>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// The schema, as JSON text.
        schema: &'a str,
        /// Whether it must be followed to the letter.
        strict: Option<bool>,
    },
}

impl Chat {
    /// The most tokens that the answer may have; `max_completion_tokens` is the newer name and comes first.
    pub fn max_tokens(&self) -> Result<Option<u64>, RequestError> {
        for name in ["max_completion_tokens", "max_tokens"] {
            if let Some(raw) = self.given(name) {
                let count = json::count(raw).filter(|&count| count > 0);
                return count.map(Some).ok_or(RequestError::WrongType(name, "a positive integer"));
            }
        }
        Ok(None)
    }

    /// The texts at which the model stops; white space alone is kept.
    pub fn stop(&self) -> Result<Vec<Cow<'_, str>>, RequestError> {
        let Some(raw) = self.given("stop") else { return Ok(Vec::new()) };
        let wrong = RequestError::WrongType("stop", "a string or a list of strings");
        let texts = if raw.starts_with('[') {
            let texts: Vec<&serde_json::value::RawValue> =
                serde_json::from_str(raw).map_err(|_| wrong.clone())?;
            texts.into_iter().map(|raw| json::string(raw.get())).collect()
        } else {
            Some(vec![json::string(raw).ok_or(wrong.clone())?])
        };
        let texts: Vec<Cow<'_, str>> = texts.ok_or(wrong)?;
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// A number, as the client wrote it.
    pub fn number(&self, name: &'static str) -> Result<Option<&str>, RequestError> {
        match self.given(name) {
            None => Ok(None),
            Some(raw) if raw.parse::<f64>().is_ok() => Ok(Some(raw)),
            Some(_) => Err(RequestError::WrongType(name, "a number")),
        }
    }

    /// Refuses more than one answer, for providers that give one only.
    pub fn check_single(&self) -> Result<(), RequestError> {
        match self.given("n") {
            None | Some("1") => Ok(()),
            Some(_) => {
                Err(RequestError::unsupported("n", "this provider gives one answer only. Leave n out."))
            }
        }
    }

    /// What is said about reasoning.
    pub fn thinking(&self) -> Result<Thinking, RequestError> {
        const EFFORTS: &str = "one of none, minimal, low, medium, high, xhigh, max";
        let mut thinking = Thinking::default();
        let effort = |raw: &str, place: &str| {
            let effort = json::word(raw).as_deref().and_then(Effort::of);
            effort.ok_or_else(|| RequestError::Malformed { place: place.to_owned(), expected: EFFORTS })
        };
        if let Some(raw) = self.given("reasoning_effort") {
            thinking.effort = Some(effort(raw, "reasoning_effort")?);
        }
        let reasoning = self.given("reasoning").map(Members::of).unwrap_or_default();
        for (name, raw) in reasoning.0.iter().filter(|(_, raw)| *raw != "null") {
            match name.as_ref() {
                "effort" => thinking.effort = Some(effort(raw, "reasoning.effort")?),
                "max_tokens" => {
                    let place = "reasoning.max_tokens".to_owned();
                    let expected = "an integer that is not negative";
                    let count = json::count(raw).ok_or(RequestError::Malformed { place, expected })?;
                    thinking.tokens = Some(count);
                }
                "enabled" => thinking.enabled = Some(*raw == "true"),
                _ => {}
            }
        }
        Ok(thinking)
    }

    /// The form that the answer must have, if the client says so.
    pub fn response_format(&self) -> Result<Option<ResponseFormat<'_>>, RequestError> {
        let Some(raw) = self.given("response_format") else { return Ok(None) };
        let members = Members::of(raw);
        let format = match members.find("type").and_then(json::word).as_deref() {
            Some("text") => Some(ResponseFormat::Text),
            Some("json_object") => Some(ResponseFormat::JsonObject),
            Some("json_schema") => schema(&members),
            Some(_) | None => None,
        };
        let expected = "of type text, json_object or json_schema with a schema";
        format.map(Some).ok_or(RequestError::WrongType("response_format", expected))
    }
}

fn schema<'a>(members: &Members<'a>) -> Option<ResponseFormat<'a>> {
    let inner = members.find("json_schema").map(Members::of);
    let inner = inner.as_ref().unwrap_or(members);
    Some(ResponseFormat::JsonSchema {
        name: inner.find("name").and_then(json::word),
        description: inner.find("description").and_then(json::word),
        schema: inner.find("schema").filter(|raw| raw.starts_with('{'))?,
        strict: inner.find("strict").map(|raw| raw == "true"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(extra: &str) -> Chat {
        Chat::read(format!("{{\"model\":\"m\",\"messages\":[{{}}],{extra}}}").as_bytes()).unwrap()
    }

    #[test]
    fn stop_is_a_string_or_a_list() {
        assert_eq!(chat(r#""stop":"a""#).stop().unwrap(), ["a"]);
        assert_eq!(chat(r#""stop":["a","\n",""]"#).stop().unwrap(), ["a", "\n"]);
        assert!(chat(r#""stop":null"#).stop().unwrap().is_empty());
        assert_eq!(chat(r#""stop":[1]"#).stop().unwrap_err().param(), Some("stop"));
    }

    #[test]
    fn reasoning_is_asked_for_in_two_ways() {
        let thinking = |extra: &str| chat(extra).thinking().unwrap();
        assert_eq!(thinking(r#""reasoning_effort":"high""#).effort, Some(Effort::High));
        assert_eq!(thinking(r#""reasoning":{"effort":"low","exclude":true}"#).effort, Some(Effort::Low));
        assert_eq!(thinking(r#""reasoning":{"max_tokens":2000}"#).tokens, Some(2000));
        assert!(thinking(r#""reasoning":{"enabled":true}"#).is_on());
        assert!(thinking(r#""reasoning":{"enabled":false}"#).is_off());
        assert!(thinking(r#""reasoning_effort":"none""#).is_off());
        let none = thinking(r#""x":1"#);
        assert!(!none.is_on() && !none.is_off());
        let error = chat(r#""reasoning":{"effort":"vast"}"#).thinking().unwrap_err();
        assert_eq!(error.param(), Some("reasoning.effort"));
    }

    #[test]
    fn the_newer_limit_comes_first() {
        assert_eq!(chat(r#""max_tokens":1,"max_completion_tokens":2"#).max_tokens(), Ok(Some(2)));
        assert_eq!(chat(r#""max_tokens":"x""#).max_tokens().unwrap_err().param(), Some("max_tokens"));
    }

    #[test]
    fn only_one_answer_is_taken_where_there_is_one() {
        assert_eq!(chat(r#""n":1"#).check_single(), Ok(()));
        assert_eq!(chat(r#""n":2"#).check_single().unwrap_err().param(), Some("n"));
    }
}
