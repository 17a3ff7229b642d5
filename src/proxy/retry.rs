//! Whether a failure is worth another attempt, how long to wait for it, and how many there may be.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::config::Retry;
use crate::event::{Fault, FaultCode};

/// Codes of accounts that have no credit left: they do not come right by waiting.
const SPENT: [&str; 3] = ["insufficient_quota", "billing_hard_limit_reached", "insufficient_credits"];
/// Retries that are in the budget at the start, and that it saves up at most.
const SAVED_AT_MOST: i64 = 10;
/// What a retry costs, in the budget's small change.
const COST: i64 = 1000;

/// What a failure means for a further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same target may do better the next time, and so may another.
    Again,
    /// Only another target may.
    Elsewhere,
    /// Nobody will: the request is to blame, or millpond.
    Final,
}

/// What a failure means that said nothing to the client yet.
pub(super) fn verdict(fault: &Fault) -> Verdict {
    match fault.code {
        FaultCode::Truncated
        | FaultCode::Empty
        | FaultCode::Malformed
        | FaultCode::Stalled
        | FaultCode::Timeout
        | FaultCode::ConnectionLost => Verdict::Again,
        FaultCode::TooLarge | FaultCode::Draining => Verdict::Final,
        FaultCode::UpstreamError => match fault.status {
            429 if fault.provider_code.as_deref().is_some_and(|code| SPENT.contains(&code)) => {
                Verdict::Elsewhere
            }
            408 | 409 | 425 | 429 | 500 | 502..=504 | 506..=599 => Verdict::Again,
            401..=404 => Verdict::Elsewhere,
            _ => Verdict::Final,
        },
    }
}

/// True for a failure that tells something of the target's health: the client's mistakes do not, and who asks
/// too often is told when to come back.
pub(super) fn blames_target(fault: &Fault) -> bool {
    verdict(fault) == Verdict::Again && fault.status != 429
}

/// How long to wait before the `number`th retry, from 0: by chance, so that clients that failed together do
/// not come back together. `chance` is from 0 to 1.
pub(super) fn pause(retry: &Retry, number: u32, chance: f64) -> Duration {
    let longest = retry.base.saturating_mul(2_u32.saturating_pow(number)).min(retry.cap);
    longest.mul_f64(chance.clamp(0.0, 1.0))
}

/// How many retries the requests of late have earned. Shared by all of them.
#[derive(Debug)]
pub(super) struct Budget {
    /// What each request earns.
    share: i64,
    saved: AtomicI64,
}

impl Budget {
    pub(super) fn new(retry: &Retry) -> Budget {
        let share = (retry.budget * COST as f64) as i64;
        Budget { share, saved: AtomicI64::new(SAVED_AT_MOST * COST) }
    }

    /// A request came.
    pub(super) fn earn(&self) {
        let more = |saved: i64| Some((saved + self.share).min(SAVED_AT_MOST * COST));
        // It always has a new value.
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes one retry out of it, if there is one.
    pub(super) fn spend(&self) -> bool {
        let less = |saved: i64| (saved >= COST).then_some(saved - COST);
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Fault {
        let provider_code = code.map(str::to_owned);
        Fault { status, provider_code, ..Fault::new(FaultCode::UpstreamError) }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 520, 529] {
            assert_eq!(verdict(&refused(status, None)), Verdict::Again, "{status}");
        }
        for status in [401, 402, 403, 404] {
            assert_eq!(verdict(&refused(status, None)), Verdict::Elsewhere, "{status}");
        }
        for status in [400, 413, 422, 501, 505] {
            assert_eq!(verdict(&refused(status, None)), Verdict::Final, "{status}");
        }
        assert_eq!(verdict(&refused(429, Some("insufficient_quota"))), Verdict::Elsewhere);
        assert_eq!(verdict(&Fault::new(FaultCode::Empty)), Verdict::Again);
        assert_eq!(verdict(&Fault::new(FaultCode::Draining)), Verdict::Final);
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let retry = Retry::default();
        assert_eq!(pause(&retry, 0, 1.0), Duration::from_millis(250));
        assert_eq!(pause(&retry, 2, 1.0), Duration::from_secs(1));
        assert_eq!(pause(&retry, 2, 0.5), Duration::from_millis(500));
        assert_eq!(pause(&retry, 60, 1.0), Duration::from_secs(8));
        assert_eq!(pause(&retry, 3, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_budget_bounds_retries_over_time() {
        let budget = Budget::new(&Retry { budget: 0.5, ..Retry::default() });
        let spent = (0..20).filter(|_| budget.spend()).count();
        assert_eq!(spent, 10);
        budget.earn();
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend() && !budget.spend());
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..20).filter(|_| budget.spend()).count(), 10);
    }
}
