//! Gemini's `streamGenerateContent`, as Google AI Studio speaks it and Vertex AI.
//!
//! # The answer
//! | upstream | becomes |
//! |---|---|
//! | `responseId`, `modelVersion`, `createTime` | id, model, created |
//! | a part with `text` | text |
//! | a part with `text` and `thought` | reasoning, and items `reasoning.text` of format `google-gemini-v1` |
//! | `thoughtSignature` of a `functionCall` | the call's `signature`, and an item `reasoning.encrypted` with the call's id |
//! | `thoughtSignature` of a thought | the item's `signature` |
//! | `thoughtSignature` of text or an image | an item `reasoning.encrypted` without an id |
//! | `functionCall` | a tool call; `partialArgs` are written as JSON while they come |
//! | `inlineData`, an image | `images`, as data URIs |
//! | `inlineData`, sound | `audio`, with its `mime_type` |
//! | `executableCode`, `codeExecutionResult`, `toolCall`, `toolResponse`, parts that nobody knows | `content_parts`, as they came |
//! | `groundingMetadata`, `citationMetadata` | `annotations`, with places counted in characters; the metadata itself beside `delta` |
//! | `logprobsResult` | `logprobs` |
//! | `finishReason` | finish; `MALFORMED_FUNCTION_CALL` and its kin are faults |
//! | `promptFeedback.blockReason` without candidates | an empty answer that ends with `content_filter` |
//! | `usageMetadata` | usage: thoughts are counted inside the answer, what tools read inside the prompt |
//! | `error` | a fault |
//!
//! There is no end mark: an answer is complete if every candidate has its finish reason when the body ends. An
//! answer that comes as one array of all frames, because `alt=sse` was lost on the way, is read as it comes.
//!
//! # The request
//! A model's name that begins with one of the API's collections (`models/`, `tunedModels/`, `dynamic/`,
//! `publishers/`, `endpoints/`, `projects/`) is a path, which on Vertex begins where the base URL has that
//! collection; any other name is one below `models/`, and its slashes are escaped.
//!
//! System and developer messages become `systemInstruction`; messages, images, files, sound and video, tool calls
//! and results (with media), tools and `tool_choice`, JSON and JSON schemas, efforts and budgets of reasoning,
//! limits, sampling, `seed`, `n`, penalties, `logprobs`, `modalities` and voices are translated;
//! `web_search_options` becomes Google's search. `safety_settings`, `cached_content` and `labels` pass as they
//! came, and tools that are no functions become the API's own of that name.
//!
//! Signatures go back on the calls they came with, by the call's id; those of text on an empty text behind the
//! text, which is how they are streamed. From a model that insists on signatures (Gemini 3), calls that have none
//! carry the word that Google documents for conversations which began elsewhere. `content_parts` of code that ran
//! and of tools that the API called go back before the text, with their signatures.
//!
//! Dropped and named: `parallel_tool_calls: false`, `cache_control`, names of speakers, `user`, `metadata` (unless
//! they can be Vertex's labels), an image's `detail` where images differ. Refused: media in system messages,
//! free-text tools, results of calls that are not in the conversation, sound in another form than `pcm16`.
//!
//! Source: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/gemini-api/docs/thought-signatures>

mod annotate;
mod decode;
mod family;
mod media;
mod part;
mod partial;
mod request;
mod resource;
mod schema;
mod tools;
mod usage;
mod wire;

use url::Url;

use super::{AnyDialect, Auth, Decoder, Dialect, Endpoint, Outgoing, Quirks, Target, outgoing};
use crate::chat::{Chat, RequestError};
use crate::framing::Framing;

/// The dialect's value: its fields are the quirks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemini {
    /// How the key is sent, and what files and labels there are.
    pub host: Host,
}

/// Who hosts the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Google AI Studio: `x-goog-api-key`, files by their names.
    Studio,
    /// Vertex AI: a bearer token, labels on requests.
    Vertex,
}

impl Gemini {
    /// The dialect without quirks.
    pub const PLAIN: Gemini = Gemini { host: Host::Studio };

    /// The dialect as an entry of the table holds it.
    pub const fn any(self) -> AnyDialect {
        AnyDialect::Gemini(self)
    }
}

impl Dialect for Gemini {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn quirks(&self) -> Quirks {
        Quirks { is_foreign: true, call_ids_optional: true, usage_grows: true, ..Quirks::default() }
    }

    fn auth(&self) -> Option<Auth> {
        Some(match self.host {
            Host::Studio => Auth::Header("x-goog-api-key"),
            Host::Vertex => Auth::Bearer,
        })
    }

    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
        request::request(self, target, chat)
    }

    fn models(&self, base_url: &Url) -> Option<Outgoing> {
        let mut url = outgoing::below(base_url, ["models"]);
        url.query_pairs_mut().append_pair("pageSize", "1000");
        match self.host {
            Host::Studio => Some(Outgoing::get(&url)),
            // Vertex lists what it hosts in another API.
            Host::Vertex => None,
        }
    }

    fn endpoint(&self, base_url: &Url, path: &[&str]) -> Option<Endpoint> {
        match self.host {
            // Beside the API of its own, with the key as OpenAI's clients send it.
            Host::Studio => Some(Endpoint {
                auth: Some(Auth::Bearer),
                ..Endpoint::below(base_url, ["openai"].into_iter().chain(path.iter().copied()))
            }),
            Host::Vertex => None,
        }
    }

    fn decoder(&self, _model: &str) -> Box<dyn Decoder> {
        Box::new(decode::GeminiDecoder::default())
    }
}
