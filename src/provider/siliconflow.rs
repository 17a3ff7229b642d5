//! SiliconFlow.
//!
//! Source: <https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "siliconflow",
    key_env: &["SILICONFLOW_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.siliconflow.com/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
