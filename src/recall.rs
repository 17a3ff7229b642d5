//! The memory of signatures: reasoning that a client did not send back returns to its message.
//!
//! A provider that signs its reasoning wants it back with the tool calls it led to. Many clients keep the
//! role, the content and the calls of a message and drop `reasoning_details`. [`Notes`] are taken of each
//! answer; of a complete one the items are kept in the [`Memory`], and [`restore`] puts them into the
//! messages of a later request that come back without any.
//!
//! # Keys
//! A message is known by a hash (SHA-256); nothing else of a prompt or an answer is kept beside the items.
//! - By the ids and names of its calls, where the ids are the provider's and long enough to be unique.
//! - By its calls and what was asked before, where ids may come again, as `call_0` does.
//! - By its text and what was asked before, where it has no calls.
//!
//! All of them contain the [`Scope`]: the provider, the model and the client's `authorization`. What one
//! provider or model signed is refused by, or none of the business of, another, and so it is for clients.
//!
//! # Limits
//! Entries, bytes in total and time without use, each with a default in [`Limits`]. The entry that was not
//! used for longest goes first. Here is no clock: instants are arguments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::api::chat_completions::join_details;
use crate::chat::Chat;
use crate::chat::message::{Message, Role};
use crate::event::{Body, Event, Sink};
use crate::json::{self, Members};

/// What an entry takes beside its items, about, in bytes.
const ENTRY_BYTES: usize = 256;
/// The shortest run of letters and digits that is taken for chance, in an id.
const CHANCE_LENGTH: usize = 8;

/// What a message is known by.
pub type Key = [u8; 32];

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages: 4096.
    pub entries: usize,
    /// All items together: 32 MiB.
    pub bytes: usize,
    /// How long a message is kept that nobody asks for: 1 h.
    pub ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { entries: 4096, bytes: 32 << 20, ttl: Duration::from_secs(3600) }
    }
}

/// The items of reasoning of many messages.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    entries: HashMap<Key, Entry>,
    /// The keys by their last use, which is a number that grows.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    details: Arc<str>,
    /// Its place in the order.
    turn: u64,
    used: Instant,
}

impl Memory {
    /// An empty memory.
    pub fn new(limits: Limits) -> Memory {
        Memory { limits, entries: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0 }
    }

    /// True if there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps the items of a message: the text of a JSON array. What is more than may be kept at all is not kept,
    /// rather than that all others go.
    pub fn keep(&mut self, now: Instant, key: Key, details: &str) {
        self.forget(&key);
        if details.len() + ENTRY_BYTES > self.limits.bytes {
            return;
        }
        let turn = self.next_turn();
        self.bytes += details.len() + ENTRY_BYTES;
        self.order.insert(turn, key);
        self.entries.insert(key, Entry { details: details.into(), turn, used: now });
        self.make_room(now);
    }

    /// The items of a message, which are then the last to go.
    pub fn find(&mut self, now: Instant, key: &Key) -> Option<Arc<str>> {
        self.make_room(now);
        let turn = self.next_turn();
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.turn);
        self.order.insert(turn, *key);
        entry.turn = turn;
        entry.used = now;
        Some(Arc::clone(&entry.details))
    }

    fn next_turn(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Forgets the items of a message; true if there were any.
    pub fn forget(&mut self, key: &Key) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.order.remove(&entry.turn);
        self.bytes -= entry.details.len() + ENTRY_BYTES;
        true
    }

    /// Forgets what is too old, and the oldest of what is too much.
    fn make_room(&mut self, now: Instant) {
        while let Some(key) = self.order.values().next().copied() {
            let is_old = self
                .entries
                .get(&key)
                .is_none_or(|entry| now.saturating_duration_since(entry.used) >= self.limits.ttl);
            if !is_old && self.entries.len() <= self.limits.entries && self.bytes <= self.limits.bytes {
                return;
            }
            self.forget(&key);
        }
    }
}

/// What all keys of one request have in common: who is asked, and by whom.
#[derive(Debug, Clone)]
pub struct Scope(Sha256);

impl Scope {
    /// The scope of a request to that model of that provider; `authorization` is the client's own, or empty.
    pub fn new(provider: &str, model: &str, authorization: &[u8]) -> Scope {
        let mut hash = Sha256::new();
        for word in [provider.as_bytes(), model.as_bytes(), authorization] {
            absorb(&mut hash, word);
        }
        Scope(hash)
    }

    /// The key of something that has a name of its own.
    pub fn of_name(&self, name: &str) -> Key {
        let mut hash = self.0.clone();
        hash.update(b"name");
        absorb(&mut hash, name.as_bytes());
        hash.finalize().into()
    }

    /// The key of a message with these calls, each an id and a name; `asked` is needed only where ids may
    /// come again.
    fn of_calls(&self, calls: &[(&str, &str)], asked: impl FnOnce() -> Key) -> Key {
        let mut hash = self.0.clone();
        hash.update(b"calls");
        for (id, name) in calls {
            absorb(&mut hash, id.as_bytes());
            absorb(&mut hash, name.as_bytes());
        }
        if !calls.iter().all(|(id, name)| is_unique(id, name)) {
            hash.update(asked());
        }
        hash.finalize().into()
    }

    /// The key of a message with this text and no calls.
    fn of_text(&self, text: Sha256, asked: Key) -> Key {
        let mut hash = self.0.clone();
        hash.update(b"text");
        hash.update(text.finalize());
        hash.update(asked);
        hash.finalize().into()
    }
}

/// The length goes first, so that no two lists of words are one.
fn absorb(hash: &mut Sha256, word: &[u8]) {
    hash.update((word.len() as u64).to_le_bytes());
    hash.update(word);
}

/// True if an id was drawn by chance: nobody counts to eight letters and digits. Some providers count their
/// calls, with the function's name or without.
fn is_unique(id: &str, name: &str) -> bool {
    let rest = id.replace(name, " ");
    rest.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|run| run.len() >= CHANCE_LENGTH && run.bytes().any(|byte| byte.is_ascii_digit()))
}

/// What was asked before a message: the texts of users and tools since the last answer. Instructions are
/// left out, as some clients renew them with each request.
fn asked(before: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for raw in before.iter().rev() {
        // What cannot be read, the dialect refuses or passes on.
        let Ok(message) = Message::read(0, raw) else { continue };
        match message.role {
            Role::Assistant => break,
            Role::User | Role::Tool => absorb(&mut hash, message.text().as_bytes()),
            Role::System | Role::Developer => {}
        }
    }
    hash.finalize().into()
}

/// Puts what `find` knows into the messages of the assistant that come back without any structured
/// reasoning. With `reads_calls`, the signature that a call brings is reasoning enough.
pub fn restore(
    chat: &Chat,
    scope: &Scope,
    reads_calls: bool,
    mut find: impl FnMut(&Key) -> Option<Arc<str>>,
) -> Option<Chat> {
    let field = chat.fields.iter().rposition(|field| field.name == "messages")?;
    let value = &chat.fields.get(field)?.value;
    let raws = json::elements(value);
    let known = |(at, raw): (usize, &&str)| {
        let key = key(scope, raw, raws.get(..at).unwrap_or_default(), reads_calls)?;
        Some((at, find(&key)?))
    };
    let found: Vec<(usize, Arc<str>)> = raws.iter().enumerate().filter_map(known).collect();
    if found.is_empty() {
        return None;
    }
    let mut found = found.into_iter().peekable();
    let mut out = Vec::with_capacity(value.len());
    for (at, raw) in raws.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        match found.next_if(|(place, _)| *place == at) {
            Some((_, details)) => {
                json::write_merged(raw, &format!("{{\"reasoning_details\":{details}}}"), &mut out);
            }
            None => out.extend_from_slice(raw.as_bytes()),
        }
    }
    out.push(b']');
    let mut chat = chat.clone();
    // It always is text: so are its parts.
    chat.fields.get_mut(field)?.value = String::from_utf8(out).ok()?.into();
    Some(chat)
}

/// The key of a message that lacks its reasoning; `before` are those before it.
fn key(scope: &Scope, raw: &str, before: &[&str], reads_calls: bool) -> Option<Key> {
    let message = Message::read(0, raw).ok()?; // The dialect says what is wrong with it.
    let is_signed = reads_calls && message.calls.iter().any(|call| call.signature.is_some());
    if message.role != Role::Assistant || !message.details.is_empty() || is_signed {
        return None;
    }
    if message.calls.is_empty() {
        return Some(scope.of_text(Sha256::new_with_prefix(message.text()), asked(before)));
    }
    let calls: Vec<(&str, &str)> =
        message.calls.iter().map(|call| (call.id.as_ref(), call.name.as_ref())).collect();
    Some(scope.of_calls(&calls, || asked(before)))
}

/// What is noted of an answer while it passes.
#[derive(Debug)]
pub struct Notes {
    scope: Scope,
    asked: Key,
    keeps_unsigned: bool,
    /// How many bytes of items are noted yet, at most.
    room: usize,
    choices: Vec<Choice>,
}

/// What is noted of one choice.
#[derive(Debug)]
struct Choice {
    number: u32,
    text: Sha256,
    /// Ids and names.
    calls: Vec<(String, String)>,
    details: Vec<String>,
}

impl Notes {
    /// Begins the notes of the answer to a chat; items that are neither signed nor encrypted are noted only
    /// with `keeps_unsigned`.
    pub fn new(chat: &Chat, scope: Scope, limits: Limits, keeps_unsigned: bool) -> Notes {
        let asked = asked(&json::elements(chat.field("messages").unwrap_or_default()));
        Notes { scope, asked, keeps_unsigned, room: limits.bytes, choices: Vec::new() }
    }

    /// What is to be kept of an answer that is complete: keys, and the items of each as a JSON array.
    pub fn finish(self) -> Vec<(Key, String)> {
        let Notes { scope, asked, keeps_unsigned, choices, .. } = self;
        let kept = |choice: Choice| {
            let details = join_details(&choice.details);
            let worth = !details.is_empty() && (keeps_unsigned || details.iter().any(|raw| is_signed(raw)));
            let calls: Vec<(&str, &str)> =
                choice.calls.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
            worth.then(|| {
                let key = match calls.as_slice() {
                    [] => scope.of_text(choice.text, asked),
                    calls => scope.of_calls(calls, || asked),
                };
                (key, format!("[{}]", details.join(",")))
            })
        };
        choices.into_iter().filter_map(kept).collect()
    }

    fn choice(&mut self, number: u32) -> Option<&mut Choice> {
        let known = self.choices.iter().position(|choice| choice.number == number);
        let at = known.unwrap_or(self.choices.len());
        if known.is_none() {
            let choice = Choice { number, text: Sha256::new(), calls: Vec::new(), details: Vec::new() };
            self.choices.push(choice);
        }
        self.choices.get_mut(at)
    }
}

impl Sink for Notes {
    fn event(&mut self, event: &Event<'_>) {
        let Event::Part(part) = event else { return };
        match &part.body {
            Body::Text(text) | Body::Refusal(text) => {
                if let Some(choice) = self.choice(part.choice) {
                    choice.text.update(text);
                }
            }
            Body::Reasoning { details, .. } if !details.is_empty() => {
                let length: usize = details.iter().map(|detail| detail.len()).sum();
                match self.room.checked_sub(length) {
                    Some(room) => self.room = room,
                    // A part of the reasoning is of no use.
                    None => {
                        self.room = 0;
                        return self.choices.iter_mut().for_each(|choice| choice.details.clear());
                    }
                }
                if let Some(choice) = self.choice(part.choice) {
                    choice.details.extend(details.iter().map(|detail| detail.clone().into_owned()));
                }
            }
            Body::ToolStart { id, name, .. } => {
                if let Some(choice) = self.choice(part.choice) {
                    choice.calls.push(((*id).to_owned(), (*name).to_owned()));
                }
            }
            Body::Reasoning { .. } | Body::Nothing | Body::ToolMore { .. } => {}
        }
    }
}

/// True for an item that only its provider can have made.
fn is_signed(raw: &str) -> bool {
    let members = Members::of(raw);
    ["signature", "data"].iter().any(|name| members.find(name).and_then(json::word).is_some())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Part, Unknown};

    const SIGNED: &str = r#"{"type":"reasoning.text","text":"hm","signature":"s","index":0}"#;
    const UNSIGNED: &str = r#"{"type":"reasoning.text","text":"hm","index":0}"#;
    const ID: &str = "toolu_01A09q90qw90lq917835lq9";
    const QUESTION: &str = r#"{"role":"user","content":"What is up?"}"#;

    fn chat(messages: &str) -> Chat {
        Chat::read(format!("{{\"model\":\"m\",\"messages\":[{messages}]}}").as_bytes()).unwrap()
    }

    fn scope() -> Scope {
        Scope::new("anthropic", "claude", b"")
    }

    /// What is kept of an answer with these parts to these messages.
    fn kept(messages: &str, parts: Vec<Body<'_>>) -> Vec<(Key, String)> {
        let mut notes = Notes::new(&chat(messages), scope(), Limits::default(), false);
        for body in parts {
            notes.event(&Event::Part(Part { choice: 0, first: false, body, unknown: Unknown::default() }));
        }
        notes.finish()
    }

    fn call<'a>(id: &'a str, name: &'a str) -> Body<'a> {
        Body::ToolStart { index: 0, id, name, arguments: "{}", extra_content: &[], unknown: &[] }
    }

    fn written(id: &str, name: &str) -> String {
        format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{{ }}"}}}}]}}"#
        )
    }

    fn reasoning<'a>(details: &'a [Cow<'a, str>]) -> Body<'a> {
        Body::Reasoning { text: "hm", details }
    }

    /// The messages as they are asked for, after what was kept came back into them.
    #[track_caller]
    fn check(messages: &str, scope: &Scope, kept: &[(Key, String)], expect: &str) {
        let chat = chat(messages);
        let find =
            |key: &Key| kept.iter().find(|(known, _)| known == key).map(|(_, text)| text.as_str().into());
        let chat = restore(&chat, scope, true, find).unwrap_or(chat);
        assert_eq!(chat.field("messages"), Some(format!("[{expect}]").as_str()));
    }

    /// The same message with the items of [`SIGNED`].
    fn signed(message: &str) -> String {
        let open = message.strip_suffix('}').unwrap();
        format!("{open},\"reasoning_details\":[{SIGNED}]}}")
    }

    #[test]
    fn a_message_with_calls_is_known_by_their_ids() {
        let kept = kept(QUESTION, vec![reasoning(&[SIGNED.into()]), call(ID, "weather")]);
        let message = written(ID, "weather");
        // Whatever was asked before, as the id is unique.
        check(&message, &scope(), &kept, &signed(&message));
        let other = written("toolu_01B09q90qw90lq917835lq9", "weather");
        check(&other, &scope(), &kept, &other);
    }

    #[test]
    fn a_message_that_brings_its_reasoning_stays_as_it_is() {
        let kept = kept(QUESTION, vec![reasoning(&[SIGNED.into()]), call(ID, "weather")]);
        let open = written(ID, "weather");
        let open = open.strip_suffix('}').unwrap();
        let own = format!("{open},\"reasoning_details\":[{{\"text\":\"mine\"}}]}}");
        check(&own, &scope(), &kept, &own);
        for nothing in ["[]", "null"] {
            let message = format!("{open},\"reasoning_details\":{nothing}}}");
            check(&message, &scope(), &kept, &format!("{open},\"reasoning_details\":[{SIGNED}]}}"));
        }
    }

    #[test]
    fn a_signed_call_is_enough_where_signatures_of_calls_are_read() {
        let kept = kept(QUESTION, vec![reasoning(&[SIGNED.into()]), call(ID, "weather")]);
        let message =
            written(ID, "weather").replace("\"id\"", "\"extra_content\":{\"signature\":\"s\"},\"id\"");
        check(&message, &scope(), &kept, &message);
        let chat = restore(&chat(&message), &scope(), false, |key| {
            kept.iter().find(|(known, _)| known == key).map(|(_, text)| text.as_str().into())
        });
        assert_eq!(chat.unwrap().field("messages"), Some(format!("[{}]", signed(&message)).as_str()));
    }

    #[test]
    fn no_other_provider_model_or_client_gets_it() {
        let kept = kept(QUESTION, vec![reasoning(&[SIGNED.into()]), call(ID, "weather")]);
        let message = written(ID, "weather");
        for scope in [
            Scope::new("bedrock", "claude", b""),
            Scope::new("anthropic", "claude-2", b""),
            Scope::new("anthropic", "claude", b"Bearer x"),
            Scope::new("anthropicclaude", "", b""),
        ] {
            check(&message, &scope, &kept, &message);
        }
    }

    #[test]
    fn ids_that_come_again_need_the_question() {
        let kept = kept(QUESTION, vec![reasoning(&[SIGNED.into()]), call("call_0", "weather")]);
        let message = written("call_0", "weather");
        let known = format!("{QUESTION},{message}");
        check(&known, &scope(), &kept, &format!("{QUESTION},{}", signed(&message)));
        // A system's message may be new each time.
        let other = format!(r#"{{"role":"system","content":"Now."}},{QUESTION},{message}"#);
        check(&other, &scope(), &kept, &other.replace(&message, &signed(&message)));
        let strange = format!(r#"{{"role":"user","content":"What else?"}},{message}"#);
        check(&strange, &scope(), &kept, &strange);
    }

    #[test]
    fn an_id_is_unique_if_nobody_counted_to_it() {
        for id in [ID, "call_0_8f14e45f-ceea-467f", "D681PevKs", "weather_ab12cd34ef"] {
            assert!(is_unique(id, "weather"), "{id}");
        }
        for id in ["", "call_0", "call_d5wg", "functions.weather:0", "weather:20001"] {
            assert!(!is_unique(id, "weather"), "{id}");
        }
        assert!(!is_unique("functions.weather2000:0", "weather2000"));
        assert!(!is_unique(ID, ""));
    }

    #[test]
    fn a_message_without_calls_is_known_by_its_text() {
        let kept =
            kept(QUESTION, vec![reasoning(&[SIGNED.into()]), Body::Text("Two "), Body::Text("ducks.")]);
        for content in [r#""Two ducks.""#, r#"[{"type":"text","text":"Two ducks."}]"#] {
            let message = format!(r#"{{"role":"assistant","content":{content}}}"#);
            let both = format!("{QUESTION},{message}");
            check(&both, &scope(), &kept, &format!("{QUESTION},{}", signed(&message)));
        }
        let changed = format!(r#"{QUESTION},{{"role":"assistant","content":"Three ducks."}}"#);
        check(&changed, &scope(), &kept, &changed);
    }

    #[test]
    fn pieces_are_kept_as_one_item_and_only_if_one_is_signed() {
        let pieces: [Cow<'_, str>; 3] = [
            r#"{"type":"reasoning.text","text":"h","index":0}"#.into(),
            r#"{"type":"reasoning.text","text":"m","index":0}"#.into(),
            r#"{"type":"reasoning.text","signature":"s","index":0}"#.into(),
        ];
        let parts = pieces.chunks(1).map(reasoning).chain([call(ID, "weather")]).collect();
        let texts: Vec<String> = kept(QUESTION, parts).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts.len(), 1);
        for part in ["\"text\":\"hm\"", "\"signature\":\"s\""] {
            assert!(texts[0].contains(part), "{texts:?}");
        }
        assert_eq!(kept(QUESTION, vec![reasoning(&[UNSIGNED.into()]), call(ID, "weather")]), []);
        assert_eq!(kept(QUESTION, vec![call(ID, "weather")]), []);
    }

    #[test]
    fn too_much_reasoning_is_not_kept_by_half() {
        let limits = Limits { bytes: SIGNED.len() + 10, ..Limits::default() };
        let mut notes = Notes::new(&chat(QUESTION), scope(), limits, true);
        for raw in [SIGNED, UNSIGNED, "{}"] {
            let details = [raw.into()];
            let body = reasoning(&details);
            notes.event(&Event::Part(Part { choice: 0, first: false, body, unknown: Unknown::default() }));
        }
        assert_eq!(notes.finish(), []);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let now = Instant::now();
        let mut memory = Memory::new(Limits { entries: 2, ..Limits::default() });
        memory.keep(now, [1; 32], "[1]");
        memory.keep(now, [2; 32], "[2]");
        assert_eq!(memory.find(now, &[1; 32]).as_deref(), Some("[1]"));
        memory.keep(now, [3; 32], "[3]");
        let found = [1, 2, 3].map(|key| memory.find(now, &[key; 32]).is_some());
        assert_eq!(found, [true, false, true]);
    }

    #[test]
    fn bytes_are_limited_in_total() {
        let now = Instant::now();
        let details = "x".repeat(1000);
        let mut memory = Memory::new(Limits { bytes: 3000, ..Limits::default() });
        for key in 0..10 {
            memory.keep(now, [key; 32], &details);
            memory.keep(now, [key; 32], &details);
            assert!(memory.bytes <= 3000);
        }
        assert_eq!(memory.entries.len(), 2);
        // What is too much by itself costs nobody else anything.
        memory.keep(now, [99; 32], &"x".repeat(4000));
        assert!(memory.find(now, &[99; 32]).is_none() && memory.entries.len() == 2);
        memory.keep(now, [8; 32], &"x".repeat(4000));
        assert!(memory.find(now, &[8; 32]).is_none() && memory.forget(&[9; 32]));
        assert!(memory.is_empty());
        assert_eq!((memory.bytes, memory.order.len()), (0, 0));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut memory = Memory::new(Limits { ttl: Duration::from_secs(10), ..Limits::default() });
        memory.keep(at(0), [1; 32], "[1]");
        memory.keep(at(0), [2; 32], "[2]");
        assert!(memory.find(at(9), &[1; 32]).is_some());
        assert!(memory.find(at(12), &[2; 32]).is_none());
        assert!(memory.find(at(18), &[1; 32]).is_some());
        assert!(memory.find(at(28), &[1; 32]).is_none());
        assert!(memory.is_empty());
    }
}
