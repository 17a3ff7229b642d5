//! Tool calls: from the slots, ids and fragments of all providers to calls that are numbered 0, 1, 2 …,
//! each with one id, one name and arguments that are said once (section D of the contract).

use std::borrow::Cow;
use std::collections::HashSet;

use crate::event::{Heard, Repair, Repairs, ToolFragment};
use crate::json::Field;

/// Calls of one choice at most; an upstream that opens more is not answering.
pub(super) const CALLS_LIMIT: usize = 4096;
/// Arguments that wait for an earlier call's at most, in bytes.
const HELD_LIMIT: usize = 1 << 20;
/// Signatures that wait for their call at most.
const SIGNATURES_LIMIT: usize = 1024;

/// The tool calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Tools {
    calls: Vec<Call>,
    /// How many calls have left: the index of the next one.
    started: u32,
    /// The call that the last fragment belonged to.
    last: usize,
    /// Counts frames, to tell fragments of one frame from those of another.
    frame: u64,
    /// Encrypted reasoning whose call has not come yet: the call's id and the item.
    signatures: Vec<(String, String)>,
}

/// The ids that are taken in one answer, and a source of new ones.
#[derive(Debug)]
pub(super) struct Ids {
    seed: String,
    /// A call may come without one.
    optional: bool,
    minted: u32,
    taken: HashSet<String>,
}

impl Ids {
    /// `seed` makes the minted ids unique among answers; `optional` says that a call may come without an id.
    pub(super) fn new(seed: &str, optional: bool) -> Ids {
        Ids { seed: seed.to_owned(), optional, minted: 0, taken: HashSet::new() }
    }

    fn is_free(&self, id: &str) -> bool {
        !self.taken.contains(id)
    }

    fn take(&mut self, id: &str) {
        self.taken.insert(id.to_owned());
    }

    fn mint(&mut self) -> String {
        loop {
            let id = format!("call_{}{}", self.seed, self.minted);
            self.minted += 1;
            if self.is_free(&id) {
                self.take(&id);
                return id;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Call {
    upstream_index: Option<i64>,
    upstream_id: Option<String>,
    /// The id downstream.
    id: String,
    name: String,
    /// The first fragment left.
    started: bool,
    /// The index downstream, once the first fragment left.
    index: u32,
    /// What stands where arguments should, and is none unless nothing else comes.
    placeholder: String,
    /// Arguments that wait for the first fragment.
    held: String,
    /// What waits for the first fragment.
    extra_content: Vec<Field<'static>>,
    unknown: Vec<Field<'static>>,
    arguments: Arguments,
    /// The frame of the last fragment.
    frame: u64,
    /// Encrypted reasoning was attached.
    signed: bool,
    /// The thought signature that came with the call itself.
    signature: Option<String>,
}

/// What is known of a call's arguments.
#[derive(Debug, Default)]
struct Arguments {
    all: Heard,
    /// The same without white space between tokens, to know them again in another layout.
    tokens: Heard,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The outermost object or array was closed.
    closed: bool,
}

/// A fragment that is to leave.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    /// The call.
    pub(super) call: usize,
    /// This is the call's first fragment.
    pub(super) first: bool,
    pub(super) arguments: Cow<'a, str>,
    pub(super) extra_content: Vec<Field<'a>>,
    pub(super) unknown: Vec<Field<'a>>,
}

impl<'a> Outgoing<'a> {
    fn more(call: usize, arguments: &'a str) -> Outgoing<'a> {
        Outgoing {
            call,
            first: false,
            arguments: Cow::Borrowed(arguments),
            extra_content: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

/// What to send for one fragment.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    /// An item of structured reasoning, made of a signature that came with the call.
    pub(super) detail: Option<String>,
    pub(super) fragments: Vec<Outgoing<'a>>,
}

impl Tools {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The index downstream, the id and the name of a call that left.
    pub(super) fn describe(&self, call: usize) -> (u32, &str, &str) {
        self.calls
            .get(call)
            .map(|call| (call.index, call.id.as_str(), call.name.as_str()))
            .unwrap_or_default()
    }

    /// A new frame begins.
    pub(super) fn next_frame(&mut self) {
        self.frame += 1;
    }

    /// Takes a fragment; `None` if there are too many calls.
    pub(super) fn push<'a>(
        &mut self,
        fragment: ToolFragment<'a>,
        ids: &mut Ids,
        repairs: &mut Repairs,
    ) -> Option<Said<'a>> {
        let at = match self.locate(&fragment) {
            Place::Call(at) => at,
            Place::New => self.open(&fragment, ids, repairs)?,
        };
        let mut said = Said::default();
        self.settle_placeholders(Some(at), repairs, &mut said.fragments);
        self.last = at;
        let frame = self.frame;
        let call = self.calls.get_mut(at)?;
        call.frame = frame;
        call.identify(&fragment, ids, repairs);
        let mut extra_content = fragment.extra_content;
        if let Some(signature) = fragment.signature.filter(|_| !call.signed) {
            call.ensure_id(ids, repairs);
            let detail = google_detail(&signature, &call.id);
            extra_content.extend(signed(&detail, &signature));
            call.signed = true;
            call.signature = Some(signature.into_owned());
            said.detail = Some(detail);
        }
        let arguments =
            fragment.arguments.and_then(|text| call.take_arguments(text, fragment.whole, repairs));
        if call.started {
            let says = arguments.as_ref().is_some_and(|text| !text.is_empty());
            let carries = extra_content.iter().chain(&fragment.unknown).any(|field| !field.says_nothing());
            if says || carries {
                let arguments = arguments.unwrap_or_default();
                let unknown = fragment.unknown;
                said.fragments.push(Outgoing { call: at, first: false, arguments, extra_content, unknown });
            }
        } else {
            keep(&mut call.extra_content, extra_content);
            keep(&mut call.unknown, fragment.unknown);
            call.held.push_str(&arguments.unwrap_or_default());
        }
        self.release(Some(at), ids, repairs, &mut said.fragments);
        Some(said)
    }

    /// Takes encrypted reasoning that may belong to a call: it is attached to it in whichever order the
    /// two come.
    pub(super) fn sign(&mut self, id: &str, detail: &str, out: &mut Vec<Outgoing<'_>>) {
        let found = self.calls.iter_mut().enumerate().find(|(_, call)| call.is_named(id) && !call.signed);
        let Some((at, call)) = found else {
            if self.signatures.len() < SIGNATURES_LIMIT {
                self.signatures.push((id.to_owned(), detail.to_owned()));
            }
            return;
        };
        call.signed = true;
        let extra_content = signed_by(detail);
        if call.started {
            out.push(Outgoing { extra_content, ..Outgoing::more(at, "") });
        } else {
            call.extra_content.extend(extra_content);
        }
    }

    /// Something other than tool calls follows: whatever can leave leaves.
    pub(super) fn pause(&mut self, ids: &mut Ids, repairs: &mut Repairs, out: &mut Vec<Outgoing<'_>>) {
        self.settle_placeholders(None, repairs, out);
        self.release(None, ids, repairs, out);
    }

    /// The choice ended. `cut` is true if it reached a limit: a call without arguments is then
    /// unfinished, not empty.
    pub(super) fn finish(
        &mut self,
        cut: bool,
        ids: &mut Ids,
        repairs: &mut Repairs,
        out: &mut Vec<Outgoing<'_>>,
    ) {
        for at in 0..self.calls.len() {
            let Some(call) = self.calls.get(at) else { return };
            let nameless = call.name.is_empty();
            if !call.started && (!nameless || !cut) {
                if nameless {
                    repairs.count(Repair::ToolNameMissing);
                }
                out.extend(self.start(at, ids, repairs));
            }
            let Some(call) = self.calls.get_mut(at) else { return };
            let unfinished = cut && call.placeholder.is_empty();
            if call.started && !call.has_arguments() && !unfinished {
                call.accept_placeholder(repairs);
                out.push(Outgoing::more(at, "{}"));
            }
        }
    }

    /// Another call goes on, or something else: what stood in for the arguments of earlier calls was all
    /// they have.
    fn settle_placeholders(
        &mut self,
        except: Option<usize>,
        repairs: &mut Repairs,
        out: &mut Vec<Outgoing<'_>>,
    ) {
        let frame = self.frame;
        for (at, call) in self.calls.iter_mut().enumerate() {
            if Some(at) == except
                || call.placeholder.is_empty()
                || call.has_arguments()
                || call.frame == frame
            {
                continue;
            }
            call.accept_placeholder(repairs);
            if call.started {
                out.push(Outgoing::more(at, "{}"));
            } else {
                call.held.push_str("{}");
            }
        }
    }

    /// Lets go the calls that were kept back, in their order. A call waits while its name may go on, and while an
    /// earlier call has no arguments: strict clients read a call's arguments when the next call begins.
    fn release(
        &mut self,
        current: Option<usize>,
        ids: &mut Ids,
        repairs: &mut Repairs,
        out: &mut Vec<Outgoing<'_>>,
    ) {
        let mut blocked = false;
        for at in 0..self.calls.len() {
            let Some(call) = self.calls.get(at) else { return };
            let waits = call.name.is_empty()
                || (blocked && call.held.len() < HELD_LIMIT)
                || (Some(at) == current && !call.has_arguments());
            let empty = !call.has_arguments() && !call.name.is_empty();
            if !call.started && !waits {
                out.extend(self.start(at, ids, repairs));
            }
            blocked |= empty;
        }
    }

    /// Sends a call's first fragment, with the arguments that were kept back.
    fn start(&mut self, at: usize, ids: &mut Ids, repairs: &mut Repairs) -> Option<Outgoing<'static>> {
        let call = self.calls.get_mut(at)?;
        call.started = true;
        call.index = self.started;
        self.started += 1;
        call.ensure_id(ids, repairs);
        let waiting = self.signatures.iter().position(|(id, _)| call.is_named(id) && !call.signed);
        if let Some(waiting) = waiting {
            let (_, detail) = self.signatures.remove(waiting);
            call.signed = true;
            call.extra_content.extend(signed_by(&detail));
        }
        Some(Outgoing {
            call: at,
            first: true,
            arguments: Cow::Owned(std::mem::take(&mut call.held)),
            extra_content: std::mem::take(&mut call.extra_content),
            unknown: std::mem::take(&mut call.unknown),
        })
    }

    fn open(&mut self, fragment: &ToolFragment<'_>, ids: &mut Ids, repairs: &mut Repairs) -> Option<usize> {
        let at = self.calls.len();
        if at >= CALLS_LIMIT {
            return None;
        }
        match fragment.index {
            None => repairs.count(Repair::ToolIndexMissing),
            Some(index) if self.calls.iter().any(|call| call.upstream_index == Some(index)) => {
                repairs.count(Repair::ToolIndexReused);
            }
            Some(index) if usize::try_from(index) != Ok(at) => repairs.count(Repair::ToolIndexRenumbered),
            Some(_) => {}
        }
        let id = match fragment.id.as_deref() {
            Some(id) if ids.is_free(id) => {
                ids.take(id);
                id.to_owned()
            }
            Some(_) => {
                repairs.count(Repair::ToolIdReused);
                ids.mint()
            }
            // It may still come, as long as the call has not left.
            None => String::new(),
        };
        self.calls.push(Call {
            upstream_index: fragment.index,
            upstream_id: fragment.id.as_deref().map(str::to_owned),
            id,
            ..Call::default()
        });
        Some(at)
    }

    /// Finds the call that a fragment belongs to.
    fn locate(&self, fragment: &ToolFragment<'_>) -> Place {
        match fragment.id.as_deref() {
            _ if fragment.whole => self.locate_again(fragment),
            Some(id) => self.locate_by_id(id, fragment),
            None => self.locate_by_place(fragment),
        }
    }

    /// A message that says everything again has the calls in their order.
    fn locate_again(&self, fragment: &ToolFragment<'_>) -> Place {
        let id = fragment.id.as_deref();
        let known = self.calls.iter().position(|call| id.is_some() && call.upstream_id.as_deref() == id);
        let at = known.or_else(|| fragment.index.and_then(|index| usize::try_from(index).ok()));
        match at {
            Some(at) if at < self.calls.len() => Place::Call(at),
            Some(_) | None => Place::New,
        }
    }

    fn locate_by_id(&self, id: &str, fragment: &ToolFragment<'_>) -> Place {
        let known = self.calls.iter().rposition(|call| call.upstream_id.as_deref() == Some(id));
        if let Some(at) = known
            && let Some(call) = self.calls.get(at)
        {
            // Some gateways use the function's name as the id of every call of it.
            let elsewhere = fragment.index.is_some() && fragment.index != call.upstream_index;
            let again = fragment.index.is_none() && call.frame == self.frame;
            let other = fragment.name.is_some() && (elsewhere || again);
            return if other || call.is_followed_by(fragment) { Place::New } else { Place::Call(at) };
        }
        // A new id: a new call, unless it goes on with one (an id with each fragment).
        let place = match fragment.index {
            Some(index) => self.at_index(index),
            None => self.calls.len().checked_sub(1).map(|_| self.last),
        };
        let Some((at, call)) = place.and_then(|at| Some((at, self.calls.get(at)?))) else {
            return Place::New;
        };
        let arguments = fragment.arguments.as_deref().unwrap_or_default().trim_start();
        let goes_on = match fragment.name.as_deref() {
            None => !(fragment.index.is_none() && call.frame == self.frame),
            Some(name) => {
                name == call.name
                    && call.arguments.is_open()
                    && !arguments.is_empty()
                    && !arguments.starts_with('{')
            }
        };
        if call.upstream_id.is_none() && !call.has_arguments() && !call.started && fragment.name.is_none() {
            return Place::Call(at);
        }
        if goes_on { Place::Call(at) } else { Place::New }
    }

    fn locate_by_place(&self, fragment: &ToolFragment<'_>) -> Place {
        let indexed = fragment.index.and_then(|index| self.at_index(index));
        let at = match (fragment.index, indexed) {
            (Some(_), Some(at)) => at,
            (Some(_), None) => {
                // An index that nobody opened continues a call that was opened without one.
                let lone = self.calls.get(self.last).filter(|call| call.upstream_index.is_none());
                match lone {
                    Some(_) if fragment.name.is_none() => self.last,
                    Some(_) | None => return Place::New,
                }
            }
            (None, _) if self.calls.is_empty() => return Place::New,
            (None, _) => self.last,
        };
        let Some(call) = self.calls.get(at) else { return Place::New };
        let beside = fragment.index.is_none() && call.frame == self.frame && fragment.name.is_some();
        if beside || call.is_followed_by(fragment) { Place::New } else { Place::Call(at) }
    }

    fn at_index(&self, index: i64) -> Option<usize> {
        self.calls.iter().rposition(|call| call.upstream_index == Some(index))
    }
}

/// Where a fragment belongs.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Call(usize),
    New,
}

impl Call {
    fn is_named(&self, id: &str) -> bool {
        self.upstream_id.as_deref() == Some(id) || self.id == id
    }

    /// True if the fragment opens another call in the same place: it has a name, and this call has
    /// nothing more to get.
    fn is_followed_by(&self, fragment: &ToolFragment<'_>) -> bool {
        let Some(name) = fragment.name.as_deref() else { return false };
        let signatures = (self.signature.as_deref(), fragment.signature.as_deref());
        if let (Some(known), Some(signature)) = signatures
            && name == self.name
            && known != signature
        {
            // One call has one signature, however much alike two calls are.
            return true;
        }
        let arguments = fragment.arguments.as_deref().unwrap_or_default();
        let stands_in = !self.placeholder.is_empty();
        if !self.has_arguments() && !stands_in {
            return false;
        }
        if self.arguments.closed || stands_in {
            let same = name == self.name;
            let again = same && (arguments.trim().is_empty() || self.arguments.repeats(arguments));
            return if self.has_arguments() { !again } else { !same };
        }
        name != self.name && (arguments.trim_start().starts_with('{') || arguments.is_empty())
    }

    fn has_arguments(&self) -> bool {
        !self.arguments.all.is_empty()
    }

    /// The call has no arguments but what stands in for them.
    fn accept_placeholder(&mut self, repairs: &mut Repairs) {
        if std::mem::take(&mut self.placeholder).trim() != "{}" {
            repairs.count(Repair::ArgumentsMissing);
        }
        self.arguments.read("{}");
    }

    /// Takes id and name from a fragment.
    fn identify(&mut self, fragment: &ToolFragment<'_>, ids: &mut Ids, repairs: &mut Repairs) {
        if let Some(id) = fragment.id.as_deref()
            && self.upstream_id.as_deref() != Some(id)
        {
            if self.upstream_id.is_none() && self.id.is_empty() && ids.is_free(id) {
                ids.take(id);
                id.clone_into(&mut self.id);
                self.upstream_id = Some(id.to_owned());
            } else {
                repairs.count(Repair::ToolIdChanged);
            }
        }
        if let Some(name) = fragment.name.as_deref() {
            self.take_name(name, repairs);
        }
    }

    /// Mints the id that the upstream did not give.
    fn ensure_id(&mut self, ids: &mut Ids, repairs: &mut Repairs) {
        if self.id.is_empty() {
            if !ids.optional {
                repairs.count(Repair::ToolIdMissing);
            }
            self.id = ids.mint();
        }
    }

    fn take_name(&mut self, name: &str, repairs: &mut Repairs) {
        if self.name.is_empty() {
            name.clone_into(&mut self.name);
        } else if self.started || name == self.name {
            repairs.count(Repair::ToolNameRepeated);
        } else if name.starts_with(&self.name) {
            repairs.count(Repair::ToolNameSplit);
            name.clone_into(&mut self.name);
        } else {
            repairs.count(Repair::ToolNameSplit);
            self.name.push_str(name);
        }
    }

    /// What of a fragment's arguments is new.
    fn take_arguments<'a>(
        &mut self,
        text: Cow<'a, str>,
        whole: bool,
        repairs: &mut Repairs,
    ) -> Option<Cow<'a, str>> {
        let text = if self.has_arguments() {
            if whole && let Some(tail) = self.arguments.all.tail(&text) {
                Cow::Owned(tail.to_owned())
            } else if self.arguments.closed && self.arguments.repeats(&text) {
                repairs.count(Repair::ArgumentsRepeated);
                return None;
            } else {
                text
            }
        } else if is_placeholder(&text) {
            if !std::mem::replace(&mut self.placeholder, text.into_owned()).is_empty() {
                repairs.count(Repair::ArgumentsRepeated);
            }
            return None;
        } else if self.placeholder.is_empty() || text.trim_start().starts_with('{') {
            if !std::mem::take(&mut self.placeholder).is_empty() {
                repairs.count(Repair::ArgumentsPlaceholder);
            }
            text
        } else {
            Cow::Owned(std::mem::take(&mut self.placeholder) + &text)
        };
        self.arguments.read(&text);
        Some(text)
    }
}

impl Arguments {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            self.all.byte(byte);
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        self.closed = self.depth == 0;
                    }
                    b' ' | b'\n' | b'\r' | b'\t' => continue,
                    _ => {}
                }
            }
            self.tokens.byte(byte);
        }
    }

    /// True if the arguments began and are not complete.
    fn is_open(&self) -> bool {
        !self.all.is_empty() && !self.closed
    }

    /// True if the text says all of the arguments again.
    fn repeats(&self, text: &str) -> bool {
        let mut other = Arguments::default();
        other.read(text);
        other.closed && other.tokens == self.tokens
    }
}

/// Adds fields; of one name, the last that says something counts.
fn keep(known: &mut Vec<Field<'static>>, fields: Vec<Field<'_>>) {
    for field in fields {
        match known.iter_mut().find(|known| known.name == field.name) {
            None => known.push(field.into_owned()),
            Some(known) if !field.says_nothing() => *known = field.into_owned(),
            Some(_) => {}
        }
    }
}

/// What some providers send before the real arguments, or instead of none.
fn is_placeholder(arguments: &str) -> bool {
    matches!(arguments.trim(), "{}" | "null" | "\"\"")
}

/// The item of structured reasoning that a Gemini thought signature is.
fn google_detail(signature: &str, id: &str) -> String {
    let mut detail = Vec::from(b"{\"type\":\"reasoning.encrypted\",\"data\":");
    crate::json::write_string(signature, &mut detail);
    detail.extend_from_slice(b",\"id\":");
    crate::json::write_string(id, &mut detail);
    detail.extend_from_slice(b",\"format\":\"google-gemini-v1\"}");
    String::from_utf8(detail).unwrap_or_default()
}

/// The members of `extra_content` for an encrypted item.
fn signed_by(detail: &str) -> Vec<Field<'static>> {
    let members = crate::json::Members::of(detail);
    let signature =
        ["signature", "data"].iter().find_map(|name| members.find(name).and_then(crate::json::word));
    signed(detail, &signature.unwrap_or_default())
}

fn signed(detail: &str, signature: &str) -> Vec<Field<'static>> {
    let mut text = Vec::new();
    crate::json::write_string(signature, &mut text);
    vec![
        Field {
            name: Cow::Borrowed("signature"),
            value: Cow::Owned(String::from_utf8(text).unwrap_or_default()),
        },
        Field { name: Cow::Borrowed("reasoning_detail"), value: Cow::Owned(detail.to_owned()) },
    ]
}
