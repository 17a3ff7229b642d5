//! What a frame said ([`Delta`], lenient) and what millpond promises ([`Event`], strict).
//!
//! Only the normalizer turns one into the other, so whatever comes after it may trust the laws on
//! [`Event`]. Both borrow from the frame they came from.

mod fault;
mod heard;
mod repair;
mod usage;

use std::borrow::Cow;

pub use fault::{ErrorType, Fault, FaultCode};
pub(crate) use heard::Heard;
pub use repair::{Repair, Repairs};
pub use usage::Usage;

use crate::json::{self, Field};

/// One thing that a frame of the upstream said, as leniently as it was said.
///
/// A decoder reports the deltas of one frame in this order: identity and unknown fields of the answer, then
/// for each choice its unknown fields, reasoning, content, refusal, tool fragments and finish, then usage,
/// error and end.
#[derive(Debug)]
pub enum Delta<'a> {
    /// The answer's own name; empty values are not reported.
    Id(Cow<'a, str>),
    /// The model that answers; empty values are not reported.
    Model(Cow<'a, str>),
    /// Unix seconds; zero is not reported.
    Created(u64),
    /// A field that millpond does not know, to be carried as it is.
    Unknown(Scope, Field<'a>),
    /// A choice was mentioned; `role` is true where a role was given.
    Choice {
        /// The choice.
        choice: u32,
        /// Whether the frame named the role.
        role: bool,
    },
    /// Reasoning as plain text.
    Reasoning {
        /// The choice.
        choice: u32,
        /// The next piece, or all of it so far.
        text: Said<'a>,
    },
    /// One item of structured reasoning, in OpenRouter's shape.
    Detail {
        /// The choice.
        choice: u32,
        /// The item.
        detail: Box<Detail<'a>>,
    },
    /// Text of the answer.
    Text {
        /// The choice.
        choice: u32,
        /// The next piece, or all of it so far.
        text: Said<'a>,
    },
    /// Text of a refusal.
    Refusal {
        /// The choice.
        choice: u32,
        /// The next piece, or all of it so far.
        text: Said<'a>,
    },
    /// A piece of a tool call.
    Tool {
        /// The choice.
        choice: u32,
        /// The piece.
        fragment: Box<ToolFragment<'a>>,
    },
    /// The choice ended; the words are the provider's own.
    Finish {
        /// The choice.
        choice: u32,
        /// The reason, in the provider's word.
        reason: Cow<'a, str>,
        /// The reason behind the reason, where a gateway reports it (`native_finish_reason`).
        native: Option<Cow<'a, str>>,
    },
    /// The tokens of the request, told before the answer; a report of all of them follows.
    Counted(Box<Usage>),
    /// A report of tokens; true if it came on a chunk that has choices.
    Usage(Box<Usage>, bool),
    /// The upstream reported a failure.
    Error(Box<Fault>),
    /// The upstream's own end mark.
    End,
}

impl Delta<'_> {
    /// True for a part of the answer, its finish or its end; false for what is on every chunk, or on chunks
    /// that are sent to be heard of.
    pub fn says_something(&self) -> bool {
        match self {
            Delta::Id(_)
            | Delta::Model(_)
            | Delta::Created(_)
            | Delta::Choice { .. }
            | Delta::Counted(_)
            | Delta::Usage(..)
            | Delta::Unknown(Scope::Answer | Scope::Choice(_), _) => false,
            Delta::Reasoning { text, .. } | Delta::Text { text, .. } | Delta::Refusal { text, .. } => {
                !text.is_empty()
            }
            Delta::Unknown(Scope::Delta(_), field) => !field.says_nothing(),
            Delta::Detail { .. }
            | Delta::Tool { .. }
            | Delta::Finish { .. }
            | Delta::Error(_)
            | Delta::End => true,
        }
    }
}

/// Where an unknown field stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Beside `choices`.
    Answer,
    /// Inside a choice, beside `delta`.
    Choice(u32),
    /// Inside the delta of a choice.
    Delta(u32),
}

/// Text, and whether it continues what was said or says all of it again.
#[derive(Debug)]
pub enum Said<'a> {
    /// The next piece.
    Next(Cow<'a, str>),
    /// Everything said so far, and perhaps more.
    Whole(Cow<'a, str>),
}

impl Said<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Said::Next(text) | Said::Whole(text) => text.is_empty(),
        }
    }
}

/// One item of structured reasoning.
#[derive(Debug)]
pub struct Detail<'a> {
    /// The item as JSON text, in the shape of OpenRouter's `reasoning_details[]`.
    pub raw: Cow<'a, str>,
    /// The item's readable text, where it has any.
    pub text: Option<Cow<'a, str>>,
    /// The item's `id`, where it is an encrypted one; it may be the id of the tool call it signs.
    pub signs: Option<Cow<'a, str>>,
}

/// A piece of a tool call; what is missing, null or empty upstream is `None`.
#[derive(Debug, Default)]
pub struct ToolFragment<'a> {
    /// The upstream's number for the call.
    pub index: Option<i64>,
    /// The upstream's id of the call.
    pub id: Option<Cow<'a, str>>,
    /// The function's name, or a piece of it.
    pub name: Option<Cow<'a, str>>,
    /// A piece of the arguments.
    pub arguments: Option<Cow<'a, str>>,
    /// True if the fragment stands in a message that says everything again.
    pub whole: bool,
    /// A thought signature that belongs to the call.
    pub signature: Option<Cow<'a, str>>,
    /// Members of the upstream's `extra_content`.
    pub extra_content: Vec<Field<'a>>,
    /// Fields that millpond does not know.
    pub unknown: Vec<Field<'a>>,
}

/// One thing that millpond tells its client. Each [`Part`], [`Event::Finish`] and [`Event::Usage`] is one
/// chunk of the stream.
///
/// The laws, for one answer (rules of the contract in brackets):
/// - [`Event::Start`] comes once, before everything else, unless the answer failed before it said anything.
/// - The first event of a choice, and no other, has `first` set (C2).
/// - Each choice that was opened has exactly one `Finish`, after everything else of the choice (E1), if
///   the answer is complete.
/// - `Usage` comes at most once, after the last `Finish` (E2).
/// - The last event is `Complete` or `Fault`, and there is exactly one of them (A3, A4).
#[derive(Debug)]
pub enum Event<'a> {
    /// The envelope of all chunks.
    Start(&'a Identity),
    /// A piece of a choice.
    Part(Part<'a>),
    /// A choice ended.
    Finish(Finish<'a>),
    /// The tokens of the whole answer.
    Usage(&'a Usage),
    /// The answer is complete.
    Complete,
    /// The answer is incomplete, and this is why.
    Fault(&'a Fault),
}

/// What is equal on all chunks of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The answer's name.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// When it was created, in Unix seconds.
    pub created: u64,
    /// The tokens that were counted before the first chunk: those of the request, where the provider tells
    /// them so early.
    pub counted: Option<Usage>,
}

impl Identity {
    /// Appends the members with which a chunk or an object of that kind begins; its brace stays open.
    pub(crate) fn write_as(&self, object: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write_string(&self.id, out);
        out.extend_from_slice(b",\"object\":");
        json::write_string(object, out);
        out.extend_from_slice(b",\"created\":");
        json::write_number(self.created, out);
        out.extend_from_slice(b",\"model\":");
        json::write_string(&self.model, out);
    }
}

/// A piece of a choice, with the unknown fields that came in the same frame.
#[derive(Debug)]
pub struct Part<'a> {
    /// The choice.
    pub choice: u32,
    /// True on the first event of the choice.
    pub first: bool,
    /// What is said.
    pub body: Body<'a>,
    /// Unknown fields to carry.
    pub unknown: Unknown<'a>,
}

/// What a [`Part`] says.
#[derive(Debug)]
pub enum Body<'a> {
    /// Nothing but the unknown fields, or the role.
    Nothing,
    /// Text of the answer.
    Text(&'a str),
    /// Text of a refusal.
    Refusal(&'a str),
    /// Reasoning: readable text (may be empty) and structured items (may be none), the same in two forms.
    Reasoning {
        /// Readable text.
        text: &'a str,
        /// Items in OpenRouter's shape, each JSON text.
        details: &'a [Cow<'a, str>],
    },
    /// The first fragment of a tool call.
    ToolStart {
        /// 0, 1, 2 … per choice.
        index: u32,
        /// Unique in the answer.
        id: &'a str,
        /// The whole name.
        name: &'a str,
        /// The first piece of the arguments, possibly empty.
        arguments: &'a str,
        /// `signature`, `reasoning_detail` and whatever the provider put beside them.
        extra_content: &'a [Field<'a>],
        /// Fields of the call that millpond does not know.
        unknown: &'a [Field<'a>],
    },
    /// A later fragment of a tool call.
    ToolMore {
        /// The call.
        index: u32,
        /// The next piece of the arguments; empty only where a signature came late.
        arguments: &'a str,
        /// `signature`, `reasoning_detail` and whatever the provider put beside them.
        extra_content: &'a [Field<'a>],
        /// Fields of the call that millpond does not know.
        unknown: &'a [Field<'a>],
    },
}

/// The end of a choice.
#[derive(Debug)]
pub struct Finish<'a> {
    /// The choice.
    pub choice: u32,
    /// Why it ended.
    pub reason: FinishReason,
    /// The provider's own word, where it differs or was given as such.
    pub native: Option<&'a str>,
    /// Unknown fields to carry.
    pub unknown: Unknown<'a>,
}

/// The field of a choice or of a call that tells the id which its item has in the Responses API. Only clients of that
/// API are told it: elsewhere it means nothing, and providers refuse what they do not know when it comes back.
pub const ITEM_ID: &str = "millpond.item_id";

/// The fields that clients of any API are told.
pub fn told<'f, 'a>(fields: &'f [Field<'a>]) -> impl Iterator<Item = &'f Field<'a>> {
    fields.iter().filter(|field| field.name != ITEM_ID)
}

/// Unknown fields that ride on a chunk.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unknown<'a> {
    /// Beside `choices`.
    pub answer: &'a [Field<'a>],
    /// Beside `delta`.
    pub choice: &'a [Field<'a>],
    /// Inside `delta`.
    pub delta: &'a [Field<'a>],
}

/// Why a choice ended, in the words of the chat-completions API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    Stop,
    /// A limit of tokens was reached.
    Length,
    /// The model wants tools to be called.
    ToolCalls,
    /// The provider withheld content.
    ContentFilter,
}

impl FinishReason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::ContentFilter => "content_filter",
        }
    }
}

/// Whoever takes the events of an answer: the encoder, observers, tests.
pub trait Sink {
    /// Takes the next event.
    fn event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Sink for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
