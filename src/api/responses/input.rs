//! The items of a request become messages.
//!
//! | item | becomes |
//! |---|---|
//! | a text; `message` of user, system, developer | a message of the user or the system; its parts in the shapes of chat completions |
//! | `message` of the assistant, `reasoning`, `function_call`, in a row | one message of the assistant: content, refusal, `reasoning_details`, `tool_calls` |
//! | `reasoning` | what was packed as it was; OpenAI's own as `reasoning.summary`, `.text`, `.encrypted`; text alone as `reasoning_content` |
//! | `function_call_output` | a tool's message, with text or parts; of one that has a name and answers no call, the user's |
//! | `custom_tool_call`, its output, outputs of hosted tools that the client runs, `item_reference`, compacted items, images by id, items and parts that nobody knows | needs: only a provider that speaks this API knows them |
//! | calls of hosted tools that the provider ran | nothing: what came of them is in the text |

use super::request::flat;
use super::{key, text};
use crate::chat::{Origin, RequestError, Said, sealed};
use crate::json::{self, Members};

/// Hosted tools that the provider ran itself.
const RAN: &[&str] = &[
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_call",
    "tool_search_call",
];

/// The messages, as the text of a JSON array; `None` if there is none. What the input needs is noted.
pub(super) fn messages(
    instructions: Option<&str>,
    input: Option<&str>,
    origin: &mut Origin,
) -> Result<Option<String>, RequestError> {
    let mut reader = Reader { origin, out: Vec::from(b"["), turn: Turn::default(), said: false };
    match instructions {
        Some(raw) if !raw.starts_with('"') => return Err(RequestError::WrongType("instructions", "a text")),
        Some(raw) if raw != "\"\"" => reader.write("system", None, Content::of_text("instructions", raw)),
        Some(_) | None => {}
    }
    match input.unwrap_or("null") {
        raw if raw.starts_with('"') => {
            reader.said = true;
            reader.write("user", None, Content::of_text("input", raw));
        }
        raw if raw.starts_with('[') => {
            for (at, raw) in json::elements(raw).into_iter().enumerate() {
                reader.item(at, raw)?;
            }
        }
        "null" => {}
        _ => return Err(RequestError::WrongType("input", "a text or a list of items")),
    }
    reader.end_turn();
    let has_context = !reader.origin.needs.is_empty() || reader.origin.previous().is_some();
    let is_something = reader.said || (input.is_none() && has_context);
    reader.out.push(b']');
    Ok(is_something.then(|| text(reader.out)))
}

struct Reader<'o> {
    origin: &'o mut Origin,
    out: Vec<u8>,
    /// What the assistant says until somebody else does.
    turn: Turn,
    /// There was something in the input.
    said: bool,
}

/// What a message says, in the shapes of chat completions: JSON text.
struct Content {
    raw: String,
    place: Said,
}

impl Content {
    fn of_text(place: &str, raw: &str) -> Content {
        Content { raw: raw.to_owned(), place: Said { place: place.to_owned(), parts: Vec::new() } }
    }
}

/// Items of the assistant's in a row.
#[derive(Debug, Default)]
struct Turn {
    /// The first of them, and the texts.
    place: Said,
    is_open: bool,
    /// Texts as JSON strings.
    texts: Vec<String>,
    refusal: String,
    reasoning: String,
    /// JSON texts.
    details: Vec<String>,
    calls: Vec<String>,
}

impl Reader<'_> {
    fn item(&mut self, at: usize, raw: &str) -> Result<(), RequestError> {
        self.said = true;
        let item = Members::of(raw);
        let place = format!("input[{at}]");
        let given = |name: &str| item.find(name).filter(|raw| *raw != "null");
        let word = |name: &str| given(name).filter(|raw| json::word(raw).is_some());
        match given("type").and_then(json::word).as_deref() {
            Some("message") | None if given("role").is_some() => self.spoken(&place, &item),
            Some("reasoning") => {
                self.turn_at(&place).think(&item);
                Ok(())
            }
            Some("function_call") => {
                let (id, name) = (word("call_id").or_else(|| word("id")), word("name"));
                let (Some(id), Some(name)) = (id.map(quoted), name) else {
                    let expected = "a function call with call_id, name and arguments";
                    return Err(RequestError::Malformed { place, expected });
                };
                let called = match given("namespace").and_then(json::word) {
                    Some(namespace) => string(&flat(&namespace, &json::word(name).unwrap_or_default())),
                    None => quoted(name),
                };
                let arguments = match given("arguments") {
                    // Some clients send the object itself.
                    Some(raw) if !raw.starts_with('"') => string(raw),
                    raw => raw.unwrap_or("\"\"").to_owned(),
                };
                let extra = given("extra_content").map(|raw| format!(",\"extra_content\":{raw}"));
                let call = format!(
                    "{{\"id\":{id},\"type\":\"function\",\"function\":{{\"name\":{called},\"arguments\":{arguments}}}{}}}",
                    extra.unwrap_or_default()
                );
                self.turn_at(&place).calls.push(call);
                Ok(())
            }
            Some("function_call_output") => {
                self.end_turn();
                let output = self.content(&place, "output", given("output").unwrap_or("\"\""))?;
                match word("call_id").map(quoted) {
                    Some(id) => self.write("tool", Some(("tool_call_id", &id)), output),
                    // The client's own tool told something that nobody called for.
                    None if word("name").is_some() => self.write("user", None, output),
                    None => {
                        let expected = "the call_id of the function call that it answers";
                        return Err(RequestError::Malformed { place: format!("{place}.call_id"), expected });
                    }
                }
                Ok(())
            }
            Some(kind) if RAN.contains(&kind) => Ok(()),
            Some("message") => Err(no_role(&place)),
            Some(kind) => {
                self.origin.need(place, format!("the item \"{kind}\""));
                Ok(())
            }
            None => {
                let expected = "an item with a type, or a message with a role";
                Err(RequestError::Malformed { place, expected })
            }
        }
    }

    /// A message of anybody.
    fn spoken(&mut self, place: &str, item: &Members<'_>) -> Result<(), RequestError> {
        let role = item.find("role").and_then(json::word).unwrap_or_default();
        let content = item.find("content").filter(|raw| *raw != "null").unwrap_or("\"\"");
        match role.as_ref() {
            "assistant" => self.assistant(place, content),
            "user" | "system" | "developer" => {
                self.end_turn();
                let content = self.content(place, "content", content)?;
                // Few other APIs have developers, and those treat them alike.
                self.write(if role == "user" { "user" } else { "system" }, None, content);
                Ok(())
            }
            _ => Err(no_role(place)),
        }
    }

    fn assistant(&mut self, place: &str, content: &str) -> Result<(), RequestError> {
        self.turn_at(place);
        if content.starts_with('"') {
            self.turn.say(place.to_owned(), content);
            return Ok(());
        }
        for (number, raw) in json::elements(content).into_iter().enumerate() {
            let part = Members::of(raw);
            let place = format!("{place}.content[{number}]");
            match part.find("type").and_then(json::word).as_deref() {
                Some("output_text" | "input_text" | "text") => {
                    self.turn.say(place, part.find("text").unwrap_or_default());
                }
                Some("refusal") => {
                    let refusal = part.find("refusal").and_then(json::word);
                    self.turn.refusal.push_str(&refusal.unwrap_or_default());
                }
                Some(kind) => self.origin.need(place, format!("the part \"{kind}\" of an answer")),
                None => {
                    let expected = "a part of type output_text or refusal";
                    return Err(RequestError::Malformed { place, expected });
                }
            }
        }
        Ok(())
    }

    /// Content in the shapes of chat completions: a text as it is, parts one by one.
    fn content(&mut self, place: &str, name: &str, raw: &str) -> Result<Content, RequestError> {
        match raw.as_bytes().first() {
            Some(b'"') => return Ok(Content::of_text(place, raw)),
            Some(b'[') => {}
            Some(_) | None => {
                let place = format!("{place}.{name}");
                return Err(RequestError::Malformed { place, expected: "a text or a list of parts" });
            }
        }
        let (mut out, mut parts) = (Vec::from(b"["), Vec::new());
        for (number, raw) in json::elements(raw).into_iter().enumerate() {
            let place = format!("{place}.{name}[{number}]");
            let before = out.len();
            if before > 1 {
                out.push(b',');
            }
            if self.part(&place, &Members::of(raw), &mut out)? {
                parts.push(place);
            } else {
                out.truncate(before);
            }
        }
        out.push(b']');
        Ok(Content { raw: text(out), place: Said { place: place.to_owned(), parts } })
    }

    /// Writes a part; false for one that only a provider can read that speaks the API.
    fn part(&mut self, place: &str, part: &Members<'_>, out: &mut Vec<u8>) -> Result<bool, RequestError> {
        let given = |name: &str| part.find(name).filter(|raw| *raw != "null");
        let mut wrap = |kind: &str, inner: &[(&str, Option<&str>)]| {
            out.extend_from_slice(b"{\"type\":");
            json::write_string(kind, out);
            key(kind, out);
            out.push(b'{');
            for (name, value) in inner.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
                key(name, out);
                out.extend_from_slice(value.as_bytes());
            }
            out.extend_from_slice(b"}}");
        };
        let malformed = |expected| Err(RequestError::Malformed { place: place.to_owned(), expected });
        match given("type").and_then(json::word).as_deref() {
            Some("input_text" | "output_text" | "text" | "summary_text") => {
                let Some(text) = given("text").filter(|raw| raw.starts_with('"')) else {
                    return malformed("a part with a text");
                };
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                out.extend_from_slice(text.as_bytes());
                out.push(b'}');
            }
            Some("refusal") => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                out.extend_from_slice(given("refusal").unwrap_or("\"\"").as_bytes());
                out.push(b'}');
            }
            Some("input_image") => match (given("image_url"), given("file_id")) {
                (Some(url), _) if url.starts_with('"') => {
                    wrap("image_url", &[("url", Some(url)), ("detail", given("detail"))]);
                }
                (_, Some(_)) => {
                    self.origin.need(place, "an image by its file_id");
                    return Ok(false);
                }
                (_, _) => return malformed("an image with image_url or file_id"),
            },
            Some("input_file") => {
                let names = ["filename", "file_data", "file_url", "file_id"];
                if names.iter().skip(1).all(|name| given(name).is_none()) {
                    return malformed("a file with file_data, file_url or file_id");
                }
                wrap("file", &names.map(|name| (name, given(name))));
            }
            Some("input_audio") => {
                let inner = given("input_audio").map(Members::of).unwrap_or_default();
                wrap("input_audio", &["data", "format"].map(|name| (name, inner.find(name))));
            }
            Some(kind) => {
                self.origin.need(place, format!("the part \"{kind}\""));
                return Ok(false);
            }
            None => return malformed("a part of type input_text, input_image, input_file or input_audio"),
        }
        Ok(true)
    }

    /// The turn that goes on, or that begins with this item.
    fn turn_at(&mut self, place: &str) -> &mut Turn {
        if !std::mem::replace(&mut self.turn.is_open, true) {
            self.turn.place.place = place.to_owned();
        }
        &mut self.turn
    }

    fn begin(&mut self, role: &str, place: Said) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.origin.places.push(place);
        self.out.extend_from_slice(b"{\"role\":");
        json::write_string(role, &mut self.out);
    }

    fn write(&mut self, role: &str, more: Option<(&str, &str)>, content: Content) {
        self.begin(role, content.place);
        for (name, value) in more.into_iter().chain([("content", content.raw.as_str())]) {
            key(name, &mut self.out);
            self.out.extend_from_slice(value.as_bytes());
        }
        self.out.push(b'}');
    }

    /// Writes what the assistant said.
    fn end_turn(&mut self) {
        let turn = std::mem::take(&mut self.turn);
        if !turn.is_open {
            return;
        }
        self.begin("assistant", turn.place);
        let out = &mut self.out;
        key("content", out);
        match turn.texts.as_slice() {
            [] if turn.calls.is_empty() && turn.refusal.is_empty() => out.extend_from_slice(b"\"\""),
            [] => out.extend_from_slice(b"null"),
            [text] => out.extend_from_slice(text.as_bytes()),
            texts => {
                let parts = texts.iter().map(|text| format!("{{\"type\":\"text\",\"text\":{text}}}"));
                let parts: Vec<String> = parts.collect();
                out.extend_from_slice(format!("[{}]", parts.join(",")).as_bytes());
            }
        }
        for (name, value) in [("refusal", &turn.refusal), ("reasoning_content", &turn.reasoning)] {
            if !value.is_empty() {
                key(name, out);
                json::write_string(value, out);
            }
        }
        for (name, list) in [("reasoning_details", &turn.details), ("tool_calls", &turn.calls)] {
            if !list.is_empty() {
                key(name, out);
                out.extend_from_slice(format!("[{}]", list.join(",")).as_bytes());
            }
        }
        out.push(b'}');
    }
}

impl Turn {
    /// A text that says something: JSON text.
    fn say(&mut self, place: String, raw: &str) {
        if json::word(raw).is_some() {
            self.texts.push(quoted(raw));
            self.place.parts.push(place);
        }
    }

    /// Reasoning that comes back.
    fn think(&mut self, item: &Members<'_>) {
        let word = item.find("encrypted_content").and_then(json::word);
        if let Some((_, details)) = word.as_deref().and_then(sealed::open) {
            self.details.extend(json::elements(&details).into_iter().map(str::to_owned));
            return;
        }
        // Packed by us, but damaged: nobody can read it.
        let word = word.filter(|word| !sealed::is_sealed(word));
        let parts = |name: &str| item.find(name).map(json::elements).unwrap_or_default();
        let lists = [("summary", "summary"), ("content", "text")];
        let texts = lists.map(|(list, kind)| {
            let texts = parts(list).into_iter().filter_map(|raw| Members::of(raw).find("text"));
            (kind, texts.filter(|raw| json::word(raw).is_some()).collect::<Vec<_>>())
        });
        let Some(word) = word else {
            let texts = texts.iter().flat_map(|(_, texts)| texts).filter_map(|raw| json::word(raw));
            return texts.for_each(|text| self.reasoning.push_str(&text));
        };
        let pieces = texts.iter().flat_map(|(kind, texts)| texts.iter().map(move |text| (*kind, *text)));
        for (kind, text) in pieces {
            self.detail(kind, kind, text, item.find("id"));
        }
        let mut data = Vec::new();
        json::write_string(&word, &mut data);
        self.detail("encrypted", "data", &text(data), item.find("id"));
    }

    fn detail(&mut self, kind: &str, member: &str, value: &str, id: Option<&str>) {
        let id = id.map(|id| format!(",\"id\":{id}")).unwrap_or_default();
        let index = self.details.len();
        self.details.push(format!(
            "{{\"type\":\"reasoning.{kind}\",\"{member}\":{value},\"format\":\"openai-responses-v1\"{id},\"index\":{index}}}"
        ));
    }
}

/// The JSON string of a text.
fn string(text: &str) -> String {
    let mut out = Vec::new();
    json::write_string(text, &mut out);
    super::text(out)
}

/// A scalar as a JSON string: some clients number their calls.
fn quoted(raw: &str) -> String {
    if raw.starts_with('"') { raw.to_owned() } else { string(raw) }
}

fn no_role(place: &str) -> RequestError {
    let expected = "one of user, assistant, system, developer";
    RequestError::Malformed { place: format!("{place}.role"), expected }
}
