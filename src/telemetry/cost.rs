//! What an answer cost: as the provider says, else as the configured prices give it.

use super::settings::{Price, Settings};
use crate::event::Usage;

const MILLION: f64 = 1e6;

/// The cost in US dollars, if it is known.
pub(super) fn cost(usage: &Usage, provider: &str, model: &str, settings: &Settings) -> Option<f64> {
    if let Some(cost) = usage.cost() {
        return Some(cost);
    }
    if settings.prices.is_empty() {
        return None;
    }
    let price = settings.prices.get(&format!("{provider}/{model}"))?;
    Some(by_price(usage.prompt?, usage.completion?, usage, price))
}

fn by_price(prompt: u64, completion: u64, usage: &Usage, price: &Price) -> f64 {
    let read = usage.cached().unwrap_or(0).min(prompt);
    let written = usage.cache_written().unwrap_or(0).min(prompt - read);
    let plain = prompt - read - written;
    let sum = plain as f64 * price.input
        + read as f64 * price.cache_read.unwrap_or(price.input)
        + written as f64 * price.cache_write.unwrap_or(price.input)
        + completion as f64 * price.output;
    sum / MILLION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(usage: &str, expect: Option<f64>) {
        let price = Price { input: 2.0, output: 10.0, cache_read: Some(0.5), cache_write: None };
        let settings = Settings { prices: [("p/m".to_owned(), price)].into(), ..Settings::default() };
        let usage = Usage::read(usage).unwrap();
        let found = cost(&usage, "p", "m", &settings);
        assert!(
            match (found, expect) {
                (Some(found), Some(expect)) => (found - expect).abs() < 1e-12,
                (found, expect) => found == expect,
            },
            "{found:?}"
        );
        assert_eq!(cost(&usage, "p", "other", &settings).is_some(), usage.cost().is_some());
    }

    #[test]
    fn cached_tokens_have_a_price_of_their_own() {
        check(
            r#"{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400}}"#,
            Some((600.0 * 2.0 + 400.0 * 0.5 + 100.0 * 10.0) / 1e6),
        );
    }

    #[test]
    fn the_provider_knows_better() {
        check(r#"{"prompt_tokens":1000,"completion_tokens":100,"cost":0.25}"#, Some(0.25));
        check(r#"{"prompt_tokens":1000,"completion_tokens":100,"cost":0}"#, Some(0.0));
    }

    #[test]
    fn without_counts_there_is_no_cost() {
        check(r#"{"prompt_tokens":1000}"#, None);
    }
}
