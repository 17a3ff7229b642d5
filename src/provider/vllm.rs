//! vLLM.
//!
//! Source: <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "vllm",
    key_env: &["VLLM_API_KEY"],
    is_local: true,
    dialects: &[Entry {
        base_url: "${VLLM_BASE_URL:-http://127.0.0.1:8000/v1}",
        dialect: OpenAiChat { think_tags: ThinkTags::AtStart, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
