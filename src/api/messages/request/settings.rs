//! Everything beside the messages: limits, tools, reasoning, the form of the answer.

use super::{field, given, kind, malformed, member, object, text_member};
use crate::chat::{Origin, RequestError};
use crate::json::{self, Field, Members};

/// The longest name of a user that OpenAI takes.
const USER_AT_MOST: usize = 64;
/// Fields that are translated, needed, or read elsewhere.
const KNOWN: &[&str] = &[
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "service_tier",
    "mcp_servers",
    "container",
];

/// Reads the settings into the fields of a chat. What no provider of another API can have, and what is left out, is
/// noted.
pub(super) fn read(
    members: &Members<'_>,
    fields: &mut Vec<Field<'static>>,
    origin: &mut Origin,
) -> Result<(), RequestError> {
    if let Some(raw) = given(members, "max_tokens") {
        let count = json::count(raw).filter(|&count| count > 0);
        let count = count.ok_or(RequestError::WrongType("max_tokens", "a positive integer"))?;
        fields.push(field("max_tokens", count.to_string().into_bytes()));
    }
    for name in ["temperature", "top_p", "top_k"] {
        if let Some(raw) = given(members, name) {
            if raw.parse::<f64>().is_err() {
                return Err(RequestError::WrongType(name, "a number"));
            }
            fields.push(field(name, raw.into()));
        }
    }
    if let Some(raw) = given(members, "stop_sequences") {
        let texts = json::elements(raw);
        if !raw.starts_with('[') || texts.iter().any(|raw| !raw.starts_with('"')) {
            return Err(RequestError::WrongType("stop_sequences", "a list of strings"));
        }
        if !texts.is_empty() {
            fields.push(field("stop", raw.into()));
        }
    }
    tools(members, fields, origin)?;
    reasoning(members, fields)?;
    format(members, fields)?;
    let others = origin.fields.iter().filter(|field| !KNOWN.contains(&field.name.as_ref()));
    let mut left_out: Vec<String> =
        others.filter(|field| !field.says_nothing()).map(|field| field.name.to_string()).collect();
    let user = object(members, "metadata").find("user_id").and_then(json::string);
    match user.filter(|user| !user.is_empty()) {
        Some(user) if user.len() <= USER_AT_MOST => {
            let mut out = Vec::new();
            json::write_string(&user, &mut out);
            fields.push(field("user", out));
        }
        Some(_) => left_out.push("metadata.user_id".to_owned()),
        None => {}
    }
    match given(members, "service_tier") {
        Some("\"standard_only\"") => fields.push(field("service_tier", b"\"default\"".to_vec())),
        None | Some("\"auto\"") => {}
        Some(_) => left_out.push("service_tier".to_owned()),
    }
    origin.left_out = left_out;
    for (name, what) in [("mcp_servers", "MCP servers"), ("container", "a container")] {
        if members.find(name).is_some_and(|raw| !json::says_nothing(raw)) {
            origin.need(name, what);
        }
    }
    Ok(())
}

fn tools(
    members: &Members<'_>,
    fields: &mut Vec<Field<'static>>,
    origin: &mut Origin,
) -> Result<(), RequestError> {
    let Some(raw) = given(members, "tools") else { return Ok(()) };
    if !raw.starts_with('[') {
        return Err(RequestError::WrongType("tools", "a list of tools"));
    }
    let mut out = Vec::new();
    for (at, raw) in json::elements(raw).into_iter().enumerate() {
        let tool = Members::of(raw);
        match kind(&tool).as_ref() {
            "" | "custom" => {
                out.push(if out.is_empty() { b'[' } else { b',' });
                function(&tool, at, &mut out)?;
            }
            kind => origin.need(format!("tools[{at}]"), format!("the hosted tool \"{kind}\"")),
        }
    }
    if !out.is_empty() {
        out.push(b']');
        fields.push(field("tools", out));
        choice(members, fields)?;
    }
    Ok(())
}

fn function(tool: &Members<'_>, at: usize, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let name = tool.find("name").filter(|raw| raw.starts_with('"') && *raw != "\"\"");
    let name = name.ok_or_else(|| malformed(format!("tools[{at}].name"), "a string"))?;
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":{");
    member("name", name, out);
    if let Some(description) = tool.find("description").filter(|raw| raw.starts_with('"')) {
        member("description", description, out);
    }
    let schema = given(tool, "input_schema").unwrap_or("{\"type\":\"object\",\"properties\":{}}");
    if !schema.starts_with('{') {
        return Err(malformed(format!("tools[{at}].input_schema"), "a JSON schema"));
    }
    member("parameters", schema, out);
    if given(tool, "strict") == Some("true") {
        member("strict", "true", out);
    }
    out.push(b'}');
    if let Some(marker) = marker(tool) {
        member("cache_control", marker, out);
    }
    out.push(b'}');
    Ok(())
}

/// The marker of a block or a tool.
pub(super) fn marker<'a>(members: &Members<'a>) -> Option<&'a str> {
    members.find("cache_control").filter(|raw| raw.starts_with('{'))
}

fn choice(members: &Members<'_>, fields: &mut Vec<Field<'static>>) -> Result<(), RequestError> {
    let Some(raw) = given(members, "tool_choice") else { return Ok(()) };
    let choice = Members::of(raw);
    let value = match kind(&choice).as_ref() {
        "auto" => b"\"auto\"".to_vec(),
        "any" => b"\"required\"".to_vec(),
        "none" => b"\"none\"".to_vec(),
        "tool" => {
            let name = choice.find("name").and_then(json::word);
            let name = name.ok_or_else(|| malformed("tool_choice.name", "the name of a tool"))?;
            let mut out = Vec::from(b"{\"type\":\"function\",\"function\":{");
            text_member("name", &name, &mut out);
            out.extend_from_slice(b"}}");
            out
        }
        _ => return Err(malformed("tool_choice.type", "one of auto, any, tool, none")),
    };
    fields.push(field("tool_choice", value));
    if given(&choice, "disable_parallel_tool_use") == Some("true") {
        fields.push(field("parallel_tool_calls", b"false".to_vec()));
    }
    Ok(())
}

/// `thinking` and the effort, as `reasoning`.
fn reasoning(members: &Members<'_>, fields: &mut Vec<Field<'static>>) -> Result<(), RequestError> {
    let thinking = object(members, "thinking");
    let effort = given(&object(members, "output_config"), "effort");
    let mut out = Vec::from(b"{");
    match kind(&thinking).as_ref() {
        "disabled" => member("enabled", "false", &mut out),
        "enabled" => {
            let budget = thinking.find("budget_tokens").and_then(json::count).filter(|&tokens| tokens > 0);
            let budget = budget.ok_or_else(|| malformed("thinking.budget_tokens", "a positive integer"))?;
            member("max_tokens", &budget.to_string(), &mut out);
        }
        "adaptive" => {
            member("enabled", "true", &mut out);
            effort.into_iter().for_each(|effort| member("effort", effort, &mut out));
        }
        "" if given(members, "thinking").is_none() => match effort {
            Some(effort) => member("effort", effort, &mut out),
            None => return Ok(()),
        },
        _ => return Err(malformed("thinking.type", "one of enabled, adaptive, disabled")),
    }
    if effort
        .is_some_and(|raw| json::word(raw).as_deref().and_then(crate::chat::settings::Effort::of).is_none())
    {
        return Err(malformed("output_config.effort", "one of low, medium, high, xhigh, max"));
    }
    out.push(b'}');
    fields.push(field("reasoning", out));
    Ok(())
}

fn format(members: &Members<'_>, fields: &mut Vec<Field<'static>>) -> Result<(), RequestError> {
    let config = object(members, "output_config");
    let Some(raw) = given(&config, "format").or_else(|| given(members, "output_format")) else {
        return Ok(());
    };
    let format = Members::of(raw);
    let schema = format.find("schema").filter(|raw| raw.starts_with('{'));
    let schema = schema.filter(|_| kind(&format) == "json_schema");
    let schema =
        schema.ok_or_else(|| malformed("output_config.format", "of type json_schema with a schema"))?;
    let mut out =
        Vec::from(b"{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true");
    member("schema", schema, &mut out);
    out.extend_from_slice(b"}}");
    fields.push(field("response_format", out));
    Ok(())
}
