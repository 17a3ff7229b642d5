//! What differs between the families of Gemini models, as far as a request must know it.

use super::wire::ThinkingConfig;
use crate::chat::settings::{Effort, Thinking};

/// A family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// What the model's name has in it, with `-` for `.`.
    part: &'static str,
    /// How it is told to think.
    pub(super) thinks: Thinks,
    /// It refuses calls whose signature is missing, and takes media inside the results of calls.
    pub(super) is_third: bool,
}

/// How a family is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It does not, or cannot be told.
    Never,
    /// With a budget of tokens.
    Budget {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
        /// It can be told not to think.
        can_stop: bool,
    },
    /// By a level. It cannot be told not to think.
    Level {
        /// It knows `minimal`, which is next to nothing.
        minimal: bool,
        /// It knows `medium`.
        medium: bool,
    },
}

const fn family(part: &'static str, thinks: Thinks, is_third: bool) -> Family {
    Family { part, thinks, is_third }
}

const FLASH: Thinks = Thinks::Budget { least: 1, most: 24_576, can_stop: true };
const ALL_LEVELS: Thinks = Thinks::Level { minimal: true, medium: true };
const PRO_LEVELS: Thinks = Thinks::Level { minimal: false, medium: true };

/// The first that fits counts.
const FAMILIES: &[Family] = &[
    family("-tts", Thinks::Never, false),
    family("embedding", Thinks::Never, false),
    family("gemini-1", Thinks::Never, false),
    family("gemini-2-0", Thinks::Never, false),
    family("gemini-2-5-flash-image", Thinks::Never, false),
    family("gemini-2-5-flash-lite", Thinks::Budget { least: 512, most: 24_576, can_stop: true }, false),
    family("gemini-2-5-pro", Thinks::Budget { least: 128, most: 32_768, can_stop: false }, false),
    family("gemini-2-5", FLASH, false),
    family("gemini-3-pro", Thinks::Level { minimal: false, medium: false }, true),
    family("gemini-3-1-pro", PRO_LEVELS, true),
    family("gemini-pro-latest", PRO_LEVELS, true),
    family("gemini-robotics", FLASH, false),
    family("gemini", ALL_LEVELS, true),
    family("gemma-4", Thinks::Level { minimal: true, medium: false }, false),
    family("gemma", Thinks::Never, false),
];

/// What tuned models and compatible servers take.
const OTHER: Family = family("", FLASH, false);

/// The family of a model, by its name.
pub(super) fn of(model: &str) -> Family {
    let name = model.to_ascii_lowercase().replace('.', "-");
    FAMILIES.iter().find(|family| name.contains(family.part)).copied().unwrap_or(OTHER)
}

impl Thinks {
    /// How the family is told what the client asks, and whether it can do that.
    pub(super) fn config(self, asked: Thinking, shows: bool) -> (Option<ThinkingConfig>, bool) {
        let shown = |config| Some(ThinkingConfig { include_thoughts: Some(shows), ..config });
        let level = |level| ThinkingConfig { thinking_level: Some(level), ..ThinkingConfig::default() };
        let budget = |tokens| ThinkingConfig { thinking_budget: Some(tokens), ..ThinkingConfig::default() };
        match self {
            Thinks::Never => (None, asked.is_off()),
            Thinks::Budget { can_stop: true, .. } if asked.is_off() => (Some(budget(0)), true),
            Thinks::Budget { least, .. } if asked.is_off() => (Some(budget(least)), false),
            Thinks::Level { minimal, .. } if asked.is_off() => {
                (Some(level(if minimal { "minimal" } else { "low" })), false)
            }
            Thinks::Budget { least, most, .. } => {
                let tokens = asked.tokens.or_else(|| asked.effort.map(|effort| tokens(effort, most)));
                (shown(tokens.map(|tokens| budget(tokens.clamp(least, most))).unwrap_or_default()), true)
            }
            Thinks::Level { minimal, medium } => {
                let effort = asked.effort.or_else(|| asked.tokens.map(effort));
                let word = effort.map(|effort| match effort {
                    Effort::None | Effort::Minimal if minimal => "minimal",
                    Effort::None | Effort::Minimal | Effort::Low => "low",
                    Effort::Medium if medium => "medium",
                    Effort::Medium | Effort::High | Effort::ExtraHigh | Effort::Max => "high",
                });
                (shown(word.map(level).unwrap_or_default()), true)
            }
        }
    }
}

/// The budget that an effort means: the one that Google's own OpenAI endpoint gives it.
fn tokens(effort: Effort, most: u64) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::ExtraHigh | Effort::Max => most,
    }
}

/// The effort that a budget means.
fn effort(tokens: u64) -> Effort {
    match tokens {
        0..=1024 => Effort::Low,
        1025..=8192 => Effort::Medium,
        _ => Effort::High,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_families() {
        for (model, thinks, is_third) in [
            ("gemini-2.0-flash", Thinks::Never, false),
            ("gemini-2.5-flash", FLASH, false),
            ("models/gemini-2.5-pro", Thinks::Budget { least: 128, most: 32_768, can_stop: false }, false),
            ("gemini-2.5-pro-preview-tts", Thinks::Never, false),
            ("gemini-3-pro-preview", Thinks::Level { minimal: false, medium: false }, true),
            ("gemini-3.1-pro-preview", PRO_LEVELS, true),
            ("gemini-3.5-flash", ALL_LEVELS, true),
            ("gemini-flash-latest", ALL_LEVELS, true),
            ("gemma-3-27b-it", Thinks::Never, false),
            ("tunedModels/mine", FLASH, false),
        ] {
            let family = of(model);
            assert_eq!((family.thinks, family.is_third), (thinks, is_third), "{model}");
        }
    }
}
