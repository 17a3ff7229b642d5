//! Who may ask: client keys, hosts, origins; and that no key goes where it should not.

use std::path::Path;

use millpond::config::KeyHash;
use serde_json::json;

use crate::client::Client;
use crate::harness::{Mock, Proxy, Reply, ask, client, provider, until, within};
use crate::program::{Ended, Running, command, folder};
use crate::upstream::{Upstream, response};

const ONE: &str = "mp-one-4f9c2d7be1a8";
const TWO: &str = "mp-two-77aa41c09e5d";

/// The entry of a client key.
fn entry(name: &str, key: &str, more: &str) -> String {
    format!("[keys.{name}]\nhash = \"{}\"\n{more}\n", KeyHash::of(key.as_bytes()))
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_client_keys_everything_but_health_wants_one() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, &entry("one", ONE, "")).await;
    let refused = [
        (vec![], "wants a key"),
        (vec![("authorization", "Bearer mp-unknown")], "does not know"),
        (vec![("x-api-key", "mp-unknown")], "does not know"),
    ];
    for (headers, told) in refused {
        let refuse = |reply: Reply| {
            let error = reply.error(401);
            assert_eq!(error["type"], "authentication_error", "{error}");
            assert!(error["message"].as_str().unwrap().contains(told), "{error}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        };
        for stream in [true, false] {
            refuse(proxy.chat_with(&ask("demo", stream), &headers).await);
        }
        for path in ["/v1/models", "/v1/models/mine/demo", "/metrics"] {
            refuse(proxy.send("GET", path, &headers, "").await);
        }
    }
    assert!(mock.requests().await.is_empty(), "a refused request reached the provider");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(proxy.get(path).await.status, 200, "{path}");
    }
    for header in [("authorization", bearer(ONE)), ("x-api-key", ONE.to_owned())] {
        let header = [(header.0, header.1.as_str())];
        proxy.chat_with(&ask("demo", true), &header).await.complete(false);
        for path in ["/v1/models", "/metrics"] {
            assert_eq!(proxy.send("GET", path, &header, "").await.status, 200, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_time_is_over_is_refused() {
    let mock = Mock::start().await;
    let keys = entry("old", ONE, "expires = 2020-01-31T12:00:00Z")
        + &entry("new", TWO, "expires = \"9999-01-31T12:00:00+01:00\"");
    let proxy = Proxy::of("mine", mock.address, &keys).await;
    let reply = proxy.chat_with(&ask("demo", true), &[("authorization", &bearer(ONE))]).await;
    let error = reply.error(401);
    assert!(error["message"].as_str().unwrap().contains("expired"), "{error}");
    proxy.chat_with(&ask("demo", true), &[("authorization", &bearer(TWO))]).await.complete(false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_for_its_models_only() {
    let mock = Mock::start().await;
    let keys = entry("one", ONE, "models = [\"mine/demo*\", \"fast\"]") + &entry("two", TWO, "");
    let more = format!("{keys}[aliases]\nfast = \"mine/demo\"\nbest = \"mine/demo\"\n");
    let proxy = Proxy::of("mine", mock.address, &more).await;
    let (one, two) = (bearer(ONE), bearer(TWO));
    for model in ["mine/demo", "mine/demo/groq", "fast"] {
        proxy.chat_with(&ask(model, true), &[("authorization", &one)]).await.complete(false);
    }
    for model in ["demo", "best", "groq/llama"] {
        for stream in [true, false] {
            let error = proxy.chat_with(&ask(model, stream), &[("authorization", &one)]).await.error(403);
            let (kind, param) = (error["type"].as_str(), error["param"].as_str());
            assert_eq!((kind, param), (Some("permission_error"), Some("model")), "{error}");
        }
    }
    proxy.chat_with(&ask("best", true), &[("authorization", &two)]).await.complete(false);
    let names = async |key: &str| {
        let list = proxy.send("GET", "/v1/models", &[("authorization", key)], "").await.json();
        let data = list["data"].as_array().unwrap().clone();
        data.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let listed = names(&one).await;
    assert!(listed.contains(&"fast".to_owned()) && !listed.contains(&"best".to_owned()), "{listed:?}");
    assert!(names(&two).await.contains(&"best".to_owned()));
    proxy.send("GET", "/v1/models/best", &[("authorization", &one)], "").await.error(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_ours_reaches_no_provider() {
    let ways = ["", "dialect = \"anthropic\"", "dialect = \"gemini\"", "api_key = \"sk-ours\""];
    for more in ways {
        let mut upstream = Upstream::start().await;
        let config = entry("one", ONE, "") + &provider("mine", upstream.address, more);
        let proxy = Proxy::start(&config).await;
        let key = bearer(ONE);
        let headers =
            [("authorization", key.as_str()), ("x-api-key", ONE), ("api-key", ONE), ("x-goog-api-key", ONE)];
        let body = ask("mine/m", true);
        let answered = async {
            let (mut connection, request) = upstream.request().await;
            connection.write(response("200 OK", &[], "")).await;
            request
        };
        let (_, request) = tokio::join!(proxy.chat_with(&body, &headers), answered);
        let shown = format!("{request:?}");
        assert!(!shown.contains(ONE) && !shown.contains("mp-"), "{more}: {shown}");
        assert_eq!(shown.contains("Bearer sk-ours"), more.contains("sk-ours"), "{shown}");
    }
    // Where the provider wants a key, nobody is told to send one in the place of ours.
    let proxy = Proxy::start(&entry("one", ONE, "")).await;
    let reply = proxy.chat_with(&ask("groq/m", true), &[("authorization", &bearer(ONE))]).await;
    let error = reply.error(401);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("GROQ_API_KEY") && !message.contains("of your own"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let mut upstream = Upstream::start().await;
    let other = Upstream::start().await;
    let proxy = Proxy::start(&provider("mine", upstream.address, "api_key = \"sk-ours\"")).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("http://{}/v1/chat/completions", other.address);
        let answered = async {
            let (mut connection, _) = upstream.request().await;
            let headers = [("location", location.as_str()), ("connection", "close")];
            connection.write(response(status, &headers, "")).await;
        };
        let body = ask("mine/m", true);
        let (reply, ()) = tokio::join!(proxy.chat(&body), answered);
        let error = reply.error(502);
        assert!(!error.to_string().contains(&other.address.to_string()), "{error}");
    }
    assert_eq!(other.accepted(), 0, "the redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_this_machines_is_refused() {
    let mock = Mock::start().await;
    let proxy = Proxy::of("mine", mock.address, "allowed_hosts = [\"pond.internal\"]").await;
    let json = ("content-type", "application/json");
    for (host, status) in
        [("evil.example", 403), ("evil.example:8080", 403), ("localhost:1", 200), ("pond.internal", 200)]
    {
        let body = ask("demo", true).to_string();
        let reply = proxy.send("POST", "/v1/chat/completions", &[("host", host), json], body).await;
        assert_eq!(reply.status, status, "{host}");
        assert!(reply.header("x-request-id").is_some());
        for path in ["/v1/models", "/healthz", "/metrics", "/nowhere"] {
            let reply = proxy.send("GET", path, &[("host", host)], "").await;
            assert_eq!(reply.status == 403, status == 403, "{host} {path}");
            if status == 403 {
                assert_eq!(reply.error(403)["type"], "permission_error");
            }
        }
    }
    assert_eq!(mock.requests().await.iter().filter(|one| one["path"] == "/v1/chat/completions").count(), 2);
    let mut nameless = Client::connect(proxy.address).await;
    nameless.send("GET /v1/models HTTP/1.1\r\n\r\n").await;
    assert_eq!(nameless.head().await.status, 403);
    // Who was refused is counted like everybody.
    let page = proxy.get("/metrics").await.text();
    let refused = page.lines().filter(|line| {
        line.starts_with("http_server_request_duration_seconds_count{")
            && line.contains("http_response_status_code=\"403\"")
            && line.contains("http_route=\"/v1/chat/completions\"")
    });
    assert_eq!(refused.map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(), ["2"], "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_refused_unless_their_origin_is_configured() {
    let mock = Mock::start().await;
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let said = |reply: &Reply| reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"));

    let closed = Proxy::of("mine", mock.address, "").await;
    let reply = closed.chat_with(&ask("demo", true), &[("origin", "https://app.example")]).await;
    assert_eq!(reply.error(403)["type"], "permission_error");
    assert!(!said(&reply));
    let reply = closed.send("OPTIONS", "/v1/chat/completions", &preflight, "").await;
    assert!(reply.status == 403 && !said(&reply));
    let own = format!("http://{}", closed.address);
    let reply = closed.chat_with(&ask("demo", true), &[("origin", &own)]).await;
    reply.complete(false);
    assert!(!said(&reply));
    assert!(!said(&closed.chat(&ask("demo", true)).await));

    let more = format!("cors = {{ origins = [\"https://app.example\"] }}\n{}", entry("one", ONE, ""));
    let open = Proxy::of("mine", mock.address, &more).await;
    let reply = open.send("OPTIONS", "/v1/chat/completions", &preflight, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("authorization,content-type"));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    let origin = ("origin", "https://app.example");
    // A page can read why it was refused, and what it was answered.
    let refused = open.chat_with(&ask("demo", true), &[origin]).await;
    refused.error(401);
    let answered = open.chat_with(&ask("demo", true), &[origin, ("authorization", &bearer(ONE))]).await;
    answered.complete(false);
    for reply in [refused, answered] {
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(reply.header("access-control-expose-headers"), Some("*"));
    }
    let evil = ("origin", "https://evil.example");
    for reply in [
        open.chat_with(&ask("demo", true), &[evil, ("authorization", &bearer(ONE))]).await,
        open.send("OPTIONS", "/v1/chat/completions", &[evil, preflight[1]], "").await,
    ] {
        assert!(reply.status == 403 && !said(&reply), "{reply:?}");
    }
}

fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = command(folder);
    command.args(arguments).envs(env.iter().copied());
    Running::start(command).end()
}

#[test]
fn beyond_the_loopback_it_does_not_start_without_a_word() {
    let folder = folder("access_open");
    for arguments in [&["serve", "--listen", "0.0.0.0:0"][..], &["check", "--listen", "[::]:0"]] {
        let ended = run(&folder, arguments, &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        for part in ["is not the loopback", "`millpond key`", "allow_anonymous = true"] {
            assert!(ended.stderr.contains(part), "{ended:?}");
        }
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    let check = ["check", "--listen", "0.0.0.0:0"];
    assert_eq!(run(&folder, &check, &[("MILLPOND_ALLOW_ANONYMOUS", "true")]).code, Some(0));
    assert_eq!(run(&folder, &check, &[("MILLPOND_ALLOW_ANONYMOUS", "no")]).code, Some(2));
    for config in ["allow_anonymous = true".to_owned(), entry("one", ONE, "")] {
        std::fs::write(folder.join("millpond.toml"), &config).unwrap();
        let ended = run(&folder, &check, &[]);
        assert_eq!(ended.code, Some(0), "{config}: {ended:?}");
    }
    // Health and metrics may be anywhere.
    std::fs::write(folder.join("millpond.toml"), "admin_listen = \"0.0.0.0:9090\"").unwrap();
    assert_eq!(run(&folder, &["check"], &[]).code, Some(0));
}

/// A key, and its lines for the config.
fn made(folder: &Path, name: &str) -> (String, String) {
    let ended = run(folder, &["key", "--name", name], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let key = ended.stderr.trim_end().to_owned();
    assert!(key.starts_with("mp-") && key.len() == 46 && !key.contains(char::is_whitespace), "{ended:?}");
    assert!(
        !ended.stdout.contains(&key) && ended.stdout.starts_with(&format!("[keys.{name}]\n")),
        "{ended:?}"
    );
    (key, ended.stdout)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_a_file_come_and_go() {
    let mock = Mock::start().await;
    let folder = folder("access_keys_file");
    let ((one, of_one), (two, of_two)) = (made(&folder, "one"), made(&folder, "two"));
    assert_ne!(one, two);
    let file = folder.join("keys.toml");
    std::fs::write(&file, &of_one).unwrap();
    let config = format!("keys_file = \"keys.toml\"\n{}", provider("mine", mock.address, ""));
    std::fs::write(folder.join("millpond.toml"), config).unwrap();
    let mut command = command(&folder);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut running = Running::start(command);
    let url = format!("http://{}/v1/models", running.address());
    let client = client();
    let status = async |key: &str| {
        within("an answer", client.get(&url).bearer_auth(key).send()).await.unwrap().status().as_u16()
    };
    assert_eq!((status(&one).await, status(&two).await), (200, 401));
    std::fs::write(&file, of_one.clone() + &of_two).unwrap();
    running.signal("HUP");
    until("the second key", async || status(&two).await == 200).await;
    assert_eq!(status(&one).await, 200);
    // Without a signal, too: the file is looked at. An empty one lets nobody in.
    std::fs::write(&file, "").unwrap();
    until("the end of both keys", async || (status(&one).await, status(&two).await) == (401, 401)).await;
    std::fs::write(&file, &of_two).unwrap();
    running.signal("HUP");
    until("the second key again", async || status(&two).await == 200).await;
    // A key in the place of its hash is no config, and is not printed.
    std::fs::write(&file, format!("[keys.one]\nhash = \"{one}\"\n")).unwrap();
    running.signal("HUP");
    running.says("keys.one.hash: expected ");
    assert_eq!((status(&one).await, status(&two).await), (401, 200));
    running.signal("TERM");
    let ended = running.end();
    assert_eq!(ended.code, Some(0));
    let printed = ended.stdout + &ended.stderr;
    assert!(!printed.contains(&one) && !printed.contains(&two), "{printed}");
}

#[test]
fn a_key_has_a_name_and_is_never_the_same() {
    let folder = folder("access_key");
    let nameless = run(&folder, &["key"], &[]);
    let hash = KeyHash::of(nameless.stderr.trim_end().as_bytes()).to_string();
    let name = format!("key-{}", &hash["sha256:".len()..][..8]);
    assert_eq!(nameless.stdout, format!("[keys.{name}]\nhash = \"{hash}\"\n"));
    assert_ne!(run(&folder, &["key"], &[]).stderr, nameless.stderr);
    let wrong = run(&folder, &["key", "--name", "a b"], &[]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simple_request_of_a_page_is_not_read() {
    // What a page may send without asking first: no JSON.
    let proxy = Proxy::start("").await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let body = json!({"model": "m", "messages": []}).to_string();
        let reply = proxy.send("POST", "/v1/chat/completions", &[("content-type", kind)], body).await;
        reply.error(415);
    }
}
