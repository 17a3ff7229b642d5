//! The faults that the mock plays, by name.

/// A fault with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// After how many frames, in which frame, or at which byte; 0 where there is no such number.
    pub number: usize,
}

/// What goes wrong, by the stage of the answer at which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the manner, as if the provider had that habit.
    Habit(Habit),
    /// In the frames.
    Frames(Frames),
    /// In the bytes.
    Bytes(Bytes),
    /// In the course of sending.
    Course(Course),
    /// In place of a stream.
    Reply(Reply),
}

/// A fault that is a habit; the table below has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    NoDone,
    NoFinish,
    NoFinishNoDone,
    NullChoices,
    Crlf,
    Cr,
}

/// A fault in the frames; the table below has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    CutAfter,
    Garbage,
    UnknownFrame,
    Error,
    ErrorString,
    ErrorEvent,
    ErrorChoice,
    BareError,
    Error200,
    OnlyDone,
    AfterDone,
    DoneSpaces,
    KeepAlives,
    BadUtf8,
    Nan,
    BadType,
    HugeFrame,
    Surrogate,
}

/// A fault in the bytes; the table below has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    Bom,
    NoBlankLine,
    CutByte,
    CutHalf,
    Drip,
}

/// A fault in the course of sending; the table below has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    AbortAfter,
    ResetAfter,
    Stall,
    StallFirst,
    StallHeaders,
    HangComments,
    Slow,
}

/// A fault that is an answer of another kind; the table below has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Refuse(Refusal),
    Error200,
    Html200,
    Empty,
    Json,
}

/// An answer with an error status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The form of the body.
    pub form: Form,
    /// When to come back.
    pub retry: Retry,
}

/// The form of an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON in the envelope of the manner.
    Envelope,
    /// A page.
    Html,
    /// Plain text.
    Text,
    /// Nothing.
    Empty,
}

/// What `retry-after` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is absent.
    Absent,
    /// Two seconds.
    Seconds,
    /// The date two seconds from now.
    Date,
}

/// A row of the table: the name without number, the default number, the sentence.
struct Row {
    name: &'static str,
    number: Option<usize>,
    kind: Kind,
    about: &'static str,
}

impl Fault {
    /// Finds a fault by its name, with or without its number.
    pub fn find(name: &str) -> Option<Self> {
        if let Some(row) = FAULTS.iter().find(|row| row.name == name) {
            return Some(row.fault(row.number.unwrap_or(0)));
        }
        let (stem, number) = name.rsplit_once('-')?;
        let number = number.parse().ok()?;
        FAULTS.iter().find(|row| row.name == stem && row.number.is_some()).map(|row| row.fault(number))
    }
}

/// Lists the faults: the name with its default number, and a sentence.
pub fn list() -> impl Iterator<Item = (String, &'static str)> {
    FAULTS.iter().map(|row| match row.number {
        Some(number) => (format!("{}-{number}", row.name), row.about),
        None => (row.name.to_owned(), row.about),
    })
}

impl Row {
    fn fault(&self, number: usize) -> Fault {
        Fault { kind: self.kind, number }
    }
}

const fn plain(name: &'static str, kind: Kind, about: &'static str) -> Row {
    Row { name, number: None, kind, about }
}

const fn numbered(name: &'static str, number: usize, kind: Kind, about: &'static str) -> Row {
    Row { name, number: Some(number), kind, about }
}

const fn refusal(name: &'static str, status: u16, form: Form, about: &'static str) -> Row {
    let retry = Retry::Absent;
    let refusal = Refusal { status, form, retry };
    plain(name, Kind::Reply(Reply::Refuse(refusal)), about)
}

const fn limited(name: &'static str, retry: Retry, about: &'static str) -> Row {
    let refusal = Refusal { status: 429, form: Form::Envelope, retry };
    plain(name, Kind::Reply(Reply::Refuse(refusal)), about)
}

const FAULTS: &[Row] = &[
    numbered("cut-after", 3, Kind::Frames(Frames::CutAfter), "The body ends cleanly after frame N."),
    numbered("cut-byte", 300, Kind::Bytes(Bytes::CutByte), "The body ends cleanly at byte N."),
    numbered("cut-half", 3, Kind::Bytes(Bytes::CutHalf), "The body ends cleanly in the middle of frame N."),
    numbered(
        "abort-after",
        3,
        Kind::Course(Course::AbortAfter),
        "The connection closes after frame N, without the last HTTP chunk.",
    ),
    numbered("reset-after", 3, Kind::Course(Course::ResetAfter), "The connection is reset after frame N."),
    numbered("stall", 3, Kind::Course(Course::Stall), "Silence after N frames, for 120 s."),
    plain("stall-first", Kind::Course(Course::StallFirst), "Headers, then silence for 120 s."),
    plain("stall-headers", Kind::Course(Course::StallHeaders), "Silence for 120 s, not even headers."),
    plain(
        "hang-comments",
        Kind::Course(Course::HangComments),
        "Nothing but a comment every second, for ever.",
    ),
    plain("slow", Kind::Course(Course::Slow), "A frame every 250 ms."),
    plain("drip", Kind::Bytes(Bytes::Drip), "One byte in each write."),
    numbered("garbage", 2, Kind::Frames(Frames::Garbage), "A frame that is not JSON after N frames."),
    numbered(
        "bare-error",
        2,
        Kind::Frames(Frames::BareError),
        "A JSON error without `data:` after N frames, and the end.",
    ),
    numbered(
        "error",
        2,
        Kind::Frames(Frames::Error),
        "An error in OpenAI's envelope after N frames, and the end.",
    ),
    numbered(
        "error-choice",
        2,
        Kind::Frames(Frames::ErrorChoice),
        "OpenRouter's error beside `choices` after N frames, and the end.",
    ),
    numbered(
        "error-event",
        2,
        Kind::Frames(Frames::ErrorEvent),
        "An error under `event: error` after N frames, and the end.",
    ),
    numbered(
        "error-string",
        2,
        Kind::Frames(Frames::ErrorString),
        "An error that is a string after N frames, and the end.",
    ),
    refusal("400", 400, Form::Envelope, "Status 400 in the envelope of the manner."),
    refusal("401", 401, Form::Envelope, "Status 401 in the envelope of the manner."),
    refusal("402", 402, Form::Envelope, "Status 402 in the envelope of the manner."),
    refusal("403", 403, Form::Envelope, "Status 403 in the envelope of the manner."),
    refusal("404", 404, Form::Envelope, "Status 404 in the envelope of the manner."),
    limited("429", Retry::Seconds, "Status 429 with `retry-after: 2` and rate limit headers."),
    limited("429-date", Retry::Date, "Status 429 with a date in `retry-after`."),
    refusal("500", 500, Form::Envelope, "Status 500 in the envelope of the manner."),
    refusal("500-html", 500, Form::Html, "Status 500 with a page."),
    refusal("502-text", 502, Form::Text, "Status 502 with plain text."),
    refusal("503-empty", 503, Form::Empty, "Status 503 without a body."),
    refusal("529", 529, Form::Envelope, "Status 529, overloaded, in the envelope of the manner."),
    plain("error-200", Kind::Reply(Reply::Error200), "Status 200 with a JSON error."),
    plain("error-200-sse", Kind::Frames(Frames::Error200), "Status 200 with a lone error event."),
    plain("html-200", Kind::Reply(Reply::Html200), "Status 200 with a page."),
    plain("empty", Kind::Reply(Reply::Empty), "Status 200 without a body."),
    plain("only-done", Kind::Frames(Frames::OnlyDone), "Nothing but `[DONE]`."),
    plain("json", Kind::Reply(Reply::Json), "A JSON completion although a stream was asked for."),
    plain("no-done", Kind::Habit(Habit::NoDone), "No `[DONE]`."),
    plain("no-finish", Kind::Habit(Habit::NoFinish), "No finish reason."),
    plain("no-finish-no-done", Kind::Habit(Habit::NoFinishNoDone), "Neither a finish reason nor `[DONE]`."),
    plain("no-blank-line", Kind::Bytes(Bytes::NoBlankLine), "The last event has no line end."),
    plain("after-done", Kind::Frames(Frames::AfterDone), "A chunk after `[DONE]`."),
    plain("done-spaces", Kind::Frames(Frames::DoneSpaces), "Spaces after `[DONE]`."),
    plain("bom", Kind::Bytes(Bytes::Bom), "A byte order mark at the beginning."),
    plain("crlf", Kind::Habit(Habit::Crlf), "CRLF line ends."),
    plain("cr", Kind::Habit(Habit::Cr), "CR line ends."),
    plain(
        "keep-alives",
        Kind::Frames(Frames::KeepAlives),
        "Comments, empty `data:`, lone `event:`, `id:` and `retry:` between frames.",
    ),
    numbered(
        "bad-utf8",
        3,
        Kind::Frames(Frames::BadUtf8),
        "Invalid UTF-8 in the text of frame N, or of the next one with text.",
    ),
    numbered("nan", 3, Kind::Frames(Frames::Nan), "`NaN` and `-Infinity` beside the text of frame N."),
    plain(
        "surrogate",
        Kind::Frames(Frames::Surrogate),
        "The two halves of an escaped surrogate pair in two frames.",
    ),
    plain("huge-frame", Kind::Frames(Frames::HugeFrame), "A frame of 20 MiB."),
    numbered(
        "unknown-frame",
        2,
        Kind::Frames(Frames::UnknownFrame),
        "A JSON object that is no chunk after N frames.",
    ),
    plain("null-choices", Kind::Habit(Habit::NullChoices), "Usage on a chunk with `choices: null`."),
    numbered(
        "bad-type",
        3,
        Kind::Frames(Frames::BadType),
        "Odd types in the fields beside the text of frame N.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_the_name_it_is_listed_under() {
        for (name, about) in list() {
            assert!(Fault::find(&name).is_some(), "{name}");
            assert!(about.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_number_may_follow_where_one_is_expected() {
        let find = |name| Fault::find(name).map(|fault| (fault.kind, fault.number));
        assert_eq!(find("cut-after"), Some((Kind::Frames(Frames::CutAfter), 3)));
        assert_eq!(find("cut-after-0"), Some((Kind::Frames(Frames::CutAfter), 0)));
        assert_eq!(find("error-7"), Some((Kind::Frames(Frames::Error), 7)));
        assert_eq!(find("error-200"), Some((Kind::Reply(Reply::Error200), 0)));
        assert_eq!(find("drip-7"), None);
        assert_eq!(find("nonsense"), None);
    }
}
