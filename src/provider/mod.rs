//! Providers: a table of rows, one small file each.
//!
//! A row says where a provider is, in which environment variable its key usually stands, and which
//! dialects it speaks. What is odd about it are fields of the dialect's value.

mod anthropic;
mod azure;
mod baseten;
mod bedrock;
mod cerebras;
mod cloudflare;
mod cohere;
mod copilot;
mod databricks;
mod deepinfra;
mod deepseek;
mod fireworks;
mod github;
mod google;
mod groq;
mod huggingface;
mod hyperbolic;
mod litellm;
mod llamacpp;
mod lmstudio;
mod minimax;
mod mistral;
mod moonshot;
mod nebius;
mod novita;
mod nvidia;
mod ollama;
mod openai;
mod openrouter;
mod perplexity;
mod qwen;
mod sambanova;
mod sglang;
mod siliconflow;
mod together;
mod venice;
mod vercel;
mod vertex;
mod vllm;
mod xai;
mod zhipu;

use crate::dialect::AnyDialect;
pub use crate::dialect::Auth;

/// A provider that millpond knows.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The name before the first `/` of a model.
    pub name: &'static str,
    /// The environment variables that hold a key, the first that is set counts. Empty: none is needed.
    pub key_env: &'static [&'static str],
    /// The provider is usually a server of one's own, which needs no key: it is set up by saying where it is.
    pub is_local: bool,
    /// How the key is sent, unless the dialect has a way of its own.
    pub auth: Auth,
    /// One entry per dialect that it speaks; the first is its default.
    pub dialects: &'static [Entry],
}

/// One dialect of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where it is spoken. `${NAME}` stands for an environment variable, `${NAME:-text}` for one with a
    /// default.
    pub base_url: &'static str,
    /// The dialect with the provider's quirks.
    pub dialect: AnyDialect,
}

impl Provider {
    const PLAIN: Provider =
        Provider { name: "", key_env: &[], is_local: false, auth: Auth::Bearer, dialects: &[] };

    /// The row of that name.
    pub fn find(name: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// Its entry for the dialect of that name.
    pub fn entry(&self, dialect: &str) -> Option<&'static Entry> {
        self.dialects.iter().find(|entry| entry.dialect.name() == dialect)
    }
}

/// Every provider that millpond knows; the order is that of `/v1/models` and of messages.
pub const PROVIDERS: &[Provider] = &[
    openrouter::PROVIDER,
    openai::PROVIDER,
    anthropic::PROVIDER,
    azure::PROVIDER,
    bedrock::PROVIDER,
    deepseek::PROVIDER,
    groq::PROVIDER,
    mistral::PROVIDER,
    cohere::PROVIDER,
    xai::PROVIDER,
    together::PROVIDER,
    fireworks::PROVIDER,
    cerebras::PROVIDER,
    perplexity::PROVIDER,
    qwen::PROVIDER,
    zhipu::PROVIDER,
    moonshot::PROVIDER,
    minimax::PROVIDER,
    baseten::PROVIDER,
    huggingface::PROVIDER,
    nvidia::PROVIDER,
    sambanova::PROVIDER,
    deepinfra::PROVIDER,
    hyperbolic::PROVIDER,
    novita::PROVIDER,
    nebius::PROVIDER,
    siliconflow::PROVIDER,
    vercel::PROVIDER,
    cloudflare::PROVIDER,
    github::PROVIDER,
    google::PROVIDER,
    vertex::PROVIDER,
    copilot::PROVIDER,
    venice::PROVIDER,
    databricks::PROVIDER,
    ollama::PROVIDER,
    vllm::PROVIDER,
    sglang::PROVIDER,
    llamacpp::PROVIDER,
    lmstudio::PROVIDER,
    litellm::PROVIDER,
];

/// Fills the environment variables into a base URL; `Err` names the one that is not set.
pub fn expand(template: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        url.push_str(before);
        let Some((variable, after)) = after.split_once('}') else { break };
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        let value = env(name).filter(|value| !value.is_empty());
        match value.as_deref().or(default) {
            Some(value) => url.push_str(value.trim_end_matches('/')),
            None => return Err(name.to_owned()),
        }
        rest = after;
    }
    url.push_str(rest);
    if !url.contains("://") {
        // `OLLAMA_HOST` is usually a host and a port.
        url.insert_str(0, "http://");
    }
    Ok(url)
}

/// The environment variables that a base URL needs or takes.
pub fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split("${").skip(1).filter_map(|rest| {
        let variable = rest.split_once('}')?.0;
        Some(variable.split_once(":-").map_or(variable, |(name, _)| name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("box:1/".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_fill_a_base_url() {
        assert_eq!(expand("${HOST}/v1", &env).as_deref(), Ok("http://box:1/v1"));
        assert_eq!(expand("${EMPTY:-https://a}/v1", &env).as_deref(), Ok("https://a/v1"));
        assert_eq!(expand("https://x/${MISSING}/v1", &env), Err("MISSING".to_owned()));
        assert_eq!(variables("https://${A}/${B:-c}").collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn every_row_can_be_used() {
        let set = |_: &str| Some("https://host.example".to_owned());
        for provider in PROVIDERS {
            assert!(!provider.dialects.is_empty(), "{}", provider.name);
            for entry in provider.dialects {
                let url = expand(entry.base_url, &set).unwrap();
                assert!(url::Url::parse(&url).is_ok(), "{}: {url}", provider.name);
            }
            assert_eq!(PROVIDERS.iter().filter(|other| other.name == provider.name).count(), 1);
        }
    }
}
