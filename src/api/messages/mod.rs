//! Anthropic Messages: `POST /v1/messages`, as a stream and as one object.

mod blocks;
mod end;
mod error;
mod object;
mod request;
mod seal;
mod stream;
mod thought;

pub use error::write_error;
pub use object::Fold;
pub use request::read;
pub use stream::Stream;

use crate::event::Identity;
use crate::json::{self, Field};

/// The fields of a message that are ours.
const BEGINNING: [&str; 8] =
    ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"];

/// Appends the members with which a message begins.
fn write_beginning(identity: &Identity, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"id\":");
    json::write_string(&identity.id, out);
    out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    json::write_string(&identity.model, out);
}

/// Appends the fields of a call that millpond does not know.
fn write_unknown_of_call(fields: &[Field<'_>], out: &mut Vec<u8>) {
    const OURS: [&str; 4] = ["type", "id", "name", "input"];
    json::write_fields(fields.iter().filter(|field| !OURS.contains(&field.name.as_ref())), out);
}
