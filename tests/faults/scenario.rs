//! One row of the table: what the upstream does, and what must be told of it.

use std::time::Duration;

use crate::bases::Speech;
use crate::said::Said;

/// What an upstream does next.
#[derive(Debug, Clone)]
pub enum Act {
    Write(Vec<u8>),
    /// A pace, not a wait for anything.
    Pause(Duration),
    /// Writes the same again and again, in this pace, until the proxy has enough of it.
    Repeat(Vec<u8>, Duration),
    /// Nothing, until the proxy closes the connection.
    Silence,
    /// Ends the connection.
    Close,
    /// Ends it with a reset: what was just written may be lost.
    Reset,
}

/// How a stream of HTTP/2 ends that has these frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stop {
    /// As it should.
    End,
    /// The stream alone is reset.
    Reset(h2::Reason),
    /// Before the headers.
    ResetAtOnce(h2::Reason),
    /// The connection goes away, and takes the stream with it.
    GoAway(h2::Reason),
    /// The connection takes no more streams; this one may end.
    GoAwayAfterThis,
}

/// What the upstream is.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// What it does in each attempt; the last holds for all later ones.
    Plain(Vec<Vec<Act>>),
    /// Over TLS and HTTP/2: pieces of the body, and the end.
    Streams(Vec<Vec<u8>>, Stop),
}

/// What the client must have got of the texts.
#[derive(Debug, Clone)]
pub enum Text {
    /// This: no more, no less. Of calls that were cut a beginning.
    All(Said),
    /// A beginning of it.
    Beginning(Said),
    /// A beginning of the second, which is no less than the first.
    Between(Said, Said),
}

/// One row.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    pub speech: Speech,
    pub stream: bool,
    pub upstream: Upstream,
    /// Lines of the provider's config.
    pub config: &'static str,
    /// `complete`, or a code of the closed list.
    pub end: String,
    pub text: Text,
    /// Requests that the upstream must have seen.
    pub attempts: usize,
}

impl Scenario {
    /// A scenario in which a stream is asked for once.
    pub fn new(name: String, speech: Speech, acts: Vec<Act>, end: &str, text: Text) -> Scenario {
        let upstream = Upstream::Plain(vec![acts]);
        Scenario { name, speech, stream: true, upstream, config: "", end: end.to_owned(), text, attempts: 1 }
    }

    /// With deadlines of its own.
    pub fn config(self, config: &'static str) -> Scenario {
        Scenario { config, ..self }
    }

    /// The same for a client that wants one object.
    pub fn as_object(&self) -> Scenario {
        let name = format!("{}, as an object", self.name);
        Scenario { name, stream: false, ..self.clone() }
    }
}
