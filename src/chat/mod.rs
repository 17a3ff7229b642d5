//! The client's request, parsed once; what millpond does not own is kept byte for byte.
//!
//! A dialect that passes messages on as they came takes [`Chat::fields`]. One that translates them asks for
//! the typed view, which is read when it is asked for: [`message`] for the messages, [`tool`] for tools,
//! [`settings`] for everything else. A client of another API said it in other words, which its [`Origin`] keeps.

pub mod message;
mod origin;
pub mod sealed;
pub mod settings;
pub mod tool;

use std::borrow::Cow;
use std::sync::Arc;

pub use origin::{Need, Origin, Said, Tongue};
use serde::{Deserialize, Serialize};

use crate::json::{self, Field, Members};

/// A chat-completions request, or one for the continuation of a text.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The model as the client named it.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    /// The client wants usage in its stream.
    pub include_usage: bool,
    /// `stream_options` as the client sent it.
    pub stream_options: Option<String>,
    /// What goes into the body of one provider only, by the provider's name, as the client sent it.
    pub provider_options: Option<String>,
    /// Everything else, in the client's order.
    pub fields: Vec<Field<'static>>,
    /// A text is to be continued: there is a `prompt` in place of messages.
    pub is_completion: bool,
    /// What it was before it was translated, if the client speaks another API.
    pub origin: Option<Arc<Origin>>,
}

/// What is wrong with a request; each one is the client's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not JSON.
    #[error("The request body is not valid JSON: {0}. Send one JSON object.")]
    NotJson(String),
    /// The body is JSON, but no object.
    #[error("The request body must be a JSON object, with a \"model\" and what is asked of it.")]
    NotAnObject,
    /// A field that is needed is missing.
    #[error("The request has no \"{0}\". {1}")]
    Missing(&'static str, &'static str),
    /// A field has a type that cannot be meant.
    #[error("\"{0}\" must be {1}.")]
    WrongType(&'static str, &'static str),
    /// A part of the request has a form that cannot be meant.
    #[error("{place} must be {expected}.")]
    Malformed {
        /// The part, as a path such as `messages[0].content`.
        place: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The provider cannot do what is asked for.
    #[error("{place} is not supported here: {why}")]
    Unsupported {
        /// The field, or a path into it.
        place: String,
        /// Why, in a sentence that says what to do.
        why: &'static str,
    },
    /// Nobody knows the answer that the request goes on from.
    #[error("Previous response with id '{0}' not found.")]
    NotStored(String),
    /// Only a provider that speaks the client's own API can do what is asked for.
    #[error("{place} needs {what}: only a provider that speaks {tongue} has that. Ask one, or do without.")]
    Needs {
        /// Where it stands in the request.
        place: String,
        /// All that is needed.
        what: String,
        /// The client's own API.
        tongue: Tongue,
    },
}

impl RequestError {
    /// The field of the request that is to blame.
    pub fn param(&self) -> Option<&str> {
        match self {
            RequestError::NotJson(_) | RequestError::NotAnObject => None,
            RequestError::Missing(field, _) | RequestError::WrongType(field, _) => Some(field),
            RequestError::Malformed { place, .. }
            | RequestError::Unsupported { place, .. }
            | RequestError::Needs { place, .. } => Some(place),
            RequestError::NotStored(_) => Some("previous_response_id"),
        }
    }

    /// A code that clients know the mistake by.
    pub fn code(&self) -> Option<&'static str> {
        matches!(self, RequestError::NotStored(_)).then_some("previous_response_not_found")
    }

    /// The error for what a provider cannot do.
    pub fn unsupported(place: impl ToString, why: &'static str) -> RequestError {
        RequestError::Unsupported { place: place.to_string(), why }
    }
}

const MODEL_HINT: &str = "Name a model, such as \"openrouter/anthropic/claude-sonnet-4.5\".";
const MESSAGES_HINT: &str = "Send a list such as [{\"role\": \"user\", \"content\": \"Hello\"}].";

impl Chat {
    /// Reads a request body.
    pub fn read(body: &[u8]) -> Result<Chat, RequestError> {
        let members = object(body)?;
        let chat = Chat::of(&members)?;
        check_messages(&members)?;
        Ok(chat)
    }

    /// Takes what is ours out of the members of a body, whatever is asked in it.
    pub(crate) fn of(members: &Members<'_>) -> Result<Chat, RequestError> {
        let stream = stream(members)?;
        let model = model(members)?;
        let stream_options = members.find("stream_options").filter(|options| *options != "null");
        let include = |options: &str, name: &str| Members::of(options).find(name) == Some("true");
        let include_usage = stream_options.is_some_and(|options| include(options, "include_usage"))
            || members.find("usage").is_some_and(|usage| include(usage, "include"));
        let stream_options = stream_options.map(str::to_owned);
        let provider_options = provider_options(members);
        let fields = client_fields(members);
        Ok(Chat {
            model,
            stream,
            include_usage,
            stream_options,
            provider_options,
            fields,
            is_completion: false,
            origin: None,
        })
    }

    /// The raw value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|field| field.name == name).map(|field| field.value.as_ref())
    }

    /// The raw value of a field that is not null.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.field(name).filter(|raw| *raw != "null")
    }

    /// How many answers are asked for: one for each prompt. Of several to one prompt, some providers give fewer.
    pub fn prompts(&self) -> usize {
        let prompt = self.given("prompt").filter(|_| self.is_completion).unwrap_or_default();
        let several = json::elements(prompt).iter().filter(|raw| raw.starts_with(['"', '['])).count();
        several.max(1)
    }

    /// The fields that say something and are none of these. `false` and zero are what is meant anyway.
    pub fn others(&self, known: &[&str]) -> Vec<String> {
        let says = |field: &&Field<'_>| {
            !field.says_nothing() && !matches!(field.value.as_ref(), "false" | "0" | "0.0")
        };
        let other = |field: &&Field<'_>| !known.contains(&field.name.as_ref()) && field.name != "usage";
        self.fields.iter().filter(says).filter(other).map(|field| field.name.clone().into_owned()).collect()
    }

    /// A provider's body, with the client's `provider_options` for that provider put into it.
    pub fn with_options(&self, provider: &str, body: Vec<u8>) -> Vec<u8> {
        let options = self.provider_options.as_deref().map(Members::of).unwrap_or_default();
        match (options.find(provider).filter(|raw| raw.starts_with('{')), std::str::from_utf8(&body)) {
            (Some(options), Ok(text)) => {
                let mut out = Vec::with_capacity(body.len() + options.len());
                json::write_merged(text, options, &mut out);
                out
            }
            (_, _) => body,
        }
    }

    /// A provider's body as JSON text, with the client's `provider_options` for that provider.
    pub fn body(&self, provider: &str, body: &impl Serialize) -> Result<Vec<u8>, RequestError> {
        let body = serde_json::to_vec(body).map_err(|error| RequestError::NotJson(error.to_string()))?;
        Ok(self.with_options(provider, body))
    }
}

/// The members of a body that are for the provider, in the client's order.
fn client_fields(members: &Members<'_>) -> Vec<Field<'static>> {
    const OURS: [&str; 4] = ["model", "stream", "stream_options", "provider_options"];
    let fields = members.0.iter().filter(|(name, _)| !OURS.contains(&name.as_ref()));
    let field = |(name, value): &(Cow<'_, str>, &str)| Field {
        name: Cow::Owned(name.clone().into_owned()),
        value: Cow::Owned((*value).to_owned()),
    };
    fields.map(field).collect()
}

/// The members of a body, which must be one JSON object.
pub(crate) fn object(body: &[u8]) -> Result<Members<'_>, RequestError> {
    read_object(body)
}

/// What there is to know of a body, which must be one JSON object.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RequestError> {
    let text = std::str::from_utf8(body).map_err(|error| RequestError::NotJson(error.to_string()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('{') {
        return match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Err(RequestError::NotAnObject),
            Err(error) => Err(RequestError::NotJson(error.to_string())),
        };
    }
    serde_json::from_str(text).map_err(|error| RequestError::NotJson(error.to_string()))
}

/// Whether a stream is asked for.
pub(crate) fn stream(members: &Members<'_>) -> Result<bool, RequestError> {
    match members.find("stream") {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(RequestError::WrongType("stream", "true or false")),
    }
}

/// Refuses a request without messages.
pub(crate) fn check_messages(members: &Members<'_>) -> Result<(), RequestError> {
    match members.find("messages") {
        None | Some("null") => Err(RequestError::Missing("messages", MESSAGES_HINT)),
        Some(messages) if !messages.starts_with('[') => {
            Err(RequestError::WrongType("messages", "a list of messages"))
        }
        Some(messages) if json::elements(messages).is_empty() => {
            Err(RequestError::WrongType("messages", "a list with at least one message"))
        }
        Some(_) => Ok(()),
    }
}

/// What goes into the body of one provider only, by the provider's name.
pub(crate) fn provider_options(members: &Members<'_>) -> Option<String> {
    members.find("provider_options").filter(|raw| raw.starts_with('{')).map(str::to_owned)
}

/// The model that is named.
pub(crate) fn model(members: &Members<'_>) -> Result<String, RequestError> {
    match members.find("model") {
        None | Some("null") => Err(RequestError::Missing("model", MODEL_HINT)),
        Some(raw) => match json::string(raw) {
            Some(model) if !model.trim().is_empty() => Ok(model.trim().to_owned()),
            Some(_) => Err(RequestError::Missing("model", MODEL_HINT)),
            None => Err(RequestError::WrongType("model", "a string")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_kept_byte_for_byte() {
        let chat = Chat::read(
            br#"{"model":"m","stream":true,"messages":[{"role":"user"}],"seed": 1.0e3,"provider":{"a" : 1}}"#,
        )
        .unwrap();
        assert!(chat.stream && !chat.include_usage);
        assert_eq!(chat.field("seed"), Some("1.0e3"));
        assert_eq!(chat.field("provider"), Some("{\"a\" : 1}"));
    }

    #[test]
    fn usage_is_asked_for_in_two_ways() {
        for extra in [r#""stream_options":{"include_usage":true}"#, r#""usage":{"include":true}"#] {
            let body = format!(r#"{{"model":"m","messages":[{{}}],{extra}}}"#);
            assert!(Chat::read(body.as_bytes()).unwrap().include_usage, "{extra}");
        }
    }

    #[test]
    fn prompts_are_counted() {
        for (prompt, count) in
            [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1,2],[3]]", 2), ("[]", 1), ("null", 1)]
        {
            let body = format!(r#"{{"model":"m","prompt":{prompt}}}"#);
            let chat = Chat::of(&object(body.as_bytes()).unwrap()).unwrap();
            assert_eq!(Chat { is_completion: true, ..chat.clone() }.prompts(), count, "{prompt}");
            assert_eq!(chat.prompts(), 1);
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        let cases: [(&[u8], Option<&str>); 10] = [
            (b"", None),
            (b"hello", None),
            (b"[]", None),
            (b"{\"model\":", None),
            (br#"{"messages":[{}]}"#, Some("model")),
            (br#"{"model":"","messages":[{}]}"#, Some("model")),
            (br#"{"model":3,"messages":[{}]}"#, Some("model")),
            (br#"{"model":"m"}"#, Some("messages")),
            (br#"{"model":"m","messages":"hi"}"#, Some("messages")),
            (br#"{"model":"m","messages":[{}],"stream":"yes"}"#, Some("stream")),
        ];
        for (body, param) in cases {
            let error = Chat::read(body).unwrap_err();
            assert_eq!(error.param(), param, "{error}");
        }
        assert!(Chat::read(br#"{"model":"m","messages":[]}"#).is_err());
    }
}
