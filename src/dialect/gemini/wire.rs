//! The API's own shapes: the body of a request.

use std::borrow::Cow;

use serde::Serialize;

use crate::json::Raw;

/// The body of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system_instruction: Option<Turn<'a>>,
    pub(super) contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub(super) generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety_settings: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cached_content: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Raw<'a>>,
}

/// What one side says.
#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) parts: Vec<Piece<'a>>,
}

/// A part of a turn: one that is made here, or one of the API's own that comes back as it went.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Piece<'a> {
    Part(Part<'a>),
    Own(Raw<'a>),
}

/// A part that is made here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought_signature: Option<Cow<'a, str>>,
}

impl<'a> Part<'a> {
    /// A part without a signature.
    pub(super) fn of(kind: Kind<'a>) -> Part<'a> {
        Part { kind, thought: None, thought_signature: None }
    }
}

/// What a part is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind<'a> {
    Text(Cow<'a, str>),
    InlineData(Blob<'a>),
    FileData(File<'a>),
    FunctionCall(Call<'a>),
    FunctionResponse(Response<'a>),
}

/// Bytes in base64.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    pub(super) mime_type: Cow<'a, str>,
    pub(super) data: Cow<'a, str>,
}

/// Bytes elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<Cow<'a, str>>,
    pub(super) file_uri: Cow<'a, str>,
}

/// A call of a function.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Json<'a>,
}

/// What a function gave back.
#[derive(Debug, Serialize)]
pub(super) struct Response<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) response: Json<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part<'a>>,
}

/// JSON text that may have been made here.
#[derive(Debug)]
pub(super) struct Json<'a>(pub(super) Cow<'a, str>);

impl Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Raw(&self.0).serialize(serializer)
    }
}

/// A tool.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Tool<'a> {
    Functions {
        #[serde(rename = "functionDeclarations")]
        declarations: Vec<Declaration<'a>>,
    },
    Native(Json<'a>),
}

/// A function that may be called.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Declaration<'a> {
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters_json_schema: Option<Json<'a>>,
}

/// How tools are chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function_calling_config: Option<Calling<'a>>,
    /// Needed where functions stand beside the API's own tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) include_server_side_tool_invocations: Option<bool>,
}

/// How functions are chosen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Calling<'a> {
    pub(super) mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) allowed_function_names: Vec<Cow<'a, str>>,
}

/// Limits, sampling and the form of the answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presence_penalty: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frequency_penalty: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stop_sequences: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_json_schema: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) response_modalities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speech_config: Option<SpeechConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_config: Option<ImageConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_resolution: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_config: Option<ThinkingConfig>,
}

impl GenerationConfig<'_> {
    /// True if nothing is asked for.
    fn is_empty(&self) -> bool {
        serde_json::to_string(self).is_ok_and(|text| text == "{}")
    }
}

/// How much the model thinks, and whether it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) include_thoughts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_level: Option<&'static str>,
}

/// Who speaks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpeechConfig<'a> {
    pub(super) voice_config: VoiceConfig<'a>,
}

/// A voice.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VoiceConfig<'a> {
    pub(super) prebuilt_voice_config: Voice<'a>,
}

/// A voice by its name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Voice<'a> {
    pub(super) voice_name: Cow<'a, str>,
}

/// The form of images.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aspect_ratio: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_size: Option<Cow<'a, str>>,
}
