//! Nebius Token Factory.
//!
//! Source: <https://docs.tokenfactory.nebius.com/api-reference>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "nebius",
    key_env: &["NEBIUS_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.tokenfactory.nebius.com/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
