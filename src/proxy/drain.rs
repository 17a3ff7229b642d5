//! The end of a drain: answers that still run are told, and end with a fault that says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Tells the answers of one runtime that the drain is over; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Drain(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_over: AtomicBool,
    notify: Arc<Notify>,
}

impl Drain {
    /// What an answer listens to.
    pub(super) fn notice(&self) -> Notice {
        Notice { drain: self.clone(), waiting: None }
    }

    /// Tells all of them.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }
}

/// One answer's ear.
#[derive(Debug)]
pub(super) struct Notice {
    drain: Drain,
    /// Made when it is first needed: many answers never wait.
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl Notice {
    /// True once the drain is over.
    pub(super) fn is_given(&self) -> bool {
        self.drain.0.is_over.load(Ordering::Acquire)
    }

    /// Ready once the drain is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let notify = &self.drain.0.notify;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(Arc::clone(notify).notified_owned()));
        // The flag is looked at after the waiter is in the list: nothing is missed in between.
        if waiting.as_mut().poll(cx).is_ready() || self.is_given() { Poll::Ready(()) } else { Poll::Pending }
    }
}
