//! DeepInfra.
//!
//! Source: <https://deepinfra.com/docs/openai_api>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "deepinfra",
    key_env: &["DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"],
    dialects: &[Entry {
        base_url: "https://api.deepinfra.com/v1/openai",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
