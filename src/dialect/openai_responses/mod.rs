//! OpenAI Responses, as OpenAI, Azure, xAI and others speak it.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `response.created`, `.in_progress`, `.queued` | id, model, time |
//! | `message` item: `output_text.delta`, `refusal.delta` | text, refusal; `logprobs` in the shape of chat completions; the item's `phase` beside the text |
//! | `output_text.annotation.added` | `annotations`; places are counted from the beginning of the answer's text |
//! | `reasoning` item: `reasoning_summary_text.delta`, `reasoning_text.delta` | reasoning, and items `reasoning.summary`, `reasoning.text` with the item's id; each part has an index of its own |
//! | its `encrypted_content`, when the item is done | an item `reasoning.encrypted` |
//! | `function_call` item, `function_call_arguments.delta` | a tool call; its id is `call_id` |
//! | `image_generation_call` item | `images`, the rest of the item beside the image |
//! | `audio.delta`, `audio.transcript.delta` | `audio` |
//! | every other item (web and file search, code interpreter, MCP, shells, free-text tools, unknown ones), parts that nobody knows | `content_parts`, as they came, when they are done |
//! | the progress of such items | nothing: the item says all of it again |
//! | `response.completed` | finish `stop`, or `tool_calls` after function calls; usage; the end |
//! | `response.incomplete` | finish by `incomplete_details.reason`; without a known one `length` |
//! | `response.failed`, `error` | a fault |
//!
//! The id of a message is carried beside the choice, that of a call on the call, for clients of this API
//! ([`ITEM_ID`](crate::event::ITEM_ID)).
//!
//! Events that are `done` say all of it again: they add what was not heard yet, and never repeat. Items are
//! told apart by `item_id`, else by `output_index`, because servers omit or change either. Members of the
//! last `response` that repeat the request are left out, all others are carried.
//!
//! # The request
//! Messages become items: system and developer messages in their place (a first one that is text becomes
//! `instructions`), text, images, files, tool calls, those with free text as well, and results (with images
//! and files), and reasoning of this provider in front of what it led to. Tools lose their wrapper and are not strict unless they say so;
//! `tool_choice` in all forms, `parallel_tool_calls`, `response_format` and `verbosity` (as `text`),
//! `reasoning_effort` and `reasoning`, `logprobs`, `web_search_options`, `max_tokens`, `metadata`, `user` and
//! the API's own fields are translated. Nothing is stored unless the client says `store`; models that reason
//! are asked for encrypted reasoning, so that a conversation goes on without a store. A summary of the
//! reasoning is asked for where the client sends `reasoning` without `exclude`: some accounts may not have
//! one, so `reasoning_effort` alone does not.
//!
//! A client that speaks this API itself has its request passed on as it is, but for the model, with reasoning that
//! was packed for it as it was, and without what only other providers know: see `heal`.
//!
//! Refused: `n`, `stop`, audio, video, free-text tools in the form of chat completions (their calls have no
//! place in the answer), images in an assistant's message. Dropped and named: `seed`, penalties,
//! `logit_bias`, `cache_control`, names of speakers, temperature of models that reason, and the rest.
//! Reasoning without its encrypted content stays behind: the provider has no copy of it.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses>, "Streaming events"

mod decode;
mod family;
mod heal;
mod items;
mod native;
mod request;
mod shape;
mod wire;

use url::Url;

use super::{AnyDialect, Decoder, Dialect, Endpoint, Outgoing, Quirks, Target};
use crate::chat::{Chat, RequestError, Tongue};
use crate::framing::Framing;

/// The dialect's value: its fields are the quirks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiResponses {
    /// The form that reasoning of this provider has in `reasoning_details`: what one provider encrypted no
    /// other can read.
    pub format: &'static str,
    /// Whether a first system message goes to `instructions`. xAI does not take the field.
    pub instructions: bool,
    /// The least `max_output_tokens`. OpenAI and Azure refuse less than 16.
    pub least_tokens: u64,
}

impl OpenAiResponses {
    /// The dialect without quirks.
    pub const PLAIN: OpenAiResponses =
        OpenAiResponses { format: "openai-responses-v1", instructions: true, least_tokens: 1 };

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::OpenAiResponses(self)
    }
}

impl Dialect for OpenAiResponses {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { is_foreign: true, ..Quirks::default() }
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        match chat.said_in(Tongue::Responses) {
            Some(origin) => Ok(native::request(self, target, chat, origin)),
            None => request::request(self, target, chat),
        }
    }

    fn speaks(&self) -> Option<Tongue> {
        Some(Tongue::Responses)
    }

    fn endpoint(&self, base_url: &Url, path: &[&str]) -> Option<Endpoint> {
        Some(Endpoint::below(base_url, path.iter().copied()))
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::ResponsesDecoder::new(self.format))
    }
}
