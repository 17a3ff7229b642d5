//! A chat becomes a request of Cohere's.

use std::borrow::Cow;

use super::wire::{Block, Body, Call, Called, Content, Document, File, Format, Image, Thinking, Turn};
use super::{FORMAT, PLAN};
use crate::chat::message::{self, DetailBody, Media, Message, Part, Place, Role, Source};
use crate::chat::settings::{Effort, ResponseFormat};
use crate::chat::tool::ToolChoice;
use crate::chat::{Chat, RequestError};
use crate::dialect::{Outgoing, Target, functions};
use crate::json::{self, Raw};

/// Fields that are translated.
const TRANSLATED: &[&str] = &[
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "seed",
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
    "documents",
    "strict_tools",
    "logprobs",
    "n",
];
/// Fields of Cohere's own that pass as they came.
const OWN: &[&str] = &["citation_options", "safety_mode", "priority", "raw_prompting", "p", "k"];
/// What an effort is a share of where the client sets no limit: the longest answer of the reasoning models.
const LONGEST: u64 = 32_000;
/// The models that do not think and refuse to be asked for it.
const THOUGHTLESS: &[&str] = &[
    "command-r-",
    "command-r7b",
    "command-light",
    "command-nightly",
    "command-a-03",
    "command-a-vision",
    "command-a-translate",
    "aya",
];
/// The bounds of `p`.
const P: [&str; 2] = ["0.01", "0.99"];

/// Builds the request, without keys.
pub(super) fn request(target: &Target<'_>, chat: &Chat) -> Result<Outgoing, RequestError> {
    refuse(chat)?;
    let messages = chat.messages()?;
    let thinks = !THOUGHTLESS.iter().any(|part| target.model.to_ascii_lowercase().contains(part));
    let mut builder = Builder { chat, thinks, dropped: Vec::new(), documents: Vec::new() };
    let body = builder.body(target.model, &messages)?;
    let body = chat.body(target.provider, &body)?;
    let mut dropped = builder.dropped;
    dropped.extend(chat.others(&[TRANSLATED, OWN].concat()));
    Ok(Outgoing::post(&target.url(["chat"]), body).without(dropped))
}

/// Refuses what cannot be expressed and would be missed.
fn refuse(chat: &Chat) -> Result<(), RequestError> {
    chat.check_single()?;
    if chat.given("top_logprobs").is_some_and(|raw| raw != "0") {
        let why = "this API reports the chosen tokens only. Leave top_logprobs out.";
        return Err(RequestError::unsupported("top_logprobs", why));
    }
    if chat.given("modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        return Err(RequestError::unsupported("modalities", "this API answers with text only."));
    }
    Ok(())
}

/// The tools that may be called, and how they are chosen.
#[derive(Default)]
struct Tools<'a> {
    tools: Vec<functions::Wire<'a>>,
    choice: Option<&'static str>,
    /// All of them follow their schemas to the letter.
    strict: Option<bool>,
}

struct Builder<'a> {
    chat: &'a Chat,
    /// The model can think.
    thinks: bool,
    dropped: Vec<String>,
    /// The text files of the messages.
    documents: Vec<Document<'a>>,
}

impl<'a> Builder<'a> {
    fn body<'b>(&mut self, model: &'b str, messages: &'b [Message<'b>]) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let Tools { tools, choice: tool_choice, strict } = self.tools()?;
        let max_tokens = chat.max_tokens()?;
        let thinking = self.thinking(max_tokens)?;
        let turns = self.turns(messages)?;
        let own = json::elements(chat.given("documents").unwrap_or_default());
        let documents = own.into_iter().map(|raw| Document::Own(Raw(raw)));
        Ok(Body {
            model,
            stream: true,
            messages: turns,
            tools,
            tool_choice,
            strict_tools: chat.given("strict_tools").map_or(strict, |raw| Some(raw == "true")),
            documents: documents.chain(std::mem::take(&mut self.documents)).collect(),
            response_format: self.format()?,
            thinking,
            max_tokens,
            stop_sequences: chat.stop()?,
            logprobs: (chat.given("logprobs") == Some("true")).then_some(true),
            own: self.numbers()?,
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
            if message.name.is_some() && message.role != Role::Tool {
                self.drop("messages.name");
            }
            let marked = message.parts.iter().any(|part| part.cache_control.is_some());
            if marked || message.cache_control.is_some() {
                self.drop("messages.cache_control");
            }
            let turn = |role| Turn {
                role,
                content: None,
                tool_plan: None,
                tool_calls: Vec::new(),
                tool_call_id: None,
            };
            turns.push(match message.role {
                Role::System | Role::Developer => {
                    Turn { content: Some(content(self.texts(message)?)), ..turn("system") }
                }
                Role::User => Turn { content: Some(content(self.parts(message)?)), ..turn("user") },
                Role::Tool => Turn {
                    content: Some(content(self.texts(message)?)),
                    tool_call_id: message.call_id.as_deref().map(Cow::Borrowed),
                    ..turn("tool")
                },
                Role::Assistant => self.assistant(message, turn("assistant"))?,
            });
        }
        Ok(turns)
    }

    /// Reasoning goes back first, as what it was: thinking, or the plan before the calls. Text before calls
    /// is such a plan as well.
    fn assistant<'b>(&mut self, message: &'b Message<'b>, turn: Turn<'b>) -> Result<Turn<'b>, RequestError> {
        let has_calls = !message.calls.is_empty();
        let (mut plan, mut blocks) = thoughts(message);
        if !self.thinks {
            blocks.clear();
        }
        if let Some(text) = message.reasoning.as_deref().filter(|_| plan.is_empty() && blocks.is_empty()) {
            // Clients that know of no items keep the text.
            if self.thinks {
                blocks.push(Block::Thinking { thinking: Cow::Borrowed(text) });
            } else if has_calls {
                plan.push(text.to_owned());
            }
        }
        for block in self.texts(message)? {
            match block {
                Block::Text { text } if has_calls => plan.push(text.into_owned()),
                block => blocks.push(block),
            }
        }
        let calls = message.calls.iter().map(|call| Call {
            id: Cow::Borrowed(call.id.as_ref()),
            kind: "function",
            function: Called { name: Cow::Borrowed(call.name.as_ref()), arguments: call.object() },
        });
        let is_empty = blocks.is_empty() && has_calls;
        Ok(Turn {
            content: (!is_empty).then(|| content(blocks)),
            tool_plan: (!plan.is_empty()).then(|| plan.join("\n\n")),
            tool_calls: calls.collect(),
            ..turn
        })
    }

    /// The content of a message that is text only; files of text become documents.
    fn texts<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let is_image = |part: &&Part<'b>| matches!(part.content, message::Content::Image(_));
        if let Some(part) = message.parts.iter().find(is_image) {
            let why = "only a user's message may have images here.";
            return Err(RequestError::unsupported(part.place, why));
        }
        self.parts(message)
    }

    fn parts<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Block<'b>>, RequestError> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            match &part.content {
                message::Content::Text(text) | message::Content::Refusal(text) => {
                    blocks.push(Block::Text { text: Cow::Borrowed(text.as_ref()) });
                }
                message::Content::Image(media) => blocks.push(image(media, part.place)?),
                message::Content::File(media) => blocks.extend(self.file(media, part.place)?),
                message::Content::Audio(_) => {
                    return Err(RequestError::unsupported(part.place, "this API takes no audio."));
                }
                message::Content::Video(_) => {
                    return Err(RequestError::unsupported(part.place, "this API takes no video."));
                }
            }
        }
        Ok(blocks)
    }

    fn file<'b>(&mut self, media: &'b Media<'b>, place: Place) -> Result<Option<Block<'b>>, RequestError> {
        let is_image =
            matches!(&media.source, Source::Inline { media_type, .. } if media_type.starts_with("image/"));
        if is_image {
            return image(media, place).map(Some);
        }
        let why = "this API takes images and text files. Convert the file.";
        let text = media.text().ok_or_else(|| RequestError::unsupported(place, why))?;
        let title = media.name.as_ref().map(|name| Cow::Owned(name.clone().into_owned()));
        self.documents.push(Document::File { data: File { title, text } });
        Ok(None)
    }

    /// One function that must be called is the only tool.
    fn tools(&mut self) -> Result<Tools<'a>, RequestError> {
        let (choice, names) = match self.chat.tool_choice()? {
            None | Some(ToolChoice::Auto) => (None, None),
            Some(ToolChoice::None) => (Some("NONE"), None),
            Some(ToolChoice::Required) => (Some("REQUIRED"), None),
            Some(ToolChoice::Function(name)) => (Some("REQUIRED"), Some(vec![name])),
            Some(ToolChoice::Allowed { names, required }) => (required.then_some("REQUIRED"), Some(names)),
        };
        let mut tools = Vec::new();
        let (mut all_strict, mut any_strict) = (true, false);
        for function in functions::read(self.chat, names.as_deref())? {
            all_strict &= function.strict == Some(true);
            any_strict |= function.strict == Some(true);
            if function.cache_control.is_some() {
                self.drop("tools.cache_control");
            }
            tools.push(functions::Wire::of(function));
        }
        if tools.is_empty() {
            return Ok(Tools::default());
        }
        if self.chat.parallel_tool_calls() == Some(false) {
            self.drop("parallel_tool_calls");
        }
        if any_strict && !all_strict {
            // Here it is a matter of all tools.
            self.drop("tools.strict");
        }
        Ok(Tools { tools, choice, strict: all_strict.then_some(true) })
    }

    fn thinking(&mut self, max_tokens: Option<u64>) -> Result<Option<Thinking<'a>>, RequestError> {
        if let Some(own) = self.chat.given("thinking").filter(|raw| raw.starts_with('{')) {
            return Ok(Some(Thinking::Own(Raw(own))));
        }
        let asked = self.chat.thinking()?;
        if asked.is_off() {
            return Ok(self.thinks.then_some(Thinking::Disabled));
        }
        if !asked.is_on() {
            return Ok(None);
        }
        if !self.thinks {
            let reasoning = self.chat.given("reasoning").is_some();
            self.drop(if reasoning { "reasoning" } else { "reasoning_effort" });
            return Ok(None);
        }
        let share = |effort: Effort| max_tokens.unwrap_or(LONGEST).saturating_mul(effort.percent()) / 100;
        let token_budget = asked.tokens.or_else(|| asked.effort.map(share));
        Ok(Some(Thinking::Enabled { token_budget }))
    }

    fn format(&self) -> Result<Option<Format<'a>>, RequestError> {
        Ok(match self.chat.response_format()? {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => Some(Format { kind: "json_object", json_schema: None }),
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                Some(Format { kind: "json_object", json_schema: Some(Raw(schema)) })
            }
        })
    }

    /// Numbers within Cohere's bounds, and the fields of its own.
    fn numbers(&mut self) -> Result<Vec<(&'static str, &'a str)>, RequestError> {
        let chat = self.chat;
        let mut numbers = Vec::new();
        for name in ["temperature", "seed"] {
            numbers.extend(chat.number(name)?.map(|raw| (name, raw)));
        }
        let value = |raw: &str| raw.parse::<f64>().unwrap_or_default();
        let [least, most] = P;
        let p = chat.number("top_p")?.map(|raw| match value(raw) {
            low if low < value(least) => least,
            high if high > value(most) => most,
            _ => raw,
        });
        numbers.extend(p.map(|raw| ("p", raw)));
        numbers.extend(chat.number("top_k")?.map(|raw| ("k", raw)));
        for name in ["frequency_penalty", "presence_penalty"] {
            // Here they go from zero to one.
            let Some(raw) = chat.number(name)? else { continue };
            if value(raw) > 1.0 {
                self.drop(name);
                numbers.push((name, "1"));
            } else if value(raw) < 0.0 {
                self.drop(name);
            } else {
                numbers.push((name, raw));
            }
        }
        for name in OWN {
            let known = numbers.iter().any(|(known, _)| known == name);
            numbers.extend(chat.given(name).filter(|_| !known).map(|raw| (*name, raw)));
        }
        Ok(numbers)
    }
}

/// The reasoning of a message: the plan, and blocks of thinking. What another provider signed is of no use
/// here; clients may forget the form of a text.
fn thoughts<'b>(message: &'b Message<'b>) -> (Vec<String>, Vec<Block<'b>>) {
    let (mut plan, mut blocks) = (Vec::new(), Vec::new());
    for detail in &message.details {
        let DetailBody::Text { text, signature: None } = &detail.body else { continue };
        match (detail.format.as_deref(), detail.id.as_deref()) {
            (Some(FORMAT), Some(PLAN)) => plan.push(text.clone().into_owned()),
            (Some(FORMAT | "unknown") | None, _) => {
                blocks.push(Block::Thinking { thinking: Cow::Borrowed(text.as_ref()) });
            }
            (Some(_), _) => {}
        }
    }
    (plan, blocks)
}

/// One text stands as it is.
fn content(mut blocks: Vec<Block<'_>>) -> Content<'_> {
    match blocks.pop() {
        None => Content::Text(Cow::Borrowed("")),
        Some(Block::Text { text }) if blocks.is_empty() => Content::Text(text),
        Some(last) => {
            blocks.push(last);
            Content::Blocks(blocks)
        }
    }
}

fn image<'b>(media: &'b Media<'b>, place: Place) -> Result<Block<'b>, RequestError> {
    let url = match &media.source {
        Source::Url(url) => Cow::Borrowed(url.as_ref()),
        Source::Inline { media_type, base64 } => Cow::Owned(format!("data:{media_type};base64,{base64}")),
        Source::Id(_) => {
            let why = "this API keeps no files. Send the image itself, as a data URI.";
            return Err(RequestError::unsupported(place, why));
        }
    };
    let detail = media.detail.as_deref().map(Cow::Borrowed);
    Ok(Block::ImageUrl { image_url: Image { url, detail } })
}
