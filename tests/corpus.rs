//! Real recordings of real providers: `../shared/corpus`, or the folder that `CORPUS_FOLDER` names, where it
//! is present. `CORPUS_ONLY` takes the recordings whose path has that text.
//!
//! Every recording goes through the filter. What comes out must obey the contract, say what a plain
//! reading of the recording says, end as the recording ends, be the same however the recording is cut, and
//! fold into an object that says the same.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use millpond::dialect::{AnyDialect, envelope};
use millpond::framing::Framing;
use serde::Deserialize;
use serde_json::Value;
use support::contract::{
    Answer, Call, End, Place, Unknown, check_object, check_parts, check_stream, is_error_type,
};
use support::plain::{self, Ending, Plain};
use support::{Random, cut, dialect_of, difference, filter, in_parallel, short};

/// Recordings below this size are also read byte by byte.
const BYTE_BY_BYTE: usize = 64 << 10;

#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    dialect: String,
    provider: String,
    framing: String,
}

#[derive(Debug, Deserialize)]
struct Reply {
    status: u16,
    body: String,
}

/// The corpus, or nothing where it is not present.
fn corpus() -> Option<PathBuf> {
    let beside = support::root().join("../shared/corpus");
    let folder = std::env::var_os("CORPUS_FOLDER").map_or(beside, PathBuf::from);
    if !folder.join("CATALOG.jsonl").is_file() {
        println!("SKIPPED: there is no corpus at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn lines<T: for<'a> Deserialize<'a>>(file: &Path) -> Vec<T> {
    let text = String::from_utf8(support::read(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_recording_becomes_a_clean_stream() {
    let Some(folder) = corpus() else { return };
    let mut rows: Vec<Row> = lines(&folder.join("CATALOG.jsonl"));
    rows.retain(|row| plain::can_read(dialect_name(&row.dialect)));
    if let Ok(part) = std::env::var("CORPUS_ONLY") {
        rows.retain(|row| row.file.contains(&part));
    }
    assert!(!rows.is_empty(), "the catalogue has no recording to check");
    let began = Instant::now();
    let failures = in_parallel(&rows, |row| {
        let found = check(row, &folder);
        found.into_iter().map(|what| format!("{}: {what}", row.file)).collect()
    });
    println!("{} recordings in {:.1} s", rows.len(), began.elapsed().as_secs_f32());
    support::assert_none(&failures);
}

#[test]
fn every_error_reply_is_understood() {
    let Some(folder) = corpus() else { return };
    let mut failures = Vec::new();
    for Reply { status, body } in lines(&folder.join("error_replies.jsonl")) {
        let fault = envelope::read_body(status, body.as_bytes());
        let message = !fault.message.trim().is_empty();
        if !message || fault.status != status || !is_error_type(fault.error_type.as_str()) {
            failures.push(format!("{status} {}: {fault:?}", short(&body)));
        }
        // A message for people, not the envelope it came in.
        if fault.message.starts_with('{') && body.contains("\"message\"") {
            failures.push(format!("{status} {}: the message is {:?}", short(&body), fault.message));
        }
    }
    support::assert_none(&failures);
}

/// The name of the row of the table for a name of the catalogue.
fn provider_of(catalogued: &str) -> &str {
    match catalogued {
        "vercel-gateway" => "vercel",
        "ollama-openai-compat" | "ollama-cloud" => "ollama",
        "google-openai-compat" => "google",
        other => other,
    }
}

/// The name of the dialect for a name of the catalogue.
fn dialect_name(catalogued: &str) -> &str {
    match catalogued {
        "anthropic-messages" => "anthropic",
        "cohere-v2" => "cohere",
        "ollama-ndjson" => "ollama",
        "bedrock-converse" => "bedrock",
        other => other,
    }
}

/// The dialect of a recording, with the provider's quirks where its row has them.
fn dialect(row: &Row) -> AnyDialect {
    let (provider, name) = (provider_of(&row.provider), dialect_name(&row.dialect));
    dialect_of(&format!("{provider}+{name}"))
}

/// The recorded body; one that lost its framing gets it back.
fn body_of(row: &Row, folder: &Path) -> Vec<u8> {
    let recorded = support::read(&folder.join(&row.file));
    if row.framing != "jsonl" || dialect(row).as_dialect().framing() != Framing::Sse {
        return recorded;
    }
    let text = String::from_utf8(recorded).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("data: {line}\n\n")).collect::<String>().into_bytes()
}

fn check(row: &Row, folder: &Path) -> Vec<String> {
    let body = body_of(row, folder);
    let dialect = dialect(row);
    let quirks = dialect.as_dialect().quirks();
    let (whole, report) = filter(dialect, &body, true, false);
    let answer = match check_stream(&whole, true) {
        Ok(answer) => answer,
        Err(rule) => return vec![format!("breaks {rule}")],
    };
    let plain = plain::read(dialect.name(), &body);
    let mut failures = compare(&plain, &answer, quirks.think_tags != Default::default());
    failures.extend(answer.usage.as_ref().and_then(|usage| check_parts(usage).err()));
    let ending = match answer.end {
        End::Complete => Ending::Complete,
        End::Fault(_) => Ending::Fault,
    };
    let expected = plain.ending(quirks.finish_optional);
    if ending != expected {
        failures.push(format!("E5: ended as {:?}, the recording as {expected:?}", answer.end));
    }
    if (report.fault.map(|code| code.as_str().to_owned())) != fault_of(&answer) {
        failures.push(format!("the report says {:?}, the stream {:?}", report.fault, answer.end));
    }
    failures.extend(check_cuts(row, &body, &whole));
    failures.extend(check_unasked(row, &body, &answer));
    failures.extend(check_fold(row, &body, &answer));
    failures
}

fn fault_of(answer: &Answer) -> Option<String> {
    match &answer.end {
        End::Complete => None,
        End::Fault(code) => Some(code.clone()),
    }
}

/// The same bytes leave however they came.
fn check_cuts(row: &Row, body: &[u8], whole: &[u8]) -> Vec<String> {
    let dialect = dialect(row);
    let mut failures = Vec::new();
    let mut compare = |how: &str, pieces: &mut dyn Iterator<Item = &[u8]>| {
        let out = support::stream(dialect, pieces);
        if out != whole {
            let what = difference(&String::from_utf8_lossy(&out), &String::from_utf8_lossy(whole));
            failures.push(format!("C1: another answer when cut {how}: {what}"));
        }
    };
    if body.len() < BYTE_BY_BYTE {
        compare("byte by byte", &mut body.chunks(1));
    }
    let mut random = Random(0x6d69_6c6c_706f_6e64 ^ body.len() as u64);
    let mut places = Vec::new();
    let mut at = 0;
    loop {
        at += 1 + random.below(4096);
        if at >= body.len() {
            break;
        }
        places.push(at);
    }
    compare("at random", &mut cut(body, &places).into_iter());
    failures
}

/// A client that does not ask for usage gets the same answer without it (E2).
fn check_unasked(row: &Row, body: &[u8], answer: &Answer) -> Vec<String> {
    let (out, _) = filter(dialect(row), body, false, false);
    match check_stream(&out, false) {
        Ok(unasked) if Answer { usage: None, ..answer.clone() } == unasked => Vec::new(),
        Ok(_) => vec!["E2: another answer when usage is not asked for".to_owned()],
        Err(rule) => vec![format!("without usage, breaks {rule}")],
    }
}

/// The object says what the stream says (H1).
fn check_fold(row: &Row, body: &[u8], answer: &Answer) -> Vec<String> {
    let (out, _) = filter(dialect(row), body, true, true);
    let object = match check_object(&out) {
        Ok(object) => object,
        Err(rule) => return vec![format!("as an object, breaks {rule}")],
    };
    if object.end != answer.end {
        return vec![format!("H1: the object ends as {:?}, the stream as {:?}", object.end, answer.end)];
    }
    if object.end != End::Complete {
        return Vec::new();
    }
    let mut failures = Vec::new();
    if object.identity != answer.identity || object.usage != answer.usage {
        failures.push("H1: the object has another identity or usage".to_owned());
    }
    let plain = |answer: &Answer| {
        let mut choices = answer.choices.clone();
        choices.values_mut().for_each(|choice| choice.details.clear()); // The object joins them.
        choices
    };
    if plain(&object) != plain(answer) {
        failures.push("H1: the object's choices say something else".to_owned());
    }
    for Unknown { place, name, .. } in &answer.unknown {
        let kept = object.unknown.iter().any(|unknown| unknown.place == *place && unknown.name == *name);
        if !kept && !matches!(place, Place::Tool(_)) {
            failures.push(format!("H1: the object lost `{name}` of {place:?}"));
        }
    }
    failures
}

fn compare(plain: &Plain, answer: &Answer, think_tags: bool) -> Vec<String> {
    let mut failures = Vec::new();
    if plain.unread > 0 {
        failures.push(format!("{} events are no JSON for a plain reader", plain.unread));
        return failures;
    }
    let empty = plain::Choice::default();
    for (index, choice) in &answer.choices {
        let said = plain.choices.get(index).unwrap_or(&empty);
        let mut differ = |what: &str, left: &str, right: &str| {
            if left != right {
                let what = format!("C1: {what} of choice {index}: {}", difference(left, right));
                failures.push(what);
            }
        };
        differ("refusal", &choice.refusal, &said.refusal);
        if think_tags && said.text.contains("think>") {
            let both = |reasoning: &str, text: &str| {
                format!("{reasoning}{}", text.replacen("<think>", "", 1).replacen("</think>", "", 1))
            };
            let left = both(&choice.reasoning, &choice.text);
            differ("reasoning and text", &left, &both(&said.reasoning, &said.text));
        } else {
            differ("text", &choice.text, &said.text);
            differ("reasoning", &choice.reasoning, &said.reasoning);
        }
        failures.extend(compare_calls(*index, &choice.calls, &said.calls));
        failures.extend(compare_details(*index, &choice.details, &said.details));
        let native = choice.native.as_ref().or(choice.finish.as_ref());
        if answer.end == End::Complete && said.finish.is_some() {
            let words = [said.native.as_ref(), said.finish.as_ref()];
            if !words.contains(&native) {
                failures.push(format!("E1: the native reason is {native:?}, the recording has {words:?}"));
            }
        }
    }
    let lost = plain.choices.keys().filter(|index| !answer.choices.contains_key(index)).count();
    if lost > 0 && answer.end == End::Complete {
        failures.push(format!("C4: {lost} choices are lost"));
    }
    if answer.end == End::Complete {
        failures.extend(compare_usage(plain, answer.usage.as_ref()));
        failures.extend(compare_unknown(&plain.unknown, &answer.unknown));
        failures.extend(compare_parts(&plain.parts, &answer.unknown));
    }
    failures
}

fn compare_calls(choice: u64, calls: &[Call], said: &[plain::Call]) -> Vec<String> {
    if calls.len() != said.len() {
        return vec![format!(
            "D1: {} calls in choice {choice}, the recording has {}",
            calls.len(),
            said.len()
        )];
    }
    let mut failures = Vec::new();
    for (at, (call, said)) in calls.iter().zip(said).enumerate() {
        if call.name != said.name || !said.id.is_empty() && call.id != said.id {
            failures.push(format!("D3: call {at} is {call:?}, the recording has {said:?}"));
        }
        if !same_arguments(&call.arguments, said) {
            let what = difference(&call.arguments, &said.arguments);
            failures.push(format!("D4: arguments of call {at} of choice {choice}: {what}"));
        }
    }
    failures
}

/// True if the arguments are the recording's own, but for what rule D4 normalises.
fn same_arguments(sent: &str, said: &plain::Call) -> bool {
    let placeholder = |text: &str| matches!(text.trim(), "" | "null" | "{}" | "\"\"");
    if sent == said.arguments {
        return true;
    }
    if placeholder(&said.arguments) {
        return sent == "{}" || sent.is_empty();
    }
    // A placeholder before the real ones, or all of it again at the end.
    let pieces: Vec<&str> = said.pieces.iter().map(String::as_str).collect();
    let behind: String = pieces.iter().skip_while(|piece| placeholder(piece)).copied().collect();
    let before: String = pieces.iter().take(pieces.len().saturating_sub(1)).copied().collect();
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    sent == behind || sent == before || json(sent).is_some() && json(sent) == json(&said.arguments)
}

/// Every item of the recording is there, in order; items that millpond made of signatures may stand between.
/// An item without an index got one; a form is the dialect's where the recording names none.
fn compare_details(choice: u64, sent: &[String], said: &[Value]) -> Vec<String> {
    let mut sent = sent.iter().map(|raw| serde_json::from_str::<Value>(raw).unwrap());
    let same = |mut sent: Value, said: &Value| {
        for name in ["index", "format"] {
            if said.get(name).is_none() {
                sent.as_object_mut().unwrap().remove(name);
            }
        }
        sent == *said
    };
    let lost = said.iter().find(|&detail| !sent.any(|sent| same(sent, detail)));
    lost.map(|detail| format!("G4: a detail of choice {choice} is lost: {}", short(&detail.to_string())))
        .into_iter()
        .collect()
}

/// Every number of the last report is there (E3).
fn compare_usage(plain: &Plain, sent: Option<&Value>) -> Vec<String> {
    let Some(last) = plain.usages.last() else {
        return sent.map(|sent| format!("E4: usage was invented: {sent}")).into_iter().collect();
    };
    let Some(sent) = sent else {
        let whole = ["prompt_tokens", "completion_tokens"].iter().all(|name| last[*name].is_number());
        return whole.then(|| format!("E2: usage is lost: {last}")).into_iter().collect();
    };
    let mut failures = Vec::new();
    let mut differ = |what: &str| failures.push(format!("E3: {what}: {sent} for {last}"));
    let count = |usage: &Value, path: &str| usage.pointer(path).and_then(Value::as_f64);
    let several = plain.choices.len() > 1 && plain.usages.len() > 1;
    let reasoning = count(last, "/completion_tokens_details/reasoning_tokens").unwrap_or(0.0);
    let cached = ["/prompt_tokens_details/cached_tokens", "/cache_read_input_tokens"]
        .iter()
        .filter_map(|path| count(last, path))
        .fold(0.0, f64::max)
        + count(last, "/cache_creation_input_tokens").unwrap_or(0.0);
    for (path, outside) in
        [("/prompt_tokens", cached), ("/completion_tokens", reasoning), ("/total_tokens", cached)]
    {
        let (Some(sent), Some(said)) = (count(sent, path), count(last, path)) else { continue };
        let sums: f64 = plain.usages.iter().filter_map(|usage| count(usage, path)).sum();
        let most = plain.usages.iter().filter_map(|usage| count(usage, path)).fold(said, f64::max);
        let allowed = [said, most, said + outside];
        let summed = several && sent == sums;
        if !summed && !allowed.contains(&sent) {
            differ(path);
        }
    }
    let (prompt, completion, total) =
        (count(sent, "/prompt_tokens"), count(sent, "/completion_tokens"), count(sent, "/total_tokens"));
    if count(last, "/total_tokens").is_none() && total != prompt.zip(completion).map(|(a, b)| a + b) {
        differ("a missing total is the sum");
    }
    let mut leaves = Vec::new();
    leaves_of(last, "", &mut leaves);
    for (path, value) in leaves {
        let counted = ["/prompt_tokens", "/completion_tokens", "/total_tokens"].contains(&path.as_str());
        let kept = sent.pointer(&path);
        let grown = kept.and_then(Value::as_f64).zip(value.as_f64()).is_some_and(|(kept, said)| kept >= said);
        if !(counted || grown || kept == Some(value)) {
            differ(&path);
        }
    }
    failures
}

/// The scalars in a value that say something, with their places.
fn leaves_of<'a>(value: &'a Value, path: &str, out: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves_of(value, &format!("{path}/{name}"), out));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| leaves_of(value, &format!("{path}/{at}"), out));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push((path.to_owned(), value)),
    }
}

/// Each unknown field has the same values in the same order, but for the same value again (B3).
fn compare_unknown(said: &[Unknown], sent: &[Unknown]) -> Vec<String> {
    let said = values_by_field(said.iter());
    let sent = values_by_field(sent.iter().filter(|unknown| {
        let nothing = ["null", "\"\"", "[]", "{}"].contains(&unknown.value.to_string().as_str());
        !nothing && unknown.name != "content_parts"
    }));
    let mut failures = Vec::new();
    for (field, values) in &said {
        if sent.get(field) != Some(values) {
            let count = sent.get(field).map_or(0, Vec::len);
            let first = short(&values[0].to_string());
            failures.push(format!("B3: {field:?} has {count} of {} values: {first}", values.len()));
        }
    }
    let invented = sent.keys().filter(|field| !said.contains_key(*field));
    failures.extend(invented.map(|field| format!("B3: {field:?} was invented")));
    failures
}

/// Every part that no field of the API can carry is there, in order.
fn compare_parts(said: &[Value], sent: &[Unknown]) -> Option<String> {
    let lists = sent.iter().filter(|unknown| unknown.name == "content_parts");
    let sent: Vec<&Value> = lists.flat_map(|unknown| unknown.value.as_array().unwrap()).collect();
    let same = said.is_empty() || said.iter().eq(sent.iter().copied());
    (!same).then(|| format!("B3: {} parts of content, the recording has {}", sent.len(), said.len()))
}

fn values_by_field<'a>(
    fields: impl Iterator<Item = &'a Unknown>,
) -> BTreeMap<(Place, &'a str), Vec<&'a Value>> {
    let mut by_field: BTreeMap<(Place, &str), Vec<&Value>> = BTreeMap::new();
    for Unknown { place, name, value } in fields {
        let values = by_field.entry((*place, name.as_str())).or_default();
        if values.last() != Some(&value) {
            values.push(value);
        }
    }
    by_field
}
