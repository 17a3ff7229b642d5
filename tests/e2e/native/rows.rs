//! The dialects that the tests go through, each with what is its own.

/// A dialect and how the mock is reached in it.
#[derive(Debug, Clone, Copy)]
pub struct Native {
    pub provider: &'static str,
    pub dialect: &'static str,
    /// The path of the base URL.
    pub base: &'static str,
    /// The path of a stream, below the mock's address; `{model}` is the model's place.
    pub path: &'static str,
    /// A model that may be told to think.
    pub model: &'static str,
    /// What a request that goes straight to the mock must have.
    pub header: (&'static str, &'static str),
    /// How the client asks for thoughts that it can read: a field and its value.
    pub think: (&'static str, &'static str),
    /// The members of a thought that are signed, and a word that does not belong into them.
    pub signed: &'static [(&'static str, &'static str)],
    /// What the mock says of a signature that is not its own.
    pub altered: &'static str,
    /// Whether usage tells of tokens from the cache and of those of reasoning.
    pub counts: (bool, bool),
    /// The least limit that the API takes.
    pub least: u64,
    /// How many calls arrive of those that a limit cuts.
    pub cut_calls: usize,
    /// Whether thoughts go back as they were, or only what is signed.
    pub takes_thoughts: bool,
    /// Whether a call without its result is refused.
    pub wants_results: bool,
    /// Oddities that the framing cannot have.
    pub impossible: &'static [&'static str],
}

/// Anthropic told to think by a budget.
pub const BUDGET: Native = Native {
    provider: "anthropic",
    dialect: "anthropic",
    base: "/v1",
    path: "/v1/messages",
    model: "claude-sonnet-4-5",
    header: ("anthropic-version", "2023-06-01"),
    think: ("reasoning_effort", r#""medium""#),
    signed: &[("signature", "QUACK"), ("text", "Quack!")],
    altered: "Invalid `signature` in `thinking` block",
    counts: (true, true),
    least: 1,
    cut_calls: 1,
    takes_thoughts: true,
    wants_results: true,
    impossible: &[],
};

pub const BEDROCK: Native = Native {
    provider: "bedrock",
    dialect: "bedrock",
    base: "",
    path: "/model/{model}/converse-stream",
    model: "anthropic.claude-sonnet-4-5-20250929-v1:0",
    header: ("authorization", "Bearer of-a-test"),
    counts: (true, false),
    // They are matters of lines; what stands between messages breaks the framing.
    impossible: &["keep-alives", "crlf", "bom", "no-blank-line"],
    ..BUDGET
};

pub const RESPONSES: Native = Native {
    provider: "openai",
    dialect: "openai-responses",
    path: "/v1/responses",
    model: "gpt-5",
    header: ("accept", "text/event-stream"),
    think: ("reasoning", r#"{"effort": "medium"}"#),
    // Summaries may be altered: the thought itself is in the encrypted content.
    signed: &[("data", "QUACK")],
    altered: "could not be verified",
    least: 16,
    ..BUDGET
};

/// A call and the end of a text are signed, thoughts are not; calls come whole or not at all.
pub const GEMINI: Native = Native {
    provider: "google",
    dialect: "gemini",
    base: "/v1beta",
    path: "/v1beta/models/{model}:streamGenerateContent",
    model: "gemini-3-pro-preview",
    header: ("x-goog-api-key", "of-a-test"),
    signed: &[("data", "QUACK")],
    altered: "Corrupted thought signature",
    cut_calls: 0,
    takes_thoughts: false,
    ..BUDGET
};

/// Nothing is signed.
pub const COHERE: Native = Native {
    provider: "cohere",
    dialect: "cohere",
    base: "/v2",
    path: "/v2/chat",
    model: "command-a-reasoning-08-2025",
    header: ("accept", "text/event-stream"),
    signed: &[],
    altered: "",
    counts: (true, false),
    ..BUDGET
};

/// Nothing is signed, calls come whole or not at all, and the daemon does not look for their results.
pub const OLLAMA: Native = Native {
    provider: "ollama",
    dialect: "ollama",
    base: "/api",
    path: "/api/chat",
    model: "qwen3:8b",
    header: ("accept", "application/x-ndjson"),
    counts: (false, false),
    cut_calls: 0,
    wants_results: false,
    ..COHERE
};

pub const NATIVES: [Native; 7] = [
    BUDGET,
    // A model that thinks as much as it likes.
    Native { model: "claude-sonnet-4-6", ..BUDGET },
    BEDROCK,
    GEMINI,
    RESPONSES,
    COHERE,
    OLLAMA,
];
