//! The tools of a chat and how they are to be chosen.

use std::borrow::Cow;

use super::{Chat, RequestError};
use crate::json::{self, Members};

/// One tool.
#[derive(Debug)]
pub enum Tool<'a> {
    /// A function of the client's.
    Function(Function<'a>),
    /// A tool of the provider's own, as JSON text.
    Native(&'a str),
}

/// A function that the client runs.
#[derive(Debug)]
pub struct Function<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of its parameters, as JSON text.
    pub parameters: Option<&'a str>,
    /// Whether the arguments must follow the schema to the letter.
    pub strict: Option<bool>,
    /// Its marker: JSON text.
    pub cache_control: Option<&'a str>,
}

/// How tools are chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Required,
    /// This function.
    Function(Cow<'a, str>),
    /// One of these functions, or, if not `required`, none.
    Allowed {
        /// The functions.
        names: Vec<Cow<'a, str>>,
        /// At least one of them must be called.
        required: bool,
    },
}

impl Chat {
    /// The tools, in the client's order; those of the older form as well.
    pub fn tools(&self) -> Result<Vec<Tool<'_>>, RequestError> {
        let mut tools = Vec::new();
        for (at, raw) in json::elements(self.given("tools").unwrap_or_default()).into_iter().enumerate() {
            let members = Members::of(raw);
            // Clients may leave the type out; some providers have tools without one.
            let is_function = match members.find("type").and_then(json::word).as_deref() {
                None => ["function", "name"].iter().any(|name| members.find(name).is_some()),
                Some(kind) => kind == "function",
            };
            if !is_function {
                tools.push(Tool::Native(raw));
                continue;
            }
            // The Responses API has no wrapper around the function.
            let inner = members.find("function").map(Members::of);
            let mut function = function(inner.as_ref().unwrap_or(&members), || format!("tools[{at}]"))?;
            let marker = members.find("cache_control").filter(|raw| raw.starts_with('{'));
            function.cache_control = marker.or(function.cache_control);
            tools.push(Tool::Function(function));
        }
        for (at, raw) in json::elements(self.given("functions").unwrap_or_default()).into_iter().enumerate() {
            tools.push(Tool::Function(function(&Members::of(raw), || format!("functions[{at}]"))?));
        }
        Ok(tools)
    }

    /// How tools are chosen, if the client says so.
    pub fn tool_choice(&self) -> Result<Option<ToolChoice<'_>>, RequestError> {
        let (field, raw) = match (self.given("tool_choice"), self.given("function_call")) {
            (Some(raw), _) => ("tool_choice", raw),
            (None, Some(raw)) => ("function_call", raw),
            (None, None) => return Ok(None),
        };
        let choice = if raw.starts_with('{') {
            let members = Members::of(raw);
            match members.find("type").and_then(json::word).as_deref() {
                Some("allowed_tools") => allowed(&members),
                Some("function" | "tool" | "custom") | None => named(&members),
                Some(word) => by_word(word),
            }
        } else {
            json::word(raw).as_deref().and_then(by_word)
        };
        match choice {
            Some(choice) => Ok(Some(choice)),
            None => Err(RequestError::Malformed {
                place: field.to_owned(),
                expected: "\"auto\", \"none\", \"required\" or one function",
            }),
        }
    }

    /// Whether several tools may be called at once, if the client says so.
    pub fn parallel_tool_calls(&self) -> Option<bool> {
        flag(self.given("parallel_tool_calls")?)
    }
}

fn flag(raw: &str) -> Option<bool> {
    match raw {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn function<'a>(members: &Members<'a>, place: impl Fn() -> String) -> Result<Function<'a>, RequestError> {
    let name = members
        .find("name")
        .and_then(json::word)
        .ok_or_else(|| RequestError::Malformed { place: place(), expected: "a function with a name" })?;
    let schema = ["parameters", "input_schema"].iter().find_map(|name| members.find(name));
    Ok(Function {
        name,
        description: members.find("description").and_then(json::word),
        parameters: schema.filter(|raw| raw.starts_with('{')),
        strict: members.find("strict").and_then(flag),
        cache_control: members.find("cache_control").filter(|raw| raw.starts_with('{')),
    })
}

fn by_word<'a>(word: &str) -> Option<ToolChoice<'a>> {
    match word {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" | "any" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn named<'a>(members: &Members<'a>) -> Option<ToolChoice<'a>> {
    let inner = members.find("function").map(Members::of);
    let name = inner.as_ref().unwrap_or(members).find("name").and_then(json::word);
    name.map(ToolChoice::Function)
}

fn allowed<'a>(members: &Members<'a>) -> Option<ToolChoice<'a>> {
    let inner = members.find("allowed_tools").map(Members::of);
    let inner = inner.as_ref().unwrap_or(members);
    let tools = json::elements(inner.find("tools")?);
    let names = tools.into_iter().filter_map(|raw| match named(&Members::of(raw)) {
        Some(ToolChoice::Function(name)) => Some(name),
        Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required | ToolChoice::Allowed { .. })
        | None => None,
    });
    let required = inner.find("mode").and_then(json::word).as_deref() == Some("required");
    Some(ToolChoice::Allowed { names: names.collect(), required })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(extra: &str) -> Chat {
        Chat::read(format!("{{\"model\":\"m\",\"messages\":[{{}}],{extra}}}").as_bytes()).unwrap()
    }

    #[test]
    fn every_form_of_tool_choice_is_read() {
        let named = || ToolChoice::Function("f".into());
        for (raw, expect) in [
            (r#""tool_choice":"auto""#, ToolChoice::Auto),
            (r#""tool_choice":"none""#, ToolChoice::None),
            (r#""tool_choice":"required""#, ToolChoice::Required),
            (r#""tool_choice":{"type":"any"}"#, ToolChoice::Required),
            (r#""tool_choice":{"type":"function","function":{"name":"f"}}"#, named()),
            (r#""tool_choice":{"type":"function","name":"f"}"#, named()),
            (r#""tool_choice":{"type":"tool","name":"f"}"#, named()),
            (r#""function_call":{"name":"f"}"#, named()),
            (
                r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                ToolChoice::Allowed { names: vec!["f".into()], required: true },
            ),
        ] {
            assert_eq!(chat(raw).tool_choice().unwrap(), Some(expect), "{raw}");
        }
        assert_eq!(chat(r#""tool_choice":null"#).tool_choice(), Ok(None));
        assert_eq!(chat(r#""tool_choice":"odd""#).tool_choice().unwrap_err().param(), Some("tool_choice"));
    }

    #[test]
    fn tools_of_both_forms_are_read() {
        let chat = chat(
            r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}},"cache_control":{"type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search"}],"functions":[{"name":"g"}]"#,
        );
        let tools = chat.tools().unwrap();
        let [Tool::Function(f), Tool::Native(native), Tool::Function(g)] = tools.as_slice() else {
            panic!("{tools:?}")
        };
        assert_eq!((f.name.as_ref(), f.parameters), ("f", Some(r#"{"type":"object"}"#)));
        assert!(f.cache_control.is_some() && native.contains("web_search") && g.parameters.is_none());
    }
}
