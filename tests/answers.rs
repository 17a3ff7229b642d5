//! An answer is told as it was given (C1, D1–D4, E1–E3): answers are made up, written down in the manner of
//! some provider, and read back by a client. Nothing may be lost, doubled or mixed up, whatever the manner.
//!
//! `ANSWERS_SEED=<number>` looks elsewhere, `ANSWERS=<number>` looks longer.

mod support;

use serde_json::{Map, Value, json};
use support::contract::{Answer, End, check_stream};
use support::{Random, dialect_of, in_parallel};

const ANSWERS: usize = 3000;

/// What a made-up provider does.
#[derive(Debug)]
struct Manner {
    role_on_every_chunk: bool,
    nulls_for_nothing: bool,
    reasoning: &'static [&'static str],
    index: Index,
    id_on_every_fragment: bool,
    name_on_every_fragment: bool,
    whole_calls: bool,
    placeholder_first: bool,
    arguments_again_at_the_end: bool,
    finish_twice: bool,
    empty_finish_on_every_chunk: bool,
    finish_on_the_last_piece: bool,
    usage: Usage,
    end_mark: bool,
    ascii_only: bool,
    /// What ends a line, and what begins one.
    framing: (&'static str, &'static str),
    padding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Index {
    Counted,
    FromOne,
    AsString,
    Missing,
    AlwaysZero,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Usage {
    Never,
    Alone,
    WithTheFinish,
    OnEveryChunk,
}

/// A made-up choice.
#[derive(Debug, Default)]
struct Choice {
    reasoning: Vec<String>,
    text: Vec<String>,
    calls: Vec<Call>,
    finish: &'static str,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: &'static str,
    pieces: Vec<String>,
}

fn one_of<T: Copy>(random: &mut Random, items: &[T]) -> T {
    items[random.below(items.len())]
}

fn manner(random: &mut Random) -> Manner {
    let mut often = |bound: usize| random.below(bound) == 0;
    let mut manner = Manner {
        role_on_every_chunk: often(2),
        nulls_for_nothing: often(2),
        reasoning: &[],
        index: Index::Counted,
        id_on_every_fragment: often(3),
        name_on_every_fragment: often(4),
        whole_calls: often(3),
        placeholder_first: often(5),
        arguments_again_at_the_end: often(6),
        finish_twice: often(3),
        empty_finish_on_every_chunk: often(4),
        finish_on_the_last_piece: often(4),
        usage: Usage::Never,
        end_mark: !often(4),
        ascii_only: often(3),
        framing: ("\n", "data: "),
        padding: often(4),
    };
    manner.reasoning = one_of(
        random,
        &[
            &["reasoning_content"][..],
            &["reasoning"],
            &["reasoning_content", "reasoning"],
            &["reasoning", "reasoning_details"],
            &["reasoning_details"],
        ],
    );
    manner.index = one_of(
        random,
        &[Index::Counted, Index::Counted, Index::FromOne, Index::AsString, Index::Missing, Index::AlwaysZero],
    );
    manner.usage = one_of(random, &[Usage::Never, Usage::Alone, Usage::WithTheFinish, Usage::OnEveryChunk]);
    manner.framing =
        one_of(random, &[("\n", "data: "), ("\r\n", "data: "), ("\n", "data:"), ("\r", "data: ")]);
    manner
}

/// Text that is hard to carry: quotes, escapes, what looks like frames, characters of every length.
fn pieces(random: &mut Random, most: usize) -> Vec<String> {
    const PARTS: &[&str] = &[
        "a",
        " ",
        "pond",
        "é",
        "水",
        "🦆",
        "\"",
        "\\",
        "\\\"",
        "\n",
        "\r\n",
        "\t",
        "\u{1}",
        "\u{7f}",
        "\u{2028}",
        "data: {}",
        "\n\n",
        "[DONE]",
        "\"finish_reason\":\"stop\"",
        "\"}}]}",
        "{",
        "}",
        "null",
        "<think>",
        "</think>",
        "\\u0041",
        "\\ud83e",
        "/",
        "{\"a\":1}",
    ];
    let count = random.below(most + 1);
    (0..count).map(|_| (0..1 + random.below(3)).map(|_| one_of(random, PARTS)).collect()).collect()
}

/// A text in pieces, cut at random characters.
fn cut(text: &str, random: &mut Random) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in text.chars() {
        if random.below(4) == 0 {
            pieces.push(String::new());
        }
        pieces.last_mut().unwrap().push(character);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn choice(index: usize, manner: &Manner, random: &mut Random) -> Choice {
    let mut choice = Choice { text: pieces(random, 5), ..Choice::default() };
    if random.below(2) == 0 {
        choice.reasoning = pieces(random, 4);
    }
    for at in 0..if random.below(2) == 0 { random.below(4) } else { 0 } {
        let value = pieces(random, 2).concat();
        let arguments = match random.below(4) {
            0 => "{}".to_owned(),
            1 => json!({ "pond": value, "depth": [1, { "a": null }] }).to_string(),
            2 => json!({ "pond": value }).to_string().replace(':', ": "),
            _ => format!("{{\"n\": {}.50}}", random.below(1000)),
        };
        let pieces = if manner.whole_calls { vec![arguments] } else { cut(&arguments, random) };
        let name = one_of(random, &["get_level", "open_gate", "list"]);
        choice.calls.push(Call { id: format!("call_{index}_{at}"), name, pieces });
    }
    choice.finish = match choice.calls.len() {
        0 => one_of(random, &["stop", "length", "content_filter"]),
        _ => one_of(random, &["tool_calls", "tool_calls", "stop", "length"]),
    };
    choice
}

/// The deltas of a choice, one a frame.
fn deltas(choice: &Choice, manner: &Manner) -> Vec<Map<String, Value>> {
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    for piece in &choice.reasoning {
        let mut delta = json!({});
        for &field in manner.reasoning {
            delta[field] = match field {
                "reasoning_details" => json!([{ "type": "reasoning.text", "text": piece, "index": 0 }]),
                _ => json!(piece),
            };
        }
        deltas.push(delta);
    }
    deltas.extend(choice.text.iter().map(|piece| json!({ "content": piece })));
    for (at, call) in choice.calls.iter().enumerate() {
        let fragments = fragments(at, call, manner);
        deltas.extend(fragments.into_iter().map(|fragment| json!({ "tool_calls": [fragment] })));
    }
    let finish = |delta: &mut Map<String, Value>| {
        if manner.role_on_every_chunk {
            delta.insert("role".to_owned(), json!("assistant"));
        }
        if manner.nulls_for_nothing {
            for name in ["content", "refusal", "tool_calls"] {
                delta.entry(name).or_insert(Value::Null);
            }
        }
    };
    let mut deltas: Vec<Map<String, Value>> =
        deltas.into_iter().map(|delta| delta.as_object().unwrap().clone()).collect();
    deltas.iter_mut().for_each(finish);
    deltas
}

fn fragments(at: usize, call: &Call, manner: &Manner) -> Vec<Value> {
    let mut fragments = Vec::new();
    let mut pieces: Vec<&str> = call.pieces.iter().map(String::as_str).collect();
    let whole = call.pieces.concat();
    // What is said again or held in place must not look like the next call at the same place.
    let told_apart = manner.index == Index::Counted;
    if manner.placeholder_first && told_apart && pieces[0].starts_with('{') && whole != "{}" {
        pieces.insert(0, "{}");
    }
    if manner.arguments_again_at_the_end && told_apart && !manner.placeholder_first {
        pieces.push(&whole);
    }
    for (number, piece) in pieces.iter().enumerate() {
        let mut fragment = json!({ "function": { "arguments": piece } });
        match manner.index {
            Index::Counted => fragment["index"] = json!(at),
            Index::FromOne => fragment["index"] = json!(at + 1),
            Index::AsString => fragment["index"] = json!(at.to_string()),
            Index::AlwaysZero => fragment["index"] = json!(0),
            Index::Missing => {}
        }
        if number == 0 || manner.id_on_every_fragment {
            fragment["id"] = json!(call.id);
            fragment["type"] = json!("function");
        }
        if number == 0 || manner.name_on_every_fragment {
            fragment["function"]["name"] = json!(call.name);
        } else if manner.nulls_for_nothing {
            fragment["function"]["name"] = Value::Null;
        }
        fragments.push(fragment);
    }
    fragments
}

fn usage() -> Value {
    json!({ "prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18 })
}

/// The frames of an answer; the choices take turns.
fn frames(choices: &[Choice], manner: &Manner, random: &mut Random) -> Vec<Value> {
    let mut waiting: Vec<_> = choices
        .iter()
        .map(|choice| deltas(choice, manner).into_iter().collect::<std::collections::VecDeque<_>>())
        .collect();
    let mut frames = Vec::new();
    while waiting.iter().any(|deltas| !deltas.is_empty()) {
        let at = random.below(waiting.len());
        let Some(delta) = waiting[at].pop_front() else { continue };
        let mut choice = json!({ "index": at, "delta": delta, "finish_reason": Value::Null });
        if manner.empty_finish_on_every_chunk {
            choice["finish_reason"] = json!("");
        }
        let last = waiting[at].is_empty();
        let finish = choices[at].finish;
        if last && manner.finish_on_the_last_piece {
            choice["finish_reason"] = json!(finish);
        }
        frames.push(json!({ "choices": [choice] }));
        if last && (!manner.finish_on_the_last_piece || manner.finish_twice) {
            let end = json!({ "index": at, "delta": {}, "finish_reason": finish });
            frames.push(json!({ "choices": [end] }));
        }
    }
    match manner.usage {
        Usage::Never => {}
        Usage::Alone => frames.push(json!({ "choices": [], "usage": usage() })),
        Usage::WithTheFinish => frames.last_mut().unwrap()["usage"] = usage(),
        Usage::OnEveryChunk => frames.iter_mut().for_each(|frame| frame["usage"] = usage()),
    }
    for frame in &mut frames {
        for (name, value) in [("id", "chatcmpl-1"), ("object", "chat.completion.chunk"), ("model", "pond-1")]
        {
            frame[name] = json!(value);
        }
        frame["created"] = json!(1_700_000_000);
        if manner.padding {
            frame["obfuscation"] = json!("x".repeat(random.below(9)));
        }
    }
    frames
}

/// The body that a client's proxy would receive.
fn body(frames: &[Value], manner: &Manner) -> Vec<u8> {
    let (end, begin) = manner.framing;
    let mut body = String::new();
    for frame in frames {
        let mut text = frame.to_string();
        if manner.ascii_only {
            text = escaped(&text);
        }
        body.push_str(&format!("{begin}{text}{end}{end}"));
    }
    if manner.end_mark {
        body.push_str(&format!("{begin}[DONE]{end}{end}"));
    }
    body.into_bytes()
}

/// JSON text with `\uXXXX` for what is not ASCII.
fn escaped(text: &str) -> String {
    let mut units = [0; 2];
    text.chars()
        .map(|character| match character {
            ' '..='~' => character.to_string(),
            other => other.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect()
}

/// Compares what a client understood with what was given.
fn compare(choices: &[Choice], manner: &Manner, answer: &Answer) -> Result<(), String> {
    if answer.end != End::Complete || answer.choices.len() != choices.len() {
        return Err(format!("{} choices, ended as {:?}", answer.choices.len(), answer.end));
    }
    for (at, given) in choices.iter().enumerate() {
        let told = &answer.choices[&(at as u64)];
        let texts = [(&told.text, given.text.concat()), (&told.reasoning, given.reasoning.concat())];
        if let Some((told, given)) = texts.iter().find(|(told, given)| *told != given) {
            return Err(format!("choice {at} says {told:?} for {given:?}"));
        }
        let calls: Vec<_> = told
            .calls
            .iter()
            .map(|call| (call.id.clone(), call.name.as_str(), call.arguments.clone()))
            .collect();
        let expected: Vec<_> =
            given.calls.iter().map(|call| (call.id.clone(), call.name, call.pieces.concat())).collect();
        if calls != expected {
            return Err(format!("choice {at} calls {calls:?} for {expected:?}"));
        }
        let finish =
            if given.finish == "stop" && !given.calls.is_empty() { "tool_calls" } else { given.finish };
        if told.finish.as_deref() != Some(finish) {
            return Err(format!("choice {at} finished with {:?} for {finish}", told.finish));
        }
    }
    let expected = (manner.usage != Usage::Never).then(usage);
    if answer.usage != expected {
        return Err(format!("usage is {:?} for {expected:?}", answer.usage));
    }
    Ok(())
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[test]
fn an_answer_is_told_as_it_was_given() {
    let seeds: Vec<usize> = (0..number("ANSWERS", ANSWERS)).collect();
    let first = number("ANSWERS_SEED", 1) << 32;
    let failures = in_parallel(&seeds, |seed| {
        let mut random = Random((first + seed) as u64);
        let manner = manner(&mut random);
        let choices: Vec<Choice> =
            (0..1 + random.below(6) / 4).map(|index| choice(index, &manner, &mut random)).collect();
        let frames = frames(&choices, &manner, &mut random);
        let body = body(&frames, &manner);
        let places = random.places(5, body.len());
        let downstream = support::stream(dialect_of("any"), support::cut(&body, &places));
        let told = check_stream(&downstream, true).and_then(|answer| compare(&choices, &manner, &answer));
        told.err()
            .map(|what| format!("answer {seed}: {what}\n{manner:?}\n{}", String::from_utf8_lossy(&body)))
            .into_iter()
            .collect()
    });
    let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures, such as\n{shown}", failures.len());
}
