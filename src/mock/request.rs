//! What a request asks of the mock, and how a request for a chat completion or a text completion is read.

use serde_json::Value;

/// The most candidates that one request gets.
const CANDIDATES: u64 = 4;

/// Words that make the model call tools one after the other.
pub const IN_TURN: &str = "one by one";

/// A request as far as the mock cares.
///
/// It is read leniently: a field of an odd type counts as absent, because checking requests is
/// the business of the proxy in front.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// The model's name as it was sent.
    pub model: String,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// Whether the stream should report usage.
    pub include_usage: bool,
    /// The text of the last user message.
    pub user: String,
    /// The text of the last message, if that is the result of a tool.
    pub tool_result: Option<String>,
    /// The tools that the answer calls; empty for an answer in words.
    pub calls: Vec<Tool>,
    /// The schema of a structured answer; `Value::Null` where any object will do.
    pub structure: Option<Value>,
    /// How many candidates are wanted.
    pub candidates: u64,
    /// The most tokens that each candidate may have.
    pub limit: Option<u64>,
    /// The length of the prompt, at four bytes a token.
    pub prompt_tokens: u64,
    /// A number made of the prompt, from which ids are made.
    pub seed: u64,
    /// The model was told to think, whatever the manner.
    pub thinks: bool,
    /// The client wants reasoning in a form that it can send back.
    pub seals: bool,
    /// Nobody may read what it thinks.
    pub hides: bool,
    /// The words must be refused, whatever the manner.
    pub refused: bool,
}

/// A tool that the client offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments, `Value::Null` if none was given.
    pub parameters: Value,
}

impl Ask {
    /// A request about which no more is known than its prompt, as JSON text.
    pub fn about(prompt: &str) -> Self {
        Self {
            candidates: 1,
            prompt_tokens: prompt.len() as u64 / 4 + 1,
            seed: seed(prompt),
            ..Self::default()
        }
    }

    /// Reads a request for the continuation of texts, the first of which is quoted; `None` if it is not a JSON
    /// object.
    pub fn read_prompt(body: &[u8]) -> Option<Self> {
        let ask = Self::read(body)?;
        let body: Value = serde_json::from_slice(body).ok()?;
        let prompt = body.get("prompt").unwrap_or(&Value::Null);
        let prompts = match prompt {
            Value::Array(all) if all.iter().any(|one| one.is_string() || one.is_array()) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        let user =
            prompts.first().map(|first| first.as_str().map_or_else(|| first.to_string(), str::to_owned));
        let candidates = (ask.candidates * prompts.len() as u64).clamp(1, CANDIDATES);
        let Self { model, stream, include_usage, limit, .. } = ask;
        let user = user.unwrap_or_default();
        Some(Self {
            model,
            stream,
            include_usage,
            limit,
            user,
            candidates,
            ..Self::about(&prompt.to_string())
        })
    }

    /// Reads a request body; `None` if it is not a JSON object.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        body.as_object()?;
        let messages = body.get("messages").unwrap_or(&Value::Null);
        let prompt = messages.to_string();
        let user = last_user(messages);
        let in_turn = user.contains(IN_TURN);
        let tool_result = tool_result(messages);
        let calls = match tool_result {
            Some(_) if !in_turn => Vec::new(),
            Some(_) | None => calls(&body, in_turn),
        };
        Some(Self {
            model: text(body.get("model")),
            stream: flag(body.get("stream")),
            include_usage: asks_for_usage(&body),
            user,
            tool_result,
            calls,
            structure: structure(&body),
            candidates: count(body.get("n")).unwrap_or(1).clamp(1, CANDIDATES),
            limit: count(body.get("max_completion_tokens")).or_else(|| count(body.get("max_tokens"))),
            ..Self::about(&prompt)
        })
    }
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn flag(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool).unwrap_or(false)
}

fn count(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

fn asks_for_usage(body: &Value) -> bool {
    flag(body.pointer("/stream_options/include_usage")) || flag(body.pointer("/usage/include"))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn last_user(messages: &Value) -> String {
    messages
        .as_array()
        .into_iter()
        .flatten()
        .rev()
        .find(|message| role(message) == "user")
        .map(|message| words(message.get("content")))
        .unwrap_or_default()
}

fn tool_result(messages: &Value) -> Option<String> {
    let last = messages.as_array()?.last()?;
    matches!(role(last), "tool" | "function").then(|| words(last.get("content")))
}

/// The text of content, which is a string or an array of parts.
pub fn words(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    }
}

/// The tools to call: the one that the client insists on, else the first, or the first two; in turn, the first
/// that was not called since the user spoke.
fn calls(body: &Value, in_turn: bool) -> Vec<Tool> {
    let choice = body.get("tool_choice").or_else(|| body.get("function_call"));
    let choice = choice.unwrap_or(&Value::Null);
    if choice.as_str() == Some("none") {
        return Vec::new();
    }
    let mut tools = offered(body);
    let wanted = choice.pointer("/function/name").or_else(|| choice.get("name")).and_then(Value::as_str);
    if let Some(wanted) = wanted {
        tools.retain(|tool| tool.name == wanted);
    }
    if in_turn {
        let called = called(body.get("messages").unwrap_or(&Value::Null));
        tools.retain(|tool| !called.contains(&tool.name.as_str()));
    }
    let parallel = body.get("parallel_tool_calls").and_then(Value::as_bool);
    tools.truncate(if in_turn || parallel == Some(false) { 1 } else { 2 });
    tools
}

/// The tools that were called since the user spoke.
fn called(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().into_iter().flatten().rev();
    let turn = messages.take_while(|message| role(message) != "user");
    let calls = turn.filter_map(|message| message.get("tool_calls")?.as_array()).flatten();
    calls.filter_map(|call| call.pointer("/function/name")?.as_str()).collect()
}

fn offered(body: &Value) -> Vec<Tool> {
    let tools = body.get("tools").and_then(Value::as_array);
    let functions = body.get("functions").and_then(Value::as_array);
    let modern = tools.into_iter().flatten().filter_map(|tool| tool.get("function"));
    modern
        .chain(functions.into_iter().flatten())
        .filter_map(|function| {
            Some(Tool {
                name: function.get("name")?.as_str()?.to_owned(),
                parameters: function.get("parameters").cloned().unwrap_or(Value::Null),
            })
        })
        .collect()
}

fn structure(body: &Value) -> Option<Value> {
    let format = body.get("response_format")?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(Value::Null),
        "json_schema" => Some(
            format
                .pointer("/json_schema/schema")
                .or_else(|| format.get("schema"))
                .cloned()
                .unwrap_or(Value::Null),
        ),
        _ => None,
    }
}

/// FNV-1a: ids must differ between prompts and be the same for the same prompt, no more.
fn seed(prompt: &str) -> u64 {
    prompt
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: Value) -> Ask {
        Ask::read(body.to_string().as_bytes()).expect("an object")
    }

    fn names(ask: &Ask) -> Vec<&str> {
        ask.calls.iter().map(|tool| tool.name.as_str()).collect()
    }

    fn tools(extra: Value) -> Ask {
        let tool = |name: &str| serde_json::json!({"type": "function", "function": {"name": name}});
        let mut body = serde_json::json!({
            "messages": [{"role": "user", "content": "x"}], "tools": [tool("a"), tool("b"), tool("c")]
        });
        for (key, value) in extra.as_object().expect("an object") {
            body[key] = value.clone();
        }
        ask(body)
    }

    #[test]
    fn the_first_two_tools_are_called_unless_the_client_says_otherwise() {
        assert_eq!(names(&tools(serde_json::json!({}))), ["a", "b"]);
        assert_eq!(names(&tools(serde_json::json!({"parallel_tool_calls": false}))), ["a"]);
        assert!(names(&tools(serde_json::json!({"tool_choice": "none"}))).is_empty());
        let one = serde_json::json!({"tool_choice": {"type": "function", "function": {"name": "c"}}});
        assert_eq!(names(&tools(one)), ["c"]);
        let result = serde_json::json!({"messages": [{"role": "tool", "content": "18 °C"}]});
        let result = tools(result);
        assert!(names(&result).is_empty());
        assert_eq!(result.tool_result.as_deref(), Some("18 °C"));
    }

    #[test]
    fn tools_are_called_in_turn_if_the_user_says_so() {
        let call = |name: &str| {
            let call = serde_json::json!({"function": {"name": name}});
            [
                serde_json::json!({"role": "assistant", "tool_calls": [call]}),
                serde_json::json!({"role": "tool", "content": "18 °C"}),
            ]
        };
        let mut messages = vec![serde_json::json!({"role": "user", "content": "one by one"})];
        for name in ["a", "b", "c"] {
            assert_eq!(names(&tools(serde_json::json!({"messages": messages}))), [name]);
            messages.extend(call(name));
        }
        assert!(names(&tools(serde_json::json!({"messages": messages}))).is_empty());
    }

    #[test]
    fn what_is_not_an_object_is_no_request() {
        assert_eq!(Ask::read(b"[]"), None);
        assert_eq!(Ask::read(b"{"), None);
        assert_eq!(Ask::read(b"{}").map(|ask| ask.candidates), Some(1));
    }

    #[test]
    fn content_in_parts_is_read() {
        let parts = serde_json::json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"}
        ]});
        assert_eq!(ask(parts).user, "ab");
    }
}
