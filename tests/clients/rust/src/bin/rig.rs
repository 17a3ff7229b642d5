//! rig in front of millpond, over the Responses API, which it speaks by itself, and over chat completions.

use std::process::ExitCode;

use millpond_clients::{Shown, Way, exit, goes_well, prompt, tool_result, weather};
use rig_core::completion::{CompletionRequest, Message, ToolDefinition};
use rig_core::message::{ToolCall, ToolName, ToolResultContent};
use rig_core::providers::openai::{OpenAI, OpenAIConfig};
use serde_json::Value;

/// The client as README makes it.
fn client(url: &str) -> OpenAI {
    include!(concat!(env!("OUT_DIR"), "/", "rig (Rust)"))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Reads streams or asks for whole answers, over one of the two APIs.
struct Rig {
    chat: bool,
    streams: bool,
}

impl Way for Rig {
    async fn ask(&self, url: &str, model: &str, tool: bool) -> Result<Shown, String> {
        let client = client(url);
        let name = ToolName::new("weather").map_err(told)?;
        let offered = tool.then(|| ToolDefinition::new(name, "What the sky will do.", weather()));
        let mut last = Message::from(prompt());
        let mut before = Vec::new();
        let mut shown = Shown { text: String::new(), reasoning: Some(String::new()), called: Vec::new() };
        loop {
            let asked = CompletionRequest::new(last.clone()).messages(before.clone());
            let asked = asked.tools(offered.iter().cloned().collect());
            let answer = match (self.chat, self.streams) {
                (true, true) => client.chat(model).stream(asked).map_err(told)?.finish().await,
                (true, false) => client.chat(model).call(asked).await,
                (false, true) => client.responses(model).stream(asked).map_err(told)?.finish().await,
                (false, false) => client.responses(model).call(asked).await,
            };
            let answer = answer.map_err(told)?;
            shown.reasoning.get_or_insert_default().push_str(&answer.reasoning());
            let calls: Vec<_> = answer.tool_calls().cloned().collect();
            if calls.is_empty() || shown.called.len() > 2 {
                shown.text = answer.text();
                return Ok(shown);
            }
            shown.called.extend(calls.iter().map(|call| Value::Object(call.function.arguments.clone())));
            before.extend([last].into_iter().chain(answer.message()));
            let result = |call: ToolCall| call.result(vec![ToolResultContent::text(tool_result())]);
            last = Message::tool_results(calls.into_iter().map(result).collect());
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (streams, chat) = (true, true);
    let broken =
        ["huggingface", "litellm-glm tool", "snowflake", "legacy tool", "whole-message", "home-made"];
    let of_chat = goes_well("rig chat streamed", &Rig { chat, streams }, &broken).await;
    let broken = ["mistral-magistral", "perplexity", "snowflake", "legacy tool"];
    let whole_of_chat = goes_well("rig chat whole", &Rig { chat, streams: false }, &broken).await;
    // The fake provider speaks this API in one manner; what carries the events differs.
    let broken = ["openai/cr", "openai/nan-3", "openai/surrogate", "openai/json"];
    let of_responses = goes_well("rig responses streamed", &Rig { chat: false, streams }, &broken).await;
    let whole = goes_well("rig responses whole", &Rig { chat: false, streams: false }, &[]).await;
    exit([of_chat, whole_of_chat, of_responses, whole])
}
