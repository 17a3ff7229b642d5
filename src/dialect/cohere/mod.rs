//! Cohere's chat API, version 2.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `message-start` | id, role; Cohere names no model |
//! | text block, `content-delta` | text |
//! | thinking block | reasoning, and items `reasoning.text` of format `cohere-v2` |
//! | `tool-plan-delta` | reasoning, and items `reasoning.text` of the same format with the id `tool_plan` |
//! | `tool-call-start`, `-delta`, `-end` | a tool call; one without arguments gets `{}` |
//! | `citation-start` of the text | `annotations`, one per source, its places counted over the whole text |
//! | `citation-start` of the plan or the thinking | `citations`, as it came |
//! | blocks that nobody knows | `content_parts`, as they came |
//! | `logprobs` | `logprobs.content`; Cohere gives the text of a piece, not of each token: it stands on the first |
//! | `message-end` | finish, usage |
//! | `message-end` with ERROR or an error | a fault |
//!
//! COMPLETE and STOP_SEQUENCE are `stop`, MAX_TOKENS and ERROR_LIMIT `length`, TOOL_CALL `tool_calls`,
//! ERROR_TOXIC `content_filter`. `prompt_tokens` and `completion_tokens` are the tokens that the model saw and
//! wrote (`usage.tokens`), with Cohere's own preamble; what is paid for stays beside them as `billed_units`.
//!
//! # The request
//! Messages, images (URLs and data URIs), text files (as `documents`), tools, `tool_choice` in all forms (one
//! function is the only tool, and required), `response_format`, `stop`, `seed`, `top_p` as `p`, `top_k` as
//! `k`, reasoning efforts and budgets are translated; reasoning goes back as thinking or as the tool plan,
//! whichever it was, and so does text before tool calls, as the plan. `documents`, `citation_options`, `safety_mode`, `strict_tools`, `priority` and `thinking`
//! pass as they came. `n`, `top_logprobs`, audio, video, PDFs, images in a tool's result and tools of other
//! providers cannot be expressed and are refused; the rest is dropped and named.
//!
//! Source: <https://docs.cohere.com/reference/chat-stream>

mod decode;
mod request;
mod wire;

use url::Url;

use super::{AnyDialect, Decoder, Dialect, Endpoint, Outgoing, Quirks, Target};
use crate::chat::{Chat, RequestError};
use crate::framing::Framing;

/// How the items of reasoning call their form.
const FORMAT: &str = "cohere-v2";
/// The id of the items that hold the plan before a tool call.
const PLAN: &str = "tool_plan";

/// The dialect's value; nobody who speaks it has quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cohere;

impl Cohere {
    /// The dialect without quirks.
    pub const PLAIN: Cohere = Cohere;

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::Cohere(self)
    }
}

impl Dialect for Cohere {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { is_foreign: true, ..Quirks::default() }
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        request::request(target, chat)
    }

    /// Version 2 has no list: that of version 1 names the models of both.
    fn models(&self, base_url: &Url) -> Option<Outgoing> {
        let mut url = base_url.clone();
        let path = base_url.path().trim_end_matches('/');
        url.set_path(&format!("{}/v1/models", path.strip_suffix("/v2").unwrap_or(path)));
        url.query_pairs_mut().append_pair("endpoint", "chat").append_pair("page_size", "1000");
        Some(Outgoing::get(&url))
    }

    /// Of all of them, only this has the form that others took over from here.
    fn endpoint(&self, base_url: &Url, path: &[&str]) -> Option<Endpoint> {
        (path == ["rerank"]).then(|| Endpoint::below(base_url, path.iter().copied()))
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::CohereDecoder::default())
    }
}
