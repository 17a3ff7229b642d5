//! Functions for the dialects that have nothing else to call and name them as chat completions does.

use std::borrow::Cow;

use serde::Serialize;

use crate::chat::tool::{self, Tool};
use crate::chat::{Chat, RequestError};
use crate::json::Raw;

/// A tool, which is a function.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Wire<'a> {
    Function { function: Function<'a> },
}

/// A function that the client runs.
#[derive(Debug, Serialize)]
pub(super) struct Function<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    parameters: Raw<'a>,
}

impl<'a> Wire<'a> {
    /// The function as the provider gets it.
    pub(super) fn of(function: tool::Function<'a>) -> Wire<'a> {
        let parameters = function.parameters.unwrap_or("{\"type\":\"object\",\"properties\":{}}");
        Wire::Function {
            function: Function {
                name: function.name,
                description: function.description,
                parameters: Raw(parameters),
            },
        }
    }
}

/// The client's functions, or those of them that have one of the names; any other tool is refused.
pub(super) fn read<'a>(
    chat: &'a Chat,
    names: Option<&[Cow<'_, str>]>,
) -> Result<Vec<tool::Function<'a>>, RequestError> {
    let mut functions = Vec::new();
    for (at, tool) in chat.tools()?.into_iter().enumerate() {
        match tool {
            Tool::Function(function) if names.is_none_or(|names| names.contains(&function.name)) => {
                functions.push(function);
            }
            Tool::Function(_) => {}
            Tool::Native(_) => {
                let why = "this API has functions only.";
                return Err(RequestError::unsupported(format!("tools[{at}]"), why));
            }
        }
    }
    Ok(functions)
}
