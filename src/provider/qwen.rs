//! Qwen, on Alibaba's Model Studio (DashScope).
//!
//! Source: <https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api>

use super::{Entry, Provider};
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "qwen",
    key_env: &["DASHSCOPE_API_KEY"],
    dialects: &[Entry {
        base_url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        dialect: OpenAiChat { reasoning_back: ReasoningBack::ReasoningContent, ..OpenAiChat::PLAIN }.any(),
    }],
    ..Provider::PLAIN
};
