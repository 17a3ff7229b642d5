//! OpenRouter: a gateway to most models. Usage is always reported; reasoning comes twice, as text and as items.
//!
//! Source: <https://openrouter.ai/docs/api-reference>

use super::{Entry, Provider};
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "openrouter",
    key_env: &["OPENROUTER_API_KEY"],
    dialects: &[Entry {
        base_url: "https://openrouter.ai/api/v1",
        dialect: OpenAiChat { stream_options: false, additions: true, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
