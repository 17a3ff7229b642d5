//! What is sent for one chat: to whom, and again when an attempt fails.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::time::Instant;

use super::access::Client;
use super::attempt::{Attempt, AttemptTarget, Ready};
use super::candidates::{Candidate, Candidates, Failed, party};
use super::limit::{Party, Place, Wanted};
use super::memory::NoteTaker;
use super::{Current, sign, upstream};
use crate::chat::{Chat, Tongue};
use crate::dialect::{Outgoing, Target, ask, framer};
use crate::error::Error;
use crate::event::Fault;
use crate::normalize::Birth;
use crate::observe::{Asked, Routed, Watch};
use crate::pipeline::Pipeline;
use crate::recall::Scope;

/// What one request of a client may still lead to.
pub(super) struct Plan {
    asking: Asking,
    candidates: Candidates,
}

/// What is asked, by whom.
struct Asking {
    current: Current,
    chat: Chat,
    /// The client's, for providers that get the client's own key.
    headers: HeaderMap,
    client: Client,
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
        Ok(Plan {
            candidates: Candidates::of_model(&current, &chat.model, received)?,
            asking: Asking { headers: client.for_providers(headers), current, client, chat },
        })
    }

    /// How many attempts there were.
    pub(super) fn attempts(&self) -> u32 {
        self.candidates.attempts()
    }

    /// The places that it takes: those of one of the providers that may be asked among them.
    pub(super) fn wanted(&self, key: Option<Party>, tokens: u64) -> Wanted {
        self.candidates.wanted(&self.asking.current.config, key, tokens)
    }

    /// The first attempt: at the first target that can be asked this.
    pub(super) fn first(&mut self, place: &mut Place, watch: &mut Watch) -> Result<Next, Error> {
        let asking = &self.asking;
        self.candidates.first(|candidate, begins| asking.attempt(candidate, None, begins, place, watch))
    }

    /// The next attempt after one that failed and said nothing to the client; `None` if there is none.
    pub(super) fn next(
        &mut self,
        failed: &Attempt,
        fault: &Fault,
        place: &mut Place,
        watch: &mut Watch,
    ) -> Option<Next> {
        let asking = &self.asking;
        let retry_after = retry_after(failed.headers());
        let failed = Failed { fault, retry_after, total: failed.target().deadlines.total };
        self.candidates.next(&asking.current, &failed, |candidate, begins| {
            asking.attempt(candidate, Some(fault), begins, place, watch)
        })
    }
}

impl Asking {
    /// An attempt at a target, perhaps after one that failed. Reasoning that the client left out returns to the chat
    /// first.
    fn attempt(
        &self,
        candidate: &Candidate,
        after: Option<&Fault>,
        begins: Instant,
        place: &mut Place,
        watch: &mut Watch,
    ) -> Result<Next, Error> {
        let Candidate { model, health, .. } = candidate;
        let config = &self.current.config;
        let upstream = candidate.upstream(config)?;
        let base_url = upstream::base_url(upstream)?;
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
        let target = Target { provider: &upstream.name, base_url, model };
        let Outgoing { mut request, dropped } = ask(dialect, &target, chat)?;
        if dialect.speaks() == Some(Tongue::Messages) && chat.said_in(Tongue::Messages).is_some() {
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
                method: request.method(),
                url: request.url(),
                asked: Asked::Chat(&self.chat),
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
        let attempt = Attempt::new(ready, pipeline, target, Arc::clone(health).begin(), begins);
        Ok(Next { attempt, notes })
    }
}

/// How long the upstream wants to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?; // It was written by us.
    Some(Duration::from_secs(seconds))
}
