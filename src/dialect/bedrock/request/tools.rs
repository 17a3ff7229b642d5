//! Tools and how they are chosen.

use std::borrow::Cow;

use super::Builder;
use crate::chat::RequestError;
use crate::chat::message::Message;
use crate::chat::tool::{self, Function, ToolChoice};
use crate::dialect::bedrock::model::{self, Maker};
use crate::dialect::bedrock::wire::{CachePoint, Choice, Schema, Tool, ToolConfig, ToolSpec};
use crate::json::{self, Members, Raw};

/// The schema of a function that takes nothing, or about which nothing is known.
const ANYTHING: &str = "{\"type\":\"object\",\"properties\":{}}";

/// A tool with its name and its marker.
struct Named<'a> {
    name: Option<Cow<'a, str>>,
    tool: Tool<'a>,
    marker: Option<&'a str>,
}

impl<'a> Builder<'a> {
    /// The tools; true if one of them must be called.
    pub(super) fn tools<'b>(
        &mut self,
        messages: &'b [Message<'b>],
    ) -> Result<(Option<ToolConfig<'b>>, bool), RequestError>
    where
        'a: 'b,
    {
        let (mut tools, own) = self.named()?;
        let choice = self.chat.tool_choice()?;
        if let Some(ToolChoice::Allowed { names, .. }) = &choice {
            tools.retain(|tool| tool.name.as_ref().is_some_and(|name| names.contains(name)));
        }
        let had_calls = messages.iter().any(|message| !message.calls.is_empty());
        let is_none = choice == Some(ToolChoice::None);
        if is_none && !had_calls {
            // There is no word for "none": it is said by leaving the tools out.
            return Ok((None, false));
        }
        if is_none && !(tools.is_empty() && own.is_empty()) {
            self.drop("tool_choice");
        }
        let (kind, name) = match choice {
            None | Some(ToolChoice::None) => (None, None),
            Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => (Some("auto"), None),
            Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => (Some("any"), None),
            Some(ToolChoice::Function(name)) => (Some("tool"), Some(name)),
        };
        let has_tools = !(tools.is_empty() && own.is_empty());
        if !own.is_empty() {
            self.additional.push(("tools", Cow::Owned(format!("[{}]", own.join(",")))));
        }
        let alone = has_tools && !is_none && self.chat.parallel_tool_calls() == Some(false);
        let by_claude = alone && model::is_recent_claude(self.model);
        if by_claude {
            self.additional.push(("tool_choice", Cow::Owned(alone_choice(kind, name.as_deref()))));
        } else if alone {
            self.drop("parallel_tool_calls");
        }
        let tool_choice = kind.filter(|_| has_tools && !by_claude).map(|kind| match (kind, name) {
            (_, Some(name)) => Choice::Tool { name },
            ("any", None) => Choice::Any {},
            (_, None) => Choice::Auto {},
        });
        let is_forced = has_tools && matches!(kind, Some("any" | "tool"));
        let mut list: Vec<Tool<'b>> = Vec::new();
        for Named { tool, marker, .. } in tools {
            list.push(tool);
            list.extend(marker.map(|marker| Tool::CachePoint(CachePoint::of(marker))));
        }
        if list.is_empty() {
            // A conversation with calls must say which tools there are.
            list = called(messages);
        }
        let config = (!list.is_empty()).then_some(ToolConfig { tools: list, tool_choice });
        Ok((config, is_forced))
    }

    /// The tools in Converse's form, and those of Claude's own, as JSON texts.
    fn named(&mut self) -> Result<(Vec<Named<'a>>, Vec<&'a str>), RequestError> {
        let (mut tools, mut own) = (Vec::new(), Vec::new());
        for (at, tool) in self.chat.tools()?.into_iter().enumerate() {
            let raw = match tool {
                tool::Tool::Function(mut function) => {
                    let is_strict = function.strict == Some(true);
                    if is_strict && !model::is_recent_claude(self.model) {
                        // Others refuse the request for it.
                        function.strict = None;
                        self.drop("tools.strict");
                    }
                    tools.push(named(function));
                    continue;
                }
                tool::Tool::Native(raw) => raw,
            };
            let members = Members::of(raw);
            let has = |name: &str| members.find(name).is_some();
            if has("toolSpec") || has("systemTool") || has("cachePoint") {
                tools.push(Named { name: None, tool: Tool::Native(Raw(raw)), marker: None });
            } else if matches!(self.maker, Maker::Claude(_))
                && has("name")
                && members.find("type") != Some("\"custom\"")
            {
                own.push(raw);
            } else {
                let why = "this API has no such tool. Use a function, or a tool in Bedrock's own form.";
                return Err(RequestError::unsupported(format!("tools[{at}]"), why));
            }
        }
        Ok((tools, own))
    }
}

fn named(function: Function<'_>) -> Named<'_> {
    let spec = ToolSpec {
        name: function.name.clone(),
        description: function.description.filter(|text| !text.is_empty()),
        input_schema: Schema::Json(Raw(function.parameters.unwrap_or(ANYTHING))),
        strict: function.strict.filter(|strict| *strict),
    };
    Named { name: Some(function.name), tool: Tool::ToolSpec(spec), marker: function.cache_control }
}

/// Claude's own way to say how tools are chosen: one at a time.
fn alone_choice(kind: Option<&str>, name: Option<&str>) -> String {
    let mut out = Vec::from(b"{\"type\":");
    json::write_string(kind.unwrap_or("auto"), &mut out);
    if let Some(name) = name {
        out.extend_from_slice(b",\"name\":");
        json::write_string(name, &mut out);
    }
    out.extend_from_slice(b",\"disable_parallel_tool_use\":true}");
    String::from_utf8_lossy(&out).into_owned()
}

/// The tools that were called before, as far as they are known.
fn called<'b>(messages: &'b [Message<'b>]) -> Vec<Tool<'b>> {
    let mut names: Vec<&str> = Vec::new();
    for call in messages.iter().flat_map(|message| &message.calls) {
        if !names.contains(&call.name.as_ref()) {
            names.push(&call.name);
        }
    }
    let spec = |name| ToolSpec {
        name: Cow::Borrowed(name),
        description: None,
        input_schema: Schema::Json(Raw(ANYTHING)),
        strict: None,
    };
    names.into_iter().map(|name| Tool::ToolSpec(spec(name))).collect()
}
