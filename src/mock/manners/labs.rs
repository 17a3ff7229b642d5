//! Those who serve models of their own.

use super::super::manner::{Details, Seal};
use super::figures::{DEEPSEEK, DETAILED, PERPLEXITY, XAI};
use super::*;

/// The manners of those who serve models of their own.
pub const MANNERS: &[Manner] = &[
    Manner {
        name: "deepseek",
        about: "`reasoning_content` then `content`, each null while the other runs.",
        wire: Wire { comment: Some("keep-alive"), ..DEMO.wire },
        id: Id::Same("6f0e2c5a-"),
        top: &[("system_fingerprint", "\"fp_mock_prod0001\"")],
        choice: &[("logprobs", "null")],
        content: Content {
            opening: Blank::Null,
            reasoning: Blank::Null,
            calls: Blank::Null,
            finish: Blank::Empty,
            ..DEMO.content
        },
        reasoning: Some(Reasoning { idle: Blank::Null, ..THOUGHT }),
        usage: Usage { figures: DEEPSEEK, ..ON_FINISH },
        ..PLAIN
    },
    MISTRAL,
    Manner {
        name: "mistral-magistral",
        about: "Mistral's Magistral: thinking in parts, calls without `index` and `type`.",
        padding: None,
        reasoning: Some(Reasoning { fields: &[], parts: true, ..THOUGHT }),
        calls: Calls { index: Index::Absent, kind: Later::Fresh, ..MISTRAL.calls },
        finish: Finish {
            words: Words { length: "model_length", cut_calls: "model_length", ..WORDS },
            ..MISTRAL.finish
        },
        ..MISTRAL
    },
    Manner {
        name: "xai",
        about: "The finish key is absent until the end; whole calls; tokens without reasoning.",
        id: Id::Same("34fd1eff-"),
        created: Created::Grows,
        top: &[("system_fingerprint", "\"fp_mock\"")],
        opening: false,
        reasoning: Some(THOUGHT),
        calls: WHOLE,
        finish: LATE,
        usage: Usage { figures: XAI, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "perplexity",
        about: "CRLF, no `[DONE]`, a cumulative `message`, usage on every chunk, `<think>`.",
        wire: Wire { line_end: "\r\n", done: false, ..DEMO.wire },
        hand: Handwriting { blanks: true, escape: Escape::NonAscii },
        envelope: Envelope::Numbered,
        id: Id::Same("474f4534-"),
        object: Some("chat.completion"),
        last_object: Some("chat.completion.done"),
        model: Some("duck-reasoning-pro"),
        top: &[("citations", r#"["https://example.com/ducks"]"#), ("search_results", "[]")],
        cumulative_message: true,
        role: Role::Every,
        opening: false,
        content: EMPTY,
        reasoning: Some(Reasoning {
            fields: &[],
            tags: Some((&["<think>\n"], &["\n</think>\n\n"])),
            ..THOUGHT
        }),
        usage: Usage { figures: PERPLEXITY, ..RUNNING },
        ..PLAIN
    },
    Manner {
        name: "qwen",
        about: "DashScope: `id: \"\"` after the first fragment of a call.",
        headers: &[("content-type", "text/event-stream;charset=UTF-8"), ("x-request-id", "mock-0001")],
        choice: &[("logprobs", "null")],
        content: Content { calls: Blank::Null, ..EMPTY },
        reasoning: Some(THOUGHT),
        calls: Calls { id: Later::Blank(Blank::Empty), kind: Later::Same, ..CALLS },
        usage: Usage { figures: DETAILED, ..DEMO.usage },
        ..PLAIN
    },
    Manner {
        name: "zhipu",
        about: "No `object`, role on every chunk, whole calls, usage on the finish chunk.",
        id: Id::Same("20260101"),
        object: None,
        role: Role::Every,
        opening: false,
        content: Content { finish: Blank::Empty, ..ABSENT },
        reasoning: Some(THOUGHT),
        calls: WHOLE,
        finish: LATE,
        usage: Usage { figures: DETAILED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "moonshot",
        about: "`reasoning_content`, usage on the finish chunk.",
        reasoning: Some(THOUGHT),
        usage: ON_FINISH,
        ..PLAIN
    },
    Manner {
        name: "minimax",
        about: "`delta.name`, `base_resp`, two finish reasons, no `[DONE]`.",
        wire: Wire { done: false, ..DEMO.wire },
        top: &[("input_sensitive", "false"), ("output_sensitive", "false")],
        top_last: &[("base_resp", r#"{"status_code":0,"status_msg":""}"#)],
        delta: &[("name", "\"Mock AI\""), ("audio_content", "\"\"")],
        role: Role::Every,
        content: ABSENT,
        reasoning: Some(Reasoning {
            details: Some(Details {
                kind: "reasoning.text",
                text: "text",
                format: "MiniMax-response-v1",
                id: Some("reasoning-text-1"),
                seal: Seal::None,
            }),
            ..THOUGHT
        }),
        calls: Calls { extra_empty: true, piece: 4096, id_prefix: "call_function_", ..CALLS },
        finish: Finish { place: FinishPlace::Twice, ..LATE },
        usage: Usage { before: Blank::Null, figures: DETAILED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "google",
        about: "Gemini's OpenAI endpoint: no ids, no index, `stop` with calls, signatures.",
        headers: &[("content-type", "text/event-stream"), ("server", "scaffolding on HTTPServer2")],
        envelope: Envelope::Google,
        id: Id::Absent,
        role: Role::Every,
        opening: false,
        calls: Calls { index: Index::Absent, id_prefix: "", signature: true, ..WHOLE },
        finish: Finish { place: FinishPlace::Last, words: Words { calls: "stop", ..WORDS }, ..LATE },
        usage: RUNNING,
        ..PLAIN
    },
    Manner {
        name: "ai21",
        about: "No `object`, `created` or `model`.",
        hand: Handwriting { blanks: true, escape: Escape::NonAscii },
        envelope: Envelope::Detail,
        object: None,
        created: Created::Absent,
        model: None,
        choice: &[("logprobs", "null")],
        content: Content { finish: Blank::Empty, ..ABSENT },
        usage: ON_FINISH,
        ..PLAIN
    },
];

const MISTRAL: Manner = Manner {
    name: "mistral",
    about: "Padding `p`; whole calls with finish and usage in one chunk.",
    headers: &[("content-type", "text/event-stream; charset=utf-8"), ("mistral-correlation-id", "mock-0001")],
    envelope: Envelope::Mistral,
    id: Id::Same("aff6e8dd"),
    padding: Some("p"),
    candidates: true,
    content: Content { finish: Blank::Empty, ..DEMO.content },
    calls: Calls { together: true, id_prefix: "m", ..WHOLE },
    finish: Finish { place: FinishPlace::LastCall, ..FINISH },
    usage: ON_FINISH,
    ..PLAIN
};
