//! Cohere's own shapes: the body of a request, the count of tokens, the probabilities.

use std::borrow::Cow;

use serde::Serialize;

use crate::dialect::functions;
use crate::event::Usage;
use crate::json::{self, Field, Members, Raw};

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) stream: bool,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<functions::Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict_tools: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) documents: Vec<Document<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stop_sequences: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<bool>,
    /// Numbers, and fields of Cohere's own that pass as they came.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_plan: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Cow<'a, str>>,
}

/// The content of a message.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

/// A block of content.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text { text: Cow<'a, str> },
    Thinking { thinking: Cow<'a, str> },
    ImageUrl { image_url: Image<'a> },
}

/// An image.
#[derive(Debug, Serialize)]
pub(super) struct Image<'a> {
    pub(super) url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Cow<'a, str>>,
}

/// A tool call of the model's.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: Called<'a>,
}

/// What was called.
#[derive(Debug, Serialize)]
pub(super) struct Called<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Cow<'a, str>,
}

/// A document that the answer may cite.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Document<'a> {
    Own(Raw<'a>),
    File { data: File<'a> },
}

/// A text file.
#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<Cow<'a, str>>,
    pub(super) text: String,
}

/// The form of the answer.
#[derive(Debug, Serialize)]
pub(super) struct Format<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_schema: Option<Raw<'a>>,
}

/// How the model thinks.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thinking<'a> {
    Disabled,
    Enabled {
        #[serde(skip_serializing_if = "Option::is_none")]
        token_budget: Option<u64>,
    },
    #[serde(untagged)]
    Own(Raw<'a>),
}

/// A report of tokens in the contract's meaning (E3): what the model saw and wrote. What is paid for, which
/// leaves Cohere's own preamble out, stays beside it.
pub(super) fn usage(raw: &str) -> Option<Usage> {
    let usage = Members::of(raw);
    let nested = |name: &str| usage.find(name).map(Members::of).unwrap_or_default();
    let (tokens, billed) = (nested("tokens"), nested("billed_units"));
    let counted = |name: &str| tokens.find(name).and_then(json::count);
    let count = |name: &str| counted(name).or_else(|| billed.find(name).and_then(json::count));
    let (prompt, completion) = (count("input_tokens"), count("output_tokens"));
    let total = prompt.zip(completion).map(|(prompt, completion)| prompt.saturating_add(completion));
    let mut members = Vec::new();
    for (name, count) in
        [("prompt_tokens", prompt), ("completion_tokens", completion), ("total_tokens", total)]
    {
        members.extend(count.map(|count| format!("\"{name}\":{count}")));
    }
    let cached = usage.find("cached_tokens").and_then(json::count).or_else(|| counted("cached_tokens"));
    for (details, name, count) in [
        ("prompt_tokens_details", "cached_tokens", cached),
        ("completion_tokens_details", "reasoning_tokens", counted("reasoning_tokens")),
    ] {
        members.extend(count.map(|count| format!("\"{details}\":{{\"{name}\":{count}}}")));
    }
    let ours = ["tokens", "cached_tokens", "input_tokens", "output_tokens", "reasoning_tokens"];
    let rest = usage.0.iter().chain(&tokens.0);
    let rest = rest.filter(|(name, value)| !ours.contains(&name.as_ref()) && *value != "null");
    for (name, value) in rest {
        let mut member = Vec::new();
        json::write_fields([&Field { name: name.clone(), value: Cow::Borrowed(*value) }], &mut member);
        let member = String::from_utf8_lossy(&member);
        members.extend(member.strip_prefix(',').map(str::to_owned));
    }
    Usage::read(&format!("{{{}}}", members.join(",")))
}

/// The probabilities of a piece, or of several, in the shape of chat completions. The text of a piece of
/// several tokens stands on the first of them.
pub(super) fn logprobs(raw: &str) -> Option<String> {
    let mut tokens = Vec::new();
    for piece in json::elements(raw) {
        let piece = Members::of(piece);
        let text = piece.find("text").and_then(json::scalar).unwrap_or_default();
        for (at, logprob) in numbers(piece.find("logprobs")).into_iter().enumerate() {
            let text = if at == 0 { text.as_ref() } else { "" };
            let mut token = Vec::from(b"{\"token\":");
            json::write_string(text, &mut token);
            let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
            let bytes = bytes.join(",");
            token.extend_from_slice(
                format!(",\"logprob\":{logprob},\"bytes\":[{bytes}],\"top_logprobs\":[]}}").as_bytes(),
            );
            tokens.push(String::from_utf8_lossy(&token).into_owned());
        }
    }
    (!tokens.is_empty()).then(|| format!("{{\"content\":[{}]}}", tokens.join(",")))
}

/// The numbers of a list, as they were written.
fn numbers(raw: Option<&str>) -> Vec<&str> {
    let list = raw.and_then(|raw| serde_json::from_str::<Vec<&serde_json::value::RawValue>>(raw).ok()); // No list: no numbers.
    let list = list.unwrap_or_default();
    list.into_iter().map(serde_json::value::RawValue::get).filter(|raw| raw.parse::<f64>().is_ok()).collect()
}
