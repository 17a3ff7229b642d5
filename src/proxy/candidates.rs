//! Whom one request may be sent to: in which order, and who is next when an attempt fails.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Current;
use super::health::{Admission, Target as TargetHealth};
use super::limit::{Party, Wanted};
use super::retry::{self, Verdict, verdict};
use super::route::{RouteTarget, route};
use crate::config::{Choose, Config, Upstream};
use crate::error::Error;
use crate::event::Fault;

/// Whom one request may be sent to.
pub(super) struct Candidates {
    /// In the order in which they are asked; never empty.
    list: Vec<Candidate>,
    /// The one that was asked last.
    at: usize,
    attempts: u32,
    /// Pauses that were made.
    pauses: u32,
    /// The request's body was read.
    received: Instant,
}

/// One that may be asked.
pub(super) struct Candidate {
    /// An index into the config's providers.
    provider: usize,
    /// The model in the provider's own words.
    pub(super) model: String,
    pub(super) health: Arc<TargetHealth>,
    /// Its failure will not pass.
    is_hopeless: bool,
}

/// How an attempt failed that said nothing to the client.
pub(super) struct Failed<'a> {
    pub(super) fault: &'a Fault,
    /// How long the upstream wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// How long all attempts together may take.
    pub(super) total: Duration,
}

impl Candidate {
    /// The provider, as it is for this model.
    pub(super) fn upstream<'a>(&self, config: &'a Config) -> Result<&'a Upstream, Error> {
        let provider = config.providers.get(self.provider).ok_or(Error::Internal)?;
        Ok(provider.of_model(&self.model))
    }
}

impl Candidates {
    /// Finds out whom a model names, and who of them is well.
    pub(super) fn of_model(current: &Current, model: &str, received: Instant) -> Result<Candidates, Error> {
        let route = route(&current.config, model).ok_or_else(|| Error::NoSuchModel(model.to_owned()))?;
        Ok(Candidates::new(current, order(current, &route.targets, route.choose, received)?, received))
    }

    /// The provider of that name alone, or the default one, for a request that names no model.
    pub(super) fn of_provider(
        current: &Current,
        name: Option<&str>,
        received: Instant,
    ) -> Result<Candidates, Error> {
        let config = &current.config;
        let upstream = match name {
            Some(name) => config.provider(name).ok_or_else(|| Error::NoSuchProvider(name.to_owned()))?,
            None => config.providers.get(config.default_provider).ok_or(Error::Internal)?,
        };
        let target = RouteTarget { upstream, model: "", weight: 1 };
        Ok(Candidates::new(current, order(current, &[target], Choose::Ordered, received)?, received))
    }

    fn new(current: &Current, list: Vec<Candidate>, received: Instant) -> Candidates {
        current.budget.earn();
        Candidates { list, at: 0, attempts: 0, pauses: 0, received }
    }

    /// How many attempts there were.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The places that a request takes: those of one of the providers that may be asked among them.
    pub(super) fn wanted(&self, config: &Config, key: Option<Party>, tokens: u64) -> Wanted {
        let upstreams = self.list.iter().filter_map(|one| config.providers.get(one.provider));
        Wanted { streams: config.traffic.streams, key, providers: upstreams.map(party).collect(), tokens }
    }

    /// The first attempt: at the first target that can be asked this.
    pub(super) fn first<T>(
        &mut self,
        mut attempt: impl FnMut(&Candidate, Instant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut first_error = None;
        for (at, candidate) in self.list.iter().enumerate() {
            self.at = at;
            match attempt(candidate, self.received) {
                Ok(made) => {
                    self.attempts += 1;
                    return Ok(made);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(Error::Internal))
    }

    /// The next attempt after one that failed and said nothing to the client, made to begin at an instant; `None` if
    /// there is none.
    pub(super) fn next<T>(
        &mut self,
        current: &Current,
        failed: &Failed<'_>,
        mut attempt: impl FnMut(&Candidate, Instant) -> Result<T, Error>,
    ) -> Option<T> {
        let now = Instant::now();
        let verdict = verdict(failed.fault);
        if verdict == Verdict::Final {
            return None;
        }
        if let Some(candidate) = self.list.get_mut(self.at) {
            candidate.is_hopeless |= verdict == Verdict::Elsewhere;
        }
        let may_be_asked = |candidate: &Candidate| {
            !candidate.is_hopeless && !matches!(candidate.health.admit(now), Admission::Broken(_))
        };
        // Whoever was not asked yet comes first, and without a pause.
        while self.at + 1 < self.list.len() {
            self.at += 1;
            if let Some(candidate) = self.list.get(self.at).filter(|candidate| may_be_asked(candidate))
                && let Ok(made) = attempt(candidate, now)
            {
                self.attempts += 1;
                return Some(made);
            }
        }
        let retry = &current.config.retry;
        if self.attempts >= retry.attempts {
            return None;
        }
        // With several targets that may not be the one that failed last.
        self.at = self.list.iter().position(may_be_asked)?;
        let asked_for = failed.retry_after.unwrap_or_default();
        let pause = retry::pause(retry, self.pauses, fastrand::f64()).max(asked_for);
        let deadline = self.received + failed.total;
        if asked_for > retry.retry_after_max || now + pause >= deadline || !current.budget.spend() {
            return None;
        }
        self.pauses += 1;
        let made = attempt(self.list.get(self.at)?, now + pause).ok()?; // Only its limit may be in the way now.
        self.attempts += 1;
        Some(made)
    }
}

/// Whose places are taken for a request to that provider; all its models have the same.
pub(super) fn party(upstream: &Upstream) -> Party {
    Party { name: upstream.name.clone(), limits: upstream.limits }
}

/// The targets in the order in which they are asked, without those that are broken.
fn order(
    current: &Current,
    targets: &[RouteTarget<'_>],
    choose: Choose,
    now: Instant,
) -> Result<Vec<Candidate>, Error> {
    let mut shortest: Option<(Duration, &Upstream)> = None;
    let mut well = Vec::with_capacity(targets.len());
    let mut resting = Vec::new();
    for RouteTarget { upstream, model, weight } in targets {
        let health = current.health.find(&upstream.name, model);
        let at = current.config.providers.iter().position(|provider| provider.name == upstream.name);
        let candidate = Candidate {
            provider: at.ok_or(Error::Internal)?,
            model: (*model).to_owned(),
            health,
            is_hopeless: false,
        };
        match candidate.health.admit(now) {
            Admission::Well => well.push((candidate, *weight)),
            Admission::Resting => resting.push((candidate, *weight)),
            Admission::Broken(time) if shortest.is_none_or(|(known, _)| time < known) => {
                shortest = Some((time, upstream));
            }
            Admission::Broken(_) => {}
        }
    }
    arrange(&mut well, choose);
    arrange(&mut resting, choose);
    well.append(&mut resting);
    match shortest {
        Some((time, upstream)) if well.is_empty() => {
            Err(Error::Broken { provider: upstream.name.clone(), retry_after: time })
        }
        Some(_) | None => Ok(well.into_iter().map(|(candidate, _)| candidate).collect()),
    }
}

/// Puts the one that is asked first to the front; the others stay in order.
fn arrange(candidates: &mut [(Candidate, u32)], choose: Choose) {
    if candidates.len() < 2 {
        return;
    }
    match choose {
        Choose::Ordered => {}
        Choose::Weighted => {
            let all: u64 = candidates.iter().map(|(_, weight)| u64::from(*weight)).sum();
            let mut chance = fastrand::u64(0..all.max(1));
            let drawn = candidates.iter().position(|(_, weight)| {
                let is_it = chance < u64::from(*weight);
                chance = chance.saturating_sub(u64::from(*weight));
                is_it
            });
            if let Some(front) = drawn.and_then(|at| candidates.get_mut(..=at)) {
                front.rotate_right(1);
            }
        }
        Choose::LeastLoaded => {
            // Between equals, chance decides.
            fastrand::shuffle(candidates);
            candidates.sort_by(|(one, weight), (other, others)| {
                let load = |candidate: &Candidate, weight: &u32| {
                    f64::from(candidate.health.running()) / f64::from(*weight)
                };
                load(one, weight).total_cmp(&load(other, others))
            });
        }
        // Who is not known yet is tried.
        Choose::Fastest => candidates.sort_by(|(one, _), (other, _)| {
            let time = |candidate: &Candidate| candidate.health.first_event().unwrap_or_default();
            time(one).total_cmp(&time(other))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Breaker;
    use crate::proxy::health::{Health, Load};

    /// Targets with so many running answers each, whose first events took so long; `None`: it is not known.
    fn targets(figures: &[(u32, Option<u64>)]) -> (Vec<(Candidate, u32)>, Vec<Load>) {
        let health = Health::new(Breaker::default());
        let now = Instant::now();
        let mut loads = Vec::new();
        let candidate = |(at, &(running, seconds)): (usize, &(u32, Option<u64>))| {
            let model = at.to_string();
            let health = health.find("mine", &model);
            if let Some(seconds) = seconds {
                Arc::clone(&health).begin().answered(now, Duration::from_secs(seconds));
            }
            loads.extend((0..running).map(|_| Arc::clone(&health).begin()));
            (Candidate { provider: 0, model, health, is_hopeless: false }, 1)
        };
        let candidates = figures.iter().enumerate().map(candidate).collect();
        (candidates, loads)
    }

    fn names(candidates: &[(Candidate, u32)]) -> String {
        candidates.iter().map(|(candidate, _)| candidate.model.as_str()).collect()
    }

    #[test]
    fn the_least_loaded_is_asked_first_by_its_weight() {
        let (mut candidates, _loads) = targets(&[(2, None), (3, None), (1, None)]);
        arrange(&mut candidates, Choose::LeastLoaded);
        assert_eq!(names(&candidates), "201");
        candidates.iter_mut().filter(|(one, _)| one.model == "1").for_each(|(_, weight)| *weight = 4);
        arrange(&mut candidates, Choose::LeastLoaded);
        assert_eq!(names(&candidates), "120");
    }

    #[test]
    fn equals_share_what_comes() {
        let (mut candidates, _loads) = targets(&[(0, None), (0, None)]);
        let mut first = std::collections::HashSet::new();
        // In one of 2¹⁰⁰ runs it is the same one each time.
        for _ in 0..100 {
            arrange(&mut candidates, Choose::LeastLoaded);
            first.insert(candidates[0].0.model.clone());
        }
        assert_eq!(first.len(), 2);
    }

    #[test]
    fn the_fastest_is_asked_first_after_those_that_nobody_knows() {
        let (mut candidates, _loads) = targets(&[(0, Some(3)), (0, Some(1)), (0, None), (0, Some(2))]);
        arrange(&mut candidates, Choose::Fastest);
        assert_eq!(names(&candidates), "2130");
        arrange(&mut candidates, Choose::Ordered);
        assert_eq!(names(&candidates), "2130");
    }

    #[test]
    fn the_greatest_weights_are_drawn_among() {
        let (mut candidates, _loads) = targets(&[(0, None), (0, None)]);
        candidates.iter_mut().for_each(|(_, weight)| *weight = u32::MAX);
        arrange(&mut candidates, Choose::Weighted);
        assert_eq!(candidates.len(), 2);
    }
}
