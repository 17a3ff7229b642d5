//! Ollama, by its OpenAI endpoint: finish reason "" on every chunk, tool index 0 for every call.
//!
//! Source: <https://docs.ollama.com/openai>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "ollama",
    key_env: &[],
    is_local: true,
    dialects: &[Entry {
        base_url: "${OLLAMA_HOST:-http://127.0.0.1:11434}/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::Reasoning,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
