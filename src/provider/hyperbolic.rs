//! Hyperbolic.
//!
//! Source: <https://docs.hyperbolic.xyz/docs/rest-api>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "hyperbolic",
    key_env: &["HYPERBOLIC_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.hyperbolic.xyz/v1",
        dialect: OpenAiChat { think_tags: ThinkTags::AtStart, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
