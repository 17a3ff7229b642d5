//! How the targets are: a circuit breaker for each, how many answers run, how soon they begin.
//!
//! A target is a provider and a model. [`Health::find`] gives its state, [`Target::admit`] says whether it may
//! be asked, and the [`Load`] of an attempt tells how it went. Instants are arguments, so that the rules can
//! be tested without waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Breaker;

/// How far back the ratio of failures looks.
const WINDOW: Duration = Duration::from_secs(30);
/// In so many parts.
const PARTS: usize = 6;
/// Answers without which the ratio says nothing.
const ENOUGH: u32 = 20;
/// The longest time that a breaker stays open before the next probe.
const COOLDOWN_AT_MOST: Duration = Duration::from_secs(120);
/// The part that the latest answer has in the average time to the first event.
const LATEST: f64 = 0.3;
/// Targets that are known at once, at most: clients choose the names of models.
const TARGETS_AT_MOST: usize = 1024;

/// All targets that were asked.
#[derive(Debug)]
pub(super) struct Health {
    breaker: Breaker,
    targets: Mutex<HashMap<String, Arc<Target>>>,
}

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    breaker: Breaker,
    running: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures_in_a_row: u32,
    /// The outcomes of late: when each part began, answers and failures.
    window: [(Option<Instant>, u32, u32); PARTS],
    /// When it may be probed.
    open_until: Option<Instant>,
    /// How often it opened in a row.
    openings: u32,
    /// A probe is under way.
    probing: bool,
    /// It asked to be left alone until then.
    rests_until: Option<Instant>,
    /// Seconds to the first event, on average.
    first_event: Option<f64>,
}

/// Whether a target may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may.
    Well,
    /// It may, but it asked to be left alone for a while.
    Resting,
    /// It may not, for about so long.
    Broken(Duration),
}

/// What `/readyz?verbose` tells of a target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    /// `closed`, `open` or `half_open`.
    pub(super) state: &'static str,
    pub(super) running: u32,
    pub(super) failures_in_a_row: u32,
    /// Seconds to the first event, on average.
    pub(super) first_event: Option<f64>,
}

impl Health {
    pub(super) fn new(breaker: Breaker) -> Health {
        Health { breaker, targets: Mutex::default() }
    }

    /// The state of a target.
    pub(super) fn find(&self, provider: &str, model: &str) -> Arc<Target> {
        let name = format!("{provider}/{model}");
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(&name) {
            return Arc::clone(target);
        }
        if targets.len() >= TARGETS_AT_MOST {
            targets.retain(|_, target| target.is_remarkable());
        }
        let target = Arc::new(Target::new(self.breaker));
        // If all of them are remarkable, this one is known to its own request alone.
        if targets.len() < TARGETS_AT_MOST {
            targets.insert(name, Arc::clone(&target));
        }
        target
    }

    /// How many targets of each provider are left alone. One that was asked and is well counts nothing.
    pub(super) fn open(&self, now: Instant) -> Vec<(String, i64)> {
        let mut open = BTreeMap::new();
        for (name, report) in self.report(now) {
            let provider = name.split_once('/').map_or(name.as_str(), |(provider, _)| provider);
            *open.entry(provider.to_owned()).or_default() += i64::from(report.state == "open");
        }
        open.into_iter().collect()
    }

    /// All targets by name.
    pub(super) fn report(&self, now: Instant) -> Vec<(String, Report)> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            targets.iter().map(|(name, target)| (name.clone(), target.report(now))).collect();
        drop(targets);
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

impl Target {
    fn new(breaker: Breaker) -> Target {
        Target { breaker, running: AtomicU32::new(0), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if something would be lost by forgetting it.
    fn is_remarkable(&self) -> bool {
        let state = self.state();
        self.running() > 0 || state.failures_in_a_row > 0 || state.open_until.is_some()
    }

    /// How many of its answers run.
    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Seconds to the first event, on average; `None` if nothing is known.
    pub(super) fn first_event(&self) -> Option<f64> {
        self.state().first_event
    }

    /// Whether it may be asked.
    pub(super) fn admit(&self, now: Instant) -> Admission {
        let state = self.state();
        match state.open_until {
            Some(until) if now < until => Admission::Broken(until - now),
            Some(_) if state.probing => Admission::Broken(self.breaker.cooldown),
            Some(_) | None if state.rests_until.is_some_and(|until| now < until) => Admission::Resting,
            Some(_) | None => Admission::Well,
        }
    }

    /// An attempt begins.
    pub(super) fn begin(self: Arc<Self>) -> Load {
        self.running.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let is_probe = state.open_until.is_some() && !state.probing;
        state.probing |= is_probe;
        drop(state);
        Load { target: self, is_probe, is_told: false }
    }

    fn report(&self, now: Instant) -> Report {
        let state = self.state();
        let word = match state.open_until {
            None => "closed",
            Some(until) if now < until => "open",
            Some(_) => "half_open",
        };
        Report {
            state: word,
            running: self.running(),
            failures_in_a_row: state.failures_in_a_row,
            first_event: state.first_event,
        }
    }
}

impl State {
    /// Counts an outcome, and gives the answers and the failures of late.
    fn count(&mut self, now: Instant, failed: bool) -> (u32, u32) {
        let length = WINDOW / PARTS as u32;
        let is_current = |part: &&mut (Option<Instant>, u32, u32)| {
            part.0.is_some_and(|begun| now.saturating_duration_since(begun) < length)
        };
        match self.window.iter_mut().find(is_current) {
            Some(part) => {
                part.1 += 1;
                part.2 += u32::from(failed);
            }
            None => {
                // `None` is the least of all: what was never used goes first.
                if let Some(oldest) = self.window.iter_mut().min_by_key(|part| part.0) {
                    *oldest = (Some(now), 1, u32::from(failed));
                }
            }
        }
        let recent = self
            .window
            .iter()
            .filter(|part| part.0.is_some_and(|begun| now.saturating_duration_since(begun) < WINDOW));
        recent.fold((0, 0), |(all, failures), part| (all + part.1, failures + part.2))
    }
}

/// One attempt at a target, while it runs.
#[derive(Debug)]
pub(super) struct Load {
    target: Arc<Target>,
    is_probe: bool,
    is_told: bool,
}

impl Load {
    /// The first event came, after so long.
    pub(super) fn answered(&mut self, now: Instant, after: Duration) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let mut state = self.target.state();
        state.count(now, false);
        let latest = after.as_secs_f64();
        let average = state.first_event.map_or(latest, |known| known + LATEST * (latest - known));
        state.first_event = Some(average);
        state.failures_in_a_row = 0;
        if self.is_probe {
            self.is_probe = false;
            state.probing = false;
            state.open_until = None;
            state.openings = 0;
            state.window = Default::default();
        }
    }

    /// It failed, before its first event or after.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_told = true;
        let breaker = self.target.breaker;
        let mut state = self.target.state();
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        let (all, failures) = state.count(now, true);
        if breaker.failures == 0 {
            return;
        }
        let is_probe = std::mem::take(&mut self.is_probe);
        let too_many = all >= ENOUGH && f64::from(failures) >= breaker.ratio * f64::from(all);
        let opens = state.open_until.is_none() && (too_many || state.failures_in_a_row >= breaker.failures);
        if is_probe || opens {
            let cooldown = breaker.cooldown.saturating_mul(2_u32.saturating_pow(state.openings));
            state.openings = state.openings.saturating_add(1);
            state.open_until = Some(now + cooldown.min(COOLDOWN_AT_MOST));
            state.probing &= !is_probe;
        }
    }

    /// The target wants to be left alone for so long.
    pub(super) fn rest(&self, now: Instant, time: Duration) {
        self.target.state().rests_until = Some(now + time.min(COOLDOWN_AT_MOST));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.target.running.fetch_sub(1, Ordering::Relaxed);
        if self.is_probe {
            // It was given up before anything was known: the next request probes.
            self.target.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(failures: u32) -> Arc<Target> {
        Arc::new(Target::new(Breaker { failures, cooldown: SECOND, ..Breaker::default() }))
    }

    fn fail(target: &Arc<Target>, now: Instant) {
        Arc::clone(target).begin().failed(now);
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let (target, now) = (target(3), Instant::now());
        fail(&target, now);
        fail(&target, now);
        assert_eq!(target.admit(now), Admission::Well);
        fail(&target, now);
        assert_eq!(target.admit(now), Admission::Broken(SECOND));
        let later = now + SECOND;
        assert_eq!(target.admit(later), Admission::Well);
        let mut probe = Arc::clone(&target).begin();
        assert_eq!(target.admit(later), Admission::Broken(SECOND), "one probe at a time");
        probe.answered(later, SECOND);
        assert_eq!(target.admit(later), Admission::Well);
        assert_eq!(target.report(later).state, "closed");
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_twice_as_long() {
        let (target, now) = (target(1), Instant::now());
        fail(&target, now);
        let later = now + SECOND;
        fail(&target, later);
        assert_eq!(target.admit(later), Admission::Broken(2 * SECOND));
        let mut much_later = later;
        for _ in 0..20 {
            much_later += COOLDOWN_AT_MOST;
            fail(&target, much_later);
        }
        assert_eq!(target.admit(much_later), Admission::Broken(COOLDOWN_AT_MOST));
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_room_for_the_next() {
        let (target, now) = (target(1), Instant::now());
        fail(&target, now);
        let later = now + SECOND;
        drop(Arc::clone(&target).begin());
        assert_eq!(target.admit(later), Admission::Well);
    }

    #[test]
    fn a_high_ratio_of_failures_opens_it_but_an_old_one_does_not() {
        let (target, mut now) = (target(1000), Instant::now());
        for round in 0..19 {
            let mut load = Arc::clone(&target).begin();
            if round % 2 == 0 { load.failed(now) } else { load.answered(now, SECOND) }
        }
        assert_eq!(target.admit(now), Admission::Well);
        now += WINDOW;
        fail(&target, now);
        assert_eq!(target.admit(now), Admission::Well, "the others are old");
        for _ in 0..19 {
            fail(&target, now);
        }
        assert!(matches!(target.admit(now), Admission::Broken(_)));
    }

    #[test]
    fn it_can_be_switched_off() {
        let (target, now) = (target(0), Instant::now());
        (0..100).for_each(|_| fail(&target, now));
        assert_eq!(target.admit(now), Admission::Well);
    }

    #[test]
    fn running_answers_and_their_first_events_are_known() {
        let (target, now) = (target(3), Instant::now());
        let mut one = Arc::clone(&target).begin();
        let other = Arc::clone(&target).begin();
        assert_eq!(target.running(), 2);
        one.answered(now, SECOND);
        one.answered(now, 100 * SECOND);
        assert_eq!(target.first_event(), Some(1.0));
        other.rest(now, SECOND);
        assert_eq!(target.admit(now), Admission::Resting);
        assert_eq!(target.admit(now + SECOND), Admission::Well);
        drop((one, other));
        assert_eq!(target.running(), 0);
    }

    #[test]
    fn names_that_clients_invent_do_not_fill_it() {
        let health = Health::new(Breaker::default());
        let held = health.find("mine", "held");
        let load = Arc::clone(&held).begin();
        for number in 0..3 * TARGETS_AT_MOST {
            health.find("mine", &number.to_string());
        }
        assert!(health.report(Instant::now()).len() <= TARGETS_AT_MOST);
        assert!(Arc::ptr_eq(&held, &health.find("mine", "held")));
        drop(load);
    }
}
