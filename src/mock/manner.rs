//! A manner of speaking chat completions: the quirks of one provider, as data.

use super::answer::{Answer, Means};
use super::json::{Escape, Handwriting, Object};
use super::render::Frame;

/// Pairs of a key and JSON text.
pub type Table = &'static [(&'static str, &'static str)];

/// How one provider speaks. A new quirk is a new field, never a question for the name.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The name in `demo/<name>`.
    pub name: &'static str,
    /// One sentence on what is peculiar.
    pub about: &'static str,
    /// The shapes of what it says.
    pub speech: Speech,
    /// The bytes around the JSON.
    pub wire: Wire,
    /// How the JSON is written.
    pub hand: Handwriting,
    /// Headers of an answer, whatever its status; `content-type` is that of a stream.
    pub headers: Table,
    /// The envelope of an error.
    pub envelope: Envelope,
    /// The `id` of chunks.
    pub id: Id,
    /// The `object` of chunks; absent if `None`.
    pub object: Option<&'static str>,
    /// The last chunk has this `object` and another id (Perplexity).
    pub last_object: Option<&'static str>,
    /// The `created` of chunks.
    pub created: Created,
    /// The `model` of chunks; absent if `None`.
    pub model: Option<&'static str>,
    /// Further keys of every chunk.
    pub top: Table,
    /// Further keys of the first chunk.
    pub top_first: Table,
    /// Further keys of the last chunk.
    pub top_last: Table,
    /// A key that pads every chunk to an unguessable length.
    pub padding: Option<&'static str>,
    /// Azure's filter results: a first chunk without choices.
    pub prompt_filter: bool,
    /// Azure's filter results: a choice without `delta` in mid-stream.
    pub filter_without_delta: bool,
    /// A last chunk without `choices`, before the usage (OpenAI's audio models).
    pub chunk_without_choices: bool,
    /// Further keys of every choice.
    pub choice: Table,
    /// Each choice repeats the text of its delta as `text` (Together).
    pub duplicate_text: bool,
    /// Each choice has the whole answer so far as `message` (Perplexity).
    pub cumulative_message: bool,
    /// The whole answer is one event with `message` in place of `delta`.
    pub whole_message: bool,
    /// Further keys of every delta, below what the delta says itself.
    pub delta: Table,
    /// Further keys of the opening delta.
    pub opening_delta: Table,
    /// When `role` is said.
    pub role: Role,
    /// Whether the first chunk of a choice says nothing but `role`.
    pub opening: bool,
    /// The text.
    pub content: Content,
    /// The text comes as `audio.transcript` (OpenAI's audio models).
    pub audio: bool,
    /// The text is a refusal.
    pub refuses: bool,
    /// Several candidates are given if asked for.
    pub candidates: bool,
    /// The reasoning; `None` for a model that does not think aloud.
    pub reasoning: Option<Reasoning>,
    /// The calls of tools.
    pub calls: Calls,
    /// The end of a choice.
    pub finish: Finish,
    /// The report of usage.
    pub usage: Usage,
}

impl Manner {
    /// What an answer in this manner may have.
    pub fn means(&self) -> Means {
        Means {
            reasons: self.reasoning.is_some(),
            refuses: self.refuses,
            candidates: self.candidates,
            calls: if self.calls.legacy { 1 } else { usize::MAX },
            argument_piece: self.calls.piece,
            hand: Handwriting { escape: Escape::Least, ..self.hand },
        }
    }
}

/// The shapes in which an answer is said: those of chat completions, or of a dialect of its own.
#[derive(Debug, Clone, Copy)]
pub struct Speech {
    /// The frames of a stream; the last argument says that the client asked for usage.
    pub stream: fn(&Answer, &Manner, bool) -> Vec<Frame>,
    /// The answer to a request that wants no stream.
    pub whole: fn(&Answer, &Manner) -> Object,
    /// An error in the middle of a stream.
    pub error: Event,
    /// A frame of a kind that nobody knows.
    pub unknown: Event,
    /// A piece of text that comes after the end.
    pub late: Event,
}

/// The name of an event and its JSON.
pub type Event = (&'static str, &'static str);

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Lines of text: server-sent events, or JSON lines.
    Lines,
    /// Binary messages of an AWS event stream.
    EventStream,
}

/// The bytes around the JSON of an event stream.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// How messages are framed.
    pub framing: Framing,
    /// The end of a line.
    pub line_end: &'static str,
    /// What stands before the JSON.
    pub field: &'static str,
    /// How many empty lines follow an event.
    pub gap: usize,
    /// Whether the stream has its end mark: `data: [DONE]`, or the last event of a dialect.
    pub done: bool,
    /// A comment before the first chunk, and again after the second.
    pub comment: Option<&'static str>,
}

/// Absent, `null` or empty: three ways to say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blank {
    /// The key is absent.
    Absent,
    /// The value is `null`.
    Null,
    /// The value is `""`.
    Empty,
}

/// The `id` of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// The same on all chunks, with a prefix.
    Same(&'static str),
    /// Another one on each chunk, with a prefix.
    Fresh(&'static str),
    /// Another one on the first chunk than on the rest, with a prefix each.
    FirstDiffers(&'static str, &'static str),
    /// An empty string.
    Empty,
    /// A number.
    Number,
    /// Absent.
    Absent,
}

/// The `created` of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The same on all chunks.
    Same,
    /// It grows by a second now and then.
    Grows,
    /// Zero.
    Zero,
    /// A number with a fraction.
    Float,
    /// Absent.
    Absent,
}

/// When `role` is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// In the first delta of a choice.
    First,
    /// In every delta.
    Every,
    /// Never.
    Never,
    /// In the first delta; `null` in the rest.
    ThenNull,
}

/// The text of a delta, and what stands in its place where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// In the opening delta.
    pub opening: Blank,
    /// While the model thinks aloud.
    pub reasoning: Blank,
    /// In deltas with calls.
    pub calls: Blank,
    /// In the delta of the end.
    pub finish: Blank,
    /// The text is an array of parts.
    pub parts: bool,
    /// A piece of digits is sent as a number.
    pub numbers: bool,
}

/// How reasoning is said.
#[derive(Debug, Clone, Copy)]
pub struct Reasoning {
    /// The fields of the delta that hold the text.
    pub fields: &'static [&'static str],
    /// What the fields say while the model does not think aloud.
    pub idle: Blank,
    /// Further keys of a delta with reasoning.
    pub extra: Table,
    /// The same text as `reasoning_details`.
    pub details: Option<Details>,
    /// The text is in parts of `content`, type `thinking` (Mistral).
    pub parts: bool,
    /// The text is in `content` between these two lots of pieces.
    pub tags: Option<(&'static [&'static str], &'static [&'static str])>,
}

/// How `reasoning_details` are said.
#[derive(Debug, Clone, Copy)]
pub struct Details {
    /// The type of the details with text: `reasoning.text` or `reasoning.summary`.
    pub kind: &'static str,
    /// The key of the text.
    pub text: &'static str,
    /// The `format`.
    pub format: &'static str,
    /// The `id`; absent if `None`.
    pub id: Option<&'static str>,
    /// What ends the reasoning.
    pub seal: Seal,
}

/// What ends structured reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Nothing.
    None,
    /// A detail with nothing but a signature (Claude).
    Signature,
    /// An encrypted detail with an id of its own (OpenAI).
    Encrypted,
    /// An encrypted detail whose id is that of the first call (Gemini).
    Call,
}

/// How calls of tools are said.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// A call comes whole in one delta.
    pub whole: bool,
    /// All calls come in one delta.
    pub together: bool,
    /// The first fragment has the first piece of the arguments as well.
    pub eager: bool,
    /// A second fragment says nothing (OpenRouter).
    pub extra_empty: bool,
    /// How many characters of arguments make a piece.
    pub piece: usize,
    /// The `index`.
    pub index: Index,
    /// What ids begin with; an empty id if that is empty.
    pub id_prefix: &'static str,
    /// The `id` after the first fragment.
    pub id: Later,
    /// The `name` after the first fragment.
    pub name: Later,
    /// The `type` after the first fragment; `Fresh` for never at all.
    pub kind: Later,
    /// The arguments are an object.
    pub objects: bool,
    /// The arguments come once more in full at the end.
    pub repeats: bool,
    /// The arguments of a tool without parameters.
    pub nothing: Nothing,
    /// The only call is `function_call`, as it was before tools.
    pub legacy: bool,
    /// The first fragment has a thought signature in `extra_content` (Google).
    pub signature: bool,
}

/// The `index` of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// It counts from here.
    From(u64),
    /// It is 0 for every call.
    Zero,
    /// It counts, as a string.
    Text,
    /// It is `null`.
    Null,
    /// It is absent.
    Absent,
}

/// What later fragments of a call say of what the first one said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// Nothing, in one of three ways.
    Blank(Blank),
    /// The same again.
    Same,
    /// Something new each time.
    Fresh,
}

/// The arguments of a call of a tool without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// `{}`.
    Object,
    /// They stay empty.
    Empty,
    /// The four letters `null` in a string.
    Word,
    /// `null`.
    Null,
    /// Absent.
    Absent,
}

/// How a choice ends.
#[derive(Debug, Clone, Copy)]
pub struct Finish {
    /// What the key says until the end.
    pub before: Blank,
    /// Where the reason comes.
    pub place: FinishPlace,
    /// The words.
    pub words: Words,
    /// The words of `native_finish_reason`.
    pub native: Option<Words>,
}

/// Where the finish reason comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishPlace {
    /// In a chunk of its own.
    Own,
    /// In two chunks of its own, of which the usage may ride on the second.
    Twice,
    /// In the last chunk that says something.
    Last,
    /// In the last chunk with calls, else in a chunk of its own.
    LastCall,
    /// In the last chunk but one that says something (Baseten, once).
    LastButOne,
    /// Nowhere.
    Nowhere,
}

/// The words for the reasons to end.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// It is all said.
    pub stop: &'static str,
    /// The limit cut words.
    pub length: &'static str,
    /// Calls were made.
    pub calls: &'static str,
    /// The limit cut calls.
    pub cut_calls: &'static str,
}

/// How usage is reported.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Where the report comes.
    pub place: UsagePlace,
    /// Only if the client asked.
    pub if_asked: bool,
    /// What `usage` says on the chunks before, where there will be a report.
    pub before: Blank,
    /// What chunks before the end report.
    pub running: Running,
    /// A copy goes under `x_groq`.
    pub groq: bool,
    /// If the client asked, the report comes again in a chunk of its own.
    pub again: bool,
    /// A report of all zeros comes last.
    pub zeros: bool,
    /// The figures.
    pub figures: Figures,
}

/// Where usage is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsagePlace {
    /// Nowhere.
    Nowhere,
    /// In a last chunk with `choices: []`.
    Own,
    /// In a last chunk with `choices: null`.
    NullChoices,
    /// In a last chunk without `choices`.
    NoChoices,
    /// In the chunk that has the (last) finish reason.
    Finish,
    /// In a last chunk whose choice has an empty delta and no reason.
    EmptyDelta,
    /// In a chunk with `choices: []` after the end of each candidate (llama.cpp).
    EachCandidate,
}

/// What chunks before the end report of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// Nothing.
    Nothing,
    /// The figures so far.
    SoFar,
    /// `null` for what is not known yet (Databricks).
    Nulls,
}

/// The figures of a usage report by key.
pub type Figures = &'static [(&'static str, Figure)];

/// One figure of a usage report.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// Tokens of the prompt.
    Prompt,
    /// Tokens of the prompt that were cached.
    Cached,
    /// Tokens of the prompt that were not cached.
    Uncached,
    /// Tokens of the answer, reasoning included.
    Completion,
    /// Tokens of the answer, without reasoning (xAI).
    Visible,
    /// Tokens of reasoning.
    Reasoning,
    /// Tokens of reasoning, counted higher than the whole answer (Doubleword).
    Overcount,
    /// The sum of prompt and answer.
    Total,
    /// A figure with a fraction of zero.
    Float(&'static Figure),
    /// JSON text.
    Raw(&'static str),
    /// An object of figures.
    Group(Figures),
}

/// The envelope of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{error: {message, type, param, code}}`.
    OpenAi,
    /// `{error: {message, code: 400, metadata}, user_id}`.
    OpenRouter,
    /// `{error: "text"}`.
    Text,
    /// `{code: "…", error: "text"}`.
    CodeAndText,
    /// `{detail: "text"}`.
    Detail,
    /// `{detail: [{type, loc, msg}]}`.
    DetailList,
    /// `{object: "error", message, type, code, raw_status_code}`.
    Mistral,
    /// `{message, type, param, code}`.
    Flat,
    /// `{type: "error", error: {type, message}, request_id}`.
    Anthropic,
    /// `{message}`.
    Message,
    /// `{error: {code: 400, message, status, details}}`, in an array.
    Google,
    /// `{error: {code: 400, message, status}}`, where `status` is a word of gRPC's.
    Status,
    /// `{id, message}`.
    Cohere,
    /// `{message}`, and the kind of error in a header.
    Aws,
    /// `{success: false, errors: [{code, message}]}`.
    Cloudflare,
    /// `{id, error: {…}}`.
    Identified,
    /// `{error: {code: 400, message, type}}`.
    Numbered,
}
