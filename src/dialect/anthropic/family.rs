//! What differs between the families of Claude models, as far as a request must know it.

/// A family.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct Family {
    /// What the model's name has in it, with `-` for `.`.
    part: &'static str,
    /// The most tokens of an answer: what is asked for where the client says nothing, because the API wants a
    /// number.
    pub(in crate::dialect) max_tokens: u64,
    /// How it is told to think.
    pub(in crate::dialect) thinks: Thinks,
    /// Which of temperature and the like it takes.
    pub(in crate::dialect) sampling: Sampling,
}

/// How a family is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Thinks {
    /// It does not.
    Never,
    /// With a budget of tokens.
    Budget,
    /// By an effort; the amount is its own decision.
    Adaptive {
        /// The highest words it knows.
        extra_high: bool,
    },
}

/// Which of temperature, `top_p` and `top_k` a family takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Sampling {
    /// All of them.
    All,
    /// One of temperature and `top_p`.
    One,
    /// None.
    None,
}

const fn family(part: &'static str, max_tokens: u64, thinks: Thinks, sampling: Sampling) -> Family {
    Family { part, max_tokens, thinks, sampling }
}

/// The first that fits counts.
const FAMILIES: &[Family] = &[
    family("claude-instant", 4096, Thinks::Never, Sampling::All),
    family("claude-2", 4096, Thinks::Never, Sampling::All),
    family("claude-3-5", 8192, Thinks::Never, Sampling::All),
    family("claude-3-7", 64_000, Thinks::Budget, Sampling::All),
    family("claude-3-", 4096, Thinks::Never, Sampling::All),
    family("opus-4-1", 32_000, Thinks::Budget, Sampling::One),
    family("opus-4-5", 64_000, Thinks::Budget, Sampling::One),
    family("sonnet-4-5", 64_000, Thinks::Budget, Sampling::One),
    family("haiku-4-5", 64_000, Thinks::Budget, Sampling::One),
    family("opus-4-6", 128_000, Thinks::Adaptive { extra_high: false }, Sampling::One),
    family("sonnet-4-6", 64_000, Thinks::Adaptive { extra_high: false }, Sampling::One),
    family("opus-4-7", 128_000, Thinks::Adaptive { extra_high: true }, Sampling::None),
    family("opus-4-8", 128_000, Thinks::Adaptive { extra_high: true }, Sampling::None),
    family("sonnet-4", 64_000, Thinks::Budget, Sampling::All),
    family("opus-4", 32_000, Thinks::Budget, Sampling::All),
    family("claude", 64_000, Thinks::Adaptive { extra_high: true }, Sampling::None),
];

/// What compatible servers take.
const OTHER: Family = family("", 8192, Thinks::Budget, Sampling::All);

/// The family of a model, by its name.
pub(in crate::dialect) fn of(model: &str) -> Family {
    let name = model.to_ascii_lowercase().replace('.', "-");
    FAMILIES.iter().find(|family| name.contains(family.part)).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_families() {
        for (model, max_tokens, thinks) in [
            ("claude-3-haiku-20240307", 4096, Thinks::Never),
            ("claude-3.5-sonnet", 8192, Thinks::Never),
            ("claude-sonnet-4-20250514", 64_000, Thinks::Budget),
            ("claude-opus-4-0", 32_000, Thinks::Budget),
            ("claude-opus-4-1@20250805", 32_000, Thinks::Budget),
            ("claude-haiku-4-5-20251001", 64_000, Thinks::Budget),
            ("claude-sonnet-4-6", 64_000, Thinks::Adaptive { extra_high: false }),
            ("claude-opus-5", 64_000, Thinks::Adaptive { extra_high: true }),
            ("kimi-k2", 8192, Thinks::Budget),
        ] {
            let family = of(model);
            assert_eq!((family.max_tokens, family.thinks), (max_tokens, thinks), "{model}");
        }
    }
}
