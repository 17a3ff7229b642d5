//! The items of a request become messages.
//!
//! | item | becomes |
//! |---|---|
//! | a text; `message` of user, system, developer | a message; its parts in the shapes of chat completions |
//! | `message` of the assistant, `reasoning`, `function_call`, in a row | one message of the assistant: content, refusal, `reasoning_details`, `tool_calls` |
//! | `reasoning` | what was packed as it was; OpenAI's own as `reasoning.summary`, `.text`, `.encrypted`; text alone as `reasoning_content` |
//! | `function_call_output` | a tool's message, with text or parts; of one that has a name and answers no call, the user's |
//! | `custom_tool_call`, its output, outputs of hosted tools that the client runs, `item_reference`, compacted items, files and images by id | needs: only a provider that speaks this API knows them |
//! | calls of hosted tools that the provider ran | nothing: what came of them is in the text |

use super::request::flat;
use super::{key, text};
use crate::chat::{Need, Origin, RequestError, sealed};
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
    if let Some(raw) = instructions {
        reader.instructions(raw)?;
    }
    match input.unwrap_or("null") {
        raw if raw.starts_with('"') => reader.message("user", None, raw, 0),
        raw if raw.starts_with('[') => {
            for (at, raw) in json::elements(raw).into_iter().enumerate() {
                reader.item(at, raw)?;
            }
        }
        "null" => {}
        _ => return Err(RequestError::WrongType("input", "a text or a list of items")),
    }
    reader.end_turn();
    let has_context = !reader.origin.needs.is_empty() || reader.origin.previous.is_some();
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

/// Items of the assistant's in a row.
#[derive(Debug, Default)]
struct Turn {
    /// The first of them.
    at: usize,
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
    /// Instructions are a text; templates may make them a list of messages.
    fn instructions(&mut self, raw: &str) -> Result<(), RequestError> {
        if raw.starts_with('"') {
            if json::word(raw).is_some() {
                self.write("system", None, raw, None);
            }
            return Ok(());
        }
        Err(RequestError::WrongType("instructions", "a text"))
    }

    fn item(&mut self, at: usize, raw: &str) -> Result<(), RequestError> {
        self.said = true;
        let item = Members::of(raw);
        let kind = item.find("type").and_then(json::word);
        let place = || format!("input[{at}]");
        match kind.as_deref() {
            Some("message") | None if item.find("role").is_some() => self.spoken(at, &item),
            Some("reasoning") => {
                self.turn_at(at).think(&item);
                Ok(())
            }
            Some("function_call") => {
                let (id, name) = (item.find("call_id").or(item.find("id")), item.find("name"));
                let (Some(id), Some(name)) = (id, name) else {
                    let expected = "a function call with call_id, name and arguments";
                    return Err(RequestError::Malformed { place: place(), expected });
                };
                let arguments = item.find("arguments").unwrap_or("\"\"");
                let mut called = name.to_owned();
                if let Some(namespace) = item.find("namespace").and_then(json::word) {
                    let name = json::word(name).unwrap_or_default();
                    let mut quoted = Vec::new();
                    json::write_string(&flat(&namespace, &name), &mut quoted);
                    called = text(quoted);
                }
                let extra = item.find("extra_content").map(|raw| format!(",\"extra_content\":{raw}"));
                let call = format!(
                    "{{\"id\":{id},\"type\":\"function\",\"function\":{{\"name\":{called},\"arguments\":{arguments}}}{}}}",
                    extra.unwrap_or_default()
                );
                self.turn_at(at).calls.push(call);
                Ok(())
            }
            Some("function_call_output") => {
                self.end_turn();
                let output = item.find("output").unwrap_or("\"\"");
                let Some(id) = item.find("call_id").filter(|raw| json::word(raw).is_some()) else {
                    // The client's own tool told something that nobody called for.
                    if item.find("name").is_some() {
                        let output = self.content(at, "output", output)?;
                        self.write("user", None, &output, Some(at));
                        return Ok(());
                    }
                    let expected = "the call_id of the function call that it answers";
                    return Err(RequestError::Malformed { place: format!("input[{at}].call_id"), expected });
                };
                let output = self.content(at, "output", output)?;
                self.write("tool", Some(("tool_call_id", id)), &output, Some(at));
                Ok(())
            }
            Some(kind) if RAN.contains(&kind) => Ok(()),
            Some("message") => Err(RequestError::Malformed {
                place: format!("input[{at}].role"),
                expected: "one of user, assistant, system, developer",
            }),
            Some(kind) => {
                let what = format!("the item \"{kind}\"");
                self.origin.needs.push(Need { place: place(), what });
                Ok(())
            }
            None => {
                let expected = "an item with a type, or a message with a role";
                Err(RequestError::Malformed { place: place(), expected })
            }
        }
    }

    /// A message of anybody.
    fn spoken(&mut self, at: usize, item: &Members<'_>) -> Result<(), RequestError> {
        let role = item.find("role").and_then(json::word).unwrap_or_default();
        let content = item.find("content").unwrap_or("\"\"");
        match role.as_ref() {
            "assistant" => {
                self.turn_at(at);
                self.assistant(at, content)
            }
            "user" | "system" | "developer" => {
                self.end_turn();
                let content = self.content(at, "content", content)?;
                self.write(&role, None, &content, Some(at));
                Ok(())
            }
            _ => Err(RequestError::Malformed {
                place: format!("input[{at}].role"),
                expected: "one of user, assistant, system, developer",
            }),
        }
    }

    fn assistant(&mut self, at: usize, content: &str) -> Result<(), RequestError> {
        if content.starts_with('"') {
            self.turn.texts.extend(json::word(content).map(|_| content.to_owned()));
            return Ok(());
        }
        for (number, raw) in json::elements(content).into_iter().enumerate() {
            let part = Members::of(raw);
            match part.find("type").and_then(json::word).as_deref() {
                Some("output_text" | "input_text" | "text") => {
                    let text = part.find("text").filter(|raw| json::word(raw).is_some());
                    self.turn.texts.extend(text.map(str::to_owned));
                }
                Some("refusal") => {
                    let refusal = part.find("refusal").and_then(json::word);
                    self.turn.refusal.push_str(&refusal.unwrap_or_default());
                }
                Some(_) | None => {
                    let place = format!("input[{at}].content[{number}]");
                    let expected = "a part of type output_text or refusal";
                    return Err(RequestError::Malformed { place, expected });
                }
            }
        }
        Ok(())
    }

    /// Content in the shapes of chat completions: a text as it is, parts one by one.
    fn content(&mut self, at: usize, name: &str, raw: &str) -> Result<String, RequestError> {
        match raw.as_bytes().first() {
            Some(b'"') => return Ok(raw.to_owned()),
            Some(b'[') => {}
            Some(_) | None => {
                let place = format!("input[{at}].{name}");
                return Err(RequestError::Malformed { place, expected: "a text or a list of parts" });
            }
        }
        let mut out = Vec::from(b"[");
        for (number, raw) in json::elements(raw).into_iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let place = format!("input[{at}].{name}[{number}]");
            self.part(&place, &Members::of(raw), &mut out)?;
        }
        out.push(b']');
        Ok(text(out))
    }

    fn part(&mut self, place: &str, part: &Members<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
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
                let Some(text) = given("text") else { return malformed("a part with a text") };
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
                    wrap("image_url", &[("url", Some("\"\""))]);
                    let what = "an image by its file_id".to_owned();
                    self.origin.needs.push(Need { place: place.to_owned(), what });
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
            Some(_) | None => {
                return malformed("a part of type input_text, input_image, input_file or input_audio");
            }
        }
        Ok(())
    }

    fn message(&mut self, role: &str, more: Option<(&str, &str)>, content: &str, at: usize) {
        self.said = true;
        self.write(role, more, content, Some(at));
    }

    /// The turn that goes on, or that begins with this item.
    fn turn_at(&mut self, at: usize) -> &mut Turn {
        if !std::mem::replace(&mut self.turn.is_open, true) {
            self.turn.at = at;
        }
        &mut self.turn
    }

    fn begin(&mut self, role: &str, at: Option<usize>) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.origin.places.push(at);
        self.out.extend_from_slice(b"{\"role\":");
        json::write_string(role, &mut self.out);
    }

    fn write(&mut self, role: &str, more: Option<(&str, &str)>, content: &str, at: Option<usize>) {
        self.begin(role, at);
        for (name, value) in more.into_iter().chain([("content", content)]) {
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
        self.begin("assistant", Some(turn.at));
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
    /// Reasoning that comes back.
    fn think(&mut self, item: &Members<'_>) {
        let word = item.find("encrypted_content").and_then(json::word);
        if let Some(details) = word.as_deref().and_then(sealed::open) {
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
