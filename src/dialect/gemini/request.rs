//! A chat becomes a request of `streamGenerateContent`.

use std::borrow::Cow;

use super::family::{self, Family};
use super::wire::{
    Body, Call, GenerationConfig, ImageConfig, Json, Kind, Part, Piece, Response, SpeechConfig,
    ThinkingConfig, Turn, Voice, VoiceConfig,
};
use super::{Gemini, Host, media, resource, schema, tools};
use crate::chat::message::{Content, Detail, DetailBody, Message, Role, ToolCall};
use crate::chat::settings::ResponseFormat;
use crate::chat::{Chat, RequestError};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Members, Raw};

/// Fields that are translated.
const TRANSLATED: &[&str] = &[
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "web_search_options",
    "response_format",
    "modalities",
    "audio",
    "image_config",
    "reasoning",
    "reasoning_effort",
    "user",
    "metadata",
    "n",
];
/// Fields of the API itself that pass as they came, in both spellings.
const OWN: &[&str] = &["safety_settings", "safetySettings", "cached_content", "cachedContent", "labels"];
/// What Google documents for calls that another model made, or whose signature is lost.
const UNSIGNED: &str = "skip_thought_signature_validator";
/// A label's longest value on Vertex, in characters.
const LABEL_LIMIT: usize = 63;

/// Builds the request, without keys.
pub(super) fn request(dialect: &Gemini, target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
    let messages = chat.messages()?;
    let family = family::of(target.model);
    let mut builder = Builder { chat, target, host: dialect.host, family, dropped: Vec::new() };
    let body = builder.body(&messages)?;
    let mut dropped = builder.dropped;
    dropped.extend(chat.others(&[TRANSLATED, OWN].concat()));
    let mut url = resource::url(target, "streamGenerateContent");
    url.query_pairs_mut().append_pair("alt", "sse");
    Ok(Outgoing::post(&url, chat.body(target.provider, &body)?).without(dropped))
}

struct Builder<'a> {
    chat: &'a Chat,
    target: &'a Target<'a>,
    host: Host,
    family: Family,
    dropped: Vec<String>,
}

impl<'a> Builder<'a> {
    fn body<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let (tools, tool_config) = tools::tools(chat, self.family.is_third, &mut self.dropped)?;
        let mut system_instruction = self.system(messages)?;
        let mut contents = self.turns(messages)?;
        if contents.is_empty() {
            // The API answers a user only.
            contents.extend(system_instruction.take().map(|turn| Turn { role: Some("user"), ..turn }));
        }
        let own = |names: [&str; 2]| names.iter().find_map(|name| chat.given(name)).map(Raw);
        Ok(Body {
            system_instruction,
            contents,
            tools,
            tool_config,
            generation_config: self.config(messages)?,
            safety_settings: own(["safety_settings", "safetySettings"]),
            cached_content: own(["cached_content", "cachedContent"]),
            labels: self.labels(),
        })
    }

    fn drop(&mut self, name: &str) {
        if !self.dropped.iter().any(|known| known == name) {
            self.dropped.push(name.to_owned());
        }
    }

    fn system<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Option<Turn<'b>>, RequestError> {
        let mut parts = Vec::new();
        for message in messages.iter().filter(|message| message.is_system()) {
            self.note_markers(message);
            for part in &message.parts {
                match &part.content {
                    Content::Text(text) => parts.push(Piece::Part(Part::of(Kind::Text(borrow(text))))),
                    Content::Refusal(_)
                    | Content::Image(_)
                    | Content::File(_)
                    | Content::Audio(_)
                    | Content::Video(_) => {
                        return Err(RequestError::unsupported(part.place, "a system message is text only."));
                    }
                }
            }
        }
        Ok((!parts.is_empty()).then_some(Turn { role: None, parts }))
    }

    /// The messages with neighbours of one role joined. Results of calls have a turn of their own: the API
    /// wants as many of them as there were calls, and nothing between.
    fn turns<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Turn<'b>>, RequestError> {
        let mut turns: Vec<Turn<'b>> = Vec::new();
        let mut last = Role::System;
        // The API looks for signatures behind the last thing that the user said.
        let current = messages.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
        for (at, message) in messages.iter().enumerate().filter(|(_, message)| !message.is_system()) {
            self.note_markers(message);
            if message.name.is_some() && message.role != Role::Tool {
                self.drop("messages.name");
            }
            let parts = match message.role {
                Role::Assistant => self.assistant(message, at > current)?,
                Role::Tool => self.result(message, messages.get(..at).unwrap_or_default())?,
                Role::System | Role::Developer | Role::User => self.parts(message)?,
            };
            let own = message.own_parts.iter().filter(|raw| is_own(raw)).map(|raw| Piece::Own(Raw(raw)));
            let parts: Vec<Piece<'b>> = own.chain(parts.into_iter().map(Piece::Part)).collect();
            if parts.is_empty() {
                continue;
            }
            let role = if message.role == Role::Assistant { "model" } else { "user" };
            match turns.last_mut().filter(|_| message.role == last) {
                Some(turn) => turn.parts.extend(parts),
                None => turns.push(Turn { role: Some(role), parts }),
            }
            last = message.role;
        }
        Ok(turns)
    }

    /// Caching is the API's own affair.
    fn note_markers(&mut self, message: &Message<'_>) {
        let marked = message.parts.iter().any(|part| part.cache_control.is_some());
        if marked || message.cache_control.is_some() {
            self.drop("cache_control");
        }
    }

    fn parts<'b>(&self, message: &'b Message<'b>) -> Result<Vec<Part<'b>>, RequestError> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            let data = match &part.content {
                Content::Text(text) | Content::Refusal(text) => Kind::Text(borrow(text)),
                Content::Image(media)
                | Content::File(media)
                | Content::Audio(media)
                | Content::Video(media) => media::part(media, self.host, self.target.base_url, part.place)?,
            };
            parts.push(Part::of(data));
        }
        Ok(parts)
    }

    /// Signed thoughts first, then text and its signature, then calls with theirs.
    fn assistant<'b>(
        &self,
        message: &'b Message<'b>,
        is_current: bool,
    ) -> Result<Vec<Part<'b>>, RequestError> {
        let mut parts = Vec::new();
        let mut signatures: Vec<Option<&'b str>> =
            message.calls.iter().map(|call| signature(call, &message.details)).collect();
        let mut of_text = Vec::new();
        for detail in message.details.iter().filter(|detail| is_ours(detail)) {
            match &detail.body {
                DetailBody::Text { text, signature: Some(signature) } => parts.push(Part {
                    thought: Some(true),
                    thought_signature: Some(borrow(signature)),
                    ..Part::of(Kind::Text(borrow(text)))
                }),
                DetailBody::Encrypted(data) => {
                    let id = detail.id.as_deref();
                    if message.calls.iter().any(|call| Some(call.id.as_ref()) == id) {
                        continue;
                    }
                    // A call's signature, where a client gave the calls other ids.
                    match signatures.iter_mut().find(|known| known.is_none() && id.is_some()) {
                        Some(signature) => *signature = Some(data),
                        None => of_text.push(Part {
                            thought_signature: Some(borrow(data)),
                            ..Part::of(Kind::Text(Cow::Borrowed("")))
                        }),
                    }
                }
                DetailBody::Text { signature: None, .. } | DetailBody::Summary(_) => {}
            }
        }
        parts.extend(self.parts(message)?);
        parts.extend(of_text);
        if self.family.is_third && is_current && signatures.iter().all(Option::is_none) {
            // Of parallel calls, the first one is signed.
            if let Some(first) = signatures.first_mut() {
                *first = Some(UNSIGNED);
            }
        }
        for (call, signature) in message.calls.iter().zip(signatures) {
            let data = Kind::FunctionCall(Call {
                id: borrow(&call.id),
                name: borrow(&call.name),
                args: Json(call.object()),
            });
            parts.push(Part { thought_signature: signature.map(Cow::Borrowed), ..Part::of(data) });
        }
        Ok(parts)
    }

    /// The result of a call. Media stand inside of it, or behind it where the family knows no better.
    fn result<'b>(
        &self,
        message: &'b Message<'b>,
        before: &'b [Message<'b>],
    ) -> Result<Vec<Part<'b>>, RequestError> {
        let id = message.call_id.as_deref().unwrap_or_default();
        let calls = before.iter().rev().flat_map(|message| &message.calls);
        let call = calls.into_iter().find(|call| call.id == id);
        let name = call.map(|call| call.name.as_ref()).or(message.name.as_deref());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| RequestError::Malformed {
            place: format!("{}.tool_call_id", message.place),
            expected: "the id of a tool call in an earlier message",
        })?;
        let media: Vec<Part<'b>> =
            self.parts(message)?.into_iter().filter(|part| !matches!(part.kind, Kind::Text(_))).collect();
        let (inside, behind) = if self.family.is_third { (media, Vec::new()) } else { (Vec::new(), media) };
        let response = Response {
            id: borrow(id),
            name: Cow::Borrowed(name),
            response: Json(output(&message.text())),
            parts: inside,
        };
        Ok([Part::of(Kind::FunctionResponse(response))].into_iter().chain(behind).collect())
    }

    fn config(&mut self, messages: &[Message<'_>]) -> Result<GenerationConfig<'a>, RequestError> {
        let chat = self.chat;
        let (response_mime_type, response_json_schema) = match chat.response_format()? {
            None | Some(ResponseFormat::Text) => (None, None),
            Some(ResponseFormat::JsonObject) => (Some("application/json"), None),
            Some(ResponseFormat::JsonSchema { schema: raw, .. }) => {
                (Some("application/json"), Some(Json(schema::schema(raw))))
            }
        };
        let number = |name| chat.number(name).map(|number| number.map(Raw));
        let count = |name: &'static str| match chat.given(name) {
            None => Ok(None),
            Some(raw) => json::count(raw).map(Some).ok_or(RequestError::WrongType(name, "an integer")),
        };
        let (response_modalities, speech_config) = self.modalities()?;
        let image = chat.given("image_config").map(Members::of);
        Ok(GenerationConfig {
            max_output_tokens: chat.max_tokens()?,
            temperature: number("temperature")?,
            top_p: number("top_p")?,
            top_k: number("top_k")?,
            candidate_count: count("n")?.filter(|count| *count > 1),
            seed: self.seed()?,
            presence_penalty: number("presence_penalty")?,
            frequency_penalty: number("frequency_penalty")?,
            stop_sequences: chat.stop()?,
            response_logprobs: (chat.given("logprobs") == Some("true")).then_some(true),
            logprobs: count("top_logprobs")?.filter(|count| *count > 0),
            response_mime_type,
            response_json_schema,
            response_modalities,
            speech_config,
            image_config: image.map(|image| ImageConfig {
                aspect_ratio: image.find("aspect_ratio").and_then(json::word),
                image_size: image.find("image_size").and_then(json::word),
            }),
            media_resolution: self.resolution(messages),
            thinking_config: self.thinking()?,
        })
    }

    /// The API takes seeds of 32 bits.
    fn seed(&mut self) -> Result<Option<Raw<'a>>, RequestError> {
        let Some(raw) = self.chat.number("seed")? else { return Ok(None) };
        if raw.parse::<i32>().is_err() {
            self.drop("seed");
            return Ok(None);
        }
        Ok(Some(Raw(raw)))
    }

    fn thinking(&mut self) -> Result<Option<ThinkingConfig>, RequestError> {
        let asked = self.chat.thinking()?;
        if !asked.is_on() && !asked.is_off() {
            return Ok(None);
        }
        let reasoning = self.chat.given("reasoning").map(Members::of).unwrap_or_default();
        let shows = reasoning.find("exclude") != Some("true");
        let (config, can) = self.family.thinks.config(asked, shows);
        if !can {
            let is_object = self.chat.given("reasoning").is_some();
            self.drop(if is_object { "reasoning" } else { "reasoning_effort" });
        }
        Ok(config)
    }

    /// What the answer may consist of; models that speak do nothing else.
    fn modalities(&self) -> Result<(Vec<&'static str>, Option<SpeechConfig<'a>>), RequestError> {
        let Some(raw) = self.chat.given("modalities") else { return Ok((Vec::new(), None)) };
        let mut modalities = Vec::new();
        for word in json::elements(raw) {
            modalities.push(match json::word(word).as_deref() {
                Some("text") => "TEXT",
                Some("image") => "IMAGE",
                Some("audio") => "AUDIO",
                Some(_) | None => {
                    return Err(RequestError::WrongType("modalities", "a list of text, image, audio"));
                }
            });
        }
        if modalities == ["TEXT"] {
            return Ok((Vec::new(), None));
        }
        if !modalities.contains(&"AUDIO") {
            return Ok((modalities, None));
        }
        let audio = self.chat.given("audio").map(Members::of).unwrap_or_default();
        if !matches!(audio.find("format").and_then(json::word).as_deref(), None | Some("pcm16" | "pcm")) {
            let why = "this API answers with raw sound of 16 bits. Use pcm16.";
            return Err(RequestError::unsupported("audio.format", why));
        }
        let voice = audio.find("voice").and_then(json::word);
        let speech = voice.map(|voice_name| SpeechConfig {
            voice_config: VoiceConfig { prebuilt_voice_config: Voice { voice_name } },
        });
        Ok((vec!["AUDIO"], speech))
    }

    /// How closely images are looked at, where all of them agree: the API has one setting for all.
    fn resolution(&mut self, messages: &[Message<'_>]) -> Option<&'static str> {
        let parts = messages.iter().flat_map(|message| &message.parts);
        let details = parts.filter_map(|part| match &part.content {
            Content::Image(media) => Some(media.detail.as_deref().unwrap_or("auto")),
            Content::Text(_)
            | Content::Refusal(_)
            | Content::File(_)
            | Content::Audio(_)
            | Content::Video(_) => None,
        });
        let details: Vec<&str> = details.collect();
        let first = *details.first()?;
        let agree = details.iter().all(|detail| *detail == first);
        match first {
            "low" if agree => Some("MEDIA_RESOLUTION_LOW"),
            "high" if agree => Some("MEDIA_RESOLUTION_HIGH"),
            "auto" if agree => None,
            _ => {
                self.drop("messages.content.image_url.detail");
                None
            }
        }
    }

    /// Vertex has labels for what OpenAI calls metadata, if they have the characters of labels.
    fn labels(&mut self) -> Option<Raw<'a>> {
        if self.chat.given("user").is_some() {
            self.drop("user");
        }
        let metadata = self.chat.given("metadata").filter(|raw| !json::says_nothing(raw));
        let fits = |text: &str| {
            let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
            text.len() <= LABEL_LIMIT && text.chars().all(letters)
        };
        let own = self.chat.given("labels");
        let are_labels = |raw: &&str| {
            let members = Members::of(raw).0;
            members
                .iter()
                .all(|(name, value)| fits(name) && json::string(value).is_some_and(|value| fits(&value)))
        };
        let labels = metadata.filter(|_| own.is_none() && self.host == Host::Vertex).filter(are_labels);
        if metadata.is_some() && labels.is_none() {
            self.drop("metadata");
        }
        own.or(labels).map(Raw)
    }
}

/// True for reasoning that this API signed.
fn is_ours(detail: &Detail<'_>) -> bool {
    detail.format.as_deref().is_some_and(|format| format.starts_with("google"))
}

/// True for a part of the API's own: code that ran, tools that it called.
fn is_own(raw: &str) -> bool {
    const NAMES: [&str; 4] = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];
    let members = Members::of(raw);
    NAMES.iter().any(|name| members.find(name).is_some())
}

/// The signature of a call: an item of that id, or what came with the call itself. Clients may forget the
/// form of an item, but what another API sealed is of no use here.
fn signature<'b>(call: &'b ToolCall<'b>, details: &'b [Detail<'b>]) -> Option<&'b str> {
    let mut foreign = false;
    for detail in details.iter().filter(|detail| detail.id.as_deref() == Some(call.id.as_ref())) {
        let DetailBody::Encrypted(data) = &detail.body else { continue };
        match detail.format.as_deref() {
            None | Some("unknown") => return Some(data),
            Some(_) if is_ours(detail) => return Some(data),
            Some(_) => foreign = true,
        }
    }
    call.signature.as_deref().filter(|_| !foreign)
}

/// What a function gave back, as an object.
fn output(text: &str) -> Cow<'static, str> {
    let trimmed = text.trim();
    if trimmed.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(trimmed).is_ok() {
        return Cow::Owned(trimmed.to_owned());
    }
    let mut out = Vec::from(b"{\"output\":");
    json::write_string(text, &mut out);
    out.push(b'}');
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn borrow(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
