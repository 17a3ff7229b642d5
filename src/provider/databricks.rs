//! Databricks model serving: content in parts, usage on every chunk.
//!
//! Source: <https://docs.databricks.com/machine-learning/foundation-model-apis/api-reference>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "databricks",
    key_env: &["DATABRICKS_TOKEN"],
    dialects: &[Entry {
        base_url: "${DATABRICKS_HOST}/serving-endpoints",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::Drop, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
