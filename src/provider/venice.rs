//! Venice: errors as a string, cost beside the choices.
//!
//! Source: <https://docs.venice.ai/api-reference/endpoint/chat/completions>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "venice",
    key_env: &["VENICE_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.venice.ai/api/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
