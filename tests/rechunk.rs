//! However the bytes are cut, the same bytes leave: byte by byte, in two at every place, in many at random
//! places; the framer alone gives the same frames and counts the same repairs.

mod support;

use millpond::dialect::{AnyDialect, framer};
use millpond::event::Repairs;
use millpond::framing::FRAME_LIMIT;
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
    check(frames);
}

/// The frames of a body, the framer's repairs and what was no frame, as text.
fn frames(dialect: AnyDialect, pieces: &[&[u8]]) -> String {
    let mut framer = framer(dialect.as_dialect(), FRAME_LIMIT);
    let mut repairs = Repairs::default();
    let mut out = String::new();
    let mut write = |frame: millpond::framing::Frame<'_>| {
        let (name, data) = (frame.name.escape_ascii(), frame.data.escape_ascii());
        out.push_str(&format!("{name} {data} {} {}\n", frame.closed, frame.bare));
    };
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next(&mut repairs) {
                Ok(Some(frame)) => write(frame),
                Ok(None) => break,
                // A damaged frame is the last.
                Err(error) => return format!("{out}{error}"),
            }
        }
    }
    while let Some(frame) = framer.finish(&mut repairs) {
        write(frame);
    }
    let counted: Vec<_> = repairs.iter().map(|(repair, count)| (repair.as_str(), count)).collect();
    out.push_str(&format!("{counted:?}\n{}", framer.stray().escape_ascii()));
    out
}
