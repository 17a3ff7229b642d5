//! llama.cpp's server: arguments token by token, timings, one usage report per candidate.
//!
//! Source: <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "llamacpp",
    key_env: &["LLAMACPP_API_KEY"],
    is_local: true,
    dialects: &[Entry {
        base_url: "${LLAMACPP_BASE_URL}",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
