//! Zhipu, Z.ai: chunks without `object`, whole tool calls.
//!
//! Source: <https://docs.z.ai/api-reference/llm/chat-completion>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "zhipu",
    key_env: &["ZAI_API_KEY", "ZHIPUAI_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.z.ai/api/paas/v4",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::ReasoningContent, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
