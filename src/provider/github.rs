//! GitHub Models.
//!
//! Source: <https://docs.github.com/rest/models/inference>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "github",
    key_env: &["GITHUB_TOKEN"],
    dialects: &[Entry {
        base_url: "https://models.github.ai/inference",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::Drop,
            think_tags: ThinkTags::AtStart,
            top_k: false,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
