//! The Messages API's own shapes: the body of a request, the count of tokens.

use std::borrow::Cow;

use serde::Serialize;

use super::rules::Thinking;
use crate::event::Usage;
use crate::json::{self, Field, Members, Raw};

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) anthropic_version: Option<&'static str>,
    pub(super) max_tokens: u64,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stop_sequences: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Metadata<'a>>,
    /// Fields of Anthropic's own that pass as they came.
    #[serde(flatten, serialize_with = "fields")]
    pub(super) own: Vec<(&'static str, &'a str)>,
}

fn fields<S: serde::Serializer>(own: &[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(own.iter().map(|&(name, raw)| (name, Raw(raw))))
}

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: Vec<Block<'a>>,
}

/// A block of content with its marker.
#[derive(Debug, Serialize)]
pub(super) struct Block<'a> {
    #[serde(flatten)]
    pub(super) body: BlockBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Raw<'a>>,
}

/// What a block is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum BlockBody<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<Cow<'a, str>>,
    },
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Input<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Block<'a>>,
    },
}

/// A tool's arguments: JSON text.
#[derive(Debug)]
pub(super) struct Input<'a>(pub(super) Cow<'a, str>);

impl Serialize for Input<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Raw(&self.0).serialize(serializer)
    }
}

/// Where a medium is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: Cow<'a, str>, data: Cow<'a, str> },
    Url { url: Cow<'a, str> },
    File { file_id: Cow<'a, str> },
    Text { media_type: &'static str, data: String },
}

/// A tool.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Tool<'a> {
    Function {
        name: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<Cow<'a, str>>,
        input_schema: Raw<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Raw<'a>>,
    },
    Native(Raw<'a>),
}

/// How tools are chosen.
#[derive(Debug, Serialize)]
pub(super) struct Choice<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disable_parallel_tool_use: Option<bool>,
}

/// Effort and form of the answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format<'a>>,
}

/// The form of the answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Format<'a> {
    JsonSchema { schema: Raw<'a> },
}

/// Who asks.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) user_id: Cow<'a, str>,
}

/// The tokens so far: reports come at the beginning and at the end, and a later one never takes a number back.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Field<'static>>);

impl Tokens {
    /// Takes a report over.
    pub(super) fn merge(&mut self, raw: &str) {
        for (name, value) in Members::of(raw).0 {
            let field = Field { name, value: Cow::Borrowed(value) }.into_owned();
            match self.0.iter_mut().find(|known| known.name == field.name) {
                None => self.0.push(field),
                Some(known) => {
                    let taken_back = json::count(&known.value) > json::count(&field.value);
                    if !taken_back && !field.says_nothing() {
                        *known = field;
                    }
                }
            }
        }
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|field| field.name == name).and_then(|field| json::count(&field.value))
    }

    /// The report in the contract's meaning (E3): `input_tokens` leaves out what was read from the cache and
    /// written into it.
    pub(super) fn report(&self) -> Option<Usage> {
        let read = self.count("cache_read_input_tokens");
        let written = self.count("cache_creation_input_tokens");
        let outside = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
        let prompt = self.count("input_tokens").map(|count| count.saturating_add(outside));
        let completion = self.count("output_tokens");
        let mut out = Vec::from(b"{");
        let total = prompt.zip(completion).map(|(prompt, completion)| prompt.saturating_add(completion));
        for (name, count) in
            [("prompt_tokens", prompt), ("completion_tokens", completion), ("total_tokens", total)]
        {
            if let Some(count) = count {
                out.extend_from_slice(format!("\"{name}\":{count},").as_bytes());
            }
        }
        let details = [("cached_tokens", read), ("cache_write_tokens", written)];
        let details =
            details.iter().filter_map(|(name, count)| count.map(|count| format!("\"{name}\":{count}")));
        let details: Vec<String> = details.collect();
        out.extend_from_slice(format!("\"prompt_tokens_details\":{{{}}}", details.join(",")).as_bytes());
        let thought = self.0.iter().find(|field| field.name == "output_tokens_details");
        let thought =
            thought.and_then(|field| Members::of(&field.value).find("thinking_tokens").and_then(json::count));
        if let Some(thought) = thought {
            out.extend_from_slice(
                format!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{thought}}}").as_bytes(),
            );
        }
        let ours = [
            "input_tokens",
            "output_tokens",
            "output_tokens_details",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ];
        let rest =
            self.0.iter().filter(|field| !ours.contains(&field.name.as_ref()) && field.value != "null");
        json::write_fields(rest, &mut out);
        out.push(b'}');
        Usage::read(&String::from_utf8_lossy(&out))
    }
}
