//! Bedrock ConverseStream: what Amazon Bedrock speaks for all the models that it hosts.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `messageStart` | role; there is neither id nor model |
//! | `text` | text |
//! | `reasoningContent` with `text`, `signature` | reasoning, and items `reasoning.text`: of format `anthropic-claude-v1` from Claude and from models whose name does not tell, else `unknown`, because nobody else signs |
//! | `redactedContent` | an item `reasoning.encrypted`: in Anthropic's own form where it holds that, else of format `bedrock-converse-v1` |
//! | `toolUse` | a tool call |
//! | `citation` | `annotations`, at the end of the block, about its text or the text before it |
//! | `image` | `images`, at the end of the block |
//! | server tools, their results, blocks that nobody knows | `content_parts`, in Bedrock's form |
//! | `messageStop` | finish; `additionalModelResponseFields` beside `choices` |
//! | `metadata` | usage and the end; `metrics`, `trace` and the like beside `choices` |
//! | exceptions | a fault |
//!
//! `guardrail_intervened` and `content_filtered` are `content_filter`; `malformed_model_output` and
//! `malformed_tool_use` are faults. Padding (`p`) is dropped. `inputTokens` leaves out what was read from the
//! cache and written into it, unless the total says otherwise. Reasoning tokens are not counted.
//!
//! # The request
//! | chat completions | Converse |
//! |---|---|
//! | system and developer messages | `system` |
//! | messages, neighbours of one role joined | `messages` |
//! | images, files, audio, video as data URIs or `s3://` addresses | blocks with `bytes` or `s3Location` |
//! | tool calls and results | `toolUse`, `toolResult` (with images and documents) |
//! | `reasoning_details` that a Claude model signed | `reasoningContent`, for Claude models |
//! | `cache_control` | `cachePoint` behind its part, message or tool |
//! | `tools`, `tool_choice` | `toolConfig`; a conversation with calls but without tools gets their names |
//! | `parallel_tool_calls: false` | Claude's `tool_choice`, from Claude 4.5 on |
//! | limits, `temperature`, `top_p`, `stop` | `inferenceConfig` |
//! | `reasoning_effort`, `reasoning`, `thinking`, `top_k` | `additionalModelRequestFields`, in the words of Claude, Nova and gpt-oss |
//! | a JSON schema | `outputConfig` |
//! | `metadata`, `service_tier` | `requestMetadata`, `serviceTier` |
//! | `guardrailConfig` and other fields of Converse | as they came |
//!
//! Refused with the field's name: `n`, `logprobs`, answers in audio, JSON without a schema, media at web
//! addresses or by id, media in a form that Bedrock does not know, tools of other providers. Dropped and
//! named: what the model does not take, and whatever is not in the table.
//!
//! # Keys
//! `AWS_BEARER_TOKEN_BEDROCK` is a bearer key. Without it a request is signed (SigV4) with the credentials of
//! the environment or of the shared files' profile; see [`Auth::SigV4`].
//!
//! # Models
//! They are listed by Bedrock's control plane, which is another host with rights of its own: `GET /v1/models`
//! lists those that the config names, as `models = ["anthropic.claude-sonnet-4-5-20250929-v1:0"]`.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>

mod decode;
mod media;
mod model;
mod request;
mod wire;

use url::Url;

use super::{AnyDialect, Auth, Decoder, Dialect, Outgoing, Quirks, Target};
use crate::chat::{Chat, RequestError};
use crate::framing::Framing;

/// The dialect's value; it has no quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bedrock;

impl Bedrock {
    /// The dialect without quirks.
    pub const PLAIN: Bedrock = Bedrock;

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::Bedrock(self)
    }
}

impl Dialect for Bedrock {
    fn framing(&self) -> Framing {
        Framing::EventStream
    }

    fn quirks(&self) -> Quirks {
        Quirks { is_foreign: true, ..Quirks::default() }
    }

    fn auth(&self) -> Option<Auth> {
        Some(Auth::SigV4 { service: "bedrock" })
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        request::request(target, chat)
    }

    /// The control plane lists models, on another host: `GET /v1/models` names those of the config.
    fn models(&self, _base_url: &Url) -> Option<Outgoing> {
        None
    }

    fn decoder(&self, model: &str) -> Box<dyn Decoder> {
        Box::new(decode::BedrockDecoder::new(model::reasoning_format(model)))
    }
}
