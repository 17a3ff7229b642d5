//! A request that goes on from an answer which is kept becomes one that says everything.

use super::{key, text};
use crate::json::{self, Members};

/// What is kept of an answer: JSON texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The items that were asked, all of them, with commas between them.
    pub input: String,
    /// The items of the answer, with commas between them.
    pub output: String,
}

/// Puts what is known of the previous answer, and of items that are only named, into the request's input; `None` if
/// nothing of it is known, or needed.
pub fn expand(
    body: &[u8],
    answer: &mut dyn FnMut(&str) -> Option<Known>,
    item: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    let request = crate::chat::object(body).ok()?; // Its error is told by whoever reads the request.
    let previous = request.find("previous_response_id").and_then(json::word);
    let known = previous.as_deref().and_then(answer);
    let mut changed = known.is_some();
    let mut items = Vec::new();
    if let Some(known) = &known {
        items.extend([known.input.clone(), known.output.clone()]);
    }
    let input = request.find("input").unwrap_or("null");
    for raw in elements(input) {
        let members = Members::of(&raw);
        let is_reference = members.find("type") == Some("\"item_reference\"");
        let named = members.find("id").and_then(json::word).filter(|_| is_reference);
        let found = named.as_deref().and_then(&mut *item);
        changed |= found.is_some();
        items.push(found.unwrap_or(raw));
    }
    if !changed {
        return None;
    }
    items.retain(|items| !items.is_empty());
    let mut out = Vec::from(b"{");
    for (name, value) in &request.0 {
        let value = match name.as_ref() {
            "input" => continue,
            "previous_response_id" if known.is_some() => continue,
            _ => value,
        };
        key(name, &mut out);
        out.extend_from_slice(value.as_bytes());
    }
    key("input", &mut out);
    out.extend_from_slice(format!("[{}]}}", items.join(",")).as_bytes());
    Some(out)
}

/// The items of a request's input, with commas between them.
pub fn input_of(body: &[u8]) -> String {
    let Ok(request) = crate::chat::object(body) else { return String::new() };
    elements(request.find("input").unwrap_or("null")).join(",")
}

/// The items of an input; a text is a message.
fn elements(input: &str) -> Vec<String> {
    if input.starts_with('"') {
        return vec![format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":{input}}}")];
    }
    json::elements(input).into_iter().map(str::to_owned).collect()
}

/// What is kept of a response object: its output.
pub fn output_of(response: &[u8]) -> String {
    let response = text(response.to_vec());
    let members = Members::of(&response);
    json::elements(members.find("output").unwrap_or("[]")).join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_first() {
        let mut answer =
            |id: &str| (id == "resp_1").then(|| Known { input: "1".to_owned(), output: "2,3".to_owned() });
        let mut item = |id: &str| (id == "msg_1").then(|| "{\"id\":\"msg_1\"}".to_owned());
        let mut expanded = |body: &str| expand(body.as_bytes(), &mut answer, &mut item).map(text);
        assert_eq!(
            expanded(r#"{"model":"m","previous_response_id":"resp_1","input":"hi"}"#).as_deref(),
            Some(r#"{"model":"m","input":[1,2,3,{"type":"message","role":"user","content":"hi"}]}"#)
        );
        assert_eq!(
            expanded(
                r#"{"input":[{"type":"item_reference","id":"msg_1"},{"type":"item_reference","id":"x"}]}"#
            )
            .as_deref(),
            Some(r#"{"input":[{"id":"msg_1"},{"type":"item_reference","id":"x"}]}"#)
        );
        assert_eq!(expanded(r#"{"previous_response_id":"resp_2","input":"hi"}"#), None);
    }
}
