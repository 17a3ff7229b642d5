//! Names for models: each leads to one model, or to several that stand in for each other.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// A name for models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Whom it leads to; never empty.
    pub targets: Vec<AliasTarget>,
    /// Who of them is asked first.
    pub choose: Choose,
}

/// One of the models behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasTarget {
    /// `provider/model`, or a model of the default provider.
    pub model: String,
    /// Its share, beside the weights of the others; never 0.
    pub weight: u32,
}

/// Which target of an alias is asked first; the others stand in when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The first that is well.
    #[default]
    Ordered,
    /// By chance, in proportion to the weights.
    Weighted,
    /// The one with the fewest running answers for its weight.
    LeastLoaded,
    /// The one whose answers began soonest of late.
    Fastest,
}

impl Choose {
    fn as_str(self) -> &'static str {
        match self {
            Choose::Ordered => "ordered",
            Choose::Weighted => "weighted",
            Choose::LeastLoaded => "least_loaded",
            Choose::Fastest => "fastest",
        }
    }
}

/// An alias as written: a model, a list of them in order, or a table.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a model, a list of models, or a table such as { targets = [\"a/b\", { model = \"c/d\", weight = 3 }], choose = \"weighted\" }"
)]
pub(super) enum AliasFile {
    One(String),
    Many(Vec<TargetFile>),
    Chosen(ChosenFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChosenFile {
    targets: Vec<TargetFile>,
    #[serde(default)]
    choose: Choose,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a model, or a table such as { model = \"groq/llama\", weight = 3 }")]
pub(super) enum TargetFile {
    Model(String),
    Weighted(WeightedFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedFile {
    model: String,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

impl AliasFile {
    fn read(self) -> Alias {
        let (targets, choose) = match self {
            AliasFile::One(model) => (vec![TargetFile::Model(model)], Choose::default()),
            AliasFile::Many(targets) => (targets, Choose::default()),
            AliasFile::Chosen(ChosenFile { targets, choose }) => (targets, choose),
        };
        let target = |written| match written {
            TargetFile::Model(model) => AliasTarget { model, weight: 1 },
            TargetFile::Weighted(WeightedFile { model, weight }) => AliasTarget { model, weight },
        };
        Alias { targets: targets.into_iter().map(target).collect(), choose }
    }
}

/// Reads the aliases, and tells what is wrong with them.
pub(super) fn read(
    written: BTreeMap<String, AliasFile>,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, Alias> {
    let aliases: BTreeMap<String, Alias> =
        written.into_iter().map(|(name, alias)| (name, alias.read())).collect();
    for (name, alias) in &aliases {
        if alias.targets.is_empty() {
            mistakes.push(format!("aliases.{name}: has no targets; expected at least one model"));
        }
        for AliasTarget { model, weight } in &alias.targets {
            if model.trim().is_empty() {
                mistakes.push(format!(
                    "aliases.{name}: is empty; expected a model such as \"groq/llama-3.3-70b-versatile\""
                ));
            } else if aliases.contains_key(model) {
                mistakes.push(format!("aliases.{name}: \"{model}\" is an alias itself; expected a model"));
            }
            if *weight == 0 {
                mistakes.push(format!("aliases.{name}: \"{model}\" has the weight 0; expected 1 or more"));
            }
        }
    }
    aliases
}

impl From<&str> for Alias {
    /// A name for one model.
    fn from(model: &str) -> Alias {
        AliasFile::One(model.to_owned()).read()
    }
}

impl fmt::Display for Alias {
    /// As it would be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([AliasTarget { model, .. }], Choose::Ordered) = (self.targets.as_slice(), self.choose) {
            return write!(f, "\"{model}\"");
        }
        let target = |AliasTarget { model, weight }: &AliasTarget| match weight {
            1 => format!("\"{model}\""),
            weight => format!("{{ model = \"{model}\", weight = {weight} }}"),
        };
        let targets = self.targets.iter().map(target).collect::<Vec<_>>().join(", ");
        match self.choose {
            Choose::Ordered => write!(f, "[{targets}]"),
            choose => write!(f, "{{ targets = [{targets}], choose = \"{}\" }}", choose.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Table {
        aliases: BTreeMap<String, AliasFile>,
    }

    fn parse(text: &str) -> (BTreeMap<String, Alias>, Vec<String>) {
        let table: Table = toml::from_str(&format!("[aliases]\n{text}")).unwrap();
        let mut mistakes = Vec::new();
        (read(table.aliases, &mut mistakes), mistakes)
    }

    #[test]
    fn every_form_is_shown_as_it_is_written() {
        for text in [
            r#""a/b""#,
            r#"["a/b", "c/d"]"#,
            r#"[{ model = "a/b", weight = 3 }, "c/d"]"#,
            r#"{ targets = ["a/b", { model = "c/d", weight = 2 }], choose = "weighted" }"#,
            r#"{ targets = ["a/b"], choose = "fastest" }"#,
        ] {
            let (aliases, mistakes) = parse(&format!("x = {text}"));
            assert!(mistakes.is_empty(), "{mistakes:?}");
            assert_eq!(aliases["x"].to_string(), text);
        }
    }

    #[test]
    fn mistakes_name_the_alias() {
        for (text, mistake) in [
            ("x = []", "aliases.x: has no targets"),
            ("x = [\"\"]", "aliases.x: is empty"),
            ("x = [\"y\"]\ny = \"a/b\"", "aliases.x: \"y\" is an alias itself"),
            ("x = [{ model = \"a/b\", weight = 0 }]", "aliases.x: \"a/b\" has the weight 0"),
        ] {
            let (_, mistakes) = parse(text);
            assert!(mistakes.iter().any(|told| told.contains(mistake)), "{text}: {mistakes:?}");
        }
    }
}
