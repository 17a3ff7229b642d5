//! The memory of signatures at the edge: all requests share it, and here it is told the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::chat::Chat;
use crate::event::{Event, Sink};
use crate::recall::{self, Limits, Notes, Scope};

/// The memory, locked for moments: a look or an entry at a time.
pub(super) struct Memory {
    limits: Limits,
    inner: Mutex<recall::Memory>,
}

/// Whoever takes the notes of one answer.
pub(super) struct NoteTaker {
    memory: Arc<Memory>,
    notes: Option<Notes>,
}

impl Memory {
    pub(super) fn new(limits: Limits) -> Memory {
        Memory { limits, inner: Mutex::new(recall::Memory::new(limits)) }
    }

    /// The chat with the reasoning that the client left out, if some is known. Chat completions have
    /// reasoning in one place, and mostly no signatures on calls.
    pub(super) fn restore(&self, chat: &Chat, scope: &Scope, is_foreign: bool) -> Option<Chat> {
        if self.lock().is_empty() {
            return None;
        }
        recall::restore(chat, scope, is_foreign, |key| self.lock().find(Instant::now(), key))
    }

    /// Begins the notes of the answer to a chat.
    pub(super) fn notes(self: &Arc<Self>, chat: &Chat, scope: Scope, is_foreign: bool) -> NoteTaker {
        let notes = Some(Notes::new(chat, scope, self.limits, is_foreign));
        NoteTaker { memory: Arc::clone(self), notes }
    }

    fn lock(&self) -> MutexGuard<'_, recall::Memory> {
        // Whoever panicked with it left at worst a wrong count of bytes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for NoteTaker {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Part(_) => {
                if let Some(notes) = &mut self.notes {
                    notes.event(event);
                }
            }
            Event::Complete => {
                for (key, details) in self.notes.take().map(Notes::finish).unwrap_or_default() {
                    self.memory.lock().keep(Instant::now(), key, &details);
                }
            }
            // Of an answer that failed nothing is kept: a signature may be missing.
            Event::Fault(_) => self.notes = None,
            Event::Start(_) | Event::Finish(_) | Event::Usage(_) => {}
        }
    }
}
