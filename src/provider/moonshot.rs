//! Moonshot AI: usage inside the choice that finishes, too.
//!
//! Source: <https://platform.moonshot.ai/docs/api/chat>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "moonshot",
    key_env: &["MOONSHOT_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.moonshot.ai/v1",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::ReasoningContent, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
