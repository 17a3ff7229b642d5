//! Ollama's own shapes: the body of a request.

use std::borrow::Cow;

use serde::Serialize;

use crate::dialect::functions;
use crate::json::Raw;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) stream: bool,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<functions::Wire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) think: Option<Think<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_logprobs: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "members")]
    pub(super) options: Vec<(Cow<'a, str>, Setting<'a>)>,
    /// Fields of Ollama's own that pass as they came.
    #[serde(flatten, serialize_with = "fields")]
    pub(super) own: Vec<(&'static str, &'a str)>,
}

fn fields<S: serde::Serializer>(own: &[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(own.iter().map(|&(name, raw)| (name, Raw(raw))))
}

fn members<S: serde::Serializer>(
    options: &[(Cow<'_, str>, Setting<'_>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, value)))
}

/// The value of an option.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Setting<'a> {
    Raw(Raw<'a>),
    Count(u64),
    Texts(Vec<Cow<'a, str>>),
}

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Cow<'a, str>>,
    /// In base64, without a type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<&'a str>,
}

/// A tool call of the model's.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: &'a str,
    pub(super) function: Called<'a>,
}

/// What was called.
#[derive(Debug, Serialize)]
pub(super) struct Called<'a> {
    pub(super) name: &'a str,
    #[serde(serialize_with = "raw")]
    pub(super) arguments: Cow<'a, str>,
}

fn raw<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    Raw(text).serialize(serializer)
}

/// The form of the answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Format<'a> {
    Json(&'static str),
    Schema(Raw<'a>),
}

/// Whether the model thinks, or how much.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Think<'a> {
    Flag(bool),
    Level(&'static str),
    Own(Raw<'a>),
}
