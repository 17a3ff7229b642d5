//! Whom to ask for one request, in which order, and who is asked next when an attempt fails.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::time::Instant;

use super::access::Client;
use super::attempt::{Attempt, AttemptTarget, Ready};
use super::health::{Admission, Target as TargetHealth};
use super::limit::{Party, Place, Wanted};
use super::memory::NoteTaker;
use super::retry::{self, Verdict, verdict};
use super::route::{RouteTarget, route};
use super::{Current, sign, upstream};
use crate::chat::Chat;
use crate::config::{Choose, Upstream};
use crate::dialect::{Outgoing, Target, framer};
use crate::error::Error;
use crate::event::Fault;
use crate::normalize::Birth;
use crate::observe::{Routed, Watch};
use crate::pipeline::Pipeline;
use crate::recall::Scope;

/// What one request of a client may still lead to.
pub(super) struct Plan {
    current: Current,
    chat: Chat,
    /// The client's, for providers that get the client's own key.
    headers: HeaderMap,
    client: Client,
    /// In the order in which they are asked; never empty.
    candidates: Vec<Candidate>,
    /// The one that was asked last.
    at: usize,
    attempts: u32,
    /// Pauses that were made.
    pauses: u32,
    /// The request's body was read.
    received: Instant,
}

/// One that may be asked.
struct Candidate {
    /// An index into the config's providers.
    provider: usize,
    model: String,
    health: Arc<TargetHealth>,
    /// Its failure will not pass.
    is_hopeless: bool,
}

/// An attempt, and what is noted of its answer.
pub(super) struct Next {
    pub(super) attempt: Attempt,
    pub(super) notes: Option<NoteTaker>,
}

impl Plan {
    /// Finds out whom the chat's model names, and who of them is well.
    pub(super) fn new(
        current: Current,
        chat: Chat,
        headers: &HeaderMap,
        client: Client,
        received: Instant,
    ) -> Result<Plan, Error> {
        let config = &current.config;
        let route = route(config, &chat.model).ok_or_else(|| Error::NoSuchModel(chat.model.clone()))?;
        let order = order(&current, &route.targets, route.choose, received)?;
        current.budget.earn();
        Ok(Plan {
            current,
            headers: client.for_providers(headers),
            client,
            candidates: order,
            at: 0,
            attempts: 0,
            pauses: 0,
            received,
            chat,
        })
    }

    /// How many attempts there were.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The places that it takes: those of one of the providers that may be asked among them.
    pub(super) fn wanted(&self, key: Option<Party>, tokens: u64) -> Wanted {
        let config = &self.current.config;
        let upstreams = self.candidates.iter().filter_map(|one| config.providers.get(one.provider));
        Wanted { streams: config.traffic.streams, key, providers: upstreams.map(party).collect(), tokens }
    }

    /// The first attempt: at the first target that can be asked this.
    pub(super) fn first(&mut self, place: &mut Place, watch: &mut Watch) -> Result<Next, Error> {
        let mut first_error = None;
        for at in 0..self.candidates.len() {
            self.at = at;
            match self.attempt(None, self.received, place, watch) {
                Ok(next) => return Ok(next),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(Error::Internal))
    }

    /// The next attempt after one that failed and said nothing to the client; `None` if there is none.
    pub(super) fn next(
        &mut self,
        failed: &Attempt,
        fault: &Fault,
        place: &mut Place,
        watch: &mut Watch,
    ) -> Option<Next> {
        let now = Instant::now();
        let verdict = verdict(fault);
        if verdict == Verdict::Final {
            return None;
        }
        if let Some(candidate) = self.candidates.get_mut(self.at) {
            candidate.is_hopeless |= verdict == Verdict::Elsewhere;
        }
        let may_be_asked = |candidate: &Candidate| {
            !candidate.is_hopeless && !matches!(candidate.health.admit(now), Admission::Broken(_))
        };
        // Whoever was not asked yet comes first, and without a pause.
        while self.at + 1 < self.candidates.len() {
            self.at += 1;
            if self.candidates.get(self.at).is_some_and(may_be_asked)
                && let Ok(next) = self.attempt(Some(fault), now, place, watch)
            {
                return Some(next);
            }
        }
        let retry = &self.current.config.retry;
        if self.attempts >= retry.attempts {
            return None;
        }
        // With several targets that may not be the one that failed last.
        self.at = self.candidates.iter().position(may_be_asked)?;
        let asked_for = retry_after(failed.headers()).unwrap_or_default();
        let pause = retry::pause(retry, self.pauses, fastrand::f64()).max(asked_for);
        let deadline = self.received + failed.target().deadlines.total;
        if asked_for > retry.retry_after_max || now + pause >= deadline || !self.current.budget.spend() {
            return None;
        }
        self.pauses += 1;
        self.attempt(Some(fault), now + pause, place, watch).ok() // Only its limit may be in the way now.
    }

    /// An attempt at the target in turn, perhaps after one that failed. Reasoning that the client left out
    /// returns to the chat first.
    fn attempt(
        &mut self,
        after: Option<&Fault>,
        begins: Instant,
        place: &mut Place,
        watch: &mut Watch,
    ) -> Result<Next, Error> {
        let Candidate { provider, model, health, .. } =
            self.candidates.get(self.at).ok_or(Error::Internal)?;
        let config = &self.current.config;
        let upstream = config.providers.get(*provider).ok_or(Error::Internal)?.of_model(model);
        let base_url = upstream.base_url.as_ref().map_err(|variable| Error::ProviderUnset {
            provider: upstream.name.clone(),
            variable: variable.clone(),
        })?;
        upstream::check_key(upstream, model, &self.headers, &self.client)?;
        let dialect =
            if self.chat.is_completion { upstream.dialect.for_texts() } else { Some(upstream.dialect) };
        let dialect = dialect.ok_or_else(|| Error::CompletesNothing {
            provider: upstream.name.clone(),
            dialect: upstream.dialect.name(),
        })?;
        let dialect = dialect.as_dialect();
        let mut restored = None;
        // Texts have no messages that signatures could return to.
        let memory = self.current.memory.as_ref().filter(|_| !self.chat.is_completion);
        let notes = memory.map(|memory| {
            let scope = Scope::new(&upstream.name, model, self.client.identity(&self.headers));
            let notes = memory.notes(&self.chat, scope.clone(), dialect.quirks().is_foreign);
            restored = memory.restore(&self.chat, &scope, dialect.quirks().is_foreign);
            notes
        });
        let chat = restored.as_ref().unwrap_or(&self.chat);
        if let Some(native) = chat.native.as_deref()
            && !dialect.speaks_messages()
            && let Some(error) = &native.only_here
        {
            return Err(error.clone().into());
        }
        let target = Target { provider: &upstream.name, base_url, model };
        if !dialect.speaks_responses() {
            chat.check_needs()?;
        }
        let Outgoing { mut request, mut dropped } =
            dialect.request(&target, chat).map_err(|error| chat.in_its_words(error))?;
        if let Some(origin) = chat.origin.as_ref().filter(|_| !dialect.speaks_responses()) {
            dropped = origin.dropped(dropped);
        }
        if chat.native.is_some() && dialect.speaks_messages() {
            upstream::pass_betas(&self.headers, request.headers_mut());
        }
        upstream::authorize(upstream, &self.headers, request.headers_mut())?;
        sign::sign(upstream, &mut request, SystemTime::now())?;
        let request = upstream::to_reqwest(request)?;
        place.ask(&party(upstream))?;
        if let Some(observer) = watch.observer() {
            if let Some(fault) = after {
                observer.retrying(fault);
            }
            observer.routed(&Routed {
                provider: &upstream.name,
                model,
                url: request.url(),
                chat: &self.chat,
            });
        }
        let birth = Birth {
            id: uuid::Uuid::new_v4().simple().to_string(),
            model: model.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let pipeline = Pipeline::new(
            framer(dialect, config.limits.frame_bytes),
            dialect.decoder(model),
            dialect.quirks(),
            birth,
        )
        .expecting(self.chat.prompts());
        let target = AttemptTarget {
            provider: upstream.name.clone(),
            model: model.clone(),
            deadlines: upstream.deadlines,
            key: upstream.secret().cloned(),
            dropped,
        };
        let ready = Ready { client: self.current.clients.of(upstream).clone(), request };
        self.attempts += 1;
        let attempt = Attempt::new(ready, pipeline, target, Arc::clone(health).begin(), begins);
        Ok(Next { attempt, notes })
    }
}

/// Whose places are taken for a request to that provider; all its models have the same.
fn party(upstream: &Upstream) -> Party {
    Party { name: upstream.name.clone(), limits: upstream.limits }
}

/// How long the upstream wants to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?; // It was written by us.
    Some(Duration::from_secs(seconds))
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
