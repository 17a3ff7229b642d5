//! Cloudflare Workers AI: no role, usage on the finish chunk.
//!
//! Source: <https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility>

use super::{Entry, Provider};
use crate::dialect::ThinkTags;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "cloudflare",
    key_env: &["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"],
    dialects: &[Entry {
        base_url: "https://api.cloudflare.com/client/v4/accounts/${CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        dialect: OpenAiChat {
            reasoning_back: ReasoningBack::ReasoningContent,
            think_tags: ThinkTags::AtStart,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
