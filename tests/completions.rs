//! Clients of text completions: every golden body, whole, cut anywhere, cut off and shuffled, obeys the API's rules and
//! says what chat completions say of it. Where a case has a `downstream.completions.sse` or an
//! `object.completions.json`, that is what such a client gets.
//!
//! `UPDATE_GOLDEN=1` writes the expected files anew (an empty one asks for it).

mod support;

use std::fs;
use std::path::Path;

use millpond::api::Api;
use millpond::dialect::AnyDialect;
use millpond::event::Event;
use support::completions::{Completion, check_object, check_stream, object, stream};
use support::contract::{self, Answer, End};
use support::{Random, cut, difference, frame_ends, golden_bodies, in_parallel, read};

/// What a client understands of a body, if all of its forms agree.
fn obey(dialect: AnyDialect, body: &[u8]) -> Result<Completion, String> {
    let told = check_stream(&stream(dialect, [body]), true)?;
    same(&told, &contract::check_stream(&support::stream(dialect, [body]), true)?)?;
    let whole = check_object(&object(dialect, body)).map_err(|rule| format!("as an object, {rule}"))?;
    if whole.end != told.end {
        return Err(format!("H1: the object ends as {:?}, the stream as {:?}", whole.end, told.end));
    }
    let words = |told: &Completion| {
        let mut told = told.clone();
        told.choices.values_mut().for_each(|choice| choice.unknown.clear()); // The object joins them.
        told
    };
    if told.end == End::Complete && words(&whole) != words(&told) {
        return Err(format!("H1: the object says {whole:?}, the stream {told:?}"));
    }
    Ok(told)
}

/// The same answer in both APIs, as far as this one has a place for it.
fn same(told: &Completion, chat: &Answer) -> Result<(), String> {
    let word = |word: &str| if word == "tool_calls" { "stop".to_owned() } else { word.to_owned() };
    let choices = told.choices.iter().map(|(index, choice)| {
        (*index, choice.text.clone(), choice.reasoning.clone(), choice.refusal.clone(), choice.finish.clone())
    });
    let others = chat.choices.iter().map(|(index, choice)| {
        let finish = choice.finish.as_deref().map(word);
        (*index, choice.text.clone(), choice.reasoning.clone(), choice.refusal.clone(), finish)
    });
    let agree = choices.eq(others)
        && (&told.end, &told.usage, &told.identity) == (&chat.end, &chat.usage, &chat.identity);
    if agree { Ok(()) } else { Err(format!("C1: a text says {told:?}, a chat {chat:?}")) }
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
fn shuffled_frames_obey_the_rules() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let mut random = Random(11 ^ body.len() as u64);
        let mut frames = support::frames(case.dialect(), body);
        random.shuffle(&mut frames);
        let checked = obey(case.dialect(), &frames.concat());
        checked.err().map(|rule| format!("{}: {rule}", case.label())).into_iter().collect()
    }));
}

#[test]
fn chosen_cases_become_their_bytes() {
    let bodies = golden_bodies();
    support::assert_none(&in_parallel(&bodies, |(case, body)| {
        let mut failures = Vec::new();
        for (name, result) in [
            ("downstream.completions.sse", stream(case.dialect(), [body.as_slice()])),
            ("object.completions.json", object(case.dialect(), body)),
        ] {
            compare(&case.folder.join(name), &result, &mut failures);
        }
        failures
    }));
    let chosen =
        bodies.iter().filter(|(case, _)| case.folder.join("downstream.completions.sse").exists()).count();
    assert!(chosen >= 40, "{chosen} cases have golden bytes");
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

/// What a client gets for these frames if it sent so many prompts.
fn of_prompts(count: usize, frames: &str) -> Completion {
    let mut pipeline = support::pipeline(AnyDialect::plain("openai-completions").unwrap()).expecting(count);
    let mut encoder = Api::Completions.encoder(true, true, Default::default());
    encoder.begin("upstream");
    let mut out = Vec::new();
    let mut sink = |event: &Event<'_>| encoder.event(event, &mut out);
    pipeline.push(frames.as_bytes(), &mut sink);
    pipeline.finish(None, &mut sink);
    check_stream(&out, true).unwrap()
}

/// T7: the body may end between the answers to two prompts.
#[test]
fn an_answer_to_several_prompts_has_one_for_each() {
    let one = |index: u32| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"text\":\"a\",\"finish_reason\":\"stop\"}}]}}\n\n")
    };
    let cut = End::Fault("truncated".to_owned());
    assert_eq!(of_prompts(1, &one(0)).end, End::Complete);
    assert_eq!(of_prompts(2, &one(0)).end, cut);
    assert_eq!(of_prompts(2, &(one(0) + &one(1))).end, End::Complete);
    assert_eq!(of_prompts(3, &(one(0) + &one(1))).end, cut);
    assert_eq!(of_prompts(2, &(one(0) + "data: [DONE]\n\n")).end, End::Complete);
}

const ENVELOPE: &str = r#""id":"x","object":"text_completion","created":1,"model":"m""#;
const USAGE: &str = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;

/// A stream of these choices, each on a chunk, and of what follows.
fn written(choices: &[&str], rest: &[&str]) -> String {
    let chunks = choices.iter().map(|choice| format!("{{{ENVELOPE},\"choices\":[{choice}]}}"));
    let rest = rest.iter().map(|rest| (*rest).to_owned());
    chunks.chain(rest).map(|data| format!("data: {data}\n\n")).collect()
}

/// A reader that accepts everything would make every other test pass.
#[test]
fn the_reader_is_strict() {
    let text = r#"{"index":0,"text":"a","logprobs":null,"finish_reason":null}"#;
    let stop = r#"{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}"#;
    let usage = format!("{{{ENVELOPE},\"choices\":[],\"usage\":{USAGE}}}");
    let good = written(&[text, stop], &[&usage, "[DONE]"]);
    assert_eq!(check_stream(good.as_bytes(), true).unwrap().choices[&0].text, "a");
    let refuse = |rule: &str, stream: &str| {
        let broken = check_stream(stream.as_bytes(), true).expect_err(stream);
        assert!(broken.starts_with(rule), "{broken:?} instead of {rule}");
    };
    assert!(check_stream(good.as_bytes(), false).unwrap_err().starts_with("T6"));
    for (rule, from, to) in [
        ("A1", "\n", "\r\n"),
        ("A2", "data: ", "data:"),
        ("B1", "text_completion", "text_completion.chunk"),
        ("T1", "\"x\"", "\"y\""),
        ("T2", "\"logprobs\":null,", ""),
        ("T2", "\"logprobs\":null", "\"logprobs\":1"),
        ("T2", "\"text\":\"a\"", "\"text\":null"),
        ("T2", "\"text\":\"a\"", "\"delta\":{},\"text\":\"a\""),
        ("T5", "\"finish_reason\":\"stop\"", "\"finish_reason\":\"tool_calls\""),
        ("T6", "\"finish_reason\":\"stop\"", "\"finish_reason\":null"),
        ("T5", "\"text\":\"\"", "\"text\":\"b\""),
        ("E3", ",\"total_tokens\":3", ""),
    ] {
        let all = rule.starts_with('A');
        let broken = if all { good.replace(from, to) } else { good.replacen(from, to, 1) };
        refuse(rule, &broken);
    }
    refuse("A3", &written(&[text, stop], &[]));
    refuse("A3", &written(&[text, stop], &["[DONE]", "[DONE]"]));
    refuse("T5", &written(&[text, stop, text], &["[DONE]"]));
    refuse("T6", &written(&[text], &[&usage, "[DONE]"]));
    let whole = format!("{{{ENVELOPE},\"choices\":[{}],\"usage\":{USAGE}}}", stop.replace("\"\"", "\"a\""));
    assert_eq!(check_object(whole.as_bytes()).unwrap().choices[&0].text, "a");
    for (from, to) in [("\"stop\"", "null"), ("\"logprobs\":null,", ""), ("\"a\"", "1"), ("text_c", "c")] {
        check_object(whole.replacen(from, to, 1).as_bytes()).expect_err(to);
    }
}
