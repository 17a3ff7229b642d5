//! Dialects: what providers speak.
//!
//! A [`Dialect`] is a value whose fields are its quirks; a compatible provider is a constant of an existing
//! dialect's type. [`envelope`] reads the error objects of all of them.

pub mod anthropic;
pub mod bedrock;
mod beside;
pub mod cohere;
pub mod envelope;
mod functions;
pub mod gemini;
mod mend;
pub mod ollama;
pub mod openai_chat;
pub mod openai_responses;
pub mod outgoing;
mod payload;

pub use outgoing::{Outgoing, Target};

use url::Url;

use crate::chat::{Chat, Origin, RequestError, Tongue};
use crate::event::{Delta, Repairs, Usage};
use crate::framing::{Frame, Framer, Framing};

/// One way to ask a provider and to read its answer.
pub trait Dialect: Send + Sync {
    /// How the answer's messages are framed.
    fn framing(&self) -> Framing;

    /// What the normalizer must know of the provider.
    fn quirks(&self) -> Quirks;

    /// How a key is sent, where the dialect has a way of its own.
    fn auth(&self) -> Option<Auth> {
        None
    }

    /// The request that asks the target, streaming; without keys. What the dialect cannot express is the
    /// client's mistake, which names the field, or is left out and named where that is harmless.
    fn request(&self, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError>;

    /// The API of clients that it speaks itself, if any: what they say in it goes on as it came.
    fn speaks(&self) -> Option<Tongue> {
        None
    }

    /// The request that counts the tokens of one in the words that it speaks, without keys; `None` if nobody counts
    /// them here.
    fn count_tokens(&self, _target: &Target<'_>, _origin: &Origin) -> Option<Outgoing> {
        None
    }

    /// Where the provider has the endpoint of OpenAI's API with this path below `/v1`; `None` if it has it nowhere.
    fn endpoint(&self, _base_url: &Url, _path: &[&str]) -> Option<Endpoint> {
        None
    }

    /// The request that lists the models, without keys; `None` if they are listed nowhere below this address.
    fn models(&self, base_url: &Url) -> Option<Outgoing> {
        Some(Outgoing::get(&outgoing::below(base_url, ["models"])))
    }

    /// The decoder for one answer of a model, by its name at the provider; where nobody knows it, by "".
    fn decoder(&self, model: &str) -> Box<dyn Decoder>;
}

/// An endpoint to which requests are passed on as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub url: Url,
    /// How the key is sent there, if not as elsewhere at this provider.
    pub auth: Option<Auth>,
}

impl Endpoint {
    /// The endpoint with these segments behind the base URL.
    fn below<'s>(base_url: &Url, segments: impl IntoIterator<Item = &'s str>) -> Endpoint {
        Endpoint { url: outgoing::below(base_url, segments), auth: None }
    }
}

/// How a key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer …`.
    Bearer,
    /// In a header of this name.
    Header(&'static str),
    /// Like `Bearer`; without a key the request is signed with AWS credentials (Signature Version 4).
    SigV4 {
        /// The name of the service in the signature.
        service: &'static str,
    },
}

/// What the normalizer must know of the provider.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks {
    /// Where reasoning stands in the text.
    pub think_tags: ThinkTags,
    /// An end mark completes the answer even where a choice has no finish reason.
    pub finish_optional: bool,
    /// The dialect has words of its own for what chat completions says: to translate them, or to mint what
    /// it has no field for, is no repair.
    pub is_foreign: bool,
    /// The dialect's tool calls need no id: to mint one is no repair.
    pub call_ids_optional: bool,
    /// The dialect reports usage again as the answer grows: a report that comes again is no repair.
    pub usage_grows: bool,
    /// The dialect goes on with texts: choices have no role, and names that are minted say so.
    pub is_completion: bool,
}

/// Where a provider puts reasoning into the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkTags {
    /// Nowhere: such tags are text.
    #[default]
    None,
    /// Between tags at the beginning of the answer.
    AtStart,
    /// At the beginning, without the opening tag: everything up to the closing tag is reasoning.
    OpenOmitted,
}

/// Turns the frames of one answer into deltas.
pub trait Decoder: Send {
    /// Reports what the frame says, in the order that [`Delta`] names.
    fn decode<'a>(
        &'a mut self,
        frame: Frame<'a>,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> Result<(), DecodeError>;

    /// The last usage that was read and not reported yet, because a better report comes with the end of the
    /// answer. It is what is known of an answer that never ends.
    fn usage_so_far(&self) -> Option<Usage> {
        None
    }
}

/// Why a frame cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame is not JSON, or its choices are none; it may have held a part of the answer.
    #[error("a frame cannot be read")]
    Malformed,
}

/// A dialect by name, with its quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyDialect {
    /// `openai-chat`.
    OpenAiChat(openai_chat::OpenAiChat),
    /// `openai-completions`.
    OpenAiCompletions(openai_chat::OpenAiCompletions),
    /// `anthropic`.
    Anthropic(anthropic::Anthropic),
    /// `cohere`.
    Cohere(cohere::Cohere),
    /// `ollama`.
    Ollama(ollama::Ollama),
    /// `bedrock`.
    Bedrock(bedrock::Bedrock),
    /// `openai-responses`.
    OpenAiResponses(openai_responses::OpenAiResponses),
    /// `gemini`.
    Gemini(gemini::Gemini),
}

impl AnyDialect {
    /// The names that the config and the command line take.
    pub const NAMES: &'static [&'static str] = &[
        "openai-chat",
        "anthropic",
        "gemini",
        "openai-responses",
        "cohere",
        "ollama",
        "bedrock",
        "openai-completions",
    ];

    /// The dialect of that name, without quirks.
    pub fn plain(name: &str) -> Option<AnyDialect> {
        match name {
            "openai-chat" => Some(AnyDialect::OpenAiChat(openai_chat::OpenAiChat::PLAIN)),
            "openai-completions" => Some(openai_chat::OpenAiChat::PLAIN.completions()),
            "anthropic" => Some(AnyDialect::Anthropic(anthropic::Anthropic::PLAIN)),
            "cohere" => Some(AnyDialect::Cohere(cohere::Cohere::PLAIN)),
            "ollama" => Some(AnyDialect::Ollama(ollama::Ollama::PLAIN)),
            "bedrock" => Some(AnyDialect::Bedrock(bedrock::Bedrock::PLAIN)),
            "openai-responses" => Some(AnyDialect::OpenAiResponses(openai_responses::OpenAiResponses::PLAIN)),
            "gemini" => Some(AnyDialect::Gemini(gemini::Gemini::PLAIN)),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            AnyDialect::OpenAiChat(_) => "openai-chat",
            AnyDialect::OpenAiCompletions(_) => "openai-completions",
            AnyDialect::Anthropic(_) => "anthropic",
            AnyDialect::Cohere(_) => "cohere",
            AnyDialect::Ollama(_) => "ollama",
            AnyDialect::Bedrock(_) => "bedrock",
            AnyDialect::OpenAiResponses(_) => "openai-responses",
            AnyDialect::Gemini(_) => "gemini",
        }
    }

    /// The dialect in which the same provider is asked to go on with a text, if it has one.
    pub fn for_texts(self) -> Option<AnyDialect> {
        match self {
            AnyDialect::OpenAiChat(dialect) => Some(dialect.completions()),
            AnyDialect::OpenAiCompletions(_) => Some(self),
            AnyDialect::Anthropic(_)
            | AnyDialect::Cohere(_)
            | AnyDialect::Ollama(_)
            | AnyDialect::Bedrock(_)
            | AnyDialect::OpenAiResponses(_)
            | AnyDialect::Gemini(_) => None,
        }
    }

    /// The dialect itself.
    pub fn as_dialect(&self) -> &dyn Dialect {
        match self {
            AnyDialect::OpenAiChat(dialect) => dialect,
            AnyDialect::OpenAiCompletions(dialect) => dialect,
            AnyDialect::Anthropic(dialect) => dialect,
            AnyDialect::Cohere(dialect) => dialect,
            AnyDialect::Ollama(dialect) => dialect,
            AnyDialect::Bedrock(dialect) => dialect,
            AnyDialect::OpenAiResponses(dialect) => dialect,
            AnyDialect::Gemini(dialect) => dialect,
        }
    }
}

/// The request that asks the target, without keys, whatever API the client speaks. A dialect that speaks it too gets
/// the request as it came. Any other refuses what only such a dialect can do, and is understood by the client: what
/// it refuses and what it leaves out has the client's names.
pub fn ask(dialect: &dyn Dialect, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
    let Some(origin) = chat.origin.as_deref().filter(|origin| dialect.speaks() != Some(origin.tongue)) else {
        return dialect.request(target, chat);
    };
    origin.check()?;
    let Outgoing { request, dropped } =
        dialect.request(target, chat).map_err(|error| origin.in_its_words(error))?;
    Ok(Outgoing { request, dropped: origin.dropped(dropped) })
}

/// The framer for a dialect's answers; `limit` is the longest frame in bytes.
pub fn framer(dialect: &dyn Dialect, limit: usize) -> Framer {
    Framer::new(dialect.framing(), limit)
}

#[cfg(test)]
mod tests {
    use crate::provider::Provider;

    #[track_caller]
    fn check(provider: &str, dialect: &str, base_url: &str, path: &[&str], expected: Option<&str>) {
        let row = Provider::find(provider).unwrap();
        let entry = row.entry(dialect).unwrap();
        let endpoint = entry.dialect.as_dialect().endpoint(&base_url.parse().unwrap(), path);
        assert_eq!(endpoint.as_ref().map(|endpoint| endpoint.url.as_str()), expected);
    }

    #[test]
    fn endpoints_are_where_the_provider_has_them() {
        let file = &["files", "a/b c", "content"];
        for (provider, dialect, base_url, path, expected) in [
            ("openai", "openai-chat", "http://h/v1", &["embeddings"][..], Some("http://h/v1/embeddings")),
            ("openai", "openai-responses", "http://h/v1/", file, Some("http://h/v1/files/a%2Fb%20c/content")),
            ("azure", "openai-chat", "http://h/openai", &["files"], Some("http://h/openai/v1/files")),
            ("azure", "openai-responses", "http://h/openai/v1", &["files"], Some("http://h/openai/v1/files")),
            ("google", "gemini", "http://h/v1beta", &["files"], Some("http://h/v1beta/openai/files")),
            (
                "google",
                "openai-chat",
                "http://h/v1beta/openai",
                &["files"],
                Some("http://h/v1beta/openai/files"),
            ),
            ("ollama", "ollama", "http://h/api", &["embeddings"], Some("http://h/v1/embeddings")),
            ("ollama", "openai-chat", "http://h/v1", &["embeddings"], Some("http://h/v1/embeddings")),
            ("cohere", "cohere", "http://h/v2", &["rerank"], Some("http://h/v2/rerank")),
            ("cohere", "cohere", "http://h/v2", &["embeddings"], None),
            ("vertex", "gemini", "http://h/v1/x", &["embeddings"], None),
            ("anthropic", "anthropic", "http://h/v1", &["files"], None),
            ("bedrock", "bedrock", "http://h", &["embeddings"], None),
        ] {
            check(provider, dialect, base_url, path, expected);
        }
    }
}
