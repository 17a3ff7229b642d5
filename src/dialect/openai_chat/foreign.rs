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
        "messages" if dialect.additions => Some((name, without(value, &["content_parts"]))),
        "messages" => Some((name, without(value, &["content_parts", "cache_control"]))),
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
