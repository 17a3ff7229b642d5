//! DeepSeek: `reasoning_content`, then `content`; usage on the finish chunk.
//!
//! Source: <https://api-docs.deepseek.com>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "deepseek",
    key_env: &["DEEPSEEK_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.deepseek.com/v1",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::ReasoningContent, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
