//! What a text event carries: when it was written and its place in the stream.

use std::time::Instant;

use memchr::memchr;

const NANOS_DIGITS: usize = 16;
const PLACE_DIGITS: usize = 7;

/// Nanoseconds since a start that the upstream and the clients share.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a run lasts less than 584 years")
    }
}

/// Written as `@0000001234567890#0000042` inside the text of the event; `@` is nowhere else in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub nanos: u64,
    pub place: u32,
}

impl Stamp {
    /// Room for any stamp, to be overwritten in place.
    pub const BLANK: &str = "@0000000000000000#0000000";

    /// Overwrites a stamp that starts at the first byte of `at`.
    pub fn write(self, at: &mut [u8]) {
        let (nanos, place) = at[1..Self::BLANK.len()].split_at_mut(NANOS_DIGITS);
        write_digits(self.nanos, nanos);
        write_digits(u64::from(self.place), &mut place[1..]);
    }

    /// The stamp in the data of an event; none in one without text.
    pub fn find(data: &[u8]) -> Option<Self> {
        let from = memchr(b'@', data)?;
        let stamp = data.get(from + 1..from + Self::BLANK.len())?;
        let (nanos, place) = stamp.split_at(NANOS_DIGITS);
        let place = read_digits(place.strip_prefix(b"#")?)?;
        // A place out of range is none of ours, so this is no stamp.
        Some(Self { nanos: read_digits(nanos)?, place: u32::try_from(place).ok()? })
    }
}

fn write_digits(mut number: u64, at: &mut [u8]) {
    for digit in at.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// A stamp with all its digits fits what was left blank for it.
const _: () = assert!(Stamp::BLANK.len() == 1 + NANOS_DIGITS + 1 + PLACE_DIGITS);
