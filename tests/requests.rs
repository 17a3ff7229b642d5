//! What a client's request becomes: `request.json` of a golden case, read as the client's body, becomes
//! `upstream.json`, the body that the provider gets. `UPDATE_GOLDEN=1` writes the latter anew.

mod support;

use std::fs;

use millpond::chat::Chat;
use millpond::provider::{Provider, expand};
use serde_json::Value;
use support::contract::Json;
use support::{Case, difference, golden_cases, read};
use url::Url;

/// The golden cases with a request, and the request.
fn requests() -> Vec<(Case, Vec<u8>)> {
    golden_cases()
        .into_iter()
        .filter(|case| case.folder.join("request.json").exists())
        .map(|case| {
            let body = read(&case.folder.join("request.json"));
            (case, body)
        })
        .collect()
}

/// The request that the provider of the case gets.
fn translate(case: &Case, body: &[u8]) -> Result<(Chat, http::Request<bytes::Bytes>), String> {
    let chat = Chat::read(body).map_err(|error| error.to_string())?;
    let entry = Provider::find(&case.provider).map(|row| &row.dialects[0]);
    let host = |_: &str| Some("https://host.example".to_owned());
    let base_url = expand(entry.map_or("https://host.example/v1", |entry| entry.base_url), &host)?;
    let base_url = Url::parse(&base_url).map_err(|error| error.to_string())?;
    let model = chat.model.strip_prefix(&format!("{}/", case.provider)).unwrap_or(&chat.model).to_owned();
    let request = case.dialect().as_dialect().request(&base_url, &model, &chat);
    Ok((chat, request))
}

#[test]
fn every_request_becomes_the_providers() {
    let mut failures = Vec::new();
    for (case, body) in requests() {
        let request = match translate(&case, &body) {
            Ok((_, request)) => request,
            Err(error) => {
                failures.push(format!("{}: {error}", case.label()));
                continue;
            }
        };
        let path = case.folder.join("upstream.json");
        let result = String::from_utf8(request.body().to_vec()).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, format!("{result}\n")).unwrap();
        } else if !path.exists() {
            failures.push(format!("{}: there is no upstream.json; UPDATE_GOLDEN=1 writes it", case.label()));
        } else {
            let expected = String::from_utf8(read(&path)).unwrap();
            if result.trim_end() != expected.trim_end() {
                failures.push(format!("{}: {}", case.label(), difference(&result, &expected)));
            }
        }
    }
    support::assert_none(&failures);
}

#[test]
fn every_request_streams_and_keeps_what_it_is_asked() {
    let mut failures = Vec::new();
    for (case, body) in requests() {
        let Ok((_, request)) = translate(&case, &body) else { continue }; // Reported by the test above.
        let text = std::str::from_utf8(request.body()).unwrap();
        let mut fail = |what: &str| failures.push(format!("{}: {what}: {text}", case.label()));
        if let Err(error) = Json::parse(text) {
            fail(&error);
            continue;
        }
        let (asked, sent): (Value, Value) =
            (serde_json::from_slice(&body).unwrap(), serde_json::from_str(text).unwrap());
        if sent["stream"] != true {
            fail("H1: it does not stream");
        }
        let ours = ["model", "stream", "stream_options", "messages"];
        for (name, value) in asked.as_object().unwrap() {
            if !ours.contains(&name.as_str()) && sent.get(name) != Some(value) {
                fail(&format!("`{name}` is lost"));
            }
        }
        let count = |value: &Value| value["messages"].as_array().map_or(0, Vec::len);
        if count(&asked) != count(&sent) {
            fail("a message is lost");
        }
    }
    support::assert_none(&failures);
}
