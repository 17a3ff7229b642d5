//! However the bytes are cut, the same bytes leave: byte by byte, in two at every place, in many at random
//! places; the framer alone gives the same frames and counts the same repairs.

mod support;

use millpond::dialect::{AnyDialect, framer};
use millpond::framing::FRAME_LIMIT;
use support::obey::frame_texts;
use support::{Case, Random, cut, difference, golden_bodies, in_parallel};

/// Every case is cut into many pieces in so many ways.
const WAYS: usize = 200;
/// A case of up to this size is cut in two at every place, a longer one at as many places.
const PLACES: usize = 3 << 10;
const SEED: u64 = 2;

/// Runs a check on all cases with each way of cutting them; `result` must always be the same.
fn check(result: impl Fn(AnyDialect, &[&[u8]]) -> String + Sync) {
    support::assert_none(&in_parallel(&golden_bodies(), |(case, body)| {
        let whole = result(case.dialect(), &[body]);
        let mut failures = Vec::new();
        for places in ways(case, body) {
            let pieces = cut(body, &places);
            let other = result(case.dialect(), &pieces);
            if other != whole {
                let places = support::short(&format!("{places:?}"));
                failures.push(format!("{} cut at {places}: {}", case.label(), difference(&other, &whole)));
                break;
            }
        }
        failures
    }));
}

/// The places to cut at: every byte, one place each, many places at random.
fn ways<'a>(case: &Case, body: &[u8]) -> impl Iterator<Item = Vec<usize>> + use<'a> {
    let length = body.len();
    let step = length.div_ceil(PLACES).max(1);
    let mut random = Random(SEED ^ case.label().bytes().map(u64::from).sum::<u64>());
    let bytes = std::iter::once((1..length.max(1)).collect());
    let in_two = (0..=length).step_by(step).map(|place| vec![place]);
    let in_many = (0..WAYS).map(move |_| {
        let count = 1 + random.below(12);
        random.places(count, length)
    });
    bytes.chain(in_two).chain(in_many)
}

#[test]
fn the_same_bytes_leave_however_they_are_cut() {
    check(|dialect, pieces| String::from_utf8(support::stream(dialect, pieces.iter().copied())).unwrap());
}

#[test]
fn the_same_frames_come_however_the_bytes_are_cut() {
    check(|dialect, pieces| frame_texts(framer(dialect.as_dialect(), FRAME_LIMIT), pieces.iter().copied()));
}
