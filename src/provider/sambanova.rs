//! SambaNova.
//!
//! Source: <https://docs.sambanova.ai/cloud/api-reference>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "sambanova",
    key_env: &["SAMBANOVA_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.sambanova.ai/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::Drop,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
