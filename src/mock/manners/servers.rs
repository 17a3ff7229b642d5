//! Servers for open models, and the ones that people write themselves.

use super::*;

/// The manners of local and home-made servers.
pub const MANNERS: &[Manner] = &[
    Manner {
        name: "ollama",
        about: "Finish `\"\"` on every chunk, role on every chunk, every call at index 0.",
        hand: Handwriting { blanks: false, escape: Escape::Html },
        id: Id::Same("chatcmpl-8"),
        created: Created::Grows,
        top: &[("system_fingerprint", "\"fp_ollama\"")],
        role: Role::Every,
        opening: false,
        content: EMPTY,
        reasoning: Some(REASONING),
        calls: Calls { index: Index::Zero, ..WHOLE },
        finish: Finish { before: Blank::Empty, ..FINISH },
        usage: OPTIONAL,
        ..PLAIN
    },
    Manner {
        name: "vllm",
        about: "Reasoning in two fields, `stop_reason`, `token_ids`.",
        envelope: Envelope::Mistral,
        top: &[("prompt_token_ids", "null")],
        choice: &[("logprobs", "null"), ("stop_reason", "null"), ("token_ids", "null")],
        reasoning: Some(Reasoning { fields: &["reasoning", "reasoning_content"], ..THOUGHT }),
        calls: Calls { id_prefix: "chatcmpl-tool-", ..CALLS },
        usage: OPTIONAL,
        ..PLAIN
    },
    Manner {
        name: "sglang",
        about: "Null for everything that is not said, `matched_stop`.",
        envelope: Envelope::Mistral,
        choice: &[("logprobs", "null"), ("matched_stop", "null")],
        delta: &[("tool_calls", "null")],
        role: Role::ThenNull,
        content: Content {
            opening: Blank::Empty,
            reasoning: Blank::Null,
            calls: Blank::Null,
            finish: Blank::Null,
            ..DEMO.content
        },
        reasoning: Some(Reasoning { idle: Blank::Null, ..THOUGHT }),
        calls: NULLS,
        usage: Usage { before: Blank::Null, ..OPTIONAL },
        ..PLAIN
    },
    Manner {
        name: "llamacpp",
        about: "Arguments token by token, `timings`, a file path as model, usage per candidate.",
        envelope: Envelope::Numbered,
        created: Created::Grows,
        model: Some("/models/duck-7b.Q4_K_M.gguf"),
        top: &[("system_fingerprint", "\"b10452-mock\"")],
        top_last: &[("timings", r#"{"prompt_n":29,"prompt_ms":42.578,"predicted_n":9}"#)],
        candidates: true,
        content: Content { opening: Blank::Null, ..DEMO.content },
        reasoning: Some(THOUGHT),
        calls: Calls { eager: true, piece: 2, id_prefix: "mock", ..CALLS },
        usage: Usage { place: UsagePlace::EachCandidate, ..OPTIONAL },
        ..PLAIN
    },
    Manner {
        name: "llama-cpp-python",
        about: "Name and id of a call in every fragment; never any usage.",
        model: Some("/models/duck-7b.Q4_K_M.gguf"),
        content: ABSENT,
        calls: Calls { id: Later::Same, name: Later::Same, kind: Later::Same, ..CALLS },
        usage: Usage { place: UsagePlace::Nowhere, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "lmstudio",
        about: "No opening chunk, role on every chunk, usage only if asked.",
        envelope: Envelope::Text,
        top: &[("system_fingerprint", "\"duck-7b\"")],
        choice: &[("logprobs", "null")],
        role: Role::Every,
        opening: false,
        usage: OPTIONAL,
        ..PLAIN
    },
    Manner {
        name: "think-unopened",
        about: "A `</think>` in the text whose opening tag is missing; Anthropic's errors.",
        envelope: Envelope::Anthropic,
        reasoning: Some(Reasoning { fields: &[], tags: Some((&[], &["\n</think>", "\n\n"])), ..THOUGHT }),
        usage: OPTIONAL,
        ..PLAIN
    },
    Manner {
        name: "legacy",
        about: "`function_call` as it was before tools.",
        calls: Calls { legacy: true, ..CALLS },
        finish: Finish { words: Words { calls: "function_call", ..WORDS }, ..FINISH },
        ..PLAIN
    },
    Manner {
        name: "whole-message",
        about: "The whole answer is one event with `message` in place of `delta`.",
        whole_message: true,
        usage: ON_FINISH,
        ..PLAIN
    },
    Manner {
        name: "home-made",
        about: "Single newlines between events, odd types, arguments as objects, and twice.",
        wire: Wire { field: "data:", gap: 0, ..DEMO.wire },
        envelope: Envelope::Text,
        id: Id::Number,
        created: Created::Float,
        content: Content { numbers: true, ..DEMO.content },
        calls: Calls { index: Index::Text, objects: true, repeats: true, nothing: Nothing::Null, ..WHOLE },
        usage: Usage { zeros: true, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "home-made-cr",
        about: "CR line ends, content in parts, no index, no type, arguments repeated in full.",
        wire: Wire { line_end: "\r", field: "data:", ..DEMO.wire },
        envelope: Envelope::Text,
        content: Content { parts: true, ..ABSENT },
        calls: Calls {
            index: Index::Null,
            kind: Later::Fresh,
            repeats: true,
            nothing: Nothing::Absent,
            ..CALLS
        },
        finish: Finish { words: Words { stop: "finished", ..WORDS }, ..FINISH },
        ..PLAIN
    },
];

/// In a last chunk of its own, if the client asked.
const OPTIONAL: Usage = Usage { if_asked: true, ..PLAIN.usage };
