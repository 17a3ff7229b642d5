//! Text completions, which most servers of chat completions have beside them: a prompt, and how it goes on.
//!
//! The answer: `data:` events with a `text_completion` each, whose choices have a `text` where those of a chat
//! have a `delta`. All else is as in chat completions and bent in the same ways, so it is read by the same decoder.
//! Servers that answer with the chunks of a chat are understood as well. Tags in the text stay: it is raw.
//!
//! The request is the client's own, but for `model`, `stream` and `stream_options`.
//!
//! Source: OpenAI's API reference, "Completions (legacy)"

use std::borrow::Cow;

use smallvec::SmallVec;

use super::chunk::{Message, Node, REASONING};
use super::{OpenAiChat, decode, request};
use crate::chat::{Chat, RequestError};
use crate::dialect::{Decoder, Dialect, Outgoing, Quirks, Target};
use crate::framing::Framing;
use crate::json::{self, Field};

/// The dialect's value: the quirks are those of the provider's chat completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiCompletions(pub OpenAiChat);

impl Dialect for OpenAiCompletions {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { finish_optional: self.0.finish_optional, is_completion: true, ..Quirks::default() }
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        if !chat.is_completion {
            let why = "this provider only goes on with texts. Send a prompt to POST /v1/completions.";
            return Err(RequestError::unsupported("messages", why));
        }
        Ok(request::request(&self.0, target, chat, &["completions"]))
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::OpenAiChatDecoder::of_texts())
    }
}

impl<'a> Node<'a, Message<'a>> {
    /// The text of a choice, and reasoning beside it, say what a delta would. Beside a text, a delta repeats it.
    pub(super) fn take_text(&mut self, text: Option<&'a str>, beside: &mut SmallVec<[Field<'a>; 2]>) {
        let text = text.filter(|text| !json::says_nothing(text));
        if matches!(self, Node::Missing | Node::Other) || matches!(self, Node::Text(_)) && text.is_some() {
            *self = Node::Object(Message::default());
        }
        let Node::Object(delta) = self else { return };
        delta.content = text.or(delta.content);
        beside.retain(|field| {
            let slot = REASONING.iter().position(|name| *name == field.name);
            let slot = slot.and_then(|at| delta.reasoning.get_mut(at));
            match (slot, &field.value) {
                (Some(slot @ None), Cow::Borrowed(raw)) => *slot = Some(*raw),
                (Some(_), _) => {}
                (None, _) => return true,
            }
            false
        });
    }
}
