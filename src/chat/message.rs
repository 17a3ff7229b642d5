//! The messages of a chat as types, for dialects that translate them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Chat, RequestError};
use crate::json::{self, Members};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `system`.
    System,
    /// `developer`: the newer word for system.
    Developer,
    /// `user`.
    User,
    /// `assistant`.
    Assistant,
    /// `tool`, or the older `function`: the result of one call.
    Tool,
}

/// One message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Where it stands in the list.
    pub place: Place,
    /// Who speaks.
    pub role: Role,
    /// The speaker's name.
    pub name: Option<Cow<'a, str>>,
    /// What is said; empty for null and "".
    pub parts: Vec<Part<'a>>,
    /// The assistant's tool calls.
    pub calls: Vec<ToolCall<'a>>,
    /// The call that a tool's message answers.
    pub call_id: Option<Cow<'a, str>>,
    /// The assistant's reasoning as plain text.
    pub reasoning: Option<Cow<'a, str>>,
    /// The assistant's structured reasoning; pieces of one item are joined.
    pub details: Vec<Detail<'a>>,
    /// Parts of an answer that no field of the API can carry (`content_parts`), as the provider sent them: JSON
    /// texts.
    pub own_parts: Vec<&'a str>,
    /// A marker on the message itself: JSON text.
    pub cache_control: Option<&'a str>,
}

/// Where a message or a part of its content stands; written as `messages[0].content[1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The message.
    pub message: usize,
    /// The part of its content, where it comes in parts.
    pub part: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}]", self.message)?;
        self.part.map_or(Ok(()), |part| write!(f, ".content[{part}]"))
    }
}

/// A part of a message's content.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub content: Content<'a>,
    /// Its marker: JSON text.
    pub cache_control: Option<&'a str>,
}

/// What a part is.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Text, never empty.
    Text(Cow<'a, str>),
    /// The assistant's refusal.
    Refusal(Cow<'a, str>),
    /// An image.
    Image(Media<'a>),
    /// A file: a PDF and others.
    File(Media<'a>),
    /// A recording of sound.
    Audio(Media<'a>),
    /// A video.
    Video(Media<'a>),
}

/// Content that is no text.
#[derive(Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// Where its bytes are.
    pub source: Source<'a>,
    /// The file's name.
    pub name: Option<Cow<'a, str>>,
    /// How closely an image is looked at: `auto`, `low`, `high`.
    pub detail: Option<Cow<'a, str>>,
}

impl Media<'_> {
    /// The text of a text file that came with the request.
    pub fn text(&self) -> Option<String> {
        let Source::Inline { media_type, base64 } = &self.source else { return None };
        let is_text = media_type.starts_with("text/") || media_type == "application/json";
        let bytes = STANDARD.decode(base64.as_bytes()).ok().filter(|_| is_text)?; // No base64: no text.
        String::from_utf8(bytes).ok() // Another encoding: not what it says it is.
    }
}

/// Where the bytes of a medium are.
#[derive(Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// In the request itself.
    Inline {
        /// Such as `image/png`.
        media_type: Cow<'a, str>,
        /// The bytes in base64.
        base64: Cow<'a, str>,
    },
    /// Somewhere in the web.
    Url(Cow<'a, str>),
    /// At the provider, under this name.
    Id(Cow<'a, str>),
}

/// A call of a tool by the assistant.
#[derive(Debug)]
pub struct ToolCall<'a> {
    /// Its id; calls of the older form without one get one.
    pub id: Cow<'a, str>,
    /// The function, or the tool.
    pub name: Cow<'a, str>,
    /// The tool takes free text (`custom`): the arguments are that text.
    pub is_custom: bool,
    /// The arguments as the model wrote them: usually the text of a JSON object.
    pub arguments: Cow<'a, str>,
    /// A thought signature that belongs to the call.
    pub signature: Option<Cow<'a, str>>,
}

impl ToolCall<'_> {
    /// The arguments as the text of a JSON object.
    pub fn object(&self) -> Cow<'_, str> {
        arguments_object(&self.arguments)
    }
}

/// A call's arguments as the text of a JSON object. What is none is wrapped into one, so that a conversation
/// goes on in which a model made a mistake.
pub fn arguments_object(arguments: &str) -> Cow<'_, str> {
    let text = arguments.trim();
    if matches!(text, "" | "null") {
        return Cow::Borrowed("{}");
    }
    if text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::from(b"{\"INVALID_JSON\":");
    json::write_string(text, &mut out);
    out.push(b'}');
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// An item of structured reasoning that the client sends back.
#[derive(Debug, PartialEq, Eq)]
pub struct Detail<'a> {
    /// What it holds.
    pub body: DetailBody<'a>,
    /// The provider's form, such as `anthropic-claude-v1`.
    pub format: Option<Cow<'a, str>>,
    /// Its own id, or that of the call which it signs.
    pub id: Option<Cow<'a, str>>,
    index: Option<i64>,
}

/// What an item of structured reasoning holds.
#[derive(Debug, PartialEq, Eq)]
pub enum DetailBody<'a> {
    /// Readable text and what proves that it is the model's own.
    Text {
        /// May be empty.
        text: Cow<'a, str>,
        /// The proof.
        signature: Option<Cow<'a, str>>,
    },
    /// A summary.
    Summary(Cow<'a, str>),
    /// What only the provider can read.
    Encrypted(Cow<'a, str>),
}

impl Chat {
    /// The messages, read, for APIs whose tools take JSON: a call of a tool that takes free text is refused.
    pub fn messages(&self) -> Result<Vec<Message<'_>>, RequestError> {
        let messages = self.messages_with_free_text()?;
        for message in &messages {
            if let Some(at) = message.calls.iter().position(|call| call.is_custom) {
                let place = format!("{}.tool_calls[{at}]", message.place);
                let why = "this API has no calls of tools that take free text. Use a function.";
                return Err(RequestError::unsupported(place, why));
            }
        }
        Ok(messages)
    }

    /// The messages, read, for APIs that have tools which take free text.
    pub fn messages_with_free_text(&self) -> Result<Vec<Message<'_>>, RequestError> {
        let raw = json::elements(self.field("messages").unwrap_or_default());
        let mut messages = Vec::with_capacity(raw.len());
        let mut last_call = String::new();
        for (at, raw) in raw.into_iter().enumerate() {
            let mut message = Message::read(at, raw)?;
            // Calls of the older form have no ids: the result belongs to the call before it.
            for call in message.calls.iter_mut().filter(|call| call.id.is_empty()) {
                last_call = format!("call_{at}");
                call.id = Cow::Owned(last_call.clone());
            }
            if message.role == Role::Tool && message.call_id.is_none() {
                if last_call.is_empty() {
                    let place = format!("{}.tool_call_id", message.place);
                    return Err(RequestError::Malformed { place, expected: "the id of a tool call" });
                }
                message.call_id = Some(Cow::Owned(last_call.clone()));
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

impl<'a> Message<'a> {
    /// Reads the message that stands at that place; calls of the older form have no ids.
    pub(crate) fn read(at: usize, raw: &'a str) -> Result<Message<'a>, RequestError> {
        let place = Place { message: at, part: None };
        let members = Members::of(raw);
        let role = match members.find("role").and_then(json::word).as_deref() {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("user") => Role::User,
            Some("assistant" | "model") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            Some(_) | None => {
                let place = format!("{place}.role");
                let expected = "one of system, developer, user, assistant, tool";
                return Err(RequestError::Malformed { place, expected });
            }
        };
        let mut message = Message {
            place,
            role,
            name: members.find("name").and_then(json::word),
            parts: Vec::new(),
            calls: Vec::new(),
            call_id: members.find("tool_call_id").and_then(json::word),
            reasoning: ["reasoning_content", "reasoning"]
                .iter()
                .find_map(|name| members.find(name).and_then(json::word)),
            details: Vec::new(),
            own_parts: json::elements(members.find("content_parts").unwrap_or_default()),
            cache_control: marker(&members),
        };
        for raw in json::elements(members.find("reasoning_details").unwrap_or_default()) {
            message.add_detail(Detail::read(raw));
        }
        message.content(members.find("content").unwrap_or("null"))?;
        if let Some(refusal) = members.find("refusal").and_then(json::word) {
            message.parts.push(Part { place, content: Content::Refusal(refusal), cache_control: None });
        }
        let calls = json::elements(members.find("tool_calls").unwrap_or_default());
        message.calls = calls.into_iter().map(ToolCall::read).collect();
        if let Some(function) = members.find("function_call").filter(|raw| raw.starts_with('{')) {
            message.calls.push(ToolCall::of_function(&Members::of(function)));
        }
        Ok(message)
    }

    fn content(&mut self, raw: &'a str) -> Result<(), RequestError> {
        match raw.as_bytes().first() {
            Some(b'"') => {
                let text = json::word(raw).map(Content::Text);
                let place = self.place;
                self.parts.extend(text.map(|content| Part { place, content, cache_control: None }));
                Ok(())
            }
            Some(b'[' | b'{') => {
                let parts = json::elements(raw).into_iter().enumerate();
                parts.into_iter().try_for_each(|(at, raw)| self.part(at, raw))
            }
            Some(b'n') | None => Ok(()),
            Some(_) => Err(RequestError::Malformed {
                place: format!("{}.content", self.place),
                expected: "a string or a list of parts",
            }),
        }
    }

    fn part(&mut self, at: usize, raw: &'a str) -> Result<(), RequestError> {
        let place = Place { part: Some(at), ..self.place };
        let members = Members::of(raw);
        let cache_control = marker(&members);
        let kind = members.find("type").and_then(json::word).unwrap_or(Cow::Borrowed("text"));
        let text = |name: &str| members.find(name).and_then(json::word);
        let content = if raw.starts_with('"') {
            json::word(raw).map(Content::Text)
        } else {
            match kind.as_ref() {
                "text" | "input_text" | "output_text" => text("text").map(Content::Text),
                "refusal" => text("refusal").map(Content::Refusal),
                "thinking" | "reasoning" | "redacted_thinking" => {
                    self.add_detail(Detail::of_part(&kind, &members));
                    None
                }
                _ => Some(media(&kind, &members).ok_or_else(|| RequestError::Malformed {
                    place: place.to_string(),
                    expected: "a part of type text, image_url, file or input_audio",
                })?),
            }
        };
        self.parts.extend(content.map(|content| Part { place, content, cache_control }));
        Ok(())
    }

    /// Adds an item, or joins it with the one before: clients that know nothing of items send the pieces of
    /// a stream back.
    fn add_detail(&mut self, detail: Option<Detail<'a>>) {
        let Some(detail) = detail else { return };
        let last = self.details.last_mut().filter(|last| last.goes_on_with(&detail));
        match last {
            Some(last) => last.join(detail),
            None => self.details.push(detail),
        }
    }

    /// True for what is said to the model about its task, not in the conversation.
    pub fn is_system(&self) -> bool {
        matches!(self.role, Role::System | Role::Developer)
    }

    /// The text of all parts that are text.
    pub fn text(&self) -> String {
        let text = |part: &Part<'a>| match &part.content {
            Content::Text(text) | Content::Refusal(text) => Some(text.clone()),
            Content::Image(_) | Content::File(_) | Content::Audio(_) | Content::Video(_) => None,
        };
        self.parts.iter().filter_map(text).collect()
    }
}

fn marker<'a>(members: &Members<'a>) -> Option<&'a str> {
    members.find("cache_control").filter(|raw| raw.starts_with('{'))
}

/// Reads a part that is no text, in the forms of OpenAI, OpenRouter and Anthropic.
fn media<'a>(kind: &str, members: &Members<'a>) -> Option<Content<'a>> {
    let nested = |name: &str| members.find(name).map(Members::of).unwrap_or_default();
    let word = |members: &Members<'a>, name: &str| members.find(name).and_then(json::word);
    let bare = |source| Media { source, name: None, detail: None };
    match kind {
        "image_url" | "input_image" | "video_url" => {
            let name = if kind == "video_url" { "video_url" } else { "image_url" };
            let image = nested(name);
            let url = word(&image, "url").or_else(|| members.find(name).and_then(json::word))?;
            let media = Media { detail: word(&image, "detail"), ..bare(source(url)) };
            Some(if kind == "video_url" { Content::Video(media) } else { Content::Image(media) })
        }
        "file" | "input_file" => {
            let inner = nested("file");
            let file = if inner.0.is_empty() { members } else { &inner };
            let data = ["file_data", "file_url", "url"].iter().find_map(|name| word(file, name));
            let source = data.map(source).or_else(|| word(file, "file_id").map(Source::Id))?;
            Some(Content::File(Media { name: word(file, "filename"), ..bare(source) }))
        }
        "input_audio" => {
            let audio = nested("input_audio");
            let format = word(&audio, "format").unwrap_or(Cow::Borrowed("wav"));
            let source = match word(&audio, "data")? {
                data if data.starts_with("data:") || data.starts_with("http") => source(data),
                base64 => Source::Inline { media_type: Cow::Owned(format!("audio/{format}")), base64 },
            };
            Some(Content::Audio(bare(source)))
        }
        "image" | "document" => {
            let inner = nested("source");
            let source = match word(&inner, "type").as_deref() {
                Some("base64") => {
                    Source::Inline { media_type: word(&inner, "media_type")?, base64: word(&inner, "data")? }
                }
                Some("url") => Source::Url(word(&inner, "url")?),
                Some("file") => Source::Id(word(&inner, "file_id")?),
                Some(_) | None => return None,
            };
            let media = Media { name: word(members, "title"), ..bare(source) };
            Some(if kind == "image" { Content::Image(media) } else { Content::File(media) })
        }
        _ => None,
    }
}

/// A URL, or the bytes that a data URI holds.
fn source(url: Cow<'_, str>) -> Source<'_> {
    let Some(rest) = url.strip_prefix("data:") else { return Source::Url(url) };
    let Some((head, base64)) = rest.split_once(',') else { return Source::Url(url) };
    let Some(media_type) = head.strip_suffix(";base64") else { return Source::Url(url) };
    let media_type = media_type.split(';').next().unwrap_or_default();
    let media_type = if media_type.is_empty() { "text/plain" } else { media_type };
    match &url {
        Cow::Borrowed(whole) => {
            let start = whole.len() - base64.len();
            let base64 = Cow::Borrowed(whole.get(start..).unwrap_or_default());
            Source::Inline { media_type: Cow::Owned(media_type.to_owned()), base64 }
        }
        Cow::Owned(_) => Source::Inline {
            media_type: Cow::Owned(media_type.to_owned()),
            base64: Cow::Owned(base64.to_owned()),
        },
    }
}

impl<'a> ToolCall<'a> {
    fn read(raw: &'a str) -> ToolCall<'a> {
        let members = Members::of(raw);
        let function = members.find("function").map(Members::of).unwrap_or_default();
        let extra = members.find("extra_content").map(Members::of).unwrap_or_default();
        let nested = |name: &str, inner: &str| {
            extra.find(name).map(Members::of).and_then(|members| members.find(inner)).and_then(json::word)
        };
        let signature = extra
            .find("signature")
            .and_then(json::word)
            .or_else(|| nested("google", "thought_signature"))
            .or_else(|| nested("reasoning_detail", "data"));
        let id = members.find("id").and_then(json::word).unwrap_or_default();
        match members.find("custom").filter(|raw| raw.starts_with('{')).map(Members::of) {
            Some(custom) => ToolCall { id, signature, ..ToolCall::of_custom(&custom) },
            None => ToolCall { id, signature, ..ToolCall::of_function(&function) },
        }
    }

    fn of_function(function: &Members<'a>) -> ToolCall<'a> {
        let arguments = function.find("arguments").unwrap_or_default();
        ToolCall {
            id: Cow::Borrowed(""),
            name: function.find("name").and_then(json::word).unwrap_or_default(),
            is_custom: false,
            arguments: json::string(arguments).unwrap_or(Cow::Borrowed(arguments)),
            signature: None,
        }
    }

    fn of_custom(custom: &Members<'a>) -> ToolCall<'a> {
        let word = |name: &str| custom.find(name).and_then(json::word).unwrap_or_default();
        ToolCall {
            id: Cow::Borrowed(""),
            name: word("name"),
            is_custom: true,
            arguments: word("input"),
            signature: None,
        }
    }
}

impl<'a> Detail<'a> {
    fn read(raw: &'a str) -> Option<Detail<'a>> {
        let members = Members::of(raw);
        let word = |name: &str| members.find(name).and_then(json::word);
        let body = match word("type").as_deref() {
            Some("reasoning.summary") => DetailBody::Summary(word("summary").unwrap_or_default()),
            Some("reasoning.encrypted") => DetailBody::Encrypted(word("data")?),
            Some(_) | None => {
                let (text, signature) = (word("text"), word("signature"));
                if text.is_none() && signature.is_none() {
                    return None;
                }
                DetailBody::Text { text: text.unwrap_or_default(), signature }
            }
        };
        let index = members.find("index").and_then(json::integer);
        Some(Detail { body, format: word("format"), id: word("id"), index })
    }

    /// A part of content that holds reasoning, in Anthropic's form.
    fn of_part(kind: &str, members: &Members<'a>) -> Option<Detail<'a>> {
        let word = |name: &str| members.find(name).and_then(json::word);
        let body = if kind == "redacted_thinking" {
            DetailBody::Encrypted(word("data")?)
        } else {
            DetailBody::Text {
                text: word("thinking").or_else(|| word("text")).unwrap_or_default(),
                signature: word("signature"),
            }
        };
        Some(Detail { body, format: Some(Cow::Borrowed("anthropic-claude-v1")), id: None, index: None })
    }

    /// True if the item is the next piece of this one.
    fn goes_on_with(&self, next: &Detail<'a>) -> bool {
        let same_index = self.index == next.index;
        let same_id = self.id == next.id || next.id.is_none();
        match (&self.body, &next.body) {
            // What is signed is complete.
            (DetailBody::Text { signature: None, .. }, DetailBody::Text { .. }) => same_index && same_id,
            (DetailBody::Summary(_), DetailBody::Summary(_)) => same_index && same_id && self.index.is_some(),
            (DetailBody::Text { .. } | DetailBody::Summary(_) | DetailBody::Encrypted(_), _) => false,
        }
    }

    fn join(&mut self, next: Detail<'a>) {
        match (&mut self.body, next.body) {
            (DetailBody::Text { text, signature }, DetailBody::Text { text: more, signature: signed }) => {
                text.to_mut().push_str(&more);
                *signature = signature.take().or(signed);
            }
            (DetailBody::Summary(text), DetailBody::Summary(more)) => text.to_mut().push_str(&more),
            (DetailBody::Text { .. } | DetailBody::Summary(_) | DetailBody::Encrypted(_), _) => {}
        }
        self.format = self.format.take().or(next.format);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(messages: &str) -> Chat {
        Chat::read(format!("{{\"model\":\"m\",\"messages\":{messages}}}").as_bytes()).unwrap()
    }

    #[test]
    fn content_is_a_string_or_parts() {
        let chat = chat(
            r#"[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUI=","detail":"low"}},{"type":"image_url","image_url":"https://a.example/x.png"},{"type":"file","file":{"filename":"x.pdf","file_data":"data:application/pdf;base64,QUI="}},{"type":"input_audio","input_audio":{"data":"QUI=","format":"wav"}}]},{"role":"assistant","content":null}]"#,
        );
        let messages = chat.messages().unwrap();
        assert_eq!(messages[0].text(), "a");
        assert!(messages[2].parts.is_empty());
        let parts = &messages[1].parts;
        assert_eq!(parts[0].cache_control, Some(r#"{"type":"ephemeral"}"#));
        let inline = |media_type: &'static str| Source::Inline {
            media_type: media_type.into(),
            base64: "QUI=".into(),
        };
        let sources: Vec<&Source<'_>> = parts
            .iter()
            .filter_map(|part| match &part.content {
                Content::Text(_) | Content::Refusal(_) => None,
                Content::Image(media)
                | Content::File(media)
                | Content::Audio(media)
                | Content::Video(media) => Some(&media.source),
            })
            .collect();
        let url = Source::Url("https://a.example/x.png".into());
        assert_eq!(sources, [&inline("image/png"), &url, &inline("application/pdf"), &inline("audio/wav")]);
    }

    #[test]
    fn what_cannot_be_meant_names_its_place() {
        for (messages, place) in [
            (r#"[{"role":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user","content":1}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":[{"type":"odd"}]}]"#, "messages[0].content[0]"),
            (r#"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
        ] {
            assert_eq!(chat(messages).messages().unwrap_err().param(), Some(place));
        }
    }

    #[test]
    fn pieces_of_one_item_are_joined() {
        let chat = chat(
            r#"[{"role":"assistant","reasoning":"ab","reasoning_details":[{"type":"reasoning.text","text":"a","index":0},{"type":"reasoning.text","text":"b","index":0},{"type":"reasoning.text","signature":"s","index":0},{"type":"reasoning.text","text":"c","index":1},{"type":"reasoning.encrypted","data":"d","index":2}]}]"#,
        );
        let messages = chat.messages().unwrap();
        let bodies: Vec<_> = messages[0].details.iter().map(|detail| &detail.body).collect();
        let text = |text: &'static str, signature: Option<&'static str>| DetailBody::Text {
            text: text.into(),
            signature: signature.map(Cow::Borrowed),
        };
        assert_eq!(bodies, [&text("ab", Some("s")), &text("c", None), &DetailBody::Encrypted("d".into())]);
    }

    #[test]
    fn calls_of_the_older_form_get_an_id() {
        let chat = chat(
            r#"[{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}]"#,
        );
        let messages = chat.messages().unwrap();
        assert_eq!(messages[1].call_id.as_deref(), Some(messages[0].calls[0].id.as_ref()));
    }

    #[test]
    fn a_call_with_free_text_is_read_where_it_can_be_said() {
        let chat = chat(
            r#"[{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"call_2","type":"custom","custom":{"name":"sql","input":"SELECT \"depth\""}}]}]"#,
        );
        let messages = chat.messages_with_free_text().unwrap();
        let calls: Vec<_> = messages[0]
            .calls
            .iter()
            .map(|call| (call.id.as_ref(), call.name.as_ref(), call.is_custom, call.arguments.as_ref()))
            .collect();
        assert_eq!(calls, [("call_1", "f", false, "{}"), ("call_2", "sql", true, "SELECT \"depth\"")]);
        assert_eq!(chat.messages().unwrap_err().param(), Some("messages[0].tool_calls[1]"));
    }

    #[test]
    fn arguments_are_always_an_object() {
        let call = |arguments: &'static str| ToolCall {
            id: "".into(),
            name: "".into(),
            is_custom: false,
            arguments: arguments.into(),
            signature: None,
        };
        for (arguments, object) in
            [("", "{}"), ("{\"a\": 1.0}", "{\"a\": 1.0}"), ("{\"a\"", "{\"INVALID_JSON\":\"{\\\"a\\\"\"}")]
        {
            assert_eq!(call(arguments).object(), object);
        }
    }
}
