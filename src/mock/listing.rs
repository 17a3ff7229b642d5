//! The lists of models, each where its provider has it and in its form.

use http::request::Parts;

use super::json::{Handwriting, Json, Object};
use super::render;

/// The list that is asked for; `None` if there is none at that path.
pub fn find(parts: &Parts) -> Option<String> {
    let query = parts.uri.query().unwrap_or_default();
    let list = match parts.uri.path() {
        "/v1/models" if parts.headers.contains_key("anthropic-version") => anthropic(),
        // The whole list has models that do not chat.
        "/v1/models" if query.contains("endpoint=chat") => cohere(),
        "/v1/models" => openai(),
        "/v1beta/models" => gemini(),
        "/api/tags" => ollama(),
        _ => return None,
    };
    Some(list.write(Handwriting::default()))
}

fn openai() -> Object {
    // Without the provider's name: whoever lists the provider puts it in front.
    let models = super::models().into_iter().map(|name| {
        let model = Object::default()
            .with("id", name.strip_prefix("demo/").unwrap_or(&name))
            .with("object", "model")
            .with("created", render::CREATED)
            .with("owned_by", "millpond");
        Json::from(model)
    });
    Object::default().with("object", "list").with("data", models.collect::<Vec<_>>())
}

fn anthropic() -> Object {
    let model = Object::default()
        .with("type", "model")
        .with("id", "claude-sonnet-4-5")
        .with("display_name", "Claude Sonnet 4.5")
        .with("created_at", "2025-09-29T00:00:00Z");
    Object::default()
        .with("data", vec![Json::from(model)])
        .with("has_more", false)
        .with("first_id", "claude-sonnet-4-5")
        .with("last_id", "claude-sonnet-4-5")
}

fn cohere() -> Object {
    let model = Object::default()
        .with("name", "command-a-03-2025")
        .with("endpoints", vec![Json::from("chat")])
        .with("context_length", 256_000_u64);
    Object::default().with("models", vec![Json::from(model)])
}

fn gemini() -> Object {
    let model = Object::default()
        .with("name", "models/gemini-2.5-flash")
        .with("displayName", "Gemini 2.5 Flash")
        .with("inputTokenLimit", 1_048_576_u64);
    Object::default().with("models", vec![Json::from(model)])
}

fn ollama() -> Object {
    let model = Object::default()
        .with("name", "qwen3:8b")
        .with("model", "qwen3:8b")
        .with("details", Object::default().with("family", "qwen3"));
    Object::default().with("models", vec![Json::from(model)])
}
