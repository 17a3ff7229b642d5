//! Azure OpenAI: one URL per deployment, its own key header, content-filter results in chunks of their own.
//! The Responses API has one URL for all deployments, which are named like models.
//!
//! Source: <https://learn.microsoft.com/azure/ai-services/openai/reference>

use super::{Auth, Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, Path, ReasoningBack};
use crate::dialect::openai_responses::OpenAiResponses;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "azure",
    key_env: &["AZURE_OPENAI_API_KEY"],
    auth: Auth::Header("api-key"),
    dialects: &[
        Entry {
            base_url: "${AZURE_OPENAI_ENDPOINT}/openai",
            dialect: OpenAiChat {
                path: Path::AzureDeployment { api_version: "2024-10-21" },
                reasoning_back: ReasoningBack::Drop,
                top_k: false,
                ..OpenAiChat::PLAIN
            }
            .any(),
        },
        Entry {
            base_url: "${AZURE_OPENAI_ENDPOINT}/openai/v1",
            dialect: OpenAiResponses { least_tokens: 16, ..OpenAiResponses::PLAIN }.any(),
        },
    ],
    ..Provider::PLAIN
};
