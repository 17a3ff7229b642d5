//! A request in the API's own words goes on as it came, but for what other providers left in its conversation.

use std::borrow::Cow;

use http::HeaderName;

use super::request::{tool_id, versioned};
use super::{Anthropic, Host, family};
use crate::chat::{Chat, Origin, sealed};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Field, Members};

/// Fields that counting takes.
const COUNTED: [&str; 9] = [
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "mcp_servers",
    "output_config",
    "context_management",
    "cache_control",
];
/// What a call has in this API; one of the API's own may have more.
const CALL: [&str; 5] = ["type", "id", "name", "input", "cache_control"];

/// Builds the request, without keys.
pub(super) fn request(dialect: &Anthropic, target: &Target<'_>, chat: &Chat, origin: &Origin) -> Outgoing {
    let path = format!("{}:streamRawPredict", target.model);
    let (url, mut body) = match dialect.host {
        Host::Direct => (target.url(["messages"]), begin_with_model(target.model)),
        Host::Vertex => {
            (target.url([path.as_str()]), Vec::from(b"{\"anthropic_version\":\"vertex-2023-10-16\""))
        }
    };
    body.extend_from_slice(b",\"stream\":true");
    if origin.given("max_tokens").is_none() {
        member("max_tokens", &family::of(target.model).max_tokens.to_string(), &mut body);
    }
    let healed = heal(origin.given("messages").unwrap_or("[]"));
    let loses_thoughts = healed.lost && is_budget(origin.given("thinking"));
    for field in given(origin) {
        match field.name.as_ref() {
            "messages" => member("messages", &healed.messages, &mut body),
            "thinking" if loses_thoughts => {}
            name => member(name, &field.value, &mut body),
        }
    }
    body.push(b'}');
    let dropped = if loses_thoughts { vec!["thinking".to_owned()] } else { Vec::new() };
    let outgoing = Outgoing::post(&url, chat.with_options(target.provider, body)).without(dropped);
    match dialect.host {
        Host::Direct => versioned(outgoing),
        Host::Vertex => outgoing,
    }
}

/// Asks how many tokens the request has.
pub(super) fn count_tokens(target: &Target<'_>, origin: &Origin) -> Outgoing {
    let mut body = begin_with_model(target.model);
    for field in given(origin).filter(|field| COUNTED.contains(&field.name.as_ref())) {
        match field.name.as_ref() {
            "messages" => member("messages", &heal(&field.value).messages, &mut body),
            name => member(name, &field.value, &mut body),
        }
    }
    body.push(b'}');
    let outgoing = versioned(Outgoing::post(&target.url(["messages", "count_tokens"]), body));
    outgoing.header(HeaderName::from_static("accept"), "application/json")
}

/// The fields that say something; some clients write null for the others, which the API may refuse.
fn given(origin: &Origin) -> impl Iterator<Item = &Field<'static>> {
    origin.fields.iter().filter(|field| field.value != "null")
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

/// Leaves out what other providers left and the API refuses: reasoning that it did not sign, empty text, citations
/// that are not its own, fields of calls that it does not know; ids get the characters that it takes. What is well
/// stays byte for byte.
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
    let content = match message.find("content")? {
        "\"\"" => return Some(Vec::new()),
        content if content.starts_with('[') => content,
        _ => return None,
    };
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
    let foreign = |name: &str| word(name).is_none_or(|text| sealed::is_sealed(&text));
    match word("type").as_deref() {
        Some("thinking") if foreign("signature") => None,
        Some("redacted_thinking") if foreign("data") => None,
        Some("text") if block.find("text") == Some("\"\"") => None,
        Some("text") => {
            let cited = block.find("citations").map(json::elements).unwrap_or_default();
            let own: Vec<&str> = cited.iter().copied().filter(|raw| is_own_citation(raw)).collect();
            let is_well = own.len() == cited.len();
            let list = (!own.is_empty()).then(|| format!("[{}]", own.join(",")));
            Some(if is_well {
                Cow::Borrowed(raw)
            } else {
                with(&block, "citations", list.as_deref(), |_| true)
            })
        }
        Some(kind @ ("tool_use" | "tool_result")) => {
            let is_call = kind == "tool_use";
            let name = if is_call { "id" } else { "tool_use_id" };
            let id = word(name).unwrap_or_default();
            let is_known = |member: &str| !is_call || id.starts_with("toolu_") || CALL.contains(&member);
            let own = tool_id(&id);
            if matches!(own, Cow::Borrowed(_)) && block.0.iter().all(|(name, _)| is_known(name)) {
                return Some(Cow::Borrowed(raw));
            }
            let mut quoted = Vec::new();
            json::write_string(&own, &mut quoted);
            Some(with(&block, name, Some(&String::from_utf8_lossy(&quoted)), is_known))
        }
        Some(_) | None => Some(Cow::Borrowed(raw)),
    }
}

/// True unless the citation was made of another provider's.
fn is_own_citation(raw: &str) -> bool {
    Members::of(raw).find("encrypted_index") != Some("\"\"")
}

/// The block with another value of one member, or without it, and with those of the others that are known.
fn with<'a>(
    block: &Members<'_>,
    name: &str,
    value: Option<&str>,
    is_known: impl Fn(&str) -> bool,
) -> Cow<'a, str> {
    let mut out = Vec::from(b"{");
    for (member, raw) in block.0.iter().filter(|(member, _)| is_known(member)) {
        let Some(raw) = (if member == name { value } else { Some(*raw) }) else { continue };
        if out.len() > 1 {
            out.push(b',');
        }
        json::write_string(member, &mut out);
        out.push(b':');
        out.extend_from_slice(raw.as_bytes());
    }
    out.push(b'}');
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_of_the_apis_own_stays_byte_for_byte() {
        let raw = r#"[ {"role":"user","content":"a"},{"role" : "assistant","content":[{"type":"thinking","thinking":"","signature":"Eq="},{"type":"tool_use","id":"toolu_1","name":"f","input":{ },"caller":{"type":"direct"}},{"type":"text","text":"a","citations":[{"encrypted_index":"E"}]}]}]"#;
        assert!(matches!(heal(raw), Healed { messages: Cow::Borrowed(same), lost: false } if same == raw));
    }

    #[test]
    fn what_others_left_is_left_out() {
        let raw = r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"text","text":"a","citations":[{"type":"web_search_result_location","url":"u","encrypted_index":""},{"type":"char_location"}]},{"type":"text","text":"b","citations":[{"encrypted_index":""}]},{"type":"thinking","thinking":"t","signature":"millpond.reasoning:e30="},{"type":"redacted_thinking","data":"millpond.part:e30="},{"type":"text","text":""},{"type":"tool_use","id":"functions.f:0","name":"f","input":{},"caller":1}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.f:0","content":"r","x":1}]},{"role":"assistant","content":[{"type":"text","text":""}]},{"role":"assistant","content":""}]"#;
        let healed = heal(raw);
        assert_eq!(
            healed.messages,
            r#"[{"role":"assistant","content":[{"type":"text","text":"a","citations":[{"type":"char_location"}]},{"type":"text","text":"b"},{"type":"tool_use","id":"functions_f_0","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_f_0","content":"r","x":1}]}]"#
        );
    }
}
