//! Hugging Face's router: the quirks of whoever it routes to.
//!
//! Source: <https://huggingface.co/docs/inference-providers>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "huggingface",
    key_env: &["HF_TOKEN", "HUGGINGFACE_API_KEY"],
    dialects: &[Entry {
        base_url: "https://router.huggingface.co/v1",
        dialect: OpenAiChat { think_tags: ThinkTags::AtStart, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
