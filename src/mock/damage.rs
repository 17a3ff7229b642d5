//! What a fault does to an answer, to a manner, and to the frames of a stream.

use serde_json::Value;

use super::answer::Answer;
use super::fault::{Frames, Habit};
use super::json::Object;
use super::manner::{Event, FinishPlace, Manner, UsagePlace};
use super::render::{Frame, Kind};

/// The length of a huge frame in bytes.
const HUGE: usize = 20 << 20;

/// Stands in the text for the first half of a surrogate pair until the text is JSON.
const HIGH: char = '\u{e000}';

/// Stands for the second half.
const LOW: char = '\u{e001}';

/// The letter whose pair is split.
const DUCK: char = '🦆';

const ERROR_STRING: &str = r#"{"error":"The mock failed while it answered."}"#;

const GARBAGE: &str = r#"{"choices":[{"delta":{oops"#;

/// The keys that may hold text of the answer.
const TEXT_KEYS: &[&str] =
    &["content", "reasoning", "reasoning_content", "arguments", "refusal", "transcript", "text", "thinking"];

/// Changes the manner where a fault is a habit that some provider might have.
pub fn bend(habit: Habit, manner: &mut Manner) {
    match habit {
        Habit::NoDone => manner.wire.done = false,
        Habit::NoFinish => manner.finish.place = FinishPlace::Nowhere,
        Habit::NoFinishNoDone => {
            manner.finish.place = FinishPlace::Nowhere;
            manner.wire.done = false;
        }
        Habit::NullChoices => {
            manner.usage.place = UsagePlace::NullChoices;
            manner.usage.if_asked = false;
        }
        Habit::Crlf => manner.wire.line_end = "\r\n",
        Habit::Cr => manner.wire.line_end = "\r",
    }
}

/// Changes the answer: only a split surrogate pair needs that.
pub fn split_pairs(answer: &mut Answer) {
    for choice in &mut answer.choices {
        for pieces in [&mut choice.reasoning, &mut choice.text, &mut choice.refusal] {
            *pieces = pieces.iter().flat_map(|piece| split_pair(piece)).collect();
        }
    }
}

/// Changes the frames; `number` is the one in the fault's name.
pub fn damage(fault: Frames, number: usize, manner: &Manner, frames: &mut Vec<Frame>) {
    match fault {
        Frames::CutAfter => cut(frames, number),
        Frames::Garbage => insert(frames, number, Frame::chunk(GARBAGE)),
        Frames::UnknownFrame => insert(frames, number, event(manner.speech.unknown)),
        Frames::Error => end_with(frames, number, event(manner.speech.error)),
        Frames::ErrorString => end_with(frames, number, Frame::chunk(ERROR_STRING)),
        Frames::BareError => end_with(frames, number, bare_error(manner)),
        Frames::ErrorEvent => end_with(frames, number, error_event(manner)),
        Frames::ErrorChoice => {
            end_with(frames, number, error_choice(manner));
            frames.extend(manner.wire.done.then(Frame::done));
        }
        Frames::Error200 => *frames = vec![event(manner.speech.error)],
        Frames::OnlyDone => only_done(frames),
        Frames::AfterDone => after_done(manner, frames),
        Frames::DoneSpaces => done_spaces(frames),
        Frames::KeepAlives => keep_alives(manner, frames),
        Frames::BadUtf8 => change_text(frames, number),
        Frames::Nan => add_members(frames, number, b"\"score\":NaN,\"low\":-Infinity,"),
        Frames::BadType => change(frames, number, odd_types),
        Frames::HugeFrame => huge(frames),
        Frames::Surrogate => frames.iter_mut().for_each(join_halves),
    }
}

/// The position after so many chunks, but before the first one that ends a choice.
///
/// Answers differ in length between manners; a cut that would come too late comes as late as it
/// can while it is still a cut.
pub fn position(frames: &[Frame], number: usize) -> usize {
    let mut seen = 0;
    for (position, frame) in frames.iter().enumerate() {
        if matches!(frame.kind, Kind::Ending | Kind::Done) || (frame.is_chunk() && seen == number) {
            return position;
        }
        seen += usize::from(frame.is_chunk());
    }
    frames.len().saturating_sub(1)
}

/// The position of the chunk with a number from 1, or of the last one.
fn chunk_position(frames: &[Frame], number: usize) -> Option<usize> {
    let mut chunks = frames.iter().enumerate().filter(|(_, frame)| frame.is_chunk());
    let last = chunks.clone().next_back();
    let chunk = chunks.nth(number.saturating_sub(1)).or(last);
    chunk.map(|(position, _)| position)
}

fn cut(frames: &mut Vec<Frame>, number: usize) {
    frames.truncate(position(frames, number));
}

fn insert(frames: &mut Vec<Frame>, number: usize, frame: Frame) {
    frames.insert(position(frames, number), frame);
}

fn end_with(frames: &mut Vec<Frame>, number: usize, frame: Frame) {
    cut(frames, number);
    frames.push(frame);
}

fn event((name, json): Event) -> Frame {
    Frame::named(Kind::Chunk, name, json)
}

/// Leaves the end mark, which is there even if the manner has none.
fn only_done(frames: &mut Vec<Frame>) {
    frames.retain(|frame| frame.kind == Kind::Done);
    if frames.is_empty() {
        frames.push(Frame::done());
    }
}

fn bare_error(manner: &Manner) -> Frame {
    Frame::verbatim(format!("{}{}", manner.speech.error.1, manner.wire.line_end))
}

fn error_event(manner: &Manner) -> Frame {
    Frame::named(Kind::Chunk, "error", manner.speech.error.1)
}

fn error_choice(manner: &Manner) -> Frame {
    let error = Object::default()
        .with("code", 502)
        .with("message", "The mock failed while it answered.")
        .with("metadata", Object::default().with("provider_name", "Millpond"));
    let choice = Object::default()
        .with("index", 0)
        .with("delta", Object::default().with("content", ""))
        .with("finish_reason", "error")
        .with("native_finish_reason", "error");
    let chunk = Object::default()
        .with("id", "gen-mock")
        .with("object", "chat.completion.chunk")
        .with("error", error)
        .with("choices", vec![choice.into()]);
    Frame::chunk(chunk.write(manner.hand))
}

fn after_done(manner: &Manner, frames: &mut Vec<Frame>) {
    if !manner.wire.done {
        frames.push(Frame::done());
    }
    frames.push(event(manner.speech.late));
}

fn done_spaces(frames: &mut [Frame]) {
    for frame in frames.iter_mut().filter(|frame| frame.kind == Kind::Done) {
        frame.data.extend_from_slice(b"  ");
    }
}

/// Puts one of each kind of event that says nothing between the frames, in turn.
fn keep_alives(manner: &Manner, frames: &mut Vec<Frame>) {
    let end = manner.wire.line_end;
    let idle = [
        format!(": keep-alive{end}{end}"),
        format!("data:{end}{end}"),
        format!("event: ping{end}{end}"),
        format!("id: 7{end}{end}"),
        format!("retry: 3000{end}{end}"),
        format!("id: 8{end}: with a comment{end}event: ping{end}data: {end}{end}"),
    ];
    let old = std::mem::take(frames);
    for (frame, idle) in old.into_iter().zip(idle.iter().cycle()) {
        frames.push(Frame::verbatim(idle.as_bytes()));
        frames.push(frame);
    }
}

/// Puts invalid bytes into the text of a frame, or of the next one that has text.
fn change_text(frames: &mut [Frame], number: usize) {
    let from = chunk_position(frames, number).unwrap_or(0);
    let bad = b"\xff\xfe\xc3";
    let chunks = frames.iter_mut().skip(from).filter(|frame| frame.is_chunk());
    for frame in chunks {
        if let Some(at) = text_position(&frame.data) {
            frame.data.splice(at..at, bad.iter().copied());
            return;
        }
    }
    add_members(frames, number, b"\"note\":\"\xff\",");
}

/// The position of the first byte of text in a chunk.
fn text_position(data: &[u8]) -> Option<usize> {
    TEXT_KEYS
        .iter()
        .flat_map(|key| [format!("\"{key}\":\""), format!("\"{key}\": \"")])
        .filter_map(|start| {
            let found = data.windows(start.len()).position(|window| window == start.as_bytes())?;
            let at = found + start.len();
            (data.get(at) != Some(&b'"')).then_some(at)
        })
        .min()
}

/// Puts members before all others of a chunk.
fn add_members(frames: &mut [Frame], number: usize, members: &[u8]) {
    let Some(at) = chunk_position(frames, number) else {
        return;
    };
    if let Some(frame) = frames.get_mut(at)
        && frame.data.first() == Some(&b'{')
    {
        frame.data.splice(1..1, members.iter().copied());
    }
}

fn huge(frames: &mut [Frame]) {
    let mut members = b"\"huge\":\"".to_vec();
    members.resize(HUGE, b'q');
    members.extend_from_slice(b"\",");
    add_members(frames, 2, &members);
}

fn change(frames: &mut [Frame], number: usize, change: fn(&mut Value)) {
    let Some(frame) = chunk_position(frames, number).and_then(|at| frames.get_mut(at)) else {
        return;
    };
    if let Ok(mut value) = serde_json::from_slice::<Value>(&frame.data) {
        change(&mut value);
        frame.data = value.to_string().into_bytes();
    }
}

/// Gives the fields beside the text types that nobody expects.
fn odd_types(chunk: &mut Value) {
    let mut set = |path: &str, key: &str, value: Value| {
        if let Some(object) = chunk.pointer_mut(path).and_then(Value::as_object_mut) {
            object.insert(key.to_owned(), value);
        }
    };
    set("", "created", "yesterday".into());
    set("", "model", serde_json::json!(["mock"]));
    set("", "system_fingerprint", 7.into());
    set("", "usage", "none yet".into());
    set("/choices/0", "index", "0".into());
    set("/choices/0", "logprobs", 1.into());
    set("/choices/0/delta", "role", serde_json::json!({"name": "assistant"}));
    set("/choices/0/delta", "annotations", "none".into());
    set("/choices/0/delta", "refusal", false.into());
}

fn split_pair(piece: &str) -> Vec<String> {
    match piece.split_once(DUCK) {
        Some((before, after)) => vec![format!("{before}{HIGH}"), format!("{LOW}{after}")],
        None => vec![piece.to_owned()],
    }
}

/// Puts the two halves, as escapes, where the stand-ins are.
fn join_halves(frame: &mut Frame) {
    let Ok(text) = std::str::from_utf8(&frame.data) else {
        return;
    };
    let text = text
        .replace(HIGH, "\\ud83e")
        .replace(LOW, "\\udd86")
        .replace("\\ue000", "\\ud83e")
        .replace("\\ue001", "\\udd86");
    frame.data = text.into_bytes();
}
