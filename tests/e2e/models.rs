//! `GET /v1/models`: one list of what can be asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{KEY, Mock, Proxy, Reply, nobody, provider};
use crate::upstream::{Upstream, response};

fn ids(list: &Reply) -> Vec<String> {
    let list = list.json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    for model in models {
        let whole = model["object"] == "model" && model["created"].is_u64() && model["owned_by"].is_string();
        assert!(whole, "{model}");
    }
    models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

async fn listings(mock: &Mock) -> Vec<Value> {
    mock.requests().await.into_iter().filter(|request| request["path"] == "/v1/models").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lists_of_all_providers_are_one() {
    let (mock, mut array) = (Mock::start().await, Upstream::start().await);
    let config = [
        "default_provider = \"one\"\n".to_owned(),
        provider("one", mock.address, &format!("api_key = \"{KEY}\"\nmodels = [\"extra/model\", \"demo\"]")),
        provider("two", array.address, ""),
        provider("dead", nobody().await, "models = [\"still/listed\"]"),
        "[aliases]\nfast = \"one/demo/groq\"\n".to_owned(),
    ]
    .concat();
    let proxy = Proxy::start(&config).await;
    let scripted = async {
        let (mut connection, request) = array.request().await;
        assert_eq!(request.line, "GET /v1/models HTTP/1.1");
        let body = r#"[{"id":"vendor/duck:free","context_length":8000},{"id":"models/gem","owned_by":"g"}]"#;
        connection.write(response("200 OK", &[("content-type", "application/json")], body)).await;
    };
    let (list, ()) = tokio::join!(proxy.get("/v1/models"), scripted);
    let listed = ids(&list);
    for id in ["fast", "one/extra/model", "one/demo", "one/openrouter", "two/vendor/duck:free", "two/gem"] {
        assert_eq!(listed.iter().filter(|known| *known == id).count(), 1, "{id}");
    }
    assert!(listed.contains(&"dead/still/listed".to_owned()));
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a name comes twice");
    let body = list.json();
    let duck = body["data"].as_array().unwrap().iter().find(|m| m["id"] == "two/vendor/duck:free").unwrap();
    assert_eq!(duck["context_length"], 8000);

    let asked = listings(&mock).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["headers"]["authorization"], "[hidden]");
    assert_eq!(ids(&proxy.get("/v1/models").await), listed);
    assert_eq!(listings(&mock).await.len(), 1, "the second list came from the upstream again");
    assert_eq!(array.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_model_is_found_by_its_name() {
    let mock = Mock::start().await;
    let alias = "[aliases]\nfast = \"one/demo/groq\"\n";
    let config = format!("default_provider = \"one\"\n{}{alias}", provider("one", mock.address, ""));
    let proxy = Proxy::start(&config).await;
    for (path, id) in [
        ("one/openrouter", "one/openrouter"),
        ("one%2Fopenrouter", "one/openrouter"),
        ("openrouter", "one/openrouter"),
        ("fast", "fast"),
    ] {
        let reply = proxy.get(&format!("/v1/models/{path}")).await;
        assert_eq!((reply.status.as_u16(), reply.json()["id"].as_str()), (200, Some(id)), "{path}");
    }
    for path in ["nobody", "two/demo", "one/demo/nonsense"] {
        let error = proxy.get(&format!("/v1/models/{path}")).await.error(404);
        assert_eq!(
            (error["type"].as_str(), error["param"].as_str()),
            (Some("not_found_error"), Some("model"))
        );
        assert!(error["message"].as_str().unwrap().contains("GET /v1/models"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_hangs_is_left_out() {
    let (mock, mut silent) = (Mock::start().await, Upstream::start().await);
    let proxy =
        Proxy::start(&[provider("one", mock.address, ""), provider("silent", silent.address, "")].concat())
            .await;
    let start = tokio::time::Instant::now();
    let list = ids(&proxy.get("/v1/models").await);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(list.contains(&"one/demo".to_owned()) && !list.iter().any(|id| id.starts_with("silent/")));
    silent.request().await.0.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dialect_lists_its_models_in_its_own_way() {
    let mock = Mock::start().await;
    let rows = [
        ("anthropic", "anthropic", "/v1", "claude-sonnet-4-5"),
        ("google", "gemini", "/v1beta", "gemini-2.5-flash"),
        ("openai", "openai-responses", "/v1", "openrouter"),
        ("cohere", "cohere", "/v2", "command-a-03-2025"),
        ("ollama", "ollama", "/api", "qwen3:8b"),
        // The list is on another host, with other rights.
        ("bedrock", "bedrock", "", "named.in-the-config-v1:0"),
    ];
    let entry = |(name, dialect, base, model): &(&str, &str, &str, &str)| {
        let models = if *name == "bedrock" { format!("models = [\"{model}\"]\n") } else { String::new() };
        let url = format!("http://{}{base}", mock.address);
        format!("[providers.{name}]\nbase_url = \"{url}\"\ndialect = \"{dialect}\"\n{models}")
    };
    let proxy = Proxy::start(&rows.iter().map(entry).collect::<String>()).await;
    let reply = proxy.get("/v1/models").await;
    let listed = ids(&reply);
    for (name, _, _, model) in rows {
        assert!(listed.contains(&format!("{name}/{model}")), "{name}: {listed:?}");
        let own = listed.iter().filter(|id| id.starts_with(&format!("{name}/"))).count();
        assert!(own == 1 || name == "openai", "{name}: {listed:?}");
    }
    assert!(reply.text().contains("Claude Sonnet 4.5"), "the model's own fields are kept");
    let paths: BTreeSet<String> =
        mock.requests().await.iter().map(|request| request["path"].as_str().unwrap().to_owned()).collect();
    let expect = ["/api/tags", "/v1/models", "/v1beta/models"];
    let plain = paths.iter().map(|path| path.split('?').next().unwrap()).collect::<BTreeSet<_>>();
    assert_eq!(plain, BTreeSet::from(expect));
}
