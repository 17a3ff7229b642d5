//! What clients speak: their requests become a chat, events become bytes.
//!
//! Each API is one folder: how a request is read, the encoder of a stream, the encoder of an object, the error
//! object. [`Api`] names them; an [`Encoder`] is what one request gets of it.

pub mod chat_completions;
pub mod completions;
pub mod messages;
pub mod responses;

use chat_completions::{ErrorBody, Fold, ReasoningField, Stream};

use crate::chat::{Chat, RequestError};
use crate::event::Event;

/// An API that clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    #[default]
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/completions`.
    Completions,
}

/// Turns the events of one answer into what its client gets.
pub trait Encoder: Send {
    /// An answer of this provider begins; of one before it nothing was sent.
    fn begin(&mut self, provider: &str);

    /// Appends what the client gets for one event: a stream for each, an object at the end of a complete
    /// answer.
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Appends what the API itself has to keep a silent stream alive; false if it has nothing.
    fn keep_alive(&self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// How many bytes of the answer are held until its end; to bound memory.
    fn held(&self) -> usize {
        0
    }
}

impl Api {
    /// Reads the body of a request: what is asked for, and the encoder of the answer.
    pub fn read(
        self,
        body: &[u8],
        reasoning: ReasoningField,
    ) -> Result<(Chat, Box<dyn Encoder>), RequestError> {
        match self {
            Api::ChatCompletions => {
                let chat = Chat::read(body)?;
                let encoder = self.encoder(chat.stream, chat.include_usage, reasoning);
                Ok((chat, encoder))
            }
            Api::Responses => Ok(responses::Reading::of(body)?.with(None, None)),
            Api::Messages => {
                let chat = messages::read(body)?;
                let encoder = self.encoder(chat.stream, chat.include_usage, reasoning);
                Ok((chat, encoder))
            }
            Api::Completions => {
                let chat = completions::read(body)?;
                let encoder = self.encoder(chat.stream, chat.include_usage, reasoning);
                Ok((chat, encoder))
            }
        }
    }

    /// The encoder of an answer to a plain request.
    pub fn encoder(
        self,
        is_stream: bool,
        include_usage: bool,
        reasoning: ReasoningField,
    ) -> Box<dyn Encoder> {
        match (self, is_stream) {
            (Api::ChatCompletions, true) => Box::new(Stream::new(include_usage, reasoning)),
            (Api::ChatCompletions, false) => Box::new(Fold::new(reasoning)),
            (Api::Responses, true) => Box::new(responses::Stream::default()),
            (Api::Responses, false) => Box::new(responses::Object::default()),
            (Api::Messages, true) => Box::new(messages::Stream::default()),
            (Api::Messages, false) => Box::new(messages::Fold::default()),
            (Api::Completions, true) => Box::new(completions::Stream::new(include_usage, reasoning)),
            (Api::Completions, false) => Box::new(completions::Fold::new(reasoning)),
        }
    }

    /// The API that is spoken at a path, and below it.
    pub fn at(path: &str) -> Api {
        let below =
            |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            _ if below("/v1/messages") => Api::Messages,
            _ if below("/v1/responses") || below("/responses") => Api::Responses,
            _ => Api::ChatCompletions,
        }
    }

    /// The APIs by their names on the command line.
    pub const NAMES: &'static [(&'static str, Api)] = &[
        ("chat-completions", Api::ChatCompletions),
        ("responses", Api::Responses),
        ("messages", Api::Messages),
        ("completions", Api::Completions),
    ];

    /// Appends the body of an HTTP error.
    pub fn write_error(self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        match self {
            Api::ChatCompletions | Api::Responses | Api::Completions => {
                chat_completions::write_error(error, out)
            }
            Api::Messages => messages::write_error(error, out),
        }
    }
}
