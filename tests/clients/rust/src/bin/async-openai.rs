//! async-openai in front of millpond, over chat completions. It shows no reasoning.

use std::process::ExitCode;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::middleware::ReqwestService;
use async_openai::types::chat::{ChatCompletionMessageToolCallChunk, CreateChatCompletionRequest};
use futures::StreamExt;
use millpond_clients::{Shown, Way, exit, goes_well, prompt, tool_result, weather};
use serde_json::{Value, json};

/// The client as README makes it, without retries.
fn client(url: &str) -> Client<OpenAIConfig> {
    let config = include!(concat!(env!("OUT_DIR"), "/", "async-openai (Rust)"));
    Client::with_config(config).with_http_service(ReqwestService::new(reqwest::Client::new()))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Reads streams, or asks for whole answers.
struct Chat {
    streams: bool,
}

impl Way for Chat {
    async fn ask(&self, url: &str, model: &str, tool: bool) -> Result<Shown, String> {
        let client = client(url);
        let mut request = json!({"model": model, "messages": [{"role": "user", "content": prompt()}]});
        if tool {
            let function = json!({"name": "weather", "parameters": weather()});
            request["tools"] = json!([{"type": "function", "function": function}]);
        }
        let mut shown = Shown { text: String::new(), reasoning: None, called: Vec::new() };
        loop {
            let typed: CreateChatCompletionRequest = serde_json::from_value(request.clone()).map_err(told)?;
            let message =
                if self.streams { streamed(&client, typed).await? } else { whole(&client, typed).await? };
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            if calls.is_empty() || shown.called.len() > 2 {
                shown.text = message["content"].as_str().unwrap_or_default().to_owned();
                return Ok(shown);
            }
            let messages = request["messages"].as_array_mut().ok_or("no messages")?;
            messages.push(message);
            for call in calls {
                let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                shown.called.push(serde_json::from_str(arguments).map_err(told)?);
                messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": tool_result()}));
            }
        }
    }
}

/// A message as it goes back, out of a stream.
async fn streamed(
    client: &Client<OpenAIConfig>,
    request: CreateChatCompletionRequest,
) -> Result<Value, String> {
    let mut text = String::new();
    let mut pieces: Vec<ChatCompletionMessageToolCallChunk> = Vec::new();
    let mut stream = client.chat().create_stream(request).await.map_err(told)?;
    while let Some(chunk) = stream.next().await {
        for choice in chunk.map_err(told)?.choices {
            text.push_str(&choice.delta.content.unwrap_or_default());
            pieces.extend(choice.delta.tool_calls.unwrap_or_default());
        }
    }
    let mut calls: Vec<Value> = Vec::new();
    for piece in pieces {
        let at = piece.index as usize;
        let function = piece.function.unwrap_or_default();
        if at >= calls.len() {
            let named = json!({"name": function.name, "arguments": ""});
            calls.resize(at + 1, json!({"id": piece.id, "type": "function", "function": named}));
        }
        let so_far = calls[at]["function"]["arguments"].as_str().unwrap_or_default();
        calls[at]["function"]["arguments"] =
            format!("{so_far}{}", function.arguments.unwrap_or_default()).into();
    }
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

/// The message of a whole answer.
async fn whole(client: &Client<OpenAIConfig>, request: CreateChatCompletionRequest) -> Result<Value, String> {
    let answer = client.chat().create(request).await.map_err(told)?;
    let choice = answer.choices.into_iter().next().ok_or("no choice")?;
    serde_json::to_value(choice.message).map_err(told)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let broken = ["azure", "zhipu", "google tool", "ollama", "sambanova", "home-made tool", "openai/json"];
    let streamed = goes_well("async-openai streamed", &Chat { streams: true }, &broken).await;
    let broken = ["mistral-magistral tool", "together", "legacy tool", "home-made"];
    let whole = goes_well("async-openai whole", &Chat { streams: false }, &broken).await;
    exit([streamed, whole])
}
