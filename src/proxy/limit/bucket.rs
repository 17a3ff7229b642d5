//! A token bucket: how much of a minute's worth is used, and when there is room again.
//!
//! It is kept by what was taken, not by what is left: the figure of the limit is an argument, so that another
//! config changes it and forgets nothing.

use std::time::Duration;

use tokio::time::Instant;

/// What was taken of late, and has not run out yet.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    used: f64,
    /// When `used` was right.
    at: Option<Instant>,
}

impl Bucket {
    /// How long to wait until `amount` can be taken; zero if it can be now. What is more than a minute's worth
    /// has to wait for an empty bucket only.
    pub(super) fn wait(&mut self, amount: f64, per_minute: u32, now: Instant) -> Duration {
        let per_minute = f64::from(per_minute);
        if let Some(at) = self.at {
            let gone = now.saturating_duration_since(at).as_secs_f64() * per_minute / 60.0;
            self.used = (self.used - gone).max(0.0);
        }
        self.at = Some(now);
        let over = self.used + amount.min(per_minute) - per_minute;
        // Less than a thousandth is what the arithmetic makes.
        if over < 1e-3 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(over * 60.0 / per_minute).unwrap_or(Duration::MAX)
    }

    /// Takes so much, whether it is there or not; less than nothing gives it back.
    pub(super) fn take(&mut self, amount: f64) {
        self.used = (self.used + amount).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes it if it is there.
    fn ask(bucket: &mut Bucket, amount: f64, now: Instant) -> Duration {
        let wait = bucket.wait(amount, 60, now);
        if wait.is_zero() {
            bucket.take(amount);
        }
        wait
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_one_a_second() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        for _ in 0..60 {
            assert_eq!(ask(&mut bucket, 1.0, now), Duration::ZERO);
        }
        assert_eq!(ask(&mut bucket, 1.0, now), SECOND);
        assert_eq!(ask(&mut bucket, 1.0, now + SECOND / 2), SECOND / 2);
        assert_eq!(ask(&mut bucket, 1.0, now + SECOND), Duration::ZERO);
        assert_eq!(ask(&mut bucket, 1.0, now + SECOND), SECOND);
    }

    #[test]
    fn a_long_rest_saves_no_more_than_a_minutes_worth() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        ask(&mut bucket, 1.0, now);
        let later = now + 3600 * SECOND;
        assert_eq!(ask(&mut bucket, 60.0, later), Duration::ZERO);
        assert_eq!(ask(&mut bucket, 1.0, later), SECOND);
    }

    #[test]
    fn what_is_too_much_for_any_minute_waits_for_an_empty_bucket_and_is_paid_off() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        ask(&mut bucket, 1.0, now);
        assert_eq!(ask(&mut bucket, 600.0, now), SECOND);
        assert_eq!(ask(&mut bucket, 600.0, now + SECOND), Duration::ZERO);
        assert_eq!(ask(&mut bucket, 1.0, now + SECOND), 541 * SECOND);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_but_not_more() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        ask(&mut bucket, 60.0, now);
        bucket.take(-10.0);
        assert_eq!(ask(&mut bucket, 10.0, now), Duration::ZERO);
        assert_eq!(ask(&mut bucket, 1.0, now), SECOND);
        bucket.take(-1000.0);
        assert_eq!(bucket.wait(60.0, 60, now), Duration::ZERO);
        assert_eq!(ask(&mut bucket, 61.0, now), Duration::ZERO, "it is empty");
    }

    #[test]
    fn another_figure_holds_from_then_on() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        ask(&mut bucket, 60.0, now);
        assert_eq!(bucket.wait(1.0, 120, now), Duration::ZERO);
        assert_eq!(bucket.wait(1.0, 30, now), 62 * SECOND);
    }

    #[test]
    fn time_that_goes_back_changes_nothing() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        ask(&mut bucket, 60.0, now + SECOND);
        assert_eq!(ask(&mut bucket, 1.0, now), SECOND);
    }
}
