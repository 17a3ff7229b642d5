//! The conversation of a client that speaks the API, as the provider takes it: what other providers left in it goes.
//!
//! | item | becomes |
//! |---|---|
//! | reasoning that was packed for the client | itself, if it is of this provider; else nothing |
//! | reasoning without its encrypted content | nothing, where the provider stores nothing: it has no copy |
//! | what that reasoning led to | the same without its id, by which it would be missed |
//! | messages and calls with ids of millpond's | the same with what the API knows |
//! | images with ids of millpond's | nothing: they were made elsewhere |
//! | call ids that are too long | short ones |
//! | what helpers of the SDKs put beside calls and texts | nothing |
//!
//! Everything else stays byte for byte.

use std::borrow::Cow;

use super::OpenAiResponses;
use super::request::call_id;
use crate::chat::sealed;
use crate::json::{self, Members};

/// What a message of an answer has that was made elsewhere.
const MESSAGE: &[&str] = &["type", "status", "role", "content", "phase"];
/// What helpers of the SDKs add to what they read; the API refuses it.
const OF_HELPERS: &[&str] = &["parsed", "parsed_arguments"];
/// What a call has that was made elsewhere.
const CALL: &[&str] = &["type", "status", "call_id", "name", "namespace", "arguments"];

/// The input, with instructions in front where the provider does not take them by themselves.
pub(super) fn input(
    raw: Option<&str>,
    instructions: Option<&str>,
    format: &str,
    keeps: bool,
) -> Option<String> {
    if instructions.is_none() && raw.is_none_or(|raw| !raw.starts_with('[')) {
        return raw.map(str::to_owned);
    }
    let message =
        |role: &str, text: &str| format!("{{\"type\":\"message\",\"role\":\"{role}\",\"content\":{text}}}");
    let said = instructions.map(|text| message("system", text).into());
    let mut items: Vec<Cow<'_, str>> = said.into_iter().collect();
    let raw = raw.unwrap_or_default();
    if raw.starts_with('"') {
        items.push(message("user", raw).into());
    }
    // The reasoning of the turn is gone.
    let mut is_lost = false;
    let elements = json::elements(raw);
    for raw in &elements {
        let item = Members::of(raw);
        match item.find("type").and_then(json::word).as_deref() {
            Some("reasoning") => {
                let kept = reasoning(raw, &item, format, keeps);
                is_lost = kept.is_none();
                items.extend(kept);
            }
            Some("message") | None => {
                let is_own = item.find("role") == Some("\"assistant\"");
                is_lost &= is_own;
                items.push(if is_own { answered(raw, &item, is_lost) } else { Cow::Borrowed(*raw) });
            }
            Some("function_call") => items.push(called(raw, &item, is_lost)),
            Some("function_call_output") => items.push(called(raw, &item, false)),
            Some("image_generation_call") if is_made_here(&item) => {}
            Some(_) => items.push(Cow::Borrowed(*raw)),
        }
    }
    let is_well = items.len() == elements.len() && items.iter().all(|item| matches!(item, Cow::Borrowed(_)));
    Some(if is_well { raw.to_owned() } else { format!("[{}]", items.join(",")) })
}

/// True for an item whose id millpond made: a prefix, the answer, a number.
fn is_made_here(item: &Members<'_>) -> bool {
    let id = item.find("id").and_then(json::word).unwrap_or_default();
    let number = id.rsplit_once('_').filter(|(head, _)| head.contains('_'));
    number.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn reasoning<'a>(raw: &'a str, item: &Members<'_>, format: &str, keeps: bool) -> Option<Cow<'a, str>> {
    match item.find("encrypted_content").and_then(json::word) {
        Some(word) if sealed::is_sealed(&word) => {
            sealed::open(&word).and_then(|(_, details)| unpacked(&details, format)).map(Cow::Owned)
        }
        Some(_) if format != OpenAiResponses::PLAIN.format => None,
        None if !keeps && item.find("content").is_none_or(json::says_nothing) => None,
        Some(_) | None => Some(Cow::Borrowed(raw)),
    }
}

/// A message of an answer.
fn answered<'a>(raw: &'a str, item: &Members<'_>, is_lost: bool) -> Cow<'a, str> {
    let is_made_here = is_made_here(item);
    let takes = |name: &str| match is_made_here {
        true => MESSAGE.contains(&name),
        false => !is_lost || name != "id",
    };
    let content = item.find("content").filter(|raw| raw.starts_with('['));
    let parts = content.map(json::elements).unwrap_or_default();
    let said: Vec<Cow<'_, str>> = parts.iter().map(|raw| part(raw, is_made_here)).collect();
    let is_well = said.iter().all(|part| matches!(part, Cow::Borrowed(_)));
    if is_well && item.0.iter().all(|(name, _)| takes(name)) {
        return Cow::Borrowed(raw);
    }
    let content = content.map(|_| format!("[{}]", said.join(",")));
    written(item, takes, content.as_deref().map(|content| ("content", content)))
}

/// A part of a message; annotations and probabilities have other shapes elsewhere.
fn part(raw: &str, is_made_here: bool) -> Cow<'_, str> {
    let part = Members::of(raw);
    let is_text = part.find("type") == Some("\"output_text\"");
    match part.find("text").filter(|_| is_text && is_made_here) {
        Some(text) => format!("{{\"type\":\"output_text\",\"text\":{text},\"annotations\":[]}}").into(),
        None if part.0.iter().any(|(name, _)| OF_HELPERS.contains(&name.as_ref())) => {
            written(&part, |name| !OF_HELPERS.contains(&name), None)
        }
        None => Cow::Borrowed(raw),
    }
}

/// A call, or its result.
fn called<'a>(raw: &'a str, item: &Members<'_>, is_lost: bool) -> Cow<'a, str> {
    let id = item.find("call_id").and_then(json::word).unwrap_or_default();
    let id = call_id(&id);
    let is_made_here = is_made_here(item) && item.find("type") == Some("\"function_call\"");
    let takes = |name: &str| match is_made_here {
        true => CALL.contains(&name),
        false => !OF_HELPERS.contains(&name) && (!is_lost || name != "id"),
    };
    if matches!(id, Cow::Borrowed(_)) && item.0.iter().all(|(name, _)| takes(name)) {
        return Cow::Borrowed(raw);
    }
    let mut quoted = Vec::new();
    json::write_string(&id, &mut quoted);
    written(item, takes, Some(("call_id", &String::from_utf8_lossy(&quoted))))
}

/// The item with some of its members, and another value of one.
fn written<'a>(
    item: &Members<'_>,
    takes: impl Fn(&str) -> bool,
    other: Option<(&str, &str)>,
) -> Cow<'a, str> {
    let mut out = Vec::from(b"{");
    for (name, value) in item.0.iter().filter(|(name, _)| takes(name)) {
        if out.len() > 1 {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        let other = other.filter(|(changed, _)| changed == name).map(|(_, value)| value);
        out.extend_from_slice(other.unwrap_or(value).as_bytes());
    }
    out.push(b'}');
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expect: &str) {
        assert_eq!(input(Some(raw), None, OpenAiResponses::PLAIN.format, false).as_deref(), Some(expect));
    }

    #[test]
    fn a_conversation_of_the_providers_own_stays_byte_for_byte() {
        for raw in [
            "\"hi\"",
            r#"[ {"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","encrypted_content":"gA"},{"type":"message","id":"msg_1","role":"assistant","x":1,"content":[{"type":"output_text","text":"a","annotations":[{"type":"x"}]}]},{"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}","x":1},{"type":"function_call_output","call_id":"c","output":"r"},{"type":"image_generation_call","id":"ig_1"}]"#,
        ] {
            check(raw, raw);
        }
    }

    #[test]
    fn what_was_made_elsewhere_keeps_what_the_api_knows() {
        check(
            r#"[{"type":"message","id":"msg_ab_0","status":"completed","role":"assistant","audio":{},"content":[{"type":"output_text","text":"a","annotations":[{"type":"x"}],"logprobs":[]}]},{"type":"message","id":"msg_ab_1","role":"assistant","content":"b"},{"type":"image_generation_call","id":"it_ab_1","result":"QQ"},{"type":"function_call","id":"fc_ab_2","call_id":"c","name":"f","arguments":"{}","extra_content":{"signature":"s"},"x":1}]"#,
            r#"[{"type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]},{"type":"message","role":"assistant","content":"b"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#,
        );
    }

    #[test]
    fn what_lost_its_reasoning_loses_its_id() {
        check(
            r#"[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","id":"msg_1","role":"assistant","content":"a"},{"type":"function_call","id":"fc_1","call_id":"c"},{"type":"function_call_output","id":"fo_1","call_id":"c"},{"role":"user","content":"b"},{"type":"function_call","id":"fc_2","call_id":"d"}]"#,
            r#"[{"type":"message","role":"assistant","content":"a"},{"type":"function_call","call_id":"c"},{"type":"function_call_output","id":"fo_1","call_id":"c"},{"role":"user","content":"b"},{"type":"function_call","id":"fc_2","call_id":"d"}]"#,
        );
    }

    #[test]
    fn what_helpers_of_sdks_add_is_left_out() {
        check(
            r#"[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"{}","parsed":{}}]},{"type":"function_call","id":"fc_1","call_id":"c","arguments":"{}","parsed_arguments":{}}]"#,
            r#"[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"{}"}]},{"type":"function_call","id":"fc_1","call_id":"c","arguments":"{}"}]"#,
        );
    }

    #[test]
    fn a_call_and_its_result_keep_one_id() {
        let long = "x".repeat(80);
        let short = call_id(&long).into_owned();
        let items = |id: &str| {
            format!(
                r#"[{{"type":"function_call","id":"fc_1","call_id":"{id}"}},{{"type":"function_call_output","call_id":"{id}"}}]"#
            )
        };
        check(&items(&long), &items(&short));
    }
}
