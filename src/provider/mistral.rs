//! Mistral: takes no `stream_options` and no unknown fields; Magistral thinks in content parts.
//!
//! Source: <https://docs.mistral.ai/api>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "mistral",
    key_env: &["MISTRAL_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.mistral.ai/v1",
        dialect: OpenAiChat {
            stream_options: false,
            reasoning_back: ReasoningBack::Drop,
            top_k: false,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
