//! Baseten: usage on every chunk, content after the finish reason.
//!
//! Source: <https://docs.baseten.co/reference/inference-api/chat-completions>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "baseten",
    key_env: &["BASETEN_API_KEY"],
    dialects: &[Entry {
        base_url: "https://inference.baseten.co/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
