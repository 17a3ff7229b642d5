//! What differs between the families of models, as far as a request must know it.

/// A family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// How the model's name begins.
    prefix: &'static str,
    /// Whether it reasons; `None` where the name does not tell, such as that of a deployment.
    pub(super) reasons: Option<bool>,
    /// The effort that comes nearest to none; `None` where reasoning cannot be turned down.
    pub(super) least_effort: Option<&'static str>,
    /// Whether it takes temperature and `top_p` while it reasons.
    pub(super) samples: bool,
}

const fn reasons(prefix: &'static str, least_effort: Option<&'static str>, samples: bool) -> Family {
    Family { prefix, reasons: Some(true), least_effort, samples }
}

const fn answers(prefix: &'static str) -> Family {
    Family { prefix, reasons: Some(false), least_effort: None, samples: true }
}

/// The first that fits counts.
const FAMILIES: &[Family] = &[
    answers("gpt-3"),
    answers("gpt-4"),
    answers("chatgpt-"),
    answers("gpt-5-chat"),
    reasons("gpt-5-pro", None, false),
    reasons("gpt-5-codex", Some("low"), false),
    reasons("gpt-5.", Some("none"), false),
    reasons("gpt-5", Some("minimal"), false),
    reasons("gpt-oss", Some("low"), true),
    reasons("o1", Some("low"), false),
    reasons("o3", Some("low"), false),
    reasons("o4", Some("low"), false),
    reasons("codex", Some("low"), false),
    reasons("grok-3-mini", Some("low"), true),
    answers("grok-2"),
    answers("grok-3"),
    reasons("grok-", None, true),
];
/// A model of which nothing is known.
const UNKNOWN: Family = Family { prefix: "", reasons: None, least_effort: Some("none"), samples: true };

/// The family of a model, by its name without the names of those who made it.
pub(super) fn of(model: &str) -> Family {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let name =
        ["openai.", "xai.", "ft:"].iter().find_map(|before| name.strip_prefix(before)).unwrap_or(&name);
    if name.contains("non-reasoning") {
        return answers("");
    }
    FAMILIES.iter().find(|family| name.starts_with(family.prefix)).copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_family() {
        for (model, expect) in [
            ("gpt-4o-mini", Some(false)),
            ("openai/gpt-5-nano", Some(true)),
            ("openai.gpt-5.6-luna", Some(true)),
            ("gpt-5-chat-latest", Some(false)),
            ("grok-4-fast-non-reasoning", Some(false)),
            ("grok-4.3", Some(true)),
            ("my-deployment", None),
        ] {
            assert_eq!(of(model).reasons, expect, "{model}");
        }
        assert_eq!(of("gpt-5.2").least_effort, Some("none"));
        assert_eq!(of("gpt-5-mini").least_effort, Some("minimal"));
    }
}
