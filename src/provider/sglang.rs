//! SGLang.
//!
//! Source: <https://docs.sglang.ai/basic_usage/openai_api_completions.html>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "sglang",
    key_env: &["SGLANG_API_KEY"],
    is_local: true,
    dialects: &[Entry {
        base_url: "${SGLANG_BASE_URL:-http://127.0.0.1:30000/v1}",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
