//! Watching a request: an [`Observer`] is told what happens as it happens, and its end exactly once.
//!
//! Observers see the same events as the client and change nothing. [`Watch`] is the guard that sees to
//! the end: it is made when a request is accepted and moves from the handler into the answer, so a client
//! that leaves at any point is told of as well.

use std::time::Instant;

use http::{HeaderMap, Method};
use url::Url;

use crate::chat::Chat;
use crate::event::{Event, Fault, Repairs, Usage};

/// Whoever watches one request, from its first byte to the end of its answer.
pub trait Observer: Send {
    /// The request's body was read; from here on time is millpond's or the upstream's.
    fn received(&mut self);

    /// It is known who is asked, and for what. Told again before another attempt, which may be at another
    /// target.
    fn routed(&mut self, route: &Routed<'_>);

    /// An attempt at this address begins; the headers may be given a trace context.
    fn sending(&mut self, url: &Url, headers: &mut HeaderMap);

    /// The upstream answered with this status and these headers.
    fn responded(&mut self, status: u16, headers: &HeaderMap);

    /// The upstream could not be asked.
    fn unreachable(&mut self, cause: Unreachable);

    /// The attempt failed, and another one follows; what its answer said so far is void.
    fn retrying(&mut self, fault: &Fault);

    /// The next event of the answer.
    fn event(&mut self, event: &Event<'_>);

    /// What arrived from the upstream since `at` was read, its events told, and leaves at `done`.
    fn arrived(&mut self, at: Instant, done: Instant);

    /// The request ended. Nothing is told after that.
    fn end(&mut self, outcome: &Outcome<'_>);
}

/// Who is asked, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Routed<'a> {
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model in the provider's words; empty where none is named.
    pub model: &'a str,
    /// The method of the request to the provider.
    pub method: &'a Method,
    /// The provider's address.
    pub url: &'a Url,
    /// The request.
    pub asked: Asked<'a>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// The next message of a conversation, or how a text goes on.
    Chat(&'a Chat),
    /// Something that is passed on as it is.
    Forward {
        /// The operation's name in telemetry.
        operation: &'static str,
        /// The model as the client named it, if it did.
        model: Option<&'a str>,
    },
}

impl<'a> Asked<'a> {
    /// The operation's name in telemetry.
    pub fn operation(&self) -> &'static str {
        match self {
            Asked::Chat(chat) if chat.is_completion => "text_completion",
            Asked::Chat(_) => "chat",
            Asked::Forward { operation, .. } => operation,
        }
    }

    /// The model as the client named it, if it did.
    pub fn model(&self) -> Option<&'a str> {
        match *self {
            Asked::Chat(chat) => Some(&chat.model),
            Asked::Forward { model, .. } => model,
        }
    }

    /// The conversation, if it is one.
    pub fn chat(&self) -> Option<&'a Chat> {
        match *self {
            Asked::Chat(chat) => Some(chat),
            Asked::Forward { .. } => None,
        }
    }
}

/// Why an upstream could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// Its name has no address.
    Dns,
    /// It takes no connection, or broke it off before it answered.
    Connect,
    /// It takes a connection, but not in secret.
    Tls,
    /// It took too long.
    Timeout,
}

impl Unreachable {
    /// The word in telemetry.
    pub fn as_str(self) -> &'static str {
        match self {
            Unreachable::Dns => "dns",
            Unreachable::Connect => "connect",
            Unreachable::Tls => "tls",
            Unreachable::Timeout => "timeout",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Why.
    pub end: End<'a>,
    /// The status that the client got; `None` if it left before.
    pub status: Option<u16>,
    /// The tokens that are known.
    pub usage: Option<&'a Usage>,
    /// What was mended; `None` if nothing was read.
    pub repairs: Option<&'a Repairs>,
}

/// Why a request ended.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// The client has all of it.
    Complete,
    /// The answer is incomplete, and the client knows why.
    Fault(&'a Fault),
    /// millpond answered without asking an upstream: the request is wrong, or leads nowhere.
    Rejected,
    /// The client left.
    Disconnected,
    /// A handler panicked.
    Panicked,
}

/// The guard of an observer: its end comes once, whatever happens.
#[derive(Default)]
pub struct Watch(Option<Box<dyn Observer>>);

impl Watch {
    /// Guards an observer.
    pub fn new(observer: impl Observer + 'static) -> Watch {
        Watch(Some(Box::new(observer)))
    }

    /// The observer, until the end was told.
    pub fn observer(&mut self) -> Option<&mut (dyn Observer + 'static)> {
        self.0.as_deref_mut()
    }

    /// Tells the end.
    pub fn end(&mut self, outcome: &Outcome<'_>) {
        if let Some(mut observer) = self.0.take() {
            observer.end(outcome);
        }
    }
}

impl Drop for Watch {
    /// Dropped on the way: nobody waits for the answer any more.
    fn drop(&mut self) {
        let end = if std::thread::panicking() { End::Panicked } else { End::Disconnected };
        self.end(&Outcome { end, status: None, usage: None, repairs: None });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Ends(Sender<String>);

    impl Observer for Ends {
        fn received(&mut self) {}
        fn routed(&mut self, _: &Routed<'_>) {}
        fn sending(&mut self, _: &Url, _: &mut HeaderMap) {}
        fn responded(&mut self, _: u16, _: &HeaderMap) {}
        fn unreachable(&mut self, _: Unreachable) {}
        fn retrying(&mut self, _: &Fault) {}
        fn event(&mut self, _: &Event<'_>) {}
        fn arrived(&mut self, _: Instant, _: Instant) {}
        fn end(&mut self, outcome: &Outcome<'_>) {
            self.0.send(format!("{:?}", outcome.end)).unwrap();
        }
    }

    fn ends(with: impl FnOnce(Watch)) -> Vec<String> {
        let (sender, ends) = channel();
        with(Watch::new(Ends(sender)));
        ends.into_iter().collect()
    }

    #[test]
    fn the_end_is_told_once() {
        let complete = Outcome { end: End::Complete, status: Some(200), usage: None, repairs: None };
        let told = ends(|mut watch| {
            watch.end(&complete);
            watch.end(&complete);
        });
        assert_eq!(told, ["Complete"]);
    }

    #[test]
    fn a_watch_that_is_dropped_tells_that_the_client_left() {
        assert_eq!(ends(drop), ["Disconnected"]);
    }
}
