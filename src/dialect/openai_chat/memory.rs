//! The frame before: most frames of an answer differ from the one before in one string.
//!
//! A provider writes every frame of an answer from the same form: only the next piece of text, reasoning or
//! arguments is new (and padding, where it has some). After a frame was parsed in full, its bytes outside
//! those strings are kept. If the next frame has the same bytes around strings of its own, it says the same
//! but for them, and is not parsed again. Whatever does not match is parsed in full, so this changes the cost
//! of a frame and never what it means.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use crate::event::{Delta, Detail, Repair, Repairs, Said, Scope, ToolFragment};
use crate::json::{self, Field};

/// After so many forms in a row that no frame matched, the provider is not learned any more.
const PATIENCE: u32 = 8;

/// What is remembered of the frames so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    form: Option<Form>,
    /// Forms that were learned since the last frame that matched one.
    in_vain: u32,
}

/// The bytes that stay, and what they mean.
#[derive(Debug)]
struct Form {
    /// The text around the holes: one more than there are holes.
    segments: Vec<String>,
    holes: Vec<Kind>,
    deltas: Vec<Piece>,
    repairs: Vec<Repair>,
}

/// A string that differs from frame to frame: its content, between the quotes.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) kind: Kind,
    /// Where it stands in the frame.
    pub(super) place: Range<usize>,
}

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is what the frame says. Where it stands more than once, it is the same every time.
    Said,
    /// It means nothing.
    Padding,
}

/// A delta of the form; `Mark` ranges are filled in from the frame.
#[derive(Debug)]
enum Piece {
    Id(Range<Mark>),
    Model(Range<Mark>),
    Created(u64),
    Unknown(Scope, Range<Mark>, Range<Mark>),
    Choice { choice: u32, role: bool },
    Reasoning(u32),
    Text(u32),
    Detail { choice: u32, raw: Range<Mark>, says: bool },
    Tool { choice: u32, index: Option<i64> },
}

/// A place in a frame of the form: so far behind the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    segment: usize,
    offset: usize,
}

/// Where the pieces of a form stand in one frame.
struct Fit<'a> {
    text: &'a str,
    /// Where each segment begins.
    segments: SmallVec<[usize; 4]>,
    /// What the frame says.
    said: Cow<'a, str>,
}

impl Memory {
    /// Reads a frame by the form of the one before. False if it does not fit: nothing was reported then.
    pub(super) fn recall<'a>(
        &mut self,
        text: &'a str,
        out: &mut Vec<Delta<'a>>,
        repairs: &mut Repairs,
    ) -> bool {
        let Some(form) = &self.form else { return false };
        let Some(fit) = form.fit(text) else { return false };
        if form.deltas.iter().try_for_each(|piece| fit.delta(piece).map(|delta| out.push(delta))).is_none() {
            out.clear();
            return false;
        }
        form.repairs.iter().for_each(|&repair| repairs.count(repair));
        self.in_vain = 0;
        true
    }

    /// True if learning has been of use, or has not been tried often.
    pub(super) fn is_learning(&self) -> bool {
        self.in_vain < PATIENCE
    }

    /// Takes the form of a frame that was parsed in full.
    pub(super) fn learn(
        &mut self,
        text: &str,
        mut holes: Vec<Hole>,
        deltas: &[Delta<'_>],
        repairs: Vec<Repair>,
    ) {
        holes.sort_by_key(|hole| hole.place.start);
        let form = Form::of(text, &holes, deltas, repairs);
        self.in_vain += u32::from(form.is_some());
        self.form = form;
    }
}

impl Form {
    fn of(text: &str, holes: &[Hole], deltas: &[Delta<'_>], repairs: Vec<Repair>) -> Option<Form> {
        let mut said = None;
        for hole in holes.iter().filter(|hole| hole.kind == Kind::Said) {
            let content = text.get(hole.place.clone())?;
            if content.is_empty() || *said.get_or_insert(content) != content {
                return None;
            }
        }
        let said = unescape(said?)?;
        let mut segments = Vec::with_capacity(holes.len() + 1);
        let mut starts = Vec::with_capacity(holes.len() + 1);
        let mut at = 0;
        for hole in holes {
            segments.push(text.get(at..hole.place.start)?.to_owned());
            starts.push(at);
            at = hole.place.end;
        }
        segments.push(text.get(at..)?.to_owned());
        starts.push(at);
        let marker = Marker { text, starts: &starts, said: &said };
        let deltas = deltas.iter().map(|delta| marker.piece(delta)).collect::<Option<Vec<_>>>()?;
        Some(Form { segments, holes: holes.iter().map(|hole| hole.kind).collect(), deltas, repairs })
    }

    /// Lays the form over a frame.
    fn fit<'a>(&self, text: &'a str) -> Option<Fit<'a>> {
        let mut segments = SmallVec::new();
        let mut said: Option<&str> = None;
        let mut at = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let rest = text.get(at..)?.strip_prefix(segment.as_str())?;
            segments.push(at);
            at += segment.len();
            let Some(kind) = self.holes.get(index) else { continue };
            let content = rest.get(..string_end(rest.as_bytes())?)?;
            at += content.len();
            match kind {
                Kind::Said if content.is_empty() || said.is_some_and(|said| said != content) => return None,
                Kind::Said => said = Some(content),
                Kind::Padding => {}
            }
        }
        (at == text.len()).then_some(())?;
        Some(Fit { text, segments, said: unescape(said?)? })
    }
}

/// Where the string that begins here ends: the place of its closing quote. None for a string that a strict
/// parser has to look at.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(found) == Some(&b'"') {
            let content = text.get(..found)?;
            return content.iter().all(|&byte| byte >= 0x20).then_some(found);
        }
        at = found + 2;
    }
}

fn unescape(content: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Some(Cow::Borrowed(content));
    }
    json::string(&format!("\"{content}\"")).map(|text| Cow::Owned(text.into_owned()))
}

impl<'a> Fit<'a> {
    fn slice(&self, range: &Range<Mark>) -> Option<&'a str> {
        let place = |mark: Mark| self.segments.get(mark.segment).map(|start| start + mark.offset);
        self.text.get(place(range.start)?..place(range.end)?)
    }

    fn delta(&self, piece: &Piece) -> Option<Delta<'a>> {
        Some(match piece {
            Piece::Id(place) => Delta::Id(Cow::Borrowed(self.slice(place)?)),
            Piece::Model(place) => Delta::Model(Cow::Borrowed(self.slice(place)?)),
            Piece::Created(created) => Delta::Created(*created),
            Piece::Unknown(scope, name, value) => {
                let (name, value) = (Cow::Borrowed(self.slice(name)?), Cow::Borrowed(self.slice(value)?));
                Delta::Unknown(*scope, Field { name, value })
            }
            &Piece::Choice { choice, role } => Delta::Choice { choice, role },
            &Piece::Reasoning(choice) => Delta::Reasoning { choice, text: Said::Next(self.said.clone()) },
            &Piece::Text(choice) => Delta::Text { choice, text: Said::Next(self.said.clone()) },
            Piece::Detail { choice, raw, says } => Delta::Detail {
                choice: *choice,
                detail: Box::new(Detail {
                    raw: Cow::Borrowed(self.slice(raw)?),
                    text: says.then(|| self.said.clone()),
                    signs: None,
                }),
            },
            &Piece::Tool { choice, index } => Delta::Tool {
                choice,
                fragment: Box::new(ToolFragment {
                    index,
                    arguments: Some(self.said.clone()),
                    ..ToolFragment::default()
                }),
            },
        })
    }
}

/// Finds what the deltas of a frame are made of.
struct Marker<'x> {
    text: &'x str,
    /// Where each segment begins in the frame.
    starts: &'x [usize],
    said: &'x str,
}

impl Marker<'_> {
    /// The piece that gives this delta again; None for one that no form can give.
    fn piece(&self, delta: &Delta<'_>) -> Option<Piece> {
        Some(match delta {
            Delta::Id(id) => Piece::Id(self.marks(id)?),
            Delta::Model(model) => Piece::Model(self.marks(model)?),
            Delta::Created(created) => Piece::Created(*created),
            Delta::Unknown(scope, field) => {
                Piece::Unknown(*scope, self.marks(&field.name)?, self.marks(&field.value)?)
            }
            &Delta::Choice { choice, role } => Piece::Choice { choice, role },
            Delta::Reasoning { choice, text: Said::Next(text) } if text == self.said => {
                Piece::Reasoning(*choice)
            }
            Delta::Text { choice, text: Said::Next(text) } if text == self.said => Piece::Text(*choice),
            Delta::Detail { choice, detail } if detail.signs.is_none() => {
                let says = match detail.text.as_deref() {
                    None => false,
                    Some(text) if text == self.said => true,
                    Some(_) => return None,
                };
                Piece::Detail { choice: *choice, raw: self.marks(&detail.raw)?, says }
            }
            Delta::Tool { choice, fragment } => {
                let ToolFragment { index, id, name, arguments, whole, signature, extra_content, unknown } =
                    fragment.as_ref();
                let plain = id.is_none() && name.is_none() && !whole && signature.is_none();
                let says = arguments.as_deref() == Some(self.said);
                if !plain || !says || !extra_content.is_empty() || !unknown.is_empty() {
                    return None;
                }
                Piece::Tool { choice: *choice, index: *index }
            }
            Delta::Reasoning { .. }
            | Delta::Text { .. }
            | Delta::Detail { .. }
            | Delta::Refusal { .. }
            | Delta::Finish { .. }
            | Delta::Counted(_)
            | Delta::Usage(..)
            | Delta::Error(_)
            | Delta::End => return None,
        })
    }

    /// Where a text stands in the frame it is borrowed from; None if it is not.
    fn marks(&self, text: &str) -> Option<Range<Mark>> {
        let place = place_in(self.text, text)?;
        Some(self.mark(place.start)?..self.mark(place.end)?)
    }

    fn mark(&self, at: usize) -> Option<Mark> {
        let segment = self.starts.iter().rposition(|&start| start <= at)?;
        Some(Mark { segment, offset: at - self.starts.get(segment)? })
    }
}

/// Where a slice of a text stands in it; None if it is no slice of it.
pub(super) fn place_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}
