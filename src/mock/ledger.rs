//! The last requests, for tests that ask what arrived and whether a departure reached the mock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;

use super::json::{Handwriting, Json, Object};

/// How many requests are remembered.
const REMEMBERED: usize = 100;

/// Headers whose values are never shown.
const SECRET: &[&str] = &["authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    request: Object,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    open: AtomicBool,
    finished: AtomicBool,
}

/// The part of an entry that an answer holds; dropping it closes the entry.
#[derive(Debug)]
pub struct Ticket(Arc<State>);

impl Ledger {
    /// Remembers a request.
    pub fn record(&self, parts: &Parts, body: &[u8]) -> Ticket {
        let ticket = Ticket::unrecorded();
        let entry = Entry { request: described(parts, body), state: Arc::clone(&ticket.0) };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(entry);
        ticket
    }

    /// Writes the requests as a JSON array.
    pub fn write(&self) -> String {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let list = entries.iter().map(|entry| entry.described().into());
        Json::List(list.collect()).write(Handwriting::default())
    }
}

impl Entry {
    fn described(&self) -> Object {
        let open = self.state.open.load(Ordering::Relaxed);
        let finished = self.state.finished.load(Ordering::Relaxed);
        self.request.clone().with("open", open).with("closed_early", !open && !finished)
    }
}

impl Ticket {
    /// Makes a ticket for a request that is not remembered.
    pub fn unrecorded() -> Self {
        Self(Arc::new(State { open: AtomicBool::new(true), finished: AtomicBool::new(false) }))
    }

    /// Notes that the answer has said all that it was going to say.
    pub fn finish(&self) {
        self.0.finished.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Relaxed);
    }
}

fn described(parts: &Parts, body: &[u8]) -> Object {
    let mut headers = Object::default();
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name).iter();
        let text: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        match SECRET.contains(&name.as_str()) {
            true => headers.set(name.as_str(), "[hidden]"),
            false => headers.set(name.as_str(), text.join(", ")),
        };
    }
    let text = String::from_utf8_lossy(body).into_owned();
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    Object::default()
        .with("method", parts.method.as_str())
        .with("path", parts.uri.path())
        .with("headers", headers)
        .with("body", if is_json { Json::Raw(text) } else { text.into() })
}
