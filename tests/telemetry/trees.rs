//! One tree of spans per request: who is whose parent, what each span has, where trace contexts go.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Mock, Reply, ask};
use crate::program::{Program, provider};
use crate::sink::Sink;
use crate::trace::{only_tree, spans, trees};
use crate::upstream::{DONE, LAST_CHUNK, Request, Upstream, chunk, response};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STATE: &str = "pond=mill,other=1";

fn inbound() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A stream of these chunks, whole.
pub fn stream(headers: &str, chunks: &[Value]) -> Vec<u8> {
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{headers}\r\n"
    );
    [head.into_bytes(), chunk(events + DONE), LAST_CHUNK.into()].concat()
}

/// A chunk of an answer with two choices, which says everything that an answer can say of itself.
fn said(choices: Value, more: &Value) -> Value {
    let mut chunk = json!({
        "id": "c-7", "object": "chat.completion.chunk", "created": 7, "model": "gpt-x-2026-08-01",
        "provider": "Pond Inc.", "service_tier": "flex", "system_fingerprint": "fp_44", "choices": choices,
    });
    chunk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    chunk
}

fn full_answer() -> Vec<u8> {
    let choice = |index: u64, delta: Value, finish: Value| json!({"index": index, "delta": delta, "finish_reason": finish});
    let text = |index| choice(index, json!({"role": "assistant", "content": "{}"}), Value::Null);
    let usage = json!({"usage": {
        "prompt_tokens": 120, "completion_tokens": 40, "total_tokens": 160, "cost": 0.0125,
        "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 16, "audio_tokens": 3, "image_tokens": 5, "text_tokens": 112},
        "completion_tokens_details": {"reasoning_tokens": 24, "audio_tokens": 2, "image_tokens": 1, "text_tokens": 37},
    }});
    stream(
        "x-request-id: up-123\r\n",
        &[
            said(json!([text(0)]), &json!({})),
            said(json!([text(1)]), &json!({})),
            said(json!([choice(1, json!({}), json!("length"))]), &json!({})),
            said(json!([choice(0, json!({}), json!("stop"))]), &json!({})),
            said(json!([]), &usage),
        ],
    )
}

fn full_request() -> Value {
    json!({
        "model": "mine/gpt-x", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "system", "content": "Quack."}, {"role": "user", "content": "Hello, ducks!"}],
        "temperature": 0.25, "top_p": 1, "top_k": 40, "max_completion_tokens": 64, "seed": 7,
        "frequency_penalty": 0.125, "presence_penalty": -0.5, "stop": ["END", "###"], "n": 2,
        "reasoning_effort": "high", "response_format": {"type": "json_object"}, "service_tier": "auto",
        "tools": [{"type": "function", "function": {"name": "level", "parameters": {"type": "object"}}}],
        "user": "duck-1", "metadata": {"pond": "mill"}
    })
}

/// An answer of the fewest words, without usage, id or model.
fn bare_answer() -> Vec<u8> {
    let choice = json!({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]});
    stream("", &[choice])
}

/// Asks once, and gives what the client got and what the upstream was asked.
async fn once(
    program: &Program,
    upstream: &mut Upstream,
    body: &Value,
    headers: &[(&str, &str)],
    answer: Vec<u8>,
) -> (Reply, Request) {
    let asked = async {
        let (mut connection, request) = upstream.request().await;
        connection.write(answer).await;
        request
    };
    tokio::join!(program.chat_with(body, headers), asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_request_has_every_attribute() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("full", upstream.address, "", &[sink.endpoint()]).await;
    let (traceparent, address) = (inbound(), upstream.address);
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("tracestate", STATE),
        ("user-agent", "ducks/1"),
        ("x-request-id", "my-own-id"),
    ];
    let (reply, request) = once(&program, &mut upstream, &full_request(), &headers, full_answer()).await;
    reply.complete(true);
    program.stop().await;
    let tree = only_tree(&sink.arrived());

    let server = &tree.server;
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, PARENT));
    assert_eq!((server.name.as_str(), server.kind), ("POST /v1/chat/completions", SpanKind::Server));
    assert_eq!(server.ended(), (StatusCode::Unset, None));
    server.has_exactly(
        json!({
            "http.request.method": "POST", "http.route": "/v1/chat/completions",
            "url.path": "/v1/chat/completions", "url.scheme": "http", "http.response.status_code": 200,
            "user_agent.original": "ducks/1", "millpond.request_id": "my-own-id",
        }),
        &[],
    );

    let inference = tree.inference();
    assert_eq!((inference.name.as_str(), inference.kind), ("chat gpt-x", SpanKind::Client));
    assert_eq!(inference.ended(), (StatusCode::Unset, None));
    assert!(inference.events.is_empty(), "{inference:?}");
    inference.has_exactly(
        json!({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "mine",
            "gen_ai.request.model": "gpt-x", "server.address": "127.0.0.1", "server.port": address.port(),
            "gen_ai.request.temperature": 0.25, "gen_ai.request.top_p": 1.0, "gen_ai.request.top_k": 40,
            "gen_ai.request.max_tokens": 64, "gen_ai.request.seed": 7,
            "gen_ai.request.frequency_penalty": 0.125, "gen_ai.request.presence_penalty": -0.5,
            "gen_ai.request.stop_sequences": ["END", "###"], "gen_ai.request.choice.count": 2,
            "gen_ai.request.reasoning.level": "high", "gen_ai.output.type": "json",
            "gen_ai.request.stream": true, "openai.api.type": "chat_completions",
            "openai.request.service_tier": "auto", "openai.response.service_tier": "flex",
            "openai.response.system_fingerprint": "fp_44", "gen_ai.response.id": "c-7",
            "gen_ai.response.model": "gpt-x-2026-08-01",
            "gen_ai.response.finish_reasons": ["stop", "length"],
            "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 40,
            "gen_ai.usage.cache_read.input_tokens": 80, "gen_ai.usage.cache_write.input_tokens": 16,
            "gen_ai.usage.reasoning.output_tokens": 24, "gen_ai.usage.audio.input_tokens": 3,
            "gen_ai.usage.image.input_tokens": 5, "gen_ai.usage.text.input_tokens": 112,
            "gen_ai.usage.audio.output_tokens": 2, "gen_ai.usage.image.output_tokens": 1,
            "gen_ai.usage.text.output_tokens": 37, "millpond.usage.cost": 0.0125,
            "millpond.route": "mine/gpt-x", "millpond.attempts": 1,
            "millpond.stream.end_reason": "complete", "millpond.upstream.request_id": "up-123",
            "millpond.upstream.provider": "Pond Inc.",
        }),
        &["gen_ai.response.time_to_first_chunk"],
    );
    let first = inference.at("gen_ai.response.time_to_first_chunk").as_f64().unwrap();
    assert!(first > 0.0 && first <= (inference.end - inference.start) as f64 / 1e9, "{first}");

    let attempt = tree.attempt();
    assert_eq!((attempt.name.as_str(), attempt.kind), ("POST", SpanKind::Client));
    attempt.has_exactly(
        json!({
            "http.request.method": "POST", "server.address": "127.0.0.1", "server.port": address.port(),
            "url.full": format!("http://{address}/v1/chat/completions"), "http.response.status_code": 200,
        }),
        &[],
    );
    for span in tree.all() {
        assert_eq!(span.state, STATE, "{}", span.name);
        assert_eq!(span.scope, ("millpond".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        assert_eq!(span.resource["service.name"], "millpond");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
    // What the upstream is told is the innermost span, and nothing of the client's own.
    assert_eq!(request.header("traceparent"), Some(format!("00-{TRACE}-{}-01", attempt.id).as_str()));
    assert_eq!(request.header("tracestate"), Some(STATE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_request_has_no_attribute_of_what_nobody_said() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("bare", upstream.address, "", &[sink.endpoint()]).await;
    let port = upstream.address.port();
    let body = ask("mine/plain", false);
    let (reply, request) = once(&program, &mut upstream, &body, &[], bare_answer()).await;
    let answer = reply.object();
    program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.server.parent, "", "it is the root");
    tree.server.has_exactly(
        json!({
            "http.request.method": "POST", "http.route": "/v1/chat/completions",
            "url.path": "/v1/chat/completions", "url.scheme": "http", "http.response.status_code": 200,
            "millpond.request_id": reply.header("x-request-id"),
        }),
        &[],
    );
    let (id, model, _) = answer.identity.unwrap();
    tree.inference().has_exactly(
        json!({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "mine",
            "gen_ai.request.model": "plain", "server.address": "127.0.0.1", "server.port": port,
            "openai.api.type": "chat_completions", "gen_ai.response.id": id, "gen_ai.response.model": model,
            "gen_ai.response.finish_reasons": ["stop"], "millpond.route": "mine/plain",
            "millpond.attempts": 1, "millpond.stream.end_reason": "complete",
        }),
        // What was missing was mended, and that is told.
        &["gen_ai.response.time_to_first_chunk", "millpond.repairs"],
    );
    let repairs = tree.inference().at("millpond.repairs").as_array().unwrap();
    assert!(repairs.contains(&json!("id_missing")) && repairs.contains(&json!("model_missing")));
    let expect = format!("00-{}-{}-01", tree.server.trace, tree.attempt().id);
    assert_eq!(request.header("traceparent"), Some(expect.as_str()));
    assert_eq!(request.header("tracestate").unwrap_or_default(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_that_the_client_speaks_is_told() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("responses", upstream.address, "", &[sink.endpoint()]).await;
    let served = async {
        let (mut connection, request) = upstream.request().await;
        connection.write(bare_answer()).await;
        request
    };
    let body = json!({"model": "mine/plain", "input": "Hello, ducks!"}).to_string();
    let headers = [("content-type", "application/json")];
    let (reply, request) = tokio::join!(program.send("POST", "/v1/responses", &headers, body), served);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(request.line.starts_with("POST /v1/chat/completions"), "{}", request.line);
    program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.server.at("http.route"), "/v1/responses");
    assert_eq!(tree.inference().at("openai.api.type"), "responses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_choice_is_no_choice_count_and_no_stream_is_not_told() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("parameters", upstream.address, "", &[sink.endpoint()]).await;
    let mut body = ask("mine/m", false);
    let parameters = json!({
        "n": 1, "max_tokens": 9, "stop": "END", "temperature": null, "top_p": "high", "seed": null,
        "reasoning": {"effort": "low"}, "response_format": {"type": "text"}, "service_tier": null,
    });
    body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    once(&program, &mut upstream, &body, &[], bare_answer()).await.0.object();
    program.stop().await;
    let tree = only_tree(&sink.arrived());
    let attributes = &tree.inference().attributes;
    let told = attributes.iter().filter(|(name, _)| {
        ["gen_ai.request.", "gen_ai.output.", "openai.request."].iter().any(|start| name.starts_with(start))
    });
    let told: Value =
        told.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(
        told,
        json!({
            "gen_ai.request.model": "m", "gen_ai.request.max_tokens": 9,
            "gen_ai.request.stop_sequences": ["END"], "gen_ai.request.reasoning.level": "low",
            "gen_ai.output.type": "text",
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_providers_have_the_convention_s_names() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let names = [
        ("openai", "openai"),
        ("azure", "azure.ai.openai"),
        ("google", "gcp.gemini"),
        ("mistral", "mistral_ai"),
        ("moonshot", "moonshot_ai"),
        ("xai", "x_ai"),
        ("groq", "groq"),
        ("openrouter", "openrouter"),
    ];
    let config: String = names.iter().map(|(ours, _)| provider(ours, mock.address, "")).collect();
    let program = Program::start("names", &config, &[sink.endpoint()]).await;
    for (ours, _) in names {
        program.chat(&ask(&format!("{ours}/demo"), true)).await.complete(false);
    }
    program.stop().await;
    let trees = trees(&sink.arrived());
    assert_eq!(trees.len(), names.len());
    for (ours, theirs) in names {
        let route = format!("{ours}/demo");
        let tree = trees.values().find(|tree| tree.inference().at("millpond.route") == &json!(route));
        assert_eq!(tree.unwrap().inference().at("gen_ai.provider.name"), theirs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_in_an_address_are_hidden() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let config = format!(
        "[providers.mine]\nbase_url = \"http://{}/v1?key=open-sesame&api-version=2026-01-01\"\n",
        upstream.address
    );
    let program = Program::start("address", &config, &[sink.endpoint()]).await;
    let (_, request) = once(&program, &mut upstream, &ask("mine/m", true), &[], bare_answer()).await;
    assert!(request.line.contains("open-sesame"), "{}", request.line);
    let ended = program.stop().await;
    let arrived = sink.arrived();
    let url = only_tree(&arrived).attempt().at("url.full").as_str().unwrap().to_owned();
    assert!(url.contains("api-version=2026-01-01") && url.contains("key="), "{url}");
    let seen = String::from_utf8_lossy(&arrived.bytes).contains("open-sesame");
    assert!(!seen && !ended.stderr.contains("open-sesame"), "{url}\n{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_context_that_is_none_begins_a_trace() {
    for (test, header) in [
        ("no_hex", "00-xyz-00f067aa0ba902b7-01"),
        ("zeros", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ("short", "00-4bf92f3577b34da6a3ce929d0e0e4736-01"),
        ("empty", ""),
    ] {
        let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
        let test = format!("context_{test}");
        let program = Program::before(&test, upstream.address, "", &[sink.endpoint()]).await;
        let headers = [("traceparent", header), ("tracestate", STATE)];
        let (_, request) = once(&program, &mut upstream, &ask("mine/m", true), &headers, bare_answer()).await;
        program.stop().await;
        let tree = only_tree(&sink.arrived());
        assert_eq!((tree.server.parent.as_str(), tree.server.state.as_str()), ("", ""), "{test}");
        let expect = format!("00-{}-{}-01", tree.server.trace, tree.attempt().id);
        assert_eq!(request.header("traceparent"), Some(expect.as_str()), "{test}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_is_not_sampled_stays_so() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("unsampled", upstream.address, "", &[sink.endpoint()]).await;
    let header = format!("00-{TRACE}-{PARENT}-00");
    let headers = [("traceparent", header.as_str()), ("tracestate", STATE)];
    let (_, request) = once(&program, &mut upstream, &ask("mine/m", true), &headers, bare_answer()).await;
    let ended = program.stop().await;
    assert!(spans(&sink.arrived()).is_empty());
    let told = request.header("traceparent").unwrap();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    assert_eq!(request.header("tracestate"), Some(STATE));
    assert_eq!(ended.request()["trace_id"], TRACE);
}

/// Asks a provider at this address once, by way of a proxy if `public`, with an inbound trace; gives the
/// request as it arrived.
async fn propagated(test: &str, setting: &str, public: bool, variables: &[(&str, String)]) -> Request {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let host = if public { "api.pond.example".to_owned() } else { upstream.address.to_string() };
    let config = format!(
        "default_provider = \"mine\"\n[telemetry]\n{setting}\n[providers.mine]\nbase_url = \"http://{host}/v1\"\n"
    );
    let mut all = vec![sink.endpoint()];
    if public {
        // The proxy gets what would go to the public host; telemetry does not go through it.
        all.push(("HTTP_PROXY", format!("http://{}", upstream.address)));
        all.push(("NO_PROXY", "127.0.0.1".to_owned()));
    }
    all.extend(variables.iter().cloned());
    let program = Program::start(test, &config, &all).await;
    let traceparent = inbound();
    let headers = [("traceparent", traceparent.as_str()), ("tracestate", STATE)];
    let (_, request) = once(&program, &mut upstream, &ask("mine/m", true), &headers, bare_answer()).await;
    program.stop().await;
    if public {
        let tree = only_tree(&sink.arrived());
        assert_eq!(request.line, "POST http://api.pond.example/v1/chat/completions HTTP/1.1");
        assert_eq!(tree.attempt().at("server.address"), "api.pond.example");
        assert_eq!(tree.attempt().at("server.port"), 80);
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_hosts_alone_are_told_the_trace() {
    for (test, setting, public, told) in [
        ("propagate_private", "", false, true),
        ("propagate_public", "", true, false),
        ("propagate_private_said", "propagate = \"private\"", true, false),
        ("propagate_always", "propagate = \"always\"", true, true),
        ("propagate_never", "propagate = \"never\"", false, false),
    ] {
        let request = propagated(test, setting, public, &[]).await;
        let context = request.header("traceparent");
        // The client's own header is replaced or removed; it is never passed on as it is.
        assert_ne!(context, Some(inbound().as_str()), "{test}");
        assert_eq!(context.is_some_and(|context| context.contains(TRACE)), told, "{test}: {context:?}");
        assert_eq!(request.header("tracestate").is_some_and(|state| state == STATE), told, "{test}");
        if !told {
            let headers = &request.headers;
            let none = headers.iter().all(|(name, _)| !name.starts_with("trace") && name != "baggage");
            assert!(none, "{test}: {headers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_propagators_no_context_comes_in_or_goes_out() {
    let none = ("OTEL_PROPAGATORS", "none".to_owned());
    let request = propagated("propagators_none", "", false, &[none]).await;
    assert_eq!(request.header("traceparent"), None);
    let known = ("OTEL_PROPAGATORS", "tracecontext,baggage".to_owned());
    let request = propagated("propagators_known", "", false, &[known]).await;
    assert!(request.header("traceparent").is_some_and(|context| context.contains(TRACE)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_telemetry_a_trace_context_passes_through() {
    let mock = Mock::start().await;
    let program = Program::before("no_telemetry", mock.address, "", &[]).await;
    let traceparent = inbound();
    let headers = [("traceparent", traceparent.as_str()), ("tracestate", STATE)];
    program.chat_with(&ask("mine/demo", true), &headers).await.complete(false);
    let ended = program.stop().await;
    assert_eq!(ended.request()["trace_id"], TRACE, "the log line belongs to the trace of the client");
    // There is no span between the client's and the upstream's, so theirs are linked.
    let request = &mock.requests().await[0];
    assert_eq!(request["headers"]["traceparent"], traceparent);
    assert_eq!(request["headers"]["tracestate"], STATE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_reaches_a_provider_is_one_span() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("rejected", mock.address, "", &[sink.endpoint()]).await;
    let (json, chat) = ("application/json", "/v1/chat/completions");
    let asked = [
        ("POST", chat, json, "{", 400),
        ("POST", chat, json, "[]", 400),
        ("POST", chat, json, "{\"model\":\"mine/m\"}", 400),
        ("POST", chat, "text/plain", "{}", 415),
        ("POST", chat, json, "{\"model\":\"azure/m\",\"messages\":[{}]}", 404),
        ("POST", "/chat/completions", json, "{", 400),
        ("POST", "/v1/nowhere", json, "{}", 404),
        ("GET", chat, json, "", 405),
    ];
    for (number, (method, path, kind, body, status)) in asked.into_iter().enumerate() {
        let traceparent = format!("00-{number:031x}1-{PARENT}-01");
        let headers = [("content-type", kind), ("traceparent", &traceparent)];
        let reply = program.send(method, path, &headers, body).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path} {body}: {}", reply.text());
    }
    let ended = program.stop().await;
    let trees = trees(&sink.arrived());
    for (number, (method, path, _, body, status)) in asked.into_iter().enumerate() {
        let tree = trees.get(&format!("{number:031x}1"));
        let tree = tree.unwrap_or_else(|| panic!("no span of {method} {path} {body}"));
        let server = &tree.server;
        assert!(tree.inference.is_none(), "{method} {path} {body}");
        let route = path.ends_with(chat.trim_start_matches("/v1")).then_some(path);
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        assert_eq!((&server.name, server.ended()), (&name, (StatusCode::Unset, None)), "{body}");
        assert_eq!(server.at("http.response.status_code"), &json!(status));
        assert_eq!(server.at("http.route"), &json!(route));
        assert_eq!(server.at("url.path"), path);
    }
    assert_eq!(trees.len(), asked.len());
    assert_eq!(mock.requests().await.len(), 0);
    assert_eq!(ended.requests().len(), asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_and_scrapes_are_not_traced() {
    let (sink, mock) = (Sink::start().await, Mock::start().await);
    let program = Program::before("health", mock.address, "", &[sink.endpoint()]).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(program.send("GET", path, &[], "").await.status.as_u16(), 200, "{path}");
    }
    let reply = program.send("GET", "/v1/models", &[], "").await;
    assert_eq!(reply.status.as_u16(), 200);
    let ended = program.stop().await;
    let tree = only_tree(&sink.arrived());
    assert_eq!(tree.server.name, "GET /v1/models");
    assert!(tree.inference.is_none());
    assert_eq!(ended.requests().len(), 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_bring_the_same() {
    let mock = Mock::start().await;
    for (protocol, config) in [
        ("http/protobuf", ""),
        ("grpc", ""),
        // The file alone, without any variable.
        ("", "protocol = \"grpc\""),
        ("", "protocol = \"http/protobuf\"\nheaders = { x-pond = \"mill\" }\nservice_name = \"weir\""),
    ] {
        let sink = Sink::start().await;
        let test = format!("protocol_{}", protocol.len() + config.len());
        let (config, variables) = if config.is_empty() {
            let variables = vec![
                sink.endpoint(),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-pond=mill".to_owned()),
                ("OTEL_SERVICE_NAME", "weir".to_owned()),
            ];
            (String::new(), variables)
        } else {
            let endpoint = format!("[telemetry]\nendpoint = \"http://{}\"\n{config}\n", sink.address);
            (endpoint, Vec::new())
        };
        let program = Program::before(&test, mock.address, &config, &variables).await;
        program.chat(&ask("mine/demo", true)).await.complete(false);
        program.stop().await;
        let arrived = sink.arrived();
        let tree = only_tree(&arrived);
        assert_eq!(tree.inference().at("gen_ai.request.model"), "demo", "{test}");
        assert!(!arrived.metrics.is_empty() && arrived.logs.is_empty(), "{test}");
        let said = |name: &str| arrived.headers.iter().all(|headers| headers.contains_key(name));
        let is_grpc = protocol == "grpc" || config.contains("grpc");
        assert_eq!(said("grpc-accept-encoding") || said("te"), is_grpc, "{test}: {:?}", arrived.headers);
        if !config.contains("grpc") {
            assert!(said("x-pond"), "{test}: {:?}", arrived.headers);
            assert_eq!(tree.server.resource["service.name"], "weir", "{test}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_s_page_is_no_part_of_a_span() {
    let (sink, mut upstream) = (Sink::start().await, Upstream::start().await);
    let program = Program::before("page", upstream.address, "", &[sink.endpoint()]).await;
    let page = response("500 Oops", &[("content-type", "text/html")], "<h1>quagmire</h1>");
    let (reply, _) = once(&program, &mut upstream, &ask("mine/m", true), &[], page.into_bytes()).await;
    assert_eq!(reply.status.as_u16(), 500);
    program.stop().await;
    let arrived = sink.arrived();
    let tree = only_tree(&arrived);
    assert_eq!(tree.inference().ended(), (StatusCode::Error, Some("500")));
    assert!(tree.all().all(|span| !span.message.contains("quagmire")));
    assert!(!String::from_utf8_lossy(&arrived.bytes).contains("quagmire"));
}
