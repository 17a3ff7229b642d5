//! What an answer becomes: every case of `tests/golden/<provider>/<case>/`.
//!
//! `upstream.sse`, `upstream.ndjson` or `upstream.bin` is what the provider sends. `events.ndjson` is what the pipeline makes of it, one event a
//! line and the repairs at last, to be read in review. `downstream.sse` is what a client gets that asked
//! for usage. Where there is an `object.json`, it is what a client gets that asked for no stream.
//!
//! `UPDATE_GOLDEN=1` writes the expected files anew (an empty `object.json` asks for one); the diff is then
//! reviewed like code. A folder is named after a row of the table, for its first dialect, or
//! `<row>+<dialect>` for another one; a folder that is named after a dialect uses it without quirks.

mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use millpond::event::{Body, Event, Fault, Unknown};
use millpond::json::Field;
use millpond::provider::PROVIDERS;
use support::contract::{Answer, End, check_object, check_parts, check_stream};
use support::{Case, difference, filter, golden_bodies, golden_cases, in_parallel};

#[test]
fn every_entry_of_the_table_has_a_case() {
    let cases = golden_cases();
    let has = |folder: &str| cases.iter().any(|case| case.provider == folder && case.upstream().is_some());
    let mut empty = Vec::new();
    for row in PROVIDERS {
        for (at, entry) in row.dialects.iter().enumerate() {
            let named = format!("{}+{}", row.name, entry.dialect.name());
            let names = if at == 0 { vec![row.name, &named] } else { vec![named.as_str()] };
            if !names.iter().any(|folder| has(folder)) {
                empty.push(format!("tests/golden/{} is empty", names[0]));
            }
        }
    }
    support::assert_none(&empty);
}

#[test]
fn every_case_becomes_its_events_and_bytes() {
    let cases = golden_bodies();
    assert!(!cases.is_empty(), "tests/golden is empty");
    support::assert_none(&in_parallel(&cases, |(case, body)| {
        let mut failures = Vec::new();
        compare(case, "events.ndjson", events(case, body).as_bytes(), &mut failures);
        let downstream = filter(case.dialect(), body, true, false).0;
        compare(case, "downstream.sse", &downstream, &mut failures);
        if case.folder.join("object.json").exists() {
            compare(case, "object.json", &filter(case.dialect(), body, true, true).0, &mut failures);
        }
        failures
    }));
}

#[test]
fn every_case_obeys_the_contract() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let checked = check(case, body);
        checked.err().map(|rule| format!("{}: breaks {rule}", case.label())).into_iter().collect()
    }));
}

/// The stream, the stream without usage and the object are in order and say the same.
fn check(case: &Case, body: &[u8]) -> Result<(), String> {
    let dialect = case.dialect();
    let (downstream, report) = filter(dialect, body, true, false);
    let answer = check_stream(&downstream, true)?;
    answer.usage.as_ref().map_or(Ok(()), check_parts)?;
    let ended = report.fault.map_or(End::Complete, |code| End::Fault(code.as_str().to_owned()));
    if ended != answer.end {
        return Err(format!("the report says {ended:?}, the stream {:?}", answer.end));
    }
    let unasked = check_stream(&filter(dialect, body, false, false).0, false)?;
    if unasked != (Answer { usage: None, ..answer.clone() }) {
        return Err("E2: another answer when usage is not asked for".to_owned());
    }
    let object = check_object(&filter(dialect, body, true, true).0)?;
    if object.end != answer.end {
        return Err(format!("H1: the object ends as {:?}, the stream as {:?}", object.end, answer.end));
    }
    if object.end != End::Complete {
        return Ok(());
    }
    let said = |answer: &Answer| {
        let mut choices = answer.choices.clone();
        choices.values_mut().for_each(|choice| choice.details.clear()); // The object joins them.
        (choices, answer.identity.clone())
    };
    if said(&object) != said(&answer) {
        return Err(format!("H1: the object says {object:?}, the stream {answer:?}"));
    }
    if answer.usage.is_some() && object.usage != answer.usage {
        return Err("H1: the object has another usage".to_owned());
    }
    Ok(())
}

/// Compares a result with its expected file, or writes that file.
fn compare(case: &Case, name: &str, result: &[u8], failures: &mut Vec<String>) {
    let path = case.folder.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, result).unwrap();
        return;
    }
    let Ok(expected) = fs::read(&path) else {
        failures.push(format!("{}: there is no {name}; UPDATE_GOLDEN=1 writes it", case.label()));
        return;
    };
    if expected != result {
        let (result, expected) = (String::from_utf8_lossy(result), String::from_utf8_lossy(&expected));
        let line = result.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count() + 1;
        let (result, expected) = (result.as_ref(), expected.as_ref());
        let what = difference(result, expected);
        failures.push(format!("{}, line {line}: {what}", short_path(&path)));
    }
}

fn short_path(path: &Path) -> String {
    path.strip_prefix(support::root()).unwrap_or(path).display().to_string()
}

/// The events of a body, one a line, and the repairs.
fn events(case: &Case, body: &[u8]) -> String {
    let mut pipeline = support::pipeline(case.dialect());
    let mut out = String::new();
    let mut sink = |event: &Event<'_>| {
        write_event(event, &mut out);
        out.push('\n');
    };
    pipeline.push(body, &mut sink);
    pipeline.finish(None, &mut sink);
    let repairs: Vec<String> =
        pipeline.repairs().iter().map(|(repair, count)| format!("\"{}\":{count}", repair.as_str())).collect();
    writeln!(out, "{{\"repairs\":{{{}}}}}", repairs.join(",")).unwrap();
    out
}

fn write_event(event: &Event<'_>, out: &mut String) {
    match event {
        Event::Start(identity) => {
            let (id, model) = (quoted(&identity.id), quoted(&identity.model));
            write!(out, r#"{{"start":{{"id":{id},"model":{model},"created":{}}}}}"#, identity.created)
                .unwrap();
        }
        Event::Part(part) => {
            write_body(&part.body, out);
            write!(out, r#","choice":{}"#, part.choice).unwrap();
            if part.first {
                out.push_str(r#","first":true"#);
            }
            write_unknown(&part.unknown, out);
            out.push('}');
        }
        Event::Finish(finish) => {
            write!(out, r#"{{"finish":"{}""#, finish.reason.as_str()).unwrap();
            if let Some(native) = finish.native {
                write!(out, r#","native":{}"#, quoted(native)).unwrap();
            }
            write!(out, r#","choice":{}"#, finish.choice).unwrap();
            write_unknown(&finish.unknown, out);
            out.push('}');
        }
        Event::Usage(usage) => {
            let mut text = Vec::new();
            usage.write(&mut text);
            write!(out, r#"{{"usage":{}}}"#, String::from_utf8(text).unwrap()).unwrap();
        }
        Event::Complete => out.push_str(r#"{"complete":true}"#),
        Event::Fault(fault) => write_fault(fault, out),
    }
}

/// Writes what a part says; the brace stays open.
fn write_body(body: &Body<'_>, out: &mut String) {
    match *body {
        Body::Nothing => out.push_str(r#"{"nothing":true"#),
        Body::Text(text) => write!(out, r#"{{"text":{}"#, quoted(text)).unwrap(),
        Body::Refusal(text) => write!(out, r#"{{"refusal":{}"#, quoted(text)).unwrap(),
        Body::Reasoning { text, details } => {
            write!(out, r#"{{"reasoning":{}"#, quoted(text)).unwrap();
            if !details.is_empty() {
                write!(out, r#","details":[{}]"#, details.join(",")).unwrap();
            }
        }
        Body::ToolStart { index, id, name, arguments, extra_content, unknown } => {
            let (id, name, arguments) = (quoted(id), quoted(name), quoted(arguments));
            write!(out, r#"{{"tool":{index},"id":{id},"name":{name},"arguments":{arguments}"#).unwrap();
            write_fields("extra_content", extra_content, out);
            write_fields("beside", unknown, out);
        }
        Body::ToolMore { index, arguments, extra_content, unknown } => {
            write!(out, r#"{{"tool":{index},"arguments":{}"#, quoted(arguments)).unwrap();
            write_fields("extra_content", extra_content, out);
            write_fields("beside", unknown, out);
        }
    }
}

fn write_fault(fault: &Fault, out: &mut String) {
    let (code, kind) = (fault.code.as_str(), fault.error_type.as_str());
    let message = quoted(&fault.message);
    write!(out, r#"{{"fault":"{code}","type":"{kind}","status":{},"message":{message}"#, fault.status)
        .unwrap();
    for (name, value) in [("param", &fault.param), ("provider_code", &fault.provider_code)] {
        if let Some(value) = value {
            write!(out, r#","{name}":{}"#, quoted(value)).unwrap();
        }
    }
    out.push('}');
}

fn write_unknown(unknown: &Unknown<'_>, out: &mut String) {
    write_fields("in_answer", unknown.answer, out);
    write_fields("in_choice", unknown.choice, out);
    write_fields("in_delta", unknown.delta, out);
}

/// Writes fields under a name, if there are any.
fn write_fields(name: &str, fields: &[Field<'_>], out: &mut String) {
    if fields.is_empty() {
        return;
    }
    let fields: Vec<String> =
        fields.iter().map(|field| format!("{}:{}", quoted(&field.name), one_line(&field.value))).collect();
    write!(out, r#","{name}":{{{}}}"#, fields.join(",")).unwrap();
}

fn one_line(raw: &str) -> String {
    raw.replace(['\n', '\r'], " ")
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
