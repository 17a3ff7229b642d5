//! Anthropic Messages, as Anthropic speaks it and the clouds that host it.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `message_start` | id, model, role; tokens of the request |
//! | text block, `text_delta` | text |
//! | thinking block, `thinking_delta`, `signature_delta` | reasoning, and items `reasoning.text` of format `anthropic-claude-v1` |
//! | `redacted_thinking` block | an item `reasoning.encrypted` |
//! | `tool_use` block, `input_json_delta` | a tool call |
//! | `citations_delta` | `annotations`, at the end of the text block that they are about |
//! | server tools, their results, blocks that nobody knows | `content_parts`, as they came |
//! | `message_delta` | finish, usage; `stop_sequence` and `stop_details` beside `delta` |
//! | `message_stop` | the end |
//! | `error` | a fault |
//!
//! # The request
//! System and developer messages become `system`; neighbours of one role are joined; images, PDFs and text
//! files, tool calls and results (with images), `tool_choice`, `parallel_tool_calls`, JSON schemas, reasoning
//! efforts and budgets, stop sequences, `user` and `cache_control` are translated; signed reasoning goes back
//! as thinking blocks. `n`, audio, video, `logprobs` and JSON without a schema cannot be expressed and are
//! refused; the rest is dropped and named. What a client says in the words of this API goes on as it came
//! ([`Origin`]), but for what other providers left in the conversation.
//!
//! Source: <https://docs.claude.com/en/api/messages>, "Streaming messages"

pub(super) mod decode;
pub(super) mod family;
mod native;
mod request;
pub(super) mod rules;
mod wire;

use url::Url;

use super::{AnyDialect, Auth, Decoder, Dialect, Outgoing, Quirks, Target, outgoing};
use crate::chat::{Chat, Origin, RequestError, Tongue};
use crate::framing::Framing;

/// The dialect's value: its fields are the quirks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anthropic {
    /// Where the model is named, and how the key is sent.
    pub host: Host,
}

/// Who hosts the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Anthropic itself, Azure, and compatible servers: `/messages` below the base URL, `x-api-key`.
    Direct,
    /// Google's Vertex AI: the model is a part of the address, the key is a bearer token.
    Vertex,
}

impl Anthropic {
    /// The dialect without quirks.
    pub const PLAIN: Anthropic = Anthropic { host: Host::Direct };

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::Anthropic(self)
    }
}

impl Dialect for Anthropic {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { is_foreign: true, usage_grows: true, ..Quirks::default() }
    }

    fn auth(&self) -> Option<Auth> {
        Some(match self.host {
            Host::Direct => Auth::Header("x-api-key"),
            Host::Vertex => Auth::Bearer,
        })
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        match chat.said_in(Tongue::Messages) {
            Some(origin) => Ok(native::request(self, target, chat, origin)),
            None => request::request(self, target, chat),
        }
    }

    fn speaks(&self) -> Option<Tongue> {
        Some(Tongue::Messages)
    }

    fn count_tokens(&self, target: &Target<'_>, origin: &Origin) -> Option<Outgoing> {
        match self.host {
            Host::Direct => Some(native::count_tokens(target, origin)),
            Host::Vertex => None,
        }
    }

    fn models(&self, base_url: &Url) -> Option<Outgoing> {
        let mut url = outgoing::below(base_url, ["models"]);
        url.query_pairs_mut().append_pair("limit", "1000");
        match self.host {
            Host::Direct => Some(request::versioned(Outgoing::get(&url))),
            // Vertex lists what it hosts in another API.
            Host::Vertex => None,
        }
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::AnthropicDecoder::default())
    }
}
