//! The events of an answer become blocks of content, one open at a time.
//!
//! Events may be interleaved: a piece of a second call may come before the last piece of the first. Blocks may
//! not. So what comes while a call is open whose arguments are not a whole JSON value yet waits, and follows once
//! they are, or once the answer ends. The stream and the object are written from the same blocks.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::thought::{self, Thought};
use crate::chat::sealed::{self, Kind};
use crate::event::{Body, Part};
use crate::framing::Balance;
use crate::json::{self, Field, Members};

/// The API's own blocks, beside the results of its tools, that come in answers and that no event has a form for.
const OWN: [&str; 4] = ["server_tool_use", "mcp_tool_use", "container_upload", "compaction"];

/// A block that begins.
#[derive(Debug)]
pub(super) enum Block<'a> {
    /// Text.
    Text,
    /// Reasoning that can be read.
    Thinking,
    /// Reasoning that only its provider can read, or what millpond sealed.
    Redacted(&'a str),
    /// A tool call, with fields that millpond does not know.
    Tool { id: &'a str, name: &'a str, unknown: &'a [Field<'a>] },
    /// A block of the API's own that is carried as it came: JSON text.
    Own(&'a str),
}

/// What is added to the open block.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// The next of its text.
    Text(&'a str),
    /// What its text cites: JSON text.
    Citation(&'a str),
    /// The next of its reasoning.
    Thinking(&'a str),
    /// The proof of its reasoning.
    Signature(&'a str),
    /// The next of its arguments.
    Input(&'a str),
}

/// Whoever writes the blocks.
pub(super) trait Writer {
    /// A block begins; none is open.
    fn open(&mut self, block: Block<'_>);
    /// The open block goes on.
    fn piece(&mut self, piece: Piece<'_>);
    /// The open block ends.
    fn close(&mut self);
}

/// The blocks of one answer.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The choice that is told; requests of this API have no others.
    choice: Option<u32>,
    open: Open,
    /// The open block of reasoning.
    thought: Thought,
    waiting: VecDeque<Waiting>,
    /// Data that millpond sealed and that came behind text: told before the next block. The last block is the answer
    /// for many clients, so behind the last text nothing is told.
    late: Vec<String>,
    held: usize,
    has_refused: bool,
}

/// The block that is open.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text {
        is_refusal: bool,
        /// Something was cited: what is said next is another block.
        is_cited: bool,
    },
    Thinking,
    Tool(Call),
}

/// A call whose block is open.
#[derive(Debug)]
struct Call {
    index: u32,
    /// `None` until the first character that is no white space.
    is_structure: Option<bool>,
    balance: Balance,
    is_whole: bool,
}

/// What waits for the end of an open call.
#[derive(Debug)]
enum Waiting {
    Text { text: String, is_refusal: bool },
    Reasoning { text: String, details: Vec<String> },
    Tool { index: u32, id: String, name: String, arguments: String, unknown: Vec<Field<'static>> },
    Annotations(String),
    Parts(String),
}

impl Blocks {
    /// Takes a piece of the answer.
    pub(super) fn part(&mut self, part: &Part<'_>, to: &mut dyn Writer) {
        if *self.choice.get_or_insert(part.choice) != part.choice {
            return;
        }
        match &part.body {
            Body::Nothing => {}
            Body::Text(text) => self.say(text, false, to),
            Body::Refusal(text) => {
                self.has_refused = true;
                self.say(text, true, to);
            }
            Body::Reasoning { text, details } => {
                if self.must_wait() {
                    let details: Vec<String> = details.iter().map(|raw| raw.to_string()).collect();
                    self.wait(Waiting::Reasoning { text: (*text).to_owned(), details });
                } else {
                    self.reason(text, details, to);
                }
            }
            Body::ToolStart { index, id, name, arguments, unknown, .. } => {
                if self.must_wait() {
                    let unknown = unknown.iter().map(|field| field.clone().into_owned()).collect();
                    let (id, name) = ((*id).to_owned(), (*name).to_owned());
                    let arguments = (*arguments).to_owned();
                    self.wait(Waiting::Tool { index: *index, id, name, arguments, unknown });
                } else {
                    self.call(*index, Block::Tool { id, name, unknown }, arguments, to);
                }
            }
            Body::ToolMore { index, arguments, .. } => self.call_more(*index, arguments, to),
        }
        for field in part.unknown.delta {
            match field.name.as_ref() {
                "annotations" => self.take(Waiting::Annotations(field.value.to_string()), to),
                "content_parts" => self.take(Waiting::Parts(field.value.to_string()), to),
                _ => {} // Audio, images and the like have no place in this API.
            }
        }
    }

    /// True if the choice is the one that is told.
    pub(super) fn is_told(&self, choice: u32) -> bool {
        self.choice.is_none_or(|told| told == choice)
    }

    /// True if the model refused in words.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Nothing more comes: what waits follows, and the open block ends.
    pub(super) fn end(&mut self, to: &mut dyn Writer) {
        while let Some(waiting) = self.waiting.pop_front() {
            self.act(waiting, to);
        }
        self.held = 0;
        self.late.clear();
        self.close(to);
    }

    /// True while a call is open whose arguments go on.
    fn must_wait(&self) -> bool {
        matches!(&self.open, Open::Tool(call) if !call.is_whole)
    }

    fn wait(&mut self, waiting: Waiting) {
        self.held += waiting.len();
        self.waiting.push_back(waiting);
    }

    fn take(&mut self, waiting: Waiting, to: &mut dyn Writer) {
        if self.must_wait() { self.wait(waiting) } else { self.act(waiting, to) }
    }

    fn act(&mut self, waiting: Waiting, to: &mut dyn Writer) {
        match waiting {
            Waiting::Text { text, is_refusal } => self.text(&text, is_refusal, to),
            Waiting::Reasoning { text, details } => self.reason(&text, &details, to),
            Waiting::Tool { index, id, name, arguments, unknown } => {
                self.call(index, Block::Tool { id: &id, name: &name, unknown: &unknown }, &arguments, to);
            }
            Waiting::Annotations(raw) => self.cite(&raw, to),
            Waiting::Parts(raw) => self.parts(&raw, to),
        }
    }

    /// What waits follows, up to a call whose arguments go on.
    fn drain(&mut self, to: &mut dyn Writer) {
        while !self.must_wait()
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.held = self.held.saturating_sub(waiting.len());
            self.act(waiting, to);
        }
    }

    fn say(&mut self, text: &str, is_refusal: bool, to: &mut dyn Writer) {
        if self.must_wait() {
            self.wait(Waiting::Text { text: text.to_owned(), is_refusal });
        } else {
            self.text(text, is_refusal, to);
        }
    }

    fn text(&mut self, text: &str, refusal: bool, to: &mut dyn Writer) {
        let goes_on =
            matches!(self.open, Open::Text { is_refusal, is_cited: false } if is_refusal == refusal);
        if !goes_on {
            self.close(to);
            self.tell_late(to);
            to.open(Block::Text);
            self.open = Open::Text { is_refusal: refusal, is_cited: false };
        }
        to.piece(Piece::Text(text));
    }

    fn cite(&mut self, annotations: &str, to: &mut dyn Writer) {
        for raw in json::elements(annotations) {
            let Some(citation) = citation(raw) else { continue };
            if !matches!(self.open, Open::Text { .. }) {
                self.close(to);
                self.tell_late(to);
                to.open(Block::Text);
            }
            self.open = Open::Text { is_refusal: false, is_cited: true };
            to.piece(Piece::Citation(&citation));
        }
    }

    /// Parts that only their provider knows: the API's own blocks as they are, others sealed.
    fn parts(&mut self, parts: &str, to: &mut dyn Writer) {
        for raw in json::elements(parts) {
            if !is_own(raw) {
                self.hidden(Cow::Owned(sealed::seal(Kind::Part, raw)), to);
                continue;
            }
            self.close(to);
            self.tell_late(to);
            to.open(Block::Own(raw));
            to.close();
        }
    }

    fn call(&mut self, index: u32, block: Block<'_>, arguments: &str, to: &mut dyn Writer) {
        self.close(to);
        self.tell_late(to);
        to.open(block);
        let mut call = Call { index, is_structure: None, balance: Balance::default(), is_whole: false };
        call.add(arguments, to);
        self.open = Open::Tool(call);
    }

    fn call_more(&mut self, at: u32, more: &str, to: &mut dyn Writer) {
        match &mut self.open {
            Open::Tool(call) if call.index == at => {
                call.add(more, to);
                self.drain(to);
            }
            Open::Nothing | Open::Text { .. } | Open::Thinking | Open::Tool(_) => {
                // Of a call that is closed, nothing is missing: its arguments were whole.
                let waiting = self.waiting.iter_mut().find_map(|waiting| match waiting {
                    Waiting::Tool { index, arguments, .. } if *index == at => Some(arguments),
                    Waiting::Text { .. }
                    | Waiting::Reasoning { .. }
                    | Waiting::Tool { .. }
                    | Waiting::Annotations(_)
                    | Waiting::Parts(_) => None,
                });
                if let Some(arguments) = waiting {
                    arguments.push_str(more);
                    self.held += more.len();
                }
            }
        }
    }

    fn reason(&mut self, text: &str, details: &[impl AsRef<str>], to: &mut dyn Writer) {
        if details.is_empty() {
            if !text.is_empty() {
                self.thinking(to).add(text, to);
            }
            return;
        }
        let items: Vec<Members<'_>> = details.iter().map(|raw| Members::of(raw.as_ref())).collect();
        let texts: String = items.iter().filter_map(thought::text_of).collect();
        // The readable text counts; the items say where it belongs, if they say the same.
        let is_same = texts == text;
        if !is_same && !text.is_empty() {
            self.thinking(to).add(text, to);
        }
        for (item, raw) in items.iter().zip(details) {
            if let Some(data) = thought::hidden(item, raw.as_ref()) {
                self.hidden(data, to);
                continue;
            }
            if !thought::says_something(item) {
                continue;
            }
            let goes_on = matches!(self.open, Open::Thinking) && self.thought.goes_on_with(item);
            if !goes_on {
                self.close(to);
            }
            let text = thought::text_of(item).filter(|_| is_same).unwrap_or_default();
            self.thinking(to).take(item, &text, to);
        }
    }

    /// Reasoning that only its provider reads.
    fn hidden(&mut self, data: Cow<'_, str>, to: &mut dyn Writer) {
        let is_late = matches!(self.open, Open::Text { .. }) && sealed::is_sealed(&data);
        if is_late {
            self.held += data.len();
            self.late.push(data.into_owned());
            return;
        }
        self.close(to);
        self.tell_late(to);
        to.open(Block::Redacted(&data));
        to.close();
    }

    fn tell_late(&mut self, to: &mut dyn Writer) {
        for data in std::mem::take(&mut self.late) {
            self.held = self.held.saturating_sub(data.len());
            to.open(Block::Redacted(&data));
            to.close();
        }
    }

    /// The open block of reasoning, or a new one.
    fn thinking(&mut self, to: &mut dyn Writer) -> &mut Thought {
        if !matches!(self.open, Open::Thinking) {
            self.close(to);
            self.tell_late(to);
            to.open(Block::Thinking);
            self.open = Open::Thinking;
        }
        &mut self.thought
    }

    fn close(&mut self, to: &mut dyn Writer) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => return,
            Open::Thinking => std::mem::take(&mut self.thought).end(to),
            Open::Text { .. } | Open::Tool(_) => {}
        }
        to.close();
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Waiting::Text { text, .. } | Waiting::Annotations(text) | Waiting::Parts(text) => text.len(),
            Waiting::Reasoning { text, details } => {
                text.len() + details.iter().map(String::len).sum::<usize>()
            }
            Waiting::Tool { id, name, arguments, unknown, .. } => {
                let unknown = unknown.iter().map(|field| field.value.len()).sum::<usize>();
                id.len() + name.len() + arguments.len() + unknown
            }
        }
    }
}

impl Call {
    fn add(&mut self, arguments: &str, to: &mut dyn Writer) {
        if arguments.is_empty() {
            return;
        }
        to.piece(Piece::Input(arguments));
        let first = arguments.bytes().find(|byte| !byte.is_ascii_whitespace());
        let is_structure = match (self.is_structure, first) {
            (Some(known), _) => known,
            (None, Some(byte)) => matches!(byte, b'{' | b'['),
            (None, None) => return,
        };
        self.is_structure = Some(is_structure);
        let is_closed = self.balance.scan(arguments.as_bytes());
        self.is_whole = is_structure && is_closed;
    }
}

/// True for a block that clients of this API know.
fn is_own(raw: &str) -> bool {
    let kind = Members::of(raw).find("type").and_then(json::word);
    kind.is_some_and(|kind| OWN.contains(&kind.as_ref()) || kind.ends_with("_tool_result"))
}

/// An annotation in the API's form: the provider's own citation, or the page that is meant.
fn citation(raw: &str) -> Option<Cow<'_, str>> {
    let annotation = Members::of(raw);
    if let Some(own) = annotation.find("citation").filter(|raw| raw.starts_with('{')) {
        return Some(Cow::Borrowed(own));
    }
    let page = annotation.find("url_citation").map(Members::of);
    let page = page.as_ref().unwrap_or(&annotation);
    let url = page.find("url").filter(|raw| json::word(raw).is_some())?;
    let member = |name: &str| page.find(name).filter(|raw| json::string(raw).is_some());
    let (title, cited) = (member("title").unwrap_or("null"), member("content").unwrap_or("\"\""));
    Some(Cow::Owned(format!(
        "{{\"type\":\"web_search_result_location\",\"url\":{url},\"title\":{title},\"cited_text\":{cited},\"encrypted_index\":\"\"}}"
    )))
}
