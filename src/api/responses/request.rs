//! A request of the Responses API becomes a chat.
//!
//! | field | becomes |
//! |---|---|
//! | `instructions` | a system message in front |
//! | `input` | messages: see `input` |
//! | `text.format`, `text.verbosity` | `response_format`, `verbosity` |
//! | `reasoning.effort` | `reasoning_effort` |
//! | `max_output_tokens` | `max_tokens` |
//! | `tools`, `tool_choice`, `parallel_tool_calls` | functions and their choice, in the wrapper of chat completions; those of a `namespace` under a name that tells it, and their calls have the client's names again; without functions nothing |
//! | `include` with `message.output_text.logprobs`, `top_logprobs` | `logprobs`, `top_logprobs` |
//! | `temperature`, `top_p`, `service_tier`, `user`, `safety_identifier` and what nobody knows | the same |
//! | `metadata`, `store`, `truncation`, `include`, `prompt_cache_key`, `max_tool_calls`, `context_management`, `client_metadata`, `reasoning.summary` | nothing: they are heeded here, or by providers that speak this API, and named otherwise |
//! | hosted tools and tools that take free text, `conversation`, `prompt`, `previous_response_id` of an answer that is not kept here | needs: only a provider that speaks this API can have them |
//! | `background` | an error |

use std::borrow::Cow;
use std::sync::Arc;

use super::{input, key, text};
use crate::chat::{self, Chat, Origin, RequestError, Tongue};
use crate::json::{self, Field, Members};

/// Fields that are translated, or that have no meaning elsewhere.
const KNOWN: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "provider_options",
    "input",
    "instructions",
    "text",
    "reasoning",
    "max_output_tokens",
    "max_tool_calls",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include",
    "metadata",
    "store",
    "truncation",
    "prompt_cache_key",
    "prompt_cache_retention",
    "context_management",
    "client_metadata",
    "conversation",
    "prompt",
    "previous_response_id",
    "background",
    "top_logprobs",
];
/// Of those, the ones that are named where they are not heeded.
const LEFT_OUT: &[&str] = &[
    "max_tool_calls",
    "metadata",
    "truncation",
    "prompt_cache_key",
    "prompt_cache_retention",
    "context_management",
    "client_metadata",
];

const INPUT_HINT: &str = "Send a text, or a list such as [{\"role\": \"user\", \"content\": \"Hello\"}].";

/// Reads a request.
pub(super) fn read(request: &Members<'_>) -> Result<Chat, RequestError> {
    let stream = chat::stream(request)?;
    let model = chat::model(request)?;
    let given = |name: &str| request.find(name).filter(|raw| *raw != "null");
    if given("background").is_some_and(|raw| raw != "false") {
        let why = "answers are given at once. Leave background out, and ask for a stream.";
        return Err(RequestError::unsupported("background", why));
    }
    let mut origin = Origin::new(Tongue::Responses, request);
    for (name, what) in [("conversation", "a stored conversation"), ("prompt", "a stored prompt")] {
        if given(name).is_some() {
            origin.need(name, what);
        }
    }
    let mut fields = Vec::new();
    let mut add = |name: &'static str, value: String| {
        fields.push(Field { name: Cow::Borrowed(name), value: Cow::Owned(value) });
    };
    let messages = input::messages(given("instructions"), given("input"), &mut origin)?;
    let Some(messages) = messages else {
        return Err(match (given("input"), given("prompt")) {
            (None, None) => RequestError::Missing("input", INPUT_HINT),
            (_, _) => RequestError::WrongType("input", "a text, or a list with at least one item"),
        });
    };
    add("messages", messages);
    let choice = given("tool_choice").and_then(|raw| tool_choice(raw, &mut origin));
    // Where there are no functions, most providers refuse to be told how to call them.
    if let Some(tools) = tools(given("tools"), &mut origin)? {
        add("tools", tools);
        for (name, value) in [
            ("tool_choice", choice),
            ("parallel_tool_calls", given("parallel_tool_calls").map(str::to_owned)),
        ] {
            value.into_iter().for_each(|value| add(name, value));
        }
    }
    if let Some(raw) = given("max_output_tokens") {
        add("max_tokens", raw.to_owned());
    }
    if let Some(raw) = given("text") {
        let members = Members::of(raw);
        if let Some(format) = members.find("format").filter(|raw| *raw != "null") {
            add("response_format", response_format(format)?);
        }
        if let Some(verbosity) = members.find("verbosity").filter(|raw| *raw != "null") {
            add("verbosity", verbosity.to_owned());
        }
    }
    let effort = given("reasoning").map(Members::of).and_then(|reasoning| reasoning.find("effort"));
    if let Some(effort) = effort.filter(|raw| *raw != "null") {
        add("reasoning_effort", effort.to_owned());
    }
    let includes = |what: &str| {
        let list = given("include").map(json::elements).unwrap_or_default();
        list.into_iter().filter_map(json::string).any(|word| word == what)
    };
    let top = given("top_logprobs").filter(|raw| *raw != "0");
    if top.is_some() || includes("message.output_text.logprobs") {
        add("logprobs", "true".to_owned());
    }
    if let Some(top) = top {
        add("top_logprobs", top.to_owned());
    }
    let left_out =
        |name: &&&str| given(name).is_some_and(|raw| !json::says_nothing(raw) && raw != "\"disabled\"");
    origin.left_out = LEFT_OUT.iter().filter(left_out).map(|name| (*name).to_owned()).collect();
    let is_new = |field: &&Field<'_>| {
        !KNOWN.contains(&field.name.as_ref()) && !fields.iter().any(|known| known.name == field.name)
    };
    let others: Vec<_> =
        origin.fields.iter().filter(is_new).filter(|field| field.value != "null").cloned().collect();
    fields.extend(others);
    Ok(Chat {
        model,
        stream,
        include_usage: true,
        stream_options: None,
        provider_options: crate::chat::provider_options(request),
        fields,
        is_completion: false,
        origin: Some(Arc::new(origin)),
    })
}

/// Functions get their wrapper; everything else is noted.
fn tools(raw: Option<&str>, origin: &mut Origin) -> Result<Option<String>, RequestError> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.starts_with('[') {
        return Err(RequestError::WrongType("tools", "a list of tools"));
    }
    let mut out = Vec::from(b"[");
    for (at, raw) in json::elements(raw).into_iter().enumerate() {
        let tool = Members::of(raw);
        let kind = tool.find("type").and_then(json::word).unwrap_or_default();
        let place = format!("tools[{at}]");
        match kind.as_ref() {
            "function" => write_function(&tool, None, place, &mut out)?,
            "namespace" => {
                let name = tool.find("name").and_then(json::word).unwrap_or_default();
                for (number, raw) in
                    json::elements(tool.find("tools").unwrap_or("[]")).into_iter().enumerate()
                {
                    let inner = Members::of(raw);
                    let place = format!("{place}.tools[{number}]");
                    match inner.find("type").and_then(json::word).as_deref() {
                        Some("function") => write_function(&inner, Some(&name), place, &mut out)?,
                        kind => {
                            let kind = kind.unwrap_or_default();
                            origin.need(place, format!("the hosted tool \"{kind}\""));
                        }
                    }
                }
            }
            "" => return Err(RequestError::Malformed { place, expected: "a tool with a type" }),
            "custom" => {
                let name = tool.find("name").and_then(json::word).unwrap_or_default();
                origin.need(place, format!("the tool \"{name}\" that takes free text (\"custom\")"));
            }
            kind => origin.need(place, format!("the hosted tool \"{kind}\"")),
        }
    }
    out.push(b']');
    Ok((out.len() > 2).then(|| text(out)))
}

/// Appends a function in its wrapper, in a list.
fn write_function(
    tool: &Members<'_>,
    namespace: Option<&str>,
    place: String,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let name = tool.find("name").and_then(json::word);
    let wrapped = tool.find("function").filter(|raw| raw.starts_with('{'));
    if name.is_none() && wrapped.is_none() {
        return Err(RequestError::Malformed { place, expected: "a function with a name" });
    }
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":");
    if let Some(inner) = wrapped {
        out.extend_from_slice(inner.as_bytes());
    } else {
        out.push(b'{');
        for (member, value) in tool.0.iter().filter(|(name, raw)| name != "type" && *raw != "null") {
            key(member, out);
            match (namespace, &name) {
                (Some(namespace), Some(name)) if member == "name" => {
                    json::write_string(&flat(namespace, name), out);
                }
                (_, _) => out.extend_from_slice(value.as_bytes()),
            }
        }
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

/// The name of a function of a namespace, where there are no namespaces.
pub(super) fn flat(namespace: &str, name: &str) -> String {
    format!("{namespace}__{name}")
}

/// A function of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spaced {
    /// Its name where there are no namespaces.
    pub(super) flat: String,
    /// The namespace's name.
    pub(super) namespace: String,
    /// The client's name for it.
    pub(super) name: String,
}

/// The functions of all namespaces.
pub(super) fn spaced(request: &Members<'_>) -> Vec<Spaced> {
    let mut all = Vec::new();
    for raw in json::elements(request.find("tools").unwrap_or("[]")) {
        let tool = Members::of(raw);
        if tool.find("type") != Some("\"namespace\"") {
            continue;
        }
        let namespace = tool.find("name").and_then(json::word).unwrap_or_default();
        let inner = json::elements(tool.find("tools").unwrap_or("[]")).into_iter();
        all.extend(inner.filter_map(|raw| {
            let name = Members::of(raw).find("name").and_then(json::word)?.into_owned();
            Some(Spaced { flat: flat(&namespace, &name), namespace: namespace.clone().into_owned(), name })
        }));
    }
    all
}

/// A function gets its wrapper; a hosted tool is noted.
fn tool_choice(raw: &str, origin: &mut Origin) -> Option<String> {
    let members = Members::of(raw);
    let kind = members.find("type").and_then(json::word).unwrap_or_default();
    let named = |members: &Members<'_>| {
        let name = members.find("name")?;
        Some(format!("{{\"type\":\"function\",\"function\":{{\"name\":{name}}}}}"))
    };
    match kind.as_ref() {
        "" => Some(raw.to_owned()), // A word, or what the reader of choices refuses.
        "function" => Some(named(&members).unwrap_or_else(|| raw.to_owned())),
        "allowed_tools" => {
            let tools = json::elements(members.find("tools").unwrap_or("[]"));
            let names: Vec<String> = tools.into_iter().filter_map(|raw| named(&Members::of(raw))).collect();
            let mode = members.find("mode").unwrap_or("\"auto\"");
            let names = names.join(",");
            Some(format!(
                "{{\"type\":\"allowed_tools\",\"allowed_tools\":{{\"mode\":{mode},\"tools\":[{names}]}}}}"
            ))
        }
        kind => {
            origin.need("tool_choice", format!("the hosted tool \"{kind}\""));
            None
        }
    }
}

fn response_format(raw: &str) -> Result<String, RequestError> {
    let format = Members::of(raw);
    match format.find("type").and_then(json::word).as_deref() {
        Some("text" | "json_object") => Ok(raw.to_owned()),
        Some("json_schema") if format.find("schema").is_some_and(|raw| raw.starts_with('{')) => {
            let mut out = Vec::from(b"{\"type\":\"json_schema\",\"json_schema\":{");
            for (name, value) in format.0.iter().filter(|(name, raw)| name != "type" && *raw != "null") {
                key(name, &mut out);
                out.extend_from_slice(value.as_bytes());
            }
            out.extend_from_slice(b"}}");
            Ok(text(out))
        }
        Some(_) | None => {
            let expected = "of type text, json_object or json_schema with a schema";
            Err(RequestError::Malformed { place: "text.format".to_owned(), expected })
        }
    }
}
