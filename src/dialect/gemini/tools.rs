//! The tools of a chat and how they are chosen.

use std::borrow::Cow;

use super::schema::schema;
use super::wire::{Calling, Declaration, Json, Tool, ToolConfig};
use crate::chat::tool::{self, Function, ToolChoice};
use crate::chat::{Chat, RequestError};
use crate::json::{self, Members};

/// Names of other APIs for the tools of this one.
const ALIASES: &[(&str, &str)] = &[
    ("web_search", "googleSearch"),
    ("web_search_preview", "googleSearch"),
    ("code_interpreter", "codeExecution"),
    ("web_fetch", "urlContext"),
];

/// The tools that may be used, and how they are chosen. `joins` is true for models that take functions beside
/// the API's own tools, if they are told to show what those do.
pub(super) fn tools<'a>(
    chat: &'a Chat,
    joins: bool,
    dropped: &mut Vec<String>,
) -> Result<(Vec<Tool<'a>>, Option<ToolConfig<'a>>), RequestError> {
    let mut declarations = Vec::new();
    let mut native: Vec<Tool<'a>> = Vec::new();
    for (at, tool) in chat.tools()?.into_iter().enumerate() {
        match tool {
            tool::Tool::Function(function) => declarations.push(declaration(function, dropped)),
            tool::Tool::Native(raw) => {
                let members = Members::of(raw);
                if members.find("type") == Some("\"custom\"") {
                    let why = "this API has no tools that take free text. Use a function.";
                    return Err(RequestError::unsupported(format!("tools[{at}]"), why));
                }
                native.push(own(&members));
            }
        }
    }
    if let Some(options) = chat.given("web_search_options") {
        native.push(Tool::Native(Json(Cow::Borrowed("{\"googleSearch\":{}}"))));
        dropped.extend(Members::of(options).0.iter().map(|(name, _)| format!("web_search_options.{name}")));
    }
    let choice = chat.tool_choice()?.map(|choice| calling(choice, &mut declarations));
    let has_functions = !declarations.is_empty();
    let config = ToolConfig {
        function_calling_config: choice.filter(|_| has_functions),
        include_server_side_tool_invocations: (joins && has_functions && !native.is_empty()).then_some(true),
    };
    let mut tools = native;
    if has_functions {
        tools.insert(0, Tool::Functions { declarations });
    }
    // The model alone decides how many calls it makes at once.
    if chat.parallel_tool_calls() == Some(false) && has_functions {
        dropped.push("parallel_tool_calls".to_owned());
    }
    let says =
        config.function_calling_config.is_some() || config.include_server_side_tool_invocations.is_some();
    Ok((tools, says.then_some(config)))
}

fn declaration<'a>(function: Function<'a>, dropped: &mut Vec<String>) -> Declaration<'a> {
    if function.cache_control.is_some() && !dropped.iter().any(|known| known == "cache_control") {
        dropped.push("cache_control".to_owned());
    }
    // An object without properties is a function without parameters.
    let parameters = function.parameters.filter(|raw| {
        let members = Members::of(raw);
        let none = members.find("properties").is_none_or(json::says_nothing);
        !(none && members.find("type") == Some("\"object\""))
    });
    Declaration {
        name: function.name,
        description: function.description,
        parameters_json_schema: parameters.map(schema).map(Json),
    }
}

/// A tool of the API's own: `{"type": "google_search"}` is `{"googleSearch": {}}`, with whatever settings
/// stand beside the type or under its name.
fn own<'a>(members: &Members<'a>) -> Tool<'a> {
    let kind = members.find("type").and_then(json::word).unwrap_or_default();
    let alias = ALIASES.iter().find(|(name, _)| *name == kind).map(|(_, own)| (*own).to_owned());
    let name = alias.unwrap_or_else(|| camel(&kind));
    let inner = members.find(&name).or_else(|| members.find(&kind)).filter(|raw| raw.starts_with('{'));
    let settings = inner.map(str::to_owned).unwrap_or_else(|| {
        let mut out = Vec::from(b"{");
        for (name, value) in members.0.iter().filter(|(name, _)| name != "type" && name != "name") {
            if out.len() > 1 {
                out.push(b',');
            }
            json::write_string(name, &mut out);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    });
    let mut quoted = Vec::new();
    json::write_string(&name, &mut quoted);
    Tool::Native(Json(Cow::Owned(format!("{{{}:{settings}}}", String::from_utf8_lossy(&quoted)))))
}

/// `google_search` as `googleSearch`.
fn camel(name: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => out.extend(c.to_uppercase()),
            _ => out.push(c),
        }
    }
    out
}

/// How functions are chosen; those that may not be are left out where the API cannot name the others.
fn calling<'a>(choice: ToolChoice<'a>, declarations: &mut Vec<Declaration<'a>>) -> Calling<'a> {
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Auto => ("AUTO", Vec::new()),
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Function(name) => ("ANY", vec![name]),
        ToolChoice::Allowed { names, required: true } => ("ANY", names),
        ToolChoice::Allowed { names, required: false } => {
            declarations.retain(|declaration| names.contains(&declaration.name));
            ("AUTO", Vec::new())
        }
    };
    Calling { mode, allowed_function_names }
}
