//! GitHub Copilot: like Azure, without `object`, with a tool index that starts at 1.
//!
//! Source: <https://docs.github.com/copilot>

use super::{Entry, Provider};
use crate::dialect::openai_chat::OpenAiChat;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "copilot",
    key_env: &["GITHUB_COPILOT_TOKEN"],
    dialects: &[Entry { base_url: "https://api.githubcopilot.com", dialect: OpenAiChat::PLAIN.any() }],
    ..Provider::PLAIN
};
