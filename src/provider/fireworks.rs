//! Fireworks AI.
//!
//! Source: <https://docs.fireworks.ai/api-reference/post-chatcompletions>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "fireworks",
    key_env: &["FIREWORKS_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.fireworks.ai/inference/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
