//! The end of a drain: answers that still run are told, and end with a fault that says so. Until then the
//! process waits, also for those that are read on without a client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// Answers that are read on without a client.
    read_on: AtomicUsize,
    /// Told when there are none any more.
    none_left: Notify,
}

impl Drain {
    /// What an answer listens to.
    pub(super) fn notice(&self) -> Notice {
        Notice { drain: self.clone(), waiting: None }
    }

    /// Waits until no answer is read on without a client.
    pub(super) async fn idle(&self) {
        while self.0.read_on.load(Ordering::Acquire) > 0 {
            // Leaves a permit behind if it comes first.
            self.0.none_left.notified().await;
        }
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

    /// Has the process wait for this answer, although no connection does.
    pub(super) fn read_on(&self) -> ReadOn {
        self.drain.0.read_on.fetch_add(1, Ordering::AcqRel);
        ReadOn(self.drain.clone())
    }

    /// Ready once the drain is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let notify = &self.drain.0.notify;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(Arc::clone(notify).notified_owned()));
        // The flag is looked at after the waiter is in the list: nothing is missed in between.
        if waiting.as_mut().poll(cx).is_ready() || self.is_given() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// An answer that is read on without a client.
pub(super) struct ReadOn(Drain);

impl Drop for ReadOn {
    fn drop(&mut self) {
        if self.0.0.read_on.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.none_left.notify_one();
        }
    }
}
