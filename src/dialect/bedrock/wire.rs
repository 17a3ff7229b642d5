//! Converse's own shapes: the body of a request, the count of tokens.

use std::borrow::Cow;

use serde::Serialize;

use crate::event::Usage;
use crate::json::{self, Field, Members, Raw};

/// The format of encrypted reasoning that is in no form but Bedrock's.
pub(super) const OWN_FORMAT: &str = "bedrock-converse-v1";

/// The body of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) system: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub(super) inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<OutputConfig<'a>>,
    /// What the model takes beyond what all models take: names and JSON texts.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "fields")]
    pub(super) additional_model_request_fields: Vec<(&'static str, Cow<'a, str>)>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "fields")]
    pub(super) request_metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_tier: Option<ServiceTier<'a>>,
    /// Fields of Converse's own that pass as they came.
    #[serde(flatten, serialize_with = "fields")]
    pub(super) own: Vec<(&'static str, Cow<'a, str>)>,
}

fn fields<S: serde::Serializer, N: AsRef<str>>(
    fields: &[(N, Cow<'_, str>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, raw)| (name.as_ref(), Raw(raw))))
}

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: Vec<Block<'a>>,
}

/// A block of content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Medium<'a>),
    Document(Document<'a>),
    Audio(Medium<'a>),
    Video(Medium<'a>),
    ReasoningContent(Reasoning<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(ToolResult<'a>),
    CachePoint(CachePoint<'a>),
}

/// An image, a recording, a video.
#[derive(Debug, Serialize)]
pub(super) struct Medium<'a> {
    pub(super) format: &'static str,
    pub(super) source: Source<'a>,
}

/// A document.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) format: &'static str,
    pub(super) name: String,
    pub(super) source: Source<'a>,
}

/// Where a medium is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Source<'a> {
    /// In the request itself, in base64.
    Bytes(Cow<'a, str>),
    S3Location {
        uri: Cow<'a, str>,
    },
}

/// Reasoning that goes back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText {
        text: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    /// In base64.
    RedactedContent(Cow<'a, str>),
}

/// A call of a tool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    pub(super) tool_use_id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) input: Text<'a>,
}

/// The result of a call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    pub(super) tool_use_id: Cow<'a, str>,
    pub(super) content: Vec<Block<'a>>,
}

/// JSON text that was made here or borrowed.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Serialize for Text<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Raw(&self.0).serialize(serializer)
    }
}

/// What stands before it is cached.
#[derive(Debug, Serialize)]
pub(super) struct CachePoint<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Cow<'a, str>>,
}

impl<'a> CachePoint<'a> {
    /// The point that a marker `cache_control` means.
    pub(super) fn of(marker: &'a str) -> CachePoint<'a> {
        CachePoint { kind: "default", ttl: Members::of(marker).find("ttl").and_then(json::word) }
    }
}

/// What all models take.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stop_sequences: Vec<Cow<'a, str>>,
}

impl InferenceConfig<'_> {
    fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

/// The tools and how they are chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Choice<'a>>,
}

/// A tool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Tool<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint<'a>),
    /// One in Bedrock's own form.
    #[serde(untagged)]
    Native(Raw<'a>),
}

/// A function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolSpec<'a> {
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    pub(super) input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

/// The schema of a function's parameters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Schema<'a> {
    Json(Raw<'a>),
}

/// How tools are chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: Cow<'a, str> },
}

/// The form of the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputConfig<'a> {
    pub(super) text_format: TextFormat<'a>,
}

/// The form of a text.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "structure", rename_all = "snake_case")]
pub(super) enum TextFormat<'a> {
    JsonSchema(Structure<'a>),
}

/// The structure of a text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Structure<'a> {
    JsonSchema {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<Cow<'a, str>>,
        /// As text, not as an object.
        schema: &'a str,
    },
}

/// How urgent the request is.
#[derive(Debug, Serialize)]
pub(super) struct ServiceTier<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Cow<'a, str>,
}

/// A report in the contract's meaning (E3).
///
/// `inputTokens` leaves out what was read from the cache and written into it, and `totalTokens` has it;
/// where the total has no room for it, the input has it already.
pub(super) fn usage(raw: &str) -> Option<Usage> {
    let usage = Members::of(raw);
    let count = |name: &str| usage.find(name).and_then(json::count);
    let (input, completion, total) = (count("inputTokens"), count("outputTokens"), count("totalTokens"));
    let (read, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    let cached = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
    let prompt = input.map(|input| {
        let sum = input.saturating_add(completion.unwrap_or(0));
        if total == Some(sum) { input } else { input.saturating_add(cached) }
    });
    let total = total.or_else(|| Some(prompt?.saturating_add(completion?)));
    let mut out = Vec::from(b"{");
    for (name, count) in
        [("prompt_tokens", prompt), ("completion_tokens", completion), ("total_tokens", total)]
    {
        if let Some(count) = count {
            out.extend_from_slice(format!("\"{name}\":{count},").as_bytes());
        }
    }
    let details = [("cached_tokens", read), ("cache_write_tokens", written)];
    let details = details.iter().filter_map(|(name, count)| count.map(|count| format!("\"{name}\":{count}")));
    let details: Vec<String> = details.collect();
    out.extend_from_slice(format!("\"prompt_tokens_details\":{{{}}}", details.join(",")).as_bytes());
    let ours = [
        "inputTokens",
        "outputTokens",
        "totalTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        // The same under older names.
        "cacheReadInputTokenCount",
        "cacheWriteInputTokenCount",
    ];
    json::write_fields(&others(&usage, &ours), &mut out);
    out.push(b'}');
    Usage::read(&String::from_utf8_lossy(&out))
}

/// The members that are none of these and say something.
pub(super) fn others<'a>(members: &Members<'a>, known: &[&str]) -> Vec<Field<'a>> {
    let fields =
        members.0.iter().map(|(name, value)| Field { name: name.clone(), value: Cow::Borrowed(*value) });
    fields.filter(|field| !known.contains(&field.name.as_ref()) && !field.says_nothing()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, prompt: Option<u64>, total: Option<u64>) {
        let usage = usage(raw).unwrap();
        assert_eq!((usage.prompt, usage.total), (prompt, total), "{raw}");
    }

    #[test]
    fn cached_tokens_belong_to_the_prompt() {
        check(
            r#"{"inputTokens":11,"outputTokens":236,"totalTokens":1275,"cacheWriteInputTokens":1028,"cacheReadInputTokens":0}"#,
            Some(1039),
            Some(1275),
        );
        check(
            r#"{"inputTokens":11,"outputTokens":2,"cacheReadInputTokens":5,"cacheWriteInputTokens":3}"#,
            Some(19),
            Some(21),
        );
    }

    #[test]
    fn cached_tokens_that_the_total_has_no_room_for_are_in_the_input() {
        check(
            r#"{"inputTokens":11,"outputTokens":2,"totalTokens":13,"cacheReadInputTokens":5}"#,
            Some(11),
            Some(13),
        );
    }

    #[test]
    fn a_count_that_is_missing_is_not_invented() {
        check(r#"{"outputTokens":2}"#, None, None);
        assert_eq!(super::usage("{}"), None);
    }
}
