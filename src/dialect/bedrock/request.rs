//! A chat becomes a request of ConverseStream.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::ACCEPT;
use url::Url;

use super::media::{self, Kind};
use super::model::{self, Maker};
use super::wire::{
    Block, Body, CachePoint, InferenceConfig, OWN_FORMAT, OutputConfig, Reasoning, ServiceTier, Structure,
    Text, TextFormat, ToolResult, ToolUse, Turn,
};
use crate::chat::message::{Content, Detail, DetailBody, Message, Part, Role};
use crate::chat::settings::{Effort, ResponseFormat};
use crate::chat::{Chat, RequestError};
use crate::dialect::anthropic::rules::{self, Room, Thinking};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Members, Raw};

mod tools;

/// Fields that are translated.
const TRANSLATED: &[&str] = &[
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "metadata",
    "service_tier",
    "n",
];
/// Fields of Converse itself that pass as they came.
const OWN: &[&str] =
    &["guardrailConfig", "performanceConfig", "promptVariables", "additionalModelResponseFieldPaths"];
/// The longest id of a call.
const ID_LIMIT: usize = 64;
/// The most pairs of metadata, and the longest name or value.
const METADATA_LIMITS: (usize, usize) = (16, 256);
/// What an answer may have at most where neither the client nor the model's family says so.
const MAX_TOKENS: u64 = 8192;

/// Builds the request, without keys.
pub(super) fn request(target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
    refuse(chat)?;
    let messages = chat.messages()?;
    let mut builder = Builder {
        chat,
        model: target.model,
        maker: model::of(target.model),
        dropped: Vec::new(),
        documents: Vec::new(),
        additional: Vec::new(),
    };
    let body = builder.body(&messages)?;
    let mut dropped = builder.dropped;
    dropped.extend(chat.others(&[TRANSLATED, OWN].concat()));
    let outgoing = Outgoing::post(&address(target), chat.body(target.provider, &body)?);
    Ok(outgoing.header(ACCEPT, "application/vnd.amazon.eventstream").without(dropped))
}

/// Refuses what cannot be expressed and would be missed.
fn refuse(chat: &Chat) -> Result<(), RequestError> {
    chat.check_single()?;
    if chat.given("logprobs") == Some("true") {
        return Err(RequestError::unsupported("logprobs", "this API reports none. Leave logprobs out."));
    }
    if chat.given("modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        return Err(RequestError::unsupported("modalities", "this API does not answer in audio."));
    }
    Ok(())
}

/// Where the model is asked. Its id may be a resource name, with colons and slashes, which AWS wants escaped.
fn address(target: &Target<'_>) -> Url {
    let mut id = String::new();
    for byte in target.model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            id.push(char::from(byte));
        } else {
            id.push_str(&format!("%{byte:02X}"));
        }
    }
    let mut url = target.base_url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/model/{id}/converse-stream"));
    url
}

struct Builder<'a> {
    chat: &'a Chat,
    model: &'a str,
    maker: Maker,
    dropped: Vec<String>,
    /// The names of the documents so far.
    documents: Vec<String>,
    /// What goes to the model beyond what all models take: names and JSON texts.
    additional: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Builder<'a> {
    fn body<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let (tool_config, is_forced) = self.tools(messages)?;
        let inference_config = self.inference(is_forced, messages)?;
        Ok(Body {
            system: self.system(messages)?,
            messages: self.turns(messages)?,
            inference_config,
            tool_config,
            output_config: self.format()?,
            additional_model_request_fields: std::mem::take(&mut self.additional),
            request_metadata: self.metadata(),
            service_tier: self.service_tier(),
            own: OWN.iter().filter_map(|name| Some((*name, Cow::Borrowed(chat.given(name)?)))).collect(),
        })
    }

    fn drop(&mut self, name: &str) {
        rules::note(&mut self.dropped, name);
    }

    fn system<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = Vec::new();
        for message in messages.iter().filter(|message| message.is_system()) {
            let from = blocks.len();
            for part in &message.parts {
                blocks.extend(text_block(rules::system_text(part)?));
                mark(&mut blocks, from, part.cache_control);
            }
            mark(&mut blocks, from, message.cache_control);
        }
        Ok(blocks)
    }

    /// The messages with neighbours of one role joined: the API wants them to take turns.
    fn turns<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Turn<'b>>, RequestError> {
        let mut turns: Vec<Turn<'b>> = Vec::new();
        for message in messages {
            let (role, content) = match message.role {
                Role::System | Role::Developer => continue,
                Role::User => ("user", self.parts(message)?),
                Role::Tool => ("user", self.result(message)?),
                Role::Assistant => ("assistant", self.assistant(message)?),
            };
            if message.name.is_some() && message.role != Role::Tool {
                self.drop("messages.name");
            }
            match turns.last_mut().filter(|turn| turn.role == role) {
                Some(turn) => turn.content.extend(content),
                None if content.is_empty() => {}
                None => turns.push(Turn { role, content }),
            }
        }
        // An answer that is to be continued must not end with white space.
        if let Some(Turn { role: "assistant", content }) = turns.last_mut()
            && let Some(Block::Text(text)) = content.last_mut()
        {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
        Ok(turns)
    }

    fn parts<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            blocks.extend(self.part(part)?);
            mark(&mut blocks, 0, part.cache_control);
        }
        mark(&mut blocks, 0, message.cache_control);
        Ok(blocks)
    }

    fn part<'b>(&mut self, part: &'b Part<'b>) -> Result<Option<Block<'b>>, RequestError> {
        let (kind, media) = match &part.content {
            Content::Text(text) | Content::Refusal(text) => return Ok(text_block(text)),
            Content::Image(media) => (Kind::Image, media),
            Content::File(media) => (Kind::File, media),
            Content::Audio(media) => (Kind::Audio, media),
            Content::Video(media) => (Kind::Video, media),
        };
        media::block(kind, media, part.place, &mut self.documents).map(Some)
    }

    /// Reasoning that is signed goes back first, as it came, then text, then calls.
    fn assistant<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks: Vec<Block<'b>> = Vec::new();
        if matches!(self.maker, Maker::Claude(_) | Maker::Unknown) {
            blocks.extend(message.details.iter().filter_map(thought).map(Block::ReasoningContent));
        }
        let from = blocks.len();
        for part in &message.parts {
            blocks.extend(self.part(part)?);
            mark(&mut blocks, from, part.cache_control);
        }
        for call in &message.calls {
            blocks.push(Block::ToolUse(ToolUse {
                tool_use_id: tool_id(&call.id),
                name: Cow::Borrowed(&call.name),
                input: Text(call.object()),
            }));
        }
        mark(&mut blocks, from, message.cache_control);
        Ok(blocks)
    }

    /// A result; its markers stand behind it, because nothing may be marked inside.
    fn result<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut content = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            content.extend(self.part(part)?);
        }
        let tool_use_id = tool_id(message.call_id.as_deref().unwrap_or_default());
        let mut blocks = vec![Block::ToolResult(ToolResult { tool_use_id, content })];
        let marker = message.parts.iter().find_map(|part| part.cache_control).or(message.cache_control);
        mark(&mut blocks, 0, marker);
        Ok(blocks)
    }

    /// Limits, sampling and thinking: each decides about the others.
    fn inference(
        &mut self,
        is_forced: bool,
        messages: &[Message<'_>],
    ) -> Result<InferenceConfig<'a>, RequestError> {
        let chat = self.chat;
        let mut max_tokens = chat.max_tokens()?;
        let thinks = self.thinking(&mut max_tokens, is_forced, messages)?;
        let [mut temperature, mut top_p, top_k] = match self.maker {
            Maker::Claude(family) => rules::sampling(chat, family, thinks, &mut self.dropped)?,
            Maker::Nova { .. } | Maker::GptOss | Maker::Mistral | Maker::Other | Maker::Unknown => {
                [self.temperature()?, chat.number("top_p")?, chat.number("top_k")?]
            }
        };
        match (self.maker, top_k) {
            (_, None) => {}
            (Maker::Claude(_) | Maker::Mistral, Some(top_k)) => {
                self.additional.push(("top_k", Cow::Borrowed(top_k)));
            }
            (Maker::Nova { .. }, Some(top_k)) => {
                self.additional.push(("inferenceConfig", Cow::Owned(format!("{{\"topK\":{top_k}}}"))));
            }
            (Maker::GptOss | Maker::Other | Maker::Unknown, Some(_)) => self.drop("top_k"),
        }
        // At its highest effort a Nova model decides about all of them by itself.
        if thinks && matches!(self.maker, Maker::Nova { .. }) && self.nova_effort()? == Some("high") {
            let limits = ["max_completion_tokens", "max_tokens"];
            let limit = limits.into_iter().find(|name| chat.given(name).is_some()).unwrap_or_default();
            for (name, is_given) in [
                (limit, max_tokens.take().is_some()),
                ("temperature", temperature.take().is_some()),
                ("top_p", top_p.take().is_some()),
            ] {
                if is_given {
                    self.drop(name);
                }
            }
        }
        Ok(InferenceConfig {
            max_tokens,
            temperature: temperature.map(Raw),
            top_p: top_p.map(Raw),
            stop_sequences: self.stop()?,
        })
    }

    /// The temperature, which ends at one here.
    fn temperature(&mut self) -> Result<Option<&'a str>, RequestError> {
        let temperature = self.chat.number("temperature")?;
        if temperature.and_then(|raw| raw.parse::<f64>().ok()).is_some_and(|number| number > 1.0) {
            self.drop("temperature");
            return Ok(Some("1"));
        }
        Ok(temperature)
    }

    /// Tells the model how to think, in its maker's words; true if it will.
    fn thinking(
        &mut self,
        max_tokens: &mut Option<u64>,
        is_forced: bool,
        messages: &[Message<'_>],
    ) -> Result<bool, RequestError> {
        let own = self.chat.given("thinking").filter(|raw| raw.starts_with('{'));
        let asked = self.chat.thinking()?;
        let by_object = self.chat.given("reasoning").is_some();
        let field = if by_object { "reasoning" } else { "reasoning_effort" };
        match (self.maker, own) {
            (Maker::Claude(family), Some(own)) => {
                self.additional.push(("thinking", Cow::Borrowed(own)));
                let thinks = !own.contains("\"disabled\"");
                if thinks {
                    max_tokens.get_or_insert(family.max_tokens);
                }
                return Ok(thinks);
            }
            (Maker::Claude(family), None) => {
                let room = Room {
                    max_tokens: max_tokens.unwrap_or(family.max_tokens),
                    is_forced,
                    is_lost: rules::lost_its_thoughts(messages),
                };
                let told = rules::thinking(family, asked, room);
                if told.is_none() {
                    self.drop(field);
                }
                let (thinking, effort) = told.unwrap_or_default();
                if let Some(Thinking::Enabled { .. }) = thinking {
                    // A budget must be smaller than the limit, and nothing says which limit holds by itself.
                    *max_tokens = Some(room.max_tokens);
                }
                let text = thinking.map(|thinking| serde_json::to_string(&thinking));
                if let Some(Ok(text)) = text {
                    self.additional.push(("thinking", Cow::Owned(text)));
                }
                if let Some(effort) = effort {
                    let config = format!("{{\"effort\":\"{effort}\"}}");
                    self.additional.push(("output_config", Cow::Owned(config)));
                }
                return Ok(matches!(thinking, Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. })));
            }
            (
                Maker::Nova { .. } | Maker::GptOss | Maker::Mistral | Maker::Other | Maker::Unknown,
                Some(_),
            ) => {
                self.drop("thinking");
            }
            (Maker::Nova { .. } | Maker::GptOss | Maker::Mistral | Maker::Other | Maker::Unknown, None) => {}
        }
        if !asked.is_on() && !asked.is_off() {
            return Ok(false);
        }
        match self.maker {
            Maker::Nova { thinks: true } => {
                let config = match self.nova_effort()? {
                    Some(effort) => {
                        format!("{{\"type\":\"enabled\",\"maxReasoningEffort\":\"{effort}\"}}")
                    }
                    None => "{\"type\":\"disabled\"}".to_owned(),
                };
                self.additional.push(("reasoningConfig", Cow::Owned(config)));
                return Ok(asked.is_on());
            }
            Maker::GptOss if asked.is_on() => {
                let effort = three(rules::effort(asked, max_tokens.unwrap_or(MAX_TOKENS)));
                self.additional.push(("reasoning_effort", Cow::Owned(format!("\"{effort}\""))));
                return Ok(true);
            }
            Maker::Claude(_)
            | Maker::Nova { .. }
            | Maker::GptOss
            | Maker::Mistral
            | Maker::Other
            | Maker::Unknown => self.drop(field),
        }
        Ok(false)
    }

    /// The effort in Nova's words; `None` where it is not to think.
    fn nova_effort(&self) -> Result<Option<&'static str>, RequestError> {
        let asked = self.chat.thinking()?;
        let limit = self.chat.max_tokens()?.unwrap_or(MAX_TOKENS);
        Ok(asked.is_on().then(|| three(rules::effort(asked, limit))))
    }

    /// Claude refuses sequences of white space.
    fn stop(&mut self) -> Result<Vec<Cow<'a, str>>, RequestError> {
        let mut stop = self.chat.stop()?;
        let count = stop.len();
        if matches!(self.maker, Maker::Claude(_)) {
            stop.retain(|text| !text.trim().is_empty());
        }
        if stop.len() < count {
            self.drop("stop");
        }
        Ok(stop)
    }

    fn format(&self) -> Result<Option<OutputConfig<'a>>, RequestError> {
        match self.chat.response_format()? {
            None | Some(ResponseFormat::Text) => Ok(None),
            Some(ResponseFormat::JsonSchema { name, description, schema, .. }) => {
                let structure = Structure::JsonSchema { name, description, schema };
                Ok(Some(OutputConfig { text_format: TextFormat::JsonSchema(structure) }))
            }
            Some(ResponseFormat::JsonObject) => {
                let why = "this API writes JSON by a schema only. Use type json_schema.";
                Err(RequestError::unsupported("response_format", why))
            }
        }
    }

    /// What invocation logs can be filtered by.
    fn metadata(&mut self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let (count, length) = METADATA_LIMITS;
        let fits = |text: &str| {
            let fits =
                |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
            text.len() <= length && text.chars().all(fits)
        };
        let given = self.chat.given("metadata").map(Members::of).unwrap_or_default();
        let mut pairs = Vec::new();
        for (name, raw) in given.0 {
            match json::scalar(raw).filter(|value| fits(value) && fits(&name) && !name.is_empty()) {
                Some(value) if pairs.len() < count => {
                    let mut text = Vec::new();
                    json::write_string(&value, &mut text);
                    pairs.push((name, Cow::Owned(String::from_utf8_lossy(&text).into_owned())));
                }
                Some(_) | None => self.drop("metadata"),
            }
        }
        pairs
    }

    fn service_tier(&mut self) -> Option<ServiceTier<'a>> {
        let kind = self.chat.given("service_tier").and_then(json::word)?;
        match kind.as_ref() {
            "default" | "flex" | "priority" | "reserved" => Some(ServiceTier { kind }),
            "auto" => None,
            _ => {
                self.drop("service_tier");
                None
            }
        }
    }
}

/// An effort in the words of those who have three.
fn three(effort: Option<Effort>) -> &'static str {
    match effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
        Some(Effort::Medium) | None => "medium",
        Some(Effort::High | Effort::ExtraHigh | Effort::Max) => "high",
    }
}

/// Reasoning that a Claude model signed, in Bedrock's form.
fn thought<'b>(detail: &'b Detail<'b>) -> Option<Reasoning<'b>> {
    match &detail.body {
        DetailBody::Encrypted(data) if detail.format.as_deref() == Some(OWN_FORMAT) => {
            Some(Reasoning::RedactedContent(Cow::Borrowed(data)))
        }
        DetailBody::Encrypted(data) if rules::is_signed(detail) => {
            Some(Reasoning::RedactedContent(Cow::Owned(STANDARD.encode(data.as_bytes()))))
        }
        DetailBody::Text { text, signature: Some(signature) } if rules::is_signed(detail) => {
            let (text, signature) = (Cow::Borrowed(text.as_ref()), Cow::Borrowed(signature.as_ref()));
            Some(Reasoning::ReasoningText { text, signature })
        }
        DetailBody::Encrypted(_) | DetailBody::Text { .. } | DetailBody::Summary(_) => None,
    }
}

/// A block of text; the API refuses text of white space.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(Cow::Borrowed(text)))
}

/// Puts a point behind the blocks from a place on, if there are any and the last is none already.
fn mark<'b>(blocks: &mut Vec<Block<'b>>, from: usize, marker: Option<&'b str>) {
    let can = blocks.len() > from && !matches!(blocks.last(), Some(Block::CachePoint(_)));
    blocks.extend(marker.filter(|_| can).map(|marker| Block::CachePoint(CachePoint::of(marker))));
}

/// The id of a call in the characters and the length that the API takes: ids of other providers may have
/// others.
fn tool_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.len() <= ID_LIMIT && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    let plain: String = id.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    // Ids differ at their ends.
    Cow::Owned(plain.get(plain.len().saturating_sub(ID_LIMIT)..).unwrap_or_default().to_owned())
}
