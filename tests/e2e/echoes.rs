//! A client that sends back all that it got, in each of the three APIs, while its providers change: nothing that one
//! of them left in the conversation is refused by the next.

use serde_json::{Value, json};

use crate::harness::{Mock, Proxy};
use crate::native::rows::{NATIVES, Native, RESPONSES};
use crate::native::start;

/// What comes back comes from the client alone.
const FORGETFUL: &str = "[reasoning_memory]\nenabled = false\n";
const WORDS: &str = "What is up? Use the tools one by one.";

/// How a client of one API goes on.
struct Client {
    path: &'static str,
    /// The list that it sends.
    list: &'static str,
    /// A request with two tools.
    ask: fn() -> Value,
    /// What it says of reasoning to a provider.
    think: fn(&Native, &mut Value),
    /// What it makes of an answer.
    echo: fn(&Value) -> Echo,
}

/// What goes into the list of a client that got an answer.
struct Echo {
    said: Vec<Value>,
    /// The names of what was called.
    called: Vec<String>,
    results: Vec<Value>,
}

const CLIENTS: [Client; 3] = [
    Client {
        path: "/v1/chat/completions",
        list: "messages",
        ask: || {
            json!({
                "max_tokens": 4000,
                "messages": [{"role": "user", "content": WORDS}],
                "tools": tools(|name, schema| json!({"type": "function", "function": {"name": name, "parameters": schema}})),
            })
        },
        think: |native, body| {
            let (field, how) = native.think;
            for name in ["reasoning_effort", "reasoning"] {
                body.as_object_mut().unwrap().remove(name);
            }
            body[field] = serde_json::from_str(how).unwrap();
        },
        echo: |answer| {
            let message = &answer["choices"][0]["message"];
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            let result =
                |call: &Value| json!({"role": "tool", "tool_call_id": call["id"], "content": "18 °C"});
            Echo {
                said: vec![message.clone()],
                called: names(&calls, "/function/name"),
                results: calls.iter().map(result).collect(),
            }
        },
    },
    Client {
        path: "/v1/messages",
        list: "messages",
        ask: || {
            json!({
                "max_tokens": 4000,
                "messages": [{"role": "user", "content": WORDS}],
                "tools": tools(|name, schema| json!({"name": name, "input_schema": schema})),
            })
        },
        think: |native, body| {
            body["thinking"] = match native.model.ends_with("4-6") {
                true => json!({"type": "adaptive", "display": "summarized"}),
                false => json!({"type": "enabled", "budget_tokens": 2000}),
            };
        },
        echo: |answer| {
            let content = answer["content"].as_array().unwrap();
            let calls: Vec<Value> =
                content.iter().filter(|block| block["type"] == "tool_use").cloned().collect();
            let result =
                |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "18 °C"});
            let results: Vec<Value> = calls.iter().map(result).collect();
            let said = json!({"role": "assistant", "content": content});
            let results =
                if results.is_empty() { vec![] } else { vec![json!({"role": "user", "content": results})] };
            Echo { said: vec![said], called: names(&calls, "/name"), results }
        },
    },
    Client {
        path: "/v1/responses",
        list: "input",
        ask: || {
            json!({
                "max_output_tokens": 4000,
                "reasoning": {"effort": "medium", "summary": "auto"},
                "input": [{"role": "user", "content": WORDS}],
                "tools": tools(|name, schema| json!({"type": "function", "name": name, "parameters": schema})),
            })
        },
        think: |_, _| {},
        echo: |answer| {
            let output = answer["output"].as_array().unwrap();
            let calls: Vec<Value> =
                output.iter().filter(|item| item["type"] == "function_call").cloned().collect();
            let result = |call: &Value| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "18 °C"});
            Echo {
                said: output.clone(),
                called: names(&calls, "/name"),
                results: calls.iter().map(result).collect(),
            }
        },
    },
];

fn tools(tool: fn(&str, Value) -> Value) -> Value {
    let one = |(name, key): (&str, &str)| {
        tool(name, json!({"type": "object", "properties": {key: {"type": "string"}}}))
    };
    [("weather", "city"), ("clock", "zone")].map(one).into_iter().collect()
}

fn names(calls: &[Value], place: &str) -> Vec<String> {
    calls.iter().map(|call| call.pointer(place).unwrap().as_str().unwrap().to_owned()).collect()
}

/// Three turns, each answered by the next of these.
async fn converse(mock: &Mock, proxy: &Proxy, client: &Client, natives: [&Native; 3]) {
    let who = natives.map(|native| native.provider).join(" → ");
    let mut body = (client.ask)();
    for (native, expect) in natives.into_iter().zip([&["weather"][..], &["clock"], &[]]) {
        body["model"] = json!(format!("{}/{}", native.provider, native.model));
        (client.think)(native, &mut body);
        let post = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")];
        let reply = proxy.send("POST", client.path, &post, body.to_string()).await;
        assert_eq!(reply.status, 200, "{} {who}, {}: {}", client.path, native.provider, reply.text());
        let Echo { said, called, results } = (client.echo)(&reply.json());
        assert_eq!(called, expect, "{} {who}, {}", client.path, native.provider);
        // Names that only clients of the Responses API know.
        let is_responses = client.list == "input";
        assert!(is_responses || !reply.text().contains("item_id"), "{} {who}: {}", client.path, reply.text());
        let list = body[client.list].as_array_mut().unwrap();
        list.extend(said);
        list.extend(results);
    }
    let sent = mock.requests().await.pop().unwrap()["body"].to_string();
    for word in ["item_id", "millpond.", "extra_content"] {
        assert!(!sent.contains(word), "{} {who}: {word} in {sent}", client.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_provider_left_the_next_one_takes() {
    let (mock, proxy) = start(FORGETFUL).await;
    for client in &CLIENTS {
        for other in &NATIVES {
            converse(&mock, &proxy, client, [&RESPONSES, other, &RESPONSES]).await;
            converse(&mock, &proxy, client, [other, &RESPONSES, other]).await;
        }
    }
}
