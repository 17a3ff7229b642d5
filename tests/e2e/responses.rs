//! The Responses API over sockets: streams, objects, faults, retries, tools in three turns, answers that are kept.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Mock, Proxy, Reply, assert_stream_headers, provider};
use crate::native::rows::{NATIVES, Native};
use crate::native::{THOUGHT, WORDS, start};
use crate::support::contract::End;
use crate::support::responses::{Response, check_object, check_stream};
use crate::upstream::{DONE, FINISH, FIRST, LAST_CHUNK, SSE_HEAD, Upstream, chunk};

const HEADERS: [(&str, &str); 1] = [("content-type", "application/json")];
/// The manners of the mock that break most clients without the proxy.
const MANNERS: [&str; 5] = ["openai", "openrouter", "perplexity", "groq", "mistral"];

async fn post(proxy: &Proxy, body: &Value) -> Reply {
    proxy.send("POST", "/v1/responses", &HEADERS, body.to_string()).await
}

/// What a client understood of an answer that keeps the rules.
#[track_caller]
fn understood(reply: &Reply, stream: bool) -> Response {
    assert_eq!(reply.status, 200, "{}", reply.text());
    if stream {
        assert_stream_headers(&reply.headers);
        check_stream(&reply.body).unwrap_or_else(|rule| panic!("{rule}\n{}", reply.text()))
    } else {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        check_object(&reply.body).unwrap_or_else(|rule| panic!("{rule}\n{}", reply.text()))
    }
}

#[track_caller]
fn complete(reply: &Reply, stream: bool) -> Response {
    let response = understood(reply, stream);
    assert_eq!(response.end, End::Complete, "{}", reply.text());
    response
}

fn ask(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "input": "Hello, ducks!"})
}

/// A request with two tools, which are called one after the other.
fn ask_tools(native: &Native, stream: bool) -> Value {
    let tool = |name: &str, key: &str| {
        let parameters = json!({"type": "object", "properties": {key: {"type": "string"}}});
        json!({"type": "function", "name": name, "parameters": parameters})
    };
    json!({
        "model": format!("{}/{}", native.provider, native.model),
        "stream": stream,
        "max_output_tokens": 4000,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [tool("weather", "city"), tool("clock", "zone")],
        "input": [{"role": "user", "content": "What is up? Use the tools one by one."}],
    })
}

/// Answers the calls of a response.
fn results(response: &Response) -> Vec<Value> {
    let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "18 °C"});
    response.choice.calls.iter().map(|call| result(&call.id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_the_same_as_a_stream_and_as_an_object() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        let mut body = ask_tools(&native, true);
        body.as_object_mut().unwrap().remove("tools");
        body["input"] = json!("Hello, ducks!");
        let mut all = Vec::new();
        for stream in [true, false] {
            body["stream"] = json!(stream);
            let response = complete(&post(&proxy, &body).await, stream);
            assert!(response.choice.text.contains(WORDS), "{native:?}: {}", response.choice.text);
            assert_eq!(response.choice.reasoning, THOUGHT, "{native:?}");
            assert_eq!(response.object["reasoning"]["effort"], "medium");
            all.push((response.choice, response.usage.expect("usage is reported")));
        }
        assert_eq!(all[0], all[1], "{native:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_manner_is_one_answer() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for manner in MANNERS {
        let texts = [true, false].map(async |stream| {
            let reply = post(&proxy, &ask(&format!("demo/{manner}"), stream)).await;
            complete(&reply, stream).choice.text
        });
        for text in texts {
            assert!(text.await.contains(WORDS), "{manner}");
        }
    }
}

/// Items go back as they came; reasoning that a provider signed arrives as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_in_three_turns_with_reasoning_that_comes_back() {
    let (mock, proxy) = start("[reasoning_memory]\nenabled = false\n").await;
    for native in NATIVES {
        for (stream, by_id) in [(true, false), (false, false), (true, true)] {
            let mut body = ask_tools(&native, stream);
            for name in ["weather", "clock", ""] {
                let reply = post(&proxy, &body).await;
                let response = complete(&reply, stream);
                let choice = &response.choice;
                assert_eq!(choice.reasoning, THOUGHT, "{native:?} {name}");
                let names: Vec<&str> = choice.calls.iter().map(|call| call.name.as_str()).collect();
                let results = results(&response);
                if name.is_empty() {
                    assert!(choice.text.starts_with("The tool says: “18 °C”."), "{}", choice.text);
                    assert!(names.is_empty(), "{native:?}");
                } else {
                    assert_eq!(names, [name], "{native:?}");
                }
                if by_id {
                    body["previous_response_id"] = response.object["id"].clone();
                    body["input"] = json!(results);
                } else {
                    let input = body["input"].as_array_mut().unwrap();
                    input.extend(response.object["output"].as_array().unwrap().iter().cloned());
                    input.extend(results);
                }
            }
            let sent = mock.requests().await.pop().unwrap().to_string();
            let thoughts = if native.takes_thoughts { 2 } else { 0 };
            assert_eq!(sent.matches("A short answer will do").count(), thoughts, "{native:?}: {sent}");
            let signatures = if native.takes_thoughts { 0 } else { 2 };
            assert_eq!(sent.matches("\"thoughtSignature\"").count(), signatures, "{native:?}: {sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_the_middle_is_told_as_the_last_event() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for (fault, code) in [
        ("cut-after-3", "truncated"),
        ("abort-after-3", "connection_lost"),
        ("garbage-3", "malformed"),
        ("error-3", "upstream_error"),
        ("bare-error-3", "upstream_error"),
    ] {
        for manner in ["openai", "openrouter"] {
            let reply = post(&proxy, &ask(&format!("demo/{manner}/{fault}"), true)).await;
            let response = understood(&reply, true);
            assert_eq!(response.end, End::Fault(code.to_owned()), "{manner} {fault}");
            let error = &response.object["error"];
            assert_eq!((&error["provider"], &error["code"]), (&json!("mine"), &json!("server_error")));
            let reply = post(&proxy, &ask(&format!("demo/{manner}/{fault}"), false)).await;
            assert_eq!(reply.error(502)["code"], code, "{manner} {fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_an_error_in_the_apis_envelope() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    for (fault, status) in [("401", 401), ("429", 429), ("500-html", 500), ("empty", 502)] {
        for stream in [true, false] {
            let reply = post(&proxy, &ask(&format!("demo/openai/{fault}"), stream)).await;
            assert_eq!(reply.error(status)["provider"], "mine");
            assert_eq!(reply.header("retry-after").is_some(), fault == "429");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_said_nothing_leaves_no_trace() {
    let mut upstream = Upstream::start().await;
    let config = "[retry]\nbase = \"1ms\"\n";
    let proxy = Proxy::of("mine", upstream.address, config).await;
    let body = ask("m", true);
    let asked = post(&proxy, &body);
    let served = async {
        let (mut first, _) = upstream.request().await;
        let role = FIRST.replace("Hello", "");
        let head = SSE_HEAD.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        first.write([head.as_bytes(), &chunk(role), LAST_CHUNK.as_bytes()].concat()).await;
        first.closed().await;
        upstream.request().await.0.answer().await;
    };
    let (reply, ()) = tokio::join!(asked, served);
    let response = complete(&reply, true);
    assert_eq!(response.choice.text, "Hello");
    assert_eq!(reply.header("x-millpond-attempts"), Some("2"));
    assert_eq!(reply.text().matches("response.created").count(), 2, "its name and its type, once");
}

/// As a client does that sees the bytes.
async fn connect(proxy: &Proxy, body: &Value) -> Client {
    let mut client = Client::connect(proxy.address).await;
    let body = body.to_string();
    let head = "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_filled_in_both_forms() {
    for (form, sign) in [("comment", ": keep-alive\n\n"), ("chunk", "event: response.in_progress\n")] {
        let config = format!("headers_after = \"20ms\"\nkeep_alive = \"50ms\"\nkeep_alive_form = \"{form}\"");
        let mut upstream = Upstream::start().await;
        let proxy = Proxy::of("mine", upstream.address, &config).await;
        let mut client = connect(&proxy, &ask("m", true)).await;
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        assert_eq!(client.head().await.status, 200);
        let mut heard = String::new();
        while heard.matches(sign).count() < 3 {
            heard.push_str(&client.chunk().await.expect("the answer goes on"));
        }
        connection.chunk([FINISH, DONE].concat()).await;
        connection.write(LAST_CHUNK).await;
        heard.push_str(&client.rest().await);
        let response = check_stream(heard.as_bytes()).unwrap_or_else(|rule| panic!("{rule}\n{heard}"));
        assert_eq!((response.choice.text.as_str(), response.end), ("Hello", End::Complete));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_kept_for_its_client() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "").await;
    let first = complete(&post(&proxy, &ask("demo/openai", true)).await, true);
    let id = first.object["id"].as_str().unwrap().to_owned();
    assert_eq!(first.object["store"], true);
    let path = format!("/v1/responses/{id}");
    let other = complete(&post(&proxy, &ask("demo/openai", true)).await, true);
    assert_ne!(other.object["id"], first.object["id"], "the provider gives all answers one id");
    assert_eq!(proxy.get(&path).await.json(), first.object);
    let mine = [("authorization", "Bearer of-another")];
    assert_eq!(proxy.send("GET", &path, &mine, "").await.error(404)["type"], "not_found_error");

    let mut next = ask("demo/openai", false);
    next["previous_response_id"] = json!(id);
    let second = complete(&post(&proxy, &next).await, false);
    assert_eq!(second.object["previous_response_id"], json!(id));
    let sent = mock.requests().await.pop().unwrap()["body"]["messages"].clone();
    let roles: Vec<&str> = sent.as_array().unwrap().iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(sent[1]["content"], json!(first.choice.text));

    next["previous_response_id"] = second.object["id"].clone();
    next["input"] = json!([{"type": "item_reference", "id": first.object["output"][0]["id"]}]);
    complete(&post(&proxy, &next).await, false);
    let sent = mock.requests().await.pop().unwrap()["body"]["messages"].clone();
    assert_eq!(sent.as_array().unwrap().len(), 4, "{sent}");

    let gone = proxy.send("DELETE", &path, &[], "").await;
    assert_eq!(gone.json(), json!({"id": id, "object": "response", "deleted": true}));
    proxy.send("DELETE", &path, &[], "").await.error(404);
    next["previous_response_id"] = json!(id);
    next["input"] = json!("And now?");
    let error = post(&proxy, &next).await.error(400);
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("previous_response_not_found"), &json!("previous_response_id"))
    );

    let mut forgotten = ask("demo/openai", false);
    forgotten["store"] = json!(false);
    let forgotten = complete(&post(&proxy, &forgotten).await, false);
    assert_eq!(forgotten.object["store"], false);
    proxy.get(&format!("/v1/responses/{}", forgotten.object["id"].as_str().unwrap())).await.error(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_where_the_store_is_off() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "[responses_store]\nenabled = false").await;
    let first = complete(&post(&proxy, &ask("demo/openai", false)).await, false);
    assert_eq!(first.object["store"], false);
    let id = first.object["id"].as_str().unwrap();
    proxy.get(&format!("/v1/responses/{id}")).await.error(404);
    let mut next = ask("demo/openai", false);
    next["previous_response_id"] = json!(id);
    assert_eq!(post(&proxy, &next).await.error(400)["code"], "previous_response_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_forgotten_in_time() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "[responses_store]\nttl = \"1ms\"").await;
    let first = complete(&post(&proxy, &ask("demo/openai", false)).await, false);
    let path = format!("/v1/responses/{}", first.object["id"].as_str().unwrap());
    crate::harness::until("the end of its time", async || proxy.get(&path).await.status == 404).await;
}

/// A provider that speaks the API gets the request as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_says_passes_to_who_speaks_its_api() {
    let mut upstream = Upstream::start().await;
    let url = format!("http://{}/v1", upstream.address);
    let config = format!(
        "[providers.openai]\nbase_url = \"{url}\"\ndialect = \"openai-responses\"\napi_key = \"of-a-test\""
    );
    let proxy = Proxy::start(&config).await;
    let mut body = json!({
        "model": "openai/gpt-5",
        "instructions": "Be kind.",
        "input": [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary", "content": [{"type": "output_text", "text": "a", "annotations": [{"type": "x"}]}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"},
        ],
        "tools": [{"type": "web_search", "filters": {"a": 1}}, {"type": "custom", "name": "sql"}],
        "tool_choice": {"type": "web_search"},
        "truncation": "auto",
        "store": false,
        "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
        "previous_response_id": "resp_of_another",
        "stream": false,
    });
    let asked = post(&proxy, &body);
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_9", "model": "gpt-5", "created_at": 7}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"query": "q"}}}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gBBB"}}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": {"type": "message", "id": "msg_2", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "f", "arguments": "{}"}}),
        json!({"type": "response.completed", "response": {"status": "completed"}}),
    ];
    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let served = async {
        let (mut connection, request) = upstream.request().await;
        connection.write([SSE_HEAD.as_bytes(), &chunk(events), LAST_CHUNK.as_bytes()].concat()).await;
        request
    };
    let (reply, request) = tokio::join!(asked, served);
    body["model"] = json!("gpt-5");
    body["stream"] = json!(true);
    assert_eq!(serde_json::from_str::<Value>(&request.body).unwrap(), body);
    let output = complete(&reply, false).object["output"].clone();
    let ids: Vec<&str> = output.as_array().unwrap().iter().filter_map(|item| item["id"].as_str()).collect();
    assert_eq!(ids, ["ws_2", "rs_2", "msg_2", "fc_2"]);
    assert_eq!(
        (&output[0]["action"]["query"], &output[1]["encrypted_content"]),
        (&json!("q"), &json!("gBBB"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_cannot_do_is_refused_in_the_clients_words() {
    let (_mock, proxy) = start("").await;
    let anthropic = NATIVES[0];
    let mut body = ask(&format!("{}/{}", anthropic.provider, anthropic.model), true);
    body["tools"] = json!([{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "mcp"}]);
    let error = post(&proxy, &body).await.error(400);
    assert_eq!(error["param"], "tools[1]");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"web_search\"") && message.contains("\"mcp\""), "{message}");

    body["tools"] = json!([]);
    body["instructions"] = json!("Be kind.");
    let sound = json!({"type": "input_audio", "input_audio": {"data": "QUI=", "format": "wav"}});
    body["input"] = json!([{"type": "web_search_call"}, {"role": "user", "content": [sound]}]);
    assert_eq!(post(&proxy, &body).await.error(400)["param"], "input[1].content[0]");

    body["input"] = json!([]);
    assert_eq!(post(&proxy, &body).await.error(400)["param"], "input");
    body["input"] = json!("x");
    body["max_output_tokens"] = json!("many");
    assert_eq!(post(&proxy, &body).await.error(400)["param"], "max_output_tokens");
    body["max_output_tokens"] = json!(100);
    body["metadata"] = json!({"a": "b"});
    let reply = post(&proxy, &body).await;
    assert_eq!(reply.header("x-millpond-dropped"), Some("metadata"));
    assert_eq!(complete(&reply, true).object["metadata"], json!({"a": "b"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_an_incomplete_answer() {
    let (_mock, proxy) = start("").await;
    for native in NATIVES {
        for stream in [true, false] {
            let mut body = ask(&format!("{}/{}", native.provider, native.model), stream);
            body["max_output_tokens"] = json!(native.least.max(5));
            let response = complete(&post(&proxy, &body).await, stream);
            assert_eq!(response.object["status"], "incomplete", "{native:?}");
            assert_eq!(response.object["incomplete_details"]["reason"], "max_output_tokens");
            let last = response.object["output"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["status"], "incomplete", "{native:?}: {last}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_takes_its_methods_only() {
    let mock = Mock::start().await;
    let proxy = Proxy::start(&provider("mine", mock.address, "")).await;
    proxy.get("/v1/responses").await.error(405);
    proxy.send("POST", "/v1/responses/resp_1", &HEADERS, "{}").await.error(405);
    proxy.get("/v1/responses/resp_1").await.error(404);
    let reply = proxy.send("POST", "/v1/responses", &HEADERS, "[]").await;
    assert_eq!(reply.error(400)["type"], "invalid_request_error");
}
