//! Routers and gateways, which pass on what others say.

use super::super::manner::{Details, Seal};
use super::figures::{COSTED, OVERCOUNTED};
use super::*;

/// The manners of routers and gateways.
pub const MANNERS: &[Manner] = &[
    OPENROUTER,
    Manner {
        name: "openrouter-claude",
        about: "OpenRouter with Claude behind: reasoning ends with a signature of its own.",
        model: Some("mock/claude-duck"),
        reasoning: Some(Reasoning {
            details: Some(Details { format: "anthropic-claude-v1", seal: Seal::Signature, ..UNKNOWN }),
            ..REASONING
        }),
        finish: Finish {
            native: Some(Words {
                stop: "end_turn",
                length: "max_tokens",
                calls: "tool_use",
                cut_calls: "max_tokens",
            }),
            ..OPENROUTER.finish
        },
        ..OPENROUTER
    },
    Manner {
        name: "openrouter-openai",
        about: "OpenRouter with OpenAI behind: summaries, then encrypted reasoning.",
        model: Some("mock/gpt-duck"),
        reasoning: Some(Reasoning {
            details: Some(Details {
                kind: "reasoning.summary",
                text: "summary",
                format: "openai-responses-v1",
                id: None,
                seal: Seal::Encrypted,
            }),
            ..REASONING
        }),
        finish: Finish {
            native: Some(Words {
                stop: "completed",
                length: "max_output_tokens",
                calls: "completed",
                cut_calls: "max_output_tokens",
            }),
            ..OPENROUTER.finish
        },
        ..OPENROUTER
    },
    Manner {
        name: "openrouter-gemini",
        about: "OpenRouter with Gemini behind: encrypted reasoning signs a call by its id.",
        model: Some("mock/gemini-duck"),
        reasoning: Some(Reasoning {
            details: Some(Details { format: "google-gemini-v1", seal: Seal::Call, ..UNKNOWN }),
            ..REASONING
        }),
        calls: Calls { extra_empty: false, piece: 4096, id_prefix: "tool_", ..CALLS },
        finish: Finish {
            native: Some(Words {
                stop: "STOP",
                length: "MAX_TOKENS",
                calls: "STOP",
                cut_calls: "MAX_TOKENS",
            }),
            ..OPENROUTER.finish
        },
        ..OPENROUTER
    },
    Manner {
        name: "vercel",
        about: "Vercel's gateway: reasoning with details, usage on the finish chunk.",
        id: Id::Same("gen_01"),
        model: Some("mock/duck-1"),
        top: &[("system_fingerprint", "\"fp_mock\"")],
        top_last: &[("generationId", "\"gen_01mock\"")],
        content: ABSENT,
        candidates: false,
        reasoning: Some(Reasoning {
            details: Some(Details { format: "anthropic-claude-v1", seal: Seal::Signature, ..UNKNOWN }),
            ..REASONING
        }),
        usage: Usage { figures: COSTED, ..ON_FINISH },
        ..DEMO
    },
    Manner {
        name: "huggingface",
        about: "Hugging Face's router: `<think>` tags in the text, cut in the middle.",
        envelope: Envelope::Detail,
        role: Role::Every,
        reasoning: Some(Reasoning {
            fields: &[],
            tags: Some((&["<thi", "nk>\n"], &["</", "think>", "\n\n"])),
            ..THOUGHT
        }),
        usage: DEMO.usage,
        ..PLAIN
    },
    LITELLM,
    Manner {
        name: "litellm-glm",
        about: "GLM behind LiteLLM: each fragment of a call has a new id, all at index 0.",
        calls: Calls { id: Later::Fresh, ..LITELLM.calls },
        ..LITELLM
    },
    Manner {
        name: "doubleword",
        about: "Two finish reasons, extra blank lines, more reasoning tokens than tokens.",
        wire: Wire { gap: 2, ..DEMO.wire },
        envelope: Envelope::OpenAi,
        role: Role::Every,
        opening: false,
        content: Content { calls: Blank::Absent, ..EMPTY },
        reasoning: Some(Reasoning { details: Some(UNKNOWN), ..REASONING }),
        calls: Calls { extra_empty: true, ..CALLS },
        finish: Finish { place: FinishPlace::Twice, ..LATE },
        usage: Usage { figures: OVERCOUNTED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "avian",
        about: "The id changes after the first chunk; two finish reasons.",
        hand: PYTHON,
        id: Id::FirstDiffers("chatcmpl-", "gen-"),
        role: Role::Every,
        content: Content { opening: Blank::Absent, ..EMPTY },
        reasoning: Some(Reasoning { details: Some(UNKNOWN), idle: Blank::Null, ..THOUGHT }),
        finish: Finish { place: FinishPlace::Twice, native: Some(WORDS), ..FINISH },
        usage: Usage { figures: COSTED, ..ON_FINISH },
        ..PLAIN
    },
];

const OPENROUTER: Manner = Manner {
    name: "openrouter",
    about: "OpenRouter: comments, `provider`, role on every chunk, two finish reasons, cost.",
    wire: Wire { comment: Some("OPENROUTER PROCESSING"), ..DEMO.wire },
    headers: &[
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-generation-id", "gen-mock0001"),
    ],
    envelope: Envelope::OpenRouter,
    id: Id::Same("gen-1767225600-"),
    model: Some("mock/duck-1"),
    top: &[("provider", "\"Millpond\"")],
    candidates: false,
    choice: &[],
    role: Role::Every,
    opening: false,
    content: Content { calls: Blank::Null, ..EMPTY },
    reasoning: Some(Reasoning { details: Some(UNKNOWN), ..REASONING }),
    calls: Calls { extra_empty: true, ..CALLS },
    finish: Finish {
        before: Blank::Null,
        place: FinishPlace::Twice,
        words: Words { cut_calls: "tool_calls", ..WORDS },
        native: Some(WORDS),
    },
    usage: Usage { figures: COSTED, ..ON_FINISH },
    ..DEMO
};

const LITELLM: Manner = Manner {
    name: "litellm",
    about: "LiteLLM in front: every parallel call at index 0, usage beside an empty delta.",
    candidates: true,
    opening: false,
    top: &[("stream_options", r#"{"include_usage":true}"#)],
    calls: Calls { index: Index::Zero, ..CALLS },
    finish: LATE,
    usage: Usage { place: UsagePlace::EmptyDelta, if_asked: true, ..PLAIN.usage },
    ..PLAIN
};

const PYTHON: Handwriting = Handwriting { blanks: true, escape: Escape::Least };

const UNKNOWN: Details =
    Details { kind: "reasoning.text", text: "text", format: "unknown", id: None, seal: Seal::None };
