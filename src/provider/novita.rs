//! Novita AI.
//!
//! Source: <https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "novita",
    key_env: &["NOVITA_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.novita.ai/openai/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
