//! Ollama's own chat API: one JSON object a line.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `model`, `created_at` | model, time of creation; Ollama gives no id |
//! | `message.content` | text; so is `response`, as `/api/generate` says it |
//! | `message.thinking` | reasoning; Ollama signs nothing, so there are no `reasoning_details` |
//! | `message.tool_calls` | whole tool calls, the arguments as the daemon wrote the object |
//! | `logprobs` | `logprobs.content`, which has the same shape |
//! | `done`, `done_reason` | finish and end; `load` and `unload` are complete, empty answers |
//! | `prompt_eval_count`, `eval_count` | usage |
//! | durations and everything else | beside `choices`, as it came |
//! | `{"error": …}` | a fault |
//!
//! A daemon that finds the prompt in its cache may leave `prompt_eval_count` out: the count is then unknown,
//! and no usage is sent (E4).
//!
//! # The request
//! Messages, images (data URIs), text files (as text), tools, `tool_choice` as far as it chooses among tools,
//! `response_format` as `format`, reasoning as `think` (in words for gpt-oss, which has levels), sampling,
//! limits and `stop` as `options`, `logprobs` are translated; reasoning goes back as `thinking`. `options`,
//! `think`, `keep_alive`, `truncate` and `shift` pass as they came. `n`, a tool that must be called, images by
//! URL, PDFs, audio and video cannot be expressed and are refused; the rest is dropped and named.
//!
//! Source: <https://docs.ollama.com/api/chat>, <https://docs.ollama.com/api/streaming>

mod decode;
mod request;
mod wire;

use url::Url;

use super::{AnyDialect, Decoder, Dialect, Endpoint, Outgoing, Quirks, Target, ThinkTags, outgoing};
use crate::chat::{Chat, RequestError};
use crate::framing::Framing;

/// The dialect's value: its fields are the quirks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ollama {
    /// Where reasoning stands in the text: models whose template the daemon cannot read, and daemons from
    /// before `thinking`, leave the tags in.
    pub think_tags: ThinkTags,
}

impl Ollama {
    /// The dialect without quirks.
    pub const PLAIN: Ollama = Ollama { think_tags: ThinkTags::None };

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::Ollama(self)
    }
}

impl Dialect for Ollama {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn quirks(&self) -> Quirks {
        // Older daemons say `done` and no reason.
        Quirks {
            think_tags: self.think_tags,
            finish_optional: true,
            is_foreign: true,
            call_ids_optional: true,
            ..Quirks::default()
        }
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        request::request(target, chat)
    }

    fn models(&self, base_url: &Url) -> Option<Outgoing> {
        Some(Outgoing::get(&outgoing::below(base_url, ["tags"])))
    }

    /// Its endpoints in OpenAI's form are beside its own API.
    fn endpoint(&self, base_url: &Url, path: &[&str]) -> Option<Endpoint> {
        let mut beside = base_url.clone();
        let own = base_url.path().trim_end_matches('/');
        beside.set_path(own.strip_suffix("/api").unwrap_or(own));
        Some(Endpoint::below(&beside, ["v1"].into_iter().chain(path.iter().copied())))
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::OllamaDecoder::default())
    }
}
