//! NVIDIA's API catalogue (NIM).
//!
//! Source: <https://docs.api.nvidia.com/nim/reference/llm-apis>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "nvidia",
    key_env: &["NVIDIA_API_KEY"],
    dialects: &[Entry {
        base_url: "https://integrate.api.nvidia.com/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
