//! What differs between the models that Bedrock hosts, as far as a request must know it.

use crate::dialect::anthropic::family::{self, Family};

/// Who made a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Maker {
    /// Anthropic; only its reasoning is signed.
    Claude(Family),
    /// Amazon; the second generation thinks when it is told to.
    Nova {
        /// It can be told to.
        thinks: bool,
    },
    /// OpenAI's open models, which always think.
    GptOss,
    /// Mistral.
    Mistral,
    /// Anyone else.
    Other,
    /// The name does not say: it is that of an inference profile or of a deployment of one's own.
    Unknown,
}

/// The maker of a model, by the model's id or resource name.
pub(super) fn of(id: &str) -> Maker {
    let name = id.to_ascii_lowercase();
    if name.contains("anthropic.") || name.contains("claude") {
        // `claude-v2:1` and `claude-2.1` are one.
        return Maker::Claude(family::of(&name.replace("claude-v", "claude-")));
    }
    if name.contains("amazon.nova") {
        return Maker::Nova { thinks: name.contains("nova-2") };
    }
    if name.contains("gpt-oss") {
        return Maker::GptOss;
    }
    if name.contains("mistral.") {
        return Maker::Mistral;
    }
    if name.starts_with("arn:") && !name.contains("foundation-model") { Maker::Unknown } else { Maker::Other }
}

/// The format of a model's readable reasoning: that of Claude, which is signed and can go back, also where the
/// name does not say whose it is.
pub(super) fn reasoning_format(id: &str) -> &'static str {
    match of(id) {
        Maker::Claude(_) | Maker::Unknown => "anthropic-claude-v1",
        Maker::Other if id.is_empty() => "anthropic-claude-v1",
        Maker::Nova { .. } | Maker::GptOss | Maker::Mistral | Maker::Other => "unknown",
    }
}

/// True for Claude models from 4.5 on: they can be told to call one tool at a time, and to keep to a schema.
pub(super) fn is_recent_claude(id: &str) -> bool {
    const OLDER: [&str; 8] = [
        "claude-v",
        "claude-2",
        "claude-3",
        "claude-instant",
        "sonnet-4-2025",
        "opus-4-2025",
        "opus-4-0",
        "opus-4-1",
    ];
    let name = id.to_ascii_lowercase();
    matches!(of(id), Maker::Claude(_)) && !OLDER.iter().any(|older| name.contains(older))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_makers() {
        let limit = |id: &str| match of(id) {
            Maker::Claude(family) => Some(family.max_tokens),
            Maker::Nova { .. } | Maker::GptOss | Maker::Mistral | Maker::Other | Maker::Unknown => None,
        };
        for (id, max_tokens) in [
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", 64_000),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", 8192),
            ("anthropic.claude-v2:1", 4096),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-1-20250805-v1:0",
                32_000,
            ),
        ] {
            assert_eq!(limit(id), Some(max_tokens), "{id}");
        }
        assert!(matches!(of("us.amazon.nova-2-lite-v1:0"), Maker::Nova { thinks: true }));
        assert!(matches!(of("amazon.nova-pro-v1:0"), Maker::Nova { thinks: false }));
        assert!(matches!(of("openai.gpt-oss-120b-1:0"), Maker::GptOss));
        assert!(matches!(of("deepseek.r1-v1:0"), Maker::Other));
        assert!(matches!(of("arn:aws:bedrock:us-east-1:1:application-inference-profile/x"), Maker::Unknown));
    }

    #[test]
    fn only_claudes_reasoning_is_in_its_format() {
        for (id, format) in [
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic-claude-v1"),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", "anthropic-claude-v1"),
            ("", "anthropic-claude-v1"),
            ("us.deepseek.r1-v1:0", "unknown"),
            ("us.amazon.nova-2-lite-v1:0", "unknown"),
            ("openai.gpt-oss-120b-1:0", "unknown"),
            ("qwen.qwen3-32b-v1:0", "unknown"),
            ("mistral.magistral-small-2509", "unknown"),
        ] {
            assert_eq!(reasoning_format(id), format, "{id}");
        }
    }

    #[test]
    fn recent_claudes_are_those_from_4_5_on() {
        assert!(is_recent_claude("global.anthropic.claude-sonnet-4-5-20250929-v1:0"));
        assert!(is_recent_claude("anthropic.claude-opus-4-6-v1"));
        assert!(!is_recent_claude("anthropic.claude-sonnet-4-20250514-v1:0"));
        assert!(!is_recent_claude("amazon.nova-2-lite-v1:0"));
    }
}
