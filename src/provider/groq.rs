//! Groq: usage also under `x_groq`; refuses fields of messages that it does not know; some models think in tags.
//!
//! Source: <https://console.groq.com/docs/api-reference>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "groq",
    key_env: &["GROQ_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.groq.com/openai/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::Reasoning,
            think_tags: ThinkTags::AtStart,
            top_k: false,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
