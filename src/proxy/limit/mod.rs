//! Who may be answered now: places that are given out and given back, and the queue for them.
//!
//! [`Limiter::admit`] gives a request its [`Place`], at once or after a wait, or says what stands in the way. The
//! place is given back when it is dropped, however the answer ended, and goes to whoever waits first and can use
//! it. `state` has the rules, `bucket` the rates, `shared` those that several processes count together. The figures come with each request, so that another config
//! changes them and forgets nothing of what is under way.

mod bucket;
mod shared;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use shared::Store;
use shared::{Charge, Of};
use state::State;
pub(super) use state::{Party, Wanted};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::config::Traffic;
use crate::error::{Excess, Limit, Limited};
use crate::telemetry::Telemetry;

/// What all requests of the process share.
pub(super) struct Limiter {
    inner: Mutex<Inner>,
    store: Option<Store>,
    telemetry: Telemetry,
}

#[derive(Default)]
struct Inner {
    state: State,
    /// Who waits, by the order in which they came.
    queue: BTreeMap<u64, Waiter>,
    next_ticket: u64,
}

/// A request that waits for a place.
struct Waiter {
    wanted: Wanted,
    tell: oneshot::Sender<Result<Place, Limited>>,
}

/// The places of one answer.
pub(super) struct Place {
    limiter: Arc<Limiter>,
    key: Option<Party>,
    provider: Option<Held>,
    /// The tokens that were expected.
    expected: u64,
    /// Those that it took, once they are known.
    used: Option<u64>,
    /// Who has no room elsewhere.
    refused: Vec<Limited>,
    /// It is counted elsewhere too.
    is_shared: bool,
}

/// A place of a provider's.
struct Held {
    party: Party,
    /// It was used for a request.
    asked: bool,
}

/// A ticket of the queue, for as long as somebody waits with it.
struct Ticket<'a> {
    limiter: &'a Limiter,
    number: u64,
}

impl Limiter {
    pub(super) fn new(telemetry: Telemetry, store: Option<Store>) -> Arc<Limiter> {
        Arc::new(Limiter { inner: Mutex::default(), store, telemetry })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked with it left at worst a wrong count.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request its places. It waits for them while answers that end can make room.
    pub(super) async fn admit(
        self: &Arc<Self>,
        mut wanted: Wanted,
        traffic: Traffic,
    ) -> Result<Place, Limited> {
        let Some(store) = &self.store else { return self.wait(wanted, traffic).await };
        let mut refused = Vec::new();
        loop {
            let mut place = self.wait(wanted.clone(), traffic).await?;
            let charges = place.charges(1.0, place.expected as f64);
            let (charge, retry_after) = match store.take(&charges).await {
                Some(Err((at, retry_after))) => (charges.get(at), retry_after),
                taken => {
                    place.is_shared = taken.is_some();
                    place.refused = refused;
                    return Ok(place);
                }
            };
            let excess = charge.map_or(Excess::Requests, |charge| charge.excess);
            let provider = place.provider.as_ref().map(|held| held.party.name.clone());
            match provider {
                Some(name) if charge.is_some_and(|charge| charge.of == Of::Provider) => {
                    wanted.providers.retain(|party| party.name != name);
                    let limited = Limited { limit: Limit::Provider(name), excess, retry_after };
                    if wanted.providers.is_empty() {
                        return Err(limited);
                    }
                    refused.push(limited);
                }
                Some(_) | None => return Err(Limited { limit: Limit::Key, excess, retry_after }),
            }
        }
    }

    /// Lets a request pass that takes no place: it counts as one of its key's. What is refused elsewhere stays
    /// counted here.
    pub(super) async fn pass(&self, key: &Party) -> Result<(), Limited> {
        self.lock().state.pass(key, Instant::now())?;
        let Some(store) = &self.store else { return Ok(()) };
        let charges: Vec<Charge> = Charge::all(Of::Key, key, 1.0, 0.0).collect();
        match store.take(&charges).await {
            Some(Err((_, retry_after))) => {
                Err(Limited { limit: Limit::Key, excess: Excess::Requests, retry_after })
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// The places in this process.
    async fn wait(
        self: &Arc<Self>,
        wanted: Wanted,
        Traffic { queue, queue_timeout, .. }: Traffic,
    ) -> Result<Place, Limited> {
        let now = Instant::now();
        let (told, ticket, limited) = {
            let mut inner = self.lock();
            let limited = match inner.state.begin(&wanted, now) {
                Ok(at) => return Ok(self.place(wanted, at)),
                Err(limited) if !limited.may_wait() => return Err(limited),
                Err(limited) => limited,
            };
            if inner.queue.len() >= queue {
                return Err(Limited { excess: Excess::Queue, ..limited });
            }
            let (tell, told) = oneshot::channel();
            let number = inner.next_ticket;
            inner.next_ticket += 1;
            inner.queue.insert(number, Waiter { wanted, tell });
            (told, Ticket { limiter: self, number }, limited)
        };
        self.telemetry.waiting(1);
        let told = timeout_at(now + queue_timeout, told).await;
        drop(ticket);
        // The other end is dropped only with the limiter itself.
        told.ok().and_then(Result::ok).unwrap_or(Err(limited))
    }

    fn place(self: &Arc<Self>, wanted: Wanted, at: usize) -> Place {
        let provider = wanted.providers.into_iter().nth(at).map(|party| Held { party, asked: false });
        Place {
            limiter: Arc::clone(self),
            key: wanted.key,
            provider,
            expected: wanted.tokens,
            used: None,
            refused: Vec::new(),
            is_shared: false,
        }
    }

    /// Answers under way, and requests that wait.
    pub(super) fn figures(&self) -> (u32, usize) {
        let inner = self.lock();
        (inner.state.running(), inner.queue.len())
    }

    /// Counts elsewhere what was taken here.
    fn count(self: &Arc<Self>, charges: Vec<Charge>) {
        // Without a runtime the process is ending.
        let (Some(_), Ok(runtime)) = (&self.store, Handle::try_current()) else { return };
        if charges.is_empty() {
            return;
        }
        let limiter = Arc::clone(self);
        runtime.spawn(async move {
            if let Some(store) = &limiter.store {
                store.count(&charges).await;
            }
        });
    }

    /// Changes what is under way, and lets those in who have room then.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> T {
        let mut inner = self.lock();
        let changed = change(&mut inner.state);
        let told = inner.let_in(Instant::now());
        drop(inner);
        for (Waiter { wanted, tell }, outcome) in told {
            // If nobody waits any more, the place comes back, and goes to the next.
            let _ = tell.send(outcome.map(|at| self.place(wanted, at)));
        }
        changed
    }
}

impl Inner {
    /// Takes those out of the queue who need not wait any more, the first ones first.
    fn let_in(&mut self, now: Instant) -> Vec<(Waiter, Result<usize, Limited>)> {
        let mut told = Vec::new();
        for (number, waiter) in &self.queue {
            match self.state.begin(&waiter.wanted, now) {
                // Whoever comes later needs a place among all answers too.
                Err(Limited { limit: Limit::Total, .. }) => break,
                Err(limited) if limited.may_wait() => {}
                outcome => told.push((*number, outcome)),
            }
        }
        told.into_iter()
            .filter_map(|(number, outcome)| Some((self.queue.remove(&number)?, outcome)))
            .collect()
    }
}

impl Place {
    /// Makes it a place of that provider's, who is to be asked now.
    pub(super) fn ask(&mut self, party: &Party) -> Result<(), Limited> {
        let now = Instant::now();
        let limiter = Arc::clone(&self.limiter);
        let is_it = |limited: &&Limited| limited.limit == Limit::Provider(party.name.clone());
        if let Some(limited) = self.refused.iter().find(is_it) {
            return Err(limited.clone());
        }
        let expected = self.expected as f64;
        let mut charges = Vec::new();
        match &mut self.provider {
            Some(held) if held.party.name == party.name => {
                if held.asked {
                    limiter.lock().state.ask_again(party, now)?;
                    charges.extend(Charge::all(Of::Provider, party, 1.0, 0.0));
                }
                held.asked = true;
            }
            held => {
                let before = held.as_ref();
                limiter.change(|state| {
                    state.ask(party, self.expected, now)?;
                    if let Some(Held { party, asked }) = before {
                        // Nothing came of it that would have cost tokens.
                        state.leave(&party.name, *asked, -expected);
                    }
                    Ok(())
                })?;
                charges.extend(Charge::all(Of::Provider, party, 1.0, expected));
                if let Some(Held { party, asked }) = before {
                    let requests = if *asked { 0.0 } else { -1.0 };
                    charges.extend(Charge::all(Of::Provider, party, requests, -expected));
                }
                *held = Some(Held { party: party.clone(), asked: true });
            }
        }
        if self.is_shared {
            limiter.count(charges);
        }
        Ok(())
    }

    /// What is taken for it from all its buckets.
    fn charges(&self, requests: f64, tokens: f64) -> Vec<Charge> {
        let key = self.key.iter().flat_map(|key| Charge::all(Of::Key, key, requests, tokens));
        let held = self.provider.iter();
        key.chain(held.flat_map(|held| Charge::all(Of::Provider, &held.party, requests, tokens))).collect()
    }

    /// Tells what the answer took; else it is taken to be what was expected.
    pub(super) fn settle(&mut self, tokens: u64) {
        self.used = Some(tokens);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let asked = self.provider.as_ref().is_some_and(|held| held.asked);
        let used = if asked { self.used } else { Some(0) };
        let correction = used.map_or(0.0, |used| used as f64 - self.expected as f64);
        self.limiter.change(|state| {
            if let Some(Held { party, .. }) = &self.provider {
                state.leave(&party.name, asked, correction);
            }
            state.end(self.key.as_ref().map(|key| key.name.as_str()), asked, correction);
        });
        if self.is_shared {
            self.limiter.count(self.charges(if asked { 0.0 } else { -1.0 }, correction));
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.limiter.lock().queue.remove(&self.number);
        self.limiter.telemetry.waiting(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::config::KeyLimits;
    use crate::telemetry::Settings;

    const PATIENT: Traffic = Traffic {
        streams: 1,
        queue: 2,
        queue_timeout: Duration::from_secs(20),
        per_key: KeyLimits { streams: None, requests_per_minute: None, tokens_per_minute: None },
    };

    fn limiter() -> Arc<Limiter> {
        Limiter::new(Telemetry::start(Settings::default(), HashSet::new()).unwrap(), None)
    }

    fn party(name: &str, streams: u32) -> Party {
        let limits = KeyLimits { streams: Some(streams), ..KeyLimits::default() };
        Party { name: name.to_owned(), limits }
    }

    fn wanted(provider: &str) -> Wanted {
        Wanted { streams: 1, key: None, providers: vec![party(provider, 10)], tokens: 0 }
    }

    /// Waits until so many wait.
    async fn waiting(limiter: &Limiter, count: usize) {
        while limiter.figures().1 != count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn those_who_wait_go_in_in_their_order() {
        let limiter = limiter();
        let first = limiter.admit(wanted("p"), PATIENT).await.ok().unwrap();
        let wait = |name: &'static str| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.admit(wanted(name), PATIENT).await.ok().unwrap() })
        };
        let second = wait("p");
        waiting(&limiter, 1).await;
        let third = wait("q");
        waiting(&limiter, 2).await;
        let full = limiter.admit(wanted("p"), PATIENT).await.err().unwrap();
        assert_eq!((full.limit, full.excess), (Limit::Total, Excess::Queue));
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(limiter.figures(), (1, 1));
        drop(second);
        drop(third.await.unwrap());
        assert_eq!(limiter.figures(), (0, 0));
    }

    #[tokio::test]
    async fn whoever_left_gets_no_place_and_loses_none() {
        let limiter = limiter();
        let first = limiter.admit(wanted("p"), PATIENT).await.ok().unwrap();
        let gone = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.admit(wanted("p"), PATIENT).await.map(drop) }
        });
        waiting(&limiter, 1).await;
        gone.abort();
        waiting(&limiter, 0).await;
        // One was told that it may go in, and left before it heard of it.
        let (tell, told) = oneshot::channel();
        limiter.lock().queue.insert(7, Waiter { wanted: wanted("p"), tell });
        drop(told);
        drop(first);
        assert_eq!(limiter.figures(), (0, 0));
    }

    #[tokio::test]
    async fn a_wait_has_an_end() {
        let limiter = limiter();
        let _first = limiter.admit(wanted("p"), PATIENT).await.ok().unwrap();
        let hasty = Traffic { queue_timeout: Duration::from_millis(20), ..PATIENT };
        let begun = Instant::now();
        let limited = limiter.admit(wanted("p"), hasty).await.err().unwrap();
        assert_eq!((limited.limit, limited.excess), (Limit::Total, Excess::Streams));
        assert!(begun.elapsed() >= hasty.queue_timeout);
        assert_eq!(limiter.figures(), (1, 0));
    }

    #[tokio::test]
    async fn who_waits_for_one_provider_keeps_nobody_from_another() {
        let limiter = limiter();
        let of = |name: &str| Wanted { streams: 9, ..wanted(name) };
        let busy = |name: &str| Wanted { providers: vec![party(name, 1)], ..of(name) };
        let first = limiter.admit(busy("p"), PATIENT).await.ok().unwrap();
        let second = tokio::spawn({
            let (limiter, wanted) = (Arc::clone(&limiter), busy("p"));
            async move { limiter.admit(wanted, PATIENT).await.ok().unwrap() }
        });
        waiting(&limiter, 1).await;
        let mut other = limiter.admit(of("q"), PATIENT).await.ok().unwrap();
        assert!(other.ask(&party("p", 1)).is_err());
        other.ask(&party("q", 1)).unwrap();
        drop(first);
        let mut second = second.await.unwrap();
        // It goes elsewhere after all: its place is free again.
        second.ask(&party("q", 2)).unwrap();
        other.ask(&party("p", 1)).unwrap();
        drop((second, other));
        assert_eq!(limiter.figures(), (0, 0));
    }

    #[tokio::test]
    async fn a_panic_gives_the_place_back() {
        let limiter = limiter();
        let place = limiter.admit(wanted("p"), PATIENT).await.ok().unwrap();
        let task = tokio::spawn(async move {
            let _place = place;
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(limiter.figures(), (0, 0));
    }
}
