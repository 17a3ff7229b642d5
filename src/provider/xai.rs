//! xAI: reasoning tokens are counted outside the completion.
//!
//! Source: <https://docs.x.ai/docs/api-reference>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};
use crate::dialect::openai_responses::OpenAiResponses;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "xai",
    key_env: &["XAI_API_KEY"],
    dialects: &[
        Entry {
            base_url: "https://api.x.ai/v1",
            dialect: OpenAiChat { reasoning_back: ReasoningBack::ReasoningContent, ..OpenAiChat::PLAIN }
                .any(),
        },
        Entry {
            base_url: "https://api.x.ai/v1",
            dialect: OpenAiResponses {
                format: "xai-responses-v1",
                instructions: false,
                ..OpenAiResponses::PLAIN
            }
            .any(),
        },
    ],
    ..Provider::PLAIN
};
