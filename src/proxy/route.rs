//! From the model that a client names to the providers that serve it.

use crate::config::{Choose, Config, Upstream};

/// Whom a request may go to.
#[derive(Debug)]
pub(super) struct Route<'a> {
    /// In the order of the config; never empty.
    pub(super) targets: Vec<RouteTarget<'a>>,
    /// Who of them is asked first.
    pub(super) choose: Choose,
}

/// One that may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteTarget<'a> {
    /// The provider, as it is for this model.
    pub(super) upstream: &'a Upstream,
    /// The model in the provider's own words.
    pub(super) model: &'a str,
    /// Its share, beside the weights of the others.
    pub(super) weight: u32,
}

/// Finds the route: an alias first, then `provider/model`, else the default provider.
pub(super) fn route<'a>(config: &'a Config, model: &'a str) -> Option<Route<'a>> {
    match config.aliases.get(model) {
        Some(alias) => {
            let targets = alias.targets.iter().map(|one| target(config, &one.model, one.weight));
            Some(Route { targets: targets.collect::<Option<_>>()?, choose: alias.choose })
        }
        None => Some(Route { targets: vec![target(config, model, 1)?], choose: Choose::Ordered }),
    }
}

fn target<'a>(config: &'a Config, model: &'a str, weight: u32) -> Option<RouteTarget<'a>> {
    let known = model.split_once('/').and_then(|(name, rest)| {
        let upstream = config.provider(name).filter(|_| !rest.is_empty())?;
        Some((upstream, rest))
    });
    let (upstream, model) = match known {
        Some(known) => known,
        None => (config.providers.get(config.default_provider)?, model),
    };
    Some(RouteTarget { upstream: upstream.of_model(model), model, weight })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[track_caller]
    fn check(model: &str, expected: &[(&str, &str)]) {
        let file = File::parse(
            r#"
            default_provider = "mine"
            [providers.mine]
            base_url = "http://127.0.0.1:1/v1"
            [providers.mine.per_model.slow]
            base_url = "http://127.0.0.1:2/v1"
            idle_timeout = "1h"
            [aliases]
            fast = "groq/llama-3.3-70b-versatile"
            "gpt-4o" = "openrouter/openai/gpt-4o"
            any = ["mine/m", "groq/m"]
            "#,
        )
        .unwrap();
        let config = Config::new(file, None, &|_| None).unwrap();
        let route = route(&config, model).unwrap();
        let found: Vec<_> =
            route.targets.iter().map(|target| (target.upstream.name.as_str(), target.model)).collect();
        assert_eq!(found, expected);
        for target in route.targets.iter().filter(|target| target.model == "slow") {
            assert_eq!(target.upstream.base_url.as_ref().unwrap().port(), Some(2));
            assert_eq!(target.upstream.deadlines.idle.as_secs(), 3600);
        }
    }

    #[test]
    fn the_first_part_names_the_provider() {
        check("openrouter/anthropic/claude-sonnet-4.5", &[("openrouter", "anthropic/claude-sonnet-4.5")]);
        check("mine/m", &[("mine", "m")]);
    }

    #[test]
    fn a_bare_model_goes_to_the_default() {
        check("llama", &[("mine", "llama")]);
        check("meta-llama/llama-3", &[("mine", "meta-llama/llama-3")]);
        check("groq/", &[("mine", "groq/")]);
    }

    #[test]
    fn an_alias_comes_first() {
        check("fast", &[("groq", "llama-3.3-70b-versatile")]);
        check("gpt-4o", &[("openrouter", "openai/gpt-4o")]);
        check("any", &[("mine", "m"), ("groq", "m")]);
    }

    #[test]
    fn a_model_may_differ_from_its_provider() {
        check("mine/slow", &[("mine", "slow")]);
        check("slow", &[("mine", "slow")]);
    }
}
