//! Azure OpenAI: one URL per deployment, its own key header, content-filter results in chunks of their own.
//!
//! Source: <https://learn.microsoft.com/azure/ai-services/openai/reference>

use super::{Auth, Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, Path, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "azure",
    key_env: &["AZURE_OPENAI_API_KEY"],
    auth: Auth::Header("api-key"),
    dialects: &[Entry {
        base_url: "${AZURE_OPENAI_ENDPOINT}/openai",
        dialect: OpenAiChat {
            path: Path::AzureDeployment { api_version: "2024-10-21" },
            reasoning_back: ReasoningBack::Drop,
            ..OpenAiChat::PLAIN
        }
        .any(),
    }],
    ..Provider::PLAIN
};
