//! A request of a client that speaks the API itself: it passes as it is.
//!
//! Ours are the model, `stream`, and `store` where the client says nothing; encrypted reasoning is asked for as in
//! any request. What other providers left in the conversation is healed: see `heal`.

use super::OpenAiResponses;
use super::family;
use super::heal::input;
use crate::chat::{Chat, Origin};
use crate::dialect::{Outgoing, Target};
use crate::json;

/// Builds the request, without keys.
pub(super) fn request(
    dialect: &OpenAiResponses,
    target: &Target<'_>,
    chat: &Chat,
    origin: &Origin,
) -> Outgoing {
    let body = chat.with_options(target.provider, body(dialect, target.model, origin));
    Outgoing::post(&target.url(["responses"]), body)
}

fn body(dialect: &OpenAiResponses, model: &str, origin: &Origin) -> Vec<u8> {
    let given = |name: &str| origin.given(name);
    let mut out = Vec::new();
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
    let passes = |field: &&json::Field<'_>| match field.name.as_ref() {
        "include" | "input" => false,
        "instructions" => instructions.is_none(),
        "store" => field.value != "null",
        _ => true,
    };
    json::write_fields(origin.fields.iter().filter(passes), &mut out);
    for (name, value) in [("input", input), ("include", include)] {
        if let Some(value) = value {
            json::write_fields(&[json::Field { name: name.into(), value: value.into() }], &mut out);
        }
    }
    out.push(b'}');
    out
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
    use crate::chat::{Tongue, sealed};
    use crate::json::Members;

    #[track_caller]
    fn check(dialect: OpenAiResponses, model: &str, request: &str, expect: &str) {
        let origin = Origin::new(Tongue::Responses, &Members::of(request));
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
    fn instructions_are_said_without_any_input_too() {
        let xai = OpenAiResponses { instructions: false, ..OpenAiResponses::PLAIN };
        check(
            xai,
            "grok-3",
            r#"{"instructions":"be kind","previous_response_id":"r"}"#,
            r#"{"model":"grok-3","stream":true,"store":false,"previous_response_id":"r","input":[{"type":"message","role":"system","content":"be kind"}]}"#,
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
            sealed::seal(sealed::Kind::Details, xai)
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
