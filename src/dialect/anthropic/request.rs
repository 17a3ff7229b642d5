//! A chat becomes a request of the Messages API.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use super::family::{self, Family};
use super::rules::{self, Room, Thinking};
use super::wire::{
    Block, BlockBody, Body, Choice, Format, Input, Metadata, OutputConfig, Source, Tool, Turn,
};
use super::{Anthropic, Host};
use crate::chat::message::{self, Content, DetailBody, Media, Message, Place, Role};
use crate::chat::settings::ResponseFormat;
use crate::chat::tool::{self, ToolChoice};
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
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "user",
    "metadata",
    "n",
];
/// Fields of the Messages API itself that pass as they came.
const OWN: &[&str] =
    &["service_tier", "context_management", "mcp_servers", "container", "cache_control", "inference_geo"];

/// Builds the request, without keys.
pub(super) fn request(
    dialect: &Anthropic,
    target: &Target<'_>,
    chat: &Chat,
) -> Result<Outgoing, RequestError> {
    refuse(chat)?;
    let messages = chat.messages()?;
    let mut builder = Builder { chat, family: family::of(target.model), dropped: Vec::new(), files: false };
    let body = builder.body(dialect, target, &messages)?;
    let Builder { mut dropped, files, .. } = builder;
    dropped.extend(chat.others(&[TRANSLATED, OWN].concat()));
    let path = format!("{}:streamRawPredict", target.model);
    let url = match dialect.host {
        Host::Direct => target.url(["messages"]),
        Host::Vertex => target.url([path.as_str()]),
    };
    let mut outgoing = Outgoing::post(&url, chat.body(target.provider, &body)?).without(dropped);
    if dialect.host == Host::Direct {
        outgoing = versioned(outgoing);
    }
    if files {
        outgoing = outgoing.header(HeaderName::from_static("anthropic-beta"), "files-api-2025-04-14");
    }
    Ok(outgoing)
}

/// The same with the version of the API, without which Anthropic refuses every request.
pub(super) fn versioned(outgoing: Outgoing) -> Outgoing {
    outgoing.header(HeaderName::from_static("anthropic-version"), "2023-06-01")
}

/// Refuses what cannot be expressed and would be missed.
fn refuse(chat: &Chat) -> Result<(), RequestError> {
    chat.check_single()?;
    if chat.given("logprobs") == Some("true") {
        return Err(RequestError::unsupported("logprobs", "this API reports none. Leave logprobs out."));
    }
    if chat.given("modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        return Err(RequestError::unsupported("modalities", "this API answers with text only."));
    }
    Ok(())
}

/// A tool with its name.
type Named<'a> = (Option<Cow<'a, str>>, Tool<'a>);

struct Builder<'a> {
    chat: &'a Chat,
    family: Family,
    dropped: Vec<String>,
    /// A file at the provider was named.
    files: bool,
}

impl<'a> Builder<'a> {
    fn body<'b>(
        &mut self,
        dialect: &Anthropic,
        target: &Target<'b>,
        messages: &'b [Message<'b>],
    ) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let max_tokens = chat.max_tokens()?.unwrap_or(self.family.max_tokens);
        let tools = self.tools()?;
        let (tools, tool_choice) = self.choice(tools)?;
        let forced = tool_choice.as_ref().is_some_and(|choice| matches!(choice.kind, "any" | "tool"));
        let is_lost = rules::lost_its_thoughts(messages);
        let (thinking, effort) = self.thinking(Room { max_tokens, is_forced: forced, is_lost })?;
        let format = self.format()?;
        let thinks = matches!(thinking, Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. }));
        let sampling = rules::sampling(self.chat, self.family, thinks, &mut self.dropped)?;
        let [temperature, top_p, top_k] = sampling.map(|number| number.map(Raw));
        let is_vertex = dialect.host == Host::Vertex;
        Ok(Body {
            model: (!is_vertex).then_some(target.model),
            anthropic_version: is_vertex.then_some("vertex-2023-10-16"),
            max_tokens,
            stream: true,
            system: self.system(messages)?,
            messages: self.turns(messages)?,
            tools,
            tool_choice,
            thinking,
            output_config: (effort.is_some() || format.is_some()).then_some(OutputConfig { effort, format }),
            temperature,
            top_p,
            top_k,
            stop_sequences: self.stop()?,
            metadata: self.metadata(),
            own: OWN.iter().filter_map(|name| Some((*name, self.own(name)?))).collect(),
        })
    }

    fn drop(&mut self, name: &str) {
        rules::note(&mut self.dropped, name);
    }

    /// A field of the API itself; OpenAI has a field of the same name with other values.
    fn own(&mut self, name: &'static str) -> Option<&'a str> {
        let raw = self.chat.given(name)?;
        if name == "service_tier" && !matches!(raw, "\"auto\"" | "\"standard_only\"") {
            self.drop(name);
            return None;
        }
        Some(raw)
    }

    fn system<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = Vec::new();
        for message in messages.iter().filter(|message| message.is_system()) {
            let from = blocks.len();
            for part in &message.parts {
                blocks.extend(text_block(rules::system_text(part)?, part.cache_control));
            }
            mark(&mut blocks, from, message.cache_control);
        }
        Ok(blocks)
    }

    /// The messages with neighbours of one role joined: the API wants them to take turns.
    fn turns<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Turn<'b>>, RequestError> {
        let mut turns: Vec<Turn<'b>> = Vec::new();
        for message in messages {
            let role = match message.role {
                Role::System | Role::Developer => continue,
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
            };
            let content = match message.role {
                Role::Assistant => self.assistant(message)?,
                Role::Tool => vec![self.result(message)?],
                Role::System | Role::Developer | Role::User => self.parts(message)?,
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
            && let Some(Block { body: BlockBody::Text { text }, .. }) = content.last_mut()
        {
            *text = Cow::Owned(text.trim_end().to_owned());
        }
        Ok(turns)
    }

    fn parts<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            let body = match &part.content {
                Content::Text(text) | Content::Refusal(text) => {
                    blocks.extend(text_block(text, part.cache_control));
                    continue;
                }
                Content::Image(media) => BlockBody::Image { source: self.source(media) },
                Content::File(media) => self.file(media, part.place)?,
                Content::Audio(_) => {
                    return Err(RequestError::unsupported(part.place, "this API takes no audio."));
                }
                Content::Video(_) => {
                    return Err(RequestError::unsupported(part.place, "this API takes no video."));
                }
            };
            blocks.push(Block { body, cache_control: part.cache_control.map(Raw) });
        }
        mark(&mut blocks, 0, message.cache_control);
        Ok(blocks)
    }

    fn source<'b>(&mut self, media: &'b Media<'b>) -> Source<'b> {
        match &media.source {
            message::Source::Inline { media_type, base64 } => {
                Source::Base64 { media_type: borrow(media_type), data: borrow(base64) }
            }
            message::Source::Url(url) => Source::Url { url: borrow(url) },
            message::Source::Id(id) => {
                self.files = true;
                Source::File { file_id: borrow(id) }
            }
        }
    }

    fn file<'b>(&mut self, media: &'b Media<'b>, place: Place) -> Result<BlockBody<'b>, RequestError> {
        let title = media.name.as_deref().map(borrow);
        if let message::Source::Inline { media_type, base64 } = &media.source {
            match media_type.as_ref() {
                "application/pdf" => {}
                image if image.starts_with("image/") => {
                    return Ok(BlockBody::Image { source: self.source(media) });
                }
                text if text.starts_with("text/") || text == "application/json" => {
                    let bytes = STANDARD.decode(base64.as_bytes()).ok(); // The error below says what is wrong.
                    let data = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                        RequestError::Malformed {
                            place: place.to_string(),
                            expected: "a file of text in base64",
                        }
                    })?;
                    return Ok(BlockBody::Document {
                        source: Source::Text { media_type: "text/plain", data },
                        title,
                    });
                }
                _ => {
                    let why = "this API takes PDFs, images and text files. Convert the file.";
                    return Err(RequestError::unsupported(place, why));
                }
            }
        }
        Ok(BlockBody::Document { source: self.source(media), title })
    }

    /// Reasoning that is signed goes back first, as it came, then text, then calls.
    fn assistant<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = thoughts(message);
        blocks.extend(self.parts(message)?);
        for call in &message.calls {
            let body = BlockBody::ToolUse {
                id: tool_id(&call.id),
                name: borrow(&call.name),
                input: Input(call.object()),
            };
            blocks.push(Block { body, cache_control: None });
        }
        mark(&mut blocks, 0, message.cache_control);
        Ok(blocks)
    }

    fn result<'b>(&mut self, message: &'b Message<'b>) -> Result<Block<'b>, RequestError> {
        let mut content = self.parts(message)?;
        content.iter_mut().for_each(|block| block.cache_control = None);
        let marker = message.parts.iter().find_map(|part| part.cache_control).or(message.cache_control);
        let id = message.call_id.as_deref().unwrap_or_default();
        let body = BlockBody::ToolResult { tool_use_id: tool_id(id), content };
        Ok(Block { body, cache_control: marker.map(Raw) })
    }

    fn tools(&mut self) -> Result<Vec<Named<'a>>, RequestError> {
        let mut tools = Vec::new();
        for (at, tool) in self.chat.tools()?.into_iter().enumerate() {
            tools.push(match tool {
                tool::Tool::Function(function) => {
                    let name = function.name.clone();
                    let tool = Tool::Function {
                        name: function.name,
                        description: function.description,
                        input_schema: Raw(function
                            .parameters
                            .unwrap_or("{\"type\":\"object\",\"properties\":{}}")),
                        strict: function.strict.filter(|strict| *strict),
                        cache_control: function.cache_control.map(Raw),
                    };
                    (Some(name), tool)
                }
                tool::Tool::Native(raw) => {
                    let members = Members::of(raw);
                    let custom = members.find("type") == Some("\"custom\"");
                    if custom && members.find("input_schema").is_none() {
                        let why = "this API has no tools that take free text. Use a function.";
                        return Err(RequestError::unsupported(format!("tools[{at}]"), why));
                    }
                    (members.find("name").and_then(json::word), Tool::Native(Raw(raw)))
                }
            });
        }
        Ok(tools)
    }

    /// How tools are chosen, and those that may be.
    fn choice(&mut self, tools: Vec<Named<'a>>) -> Result<(Vec<Tool<'a>>, Option<Choice<'a>>), RequestError> {
        let choice = self.chat.tool_choice()?;
        let alone = self.chat.parallel_tool_calls() == Some(false);
        let mut allowed: Option<Vec<Cow<'a, str>>> = None;
        let (kind, name) = match choice {
            None if alone => ("auto", None),
            None => ("", None),
            Some(ToolChoice::Auto) => ("auto", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Required) => ("any", None),
            Some(ToolChoice::Function(name)) => ("tool", Some(name)),
            Some(ToolChoice::Allowed { names, required }) => {
                allowed = Some(names);
                (if required { "any" } else { "auto" }, None)
            }
        };
        let may = |name: &Option<Cow<'a, str>>| match (&allowed, name) {
            (Some(allowed), Some(name)) => allowed.contains(name),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let tools: Vec<Tool<'a>> =
            tools.into_iter().filter(|(name, _)| may(name)).map(|(_, tool)| tool).collect();
        let choice = (!tools.is_empty() && !kind.is_empty()).then(|| Choice {
            kind,
            name,
            disable_parallel_tool_use: (alone && kind != "none").then_some(true),
        });
        Ok((tools, choice))
    }

    /// How the model is told to think.
    fn thinking(&mut self, room: Room) -> Result<(Option<Thinking<'a>>, Option<&'static str>), RequestError> {
        if let Some(own) = self.chat.given("thinking").filter(|raw| raw.starts_with('{')) {
            return Ok((Some(Thinking::Own(Raw(own))), None));
        }
        let told = rules::thinking(self.family, self.chat.thinking()?, room);
        if told.is_none() {
            let by_object = self.chat.given("reasoning").is_some();
            self.drop(if by_object { "reasoning" } else { "reasoning_effort" });
        }
        Ok(told.unwrap_or_default())
    }

    fn format(&self) -> Result<Option<Format<'a>>, RequestError> {
        match self.chat.response_format()? {
            None | Some(ResponseFormat::Text) => Ok(None),
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                Ok(Some(Format::JsonSchema { schema: Raw(schema) }))
            }
            Some(ResponseFormat::JsonObject) => {
                let why = "this API writes JSON by a schema only. Use type json_schema.";
                Err(RequestError::unsupported("response_format", why))
            }
        }
    }

    /// The API refuses sequences of white space.
    fn stop(&mut self) -> Result<Vec<Cow<'a, str>>, RequestError> {
        let stop = self.chat.stop()?;
        let count = stop.len();
        let kept: Vec<Cow<'a, str>> = stop.into_iter().filter(|text| !text.trim().is_empty()).collect();
        if kept.len() < count {
            self.drop("stop");
        }
        Ok(kept)
    }

    fn metadata(&mut self) -> Option<Metadata<'a>> {
        let metadata = self.chat.given("metadata").map(Members::of).unwrap_or_default();
        if metadata.0.iter().any(|(name, _)| name != "user_id") {
            self.drop("metadata");
        }
        let user_id = metadata.find("user_id").or_else(|| self.chat.given("user")).and_then(json::word)?;
        Some(Metadata { user_id })
    }
}

/// The signed reasoning of a message, in its order; what another provider signed is of no use here.
fn thoughts<'b>(message: &'b Message<'b>) -> Vec<Block<'b>> {
    let body = |detail: &'b message::Detail<'b>| match &detail.body {
        DetailBody::Text { text, signature: Some(signature) } => {
            Some(BlockBody::Thinking { thinking: borrow(text), signature: borrow(signature) })
        }
        DetailBody::Encrypted(data) => Some(BlockBody::RedactedThinking { data: borrow(data) }),
        DetailBody::Text { signature: None, .. } | DetailBody::Summary(_) => None,
    };
    let bodies = message.details.iter().filter(|detail| rules::is_signed(detail)).filter_map(body);
    bodies.map(|body| Block { body, cache_control: None }).collect()
}

/// A block of text; the API refuses text of white space.
fn text_block<'b>(text: &'b str, marker: Option<&'b str>) -> Option<Block<'b>> {
    let body = BlockBody::Text { text: Cow::Borrowed(text) };
    (!text.trim().is_empty()).then(|| Block { body, cache_control: marker.map(Raw) })
}

/// Puts a message's own marker on the last of its blocks.
fn mark<'b>(blocks: &mut [Block<'b>], from: usize, marker: Option<&'b str>) {
    let Some(marker) = marker else { return };
    if let Some(last) = blocks.get_mut(from..).and_then(<[Block<'b>]>::last_mut) {
        last.cache_control.get_or_insert(Raw(marker));
    }
}

/// The id of a call in the characters that the API takes: ids of other providers may have others.
pub(super) fn tool_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(id.chars().map(|c| if fits(c) { c } else { '_' }).collect())
}

fn borrow(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
