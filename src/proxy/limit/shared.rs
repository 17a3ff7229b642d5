//! Rates that several processes count together, in Redis.
//!
//! The buckets of this process hold as well, and alone while Redis cannot be asked: it is never waited for long.
//! A bucket is what it is in `bucket`, a hash with `used` and `at`, by the clock of Redis. One script looks at all
//! buckets of a request and takes from all of them or none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout};

use super::state::Party;
use crate::config::Secret;
use crate::error::Excess;

/// How long Redis may take for an answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long it is left alone after it took longer, or failed.
const PAUSE: Duration = Duration::from_secs(1);
/// For each bucket in KEYS two of ARGV behind the first: its figure, and the amount. The first is 1 if there must be
/// room for it. Gives the number of the bucket without room and the seconds until there is, or 0.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local all = {}
for i, key in ipairs(KEYS) do
  local figure, amount = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local known = redis.call('HMGET', key, 'used', 'at')
  local gone = math.max(0, now - (tonumber(known[2]) or now)) * figure / 60
  local used = math.max(0, (tonumber(known[1]) or 0) - gone)
  local over = used + math.min(amount, figure) - figure
  if ARGV[1] == '1' and over >= 0.001 then
    return {i, tostring(over * 60 / figure)}
  end
  all[i] = {math.max(0, used + amount), figure}
end
for i, key in ipairs(KEYS) do
  local used, figure = all[i][1], all[i][2]
  redis.call('HSET', key, 'used', tostring(used), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', key, math.ceil(used * 60 / figure) + 1)
end
return {0, '0'}
";

/// The buckets in Redis.
pub(in crate::proxy) struct Store {
    client: redis::Client,
    link: Mutex<Link>,
}

/// How Redis is reached, and whether it is.
#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    /// It failed; until then nobody tries again.
    down_until: Option<Instant>,
}

/// What is taken from one bucket; less than nothing gives it back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Charge {
    pub(super) of: Of,
    pub(super) excess: Excess,
    name: String,
    figure: u32,
    amount: f64,
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Key,
    Provider,
}

impl Charge {
    /// What is taken from the buckets that a party has.
    pub(super) fn all(of: Of, party: &Party, requests: f64, tokens: f64) -> impl Iterator<Item = Charge> {
        let (limits, name) = (party.limits, party.name.clone());
        [
            (Excess::Requests, limits.requests_per_minute, requests),
            (Excess::Tokens, limits.tokens_per_minute, tokens),
        ]
        .into_iter()
        .filter_map(move |(excess, figure, amount)| {
            (amount != 0.0).then_some(Charge { of, excess, name: name.clone(), figure: figure?, amount })
        })
    }

    fn bucket(&self) -> String {
        let of = match self.of {
            Of::Key => "key",
            Of::Provider => "provider",
        };
        // In braces is what a cluster places by; a script must find all its buckets in one place.
        format!("{{millpond}}:{of}:{}:{}", self.name, self.excess.as_str())
    }
}

impl Store {
    /// The store at an address that the config found to be one.
    pub(in crate::proxy) fn new(url: &Secret) -> redis::RedisResult<Store> {
        Ok(Store { client: redis::Client::open(url.expose())?, link: Mutex::default() })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of it, or tells which one there is no room for, and for how long; `None` if nobody knows.
    pub(super) async fn take(&self, charges: &[Charge]) -> Option<Result<(), (usize, Duration)>> {
        let (number, seconds) = self.run(charges, true).await?;
        Some(match number.checked_sub(1) {
            Some(at) => {
                Err((at, Duration::try_from_secs_f64(seconds.parse().ok()?).unwrap_or(Duration::MAX))) // Our number.
            }
            None => Ok(()),
        })
    }

    /// Counts what was taken already, whether there is room or not.
    pub(super) async fn count(&self, charges: &[Charge]) {
        // What is not counted here is known to this process alone.
        let _ = self.run(charges, false).await;
    }

    async fn run(&self, charges: &[Charge], must_fit: bool) -> Option<(usize, String)> {
        let known = {
            let mut link = self.link();
            let now = Instant::now();
            if link.down_until.is_some_and(|until| now < until) {
                return None;
            }
            // Only one of many tries whether it is back.
            link.down_until = link.down_until.map(|_| now + PAUSE);
            link.connection.clone()
        };
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(charges.len());
        for charge in charges {
            command.arg(charge.bucket());
        }
        command.arg(u8::from(must_fit));
        for charge in charges {
            command.arg(charge.figure).arg(charge.amount);
        }
        let answer = timeout(PATIENCE, async {
            let mut connection = match known {
                Some(connection) => connection,
                None => self.client.get_multiplexed_async_connection().await?,
            };
            let answer = command.query_async(&mut connection).await?;
            Ok::<_, redis::RedisError>((connection, answer))
        })
        .await;
        let mut link = self.link();
        match answer {
            Ok(Ok((connection, answer))) => {
                link.connection = Some(connection);
                if link.down_until.take().is_some() {
                    tracing::info!("Redis answers again: rates are counted together");
                }
                Some(answer)
            }
            failed => {
                link.connection = None;
                if link.down_until.replace(Instant::now() + PAUSE).is_none() {
                    // Its own words might quote the address, and a password with it.
                    let why = failed.map_or("it takes too long", |failed| {
                        failed
                            .err()
                            .map_or("", |error| if error.is_io_error() { "connection" } else { "refused" })
                    });
                    tracing::warn!(why, "Redis cannot be asked: each millpond counts rates by itself");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyLimits;

    #[test]
    fn only_figures_that_are_given_have_buckets() {
        let limits = KeyLimits { tokens_per_minute: Some(60), ..KeyLimits::default() };
        let party = Party { name: "pond".to_owned(), limits };
        let charges: Vec<Charge> = Charge::all(Of::Provider, &party, 1.0, 7.0).collect();
        let told: Vec<_> = charges.iter().map(|charge| (charge.bucket(), charge.amount)).collect();
        assert_eq!(told, [("{millpond}:provider:pond:tokens".to_owned(), 7.0)]);
        assert_eq!(Charge::all(Of::Key, &party, 1.0, 0.0).count(), 0);
    }
}
