//! Keys: they go to their provider and nowhere else (F6).

use millpond::config::KeyHash;

use crate::certificates::Provider;
use crate::harness::{KEY, Proxy, ask, client};
use crate::program::{Running, command, folder};
use crate::upstream::{Connection, FIRST, LAST_CHUNK, Upstream, chunk, response};

/// The ways in which a provider quotes a key.
fn quotations() -> Vec<(&'static str, Vec<u8>)> {
    let message = format!("Incorrect API key provided: {KEY}. Bearer {KEY} is unknown.");
    let json = format!(
        r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":"{KEY}","code":"{KEY}"}}}}"#
    );
    let escaped = json.replace('-', "\\u002d");
    let event = format!("data: {json}\n\n");
    let kind = |name| [("content-type", name)];
    let stream = |body: String| {
        let head = crate::upstream::SSE_HEAD.as_bytes();
        [head, &chunk(body), LAST_CHUNK.as_bytes()].concat()
    };
    vec![
        ("a refusal", response("401 Unauthorized", &kind("application/json"), &json).into()),
        ("a refusal with escapes", response("401 Unauthorized", &kind("application/json"), &escaped).into()),
        ("a refusal in plain text", response("403 Forbidden", &kind("text/plain"), &message).into()),
        (
            "a refusal as a page",
            response("401 Unauthorized", &kind("text/html"), &format!("<title>{message}</title>")).into(),
        ),
        ("an error with status 200", response("200 OK", &kind("application/json"), &json).into()),
        ("plain text with status 200", response("200 OK", &kind("text/plain"), &message).into()),
        ("a lone error event", stream(event.clone())),
        ("an error in the stream", stream([FIRST, &event].concat())),
        ("an error in the stream with escapes", stream(format!("{FIRST}data: {escaped}\n\n"))),
        ("a bare error in the stream", stream(format!("{FIRST}{json}\n"))),
        ("a broken answer", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec()),
    ]
}

async fn answer(upstream: &mut Upstream, bytes: &[u8]) {
    let (mut connection, request): (Connection, _) = upstream.request().await;
    assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    connection.write(bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_provider_quotes_is_hidden() {
    let mut shown = Vec::new();
    for (what, bytes) in quotations() {
        for stream in [true, false] {
            let mut upstream = Upstream::start().await;
            let config = format!(
                "[providers.mine]\nbase_url = \"http://{}/v1\"\napi_key = \"{KEY}\"",
                upstream.address
            );
            let proxy = Proxy::start(&config).await;
            let request = ask("mine/m", stream);
            let (reply, ()) = tokio::join!(proxy.chat(&request), answer(&mut upstream, &bytes));
            if reply.text().contains(KEY) || format!("{:?}", reply.headers).contains(KEY) {
                shown.push(format!("{what} (stream: {stream}): {}", reply.text()));
            }
            assert!(reply.text().contains("error"), "{what}: {}", reply.text());
        }
    }
    assert!(shown.is_empty(), "{} ways show the key:\n{}", shown.len(), shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_never_prints_a_key() {
    let ours = format!("api_key = \"{KEY}\"\nheaders = {{ x-second = \"{KEY}-second\" }}");
    never_printed("keys", &ours, ["", ""]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_never_prints_a_key_in_an_address() {
    never_printed("query", "", ["", &format!("?key={KEY}")]).await;
}

/// Plays all quotations to the program with this entry of a provider, and looks for keys in what it prints.
/// `around` stands before and behind the provider's address.
async fn never_printed(test: &str, entry: &str, around: [&str; 2]) {
    for level in ["debug", "trace"] {
        let mut upstream = Upstream::start().await;
        let folder = folder(&format!("secrets_{test}_{level}"));
        let [before, behind] = around;
        let url = format!("http://{before}{}/v1{behind}", upstream.address);
        let config = format!(
            "retry.attempts = 1\nlisten = \"127.0.0.1:0\"\n[providers.mine]\nbase_url = \"{url}\"\n{entry}\n"
        );
        std::fs::write(folder.join("millpond.toml"), config).unwrap();
        let mut command = command(&folder);
        command.args(["--log", level]);
        let mut running = Running::start(command);
        let url = format!("http://{}/v1/chat/completions", running.address());
        for (what, bytes) in quotations() {
            let body = ask("mine/m", true).to_string();
            let sent = client()
                .post(&url)
                .header("content-type", "application/json")
                .header("authorization", "Bearer sk-theirs-4711")
                .body(body);
            let answered = async {
                let (mut connection, _) = upstream.request().await;
                connection.write(&bytes).await;
            };
            let (reply, ()) = tokio::join!(sent.send(), answered);
            assert!(reply.unwrap().text().await.unwrap().contains("error"), "{what}");
        }
        running.signal("TERM");
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let printed = ended.stdout + &ended.stderr;
        let lines = || printed.lines();
        println!("{} lines at level {level}", lines().count());
        let shown: Vec<&str> =
            lines().filter(|line| line.contains(KEY) || line.contains("sk-theirs-4711")).collect();
        assert!(shown.is_empty(), "{} lines at level {level}:\n{}", shown.len(), shown.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_never_prints_a_key_that_comes_or_goes_in_http_2() {
    const CLIENTS: &str = "mp-clients-4711";
    let upstream = Provider::plain().await;
    let folder = folder("secrets_http_2");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[keys.one]\nhash = \"{}\"\n{}",
        KeyHash::of(CLIENTS.as_bytes()),
        upstream.entry("http", &format!("http2 = true\napi_key = \"{KEY}\""))
    );
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut command = command(&folder);
    command.args(["--log", "trace"]);
    let mut running = Running::start(command);
    let url = format!("http://{}/v1/chat/completions", running.address());
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for (header, key, status) in [
        ("authorization", format!("Bearer {CLIENTS}"), 200),
        ("x-api-key", CLIENTS.to_owned(), 200),
        ("authorization", format!("Bearer {CLIENTS}-not"), 401),
        ("x-api-key", format!("{CLIENTS}-not"), 401),
    ] {
        let sent = client.post(&url).header("content-type", "application/json").header(header, key);
        let reply = sent.body(ask("mine/m", true).to_string()).send().await.unwrap();
        assert_eq!(reply.status(), status);
        assert!(!reply.text().await.unwrap().contains("mp-"));
    }
    assert_eq!(upstream.asked().len(), 2);
    running.signal("TERM");
    let ended = running.end();
    let printed = ended.stdout + &ended.stderr;
    assert!(printed.contains("h2::"), "nothing was told of HTTP/2");
    let shown: Vec<&str> =
        printed.lines().filter(|line| line.contains(KEY) || line.contains(CLIENTS)).collect();
    assert!(shown.is_empty(), "{} lines:\n{}", shown.len(), shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_not_printed_either() {
    let mut upstream = Upstream::start().await;
    let folder = folder("content");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[providers.mine]\nbase_url = \"http://{}/v1\"\n",
        upstream.address
    );
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut command = command(&folder);
    command.args(["--log", "debug"]);
    let mut running = Running::start(command);
    let url = format!("http://{}/v1/chat/completions", running.address());
    let request = ask("mine/m", true).to_string().replace("Hello, ducks!", "secret prompt");
    let sent = client().post(url).header("content-type", "application/json").body(request);
    let answered = async {
        let (mut connection, _) = upstream.request().await;
        let body = crate::upstream::text("secret answer");
        connection.write(response("200 OK", &[("content-type", "text/event-stream")], &body)).await;
    };
    let (reply, ()) = tokio::join!(sent.send(), answered);
    assert!(reply.unwrap().text().await.unwrap().contains("secret answer"));
    running.signal("TERM");
    let ended = running.end();
    assert!(!(ended.stdout + &ended.stderr).contains("secret"));
}
