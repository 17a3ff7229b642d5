//! The contract holds whatever comes: over every truncation of every golden case, over frames that are
//! shuffled, repeated, dropped and mixed, over damaged and arbitrary bytes, over frames whose every field
//! may have any type. Nothing panics, and every answer has exactly one end.
//!
//! What is random is the same in every run; `LAWS_SEED=<number>` looks elsewhere, `LAWS_CASES=<number>`
//! looks longer.

mod support;

use millpond::dialect::{AnyDialect, ThinkTags};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use support::contract::{Answer, Choice, End};
use support::obey::{obey, obey_in_pieces};
use support::plain::{self, Ending};
use support::{Case, Random, dialect_of, difference, frame_ends, frames, golden_bodies, in_parallel, short};

/// A case is truncated behind every event and at this many other places: small ones at every byte.
const TRUNCATIONS: usize = 2 << 10;
/// Variations of each case.
const VARIATIONS: usize = 12;

#[test]
fn a_truncated_case_is_complete_only_if_its_end_survived() {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let whole = match obey(case.dialect(), body) {
            Ok(whole) => whole,
            Err(rule) => return vec![format!("{}: breaks {rule}", case.label())],
        };
        let mut ends: Vec<usize> = (0..body.len()).step_by(body.len().div_ceil(TRUNCATIONS).max(1)).collect();
        ends.extend(frame_ends(case.dialect(), body));
        let mut failures = Vec::new();
        for end in ends {
            if let Err(rule) = check_truncated(case, &body[..end], &whole) {
                failures.push(format!("{} truncated at {end}: {rule}", case.label()));
                break;
            }
        }
        failures
    }));
}

fn check_truncated(case: &Case, body: &[u8], whole: &Answer) -> Result<(), String> {
    let answer = obey(case.dialect(), body)?;
    let quirks = case.dialect().as_dialect().quirks();
    let plain = plain::read(case.dialect().name(), body);
    if answer.end == End::Complete && plain.ending(quirks.finish_optional) == Ending::Fault {
        return Err("E5: complete, though the upstream did not say so".to_owned());
    }
    let unsaid = Choice::default();
    for (index, choice) in &answer.choices {
        let all = whole.choices.get(index).unwrap_or(&unsaid);
        let texts =
            [(&choice.text, &all.text), (&choice.refusal, &all.refusal), (&choice.reasoning, &all.reasoning)];
        let said = |part: &str, all: &str| {
            all.starts_with(part)
                || quirks.think_tags != ThinkTags::None && all.starts_with(without_tag(part))
        };
        if let Some((part, all)) = texts.into_iter().find(|(part, all)| !said(part, all)) {
            return Err(format!("C1: says {part:?}, the whole answer {all:?}"));
        }
        for (at, call) in choice.calls.iter().enumerate() {
            let all = all.calls.get(at).map_or("", |call| &call.arguments);
            if !all.starts_with(&call.arguments) && call.arguments != "{}" {
                return Err(format!("C1: calls with {:?}, the whole answer with {all:?}", call.arguments));
            }
        }
    }
    Ok(())
}

/// The text without what may have become a tag at its end: if nothing follows, that is text.
fn without_tag(text: &str) -> &str {
    let Some(start) = text.rfind('<') else { return text };
    let tag = &text[start..];
    if "<think>".starts_with(tag) || "</think>".starts_with(tag) { &text[..start] } else { text }
}

/// Checks variations of every case, each made by `vary` from the case's events.
fn check_variations(vary: impl Fn(&[&[u8]], &mut Random) -> Vec<u8> + Sync) {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let events = frames(case.dialect(), body);
        let mut random = Random(seed() ^ body.len() as u64);
        let mut failures = Vec::new();
        for _ in 0..VARIATIONS {
            let varied = vary(&events, &mut random);
            if let Err(rule) = obey_in_pieces(case.dialect(), &varied, &mut random) {
                let shown = short(&String::from_utf8_lossy(&varied));
                failures.push(format!("{}: breaks {rule}; from {shown}", case.label()));
                break;
            }
        }
        failures
    }));
}

#[test]
fn shuffled_frames_obey_the_contract() {
    check_variations(|events, random| {
        let mut events = events.to_vec();
        random.shuffle(&mut events);
        events.concat()
    });
}

#[test]
fn repeated_frames_obey_the_contract() {
    check_variations(|events, random| {
        let mut out = Vec::new();
        for event in events {
            out.extend(event.repeat(1 + usize::from(random.below(3) == 0)));
        }
        out
    });
}

#[test]
fn dropped_frames_obey_the_contract() {
    check_variations(|events, random| {
        let kept: Vec<&[u8]> = events.iter().copied().filter(|_| random.below(4) > 0).collect();
        kept.concat()
    });
}

#[test]
fn frames_of_two_cases_obey_the_contract() {
    let others = golden_bodies();
    check_variations(|left, random| {
        let (case, body) = &others[random.below(others.len())];
        let right = frames(case.dialect(), body);
        let (mut left, mut right) = (left.iter(), right.iter());
        let mut out = Vec::new();
        loop {
            let (one, other) =
                if random.below(2) == 0 { (&mut left, &mut right) } else { (&mut right, &mut left) };
            match one.next().or_else(|| other.next()) {
                Some(event) => out.extend_from_slice(event),
                None => return out,
            }
        }
    });
}

#[test]
fn damaged_bytes_obey_the_contract() {
    const BYTES: &[u8] = b"\"{}[]:,\\\n\r\t n0-\xff\xc3\xa9\x00";
    check_variations(|events, random| {
        let mut body = events.concat();
        for _ in 0..1 + random.below(4) {
            let at = random.below(body.len() + 1);
            let byte = BYTES[random.below(BYTES.len())];
            match random.below(3) {
                0 => body.insert(at, byte),
                1 if at < body.len() => body[at] = byte,
                _ => body.truncate(body.len().max(at + 1) - 1),
            }
        }
        body
    });
}

/// Frames in which one value is of another type than its own.
#[test]
fn retyped_frames_obey_the_contract() {
    check_variations(|events, random| {
        let mut out = Vec::new();
        let retyped = random.below(events.len().max(1));
        for (at, event) in events.iter().enumerate() {
            match std::str::from_utf8(event).ok().filter(|_| at == retyped) {
                Some(text) => out.extend_from_slice(retype(text, random).as_bytes()),
                None => out.extend_from_slice(event),
            }
        }
        out
    });
}

/// Puts another value in the place of one that stands behind a colon.
fn retype(text: &str, random: &mut Random) -> String {
    const VALUES: [&str; 12] = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e3",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[{\"type\":\"x\"}]",
        "[null,1]",
    ];
    let places: Vec<usize> = text.match_indices("\":").map(|(at, colon)| at + colon.len()).collect();
    if places.is_empty() {
        return text.to_owned();
    }
    let place = places[random.below(places.len())];
    let mut values = serde_json::Deserializer::from_str(&text[place..]).into_iter::<serde_json::Value>();
    if !matches!(values.next(), Some(Ok(_))) {
        return text.to_owned();
    }
    let behind = &text[place + values.byte_offset()..];
    format!("{}{}{behind}", &text[..place], VALUES[random.below(VALUES.len())])
}

/// What a frame means does not depend on the form of the one before: a frame that says nothing, put between
/// all others, changes no byte.
fn ignore_form(dialect: AnyDialect, body: &[u8]) -> Result<(), String> {
    let apart = frames(dialect, body).join(&b"data: 1\n\n"[..]);
    let (whole, other) = (support::stream(dialect, [body]), support::stream(dialect, [apart.as_slice()]));
    if whole == other {
        return Ok(());
    }
    let (whole, other) = (String::from_utf8_lossy(&whole), String::from_utf8_lossy(&other));
    Err(format!("C1: another answer with frames apart: {}", difference(&whole, &other)))
}

#[test]
fn a_frame_is_read_alike_whatever_came_before() {
    let closed = |body: &[u8]| body.starts_with(b"data:") && body.ends_with(b"\n\n");
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let mut random = Random(seed());
        let mut failures = Vec::new();
        for way in 0..VARIATIONS {
            let mut frames = frames(case.dialect(), body);
            match way {
                0 => {}
                _ if way % 2 == 0 => random.shuffle(&mut frames),
                _ => frames = frames.into_iter().flat_map(|frame| [frame, frame]).collect(),
            }
            let body = frames.concat();
            if closed(&body)
                && let Err(rule) = ignore_form(case.dialect(), &body)
            {
                failures.push(format!("{}: {rule}", case.label()));
                break;
            }
        }
        failures
    }));
}

fn seed() -> u64 {
    std::env::var("LAWS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3)
}

/// Checks bodies that `strategy` makes, the same in every run.
fn check_arbitrary(cases: u32, strategy: impl Strategy<Value = Vec<u8>>) {
    check_each(cases, strategy, |dialect, body| {
        let mut random = Random(body.len() as u64);
        let answer = obey_in_pieces(dialect, body, &mut random)?;
        let text = String::from_utf8_lossy(body);
        let may_end = text.to_ascii_lowercase().contains("[done]") || text.contains("finish_reason");
        if answer.end == End::Complete && !may_end && dialect.name() == "openai-chat" {
            return Err("E5: complete without a finish or an end mark".to_owned());
        }
        Ok(())
    });
}

fn check_each(
    cases: u32,
    strategy: impl Strategy<Value = Vec<u8>>,
    check: impl Fn(AnyDialect, &[u8]) -> Result<(), String>,
) {
    let cases = std::env::var("LAWS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let plain = AnyDialect::NAMES.iter().map(|name| dialect_of(name));
    let dialects: Vec<AnyDialect> = plain.chain([dialect_of("perplexity")]).collect();
    let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |body| {
        dialects.iter().try_for_each(|&dialect| check(dialect, &body)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, body)) => panic!("{why}\nfrom\n{}", String::from_utf8_lossy(&body)),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn arbitrary_bytes_obey_the_contract() {
    check_arbitrary(1000, prop::collection::vec(any::<u8>(), 0..200));
}

#[test]
fn arbitrary_lines_obey_the_contract() {
    let pieces = prop::sample::select(vec![
        "data:",
        "data: ",
        "event: error",
        "event: x",
        "id: 1",
        "retry: 5",
        ": comment",
        ":",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        " ",
        "\u{feff}",
        "[DONE]",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "null",
        "1",
        "\"choices\":[",
        "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
        "{\"choices\":[{\"finish_reason\":\"stop\"}]}",
        "{\"error\":\"no\"}",
        "<html><title>no</title>",
        "é",
        "no such field",
    ]);
    let lines = prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat().into_bytes());
    check_arbitrary(2000, lines);
}

#[test]
fn frames_with_any_type_in_any_field_obey_the_contract() {
    let end = prop_oneof![3 => Just("data: [DONE]\n\n"), 1 => Just("")];
    let frames = (prop::collection::vec(chunk(), 0..7), end).prop_map(|(chunks, end)| {
        let mut body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        body.push_str(end);
        body.into_bytes()
    });
    check_arbitrary(2500, frames);
}

/// Frames as providers write them; `"a"` is what they say.
const FORMS: &[&str] = &[
    r#"{"id":"i","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"x"}"#,
    r#"{"choices":[{"delta":{"content":"a","token_id":1},"text":"a","logprobs":{"content":[{"token":"a"}]}}]}"#,
    r#"{"choices":[{"delta":{"role":"assistant","reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}}],"provider":"P"}"#,
    r#"{"choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"a"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"i","function":{"name":"f","arguments":"a"}}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"a"}}]}"#,
    r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#,
    r#"{"choices":[{"delta":{"content":"a","content":"a"}}]}"#,
    r#"{"choices":[{"delta":{"content":"x"}}],"x":"a"}"#,
    r#"{"id":"i","object":"text_completion","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}"#,
    r#"{"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-1]},"reasoning":"a"}],"usage":null}"#,
];

/// Frames of one form, as providers send them: only the strings differ, and not always as expected.
#[test]
fn frames_of_one_form_are_read_alike() {
    let tail =
        prop_oneof![12 => Just(""), 1 => Just("x"), 1 => Just("}"), 1 => Just(" {}"), 1 => Just(",1}")];
    let value = (prop_oneof![4 => text(), 1 => odd()], tail);
    let form = prop_oneof![1 => chunk(), 3 => prop::sample::select(FORMS).prop_map(str::to_owned)];
    let filled = (form, prop::collection::vec(value, 2..6)).prop_map(|(chunk, values)| {
        let frames = values.iter().map(|(value, tail)| {
            let strings = ["\"a\"", "\"x\"", "\"no\""];
            let frame = strings.iter().fold(chunk.clone(), |frame, string| frame.replace(string, value));
            format!("data: {frame}{tail}\n\n")
        });
        frames.collect::<String>()
    });
    let bodies = prop::collection::vec(filled, 1..3).prop_map(|bodies| bodies.concat().into_bytes());
    check_each(3000, bodies, ignore_form);
}

type Json = BoxedStrategy<String>;

/// JSON texts of every type, and some that are none.
fn odd() -> Json {
    prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "7",
        "1.5",
        "1e3",
        "NaN",
        "-Infinity",
        "\"\"",
        "\"x\"",
        "\"1\"",
        "\" \"",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[1,\"x\",{}]",
        "{\"a\":1}",
        "{\"text\":\"x\"}",
        "[{\"type\":\"text\",\"text\":\"x\"}]",
        "[{\"type\":\"image\",\"url\":\"x\"}]",
        "\"\\ud83e\"",
        "\"\\udd86\"",
        "\"\\u0000\"",
        "18446744073709551616",
        "{\"index\":0}",
        "[{\"index\":0}]",
        "[ {\"a\" : 1} ]",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

/// One of these texts, as JSON strings.
fn words(words: &'static [&'static str]) -> Json {
    prop::sample::select(words).prop_map(|word| serde_json::to_string(word).unwrap()).boxed()
}

/// An object whose members may each be missing, twice there or of another type, in any order.
fn object(members: Vec<(&'static str, Json)>) -> Json {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| {
            let value =
                prop_oneof![12 => value, 1 => odd()].prop_map(move |value| format!("\"{name}\":{value}"));
            prop_oneof![
                6 => Just(None),
                14 => value.clone().prop_map(Some),
                1 => (value.clone(), value).prop_map(|(one, two)| Some(format!("{one},{two}"))),
            ]
        })
        .collect();
    (members, any::<u64>())
        .prop_map(|(members, order)| {
            let mut members: Vec<String> = members.into_iter().flatten().collect();
            if order % 4 == 0 {
                Random(order).shuffle(&mut members);
            }
            format!("{{{}}}", members.join(","))
        })
        .boxed()
}

fn list(item: Json, most: usize) -> Json {
    prop::collection::vec(item, 0..=most).prop_map(|items| format!("[{}]", items.join(","))).boxed()
}

fn text() -> Json {
    words(&["", "a", "é🦆", "<think>", "</think>", "<thi", "nk>", "{\"a\":1}", "\n", "\u{7f}\u{1}"])
}

fn index() -> Json {
    prop_oneof![4 => Just("0"), 2 => Just("1"), 1 => Just("2")].prop_map(str::to_owned).boxed()
}

fn tool_call() -> Json {
    let function = object(vec![
        ("name", words(&["f", "g", "", "f"])),
        ("arguments", words(&["", "{", "}", "{}", "null", "\"\"", "{\"a\":1}", "{\"a\":", "1}", " "])),
    ]);
    object(vec![
        ("index", index()),
        ("id", words(&["a", "b", "c", ""])),
        ("type", words(&["function"])),
        ("function", function),
        ("extra_content", words(&["x"])),
        ("custom", odd()),
    ])
}

fn delta() -> Json {
    let detail = object(vec![
        ("type", words(&["reasoning.text", "reasoning.summary", "reasoning.encrypted"])),
        ("text", text()),
        ("data", words(&["d", ""])),
        ("id", words(&["a", "b", "rs_1"])),
    ]);
    object(vec![
        ("role", words(&["assistant", ""])),
        ("content", text()),
        ("refusal", words(&["", "no"])),
        ("reasoning_content", text()),
        ("reasoning", text()),
        ("reasoning_details", list(detail, 2)),
        ("tool_calls", list(tool_call(), 2)),
        ("function_call", tool_call()),
        ("annotations", odd()),
    ])
}

fn usage() -> Json {
    let count = || prop::sample::select(vec!["0", "3", "5.0", "null", "9"]).prop_map(str::to_owned).boxed();
    object(vec![
        ("prompt_tokens", count()),
        ("completion_tokens", count()),
        ("total_tokens", count()),
        ("prompt_tokens_details", object(vec![("cached_tokens", count())])),
        ("completion_tokens_details", object(vec![("reasoning_tokens", count())])),
        ("cost", odd()),
    ])
}

fn choice() -> Json {
    object(vec![
        ("index", index()),
        ("delta", delta()),
        ("finish_reason", words(&["", "stop", "stop", "length", "tool_calls", "because", "safety"])),
        ("native_finish_reason", words(&["stop", "MAX_TOKENS", "SAFETY", "x"])),
        ("logprobs", odd()),
        ("text", prop_oneof![3 => Just("null".to_owned()), 1 => text()].boxed()),
        ("message", prop_oneof![3 => Just("null".to_owned()), 1 => delta()].boxed()),
        ("error", Just("null".to_owned()).boxed()),
    ])
}

fn chunk() -> Json {
    object(vec![
        ("id", words(&["x", "y", ""])),
        ("object", words(&["chat.completion.chunk", "chat.completion"])),
        ("created", prop::sample::select(vec!["0", "1700000000"]).prop_map(str::to_owned).boxed()),
        ("model", words(&["m", ""])),
        ("choices", list(choice(), 2)),
        ("usage", prop_oneof![2 => Just("null".to_owned()), 1 => usage()].boxed()),
        ("x_groq", object(vec![("id", words(&["g"])), ("usage", usage())])),
        ("provider", odd()),
        ("error", prop_oneof![20 => Just("null".to_owned()), 1 => odd()].boxed()),
        ("obfuscation", words(&["zz"])),
    ])
}
