//! Cerebras: whole tool calls, often at the same index; refuses fields of messages that it does not know.
//!
//! Source: <https://inference-docs.cerebras.ai/api-reference/chat-completions>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "cerebras",
    key_env: &["CEREBRAS_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.cerebras.ai/v1",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::Reasoning, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
