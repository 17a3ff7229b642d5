//! The strict reader of streams refuses what the contract forbids: a checker that accepts everything would
//! make every other test pass.

mod support;

use support::contract::{Answer, End, check_object, check_stream};

const ENVELOPE: &str = r#""id":"x","object":"chat.completion.chunk","created":1,"model":"m""#;
const FIRST: &str = r#"{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}"#;
const STOP: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
const USAGE: &str = r#""usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
const FAULT: &str =
    r#"{"error":{"message":"m","type":"upstream_error","param":null,"code":"truncated","provider":"p"}}"#;

/// A stream of these payloads.
fn stream(payloads: &[&str]) -> String {
    payloads.iter().map(|payload| format!("data: {payload}\n\n")).collect()
}

/// A chunk with these choices.
fn chunk(choices: &[&str]) -> String {
    format!("{{{ENVELOPE},\"choices\":[{}]}}", choices.join(","))
}

/// A chunk of choice 0 with this delta.
fn delta(delta: &str) -> String {
    chunk(&[&format!("{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}")])
}

/// A chunk with this fragment of a tool call.
fn tool(fragment: &str) -> String {
    delta(&format!("{{\"tool_calls\":[{fragment}]}}"))
}

fn usage_chunk() -> String {
    format!("{{{ENVELOPE},\"choices\":[],{USAGE}}}")
}

#[track_caller]
fn refuse(rule: &str, stream: &str) {
    match check_stream(stream.as_bytes(), true) {
        Err(broken) => assert!(broken.starts_with(rule), "{broken:?} instead of {rule}"),
        Ok(answer) => panic!("{rule} is broken, but accepted as {answer:?}"),
    }
}

/// Refuses an answer of these chunks between a proper beginning and a proper end.
#[track_caller]
fn refuse_between(rule: &str, chunks: &[&str]) {
    let (first, stop) = (chunk(&[FIRST]), chunk(&[STOP]));
    let payloads: Vec<&str> =
        [first.as_str()].into_iter().chain(chunks.iter().copied()).chain([stop.as_str(), "[DONE]"]).collect();
    refuse(rule, &stream(&payloads));
}

#[test]
fn a_proper_stream_is_understood() {
    let call = tool(r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}"#);
    let more = tool(r#"{"index":0,"function":{"arguments":"}"}}"#);
    let stop = chunk(&[&STOP.replace("stop", "tool_calls")]);
    let text = stream(&[&chunk(&[FIRST]), &call, &more, &stop, &usage_chunk(), "[DONE]"]);
    let answer = check_stream(text.as_bytes(), true).unwrap();
    let choice = &answer.choices[&0];
    assert_eq!((choice.text.as_str(), choice.finish.as_deref()), ("Hi", Some("tool_calls")));
    assert_eq!((choice.calls[0].name.as_str(), choice.calls[0].arguments.as_str()), ("f", "{}"));
    assert_eq!((answer.end, answer.usage.unwrap()["total_tokens"].as_u64()), (End::Complete, Some(3)));
}

#[test]
fn a_fault_alone_is_understood() {
    let answer = check_stream(stream(&[FAULT]).as_bytes(), false).unwrap();
    assert_eq!(answer, Answer { end: End::Fault("truncated".to_owned()), ..Answer::default() });
}

#[test]
fn framing_is_exact() {
    let (first, stop) = (chunk(&[FIRST]), chunk(&[STOP]));
    let good = stream(&[&first, &stop, "[DONE]"]);
    refuse("A1", &good.replace('\n', "\r\n"));
    refuse("A1", &format!("\u{feff}{good}"));
    refuse("A2", good.strip_suffix('\n').unwrap());
    refuse("A2", &good.replace("data: ", "data:"));
    refuse("A2", &format!("event: x\n{good}"));
    refuse("A2", &format!("\n{good}"));
    refuse("A2", &good.replace("[DONE]", "[DONE] "));
    refuse("A2", &good.replace("\"object\"", "\n\"object\""));
}

#[test]
fn there_is_one_end() {
    let (first, stop) = (chunk(&[FIRST]), chunk(&[STOP]));
    refuse("A4", "");
    refuse("A3", &stream(&[&first, &stop]));
    refuse("A3", &stream(&[&first, &stop, "[DONE]", "[DONE]"]));
    refuse("A3", &stream(&[&first, &stop, "[DONE]", FAULT]));
    refuse("A3", &stream(&[&first, FAULT, FAULT]));
    refuse("A3", &stream(&[&first, FAULT, "[DONE]"]));
    refuse("E5", &stream(&["[DONE]"]));
}

#[test]
fn the_identity_stays() {
    for (from, to) in [
        ("\"x\"", "\"y\""),
        ("\"created\":1", "\"created\":2"),
        ("\"created\":1", "\"created\":1.5"),
        ("\"m\"", "\"\""),
        ("\"id\":\"x\",", ""),
        (".chunk", ""),
    ] {
        refuse_between("B1", &[&delta(r#"{"content":"a"}"#).replacen(from, to, 1)]);
    }
    refuse_between("B2", &[&format!("{{{ENVELOPE}}}")]);
    refuse_between("B2", &[&chunk(&[])]);
    refuse_between("B2", &[&delta(r#"{"content":"a"}"#).replace("\"finish_reason\":null", "\"x\":1")]);
    refuse_between("B3", &[&delta(r#"{"content":"a"}"#).replace("\"choices\"", "\"p\":\"a\",\"choices\"")]);
    refuse_between("F5", &[&delta(r#"{"content":"a","content":"b"}"#)]);
}

#[test]
fn content_is_strict() {
    refuse_between("C2", &[&delta("null")]);
    refuse_between("C2", &[&delta(r#"{"role":"assistant","content":"a"}"#)]);
    refuse("C2", &stream(&[&delta(r#"{"content":"a"}"#), "[DONE]"]));
    refuse("C2", &stream(&[&delta(r#"{"role":"user","content":"a"}"#), "[DONE]"]));
    refuse_between("C3", &[&delta(r#"{"content":null}"#)]);
    refuse_between("C3", &[&delta(r#"{"content":""}"#)]);
    refuse_between("C3", &[&delta("{}")]);
    refuse_between("C3", &[&delta(r#"{"x":null}"#)]);
    refuse_between("C5", &[&delta(r#"{"content":"a","reasoning_content":"b","reasoning":"b"}"#)]);
    refuse_between("G1", &[&delta(r#"{"reasoning":"b"}"#)]);
}

#[test]
fn tool_calls_are_strict() {
    let first = r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}"#;
    for (rule, from, to) in [
        ("D1", "\"index\":0", "\"index\":1"),
        ("D1", "\"index\":0", "\"index\":\"0\""),
        ("D2", "\"id\":\"a\",", ""),
        ("D3", "\"a\"", "\"\""),
        ("D2", "\"type\":\"function\",", ""),
        ("D2", "\"name\":\"f\",", ""),
        ("D4", "\"{}\"", "{}"),
    ] {
        refuse_between(rule, &[&tool(&first.replace(from, to))]);
    }
    refuse_between("D3", &[&tool(first), &tool(&first.replace("\"index\":0", "\"index\":1"))]);
    refuse_between("D2", &[&tool(first), &tool(r#"{"index":0,"id":"a","function":{"arguments":"1"}}"#)]);
    refuse_between("D2", &[&tool(first), &tool(r#"{"index":0,"function":{"name":"f","arguments":"1"}}"#)]);
    refuse_between("C3", &[&tool(first), &tool(r#"{"index":0,"function":{"arguments":""}}"#)]);
    refuse_between("D5", &[&delta(r#"{"function_call":{"name":"f","arguments":"{}"}}"#)]);
    refuse_between("E1", &[&tool(first)]);
    let stop = chunk(&[&STOP.replace("stop", "tool_calls")]);
    let without = tool(&first.replace("{}\"", "\""));
    refuse("D4", &stream(&[&chunk(&[FIRST]), &without, &stop, "[DONE]"]));
}

#[test]
fn finish_and_usage_are_strict() {
    let (first, stop) = (chunk(&[FIRST]), chunk(&[STOP]));
    refuse("E1", &stream(&[&first, "[DONE]"]));
    refuse("E1", &stream(&[&first, &stop, &stop, "[DONE]"]));
    refuse("E1", &stream(&[&first, &stop, &delta(r#"{"content":"a"}"#), "[DONE]"]));
    refuse("E1", &stream(&[&first, &stop.replace("stop", "eos"), "[DONE]"]));
    refuse("E1", &stream(&[&first, &stop.replace("{}", r#"{"content":"a"}"#), "[DONE]"]));
    refuse("E2", &stream(&[&first, &usage_chunk(), &stop, "[DONE]"]));
    refuse("E2", &stream(&[&first, &stop, &usage_chunk(), &usage_chunk(), "[DONE]"]));
    refuse("E2", &stream(&[&first, &stop.replace("\"choices\"", &format!("{USAGE},\"choices\"")), "[DONE]"]));
    refuse("E3", &stream(&[&first, &stop, &usage_chunk().replace("3}", "\"3\"}"), "[DONE]"]));
    refuse("E3", &stream(&[&first, &stop, &usage_chunk().replace(",\"total_tokens\":3", ""), "[DONE]"]));
    refuse("F2", &stream(&[&first, &stop, &usage_chunk(), FAULT]));
    let asked = stream(&[&first, &stop, &usage_chunk(), "[DONE]"]);
    assert!(check_stream(asked.as_bytes(), false).unwrap_err().starts_with("E2"));
}

#[test]
fn faults_are_strict() {
    for (rule, from, to) in [
        ("F2", "{\"error\"", "{\"id\":\"x\",\"error\""),
        ("F2", "\"param\":null,", ""),
        ("F2", "\"param\"", "\"extra\":1,\"param\""),
        ("F1", "\"message\":\"m\"", "\"message\":\" \""),
        ("F4", "upstream_error", "api_error"),
        ("F4", "truncated", "cut"),
        ("F4", "\"truncated\"", "502"),
    ] {
        refuse(rule, &stream(&[&FAULT.replacen(from, to, 1)]));
    }
}

#[test]
fn an_object_is_strict() {
    let object = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"stop"}]}"#;
    assert_eq!(check_object(object.as_bytes()).unwrap().choices[&0].text, "Hi");
    assert_eq!(check_object(FAULT.as_bytes()).unwrap().end, End::Fault("truncated".to_owned()));
    for (from, to) in [
        ("chat.completion", "chat.completion.chunk"),
        ("\"stop\"", "null"),
        ("\"Hi\"", "1"),
        ("\"assistant\"", "null"),
        ("\"refusal\":null", "\"x\":1"),
    ] {
        check_object(object.replacen(from, to, 1).as_bytes()).unwrap_err();
    }
}
