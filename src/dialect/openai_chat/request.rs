//! A chat becomes the upstream's request: every field of the client's passes, `model`, `stream` and
//! `stream_options` are ours.

use std::borrow::Cow;

use url::Url;

use super::{OpenAiChat, Path, ReasoningBack, foreign};
use crate::chat::Chat;
use crate::dialect::{Outgoing, Target};
use crate::json::{self, Field, Members};

/// Builds the request, without keys; `what` is the end of its path.
pub(super) fn request(dialect: &OpenAiChat, target: &Target<'_>, chat: &Chat, what: &[&str]) -> Outgoing {
    let mut dropped = Vec::new();
    let body = body(dialect, target.model, chat, &mut dropped);
    let url = endpoint(dialect.path, target.base_url, target.model, what);
    Outgoing::post(&url, chat.with_options(target.provider, body)).without(dropped)
}

fn endpoint(path: Path, base_url: &Url, model: &str, what: &[&str]) -> Url {
    let mut url = base_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
        if let Path::AzureDeployment { .. } = path {
            segments.extend(["deployments", model]);
        }
        segments.extend(what);
    }
    match path {
        Path::AzureDeployment { api_version } if url.query().is_none() => {
            url.query_pairs_mut().append_pair("api-version", api_version);
        }
        Path::AzureDeployment { .. } | Path::Plain => {}
    }
    url
}

fn body(dialect: &OpenAiChat, model: &str, chat: &Chat, dropped: &mut Vec<String>) -> Vec<u8> {
    let size: usize = chat.fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
    let mut out = Vec::with_capacity(size + model.len() + 96);
    out.extend_from_slice(b"{\"model\":");
    json::write_string(model, &mut out);
    out.extend_from_slice(b",\"stream\":true");
    if dialect.stream_options {
        out.extend_from_slice(b",\"stream_options\":{\"include_usage\":true");
        let options = chat.stream_options.as_deref().map(Members::of).unwrap_or_default();
        for (name, value) in options.0.iter().filter(|(name, _)| name != "include_usage") {
            out.push(b',');
            json::write_string(name, &mut out);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
    }
    for Field { name, value } in &chat.fields {
        let (name, value): (&str, Cow<'_, str>) = match &chat.origin {
            None => (name, Cow::Borrowed(value)),
            Some(_) => match foreign::field(dialect, chat, name, value) {
                Some(field) => field,
                None => {
                    dropped.push(name.to_string());
                    continue;
                }
            },
        };
        out.push(b',');
        json::write_string(name, &mut out);
        out.push(b':');
        if name == "messages" && needs_rewrite(dialect.reasoning_back, &value) {
            messages(dialect.reasoning_back, &value, &mut out);
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'}');
    out
}

/// True if the messages may hold reasoning that the provider wants in another form.
fn needs_rewrite(form: ReasoningBack, messages: &str) -> bool {
    let holds = |name: &str| memchr::memmem::find(messages.as_bytes(), name.as_bytes()).is_some();
    form != ReasoningBack::Keep && (holds("\"reasoning") || holds("\"extra_content\""))
}

fn messages(form: ReasoningBack, raw: &str, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, element) in json::elements(raw).into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let members = Members::of(element);
        if members.find("role") == Some("\"assistant\"") {
            assistant(form, &members, out);
        } else {
            out.extend_from_slice(element.as_bytes());
        }
    }
    out.push(b']');
}

fn assistant(form: ReasoningBack, message: &Members<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    let mut member = |name: &str, value: &mut dyn FnMut(&mut Vec<u8>), out: &mut Vec<u8>| {
        out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
        json::write_string(name, out);
        out.push(b':');
        value(out);
    };
    let details: Vec<Members<'_>> = json::elements(message.find("reasoning_details").unwrap_or("[]"))
        .into_iter()
        .map(Members::of)
        .collect();
    for (name, value) in &message.0 {
        match name.as_ref() {
            "reasoning_content" | "reasoning" | "reasoning_details" => {}
            "tool_calls" => member(name, &mut |out| tool_calls(form, value, &details, out), out),
            _ => member(name, &mut |out| out.extend_from_slice(value.as_bytes()), out),
        }
    }
    let text = ["reasoning_content", "reasoning"]
        .iter()
        .find_map(|name| message.find(name).filter(|raw| json::word(raw).is_some()));
    let name = match form {
        ReasoningBack::ReasoningContent => "reasoning_content",
        ReasoningBack::Reasoning => "reasoning",
        ReasoningBack::Keep | ReasoningBack::Drop | ReasoningBack::Google => "",
    };
    if !name.is_empty() {
        let written = text.map(str::to_owned).or_else(|| text_of(&details));
        if let Some(text) = written {
            member(name, &mut |out| out.extend_from_slice(text.as_bytes()), out);
        }
    }
    out.extend_from_slice(if first { b"{}" } else { b"}" });
}

/// Tool calls without what only gateways understand; Google gets its signatures back in its own form.
fn tool_calls(form: ReasoningBack, raw: &str, details: &[Members<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, call) in json::elements(raw).into_iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        let members = Members::of(call);
        let google = match form {
            ReasoningBack::Google => google_content(&members, details),
            ReasoningBack::Keep
            | ReasoningBack::ReasoningContent
            | ReasoningBack::Reasoning
            | ReasoningBack::Drop => None,
        };
        let kept = members.0.iter().filter(|(name, _)| name != "extra_content");
        let kept = kept.map(|(name, value)| (name.as_ref(), *value));
        let extra = google.as_deref().map(|content| ("extra_content", content));
        for (at, (name, value)) in kept.chain(extra).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::write_string(name, out);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// Google's own form of a call's signature: as the client kept it, as we gave it, or out of the item of
/// structured reasoning that signs the call.
fn google_content(call: &Members<'_>, details: &[Members<'_>]) -> Option<String> {
    let extra_content = call.find("extra_content").map(Members::of).unwrap_or_default();
    if let Some(google) = extra_content.find("google") {
        return Some(format!("{{\"google\":{google}}}"));
    }
    let id = call.find("id");
    let signing = details.iter().find(|detail| id.is_some() && detail.find("id") == id);
    let signature =
        extra_content.find("signature").or_else(|| signing.and_then(|detail| detail.find("data")));
    let signature = signature.filter(|raw| json::word(raw).is_some())?;
    Some(format!("{{\"google\":{{\"thought_signature\":{signature}}}}}"))
}

/// The readable text of structured reasoning, as a JSON string.
fn text_of(details: &[Members<'_>]) -> Option<String> {
    let texts = details.iter().filter_map(|detail| {
        ["text", "summary"].iter().find_map(|name| detail.find(name).and_then(json::word))
    });
    let text: String = texts.collect();
    let mut out = Vec::new();
    json::write_string(&text, &mut out);
    String::from_utf8(out).ok().filter(|_| !text.is_empty()) // Made of strings.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: OpenAiChat, chat: &str, expect: &str) {
        let chat = Chat::read(chat.as_bytes()).unwrap();
        let body = body(&dialect, "m", &chat, &mut Vec::new());
        assert_eq!(std::str::from_utf8(&body).unwrap(), expect);
    }

    #[test]
    fn every_field_passes_in_order() {
        check(
            OpenAiChat::PLAIN,
            r#"{"seed":1.50,"model":"x/m","messages":[{"role":"user","content":"é\n"}],"tools":[ ],"stream":false}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"seed":1.50,"messages":[{"role":"user","content":"é\n"}],"tools":[ ]}"#,
        );
    }

    #[test]
    fn other_stream_options_pass_with_ours() {
        check(
            OpenAiChat::PLAIN,
            r#"{"model":"m","messages":[{}],"stream_options":{"include_usage":false,"include_obfuscation":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"messages":[{}]}"#,
        );
    }

    #[test]
    fn stream_options_are_left_out_where_they_are_refused() {
        check(
            OpenAiChat { stream_options: false, ..OpenAiChat::PLAIN },
            r#"{"model":"m","messages":[{}],"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"messages":[{}]}"#,
        );
    }

    #[test]
    fn reasoning_goes_back_in_the_providers_form() {
        let chat = r#"{"model":"m","messages":[{"role":"user","content":"the \"reasoning\" word"},{"role":"assistant","content":null,"reasoning":"why","reasoning_content":"why","reasoning_details":[{"text":"why"}],"tool_calls":[{"id":"1","extra_content":{"signature":"s"},"function":{}}]}]}"#;
        let head = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"the \"reasoning\" word"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","#;
        let plain = OpenAiChat { stream_options: false, ..OpenAiChat::PLAIN };
        for (form, tail) in [
            (ReasoningBack::Drop, r#""function":{}}]}]}"#),
            (ReasoningBack::ReasoningContent, r#""function":{}}],"reasoning_content":"why"}]}"#),
            (ReasoningBack::Reasoning, r#""function":{}}],"reasoning":"why"}]}"#),
            (
                ReasoningBack::Google,
                r#""function":{},"extra_content":{"google":{"thought_signature":"s"}}}]}]}"#,
            ),
        ] {
            check(OpenAiChat { reasoning_back: form, ..plain }, chat, &format!("{head}{tail}"));
        }
    }

    #[test]
    fn the_endpoint_is_below_the_base_url() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(
            endpoint(Path::Plain, &url("https://a.example/api/v1/"), "m", &["chat", "completions"]).as_str(),
            "https://a.example/api/v1/chat/completions"
        );
        let azure = Path::AzureDeployment { api_version: "2024-10-21" };
        assert_eq!(
            endpoint(azure, &url("https://a.example/openai"), "my gpt", &["completions"]).as_str(),
            "https://a.example/openai/deployments/my%20gpt/completions?api-version=2024-10-21"
        );
    }
}
