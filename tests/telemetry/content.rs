//! Prompts, answers and keys: nowhere, unless the operator switches their capture on, and then in the shapes
//! of the convention.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Value, json};

use crate::harness::{KEY, Mock, ask};
use crate::program::Program;
use crate::sink::{Arrived, Sink};
use crate::support::contract::End;
use crate::trace::{Attributes, Tree, attributes, only_tree, trees};
use crate::trees::stream;
use crate::upstream::{Upstream, response};

/// Words that stand in everything that is content.
const SECRETS: [&str; 9] =
    ["plover", "quagmire", "zephyr", "wombat", "xylem", "juniper", "kestrel", "sk-client-77aa41", KEY];
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
const CONTENT: [&str; 4] = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
];

/// A request with a secret in each place where content may be.
fn request(stream: bool) -> Value {
    json!({
        "model": "mine/m", "stream": stream, "user": "plover", "metadata": {"note": "plover"},
        "messages": [
            {"role": "system", "content": "zephyr rules"},
            {"role": "user", "content": [
                {"type": "text", "text": "a quagmire"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJDquagmire"}},
                {"type": "image_url", "image_url": {"url": "https://pond.example/quagmire.png"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "level", "arguments": "{\"pond\":\"quagmire\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "quagmire deep"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "level", "description": "wombat", "parameters": {"type": "object", "properties": {"wombat": {}}},
        }}],
    })
}

/// An answer with reasoning, text and a call.
fn answer() -> Vec<u8> {
    let delta = |delta: Value, finish: Value| {
        json!({
            "id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let call = |arguments: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]});
    let begin = json!({"tool_calls": [
        {"index": 0, "id": "call_9", "type": "function", "function": {"name": "level", "arguments": ""}},
    ]});
    stream(
        "",
        &[
            delta(json!({"role": "assistant", "reasoning_content": "xylem "}), Value::Null),
            delta(json!({"reasoning_content": "thoughts"}), Value::Null),
            delta(json!({"content": "juni"}), Value::Null),
            delta(json!({"content": "per 🦆"}), Value::Null),
            delta(begin, Value::Null),
            delta(call("{\"pond\":"), Value::Null),
            delta(call("\"kestrel\"}"), Value::Null),
            delta(json!({}), json!("tool_calls")),
        ],
    )
}

/// Asks once; gives what arrived, and what else can be seen.
async fn once(
    test: &str,
    config: &str,
    variables: &[(&str, String)],
    body: &Value,
    answer: Vec<u8>,
) -> (Arrived, String, crate::harness::Reply) {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let mut all = vec![sink.endpoint()];
    all.extend(variables.iter().cloned());
    let program = Program::before(test, upstream.address, config, &all).await;
    let headers = [("authorization", "Bearer sk-client-77aa41")];
    let asked = async {
        let (mut connection, _) = upstream.request().await;
        connection.write(answer).await;
    };
    let (reply, ()) = tokio::join!(program.chat_with(body, &headers), asked);
    let scraped = program.scrape().await;
    let ended = program.stop().await;
    (sink.arrived(), scraped + &ended.stderr, reply)
}

/// Checks that no secret can be seen anywhere.
#[track_caller]
fn check_silent(what: &str, arrived: &Arrived, seen: &str) {
    assert!(!arrived.traces.is_empty() && !arrived.metrics.is_empty(), "{what}");
    let sent = String::from_utf8_lossy(&arrived.bytes);
    let headers = format!("{:?}", arrived.headers);
    for secret in SECRETS {
        for (place, text) in [("telemetry", sent.as_ref()), ("headers", &headers), ("metrics or logs", seen)]
        {
            let at = text.find(secret);
            let around = at.map(|at| {
                String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(60)..(at + 40).min(text.len())])
            });
            assert!(at.is_none(), "{what}: {secret} is in {place}: {around:?}");
        }
    }
    assert!(arrived.logs.is_empty(), "{what}: {:?}", arrived.logs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_is_recorded_by_default() {
    let no_content = |word: &str| vec![(CAPTURE, word.to_owned())];
    for (test, config, variables) in [
        ("silent", "", vec![]),
        ("silent_no_content", "", no_content("NO_CONTENT")),
        // The variable wins over the file.
        ("silent_over_file", "[telemetry]\ncapture_content = \"span_and_event\"", no_content("no_content")),
        ("silent_debug", "", vec![("RUST_LOG", "debug".to_owned())]),
    ] {
        for stream in [true, false] {
            let (arrived, seen, reply) = once(test, config, &variables, &request(stream), answer()).await;
            assert!(reply.text().contains("kestrel"), "{}", reply.text());
            check_silent(test, &arrived, &seen);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failure_quotes_is_not_recorded_either() {
    let quoted = json!({"error": {"message": format!("plover quagmire {KEY} sk-client-77aa41"), "type": "kestrel", "code": "xylem"}});
    let json = [("content-type", "application/json")];
    let refused = response("401 No", &json, &quoted.to_string());
    let midway = stream("", &[json!({"choices": [{"delta": {"content": "juniper"}}]}), quoted.clone()]);
    let unreadable =
        stream("", &[json!({"choices": [{"delta": {"content": "juniper"}}]}), json!("quagmire")]);
    let page = response("200 Fine", &[("content-type", "text/html")], "<p>quagmire</p>");
    for (test, answer) in [
        ("quoted_refusal", refused.into_bytes()),
        ("quoted_midway", midway),
        ("quoted_unreadable", unreadable),
        ("quoted_page", page.into_bytes()),
    ] {
        let debug = ("RUST_LOG", "debug".to_owned());
        let (arrived, seen, _) = once(test, "", &[debug], &request(true), answer).await;
        check_silent(test, &arrived, &seen);
    }
    // What a client sends that is no request at all.
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("quoted_rejected", mock.address, "", &[sink.endpoint()]).await;
    let headers = [("content-type", "application/json"), ("authorization", "Bearer sk-client-77aa41")];
    for body in [
        "{\"model\":\"mine/m\",\"messages\":[quagmire",
        "{\"model\":\"azure/m\",\"messages\":[{\"content\":\"plover\"}]}",
    ] {
        program.send("POST", "/v1/chat/completions", &headers, body).await;
    }
    program.send("GET", "/v1/nothing?key=juniper", &headers, "").await;
    let (scraped, ended) = (program.scrape().await, program.stop().await);
    check_silent("rejected", &sink.arrived(), &(scraped + &ended.stderr));
}

fn input() -> Value {
    json!([
        {"role": "user", "parts": [
            {"type": "text", "content": "a quagmire"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJDquagmire"},
            {"type": "uri", "modality": "image", "uri": "https://pond.example/quagmire.png"},
        ]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "call_1", "name": "level", "arguments": {"pond": "quagmire"}},
        ]},
        {"role": "tool", "parts": [
            {"type": "tool_call_response", "id": "call_1", "response": "quagmire deep"},
        ]},
    ])
}

fn output() -> Value {
    json!([{"role": "assistant", "parts": [
        {"type": "reasoning", "content": "xylem thoughts"},
        {"type": "text", "content": "juniper 🦆"},
        {"type": "tool_call", "id": "call_9", "name": "level", "arguments": {"pond": "kestrel"}},
    ], "finish_reason": "tool_calls"}])
}

/// Checks that all content is there, in the convention's shapes.
#[track_caller]
fn check_content(what: &str, attributes: &Attributes) {
    let parsed = |name: &str| -> Value {
        let text = attributes.get(name).and_then(Value::as_str);
        serde_json::from_str(text.unwrap_or_else(|| panic!("{what}: no {name} in {attributes:#?}"))).unwrap()
    };
    assert_eq!(parsed("gen_ai.input.messages"), input(), "{what}");
    assert_eq!(parsed("gen_ai.output.messages"), output(), "{what}");
    let instructions = json!([{"type": "text", "content": "zephyr rules"}]);
    assert_eq!(parsed("gen_ai.system_instructions"), instructions, "{what}");
    let tools = json!([{
        "type": "function", "name": "level", "description": "wombat",
        "parameters": {"type": "object", "properties": {"wombat": {}}},
    }]);
    assert_eq!(parsed("gen_ai.tool.definitions"), tools, "{what}");
}

/// The log records that arrived.
fn records(arrived: &Arrived) -> Vec<LogRecord> {
    let groups = arrived.logs.iter().flat_map(|message| &message.resource_logs);
    groups.flat_map(|group| &group.scope_logs).flat_map(|scope| &scope.log_records).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_where_the_operator_wants_it() {
    for (test, config, variable, on_span, in_event) in [
        ("span", "", "SPAN_ONLY", true, false),
        ("event", "", "EVENT_ONLY", false, true),
        ("both", "", "SPAN_AND_EVENT", true, true),
        ("span_in_file", "[telemetry]\ncapture_content = \"span_only\"", "", true, false),
        ("event_in_file", "[telemetry]\ncapture_content = \"event_only\"", "", false, true),
        ("both_in_file", "[telemetry]\ncapture_content = \"span_and_event\"", "", true, true),
    ] {
        let mut variables = Vec::new();
        if !variable.is_empty() {
            variables.push((CAPTURE, variable.to_owned()));
        }
        for stream in [true, false] {
            let (arrived, seen, _) = once(test, config, &variables, &request(stream), answer()).await;
            let tree = only_tree(&arrived);
            let inference = tree.inference();
            if on_span {
                check_content(test, &inference.attributes);
            } else {
                let there = CONTENT.into_iter().find(|name| inference.attributes.contains_key(*name));
                assert_eq!(there, None, "{test}");
            }
            let records = records(&arrived);
            assert_eq!(records.len(), usize::from(in_event), "{test}");
            for record in records {
                assert_eq!(record.event_name, "gen_ai.client.inference.operation.details");
                check_content(test, &attributes(&record.attributes));
                check_place(&tree, &record);
            }
            check_elsewhere(test, &tree, &seen);
        }
    }
}

/// The record belongs to the inference.
#[track_caller]
fn check_place(tree: &Tree, record: &LogRecord) {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let inference = tree.inference();
    assert_eq!(
        (hex(&record.trace_id), hex(&record.span_id)),
        (inference.trace.clone(), inference.id.clone())
    );
    let attributes = attributes(&record.attributes);
    for name in ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"] {
        assert_eq!(&attributes[name], inference.at(name));
    }
}

/// Keys are in no place, and content is neither on other spans nor in logs.
#[track_caller]
fn check_elsewhere(what: &str, tree: &Tree, seen: &str) {
    let others = format!("{:?} {:?}", tree.server, tree.attempts);
    let all = format!("{tree:?}");
    for secret in SECRETS {
        assert!(!seen.contains(secret) && !others.contains(secret), "{what}: {secret}");
    }
    assert!(!all.contains(KEY) && !all.contains("sk-client-77aa41"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_cut_to_its_limit_and_stays_json() {
    for limit in [0, 1, 7, 20, 64, 200] {
        let config = format!("[telemetry]\ncapture_content = \"span_only\"\ncontent_limit_bytes = {limit}");
        let mut body = request(true);
        body["messages"][1]["content"] = "🦆".repeat(1000).into();
        let test = format!("limit_{limit}");
        let (arrived, _, _) = once(&test, &config, &[], &body, answer()).await;
        let tree = only_tree(&arrived);
        for name in CONTENT {
            let text = tree.inference().at(name).as_str().unwrap_or_else(|| panic!("{limit}: no {name}"));
            let value: Value =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{limit}: {error}: {text}"));
            let list = value.as_array().unwrap_or_else(|| panic!("{limit}: {text}"));
            assert!(list.iter().all(Value::is_object), "{limit}: {text}");
            let size: usize = list.iter().map(content_size).sum();
            // The mark of a cut is beyond the limit.
            assert!(size <= limit + 2 * '…'.len_utf8(), "{name} of {limit}: {size}: {text}");
        }
        let text = tree.inference().at("gen_ai.input.messages").as_str().unwrap();
        assert!(!text.contains('\u{fffd}') && text.contains('…'), "{limit}: {text}");
    }
}

/// How many bytes of content a message or a tool holds: the texts that are no names of the convention.
fn content_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(content_size).sum(),
        Value::Object(map) => {
            let content = |name: &&String| {
                !["type", "role", "id", "name", "finish_reason", "modality", "mime_type"]
                    .contains(&name.as_str())
            };
            map.keys().filter(content).map(|name| content_size(&map[name])).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_has_the_content_that_came() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let variables = [sink.endpoint(), (CAPTURE, "span_only".to_owned())];
    let program = Program::before("cut_content", mock.address, "", &variables).await;
    let reply = program.chat(&ask("mine/demo/openai/cut-after-5", true)).await;
    let answer = reply.stream(false);
    assert_eq!(answer.end, End::Fault("truncated".to_owned()));
    program.stop().await;
    let trees = trees(&sink.arrived());
    let inference = trees.values().next().unwrap().inference();
    let told: Value = serde_json::from_str(inference.at("gen_ai.output.messages").as_str().unwrap()).unwrap();
    let text = &answer.choices[&0].text;
    assert!(!text.is_empty());
    let expect = json!([{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "error"}]);
    assert_eq!(told, expect);
}

/// Text completions are an operation of their own, and as silent as chats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_told_of_by_its_own_name() {
    for capture in ["no_content", "span_and_event"] {
        let (sink, mock) = (Sink::start().await, Mock::start().await);
        let variables = [sink.endpoint(), (CAPTURE, capture.to_owned())];
        let program = Program::before(&format!("texts_{capture}"), mock.address, "", &variables).await;
        let body = json!({"model": "mine/demo", "prompt": "a quagmire", "max_tokens": 5}).to_string();
        let headers = [("content-type", "application/json")];
        let reply = program.send("POST", "/v1/completions", &headers, body).await;
        let said = reply.json()["choices"][0]["text"].as_str().unwrap().to_owned();
        assert!(said.contains("quagmire"), "{said}");
        let (scraped, ended) = (program.scrape().await, program.stop().await);
        let (arrived, seen) = (sink.arrived(), scraped + &ended.stderr);
        let tree = only_tree(&arrived);
        let inference = tree.inference();
        assert_eq!(tree.server.at("http.route"), "/v1/completions");
        assert_eq!(inference.name, "text_completion demo");
        assert_eq!(inference.at("gen_ai.operation.name"), "text_completion");
        assert_eq!(inference.at("gen_ai.request.max_tokens"), 5);
        assert!(!inference.attributes.contains_key("openai.api.type"));
        if capture == "no_content" {
            check_silent(capture, &arrived, &seen);
            continue;
        }
        let parsed = |name| serde_json::from_str::<Value>(inference.at(name).as_str().unwrap()).unwrap();
        let part = |text: &str| json!([{"type": "text", "content": text}]);
        assert_eq!(parsed("gen_ai.input.messages"), json!([{"role": "user", "parts": part("a quagmire")}]));
        let told = json!([{"role": "assistant", "parts": part(&said), "finish_reason": "length"}]);
        assert_eq!(parsed("gen_ai.output.messages"), told);
        records(&arrived).iter().for_each(|record| check_place(&tree, record));
        check_elsewhere(capture, &tree, &seen);
    }
}
