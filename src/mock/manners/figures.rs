//! The figures of usage reports, by who reports so.

use super::super::manner::{Figure, Figures};

/// The three counts.
pub const COUNTS: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
];

/// As OpenAI reports.
pub const OPENAI: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    (
        "prompt_tokens_details",
        Figure::Group(&[("cached_tokens", Figure::Cached), ("audio_tokens", Figure::Raw("0"))]),
    ),
    (
        "completion_tokens_details",
        Figure::Group(&[
            ("reasoning_tokens", Figure::Reasoning),
            ("audio_tokens", Figure::Raw("0")),
            ("accepted_prediction_tokens", Figure::Raw("0")),
            ("rejected_prediction_tokens", Figure::Raw("0")),
        ]),
    ),
];

/// Counts, with cached and reasoning tokens.
pub const DETAILED: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("prompt_tokens_details", Figure::Group(&[("cached_tokens", Figure::Cached)])),
    ("completion_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Reasoning)])),
];

/// With a cost, as OpenRouter reports.
pub const COSTED: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("cost", Figure::Raw("0.00004025")),
    ("is_byok", Figure::Raw("false")),
    (
        "prompt_tokens_details",
        Figure::Group(&[
            ("cached_tokens", Figure::Cached),
            ("cache_write_tokens", Figure::Raw("0")),
            ("audio_tokens", Figure::Raw("0")),
            ("video_tokens", Figure::Raw("0")),
        ]),
    ),
    (
        "cost_details",
        Figure::Group(&[
            ("upstream_inference_cost", Figure::Raw("null")),
            ("upstream_inference_prompt_cost", Figure::Raw("0.00001625")),
            ("upstream_inference_completions_cost", Figure::Raw("2.4e-05")),
        ]),
    ),
    (
        "completion_tokens_details",
        Figure::Group(&[
            ("reasoning_tokens", Figure::Reasoning),
            ("image_tokens", Figure::Raw("0")),
            ("audio_tokens", Figure::Raw("0")),
        ]),
    ),
];

/// With more reasoning tokens than tokens, as Doubleword reports.
pub const OVERCOUNTED: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("cache_creation_input_tokens", Figure::Raw("0")),
    ("cache_read_input_tokens", Figure::Cached),
    ("completion_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Overcount)])),
];

/// With cache hits and misses, as DeepSeek reports.
pub const DEEPSEEK: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("prompt_tokens_details", Figure::Group(&[("cached_tokens", Figure::Cached)])),
    ("completion_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Reasoning)])),
    ("prompt_cache_hit_tokens", Figure::Cached),
    ("prompt_cache_miss_tokens", Figure::Uncached),
];

/// With times, as Groq reports.
pub const TIMED: Figures = &[
    ("queue_time", Figure::Raw("0.0722")),
    ("prompt_tokens", Figure::Prompt),
    ("prompt_time", Figure::Raw("0.0160")),
    ("completion_tokens", Figure::Completion),
    ("completion_time", Figure::Raw("0.0877")),
    ("total_tokens", Figure::Total),
    ("total_time", Figure::Raw("0.1037")),
    ("completion_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Reasoning)])),
];

/// Without reasoning in the completion, as xAI reports.
pub const XAI: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Visible),
    ("total_tokens", Figure::Total),
    (
        "prompt_tokens_details",
        Figure::Group(&[("text_tokens", Figure::Prompt), ("cached_tokens", Figure::Cached)]),
    ),
    ("completion_tokens_details", Figure::Group(&[("reasoning_tokens", Figure::Reasoning)])),
    ("num_sources_used", Figure::Raw("0")),
];

/// With reasoning on the top level, as Together reports.
pub const TOGETHER: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("total_tokens", Figure::Total),
    ("completion_tokens", Figure::Completion),
    ("reasoning_tokens", Figure::Reasoning),
];

/// With a cost by part, as Perplexity reports.
pub const PERPLEXITY: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("search_context_size", Figure::Raw("\"low\"")),
    (
        "cost",
        Figure::Group(&[("input_tokens_cost", Figure::Raw("0.0")), ("total_cost", Figure::Raw("0.005"))]),
    ),
];

/// With cache reads on the top level, as Databricks reports.
pub const CACHED: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("cache_read_input_tokens", Figure::Cached),
    ("cache_creation_input_tokens", Figure::Raw("0")),
];

/// With floats, as SambaNova reports.
pub const FLOATS: Figures = &[
    ("prompt_tokens", Figure::Float(&Figure::Prompt)),
    ("completion_tokens", Figure::Float(&Figure::Completion)),
    ("total_tokens", Figure::Float(&Figure::Total)),
    ("total_tokens_per_sec", Figure::Raw("431.7")),
];

/// With an estimated cost and null details, as DeepInfra reports.
pub const ESTIMATED: Figures = &[
    ("prompt_tokens", Figure::Prompt),
    ("completion_tokens", Figure::Completion),
    ("total_tokens", Figure::Total),
    ("estimated_cost", Figure::Raw("1.2e-05")),
    ("prompt_tokens_details", Figure::Raw("null")),
];

/// Without a total.
pub const TOTALLESS: Figures =
    &[("prompt_tokens", Figure::Prompt), ("completion_tokens", Figure::Completion)];
