//! Google AI Studio: Gemini's own API, and an OpenAI endpoint with no ids, no tool index and thought signatures
//! under `extra_content.google`.
//!
//! Source: <https://ai.google.dev/api>, <https://ai.google.dev/gemini-api/docs/openai>

use super::{Entry, Provider};
use crate::dialect::gemini::Gemini;
use crate::dialect::openai_chat::{OpenAiChat, ReasoningBack};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "google",
    key_env: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    dialects: &[
        Entry { base_url: "https://generativelanguage.googleapis.com/v1beta", dialect: Gemini::PLAIN.any() },
        Entry {
            base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
            dialect: OpenAiChat { reasoning_back: ReasoningBack::Google, ..OpenAiChat::PLAIN }.any(),
        },
    ],
    ..Provider::PLAIN
};
