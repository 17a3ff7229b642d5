//! A chat becomes a request of Ollama's.

use std::borrow::Cow;

use http::header::ACCEPT;

use super::wire::{Body, Call, Called, Format, Setting, Think, Turn};
use crate::chat::message::{Content, DetailBody, Media, Message, Place, Role, Source};
use crate::chat::settings::{Effort, ResponseFormat};
use crate::chat::tool::ToolChoice;
use crate::chat::{Chat, RequestError};
use crate::dialect::{Outgoing, Target, functions};
use crate::json::{Members, Raw};

/// Numbers that become options, with their names there.
const OPTIONS: [(&str, &str); 11] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("typical_p", "typical_p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("repetition_penalty", "repeat_penalty"),
    ("repeat_penalty", "repeat_penalty"),
    ("num_ctx", "num_ctx"),
];
/// Other fields that are translated.
const TRANSLATED: &[&str] = &[
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "reasoning",
    "reasoning_effort",
    "think",
    "logprobs",
    "top_logprobs",
    "options",
    "n",
];
/// Fields of Ollama's own that pass as they came.
const OWN: &[&str] = &["keep_alive", "truncate", "shift"];

/// Builds the request, without keys.
pub(super) fn request(target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
    chat.check_single()?;
    if chat.given("modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        return Err(RequestError::unsupported("modalities", "this API answers with text only."));
    }
    let messages = chat.messages()?;
    let mut builder = Builder { chat, dropped: Vec::new() };
    let body = builder.body(target.model, &messages)?;
    let body = chat.body(target.provider, &body)?;
    let mut dropped = builder.dropped;
    let options: Vec<&str> = OPTIONS.iter().map(|&(name, _)| name).collect();
    dropped.extend(chat.others(&[TRANSLATED, OWN, &options].concat()));
    Ok(Outgoing::post(&target.url(["chat"]), body).header(ACCEPT, "application/x-ndjson").without(dropped))
}

struct Builder<'a> {
    chat: &'a Chat,
    dropped: Vec<String>,
}

impl<'a> Builder<'a> {
    fn body<'b>(&mut self, model: &'b str, messages: &'b [Message<'b>]) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let format = match chat.response_format()? {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => Some(Format::Json("json")),
            Some(ResponseFormat::JsonSchema { schema, .. }) => Some(Format::Schema(Raw(schema))),
        };
        Ok(Body {
            model,
            stream: true,
            messages: self.turns(messages)?,
            tools: self.tools()?,
            format,
            think: self.think(model)?,
            logprobs: (chat.given("logprobs") == Some("true")).then_some(true),
            top_logprobs: chat.number("top_logprobs")?.map(Raw),
            options: self.options()?,
            own: OWN.iter().filter_map(|name| Some((*name, chat.given(name)?))).collect(),
        })
    }

    fn drop(&mut self, name: &str) {
        if !self.dropped.iter().any(|known| known == name) {
            self.dropped.push(name.to_owned());
        }
    }

    fn turns<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Turn<'b>>, RequestError> {
        let mut turns = Vec::with_capacity(messages.len());
        for message in messages {
            let role = match message.role {
                Role::System | Role::Developer => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            };
            if message.name.is_some() && message.role != Role::Tool {
                self.drop("messages.name");
            }
            let marked = message.parts.iter().any(|part| part.cache_control.is_some());
            if marked || message.cache_control.is_some() {
                self.drop("messages.cache_control");
            }
            let (content, images) = content(message)?;
            let calls = message.calls.iter().map(|call| Call {
                id: &call.id,
                function: Called { name: &call.name, arguments: call.object() },
            });
            let call_id = message.call_id.as_deref().filter(|_| message.role == Role::Tool);
            turns.push(Turn {
                role,
                content,
                thinking: thought(message),
                images,
                tool_calls: calls.collect(),
                tool_name: call_id.and_then(|id| called(messages, id)).or(message.name.as_deref()).filter(
                    |_| message.role == Role::Tool, // Elsewhere a name is a speaker's.
                ),
                tool_call_id: call_id,
            });
        }
        Ok(turns)
    }

    /// The tools that may be called: to leave out the others is all the choice there is.
    fn tools(&mut self) -> Result<Vec<functions::Wire<'a>>, RequestError> {
        let must = || {
            let why = "this server cannot make a model call a tool. Use \"auto\".";
            RequestError::unsupported("tool_choice", why)
        };
        let names = match self.chat.tool_choice()? {
            None | Some(ToolChoice::Auto) => None,
            Some(ToolChoice::None) => Some(Vec::new()),
            Some(ToolChoice::Allowed { names, required: false }) => Some(names),
            Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Allowed { .. }) => {
                return Err(must());
            }
        };
        let mut tools = Vec::new();
        for function in functions::read(self.chat, names.as_deref())? {
            if function.cache_control.is_some() {
                self.drop("tools.cache_control");
            }
            if function.strict == Some(true) {
                self.drop("tools.strict");
            }
            tools.push(functions::Wire::of(function));
        }
        if !tools.is_empty() && self.chat.parallel_tool_calls() == Some(false) {
            self.drop("parallel_tool_calls");
        }
        Ok(tools)
    }

    /// Only gpt-oss has levels, and refuses to be switched off; the daemon refuses levels for all others.
    fn think(&mut self, model: &str) -> Result<Option<Think<'a>>, RequestError> {
        if let Some(own) = self.chat.given("think") {
            return Ok(Some(Think::Own(Raw(own))));
        }
        let asked = self.chat.thinking()?;
        if asked.tokens.is_some_and(|tokens| tokens > 0) {
            self.drop("reasoning.max_tokens");
        }
        if asked.is_off() {
            return Ok(Some(Think::Flag(false)));
        }
        if !asked.is_on() {
            return Ok(None);
        }
        let has_levels = model.to_ascii_lowercase().contains("gpt-oss");
        let level = asked.effort.filter(|_| has_levels).map(|effort| match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::ExtraHigh | Effort::Max => "high",
        });
        Ok(Some(level.map_or(Think::Flag(true), Think::Level)))
    }

    /// The client's own options count before what is translated.
    fn options(&self) -> Result<Vec<(Cow<'a, str>, Setting<'a>)>, RequestError> {
        let own = self.chat.given("options").map(Members::of).unwrap_or_default();
        let own = own.0.into_iter().map(|(name, raw)| (name, Setting::Raw(Raw(raw))));
        let mut options: Vec<(Cow<'a, str>, Setting<'a>)> = own.collect();
        let mut add = |name: &'static str, setting: Setting<'a>| {
            if !options.iter().any(|(known, _)| known == name) {
                options.push((Cow::Borrowed(name), setting));
            }
        };
        for (name, option) in OPTIONS {
            if let Some(raw) = self.chat.number(name)? {
                add(option, Setting::Raw(Raw(raw)));
            }
        }
        if let Some(count) = self.chat.max_tokens()? {
            add("num_predict", Setting::Count(count));
        }
        let stop = self.chat.stop()?;
        if !stop.is_empty() {
            add("stop", Setting::Texts(stop));
        }
        Ok(options)
    }
}

/// The text of a message, its parts apart by a blank line as Ollama joins messages, and its images.
fn content<'b>(message: &'b Message<'b>) -> Result<(Cow<'b, str>, Vec<&'b str>), RequestError> {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in &message.parts {
        match &part.content {
            Content::Text(text) | Content::Refusal(text) => texts.push(Cow::Borrowed(text.as_ref())),
            Content::Image(media) => images.push(image(media, part.place)?),
            Content::File(media) => match &media.source {
                Source::Inline { media_type, .. } if media_type.starts_with("image/") => {
                    images.push(image(media, part.place)?);
                }
                Source::Inline { .. } | Source::Url(_) | Source::Id(_) => {
                    let why = "this server takes images and text files. Convert the file.";
                    let text = media.text().ok_or_else(|| RequestError::unsupported(part.place, why))?;
                    let named = media.name.as_ref().map(|name| format!("{name}:\n{text}"));
                    texts.push(Cow::Owned(named.unwrap_or(text)));
                }
            },
            Content::Audio(_) => {
                return Err(RequestError::unsupported(part.place, "this server takes no audio."));
            }
            Content::Video(_) => {
                return Err(RequestError::unsupported(part.place, "this server takes no video."));
            }
        }
    }
    let text = if texts.len() > 1 { Cow::Owned(texts.join("\n\n")) } else { texts.pop().unwrap_or_default() };
    Ok((text, images))
}

fn image<'b>(media: &'b Media<'b>, place: Place) -> Result<&'b str, RequestError> {
    match &media.source {
        Source::Inline { base64, .. } => Ok(base64),
        Source::Url(_) | Source::Id(_) => {
            let why = "this server fetches no images. Send the image itself, as a data URI in base64.";
            Err(RequestError::unsupported(place, why))
        }
    }
}

/// The assistant's reasoning as text.
fn thought<'b>(message: &'b Message<'b>) -> Option<Cow<'b, str>> {
    if message.role != Role::Assistant {
        return None;
    }
    if let Some(text) = &message.reasoning {
        return Some(Cow::Borrowed(text));
    }
    let texts = message.details.iter().filter_map(|detail| match &detail.body {
        DetailBody::Text { text, .. } | DetailBody::Summary(text) => Some(text.as_ref()),
        DetailBody::Encrypted(_) => None,
    });
    let text: String = texts.collect();
    (!text.is_empty()).then_some(Cow::Owned(text))
}

/// The function that a call called.
fn called<'b>(messages: &'b [Message<'b>], id: &str) -> Option<&'b str> {
    let mut calls = messages.iter().rev().flat_map(|message| &message.calls);
    calls.find(|call| call.id == id).map(|call| call.name.as_ref())
}
