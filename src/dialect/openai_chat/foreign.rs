//! A chat that was translated from another API says everything in one way; what of it only some providers know
//! is told to the others in theirs, or left out. A client of chat completions itself chooses such words for its
//! provider, so its own pass untouched.

use std::borrow::Cow;

use super::OpenAiChat;
use crate::chat::Chat;
use crate::chat::settings::Effort;
use crate::dialect::anthropic::rules;
use crate::json::{self, Members};

/// The field as the provider knows it; `None` if it does not.
pub(super) fn field<'a>(
    dialect: &OpenAiChat,
    chat: &Chat,
    name: &'a str,
    value: &'a str,
) -> Option<(&'a str, Cow<'a, str>)> {
    match name {
        "max_tokens" if dialect.newer_limit => Some(("max_completion_tokens", Cow::Borrowed(value))),
        "reasoning" if !dialect.additions => {
            let effort = effort(chat)?;
            Some(("reasoning_effort", Cow::Owned(format!("\"{effort}\""))))
        }
        "top_k" if !dialect.top_k => None,
        "messages" => {
            let names: &[&str] =
                if dialect.additions { &["content_parts"] } else { &["content_parts", "cache_control"] };
            let known = without(value, names);
            Some((name, results_in_words(&known).map_or(known, Cow::Owned)))
        }
        "tools" if !dialect.additions => Some((name, without(value, &["cache_control"]))),
        _ => Some((name, Cow::Borrowed(value))),
    }
}

/// The amount of reasoning in one of OpenAI's words. That it is wanted, or not wanted, has none that all models
/// know.
fn effort(chat: &Chat) -> Option<&'static str> {
    let asked = chat.thinking().ok().filter(|asked| asked.is_on())?; // It was written here, so it can be read.
    let max_tokens = chat.max_tokens().ok().flatten().unwrap_or(u64::MAX);
    Some(match rules::effort(asked, max_tokens)? {
        Effort::Max => "xhigh",
        effort => effort.as_str(),
    })
}

/// The elements of a list, and those of their `content`, without these members.
fn without<'a>(list: &'a str, names: &[&str]) -> Cow<'a, str> {
    let holds = |name: &&str| memchr::memmem::find(list.as_bytes(), name.as_bytes()).is_some();
    if !names.iter().any(holds) {
        return Cow::Borrowed(list);
    }
    let mut out = Vec::with_capacity(list.len());
    write_without(list, names, &mut out);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The messages with results of tools in words, which is all that most providers take there: images and files follow
/// as the user's, once all calls are answered. `None` if there are none.
fn results_in_words(list: &str) -> Option<String> {
    let messages: Vec<(&str, Members<'_>)> =
        json::elements(list).into_iter().map(|raw| (raw, Members::of(raw))).collect();
    if messages.iter().all(|(_, message)| parts_of_result(message).1.is_empty()) {
        return None;
    }
    let mut out: Vec<Cow<'_, str>> = Vec::with_capacity(messages.len() + 1);
    let mut waiting: Vec<&str> = Vec::new();
    for (raw, message) in &messages {
        if !is_result(message) {
            out.extend(said_by_user(&std::mem::take(&mut waiting)));
        }
        let (words, media) = parts_of_result(message);
        if media.is_empty() {
            out.push(Cow::Borrowed(*raw));
            continue;
        }
        waiting.extend(media);
        let content = if words.is_empty() { "\"\"".to_owned() } else { format!("[{}]", words.join(",")) };
        let mut told = Vec::new();
        json::write_merged(raw, &format!("{{\"content\":{content}}}"), &mut told);
        out.push(Cow::Owned(String::from_utf8_lossy(&told).into_owned()));
    }
    out.extend(said_by_user(&waiting));
    Some(format!("[{}]", out.join(",")))
}

fn is_result(message: &Members<'_>) -> bool {
    message.find("role") == Some("\"tool\"")
}

/// The parts of a tool's result: its texts, and everything else.
fn parts_of_result<'a>(message: &Members<'a>) -> (Vec<&'a str>, Vec<&'a str>) {
    let parts = message.find("content").filter(|raw| is_result(message) && raw.starts_with('['));
    let parts = parts.map(json::elements).unwrap_or_default().into_iter();
    parts.partition(|raw| Members::of(raw).find("type") == Some("\"text\""))
}

/// A message of the user's, if there is anything to say.
fn said_by_user<'a>(parts: &[&str]) -> Option<Cow<'a, str>> {
    let message = || format!("{{\"role\":\"user\",\"content\":[{}]}}", parts.join(","));
    (!parts.is_empty()).then(|| Cow::Owned(message()))
}

/// A list of parts; a text that stood in a list for its marker alone needs none, which not all providers take.
fn write_content(list: &str, names: &[&str], out: &mut Vec<u8>) {
    let text = match json::elements(list).as_slice() {
        [only] => {
            let part = Members::of(only);
            part.find("text").filter(|_| part.find("type") == Some("\"text\""))
        }
        _ => None,
    };
    match text {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => write_without(list, names, out),
    }
}

fn write_without(list: &str, names: &[&str], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, element) in json::elements(list).into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let members = Members::of(element);
        let mut first = true;
        for (name, value) in members.0.iter().filter(|(name, _)| !names.contains(&name.as_ref())) {
            out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
            json::write_string(name, out);
            out.push(b':');
            if name == "content" && value.starts_with('[') {
                write_content(value, names, out);
            } else {
                out.extend_from_slice(value.as_bytes());
            }
        }
        out.extend_from_slice(if first { b"{}" } else { b"}" });
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_follow_once_all_calls_are_answered() {
        let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
        let text = r#"{"type":"text","text":"t"}"#;
        let list = format!(
            r#"[{{"role":"tool","tool_call_id":"a","content":[{text},{image}]}},{{"role":"tool","tool_call_id":"b","content":[{image}]}},{{"role":"tool","tool_call_id":"c","content":"x"}},{{"role":"assistant","content":"y"}}]"#
        );
        let expect = format!(
            r#"[{{"role":"tool","tool_call_id":"a","content":[{text}]}},{{"role":"tool","tool_call_id":"b","content":""}},{{"role":"tool","tool_call_id":"c","content":"x"}},{{"role":"user","content":[{image},{image}]}},{{"role":"assistant","content":"y"}}]"#
        );
        assert_eq!(results_in_words(&list), Some(expect));
        let words =
            format!(r#"[{{"role":"tool","content":[{text}]}},{{"role":"user","content":[{image}]}}]"#);
        assert_eq!(results_in_words(&words), None);
    }

    #[test]
    fn what_a_provider_does_not_take_is_named() {
        let body = br#"{"model":"m","top_k":5,"max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#;
        let chat = crate::api::messages::read(body).unwrap();
        let url = url::Url::parse("https://host.example/v1").unwrap();
        let target = crate::dialect::Target { provider: "p", base_url: &url, model: "m" };
        let plain = OpenAiChat::PLAIN;
        for (dialect, dropped) in [(plain, &[][..]), (OpenAiChat { top_k: false, ..plain }, &["top_k"])] {
            assert_eq!(super::super::request::request(&dialect, &target, &chat, &[]).dropped, dropped);
        }
    }
}
