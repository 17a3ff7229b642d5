//! Perplexity: a growing `message` beside each delta, usage and citations on every chunk, thinking in tags, no end mark.
//!
//! Source: <https://docs.perplexity.ai/api-reference>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "perplexity",
    key_env: &["PERPLEXITY_API_KEY", "PPLX_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.perplexity.ai",
        dialect: OpenAiChat {
            stream_options: false,
            reasoning_back: ReasoningBack::Drop,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
