//! Anthropic: the Messages API, and an OpenAI endpoint that leaves out caching and signed reasoning.
//!
//! Source: <https://docs.claude.com/en/api/overview>

use super::{Entry, Provider};
use crate::dialect::anthropic::Anthropic;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "anthropic",
    key_env: &["ANTHROPIC_API_KEY"],
    dialects: &[
        Entry { base_url: "https://api.anthropic.com/v1", dialect: Anthropic::PLAIN.any() },
        Entry {
            base_url: "https://api.anthropic.com/v1",
            dialect: OpenAiChat { reasoning_back: ReasoningBack::Drop, ..OpenAiChat::PLAIN }.any(),
        },
    ],
    ..Provider::PLAIN
};
