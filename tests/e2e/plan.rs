//! What Cohere's models plan before they call tools is reasoning, and goes back as the plan that it was.

use serde_json::json;

use crate::harness::{Mock, Proxy};

const PLAN: &str = "I will look at the étang.";

#[tokio::test]
async fn a_plan_arrives_as_reasoning_and_goes_back_as_a_plan() {
    let mock = Mock::start().await;
    let config = format!("[providers.cohere]\nbase_url = \"http://{}/v2\"\n", mock.address);
    let proxy = Proxy::start(&config).await;
    let parameters = json!({"type": "object", "properties": {"pond": {"type": "string"}}});
    let mut body = json!({
        "model": "cohere/command-a-03-2025",
        "stream": true,
        "messages": [{"role": "user", "content": "How deep is the pond?"}],
        "tools": [{"type": "function", "function": {"name": "depth", "parameters": parameters}}],
    });
    let answer = proxy.chat(&body).await.complete(false);
    let choice = &answer.choices[&0];
    assert_eq!((choice.reasoning.as_str(), choice.text.as_str()), (PLAN, ""));
    assert_eq!((choice.finish.as_deref(), choice.calls.len()), (Some("tool_calls"), 1));

    body["stream"] = json!(false);
    let object = proxy.chat(&body).await.json();
    let message = object["choices"][0]["message"].clone();
    assert_eq!(message["reasoning_content"], PLAN, "{object}");

    let id = message["tool_calls"][0]["id"].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_call_id": id, "content": "3 m"}));
    proxy.chat(&body).await.object();
    let sent = mock.requests().await.pop().unwrap();
    assert_eq!(sent["body"]["messages"][1]["tool_plan"], PLAN, "{sent}");
}
