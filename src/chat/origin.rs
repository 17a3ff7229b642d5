//! What a chat was before it was translated: a request of another API, in the client's own words.
//!
//! A dialect that speaks that API takes it as it came, so that nothing is lost on the way. For all others it is told
//! here what only such a dialect can do, what was left out, and how the client calls the rest. Who goes which way is
//! decided in one place: [`ask`](crate::dialect::ask).

use std::borrow::Cow;
use std::fmt;

use super::{Chat, RequestError, client_fields};
use crate::json::{self, Field, Members};

/// An API that clients speak, and some providers, beside chat completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tongue {
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// A request as the client wrote it.
#[derive(Debug)]
pub struct Origin {
    /// Whose words these are.
    pub tongue: Tongue,
    /// The members of the body, without those that are for millpond.
    pub fields: Vec<Field<'static>>,
    /// What only a provider can do that speaks the API.
    pub needs: Vec<Need>,
    /// Fields that the chat does not have, and that nobody misses.
    pub left_out: Vec<String>,
    /// Where the client said each message of the chat.
    pub places: Vec<Said>,
}

/// Something that only a provider can do that speaks the client's API.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// Where it stands in the request.
    pub place: String,
    /// What it is, such as `the hosted tool "web_search"`.
    pub what: String,
}

/// Where the client said a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The message, such as `input[2]`, or a field that is one by itself.
    pub place: String,
    /// The parts of its content.
    pub parts: Vec<String>,
}

impl fmt::Display for Tongue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tongue::Responses => "the Responses API",
            Tongue::Messages => "the Messages API",
        })
    }
}

impl Tongue {
    /// The fields of chat completions that the API calls otherwise; of two names, the one that the client used.
    fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Tongue::Responses => &[
                ("max_completion_tokens", "max_output_tokens"),
                ("max_tokens", "max_output_tokens"),
                ("response_format", "text.format"),
                ("verbosity", "text.verbosity"),
                ("reasoning_effort", "reasoning.effort"),
                ("logprobs", "include"),
                ("logprobs", "top_logprobs"),
            ],
            Tongue::Messages => &[
                ("max_completion_tokens", "max_tokens"),
                ("stop", "stop_sequences"),
                ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
                ("response_format", "output_config.format"),
                ("response_format", "output_format"),
                ("reasoning", "thinking"),
                ("reasoning", "output_config.effort"),
                ("reasoning.max_tokens", "thinking.budget_tokens"),
                ("reasoning.effort", "output_config.effort"),
                ("user", "metadata.user_id"),
            ],
        }
    }
}

impl Chat {
    /// The request in the client's own words, if they are of this API.
    pub fn said_in(&self, tongue: Tongue) -> Option<&Origin> {
        self.origin.as_deref().filter(|origin| origin.tongue == tongue)
    }
}

impl Origin {
    /// A request of which nothing is translated yet.
    pub fn new(tongue: Tongue, request: &Members<'_>) -> Origin {
        let fields = client_fields(request);
        Origin { tongue, fields, needs: Vec::new(), left_out: Vec::new(), places: Vec::new() }
    }

    /// The raw value of a field that is not null.
    pub fn given(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().rev().find(|field| field.name == name);
        field.map(|field| field.value.as_ref()).filter(|raw| *raw != "null")
    }

    /// Notes what only a provider can do that speaks the API.
    pub fn need(&mut self, place: impl ToString, what: impl ToString) {
        self.needs.push(Need { place: place.to_string(), what: what.to_string() });
    }

    /// The answer that the request goes on from, which only a provider may know.
    pub fn previous(&self) -> Option<Cow<'_, str>> {
        self.given("previous_response_id").filter(|_| self.tongue == Tongue::Responses).and_then(json::word)
    }

    /// Refuses what nobody can do who does not speak the API.
    pub fn check(&self) -> Result<(), RequestError> {
        if let Some(id) = self.previous() {
            return Err(RequestError::NotStored(id.into_owned()));
        }
        let Some(first) = self.needs.first() else { return Ok(()) };
        let what: Vec<&str> = self.needs.iter().map(|need| need.what.as_str()).collect();
        let (place, what) = (first.place.clone(), what.join(", "));
        Err(RequestError::Needs { place, what, tongue: self.tongue })
    }

    /// A mistake in the client's words.
    pub fn in_its_words(&self, error: RequestError) -> RequestError {
        match error {
            RequestError::Malformed { place, expected } => {
                RequestError::Malformed { place: self.place(&place), expected }
            }
            RequestError::Unsupported { place, why } => {
                RequestError::Unsupported { place: self.place(&place), why }
            }
            RequestError::WrongType(name, expected) => {
                RequestError::WrongType(self.name(name).unwrap_or(name), expected)
            }
            RequestError::NotJson(_)
            | RequestError::NotAnObject
            | RequestError::Missing(..)
            | RequestError::NotStored(_)
            | RequestError::Needs { .. } => error,
        }
    }

    /// All that was left out, in the client's words; `dropped` are fields of the chat.
    pub fn dropped(&self, dropped: Vec<String>) -> Vec<String> {
        let mut all = self.left_out.clone();
        for name in dropped {
            let name = self.place(&name);
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// The client's name for a field of the chat, if it is another.
    fn name(&self, name: &str) -> Option<&'static str> {
        let mut own = self.tongue.names().iter().filter(|(known, _)| *known == name).map(|(_, own)| *own);
        let is_used = |own: &&str| self.given(own.split('.').next().unwrap_or_default()).is_some();
        own.clone().find(is_used).or_else(|| own.next())
    }

    /// `messages[3].content[1]` as `input[2].content[1]`.
    fn place(&self, place: &str) -> String {
        if let Some(own) = self.name(place) {
            return own.to_owned();
        }
        let Some((number, rest)) = place.strip_prefix("messages[").and_then(|rest| rest.split_once(']'))
        else {
            return place.to_owned();
        };
        let at = number.parse::<usize>().ok(); // A place is a number.
        let Some(Said { place: message, parts }) = at.and_then(|at| self.places.get(at)) else {
            return place.to_owned();
        };
        let part = rest.strip_prefix(".content[").and_then(|rest| rest.strip_suffix(']'));
        match part.and_then(|part| parts.get(part.parse::<usize>().ok()?)) {
            Some(part) => part.clone(),
            None if message.ends_with(']') => format!("{message}{rest}"),
            // A field that is a message has no members.
            None => message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(tongue: Tongue, request: &str, places: &[(&str, &[&str])]) -> Origin {
        let said = |(place, parts): &(&str, &[&str])| Said {
            place: (*place).to_owned(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        };
        let places = places.iter().map(said).collect();
        Origin { places, ..Origin::new(tongue, &Members::of(request)) }
    }

    #[test]
    fn a_place_is_named_as_the_client_calls_it() {
        let places: [(&str, &[&str]); 3] =
            [("instructions", &[]), ("input[0]", &[]), ("input[4]", &["input[4].output[0]"])];
        let responses = origin(Tongue::Responses, "{}", &places);
        let messages = origin(Tongue::Messages, r#"{"output_config":{}}"#, &places);
        for (place, of_responses, of_messages) in [
            ("messages[0].content", "instructions", "instructions"),
            ("messages[1].content[1]", "input[0].content[1]", "input[0].content[1]"),
            ("messages[2].content[0]", "input[4].output[0]", "input[4].output[0]"),
            ("messages[2].content[1]", "input[4].content[1]", "input[4].content[1]"),
            ("messages[9]", "messages[9]", "messages[9]"),
            ("max_tokens", "max_output_tokens", "max_tokens"),
            ("reasoning", "reasoning", "output_config.effort"),
            ("stop", "stop", "stop_sequences"),
            ("tools[1]", "tools[1]", "tools[1]"),
        ] {
            assert_eq!(
                (responses.place(place).as_str(), messages.place(place).as_str()),
                (of_responses, of_messages)
            );
        }
    }

    #[test]
    fn what_is_left_out_is_named_once() {
        let mut origin = origin(Tongue::Messages, "{}", &[]);
        origin.left_out.push("metadata.user_id".to_owned());
        let dropped = ["user", "stop"].map(str::to_owned).to_vec();
        assert_eq!(origin.dropped(dropped), ["metadata.user_id", "stop_sequences"]);
    }

    #[test]
    fn the_first_of_all_needs_is_to_blame() {
        let mut origin = origin(Tongue::Messages, r#"{"previous_response_id":"x"}"#, &[]);
        assert_eq!(origin.check(), Ok(()));
        origin.need("tools[1]", "a");
        origin.need("container", "b");
        let error = origin.check().unwrap_err();
        assert_eq!(error.param(), Some("tools[1]"));
        assert!(error.to_string().contains("a, b: only a provider that speaks the Messages API"), "{error}");
    }
}
