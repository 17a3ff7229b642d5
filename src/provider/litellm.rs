//! LiteLLM's proxy: parallel calls at index 0, new ids with each fragment.
//!
//! Source: <https://docs.litellm.ai/docs/proxy/user_keys>

use super::{Entry, Provider};
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "litellm",
    key_env: &["LITELLM_API_KEY"],
    is_local: true,
    dialects: &[Entry {
        base_url: "${LITELLM_BASE_URL:-http://127.0.0.1:4000/v1}",
        dialect: OpenAiChat::PLAIN.any(),
    }],
    ..Provider::PLAIN
};
