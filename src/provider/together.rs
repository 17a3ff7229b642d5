//! Together AI: `reasoning`, finish reason `eos`, ids of tokens.
//!
//! Source: <https://docs.together.ai/reference/chat-completions-1>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "together",
    key_env: &["TOGETHER_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.together.xyz/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::Reasoning,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
