//! The request: what is ours is taken out of it, all else is the provider's to judge.

use crate::chat::{self, Chat, RequestError};

const PROMPT_HINT: &str =
    "Send a text such as \"Once upon a time\". Messages go to POST /v1/chat/completions.";

/// Reads the body of a request.
pub fn read(body: &[u8]) -> Result<Chat, RequestError> {
    let members = chat::object(body)?;
    let chat = Chat::of(&members)?;
    match members.find("prompt") {
        None => Err(RequestError::Missing("prompt", PROMPT_HINT)),
        // Some models begin from nothing.
        Some(raw) if raw == "null" || raw.starts_with(['"', '[']) => Ok(Chat { is_completion: true, ..chat }),
        Some(_) => Err(RequestError::WrongType("prompt", "a string, or a list of strings or tokens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_prompt_is_kept() {
        for prompt in [r#""a""#, r#"["a","b"]"#, "[1, 2]", "[[1],[2,3]]", "null"] {
            let body = format!(r#"{{"model":"m","stream":true,"prompt":{prompt},"suffix":"x"}}"#);
            let chat = read(body.as_bytes()).unwrap();
            assert!(chat.is_completion && chat.stream);
            assert_eq!((chat.field("prompt"), chat.field("suffix")), (Some(prompt), Some("\"x\"")));
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        for (body, param) in [
            (r#"{"model":"m","messages":[{}]}"#, "prompt"),
            (r#"{"model":"m","prompt":{}}"#, "prompt"),
            (r#"{"prompt":"a"}"#, "model"),
            (r#"{"model":"m","prompt":"a","stream":1}"#, "stream"),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap_err().param(), Some(param), "{body}");
        }
    }
}
