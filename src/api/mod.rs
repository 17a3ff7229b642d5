//! What clients speak: events become bytes.

pub mod chat_completions;
