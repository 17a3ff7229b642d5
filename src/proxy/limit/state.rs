//! Who has how many places, and what was asked of late: the rules, without waiting.
//!
//! A request needs three places: one among all answers, one of its client key's, if it has one, and one of a
//! provider's. It gets all of them or none. Instants are arguments, so that the rules can be tested without
//! waiting.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use crate::config::KeyLimits;
use crate::error::{Excess, Limit, Limited};

/// What clients are told to wait for a place: nobody knows when an answer ends.
const SOON: Duration = Duration::from_secs(1);

/// A provider or a client key, and what it is limited to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) limits: KeyLimits,
}

/// What one request wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// How many answers there may be in total.
    pub(crate) streams: u32,
    /// Whose request it is.
    pub(crate) key: Option<Party>,
    /// Who may be asked, the first one first; never empty.
    pub(crate) providers: Vec<Party>,
    /// The tokens that it is expected to cost.
    pub(crate) tokens: u64,
}

/// What is under way, and what was of late.
#[derive(Debug, Default)]
pub(super) struct State {
    running: u32,
    keys: HashMap<String, Usage>,
    providers: HashMap<String, Usage>,
}

/// What one party uses.
#[derive(Debug, Default)]
struct Usage {
    running: u32,
    requests: Bucket,
    tokens: Bucket,
}

impl Usage {
    /// What stands in the way of one more request, and for how long; rates come first, as no place helps there.
    fn check(&mut self, limits: KeyLimits, tokens: u64, now: Instant) -> Result<(), (Excess, Duration)> {
        if let Some(figure) = limits.requests_per_minute {
            let wait = self.requests.wait(1.0, figure, now);
            if !wait.is_zero() {
                return Err((Excess::Requests, wait));
            }
        }
        if let Some(figure) = limits.tokens_per_minute {
            let wait = self.tokens.wait(tokens as f64, figure, now);
            if !wait.is_zero() {
                return Err((Excess::Tokens, wait));
            }
        }
        match limits.streams {
            Some(streams) if self.running >= streams => Err((Excess::Streams, SOON)),
            Some(_) | None => Ok(()),
        }
    }

    fn begin(&mut self, tokens: u64) {
        self.running += 1;
        self.requests.take(1.0);
        self.tokens.take(tokens as f64);
    }

    /// One answer ended. `correction` is what it took of the tokens beyond what was expected.
    /// `asked` if it began.
    fn end(&mut self, asked: bool, correction: f64) {
        self.running = self.running.saturating_sub(1);
        self.tokens.take(correction);
        if !asked {
            self.requests.take(-1.0);
        }
    }
}

impl State {
    /// Answers under way.
    pub(super) fn running(&self) -> u32 {
        self.running
    }

    /// Takes the places for a request, and tells by its index which provider they are for; or tells what stands
    /// in the way.
    pub(super) fn begin(&mut self, wanted: &Wanted, now: Instant) -> Result<usize, Limited> {
        // What waiting for a place would not mend comes first.
        let key = match &wanted.key {
            Some(key) => self.check_key(key, wanted.tokens, now).err(),
            None => None,
        };
        if let Some(limited) = key.clone().filter(|limited| !limited.may_wait()) {
            return Err(limited);
        }
        let provider = self.choose(&wanted.providers, wanted.tokens, now)?;
        if self.running >= wanted.streams {
            return Err(Limited { limit: Limit::Total, excess: Excess::Streams, retry_after: SOON });
        }
        if let Some(limited) = key {
            return Err(limited);
        }
        self.running += 1;
        if let Some(key) = &wanted.key {
            usage(&mut self.keys, &key.name).begin(wanted.tokens);
        }
        if let Some(chosen) = wanted.providers.get(provider) {
            usage(&mut self.providers, &chosen.name).begin(wanted.tokens);
        }
        Ok(provider)
    }

    /// The first provider that has room. If none has, one whose places are taken is waited for before one that
    /// was asked too often, and of those the one that has room the soonest is told.
    fn choose(&mut self, providers: &[Party], tokens: u64, now: Instant) -> Result<usize, Limited> {
        let mut best: Option<Limited> = None;
        for (at, party) in providers.iter().enumerate() {
            let Err(limited) = self.check_provider(party, tokens, now) else { return Ok(at) };
            let order = |limited: &Limited| (!limited.may_wait(), limited.retry_after);
            if best.as_ref().is_none_or(|best| order(&limited) < order(best)) {
                best = Some(limited);
            }
        }
        // Nobody to ask is no excess: whoever wants to ask finds out.
        best.map_or(Ok(0), Err)
    }

    fn check_key(&mut self, key: &Party, tokens: u64, now: Instant) -> Result<(), Limited> {
        let checked = usage(&mut self.keys, &key.name).check(key.limits, tokens, now);
        checked.map_err(|(excess, retry_after)| Limited { limit: Limit::Key, excess, retry_after })
    }

    fn check_provider(&mut self, party: &Party, tokens: u64, now: Instant) -> Result<(), Limited> {
        let checked = usage(&mut self.providers, &party.name).check(party.limits, tokens, now);
        checked.map_err(|(excess, retry_after)| Limited {
            limit: Limit::Provider(party.name.clone()),
            excess,
            retry_after,
        })
    }

    /// Takes a place of another provider for an answer that has its others.
    pub(super) fn ask(&mut self, party: &Party, tokens: u64, now: Instant) -> Result<(), Limited> {
        self.check_provider(party, tokens, now)?;
        usage(&mut self.providers, &party.name).begin(tokens);
        Ok(())
    }

    /// Counts a request of a key's that is no answer, and takes no place.
    pub(super) fn pass(&mut self, key: &Party, now: Instant) -> Result<(), Limited> {
        let limits = KeyLimits { streams: None, tokens_per_minute: None, ..key.limits };
        self.check_key(&Party { name: key.name.clone(), limits }, 0, now)?;
        usage(&mut self.keys, &key.name).requests.take(1.0);
        Ok(())
    }

    /// Asks a provider once more, from the place that the answer has there.
    pub(super) fn ask_again(&mut self, party: &Party, now: Instant) -> Result<(), Limited> {
        let limits = KeyLimits { streams: None, tokens_per_minute: None, ..party.limits };
        self.check_provider(&Party { name: party.name.clone(), limits }, 0, now)?;
        usage(&mut self.providers, &party.name).requests.take(1.0);
        Ok(())
    }

    /// Gives a place of a provider's back; `asked` if it was used.
    pub(super) fn leave(&mut self, provider: &str, asked: bool, correction: f64) {
        usage(&mut self.providers, provider).end(asked, correction);
    }

    /// Gives an answer's other places back; `asked` if anybody was.
    pub(super) fn end(&mut self, key: Option<&str>, asked: bool, correction: f64) {
        self.running = self.running.saturating_sub(1);
        if let Some(key) = key {
            usage(&mut self.keys, key).end(asked, correction);
        }
    }
}

/// What a party uses; the names are the config's, so there are not many.
fn usage<'a>(all: &'a mut HashMap<String, Usage>, name: &str) -> &'a mut Usage {
    all.entry(name.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn party(name: &str, streams: u32, requests: u32, tokens: u32) -> Party {
        let some = |figure: u32| Some(figure).filter(|figure| *figure > 0);
        let limits = KeyLimits {
            streams: some(streams),
            requests_per_minute: some(requests),
            tokens_per_minute: some(tokens),
        };
        Party { name: name.to_owned(), limits }
    }

    fn wanted(key: Option<Party>, providers: Vec<Party>) -> Wanted {
        Wanted { streams: 100, key, providers, tokens: 10 }
    }

    /// What stands in the way, in short.
    fn told(result: Result<usize, Limited>) -> (&'static str, &'static str, Duration) {
        let Limited { limit, excess, retry_after } = result.unwrap_err();
        (limit.as_str(), excess.as_str(), retry_after)
    }

    #[test]
    fn places_are_given_out_and_back() {
        let (mut state, now) = (State::default(), Instant::now());
        let wanted = Wanted { streams: 2, ..wanted(None, vec![party("p", 0, 0, 0)]) };
        assert_eq!(state.begin(&wanted, now).unwrap(), 0);
        assert_eq!(state.begin(&wanted, now).unwrap(), 0);
        assert_eq!(told(state.begin(&wanted, now)), ("total", "streams", SOON));
        state.leave("p", true, 0.0);
        state.end(None, true, 0.0);
        assert_eq!(state.running(), 1);
        assert_eq!(state.begin(&wanted, now).unwrap(), 0);
    }

    #[test]
    fn a_provider_at_its_limit_is_skipped_for_the_next_one() {
        let (mut state, now) = (State::default(), Instant::now());
        let wanted = wanted(None, vec![party("one", 1, 0, 0), party("other", 0, 2, 0)]);
        let begun: Vec<usize> = (0..3).map(|_| state.begin(&wanted, now).unwrap()).collect();
        assert_eq!(begun, [0, 1, 1]);
        // A place may become free at any time; the rate is known.
        assert_eq!(told(state.begin(&wanted, now)), ("provider", "streams", SOON));
        state.leave("one", true, 0.0);
        assert_eq!(state.begin(&wanted, now).unwrap(), 0);
    }

    #[test]
    fn nobody_waits_for_a_rate() {
        let (mut state, now) = (State::default(), Instant::now());
        let wanted = wanted(None, vec![party("slow", 0, 1, 0), party("faster", 0, 2, 0)]);
        for _ in 0..3 {
            state.begin(&wanted, now).unwrap();
        }
        let limited = state.begin(&wanted, now).unwrap_err();
        assert!(!limited.may_wait());
        assert_eq!(told(Err(limited)), ("provider", "requests", 30 * SECOND), "the sooner of both");
        assert_eq!(state.begin(&wanted, now + 30 * SECOND).unwrap(), 1);
    }

    #[test]
    fn a_key_has_limits_of_its_own() {
        let (mut state, now) = (State::default(), Instant::now());
        let of = |name: &str| wanted(Some(party(name, 1, 0, 60)), vec![party("p", 0, 0, 0)]);
        state.begin(&of("a"), now).unwrap();
        assert_eq!(told(state.begin(&of("a"), now)), ("key", "streams", SOON));
        state.begin(&of("b"), now).unwrap();
        assert_eq!(state.running(), 2, "who was refused took nothing");
        // It was dearer than expected: 10 were reserved, 70 are 10 more than the minute's worth.
        state.end(Some("a"), true, 60.0);
        assert_eq!(told(state.begin(&of("a"), now)), ("key", "tokens", 20 * SECOND));
        state.begin(&of("a"), now + 20 * SECOND).unwrap();
    }

    #[test]
    fn what_was_expected_and_not_used_is_given_back() {
        let (mut state, now) = (State::default(), Instant::now());
        let party = party("p", 0, 0, 60);
        let wanted = Wanted { tokens: 60, ..wanted(None, vec![party.clone()]) };
        state.begin(&wanted, now).unwrap();
        assert_eq!(told(state.begin(&wanted, now)), ("provider", "tokens", 60 * SECOND));
        state.leave("p", true, -60.0);
        state.ask(&party, 60, now).unwrap();
    }

    #[test]
    fn a_retry_is_a_request_and_keeps_its_place() {
        let (mut state, now) = (State::default(), Instant::now());
        let party = party("p", 1, 2, 0);
        state.begin(&wanted(None, vec![party.clone()]), now).unwrap();
        state.ask_again(&party, now).unwrap();
        assert_eq!(told(state.ask_again(&party, now).map(|()| 0)), ("provider", "requests", 30 * SECOND));
        // A place that nobody was asked from costs no request.
        let mut state = State::default();
        state.begin(&wanted(None, vec![party.clone()]), now).unwrap();
        state.leave("p", false, 0.0);
        state.begin(&wanted(None, vec![party.clone()]), now).unwrap();
        state.ask_again(&party, now).unwrap();
    }
}
