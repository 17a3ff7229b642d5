//! OpenAI: chat completions, and the Responses API, which alone sends reasoning back and forth.
//!
//! Source: <https://platform.openai.com/docs/api-reference>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};
use crate::dialect::openai_responses::OpenAiResponses;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "openai",
    key_env: &["OPENAI_API_KEY"],
    dialects: &[
        Entry {
            base_url: "https://api.openai.com/v1",
            dialect: OpenAiChat {
                reasoning_back: ReasoningBack::Drop,
                newer_limit: true,
                top_k: false,
                ..OpenAiChat::PLAIN
            }
            .any(),
        },
        Entry {
            base_url: "https://api.openai.com/v1",
            dialect: OpenAiResponses { least_tokens: 16, ..OpenAiResponses::PLAIN }.any(),
        },
    ],
    ..Provider::PLAIN
};
