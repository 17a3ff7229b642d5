//! What an answer becomes for clients of the Responses API: every golden case, whole, in pieces, cut and mixed,
//! obeys the rules of the API's page and says what a client of chat completions gets.
//!
//! Where a case has a `downstream.responses.sse`, that is what leaves to the byte; `UPDATE_GOLDEN=1` writes it anew.
//! `tests/api/responses/<case>/` has requests: `request.json`, and the `chat.json` that it becomes or the
//! `error.json` that refuses it.

mod support;

use std::fs;

use millpond::api::Api;
use millpond::api::responses::Reading;
use millpond::dialect::AnyDialect;
use serde_json::{Value, json};
use support::contract::{self, Choice, End};
use support::responses::{Response, check_object, check_stream};
use support::{
    Random, cut, difference, entries, file_name, filter_as, frame_ends, frames, golden_bodies, in_parallel,
    read, root, short, stream_as,
};

/// What a client understands, if stream and object obey the rules and say the same as chat completions do.
fn obey(dialect: AnyDialect, body: &[u8]) -> Result<Response, String> {
    let downstream = stream_as(Api::Responses, dialect, [body]);
    let response = check_stream(&downstream)?;
    let object = check_object(&filter_as(Api::Responses, dialect, body, true, true).0)?;
    match &response.end {
        End::Complete if object.object != response.object => {
            let (object, last) = (object.object.to_string(), response.object.to_string());
            return Err(format!("R7: the object is another: {}", difference(&object, &last)));
        }
        End::Fault(code) if object.end != End::Fault(code.clone()) => {
            return Err(format!("R9: the object ends as {:?}, the stream as {code}", object.end));
        }
        _ => {}
    }
    let items = response.object["output"].as_array().map_or(&[][..], Vec::as_slice);
    if items.len() > 1 && items.iter().any(is_empty_message) {
        return Err("R10: a message without words stands beside other items".to_owned());
    }
    agree(dialect, body, &response)?;
    Ok(response)
}

/// A message with nothing in its parts.
fn is_empty_message(item: &Value) -> bool {
    let says = |part: &Value| {
        let lists = ["annotations", "logprobs"]
            .map(|name| part[name].as_array().is_some_and(|list| !list.is_empty()));
        part["text"] != "" || lists.contains(&true)
    };
    item["type"] == "message" && !item["content"].as_array().is_some_and(|parts| parts.iter().any(says))
}

/// The first choice of chat completions says the same.
fn agree(dialect: AnyDialect, body: &[u8], response: &Response) -> Result<(), String> {
    let chat = stream_as(Api::ChatCompletions, dialect, [body]);
    let answer = contract::check_stream(&chat, true)?;
    let text = String::from_utf8_lossy(&chat);
    let first = text.split("\"choices\":[{\"index\":").nth(1).unwrap_or("0");
    let first = first.split(',').next().and_then(|index| index.parse::<u64>().ok()).unwrap_or(0);
    let choice = answer.choices.get(&first).cloned().unwrap_or_default();
    let finish = match (&answer.end, choice.finish.as_deref()) {
        (End::Fault(_), _) => None,
        (End::Complete, Some("length" | "content_filter")) => Some("incomplete".to_owned()),
        (End::Complete, _) => Some("completed".to_owned()),
    };
    let expect = Choice { details: Vec::new(), native: None, finish, ..choice };
    if response.choice != expect {
        return Err(format!("C1: says {:?}, chat completions {expect:?}", response.choice));
    }
    if response.end != answer.end {
        return Err(format!("E5: ends as {:?}, chat completions as {:?}", response.end, answer.end));
    }
    let counts = answer.usage.as_ref().filter(|_| answer.end == End::Complete).map(|usage| {
        let nested = |group: &str, name: &str| usage[group][name].as_u64().unwrap_or(0);
        json!([
            usage["prompt_tokens"],
            usage["completion_tokens"],
            usage["total_tokens"],
            nested("prompt_tokens_details", "cached_tokens"),
            nested("completion_tokens_details", "reasoning_tokens"),
        ])
    });
    if counts.is_some() && counts != response.usage {
        return Err(format!("E3: counts {:?}, chat completions {counts:?}", response.usage));
    }
    Ok(())
}

#[test]
fn every_case_says_what_chat_completions_say() {
    let cases = golden_bodies();
    assert!(!cases.is_empty(), "tests/golden is empty");
    support::assert_none(&in_parallel(&cases, |(case, body)| {
        let mut failures: Vec<String> = obey(case.dialect(), body)
            .err()
            .map(|rule| format!("{}: breaks {rule}", case.label()))
            .into_iter()
            .collect();
        let path = case.folder.join("downstream.responses.sse");
        if path.exists() {
            let downstream = filter_as(Api::Responses, case.dialect(), body, true, false).0;
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&path, &downstream).unwrap();
            } else if read(&path) != downstream {
                let (expect, got) = (read(&path), String::from_utf8_lossy(&downstream).into_owned());
                let difference = difference(&String::from_utf8_lossy(&expect), &got);
                failures.push(format!("{}: {difference}", path.display()));
            }
        }
        failures
    }));
}

#[test]
fn chosen_cases_are_kept_to_the_byte() {
    let kept = golden_bodies()
        .iter()
        .filter(|(case, _)| case.folder.join("downstream.responses.sse").exists())
        .count();
    assert!(kept >= 25, "only {kept} cases have a downstream.responses.sse");
}

#[test]
fn the_answer_does_not_depend_on_how_the_bytes_were_cut() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let whole = stream_as(Api::Responses, case.dialect(), [body.as_slice()]);
        let mut random = Random(body.len() as u64);
        let places = random.places(5, body.len());
        for pieces in [cut(body, &places), body.chunks(1).collect()] {
            let other = stream_as(Api::Responses, case.dialect(), pieces);
            if other != whole {
                let (other, whole) = (String::from_utf8_lossy(&other), String::from_utf8_lossy(&whole));
                return vec![format!("{} cut at {places:?}: {}", case.label(), difference(&other, &whole))];
            }
        }
        Vec::new()
    }));
}

#[test]
fn a_truncated_case_has_one_end() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let mut failures = Vec::new();
        for end in frame_ends(case.dialect(), body) {
            if let Err(rule) = obey(case.dialect(), &body[..end]) {
                failures.push(format!("{} truncated at {end}: {rule}", case.label()));
                break;
            }
        }
        failures
    }));
}

#[test]
fn mixed_and_dropped_frames_obey_the_rules() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let events = frames(case.dialect(), body);
        let mut random = Random(body.len() as u64 ^ 0x5eed);
        let mut failures = Vec::new();
        for round in 0..8 {
            let mut varied: Vec<&[u8]> = events.clone();
            if round % 2 == 0 {
                random.shuffle(&mut varied);
            } else {
                varied.retain(|_| random.below(4) > 0);
            }
            let varied = varied.concat();
            if let Err(rule) = obey(case.dialect(), &varied) {
                let shown = short(&String::from_utf8_lossy(&varied));
                failures.push(format!("{}: breaks {rule}; from {shown}", case.label()));
                break;
            }
        }
        failures
    }));
}

/// From the API to the API no item is lost or renamed, as far as the provider gave it an id.
#[test]
fn items_of_a_provider_that_speaks_the_api_keep_their_ids() {
    /// Reasoning that says nothing, ids that change on the way.
    const OTHERWISE: [&str; 2] = ["reasoning-without-anything", "ids-change"];
    let mut compared = 0;
    let mut failures = Vec::new();
    for (case, body) in golden_bodies() {
        if case.dialect().name() != "openai-responses" || OTHERWISE.contains(&case.name.as_str()) {
            continue;
        }
        let Ok(text) = std::str::from_utf8(&body) else { continue };
        let read = |line: &str| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok();
        let events = text.lines().filter_map(read).take_while(|event| event["type"] != "response.completed");
        let mut done: Vec<Value> =
            events.filter(|event| event["type"] == "response.output_item.done").collect();
        done.sort_by_key(|event| event["output_index"].as_u64());
        let ids: Vec<&str> = done.iter().filter_map(|event| event["item"]["id"].as_str()).collect();
        let response = check_stream(&stream_as(Api::Responses, case.dialect(), [body.as_slice()])).unwrap();
        if ids.is_empty() || response.end != End::Complete {
            continue;
        }
        let output = response.object["output"].as_array().unwrap();
        let kept: Vec<&str> = output.iter().filter_map(|item| item["id"].as_str()).collect();
        compared += 1;
        if kept != ids {
            failures.push(format!("{}: {kept:?} instead of {ids:?}", case.label()));
        }
    }
    support::assert_none(&failures);
    assert!(compared >= 20, "only {compared} cases were compared");
}

/// What a request becomes, or why it is refused.
fn translated(request: &[u8]) -> (&'static str, Value) {
    let chat = match Reading::of(request) {
        Ok(reading) => reading.with(None, None).0,
        Err(error) => return ("error.json", json!({ "param": error.param(), "message": error.to_string() })),
    };
    let raw = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let fields: serde_json::Map<String, Value> =
        chat.fields.iter().map(|field| (field.name.to_string(), raw(&field.value))).collect();
    let mut out = json!({ "model": chat.model, "stream": chat.stream, "fields": fields });
    let origin = support::origin(&chat);
    out.as_object_mut().unwrap().extend(origin);
    if let Some(previous) = chat.origin.as_ref().unwrap().previous() {
        out["previous"] = json!(previous);
    }
    ("chat.json", out)
}

#[test]
fn every_request_becomes_its_chat() {
    let cases = entries(&root().join("tests/api/responses"));
    assert!(cases.len() >= 12, "requests are missing");
    let mut failures = Vec::new();
    for folder in cases {
        let (name, got) = translated(&read(&folder.join("request.json")));
        let path = folder.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, format!("{got:#}\n")).unwrap();
        } else if !path.exists() {
            failures.push(format!("{}: became {name}: {got}", file_name(&folder)));
        } else if serde_json::from_slice::<Value>(&read(&path)).unwrap() != got {
            failures.push(format!("{}: became {got:#}", file_name(&folder)));
        }
    }
    support::assert_none(&failures);
}

/// The reader is strict: without any one of its events, a stream is none.
#[test]
fn every_event_of_a_stream_is_needed() {
    let cases = golden_bodies();
    let kept = cases.iter().filter(|(case, _)| case.folder.join("downstream.responses.sse").exists());
    for (case, _) in kept {
        let stream = String::from_utf8(read(&case.folder.join("downstream.responses.sse"))).unwrap();
        let events: Vec<&str> = stream.split_inclusive("\n\n").collect();
        assert!(check_stream(stream.as_bytes()).is_ok(), "{}", case.label());
        for at in 0..events.len() {
            let mut without = events.clone();
            let gone = without.remove(at);
            let numbered: String =
                without.iter().zip(0..).map(|(event, number)| numbered(event, number)).collect();
            assert!(check_stream(numbered.as_bytes()).is_err(), "{}: not missed: {gone}", case.label());
        }
    }
}

/// An event with another number.
fn numbered(event: &str, number: usize) -> String {
    let (head, rest) = event.split_once("\"sequence_number\":").unwrap();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{head}\"sequence_number\":{number}{rest}")
}
