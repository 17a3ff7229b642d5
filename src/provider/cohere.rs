//! Cohere: its own chat API, version 2.
//!
//! Source: <https://docs.cohere.com/reference/chat-stream>

use super::{Entry, Provider};
use crate::dialect::cohere::Cohere;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "cohere",
    key_env: &["COHERE_API_KEY", "CO_API_KEY"],
    dialects: &[Entry { base_url: "https://api.cohere.com/v2", dialect: Cohere::PLAIN.any() }],
    ..Provider::PLAIN
};
