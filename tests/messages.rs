//! Clients of Anthropic's Messages API: every golden body, whole, cut anywhere and cut off, obeys the API's contract
//! and says what chat completions say. Where a case has a `downstream.messages.sse` or an `object.messages.json`,
//! that is what such a client gets. `tests/api/messages/<case>/` is what a request becomes.
//!
//! `UPDATE_GOLDEN=1` writes the expected files anew (an empty one asks for it).

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use millpond::api::messages;
use millpond::chat::Chat;
use millpond::dialect::{AnyDialect, Target};
use millpond::event::Event;
use millpond::provider::Provider;
use serde_json::{Map, Value, json};
use support::contract::{self, End};
use support::messages::{Message, as_object, check_error, check_object, check_stream, object, says, stream};
use support::{
    Case, Random, cut, difference, entries, file_name, frame_ends, golden_bodies, in_parallel, read,
};
use url::Url;

/// What a client understands of a body, if all of its forms agree.
fn obey(dialect: AnyDialect, body: &[u8]) -> Result<Message, String> {
    let bytes = stream(dialect, [body]);
    let message = check_stream(&bytes)?;
    says(&message, &contract::check_stream(&support::stream(dialect, [body]), true)?)?;
    let whole = check_object(&object(dialect, body)).map_err(|rule| format!("as an object, {rule}"))?;
    let same =
        if message.end == End::Complete { whole == as_object(&message) } else { whole.end == message.end };
    if !same {
        return Err(format!("the object says {whole:?}, the stream {message:?}"));
    }
    Ok(message)
}

#[test]
fn every_case_says_the_same_as_chat_completions() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let checked = obey(case.dialect(), body);
        checked.err().map(|rule| format!("{}: {rule}", case.label())).into_iter().collect()
    }));
}

#[test]
fn it_does_not_matter_how_the_bytes_are_cut() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let whole = stream(case.dialect(), [body.as_slice()]);
        let mut random = Random(body.len() as u64);
        let places = random.places(5, body.len());
        let mut failures = Vec::new();
        for pieces in [cut(body, &places), body.chunks(1).collect()] {
            let other = stream(case.dialect(), pieces);
            if other != whole {
                let (other, whole) = (String::from_utf8_lossy(&other), String::from_utf8_lossy(&whole));
                failures.push(format!("{}: {}", case.label(), difference(&other, &whole)));
            }
        }
        failures
    }));
}

#[test]
fn a_case_that_is_cut_off_says_the_beginning() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let ends = frame_ends(case.dialect(), body);
        let broken = ends.iter().find_map(|&end| {
            let rule = obey(case.dialect(), &body[..end]).err()?;
            Some(format!("{} truncated at {end}: {rule}", case.label()))
        });
        broken.into_iter().collect()
    }));
}

#[test]
fn shuffled_frames_become_blocks_in_order() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let mut random = Random(7 ^ body.len() as u64);
        let mut frames = support::frames(case.dialect(), body);
        random.shuffle(&mut frames);
        let body = frames.concat();
        // What comes for a call that is closed is left out, so only the order of the blocks is looked at.
        let checked = check_stream(&stream(case.dialect(), [body.as_slice()]));
        checked.err().map(|rule| format!("{}: {rule}", case.label())).into_iter().collect()
    }));
}

#[test]
fn chosen_cases_become_their_bytes() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let mut failures = Vec::new();
        for (name, result) in [
            ("downstream.messages.sse", stream(case.dialect(), [body.as_slice()])),
            ("object.messages.json", object(case.dialect(), body)),
        ] {
            compare(&case.folder.join(name), &result, &mut failures);
        }
        failures
    }));
    let chosen = golden_bodies().iter().filter(|(case, _)| has(case, "downstream.messages.sse")).count();
    assert!(chosen >= 25, "{chosen} cases have golden bytes");
}

fn has(case: &Case, name: &str) -> bool {
    case.folder.join(name).exists()
}

/// Compares a result with its expected file, if there is one, or writes that file.
fn compare(path: &Path, result: &[u8], failures: &mut Vec<String>) {
    if !path.exists() {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, result).unwrap();
        return;
    }
    let (result, expected) = (String::from_utf8_lossy(result), read(path));
    let expected = String::from_utf8_lossy(&expected);
    if result != expected {
        let name = path.strip_prefix(support::root()).unwrap_or(path).display().to_string();
        failures.push(format!("{name}: {}", difference(&result, &expected)));
    }
}

/// The cases of requests.
fn requests() -> Vec<PathBuf> {
    entries(&support::root().join("tests/api/messages")).into_iter().filter(|path| path.is_dir()).collect()
}

#[test]
fn every_request_becomes_a_chat() {
    let mut failures = Vec::new();
    assert!(requests().len() >= 12);
    for folder in requests() {
        let outcome = messages::read(&read(&folder.join("request.json")));
        let files = match &outcome {
            Ok(chat) => vec![
                ("chat.json", shown(chat)),
                ("anthropic.json", sent("anthropic", chat)),
                ("openai.json", sent("openai", chat)),
                ("openrouter.json", sent("openrouter", chat)),
            ],
            Err(error) => vec![("error.json", json!({"message": error.to_string(), "param": error.param()}))],
        };
        for (name, result) in files {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, format!("{result:#}\n")).unwrap();
            } else if !path.exists() {
                failures.push(format!("{}: there is no {name}", file_name(&folder)));
            }
            compare(&path, format!("{result:#}\n").as_bytes(), &mut failures);
        }
    }
    support::assert_none(&failures);
}

/// The chat, and why no provider of another API can be asked it.
fn shown(chat: &Chat) -> Value {
    let fields = chat.fields.iter().map(|field| {
        let value = serde_json::from_str(&field.value).unwrap_or_else(|_| panic!("{field:?}"));
        (field.name.to_string(), value)
    });
    let mut shown: Map<String, Value> = fields.collect();
    shown.extend(support::origin(chat));
    // Whatever a dialect reads of it can be read.
    chat.messages().unwrap();
    chat.tools().unwrap();
    chat.tool_choice().unwrap();
    chat.thinking().unwrap();
    chat.response_format().unwrap();
    Value::Object(shown)
}

/// The body that a provider gets.
fn sent(provider: &str, chat: &Chat) -> Value {
    let entry = &Provider::find(provider).unwrap().dialects[0];
    let base_url = Url::parse(entry.base_url).unwrap();
    let target = Target { provider, base_url: &base_url, model: &chat.model };
    let outgoing = entry.dialect.as_dialect().request(&target, chat).unwrap();
    serde_json::from_slice(outgoing.request.body()).unwrap()
}

/// The same API on both sides: what the provider said comes back to it byte for byte.
#[test]
fn messages_in_and_messages_out_lose_nothing() {
    let anthropic = AnyDialect::plain("anthropic").unwrap();
    let cases = golden_bodies();
    let mut told = 0;
    for (case, body) in cases.iter().filter(|(case, _)| case.dialect() == anthropic) {
        let message = check_stream(&stream(anthropic, [body.as_slice()])).unwrap();
        if message.end != End::Complete || message.content.is_empty() {
            continue;
        }
        told += 1;
        let mut content = as_object(&message).content;
        // What the API itself has no block for is sealed, and of no use to it.
        content
            .retain(|block| !block["data"].as_str().is_some_and(|data| data.starts_with("millpond.part:")));
        let text = String::from_utf8_lossy(body);
        for block in &content {
            for name in ["signature", "data"] {
                let Some(proof) = block[name].as_str().filter(|proof| !proof.is_empty()) else { continue };
                assert!(text.contains(proof), "{}: {proof}", case.label());
            }
            for citation in block["citations"].as_array().into_iter().flatten() {
                let cited = citation["cited_text"].as_str().unwrap_or_default();
                assert!(
                    text.contains(&serde_json::to_string(cited).unwrap()),
                    "{}: {citation}",
                    case.label()
                );
            }
        }
        let request = json!({
            "model": "claude-x",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": content}],
        });
        let back = sent("anthropic", &messages::read(request.to_string().as_bytes()).unwrap());
        let kept: Vec<&Value> =
            content.iter().filter(|block| block["signature"] != "" && block["text"] != "").collect();
        let sent_back = back["messages"][1]["content"].as_array().cloned().unwrap_or_default();
        assert_eq!(sent_back.iter().collect::<Vec<_>>(), kept, "{}", case.label());
    }
    assert!(told >= 20, "{told} cases");
}

/// Reasoning of other providers goes through the client as opaque text, and comes back as it was.
#[test]
fn reasoning_of_others_comes_back() {
    let mut told = 0;
    for (case, body) in golden_bodies() {
        if case.dialect().name() == "anthropic" {
            continue;
        }
        let details = details(case.dialect(), &body);
        if details.is_empty() {
            continue;
        }
        let message = check_stream(&stream(case.dialect(), [body.as_slice()])).unwrap();
        if message.end != End::Complete {
            continue;
        }
        let content = as_object(&message).content;
        let request = json!({
            "model": "m",
            "messages": [{"role": "assistant", "content": content}, {"role": "user", "content": "b"}],
        });
        let chat = messages::read(request.to_string().as_bytes()).unwrap();
        let back = shown(&chat)["messages"][0]["reasoning_details"].to_string();
        for detail in details {
            for name in ["signature", "data"] {
                let Some(proof) = detail[name].as_str().filter(|proof| !proof.is_empty()) else { continue };
                told += 1;
                assert!(
                    back.contains(&format!("\"{name}\":\"{proof}\"")),
                    "{}: {proof} in {back}",
                    case.label()
                );
            }
        }
    }
    assert!(told >= 10, "{told} proofs");
}

/// The structured reasoning of an answer, without that behind the last text: no block follows that it could precede.
fn details(dialect: AnyDialect, body: &[u8]) -> Vec<Value> {
    let stream = support::stream(dialect, [body]);
    let mut details = Vec::new();
    let (mut is_text, mut late) = (false, 0);
    for data in String::from_utf8_lossy(&stream).lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        for choice in chunk["choices"].as_array().into_iter().flatten().filter(|choice| choice["index"] == 0)
        {
            let delta = &choice["delta"];
            let says = |name: &str| delta[name].as_str().is_some_and(|text| !text.is_empty());
            let items = delta["reasoning_details"].as_array().cloned().unwrap_or_default();
            late += if is_text { items.len() } else { 0 };
            details.extend(items);
            if says("reasoning") || delta["tool_calls"].is_array() {
                (is_text, late) = (false, 0);
            } else if says("content") || says("refusal") {
                is_text = true;
            }
        }
    }
    details.truncate(details.len() - late);
    details
}

/// For many clients the last block is the answer: a proof that comes behind it is not told as a block of its own.
#[test]
fn what_is_sealed_never_follows_the_last_text() {
    let frame =
        |parts: &str| format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{parts}]}}}}]}}\n\n");
    let end = "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n";
    let call = r#"{"functionCall":{"name":"f","args":{"x":1}}}"#;
    let signed = r#"{"text":"","thoughtSignature":"c2ln"}"#;
    let dialect = AnyDialect::plain("gemini").unwrap();
    for (bodies, expect) in [
        (vec![frame(r#"{"text":"a"}"#), frame(signed)], vec!["text"]),
        (
            vec![frame(r#"{"text":"a"}"#), frame(signed), frame(call)],
            vec!["text", "redacted_thinking", "tool_use"],
        ),
        (vec![frame(signed), frame(r#"{"text":"a"}"#)], vec!["redacted_thinking", "text"]),
    ] {
        let message = obey(dialect, (bodies.concat() + end).as_bytes()).unwrap();
        let kinds: Vec<&Value> = message.content.iter().map(|block| &block["type"]).collect();
        assert_eq!(kinds, expect);
    }
}

/// Two calls whose pieces alternate become two blocks, one after the other.
#[test]
fn interleaved_calls_are_told_one_after_the_other() {
    let call = |index: u32, head: &str, arguments: &str| {
        let arguments = json!(arguments);
        format!(
            "data: {{\"id\":\"x\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{index}{head},\"function\":{{\"name\":\"f{index}\",\"arguments\":{arguments}}}}}]}}}}]}}\n\n"
        )
    };
    let body = [
        call(0, ",\"id\":\"a\"", "{\"x\":"),
        call(1, ",\"id\":\"b\"", "{\"y\":"),
        call(0, "", "\"}\""),
        call(1, "", "2"),
        call(0, "", "}"),
        call(1, "", "}"),
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n"
            .to_owned(),
    ]
    .concat();
    let dialect = AnyDialect::plain("openai-chat").unwrap();
    let message = obey(dialect, body.as_bytes()).unwrap();
    let inputs: Vec<&Value> = message.content.iter().map(|block| &block["input"]).collect();
    assert_eq!(inputs, ["{\"x\":\"}\"}", "{\"y\":2}"]);
    // The second call waits no longer than the first one takes.
    let mut pipeline = support::pipeline(dialect);
    let mut encoder = millpond::api::Api::Messages.encoder(true, true, Default::default());
    encoder.begin("upstream");
    let mut out = Vec::new();
    let end_of_first = body.find("\"arguments\":\"}\"").unwrap() + 40;
    pipeline.push(&body.as_bytes()[..end_of_first], &mut |event: &Event<'_>| encoder.event(event, &mut out));
    assert!(String::from_utf8(out).unwrap().contains("{\\\"y\\\":2"));
    assert_eq!(encoder.held(), 0);
}

#[test]
fn an_error_has_the_envelope_of_the_api() {
    let dialect = AnyDialect::plain("openai-chat").unwrap();
    let body = object(dialect, b"data: {\"error\":{\"message\":\"no\",\"code\":429}}\n\n");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(check_error(&body).unwrap(), End::Fault("upstream_error".to_owned()));
    assert_eq!(body["error"]["type"], "rate_limit_error");
}
