//! What arrives at the provider: the client's own fields byte for byte, our model, our key, and nothing of
//! the client's connection.

use crate::harness::{Proxy, Reply, ask, provider};
use crate::upstream::{Request, Upstream};

/// Fields that a parser might be tempted to write anew.
const FIELDS: &str = r#""messages":[{"role":"user","content":"caf\u00e9 🦆\/ "}],"seed":1.50e+2,"temperature":0.10,"tools":[ {"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}} ],"metadata":{"k":null},"x_new":12345678901234567890123,"max_tokens":7"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a body with these headers to a proxy in front of a scripted provider; gives what arrived there, and
/// the answer.
async fn exchange(
    config: impl Fn(&Upstream) -> String,
    headers: &[(&str, &str)],
    body: &str,
) -> (Request, Reply) {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(&upstream)).await;
    let mut all = vec![JSON];
    all.extend(headers);
    let answered = async {
        let (mut connection, request) = upstream.request().await;
        connection.answer().await;
        request
    };
    let (reply, request) =
        tokio::join!(proxy.send("POST", "/v1/chat/completions", &all, body.to_owned()), answered);
    (request, reply)
}

fn of(name: &'static str, more: &'static str) -> impl Fn(&Upstream) -> String {
    move |upstream| provider(name, upstream.address, more)
}

/// What the provider of a row is asked.
async fn asked(row: &'static str, stream: &str, options: &str) -> String {
    let body = format!(r#"{{"model":"{row}/vendor/m:free",{stream}{options}{FIELDS}}}"#);
    let (request, reply) = exchange(of(row, ""), &[], &body).await;
    if stream.contains("true") {
        reply.complete(options.contains("\"include_usage\":true"));
    } else {
        reply.object();
    }
    assert_eq!(request.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    request.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_arrive_byte_for_byte() {
    let with = format!(
        r#"{{"model":"vendor/m:free","stream":true,"stream_options":{{"include_usage":true}},{FIELDS}}}"#
    );
    let without = format!(r#"{{"model":"vendor/m:free","stream":true,{FIELDS}}}"#);
    let options = r#""stream_options":{"include_usage":false},"#;
    for stream in ["", "\"stream\":false,", "\"stream\":null,", "\"stream\":true,"] {
        for options in ["", options] {
            assert_eq!(asked("openai", stream, options).await, with, "{stream} {options}");
            assert_eq!(asked("openrouter", stream, options).await, without, "{stream} {options}");
            assert_eq!(asked("mistral", stream, options).await, without, "{stream} {options}");
        }
    }
    let more = r#""stream_options":{"include_obfuscation":false,"include_usage":true},"#;
    let expect =
        with.replace("{\"include_usage\":true}", "{\"include_usage\":true,\"include_obfuscation\":false}");
    assert_eq!(asked("openai", "\"stream\":true,", more).await.replace("c-1", ""), expect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_key_is_sent_and_not_the_clients() {
    let body = ask("mine/m", true).to_string();
    let key = "api_key = \"sk-ours\"";
    let client = [("authorization", "Bearer sk-theirs"), ("api-key", "theirs"), ("x-api-key", "theirs")];
    let (request, _) = exchange(of("mine", key), &client, &body).await;
    let keys: Vec<_> = request.headers.iter().filter(|(_, value)| value.contains("theirs")).collect();
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(request.header("authorization"), Some("Bearer sk-ours"));

    let header = "api_key = \"sk-ours\"\napi_key_header = \"x-goog-api-key\"";
    let (request, _) = exchange(of("mine", header), &client, &body).await;
    assert_eq!(request.header("x-goog-api-key"), Some("sk-ours"));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_of_ours_the_clients_passes() {
    let body = ask("mine/m", true).to_string();
    let (request, _) = exchange(of("mine", ""), &[("authorization", "Bearer sk-theirs")], &body).await;
    assert_eq!(request.header("authorization"), Some("Bearer sk-theirs"));
    let (request, _) = exchange(of("mine", ""), &[], &body).await;
    assert_eq!(request.header("authorization"), None);
    // A provider of the table that nobody set up wants a key, and the client's will do. It is asked where it
    // really is, so only the lack of one can be seen here: `mistakes` has that.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_has_a_url_per_deployment_and_its_own_header() {
    let azure = |more: &'static str| {
        move |upstream: &Upstream| {
            format!("[providers.azure]\nbase_url = \"http://{}/openai\"\n{more}\n", upstream.address)
        }
    };
    let body = ask("azure/gpt 4o", true).to_string();
    let theirs = [("authorization", "Bearer theirs"), ("api-key", "theirs")];
    let (request, reply) = exchange(azure("api_key = \"az-ours\""), &theirs, &body).await;
    reply.complete(false);
    assert_eq!(
        request.line,
        "POST /openai/deployments/gpt%204o/chat/completions?api-version=2024-10-21 HTTP/1.1"
    );
    assert_eq!((request.header("api-key"), request.header("authorization")), (Some("az-ours"), None));
    assert!(
        request.body.starts_with(r#"{"model":"gpt 4o","stream":true,"stream_options":"#),
        "{}",
        request.body
    );

    let (request, _) = exchange(azure(""), &[("api-key", "theirs")], &body).await;
    assert_eq!((request.header("api-key"), request.header("authorization")), (Some("theirs"), None));

    let version = |upstream: &Upstream| {
        format!(
            "[providers.azure]\nbase_url = \"http://{}/openai?api-version=2025-01-01\"\napi_key = \"az\"\n",
            upstream.address
        )
    };
    let (request, _) = exchange(version, &[], &body).await;
    assert!(request.line.contains("/chat/completions?api-version=2025-01-01 "), "{}", request.line);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_headers_are_sent() {
    let more = "headers = { \"HTTP-Referer\" = \"https://pond.example\", \"X-Title\" = \"Pond\", \"user-agent\" = \"pond/2\" }";
    let (request, _) =
        exchange(of("openrouter", more), &[("x-title", "theirs")], &ask("openrouter/m", true).to_string())
            .await;
    let title: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| name == "x-title")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(title, ["Pond"]);
    assert_eq!(request.header("http-referer"), Some("https://pond.example"));
    assert_eq!(request.header("user-agent"), Some("pond/2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_clients_connection_passes() {
    let client = [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic dGhlaXJz"),
        ("cookie", "session=theirs"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("user-agent", "OpenAI/Python 1.0"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-stainless-lang", "python"),
        ("x-request-id", "theirs"),
        ("origin", "https://theirs.example"),
    ];
    let more = "api_key = \"ours\"\n[cors]\norigins = [\"https://theirs.example\"]";
    let (request, _) = exchange(of("mine", more), &client, &ask("mine/m", true).to_string()).await;
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let ours = [
        "accept",
        "accept-encoding",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ];
    assert_eq!(names, ours);
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("user-agent"), Some(concat!("millpond/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_finds_its_provider() {
    let routes = |upstream: &Upstream| {
        format!(
            "default_provider = \"mine\"\n{}{}[aliases]\nfast = \"groq/llama\"\n\"gpt-4o\" = \"openrouter/openai/gpt-4o\"\nplain = \"bare\"\n",
            ["mine", "groq", "openrouter"]
                .map(|name| {
                    format!("[providers.{name}]\nbase_url = \"http://{}/of/{name}\"\n", upstream.address)
                })
                .concat(),
            ""
        )
    };
    for (model, provider, asked) in [
        ("llama", "mine", "llama"),
        ("meta-llama/llama-3", "mine", "meta-llama/llama-3"),
        ("mine/m", "mine", "m"),
        ("groq/a/b", "groq", "a/b"),
        ("fast", "groq", "llama"),
        ("gpt-4o", "openrouter", "openai/gpt-4o"),
        ("plain", "mine", "bare"),
    ] {
        let (request, reply) = exchange(routes, &[], &ask(model, false).to_string()).await;
        reply.object();
        assert_eq!(request.line, format!("POST /of/{provider}/chat/completions HTTP/1.1"), "{model}");
        assert!(request.body.starts_with(&format!("{{\"model\":\"{asked}\",")), "{model}: {}", request.body);
    }
}
