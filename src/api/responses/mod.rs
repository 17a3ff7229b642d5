//! The Responses API: what its clients may rely on, whatever the provider sent.
//!
//! # The stream
//! The rules of the [`contract`](crate::contract) hold, but for those that are about chunks. In their place:
//! - R1. Every event is two lines, `event: <type>` and `data: <JSON object>`, and a blank line. The object has the
//!   same `type`, and a `sequence_number` that counts from 0 without a gap. There is no `[DONE]`.
//! - R2. The first events are `response.created` and `response.in_progress`; the last is exactly one of
//!   `response.completed`, `response.incomplete` and `response.failed`, and nothing follows it.
//! - R3. `response.id`, `created_at` and `model` are equal on all of them. The id begins with `resp_`: it is
//!   the provider's own where that speaks this API, else one that no other answer has.
//! - R4. An item begins with `response.output_item.added`, at the next `output_index`, before any event of it;
//!   `item_id` and `output_index` are on all its events. A complete answer has one `response.output_item.done` for
//!   each item, and says in it all that was said of it, character for character.
//! - R5. Parts of messages and of reasoning are announced by `content_part.added` or
//!   `reasoning_summary_part.added`, and end with the `done` of their text and of themselves. They never overlap
//!   within an item; only function calls may go on while other items do.
//! - R6. `response.function_call_arguments.done` and the `done` of a call come once its choice has a finish reason, so
//!   that nobody runs a call of an answer that was cut. A call without arguments has `{}`.
//! - R7. The last event has the whole response: `output` is the items of all `output_item.done` in their order,
//!   `usage` is filled where the provider reported one.
//! - R8. `incomplete` says why in `incomplete_details`: `max_output_tokens`, `content_filter`, or the provider's own
//!   reason. The item that was cut has the status `incomplete`.
//! - R9. A fault is an `error` event, by which alone some clients hear of it, and then `response.failed` with the same
//!   `error`: its `code` is a word that clients of the API know, its `fault` the contract's own code. What goes on
//!   then has the status `incomplete` and no `done`. A fault before anything was sent is an HTTP error with the body of
//!   chat completions, which this API shares.
//! - R10. Unknown fields of the answer are on its last event, those of a choice beside them, those of a call on its
//!   item, those of a delta on the message that it is of, or beside the choice's where none follows. A message
//!   without words stands alone.
//!
//! # What becomes what
//! | event | item |
//! |---|---|
//! | text, refusal | `message` with `output_text` and `refusal` parts; `logprobs` beside the text |
//! | `annotations` | `annotation.added`, out of its wrapper, its places counted in its part |
//! | reasoning | `reasoning` with a `summary`, the place where clients look; `reasoning_text` of providers that speak this API stays what it is |
//! | `reasoning_details` | `encrypted_content`: OpenAI's own as it came, all others packed ([`sealed`](crate::chat::sealed)), so that they come back as they were |
//! | tool call | `function_call`; its `extra_content` beside the arguments |
//! | `images` | `image_generation_call` |
//! | `content_parts` that are items of this API | items, as they came |
//! | choices after the first | nothing: the API has one answer |
//! | usage | `input_tokens`, `output_tokens`, `total_tokens`; cached and reasoning tokens are 0 where nobody counted them |
//!
//! # The request
//! It becomes a chat: see `request`. A provider that speaks this API gets the client's own body instead
//! ([`Origin`](crate::chat::Origin)), so that nothing is lost.

mod answer;
mod echo;
mod expand;
mod input;
mod item;
mod object;
mod piece;
mod request;
mod stream;

use answer::Answer;
use echo::Echo;
pub use expand::{Known, expand, input_of, output_of};
pub use object::Object;
pub use stream::Stream;

use crate::api::Encoder;
use crate::chat::{Chat, RequestError};
use crate::json;

/// An answer that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// The response object.
    pub response: Vec<u8>,
    /// Its items, with the id of each: JSON texts.
    pub items: Vec<(String, String)>,
}

/// Whoever keeps an answer once it is complete.
pub type Keep = Box<dyn FnOnce(Kept) + Send>;

/// A request that was read.
pub struct Reading {
    /// What is asked for.
    pub chat: Chat,
    /// The client wants the answer to be kept.
    pub store: bool,
    echo: Echo,
    spaced: Vec<request::Spaced>,
}

impl Reading {
    /// Reads the body of a request.
    pub fn of(body: &[u8]) -> Result<Reading, RequestError> {
        let members = crate::chat::object(body)?;
        let chat = request::read(&members)?;
        let store = members.find("store") != Some("false");
        Ok(Reading { chat, store, echo: Echo::of(&members), spaced: request::spaced(&members) })
    }

    /// The answer repeats what the client said, where that was put together with what is known.
    pub fn repeats(&mut self, body: &[u8]) {
        if let Ok(members) = crate::chat::object(body) {
            self.echo = Echo::of(&members);
        }
    }

    /// The chat, and the encoder of the answer, which is kept once it is complete. `born` is its name behind
    /// `resp_`, where the provider does not speak this API.
    pub fn with(mut self, born: Option<String>, keep: Option<Keep>) -> (Chat, Box<dyn Encoder>) {
        if keep.is_some() {
            self.echo.keeps();
        }
        let answer = Answer::new(self.spaced, born);
        let encoder: Box<dyn Encoder> = match self.chat.stream {
            true => Box::new(Stream::new(self.echo, answer, keep)),
            false => Box::new(Object::new(self.echo, answer, keep)),
        };
        (self.chat, encoder)
    }
}

impl Kept {
    fn of(echo: &Echo, answer: &Answer) -> Kept {
        let mut response = Vec::new();
        echo.write(answer, echo::Standing::Ended, &mut response);
        let id = answer.identity.as_ref().map(|identity| identity.id.clone()).unwrap_or_default();
        let items = answer.items.iter().map(|item| {
            let mut raw = Vec::new();
            item.write(false, &mut raw);
            (item.id.clone(), String::from_utf8_lossy(&raw).into_owned())
        });
        Kept { id, response, items: items.collect() }
    }
}

/// Appends `"name":` after a comma where one is due.
fn key(name: &str, out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    json::write_string(name, out);
    out.push(b':');
}

/// The text of bytes that were written as JSON.
fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap_or_default() // Nothing but UTF-8 was written.
}
