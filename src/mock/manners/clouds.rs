//! Clouds that serve open models.

use super::super::manner::{Details, Seal};
use super::figures::{CACHED, DETAILED, ESTIMATED, FLOATS, TIMED, TOGETHER, TOTALLESS};
use super::*;

/// The manners of clouds that serve open models.
pub const MANNERS: &[Manner] = &[
    GROQ,
    Manner {
        name: "groq-compound",
        about: "Groq's compound models: another id on every chunk, no role.",
        id: Id::Fresh("chatcmpl-"),
        role: Role::Never,
        opening: false,
        top_first: &[],
        ..GROQ
    },
    Manner {
        name: "together",
        about: "The text twice, `token_id`, finish `eos`.",
        envelope: Envelope::Identified,
        id: Id::Same("omMock-"),
        choice: &[("logprobs", "null")],
        duplicate_text: true,
        delta: &[("token_id", "null")],
        role: Role::Every,
        content: EMPTY,
        reasoning: Some(Reasoning { idle: Blank::Null, ..REASONING }),
        calls: NULLS,
        finish: Finish { words: Words { stop: "eos", ..WORDS }, ..FINISH },
        usage: Usage { before: Blank::Null, figures: TOGETHER, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "fireworks",
        about: "Usage on the finish chunk, several candidates.",
        candidates: true,
        content: ABSENT,
        reasoning: Some(THOUGHT),
        usage: Usage { figures: DETAILED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "cerebras",
        about: "The finish key is absent until the end; whole calls, all at index 0.",
        envelope: Envelope::Flat,
        top: &[("system_fingerprint", "\"fp_mock\"")],
        top_last: &[("time_info", r#"{"queue_time":0.0001,"completion_time":0.03,"total_time":0.04}"#)],
        content: ABSENT,
        reasoning: Some(REASONING),
        calls: Calls { index: Index::Zero, ..WHOLE },
        finish: LATE,
        usage: Usage { figures: DETAILED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "baseten",
        about: "Usage on every chunk, the id of a call repeated, words after the finish.",
        envelope: Envelope::Numbered,
        created: Created::Grows,
        delta: &[("content", "null"), ("function_call", "null"), ("tool_calls", "null"), ("refusal", "null")],
        role: Role::ThenNull,
        content: Content { opening: Blank::Null, ..DEMO.content },
        reasoning: Some(THOUGHT),
        calls: Calls { id: Later::Same, id_prefix: "chatcmpl-tool-", ..NULLS },
        finish: Finish { place: FinishPlace::LastButOne, ..LATE },
        usage: Usage { running: Running::SoFar, figures: OPENAI, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "nvidia",
        about: "NVIDIA's NIM: `reasoning_content` null beside the text, FastAPI's errors.",
        envelope: Envelope::DetailList,
        id: Id::Same("chat-"),
        choice: &[("logprobs", "null"), ("stop_reason", "null")],
        reasoning: Some(Reasoning { idle: Blank::Null, ..THOUGHT }),
        usage: DEMO.usage,
        ..PLAIN
    },
    Manner {
        name: "sambanova",
        about: "Counts that are floats.",
        envelope: Envelope::CodeAndText,
        usage: Usage { figures: FLOATS, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "deepinfra",
        about: "Details of the usage are null, and a cost is estimated.",
        envelope: Envelope::Detail,
        reasoning: Some(THOUGHT),
        usage: Usage { figures: ESTIMATED, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "hyperbolic",
        about: "Usage without a total, on a chunk with `choices: null`.",
        envelope: Envelope::Message,
        usage: Usage { place: UsagePlace::NullChoices, figures: TOTALLESS, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "novita",
        about: "Filter results in each choice, content null while it reasons.",
        choice: &[("content_filter_results", "{}")],
        content: Content { reasoning: Blank::Null, calls: Blank::Null, ..DEMO.content },
        reasoning: Some(THOUGHT),
        calls: NULLS,
        ..PLAIN
    },
    Manner {
        name: "nebius",
        about: "Usage on a chunk without `choices`.",
        envelope: Envelope::Detail,
        choice: &[("logprobs", "null"), ("stop_reason", "null")],
        reasoning: Some(THOUGHT),
        usage: Usage { place: UsagePlace::NoChoices, ..PLAIN.usage },
        ..PLAIN
    },
    Manner {
        name: "siliconflow",
        about: "Usage on every chunk, a flat error envelope.",
        envelope: Envelope::Flat,
        role: Role::Every,
        content: Content { reasoning: Blank::Null, ..DEMO.content },
        reasoning: Some(Reasoning { idle: Blank::Null, ..THOUGHT }),
        usage: Usage { figures: DETAILED, ..RUNNING },
        ..PLAIN
    },
    Manner {
        name: "cloudflare",
        about: "No role, whole calls, Cloudflare's own error envelope.",
        envelope: Envelope::Cloudflare,
        id: Id::Same("id-"),
        role: Role::Never,
        opening: false,
        calls: WHOLE,
        finish: LATE,
        usage: ON_FINISH,
        ..PLAIN
    },
    Manner {
        name: "venice",
        about: "Fragments of calls with nulls, a top-level `cost`, `{\"error\": \"text\"}`.",
        envelope: Envelope::Text,
        created: Created::Zero,
        top: &[("service_tier", "null")],
        top_last: &[("cost", r#"{"usd":0.00012,"diem":0}"#)],
        choice: &[("logprobs", "null")],
        delta: &[("tool_calls", "null")],
        role: Role::ThenNull,
        content: Content { finish: Blank::Null, ..EMPTY },
        reasoning: Some(Reasoning { idle: Blank::Null, ..THOUGHT }),
        calls: Calls { extra_empty: true, ..NULLS },
        usage: Usage { before: Blank::Null, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "databricks",
        about: "Usage on every chunk with nulls; a call without arguments stays empty.",
        id: Id::Same("msg_mock_"),
        role: Role::Every,
        opening: false,
        content: Content { calls: Blank::Null, ..EMPTY },
        calls: Calls { extra_empty: true, id_prefix: "toolu_mock_", nothing: Nothing::Empty, ..CALLS },
        usage: Usage { running: Running::Nulls, figures: CACHED, ..ON_FINISH },
        ..PLAIN
    },
    Manner {
        name: "snowflake",
        about: "Empty id, `created: 0`, details only, no finish reason.",
        id: Id::Empty,
        created: Created::Zero,
        top: &[("service_tier", "\"\""), ("system_fingerprint", "\"\"")],
        choice: &[("logprobs", r#"{"content":null,"refusal":null}"#)],
        delta: &[("refusal", "\"\""), ("tool_calls", "null")],
        role: Role::Every,
        opening: false,
        content: EMPTY,
        reasoning: Some(Reasoning {
            fields: &[],
            details: Some(Details {
                kind: "reasoning.text",
                text: "text",
                format: "anthropic-claude-v1",
                id: Some("reasoning-text-1"),
                seal: Seal::None,
            }),
            ..THOUGHT
        }),
        finish: Finish { place: FinishPlace::Nowhere, ..LATE },
        usage: Usage { figures: OPENAI, ..PLAIN.usage },
        ..PLAIN
    },
];

const GROQ: Manner = Manner {
    name: "groq",
    about: "`reasoning` and `channel`, whole calls, \"null\" for no arguments, usage thrice.",
    top: &[("system_fingerprint", "\"fp_mock\"")],
    top_first: &[("x_groq", r#"{"id":"req_mock0001","seed":42}"#)],
    choice: &[("logprobs", "null")],
    reasoning: Some(Reasoning { extra: &[("channel", "\"analysis\"")], ..REASONING }),
    calls: Calls { id_prefix: "fc_", nothing: Nothing::Word, ..WHOLE },
    usage: Usage { groq: true, again: true, figures: TIMED, ..ON_FINISH },
    ..PLAIN
};
