//! Ollama, by its OpenAI endpoint (finish reason "" on every chunk, tool index 0 for every call), or by its
//! own API. The first takes every client's request; the second takes context lengths and `keep_alive`.
//!
//! Source: <https://docs.ollama.com/openai>, <https://docs.ollama.com/api/chat>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::ollama::Ollama;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "ollama",
    key_env: &[],
    is_local: true,
    dialects: &[
        Entry {
            base_url: "${OLLAMA_HOST:-http://127.0.0.1:11434}/v1",
            dialect: OpenAiChat {
                reasoning_back: ReasoningBack::Reasoning,
                think_tags: ThinkTags::AtStart,
                ..OpenAiChat::PLAIN
            }
            .any(),
        },
        Entry {
            base_url: "${OLLAMA_HOST:-http://127.0.0.1:11434}/api",
            dialect: Ollama { think_tags: ThinkTags::AtStart }.any(),
        },
    ],
    ..Provider::PLAIN
};
