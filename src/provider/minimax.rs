//! MiniMax: errors in `base_resp`, no end mark, the finish reason twice.
//!
//! Source: <https://platform.minimax.io/docs/api-reference/text-openai-api>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "minimax",
    key_env: &["MINIMAX_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.minimax.io/v1",
        dialect: OpenAiChat { think_tags: ThinkTags::AtStart, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
