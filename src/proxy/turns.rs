//! Turns of the scheduler, before a write.
//!
//! An upstream's connection hands its reads over one at a time, by a task of its own. A turn of the scheduler brings
//! what it still has, and what has come to the socket while others were served. Nothing is waited for; but
//! under load the writes grow, instead of their number.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// How many turns in a row may bring nothing before most are left out.
const PATIENCE: u32 = 2;
/// Of those that are left out, every so many is taken all the same.
const EVERY: u32 = 16;

/// The turns that one answer takes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The turn that is under way.
    turn: Option<Arc<Turn>>,
    /// Something came since it began.
    brought: bool,
    /// How many in a row brought nothing, or were left out because of that.
    in_vain: u32,
}

#[derive(Debug)]
struct Turn {
    passed: AtomicBool,
    task: Waker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.passed.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Turns {
    /// Something came.
    pub(super) fn brought(&mut self) {
        self.brought = true;
    }

    /// Ready when what is there may leave.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.turn {
            Some(turn) if turn.passed.load(Ordering::Acquire) => {
                self.turn = None;
                if !self.brought {
                    self.in_vain = self.in_vain.saturating_add(1);
                    return Poll::Ready(());
                }
                // As long as turns bring something, the next one may as well.
                self.in_vain = 0;
            }
            // Polled for another reason than that the turn has passed.
            Some(turn) if turn.task.will_wake(cx.waker()) => return Poll::Pending,
            Some(_) | None => {}
        }
        if self.in_vain > PATIENCE && !self.in_vain.is_multiple_of(EVERY) {
            self.in_vain = self.in_vain.saturating_add(1);
            return Poll::Ready(());
        }
        self.brought = false;
        let turn = Arc::new(Turn { passed: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&turn));
        // The future is dropped at once: all that it does is to ask for the turn.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        self.turn = Some(turn);
        Poll::Pending
    }
}
