//! OpenAI, and those who serve its models.

use super::*;

/// The manners of OpenAI and its kin.
pub const MANNERS: &[Manner] = &[
    DEMO,
    OPENAI_OWN,
    Manner {
        name: "openai-reasoning",
        about: "OpenAI's reasoning models: hidden reasoning, seen only in the usage.",
        reasoning: Some(Reasoning { fields: &[], ..THOUGHT }),
        ..OPENAI_OWN
    },
    Manner { name: "openai-refusal", about: "OpenAI: the answer is a refusal.", refuses: true, ..OPENAI_OWN },
    Manner {
        name: "openai-audio",
        about: "OpenAI's audio models: a transcript, a chunk without choices, no finish reason.",
        audio: true,
        chunk_without_choices: true,
        content: ABSENT,
        finish: Finish { place: FinishPlace::Nowhere, ..FINISH },
        usage: Usage { if_asked: false, ..DEMO.usage },
        ..OPENAI_OWN
    },
    AZURE,
    Manner {
        name: "github",
        about: "GitHub Models: Azure's filters, no choice without delta.",
        filter_without_delta: false,
        padding: None,
        ..AZURE
    },
    Manner {
        name: "copilot",
        about: "Like Azure, without `object`; the index of calls starts at 1.",
        object: None,
        created: Created::Zero,
        top_last: &[("copilot_usage", r#"{"token_details":[],"total_nano_aiu":0}"#)],
        choice: &[("content_filter_results", "{}")],
        filter_without_delta: false,
        content: Content { calls: Blank::Null, finish: Blank::Null, ..DEMO.content },
        calls: Calls { index: Index::From(1), ..CALLS },
        finish: LATE,
        usage: Usage { figures: OPENAI, ..ON_FINISH },
        ..AZURE
    },
];

const OPENAI_OWN: Manner = Manner {
    name: "openai",
    about: "OpenAI: usage only if asked, `obfuscation` padding.",
    id: Id::Same("chatcmpl-Duck"),
    top: &[("service_tier", "\"default\""), ("system_fingerprint", "\"fp_millpond\"")],
    padding: Some("obfuscation"),
    opening_delta: &[("refusal", "null")],
    ..DEMO
};

const AZURE: Manner = Manner {
    name: "azure",
    about: "Azure: a first chunk with filter results only, a choice without `delta`.",
    prompt_filter: true,
    filter_without_delta: true,
    candidates: false,
    headers: &[
        ("content-type", "text/event-stream; charset=utf-8"),
        ("apim-request-id", "5d5f4e50-0000-4000-8000-000000000042"),
        ("x-ms-region", "Mock"),
        ("x-request-id", "req_mock0001"),
    ],
    top: &[("system_fingerprint", "\"fp_millpond\"")],
    choice: &[
        ("content_filter_results", r#"{"hate":{"filtered":false,"severity":"safe"}}"#),
        ("logprobs", "null"),
    ],
    ..OPENAI_OWN
};
