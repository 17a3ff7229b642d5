//! LM Studio.
//!
//! Source: <https://lmstudio.ai/docs/developer/openai-compat>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "lmstudio",
    key_env: &["LMSTUDIO_API_KEY"],
    is_local: true,
    dialects: &[Entry {
        base_url: "${LMSTUDIO_BASE_URL:-http://127.0.0.1:1234/v1}",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
