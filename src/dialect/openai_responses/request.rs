//! A chat becomes a request of the Responses API.

use std::borrow::Cow;

use super::OpenAiResponses;
use super::family::{self, Family};
use super::shape::field;
use super::wire::{
    Body, Choice, File, Format, Function, Image, Item, Named, Output, Part, Reasoning, Text, Tool,
};
use crate::chat::message::{self, Content, Detail, DetailBody, Media, Message, Place, Role};
use crate::chat::settings::{Effort, ResponseFormat, Thinking};
use crate::chat::tool::{self, ToolChoice};
use crate::chat::{Chat, RequestError};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Field, Members, Raw};

/// Fields that are translated.
const TRANSLATED: &[&str] = &[
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "verbosity",
    "reasoning",
    "reasoning_effort",
    "instructions",
    "logprobs",
    "include",
    "store",
    "web_search_options",
    "modalities",
    "n",
    "stop",
];
/// Fields of the API itself that pass as they came; those of chat completions mean the same here.
const OWN: &[&str] = &[
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "top_logprobs",
    "truncation",
    "previous_response_id",
    "conversation",
    "prompt",
    "max_tool_calls",
    "context_management",
];
/// The longest id of a call that the API takes.
const CALL_ID_LIMIT: usize = 64;
/// The answer's length where the client names none, to weigh a budget of reasoning against.
const USUAL_LENGTH: u64 = 32_000;

/// Builds the request, without keys.
pub(super) fn request(
    dialect: &OpenAiResponses,
    target: &Target<'_>,
    chat: &Chat,
) -> Result<Outgoing, RequestError> {
    refuse(chat)?;
    let messages = chat.messages_with_free_text()?;
    let mut builder = Builder { chat, dialect, family: family::of(target.model), dropped: Vec::new() };
    let body = builder.body(target, &messages)?;
    let mut dropped = builder.dropped;
    dropped.extend(chat.others(&[TRANSLATED, OWN].concat()));
    Ok(Outgoing::post(&target.url(["responses"]), chat.body(target.provider, &body)?).without(dropped))
}

/// Refuses what cannot be expressed and would be missed.
fn refuse(chat: &Chat) -> Result<(), RequestError> {
    chat.check_single()?;
    if !chat.stop()?.is_empty() {
        let why = "this API has no stop sequences. Leave stop out, or use the dialect openai-chat.";
        return Err(RequestError::unsupported("stop", why));
    }
    if chat.given("modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        let why = "this API answers with text and images. Use the dialect openai-chat.";
        return Err(RequestError::unsupported("modalities", why));
    }
    if chat.given("search_parameters").is_some_and(|raw| !json::says_nothing(raw)) {
        let why = "this API searches by tools. Name web_search or x_search in tools.";
        return Err(RequestError::unsupported("search_parameters", why));
    }
    Ok(())
}

struct Builder<'a> {
    chat: &'a Chat,
    dialect: &'a OpenAiResponses,
    family: Family,
    dropped: Vec<String>,
}

impl<'a> Builder<'a> {
    fn body<'b>(&mut self, target: &Target<'b>, messages: &'b [Message<'b>]) -> Result<Body<'b>, RequestError>
    where
        'a: 'b,
    {
        let chat = self.chat;
        let (instructions, rest) = self.instructions(messages);
        let input = self.items(rest)?;
        let goes_on = input.iter().any(|item| matches!(item, Item::Reasoning { .. }));
        let tools = self.tools()?;
        let tool_choice = if tools.is_empty() { None } else { self.choice()? };
        let asked = chat.thinking()?;
        let reasoning = self.reasoning(asked);
        let thinks = self.family.reasons == Some(true)
            && reasoning.as_ref().is_none_or(|reasoning| reasoning.effort != Some("none"));
        Ok(Body {
            model: target.model,
            stream: true,
            store: Raw(chat.given("store").unwrap_or("false")),
            instructions,
            input,
            tools,
            tool_choice,
            parallel_tool_calls: chat.parallel_tool_calls(),
            text: self.text()?,
            reasoning,
            include: self.include(asked.is_on() || goes_on),
            max_output_tokens: self.max_tokens()?,
            temperature: self.sampling("temperature", thinks)?,
            top_p: self.sampling("top_p", thinks)?,
            own: OWN.iter().filter_map(|name| Some(field(Cow::Borrowed(name), chat.given(name)?))).collect(),
        })
    }

    fn drop(&mut self, name: &str) {
        if !self.dropped.iter().any(|known| known == name) {
            self.dropped.push(name.to_owned());
        }
    }

    /// A first system message that is text, and the messages after it.
    fn instructions<'b>(&mut self, messages: &'b [Message<'b>]) -> (Option<String>, &'b [Message<'b>]) {
        let own = self.chat.given("instructions").and_then(json::word);
        match messages.split_first() {
            _ if own.is_some() => (own.map(Cow::into_owned), messages),
            // An empty input is refused: then the message stays where it is.
            Some((first, rest)) if self.dialect.instructions && !rest.is_empty() => {
                let is_text = first.parts.iter().all(|part| matches!(part.content, Content::Text(_)));
                if !first.is_system() || !is_text || first.parts.is_empty() {
                    return (None, messages);
                }
                self.note(first);
                (Some(first.text()), rest)
            }
            Some(_) | None => (None, messages),
        }
    }

    /// Notes what a message has that no item can have.
    fn note(&mut self, message: &Message<'_>) {
        let marked = message.parts.iter().any(|part| part.cache_control.is_some());
        if marked || message.cache_control.is_some() {
            self.drop("cache_control");
        }
        if message.name.is_some() && message.role != Role::Tool {
            self.drop("messages.name");
        }
    }

    fn items<'b>(&mut self, messages: &'b [Message<'b>]) -> Result<Vec<Item<'b>>, RequestError>
    where
        'a: 'b,
    {
        let mut items = Vec::with_capacity(messages.len());
        for message in messages {
            self.note(message);
            let said = |role, content: Vec<Part<'b>>| {
                (!content.is_empty()).then_some(Item::Message { role, content, phase: None })
            };
            match message.role {
                Role::System => items.extend(said("system", self.parts(message)?)),
                Role::Developer => items.extend(said("developer", self.parts(message)?)),
                Role::User => items.extend(said("user", self.parts(message)?)),
                Role::Assistant => self.assistant(message, &mut items)?,
                Role::Tool => {
                    let id = message.call_id.as_deref().unwrap_or_default();
                    let is_custom = messages
                        .iter()
                        .flat_map(|message| &message.calls)
                        .any(|call| call.is_custom && call.id == id);
                    let (call_id, output) = (call_id(id), self.output(message)?);
                    items.push(match is_custom {
                        true => Item::CustomToolCallOutput { call_id, output },
                        false => Item::FunctionCallOutput { call_id, output },
                    });
                }
            }
        }
        Ok(items)
    }

    fn parts<'b>(&mut self, message: &'b Message<'b>) -> Result<Vec<Part<'b>>, RequestError> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            parts.push(match &part.content {
                Content::Text(text) | Content::Refusal(text) => Part::InputText { text: borrow(text) },
                Content::Image(media) => Part::InputImage(image(media)),
                Content::File(media) => file(media),
                Content::Audio(_) => return Err(no_sound(part.place)),
                Content::Video(_) => {
                    return Err(RequestError::unsupported(part.place, "this API takes no video."));
                }
            });
        }
        Ok(parts)
    }

    /// Reasoning goes back in front of what it led to, then text, then calls.
    fn assistant<'b>(
        &mut self,
        message: &'b Message<'b>,
        items: &mut Vec<Item<'b>>,
    ) -> Result<(), RequestError>
    where
        'a: 'b,
    {
        let mut content = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            content.push(match &part.content {
                Content::Text(text) => Part::OutputText { text: borrow(text) },
                Content::Refusal(text) => Part::Refusal { refusal: borrow(text) },
                Content::Audio(_) => return Err(no_sound(part.place)),
                Content::Image(_) | Content::File(_) | Content::Video(_) => {
                    let why = "this API takes text from the assistant. Send it in a user's message.";
                    return Err(RequestError::unsupported(part.place, why));
                }
            });
        }
        // Reasoning that leads to nothing is refused.
        if !content.is_empty() || !message.calls.is_empty() {
            items.extend(thoughts(&message.details, self.dialect.format));
        }
        if !content.is_empty() {
            items.push(Item::Message { role: "assistant", content, phase: self.phase(message.place) });
        }
        items.extend(message.calls.iter().map(|call| {
            let (call_id, name) = (call_id(&call.id), borrow(&call.name));
            match call.arguments.trim() {
                _ if call.is_custom => Item::CustomToolCall { call_id, name, input: borrow(&call.arguments) },
                "" => Item::FunctionCall { call_id, name, arguments: borrow("{}") },
                _ => Item::FunctionCall { call_id, name, arguments: borrow(&call.arguments) },
            }
        }));
        Ok(())
    }

    /// Whether a message was said on the way or at the end, which newer models want to know of themselves.
    fn phase(&self, place: Place) -> Option<Cow<'a, str>> {
        let raw = json::elements(self.chat.given("messages")?).get(place.message).copied()?;
        let phase = Members::of(raw).find("phase").and_then(json::word)?;
        matches!(phase.as_ref(), "commentary" | "final_answer").then_some(phase)
    }

    /// What a function gave: text, or parts if there is anything else.
    fn output<'b>(&mut self, message: &'b Message<'b>) -> Result<Output<'b>, RequestError> {
        let is_text = |part: &message::Part<'_>| matches!(part.content, Content::Text(_));
        Ok(match message.parts.iter().all(is_text) {
            true => Output::Text(message.text()),
            false => Output::Parts(self.parts(message)?),
        })
    }

    fn tools(&mut self) -> Result<Vec<Tool<'a>>, RequestError> {
        let mut tools = Vec::new();
        for (at, tool) in self.chat.tools()?.into_iter().enumerate() {
            match tool {
                tool::Tool::Function(function) => {
                    if function.cache_control.is_some() {
                        self.drop("cache_control");
                    }
                    tools.push(Tool::Function(Function {
                        kind: "function",
                        name: function.name,
                        description: function.description,
                        parameters: Raw(function
                            .parameters
                            .unwrap_or("{\"type\":\"object\",\"properties\":{}}")),
                        strict: function.strict.unwrap_or(false),
                    }));
                }
                tool::Tool::Native(raw) => {
                    if Members::of(raw).find("custom").is_some() {
                        let why =
                            "calls of tools that take free text cannot be answered with. Use a function.";
                        return Err(RequestError::unsupported(format!("tools[{at}]"), why));
                    }
                    tools.push(Tool::Native(Raw(raw)));
                }
            }
        }
        if let Some(raw) = self.chat.given("web_search_options") {
            tools.push(Tool::Search { kind: "web_search", options: search_options(raw) });
        }
        if self.chat.given("modalities").is_some_and(|raw| raw.contains("\"image\"")) {
            tools.push(Tool::Search { kind: "image_generation", options: Vec::new() });
        }
        Ok(tools)
    }

    fn choice(&self) -> Result<Option<Choice<'a>>, RequestError> {
        // Tools of the API's own are chosen by their type.
        if let Some(raw) = self.chat.given("tool_choice").filter(|raw| raw.starts_with('{')) {
            let kind = Members::of(raw).find("type").and_then(json::word).unwrap_or_default();
            let ours = ["function", "tool", "custom", "allowed_tools", "auto", "none", "required", "any", ""];
            if !ours.contains(&kind.as_ref()) {
                return Ok(Some(Choice::Native(Raw(raw))));
            }
        }
        let function = |name| Named { kind: "function", name };
        Ok(self.chat.tool_choice()?.map(|choice| match choice {
            ToolChoice::Auto => Choice::Word("auto"),
            ToolChoice::None => Choice::Word("none"),
            ToolChoice::Required => Choice::Word("required"),
            ToolChoice::Function(name) => Choice::Function(function(name)),
            ToolChoice::Allowed { names, required } => Choice::Allowed {
                kind: "allowed_tools",
                mode: if required { "required" } else { "auto" },
                tools: names.into_iter().map(function).collect(),
            },
        }))
    }

    fn text(&self) -> Result<Option<Text<'a>>, RequestError> {
        let format = self.chat.response_format()?.map(|format| match format {
            ResponseFormat::Text => Format::Text,
            ResponseFormat::JsonObject => Format::JsonObject,
            ResponseFormat::JsonSchema { name, description, schema, strict } => Format::JsonSchema {
                name: name.unwrap_or(Cow::Borrowed("response")),
                description,
                schema: Raw(schema),
                strict,
            },
        });
        let verbosity = self.chat.given("verbosity").map(Raw);
        Ok((format.is_some() || verbosity.is_some()).then_some(Text { format, verbosity }))
    }

    fn reasoning(&mut self, asked: Thinking) -> Option<Reasoning<'a>> {
        let object = self.chat.given("reasoning").map(Members::of);
        let asked_by = if object.is_some() { "reasoning" } else { "reasoning_effort" };
        if self.family.reasons == Some(false) {
            if asked.is_on() {
                self.drop(asked_by);
            }
            return None;
        }
        let members = object.unwrap_or_default();
        let ours = ["effort", "max_tokens", "exclude", "enabled", "summary"];
        let own = members.0.iter().filter(|(name, raw)| !ours.contains(&name.as_ref()) && *raw != "null");
        let own: Vec<Field<'a>> = own.map(|(name, raw)| field(name.clone(), raw)).collect();
        let effort = if asked.is_off() { self.least_effort(asked, asked_by) } else { self.effort(asked) };
        let excluded = members.find("exclude") == Some("true");
        let summary = members
            .find("summary")
            .filter(|raw| *raw != "null")
            .or_else(|| (asked.is_on() && !members.0.is_empty() && !excluded).then_some("\"auto\""));
        let summary = summary.map(Raw);
        (effort.is_some() || summary.is_some() || !own.is_empty()).then_some(Reasoning {
            effort,
            summary,
            own,
        })
    }

    fn effort(&self, asked: Thinking) -> Option<&'static str> {
        let length = self.chat.max_tokens().ok().flatten().unwrap_or(USUAL_LENGTH); // Its error is reported elsewhere.
        let by_tokens = || {
            Some(match asked.tokens?.saturating_mul(100) / length.max(1) {
                0..=25 => Effort::Low,
                26..=60 => Effort::Medium,
                _ => Effort::High,
            })
        };
        asked.effort.or_else(by_tokens).map(|effort| match effort {
            Effort::Max => Effort::ExtraHigh.as_str(),
            Effort::None
            | Effort::Minimal
            | Effort::Low
            | Effort::Medium
            | Effort::High
            | Effort::ExtraHigh => effort.as_str(),
        })
    }

    /// What is said to a model that is not to reason.
    fn least_effort(&mut self, asked: Thinking, field: &str) -> Option<&'static str> {
        let is_told = asked.effort == Some(Effort::None) || self.family.reasons.is_some();
        let effort = self.family.least_effort.filter(|_| is_told);
        if effort != Some("none") {
            self.drop(field);
        }
        effort
    }

    /// Encrypted reasoning is asked for of models that reason: others refuse to be asked.
    fn include(&self, reasons: bool) -> Vec<Cow<'a, str>> {
        let asked = self.chat.given("include").map(json::elements).unwrap_or_default();
        let mut include: Vec<Cow<'a, str>> = asked.into_iter().filter_map(json::string).collect();
        let mut add = |name: &'static str| {
            if !include.iter().any(|known| known == name) {
                include.push(Cow::Borrowed(name));
            }
        };
        if self.family.reasons.unwrap_or(reasons) {
            add("reasoning.encrypted_content");
        }
        if self.chat.given("logprobs") == Some("true") {
            add("message.output_text.logprobs");
        }
        include
    }

    fn max_tokens(&mut self) -> Result<Option<u64>, RequestError> {
        let asked = self.chat.max_tokens()?;
        if asked.is_some_and(|count| count < self.dialect.least_tokens) {
            let newer = self.chat.given("max_completion_tokens").is_some();
            self.drop(if newer { "max_completion_tokens" } else { "max_tokens" });
        }
        Ok(asked.map(|count| count.max(self.dialect.least_tokens)))
    }

    /// Temperature or `top_p`; models that reason refuse all but the default.
    fn sampling(&mut self, name: &'static str, thinks: bool) -> Result<Option<Raw<'a>>, RequestError> {
        let Some(raw) = self.chat.number(name)? else { return Ok(None) };
        if thinks && !self.family.samples {
            if raw.parse() != Ok(1.0) {
                self.drop(name);
            }
            return Ok(None);
        }
        Ok(Some(Raw(raw)))
    }
}

fn no_sound(place: Place) -> RequestError {
    RequestError::unsupported(place, "this API takes no audio. Use the dialect openai-chat.")
}

fn image<'b>(media: &'b Media<'b>) -> Image<'b> {
    let detail = media.detail.as_deref().map_or(Cow::Borrowed("auto"), borrow);
    match &media.source {
        message::Source::Inline { media_type, base64 } => {
            Image { image_url: Some(data_uri(media_type, base64)), file_id: None, detail }
        }
        message::Source::Url(url) => Image { image_url: Some(borrow(url)), file_id: None, detail },
        message::Source::Id(id) => Image { image_url: None, file_id: Some(borrow(id)), detail },
    }
}

/// A file; an image that came as one is an image.
fn file<'b>(media: &'b Media<'b>) -> Part<'b> {
    let filename = media.name.as_deref().map(borrow);
    Part::InputFile(match &media.source {
        message::Source::Inline { media_type, .. } if media_type.starts_with("image/") => {
            return Part::InputImage(image(media));
        }
        message::Source::Inline { media_type, base64 } => {
            let kind = media_type.rsplit(['/', '+', '.']).next().unwrap_or_default();
            let kind = if kind == "plain" { "txt" } else { kind };
            let filename = filename.or_else(|| Some(Cow::Owned(format!("file.{kind}"))));
            File { filename, file_data: Some(data_uri(media_type, base64)), ..File::default() }
        }
        // A name beside a URL or an id is refused.
        message::Source::Url(url) => File { file_url: Some(borrow(url)), ..File::default() },
        message::Source::Id(id) => File { file_id: Some(borrow(id)), ..File::default() },
    })
}

fn data_uri<'b>(media_type: &str, base64: &str) -> Cow<'b, str> {
    Cow::Owned(format!("data:{media_type};base64,{base64}"))
}

/// Reasoning items of this provider, in their order. The pieces of one item have its id, or none and stand
/// before the encrypted content. What has neither encrypted content nor text of the model's own is no use.
fn thoughts<'b>(details: &'b [Detail<'b>], format: &str) -> Vec<Item<'b>> {
    let mut items: Vec<Item<'b>> = Vec::new();
    for detail in details.iter().filter(|detail| is_ours(detail, format)) {
        let joins = |item: &Item<'_>| match item {
            Item::Reasoning { id, encrypted_content, .. } => {
                let same = id.is_none() || detail.id.is_none() || id.as_deref() == detail.id.as_deref();
                same && encrypted_content.is_none()
            }
            Item::Message { .. }
            | Item::FunctionCall { .. }
            | Item::FunctionCallOutput { .. }
            | Item::CustomToolCall { .. }
            | Item::CustomToolCallOutput { .. } => false,
        };
        if !items.last().is_some_and(joins) {
            let (summary, content) = (Vec::new(), Vec::new());
            items.push(Item::Reasoning { id: None, summary, content, encrypted_content: None });
        }
        let Some(Item::Reasoning { id, summary, content, encrypted_content }) = items.last_mut() else {
            continue;
        };
        if let Some(named) = detail.id.as_deref() {
            id.get_or_insert(Cow::Borrowed(named));
        }
        match &detail.body {
            DetailBody::Summary(text) => summary.push(Part::SummaryText { text: borrow(text) }),
            DetailBody::Text { text, .. } => content.push(Part::ReasoningText { text: borrow(text) }),
            DetailBody::Encrypted(data) => *encrypted_content = Some(borrow(data)),
        }
    }
    items.retain(|item| match item {
        Item::Reasoning { content, encrypted_content, .. } => {
            encrypted_content.is_some() || !content.is_empty()
        }
        Item::Message { .. }
        | Item::FunctionCall { .. }
        | Item::FunctionCallOutput { .. }
        | Item::CustomToolCall { .. }
        | Item::CustomToolCallOutput { .. } => false,
    });
    items
}

/// True for reasoning of this provider: clients may forget the form, but not the id.
fn is_ours(detail: &Detail<'_>, format: &str) -> bool {
    match detail.format.as_deref() {
        None | Some("unknown") => detail.id.as_deref().is_some_and(|id| id.starts_with("rs_")),
        Some(known) => known == format,
    }
}

/// What `web_search_options` says, without the wrapper around the place.
fn search_options(raw: &str) -> Vec<Field<'_>> {
    let options = Members::of(raw).0.into_iter().map(|(name, raw)| {
        let inner = Members::of(raw).find("approximate").filter(|_| name == "user_location");
        match inner {
            Some(inner) => {
                let mut place = Vec::new();
                json::write_merged("{\"type\":\"approximate\"}", inner, &mut place);
                let value = Cow::Owned(String::from_utf8_lossy(&place).into_owned());
                Field { name, value }
            }
            None => field(name, raw),
        }
    });
    options.collect()
}

/// The id of a call in the length that the API takes: ids of other providers may be longer.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    if id.len() <= CALL_ID_LIMIT {
        return Cow::Borrowed(id);
    }
    // FNV-1a: the same in every process, because the whole conversation comes again with each request.
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let head: String = id.chars().filter(char::is_ascii).take(CALL_ID_LIMIT - 17).collect();
    Cow::Owned(format!("{head}_{hash:016x}"))
}

fn borrow(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_of_a_call_becomes_a_short_one_of_its_own() {
        let long = |end: &str| format!("{}{end}", "é".repeat(80));
        let (a, b) = (long("a"), long("b"));
        assert!(
            call_id(&a).len() <= CALL_ID_LIMIT && call_id(&a) == call_id(&a) && call_id(&a) != call_id(&b)
        );
        assert_eq!(call_id("call_1"), "call_1");
    }
}
