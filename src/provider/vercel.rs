//! Vercel's AI Gateway: items of reasoning in OpenRouter's shape.
//!
//! Source: <https://vercel.com/docs/ai-gateway/openai-compat>

use super::{Entry, Provider};
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "vercel",
    key_env: &["AI_GATEWAY_API_KEY"],
    dialects: &[Entry { base_url: "https://ai-gateway.vercel.sh/v1", dialect: OpenAiChat::PLAIN.any() }],
    ..Provider::PLAIN
};
