//! What a client's request becomes: `request.json` of a golden case, read as the client's body, becomes
//! `upstream.json`, the body that the provider gets, and for dialects other than chat completions
//! `request.head`: the address, the headers and what was dropped. A request that must be refused has an
//! `error.json` in their place. `UPDATE_GOLDEN=1` writes them anew (an empty `error.json` asks for one).

mod support;

use std::fs;

use millpond::dialect::Outgoing;
use millpond::error::Error;
use serde_json::Value;
use support::contract::Json;
use support::{Case, difference, entry_of, golden_cases, read};

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

/// The request that the provider of the case gets, or why the client's is refused.
fn translate(case: &Case, body: &[u8]) -> Result<Outgoing, Error> {
    let base_url = entry_of(&case.provider).map_or("https://host.example/v1", |entry| entry.base_url);
    support::translate(case.row(), case.dialect(), base_url, body)
}

fn is_chat_completions(case: &Case) -> bool {
    case.dialect().name() == "openai-chat"
}

/// The files that a case must have, with what they must hold.
fn expected(case: &Case, outcome: &Result<Outgoing, Error>) -> Vec<(&'static str, String)> {
    let outgoing = match outcome {
        Ok(outgoing) => outgoing,
        Err(error) => {
            return vec![(
                "error.json",
                String::from_utf8(error.body(millpond::api::Api::default())).unwrap(),
            )];
        }
    };
    let Outgoing { request, dropped } = outgoing;
    let body = ("upstream.json", String::from_utf8(request.body().to_vec()).unwrap());
    if is_chat_completions(case) {
        return vec![body];
    }
    let mut head = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    head.push_str(&format!("dropped: {}", dropped.join(", ")));
    vec![body, ("request.head", head)]
}

#[test]
fn every_request_becomes_the_providers() {
    let mut failures = Vec::new();
    for (case, body) in requests() {
        let outcome = translate(&case, &body);
        if case.folder.join("error.json").exists() != outcome.is_err() {
            failures.push(format!("{}: became {outcome:?}", case.label()));
            continue;
        }
        for (name, result) in expected(&case, &outcome) {
            let path = case.folder.join(name);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, format!("{}\n", result.trim_end())).unwrap();
            } else if !path.exists() {
                failures.push(format!("{}: there is no {name}; UPDATE_GOLDEN=1 writes it", case.label()));
            } else {
                let expected = String::from_utf8(read(&path)).unwrap();
                if result.trim_end() != expected.trim_end() {
                    failures.push(format!("{}/{name}: {}", case.label(), difference(&result, &expected)));
                }
            }
        }
    }
    support::assert_none(&failures);
}

#[test]
fn every_request_streams_and_keeps_what_it_is_asked() {
    let mut failures = Vec::new();
    for (case, body) in requests() {
        let Ok(Outgoing { request, .. }) = translate(&case, &body) else { continue }; // See the test above.
        let text = std::str::from_utf8(request.body()).unwrap();
        let mut fail = |what: &str| failures.push(format!("{}: {what}: {text}", case.label()));
        if let Err(error) = Json::parse(text) {
            fail(&error);
            continue;
        }
        if !is_chat_completions(&case) {
            continue;
        }
        let (asked, sent): (Value, Value) =
            (serde_json::from_slice(&body).unwrap(), serde_json::from_str(text).unwrap());
        if sent["stream"] != true {
            fail("H1: it does not stream");
        }
        let ours = ["model", "stream", "stream_options", "provider_options", "messages"];
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
