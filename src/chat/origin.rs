//! What a chat was before it was translated: a request of another API.
//!
//! A dialect that speaks that API takes the request as the client wrote it, so that nothing is lost on the way.
//! For all others it is told here what only such a dialect can do, and how the client calls its fields.

use std::borrow::Cow;

use super::{Chat, RequestError};

/// A request of the Responses API.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's own body: the text of a JSON object.
    pub body: String,
    /// What only a provider can do that speaks the API.
    pub needs: Vec<Need>,
    /// The answer that the request goes on from, which only a provider may know.
    pub previous: Option<String>,
    /// Fields that no other API has, and that nobody misses.
    pub left_out: Vec<&'static str>,
    /// Which item of `input` each message comes from; `None` is `instructions`.
    pub places: Vec<Option<usize>>,
}

/// Something that only a provider can do that speaks the client's API.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// Where it stands in the request.
    pub place: String,
    /// What it is, such as `the hosted tool "web_search"`.
    pub what: String,
}

/// The fields of chat completions that the API calls otherwise.
const NAMES: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("verbosity", "text.verbosity"),
    ("reasoning_effort", "reasoning.effort"),
    ("logprobs", "include"),
];

impl Chat {
    /// Refuses what a dialect that does not speak the client's own API cannot do.
    pub fn check_needs(&self) -> Result<(), RequestError> {
        let Some(origin) = &self.origin else { return Ok(()) };
        if let Some(id) = &origin.previous {
            return Err(RequestError::NotStored(id.clone()));
        }
        match origin.needs.first() {
            None => Ok(()),
            Some(first) => {
                let all: Vec<&str> = origin.needs.iter().map(|need| need.what.as_str()).collect();
                Err(RequestError::Needs { place: first.place.clone(), what: all.join(", ") })
            }
        }
    }

    /// A mistake in the words of the API that the client speaks.
    pub fn in_its_words(&self, error: RequestError) -> RequestError {
        let Some(origin) = &self.origin else { return error };
        match error {
            RequestError::Malformed { place, expected } => {
                RequestError::Malformed { place: origin.place(&place), expected }
            }
            RequestError::Unsupported { place, why } => {
                RequestError::Unsupported { place: origin.place(&place), why }
            }
            RequestError::WrongType(name, expected) => RequestError::WrongType(renamed(name), expected),
            RequestError::NotJson(_)
            | RequestError::NotAnObject
            | RequestError::Missing(..)
            | RequestError::NotStored(_)
            | RequestError::Needs { .. } => error,
        }
    }
}

fn renamed(name: &'static str) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, own)| own)
}

impl Origin {
    /// `messages[3].content[1]` as `input[2].content[1]`.
    fn place(&self, place: &str) -> String {
        if let Some((_, own)) = NAMES.iter().find(|(known, _)| *known == place) {
            return (*own).to_owned();
        }
        let Some((number, rest)) = place.strip_prefix("messages[").and_then(|rest| rest.split_once(']'))
        else {
            return place.to_owned();
        };
        let at = number.parse::<usize>().ok().and_then(|at| self.places.get(at)); // A place is a number.
        match at {
            Some(Some(at)) => format!("input[{at}]{rest}"),
            Some(None) => "instructions".to_owned(),
            None => place.to_owned(),
        }
    }

    /// The names of the fields that were left out, and how the client calls those of chat completions.
    pub fn dropped(&self, dropped: Vec<String>) -> Vec<String> {
        let left_out = self.left_out.iter().map(|name| Cow::Borrowed(*name));
        let dropped = dropped.into_iter().map(|name| Cow::Owned(self.place(&name)));
        left_out.chain(dropped).map(Cow::into_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_as_the_client_calls_it() {
        let origin = Origin { places: vec![None, Some(0), Some(4)], ..Origin::default() };
        for (place, expect) in [
            ("messages[0].content", "instructions"),
            ("messages[2].content[1]", "input[4].content[1]"),
            ("messages[9]", "messages[9]"),
            ("max_tokens", "max_output_tokens"),
            ("tools[1]", "tools[1]"),
        ] {
            assert_eq!(origin.place(place), expect);
        }
    }
}
