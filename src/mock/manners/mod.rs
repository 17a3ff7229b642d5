//! The table of manners, and the clean one that all others are written against.
//!
//! The facts are counted over recordings of the providers; nothing of a recording is copied.

mod clouds;
mod figures;
mod labs;
mod openai;
mod routers;
mod servers;

use self::figures::{COUNTS, OPENAI};
use super::json::{Escape, Handwriting};
use super::manner::{
    Blank, Calls, Content, Created, Envelope, Finish, FinishPlace, Framing, Id, Index, Later, Manner,
    Nothing, Reasoning, Role, Running, Speech, Table, Usage, UsagePlace, Wire, Words,
};
use super::{render, whole};

/// All manners in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Manner> {
    openai::MANNERS
        .iter()
        .chain(routers::MANNERS)
        .chain(labs::MANNERS)
        .chain(clouds::MANNERS)
        .chain(servers::MANNERS)
}

/// Finds a manner by its name.
pub fn find(name: &str) -> Option<Manner> {
    all().find(|manner| manner.name == name).copied()
}

/// The clean manner: chat completions as OpenAI documents them.
pub const DEMO: Manner = Manner {
    name: "demo",
    about: "Clean OpenAI, as documented.",
    speech: CHAT,
    wire: Wire {
        framing: Framing::Lines,
        line_end: "\n",
        field: "data: ",
        gap: 1,
        done: true,
        comment: None,
    },
    hand: Handwriting { blanks: false, escape: Escape::Least },
    headers: SSE,
    envelope: Envelope::OpenAi,
    id: Id::Same("chatcmpl-"),
    object: Some("chat.completion.chunk"),
    last_object: None,
    created: Created::Same,
    model: Some("mock-1"),
    top: &[],
    top_first: &[],
    top_last: &[],
    padding: None,
    prompt_filter: false,
    filter_without_delta: false,
    chunk_without_choices: false,
    choice: &[("logprobs", "null")],
    duplicate_text: false,
    cumulative_message: false,
    whole_message: false,
    delta: &[],
    opening_delta: &[],
    role: Role::First,
    opening: true,
    content: Content {
        opening: Blank::Empty,
        reasoning: Blank::Absent,
        calls: Blank::Absent,
        finish: Blank::Absent,
        parts: false,
        numbers: false,
    },
    audio: false,
    refuses: false,
    candidates: true,
    reasoning: None,
    calls: CALLS,
    finish: FINISH,
    usage: Usage {
        place: UsagePlace::Own,
        if_asked: true,
        before: Blank::Null,
        running: Running::Nothing,
        groq: false,
        again: false,
        zeros: false,
        figures: OPENAI,
    },
};

/// The shapes of chat completions.
pub const CHAT: Speech = Speech {
    stream: render::stream,
    whole: whole::completion,
    error: (
        "",
        r#"{"error":{"message":"The mock failed while it answered.","type":"server_error","param":null,"code":"mock_failure"}}"#,
    ),
    unknown: ("", r#"{"type":"telemetry","step":3,"ducks":["a","b"]}"#),
    late: (
        "",
        r#"{"id":"late","object":"chat.completion.chunk","created":1,"model":"mock-1","choices":[{"index":0,"delta":{"content":" too late"},"finish_reason":null}]}"#,
    ),
};

/// A cloud that is clean but for what its entry says: one candidate, no `logprobs`, and usage on
/// a last chunk of its own whether or not it was asked for.
const PLAIN: Manner = Manner {
    candidates: false,
    choice: &[],
    usage: Usage { if_asked: false, before: Blank::Absent, figures: COUNTS, ..DEMO.usage },
    ..DEMO
};

const SSE: Table = &[
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-request-id", "req_mock0001"),
];

const ABSENT: Content = Content { opening: Blank::Absent, ..DEMO.content };

const EMPTY: Content = Content {
    opening: Blank::Empty,
    reasoning: Blank::Empty,
    calls: Blank::Empty,
    finish: Blank::Empty,
    ..DEMO.content
};

const CALLS: Calls = Calls {
    whole: false,
    together: false,
    eager: false,
    extra_empty: false,
    piece: 6,
    index: Index::From(0),
    id_prefix: "call_",
    id: Later::Blank(Blank::Absent),
    name: Later::Blank(Blank::Absent),
    kind: Later::Blank(Blank::Absent),
    objects: false,
    repeats: false,
    nothing: Nothing::Object,
    legacy: false,
    signature: false,
};

const WHOLE: Calls = Calls { whole: true, ..CALLS };

/// `id: null` and `name: null` after the first fragment, `type` on each.
const NULLS: Calls =
    Calls { id: Later::Blank(Blank::Null), name: Later::Blank(Blank::Null), kind: Later::Same, ..CALLS };

const WORDS: Words = Words { stop: "stop", length: "length", calls: "tool_calls", cut_calls: "length" };

const FINISH: Finish = Finish { before: Blank::Null, place: FinishPlace::Own, words: WORDS, native: None };

/// The key is absent until the end.
const LATE: Finish = Finish { before: Blank::Absent, ..FINISH };

/// On the chunk with the finish reason, without being asked.
const ON_FINISH: Usage = Usage { place: UsagePlace::Finish, ..PLAIN.usage };

/// A running report on every chunk, and the last on the chunk with the finish reason.
const RUNNING: Usage = Usage { running: Running::SoFar, ..ON_FINISH };

const THOUGHT: Reasoning = Reasoning {
    fields: &["reasoning_content"],
    idle: Blank::Absent,
    extra: &[],
    details: None,
    parts: false,
    tags: None,
};

const REASONING: Reasoning = Reasoning { fields: &["reasoning"], ..THOUGHT };
