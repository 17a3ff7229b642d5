//! Chat completions, as OpenAI and all compatible providers speak it.
//!
//! The answer: `data:` events with a `chat.completion.chunk` each, an end mark `[DONE]`; in practice every
//! field may be missing, null, of another type or of another name. What differs between providers so much
//! that no general rule can tell is a field of [`OpenAiChat`].
//!
//! Source: OpenAI's API reference, "Chat completions streaming"; providers' references beside their rows.

mod chunk;
mod completions;
mod content;
mod decode;
mod foreign;
mod memory;
mod request;

pub use completions::OpenAiCompletions;
use url::Url;

use super::{AnyDialect, Decoder, Dialect, Endpoint, Outgoing, Quirks, Target, ThinkTags};
use crate::chat::{Chat, RequestError};
use crate::framing::Framing;

/// The dialect's value: its fields are the quirks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAiChat {
    /// Where chat completions are asked for.
    pub path: Path,
    /// Whether `stream_options.include_usage` is taken. Mistral and Perplexity report usage without it and
    /// refuse or ignore it.
    pub stream_options: bool,
    /// How reasoning of earlier turns is sent back.
    pub reasoning_back: ReasoningBack,
    /// Where reasoning stands in the text of the answer. Perplexity and open-weight servers need it.
    pub think_tags: ThinkTags,
    /// An end mark completes an answer without a finish reason. Text Generation Inference needs it.
    pub finish_optional: bool,
    /// The provider knows OpenRouter's additions: `cache_control`, and `reasoning` as an object.
    pub additions: bool,
    /// Newer models take `max_completion_tokens` and refuse `max_tokens`.
    pub newer_limit: bool,
    /// Whether `top_k` is taken, which clients of other APIs may send. OpenAI and others refuse it.
    pub top_k: bool,
}

/// Where chat completions are asked for, below the base URL; texts are completed beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `/chat/completions`, `/completions`.
    Plain,
    /// `/deployments/{model}/chat/completions?api-version=…` and so on: Azure's own.
    AzureDeployment {
        /// The version of Azure's API.
        api_version: &'static str,
    },
}

/// What becomes of the reasoning that clients send back on assistant messages (G4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningBack {
    /// It stays as the client sent it: OpenRouter and other gateways take it in any form.
    Keep,
    /// As `reasoning_content` only: DeepSeek, Moonshot, Zhipu and others want it for tool calls.
    ReasoningContent,
    /// As `reasoning` only: Groq, Cerebras, Together and newer vLLM.
    Reasoning,
    /// Left out: the provider refuses fields that it does not know, or has no use for it.
    Drop,
    /// As `extra_content.google.thought_signature` on the tool calls: Google's endpoint.
    Google,
}

impl OpenAiChat {
    /// The dialect without quirks.
    pub const PLAIN: OpenAiChat = OpenAiChat {
        path: Path::Plain,
        stream_options: true,
        reasoning_back: ReasoningBack::Keep,
        think_tags: ThinkTags::None,
        finish_optional: false,
        additions: false,
        newer_limit: false,
        top_k: true,
    };

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::OpenAiChat(self)
    }

    /// The dialect in which the same provider goes on with texts.
    pub const fn completions(self) -> AnyDialect {
        AnyDialect::OpenAiCompletions(OpenAiCompletions(self))
    }
}

impl Dialect for OpenAiChat {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { think_tags: self.think_tags, finish_optional: self.finish_optional, ..Quirks::default() }
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        Ok(request::request(self, target, chat, &["chat", "completions"]))
    }

    fn endpoint(&self, base_url: &Url, path: &[&str]) -> Option<Endpoint> {
        // Azure has them for all deployments together, which are named like models.
        let before = match self.path {
            Path::Plain => None,
            Path::AzureDeployment { .. } => Some("v1"),
        };
        Some(Endpoint::below(base_url, before.into_iter().chain(path.iter().copied())))
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::OpenAiChatDecoder::default())
    }
}
