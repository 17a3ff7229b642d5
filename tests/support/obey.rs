//! What holds for any bytes: the answer obeys the contract, as a stream and as an object, and neither the
//! answer nor the frames depend on how the bytes were cut.

use millpond::dialect::AnyDialect;
use millpond::event::Repairs;
use millpond::framing::{Frame, Framer};

use super::contract::{Answer, End, check_object, check_stream};
use super::{Random, cut, difference};

/// What a client understands of a body, if stream and object obey the contract and agree.
pub fn obey(dialect: AnyDialect, body: &[u8]) -> Result<Answer, String> {
    let answer = check_stream(&super::stream(dialect, [body]), true)?;
    let object = check_object(&super::filter(dialect, body, true, true).0)
        .map_err(|rule| format!("as an object, {rule}"))?;
    if object.end != answer.end {
        return Err(format!("H1: the object ends as {:?}, the stream as {:?}", object.end, answer.end));
    }
    let said = |answer: &Answer| {
        let mut choices = answer.choices.clone();
        choices.values_mut().for_each(|choice| choice.details.clear()); // The object joins them.
        choices
    };
    if answer.end == End::Complete && said(&object) != said(&answer) {
        return Err(format!("H1: the object says {:?}, the stream {:?}", said(&object), said(&answer)));
    }
    Ok(answer)
}

/// The same, and the same bytes leave for a body that comes in pieces.
pub fn obey_in_pieces(dialect: AnyDialect, body: &[u8], random: &mut Random) -> Result<Answer, String> {
    let answer = obey(dialect, body)?;
    let whole = super::stream(dialect, [body]);
    let count = 1 + random.below(6);
    let places = random.places(count, body.len());
    for pieces in [cut(body, &places), body.chunks(1).collect()] {
        let other = super::stream(dialect, pieces);
        if other != whole {
            let (other, whole) = (String::from_utf8_lossy(&other), String::from_utf8_lossy(&whole));
            return Err(format!("C1: another answer when cut at {places:?}: {}", difference(&other, &whole)));
        }
    }
    Ok(answer)
}

/// The frames of a body, the framer's repairs and what was no frame, as text.
pub fn frame_texts<'a>(mut framer: Framer, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut repairs = Repairs::default();
    let mut out = String::new();
    let mut write = |frame: Frame<'_>| {
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
