//! A request of a client that speaks the API itself: it passes as it is.
//!
//! Ours are the model, `stream`, and `store` where the client says nothing; encrypted reasoning is asked for as in
//! any request. Reasoning that was packed for the client is unpacked: what is of this provider goes back in its own
//! form, all other stays behind, and so does reasoning without its encrypted content, of which a provider that
//! stores nothing has no copy.

use std::borrow::Cow;

use super::OpenAiResponses;
use super::family;
use crate::chat::{Chat, Origin, RequestError, sealed};
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Members};

/// Builds the request, without keys.
pub(super) fn request(
    dialect: &OpenAiResponses,
    target: &Target<'_>,
    chat: &Chat,
    origin: &Origin,
) -> Result<Outgoing, RequestError> {
    let body = chat.with_options(target.provider, body(dialect, target.model, origin));
    Ok(Outgoing::post(&target.url(["responses"]), body))
}

fn body(dialect: &OpenAiResponses, model: &str, origin: &Origin) -> Vec<u8> {
    let request = Members::of(&origin.body);
    let given = |name: &str| request.find(name).filter(|raw| *raw != "null");
    let mut out = Vec::with_capacity(origin.body.len() + 96);
    out.extend_from_slice(b"{\"model\":");
    json::write_string(model, &mut out);
    out.extend_from_slice(b",\"stream\":true");
    if given("store").is_none() {
        out.extend_from_slice(b",\"store\":false");
    }
    let instructions = given("instructions").filter(|_| !dialect.instructions);
    let keeps = given("store") == Some("true");
    let input = input(given("input"), instructions, dialect.format, keeps);
    let include = include(given("include"), family::of(model).reasons == Some(true));
    for (name, value) in &request.0 {
        let value = match name.as_ref() {
            "include" | "input" => continue,
            "instructions" if instructions.is_some() => continue,
            "store" if *value == "null" => continue,
            _ => value,
        };
        json::write_fields(&[json::Field { name: name.clone(), value: Cow::Borrowed(value) }], &mut out);
    }
    for (name, value) in [("input", input), ("include", include)] {
        if let Some(value) = value {
            json::write_fields(&[json::Field { name: name.into(), value: value.into() }], &mut out);
        }
    }
    out.push(b'}');
    out
}

/// The input, with instructions in front where the provider does not take them by themselves.
fn input(raw: Option<&str>, instructions: Option<&str>, format: &str, keeps: bool) -> Option<String> {
    let raw = raw?;
    if instructions.is_none() && !raw.contains("\"reasoning\"") {
        return Some(raw.to_owned());
    }
    let message =
        |role: &str, text: &str| format!("{{\"type\":\"message\",\"role\":\"{role}\",\"content\":{text}}}");
    let mut items: Vec<String> = instructions.map(|text| message("system", text)).into_iter().collect();
    if raw.starts_with('"') {
        items.push(message("user", raw));
    }
    for raw in json::elements(raw) {
        let item = Members::of(raw);
        let word = item.find("encrypted_content").and_then(json::word);
        let is_reasoning = item.find("type") == Some("\"reasoning\"");
        match word {
            Some(word) if sealed::is_sealed(&word) => {
                items.extend(sealed::open(&word).and_then(|details| unpacked(&details, format)));
            }
            Some(_) if is_reasoning && format != OpenAiResponses::PLAIN.format => {}
            None if is_reasoning && !keeps && item.find("content").is_none_or(json::says_nothing) => {}
            Some(_) | None => items.push(raw.to_owned()),
        }
    }
    Some(format!("[{}]", items.join(",")))
}

/// The item of reasoning that was packed, if it is of this provider and can be read by it.
fn unpacked(details: &str, format: &str) -> Option<String> {
    let (mut id, mut data) = (None, None);
    let (mut summary, mut content) = (Vec::new(), Vec::new());
    for raw in json::elements(details) {
        let detail = Members::of(raw);
        if detail.find("format").and_then(json::word).as_deref() != Some(format) {
            return None;
        }
        id = id.or(detail.find("id"));
        match detail.find("type").and_then(json::word).as_deref() {
            Some("reasoning.summary") => summary.extend(
                detail.find("summary").map(|text| format!("{{\"type\":\"summary_text\",\"text\":{text}}}")),
            ),
            Some("reasoning.text") => content.extend(
                detail.find("text").map(|text| format!("{{\"type\":\"reasoning_text\",\"text\":{text}}}")),
            ),
            Some(_) | None => data = data.or(detail.find("data")),
        }
    }
    let id = id.map(|id| format!(",\"id\":{id}")).unwrap_or_default();
    let content = match content.is_empty() {
        true => String::new(),
        false => format!(",\"content\":[{}]", content.join(",")),
    };
    let data = data?;
    let summary = summary.join(",");
    Some(format!(
        "{{\"type\":\"reasoning\"{id},\"summary\":[{summary}]{content},\"encrypted_content\":{data}}}"
    ))
}

/// What is to be included; encrypted reasoning of models that reason, so that a conversation goes on.
fn include(raw: Option<&str>, reasons: bool) -> Option<String> {
    const ENCRYPTED: &str = "\"reasoning.encrypted_content\"";
    let mut list = raw.map(json::elements).unwrap_or_default();
    if reasons && !list.contains(&ENCRYPTED) {
        list.push(ENCRYPTED);
    }
    (raw.is_some() || !list.is_empty()).then(|| format!("[{}]", list.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: OpenAiResponses, model: &str, request: &str, expect: &str) {
        let origin = Origin { body: request.to_owned(), ..Origin::default() };
        assert_eq!(String::from_utf8(body(&dialect, model, &origin)).unwrap(), expect);
    }

    #[test]
    fn what_the_client_says_passes() {
        check(
            OpenAiResponses::PLAIN,
            "gpt-4o",
            r#"{"tools":[{"type":"web_search"}],"store":true,"x": 1.50,"input":[{"type":"web_search_call","id":"ws_1"}]}"#,
            r#"{"model":"gpt-4o","stream":true,"tools":[{"type":"web_search"}],"store":true,"x":1.50,"input":[{"type":"web_search_call","id":"ws_1"}]}"#,
        );
    }

    #[test]
    fn encrypted_reasoning_is_asked_for_once() {
        check(
            OpenAiResponses::PLAIN,
            "gpt-5",
            r#"{"include":["a","reasoning.encrypted_content"],"input":"hi"}"#,
            r#"{"model":"gpt-5","stream":true,"store":false,"input":"hi","include":["a","reasoning.encrypted_content"]}"#,
        );
        check(
            OpenAiResponses::PLAIN,
            "gpt-5",
            r#"{"input":"hi"}"#,
            r#"{"model":"gpt-5","stream":true,"store":false,"input":"hi","include":["reasoning.encrypted_content"]}"#,
        );
    }

    #[test]
    fn reasoning_of_another_provider_stays_behind() {
        let xai = r#"[{"type":"reasoning.summary","summary":"s","format":"xai-responses-v1","id":"rs_1"},{"type":"reasoning.encrypted","data":"d","format":"xai-responses-v1","id":"rs_1"}]"#;
        let request = format!(
            r#"{{"instructions":"be kind","input":[{{"type":"reasoning","encrypted_content":"{}"}},{{"type":"reasoning","encrypted_content":"gAAA"}}]}}"#,
            sealed::seal(xai)
        );
        check(
            OpenAiResponses::PLAIN,
            "gpt-4o",
            &request,
            r#"{"model":"gpt-4o","stream":true,"store":false,"instructions":"be kind","input":[{"type":"reasoning","encrypted_content":"gAAA"}]}"#,
        );
        let xai =
            OpenAiResponses { format: "xai-responses-v1", instructions: false, ..OpenAiResponses::PLAIN };
        check(
            xai,
            "grok-3",
            &request,
            r#"{"model":"grok-3","stream":true,"store":false,"input":[{"type":"message","role":"system","content":"be kind"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"d"}]}"#,
        );
    }
}
