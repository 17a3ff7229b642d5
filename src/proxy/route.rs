//! From the model that a client names to the provider that serves it.

use crate::config::{Config, Upstream};

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<'a> {
    /// The provider.
    pub(super) upstream: &'a Upstream,
    /// The model in the provider's own words.
    pub(super) model: &'a str,
}

/// Finds the route: an alias first, then `provider/model`, else the default provider.
pub(super) fn route<'a>(config: &'a Config, model: &'a str) -> Option<Route<'a>> {
    let model = config.aliases.get(model).map_or(model, String::as_str);
    if let Some((name, rest)) = model.split_once('/')
        && let Some(upstream) = config.provider(name)
        && !rest.is_empty()
    {
        return Some(Route { upstream, model: rest });
    }
    let upstream = config.providers.get(config.default_provider)?;
    Some(Route { upstream, model })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[track_caller]
    fn check(model: &str, provider: &str, upstream_model: &str) {
        let file = File::parse(
            r#"
            default_provider = "mine"
            [providers.mine]
            base_url = "http://127.0.0.1:1/v1"
            [aliases]
            fast = "groq/llama-3.3-70b-versatile"
            "gpt-4o" = "openrouter/openai/gpt-4o"
            "#,
        )
        .unwrap();
        let config = Config::new(file, None, &|_| None).unwrap();
        let route = route(&config, model).unwrap();
        assert_eq!((route.upstream.name.as_str(), route.model), (provider, upstream_model));
    }

    #[test]
    fn the_first_part_names_the_provider() {
        check("openrouter/anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5");
        check("mine/m", "mine", "m");
    }

    #[test]
    fn a_bare_model_goes_to_the_default() {
        check("llama", "mine", "llama");
        check("meta-llama/llama-3", "mine", "meta-llama/llama-3");
        check("groq/", "mine", "groq/");
    }

    #[test]
    fn an_alias_comes_first() {
        check("fast", "groq", "llama-3.3-70b-versatile");
        check("gpt-4o", "openrouter", "openai/gpt-4o");
    }
}
