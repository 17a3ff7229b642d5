//! Amazon Bedrock: the models of many makers behind one API, a region in the address, requests signed or with
//! a key of its own.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html>

use super::{Entry, Provider};
use crate::dialect::bedrock::Bedrock;

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "bedrock",
    key_env: &["AWS_BEARER_TOKEN_BEDROCK"],
    dialects: &[Entry {
        base_url: "https://bedrock-runtime.${AWS_REGION}.amazonaws.com",
        dialect: Bedrock::PLAIN.any(),
    }],
    ..Provider::PLAIN
};
