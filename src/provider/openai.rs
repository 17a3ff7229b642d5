//! OpenAI.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "openai",
    key_env: &["OPENAI_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.openai.com/v1",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::Drop, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
