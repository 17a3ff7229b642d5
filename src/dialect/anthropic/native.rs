//! A request in the API's own words goes on as it came, but for what other providers left in its conversation.

use std::borrow::Cow;

use http::HeaderName;

use super::request::{tool_id, versioned};
use super::{Anthropic, Host, family};
use crate::chat::native::{Native, SEALED};
use crate::chat::{Chat, RequestError};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Members};

/// Fields that counting takes.
const COUNTED: [&str; 6] = ["messages", "system", "tools", "tool_choice", "thinking", "mcp_servers"];

/// Builds the request, without keys.
pub(super) fn request(
    dialect: &Anthropic,
    target: &Target<'_>,
    chat: &Chat,
    native: &Native,
) -> Result<Outgoing, RequestError> {
    let path = format!("{}:streamRawPredict", target.model);
    let (url, mut body) = match dialect.host {
        Host::Direct => (target.url(["messages"]), begin_with_model(target.model)),
        Host::Vertex => {
            (target.url([path.as_str()]), Vec::from(b"{\"anthropic_version\":\"vertex-2023-10-16\""))
        }
    };
    body.extend_from_slice(b",\"stream\":true");
    if native.given("max_tokens").is_none() {
        member("max_tokens", &family::of(target.model).max_tokens.to_string(), &mut body);
    }
    let healed = heal(native.given("messages").unwrap_or("[]"));
    let loses_thoughts = healed.lost && is_budget(native.given("thinking"));
    for field in &native.fields {
        match field.name.as_ref() {
            "messages" => member("messages", &healed.messages, &mut body),
            "thinking" if loses_thoughts => {}
            name => member(name, &field.value, &mut body),
        }
    }
    body.push(b'}');
    let dropped = if loses_thoughts { vec!["thinking".to_owned()] } else { Vec::new() };
    let outgoing = Outgoing::post(&url, chat.with_options(target.provider, body)).without(dropped);
    Ok(match dialect.host {
        Host::Direct => versioned(outgoing),
        Host::Vertex => outgoing,
    })
}

/// Asks how many tokens the request has.
pub(super) fn count_tokens(target: &Target<'_>, native: &Native) -> Outgoing {
    let mut body = begin_with_model(target.model);
    for field in native.fields.iter().filter(|field| COUNTED.contains(&field.name.as_ref())) {
        match field.name.as_ref() {
            "messages" => member("messages", &heal(&field.value).messages, &mut body),
            name => member(name, &field.value, &mut body),
        }
    }
    body.push(b'}');
    let outgoing = versioned(Outgoing::post(&target.url(["messages", "count_tokens"]), body));
    outgoing.header(HeaderName::from_static("accept"), "application/json")
}

fn begin_with_model(model: &str) -> Vec<u8> {
    let mut body = Vec::from(b"{\"model\":");
    json::write_string(model, &mut body);
    body
}

fn member(name: &str, raw: &str, out: &mut Vec<u8>) {
    out.push(b',');
    json::write_string(name, out);
    out.push(b':');
    out.extend_from_slice(raw.as_bytes());
}

/// True if the model is to think within a budget: then a turn that goes on after a tool call must begin with its
/// thought.
fn is_budget(thinking: Option<&str>) -> bool {
    let kind = thinking.map(Members::of).and_then(|thinking| thinking.find("type").and_then(json::word));
    kind.as_deref() == Some("enabled")
}

/// The conversation as the API takes it.
struct Healed<'a> {
    messages: Cow<'a, str>,
    /// The turn that goes on lost its thought.
    lost: bool,
}

/// Leaves out reasoning that the API did not sign and empty text, both of which it refuses, and gives ids of
/// other providers the characters that it takes. What is well stays byte for byte.
fn heal(raw: &str) -> Healed<'_> {
    let messages = json::elements(raw);
    let healed: Vec<Option<Vec<u8>>> = messages.iter().map(|raw| heal_message(raw)).collect();
    if healed.iter().all(Option::is_none) {
        return Healed { messages: Cow::Borrowed(raw), lost: false };
    }
    let mut out = Vec::from(b"[");
    for (raw, healed) in messages.iter().zip(&healed) {
        let text = healed.as_deref().unwrap_or(raw.as_bytes());
        if text.is_empty() {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(text);
    }
    out.push(b']');
    let goes_on = messages.last().is_some_and(|raw| raw.contains("\"tool_result\""));
    let last = messages.iter().zip(&healed).rev().find(|(raw, _)| is_assistant(&Members::of(raw)));
    let lost = last.is_some_and(|(raw, healed)| {
        let now = healed.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        goes_on && healed.is_some() && raw.contains("thinking\"") && !now.contains("thinking\"")
    });
    Healed { messages: Cow::Owned(String::from_utf8_lossy(&out).into_owned()), lost }
}

fn is_assistant(message: &Members<'_>) -> bool {
    message.find("role") == Some("\"assistant\"")
}

/// The message with what is to be changed; `None` if nothing is, empty if nothing is left.
fn heal_message(raw: &str) -> Option<Vec<u8>> {
    let message = Members::of(raw);
    let content = message.find("content").filter(|content| content.starts_with('['))?;
    let blocks = json::elements(content);
    let healed: Vec<Cow<'_, str>> = blocks.iter().filter_map(|raw| heal_block(raw)).collect();
    let is_well =
        healed.len() == blocks.len() && healed.iter().all(|block| matches!(block, Cow::Borrowed(_)));
    if is_well {
        return None;
    }
    if healed.is_empty() {
        return Some(Vec::new());
    }
    let content = format!("[{}]", healed.join(","));
    let mut out = Vec::from(b"{");
    for (at, (name, value)) in message.0.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        out.extend_from_slice(if name == "content" { content.as_bytes() } else { value.as_bytes() });
    }
    out.push(b'}');
    Some(out)
}

/// The block as the API takes it, if it does.
fn heal_block(raw: &str) -> Option<Cow<'_, str>> {
    let block = Members::of(raw);
    let word = |name: &str| block.find(name).and_then(json::word);
    let foreign = |name: &str| word(name).is_none_or(|text| text.starts_with(SEALED));
    let name = match word("type").as_deref() {
        Some("thinking") if foreign("signature") => return None,
        Some("redacted_thinking") if foreign("data") => return None,
        Some("text") if block.find("text") == Some("\"\"") => return None,
        Some("tool_use") => "id",
        Some("tool_result") => "tool_use_id",
        Some(_) | None => return Some(Cow::Borrowed(raw)),
    };
    let id = word(name).unwrap_or_default();
    let Cow::Owned(id) = tool_id(&id) else { return Some(Cow::Borrowed(raw)) };
    let mut over = Vec::from(b"{");
    json::write_string(name, &mut over);
    over.push(b':');
    json::write_string(&id, &mut over);
    over.push(b'}');
    let mut out = Vec::new();
    json::write_merged(raw, &String::from_utf8_lossy(&over), &mut out);
    Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_of_the_apis_own_stays_byte_for_byte() {
        let raw = r#"[ {"role":"user","content":"a"},{"role" : "assistant","content":[{"type":"thinking","thinking":"","signature":"Eq="},{"type":"tool_use","id":"toolu_1","name":"f","input":{ }}]}]"#;
        assert!(matches!(heal(raw), Healed { messages: Cow::Borrowed(same), lost: false } if same == raw));
    }

    #[test]
    fn what_others_left_is_left_out() {
        let raw = r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"thinking","thinking":"t","signature":"millpond.reasoning:e30="},{"type":"redacted_thinking","data":"millpond.part:e30="},{"type":"text","text":""},{"type":"tool_use","id":"functions.f:0","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.f:0","content":"r"}]},{"role":"assistant","content":[{"type":"text","text":""}]}]"#;
        let healed = heal(raw);
        assert_eq!(
            healed.messages,
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"functions_f_0","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_f_0","content":"r"}]}]"#
        );
    }
}
