//! Google's Vertex AI: Gemini's own API with a project, a place and a bearer token, and Anthropic's models.
//!
//! The token is what `gcloud auth print-access-token` prints. A place other than `global` has a host of its own
//! (`https://europe-west4-aiplatform.googleapis.com`), which `VERTEX_ENDPOINT` names.
//!
//! Source: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>

use super::{Entry, Provider};
use crate::dialect::anthropic::{Anthropic, Host as AnthropicHost};
use crate::dialect::gemini::{Gemini, Host};

/// The row.
pub(super) const PROVIDER: Provider = Provider {
    name: "vertex",
    key_env: &["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"],
    dialects: &[
        Entry {
            base_url: "${VERTEX_ENDPOINT:-https://aiplatform.googleapis.com}/v1/projects/${GOOGLE_CLOUD_PROJECT}/locations/${GOOGLE_CLOUD_LOCATION:-global}/publishers/google",
            dialect: Gemini { host: Host::Vertex }.any(),
        },
        Entry {
            base_url: "${VERTEX_ENDPOINT:-https://aiplatform.googleapis.com}/v1/projects/${GOOGLE_CLOUD_PROJECT}/locations/${GOOGLE_CLOUD_LOCATION:-global}/publishers/anthropic/models",
            dialect: Anthropic { host: AnthropicHost::Vertex }.any(),
        },
    ],
    ..Provider::PLAIN
};
