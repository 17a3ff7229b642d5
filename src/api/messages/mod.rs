//! Anthropic Messages: `POST /v1/messages`, as a stream and as one object, and what its stream guarantees.
//!
//! Tests and comments name these rules by their numbers. What is said of text, calls, ends and faults in the
//! [`contract`](crate::contract) holds here as well: both are written from the same events.
//!
//! # The stream
//! - **M1** Every event is two lines, `event: <type>` and `data: <JSON object of that type>`, and a blank line. In
//!   silence comes a `ping`, whatever `keep_alive_form` says; it may come before everything else.
//! - **M2** `message_start` is the first event, once: id, model, the tokens of the request as far as they are known
//!   so early, and unknown fields of the answer that came with its first chunk. Those of later chunks are left out.
//! - **M3** Blocks have the indices 0, 1, 2 …, each with `content_block_start`, deltas and `content_block_stop`; one is
//!   open at a time. Text, thinking and calls begin empty.
//! - **M4** While a call is open whose arguments are not a whole JSON object or array, what comes beside it waits; it
//!   follows once they are, or once the answer ends. What waits is bounded like an object that is folded, and left
//!   out if a fault comes. What comes for a call after its block was closed is left out: its arguments were whole.
//! - **M5** The `partial_json` pieces of a call are the model's own text (D4). A call that a limit cut before its
//!   arguments began has none.
//! - **M6** `message_delta` comes once, after all blocks, with the reason and all tokens; then `message_stop`, and
//!   nothing more. Cached tokens are beside `input_tokens`, not in them. What nobody counted is 0, because clients of
//!   this API do arithmetic with it unasked.
//! - **M7** A fault is one `error` event, the last, with the API's type and message, and millpond's `code`, `provider`
//!   and `provider_code` behind them. There is no `message_stop` then.
//! - **M8** The object has the same blocks, the same reason and the same tokens. The input of a call there is an
//!   object; arguments that are none are its member `INVALID_JSON`, which goes back to the model as it is.
//!
//! # What becomes what
//! | event | block |
//! |---|---|
//! | text, refusal | `text` |
//! | reasoning | `thinking`; a signature of Anthropic's stays byte for byte |
//! | items that only their provider reads | `redacted_thinking`; Anthropic's data stays byte for byte |
//! | structured reasoning of other providers | the same blocks, with a signature or data that millpond sealed |
//! | tool call | `tool_use`, with the fields that the provider put beside |
//! | `content_parts` of Anthropic's: server tools, their results | the block itself; its input as one `input_json_delta` |
//! | other `content_parts` | `redacted_thinking` that millpond sealed |
//! | annotations | `citations_delta` of the text before them; without a URL and a citation of Anthropic's they are left out |
//! | audio, images, log probabilities, other choices than the first | nothing: the API has no place for them |
//!
//! | finish | `stop_reason` |
//! |---|---|
//! | `stop` | `end_turn`, `stop_sequence` if one is named, `refusal` if the model refused in words, `pause_turn` |
//! | `length` | `max_tokens`, `model_context_window_exceeded` |
//! | `tool_calls` | `tool_use` |
//! | `content_filter` | `refusal` |
//!
//! What is sealed is for the way back: clients keep such text and return it, and the provider gets its own form
//! again. For many clients the last block is the answer, so what is sealed waits behind a text for the next block, and
//! is left out if none comes; the memory of reasoning has it still. Neighbouring blocks of text without citations become one.
//!
//! # The request
//! It becomes a chat for providers of other APIs, and is kept in its own words for those that speak Messages
//! ([`Origin`](crate::chat::Origin)), which get it as it came: with every field, marker, server tool and
//! beta. Only what they refuse because other providers left it there is taken out of the conversation: reasoning that
//! they did not sign, empty text, citations that are not theirs, and of calls the characters of ids and the fields
//! that they do not know.
//!
//! | request | chat |
//! |---|---|
//! | `system` | a system message |
//! | `text`, `image`, `document`, `search_result` | parts |
//! | `tool_result` | a tool message of text, before the user's words; its images follow with those; `is_error` becomes "Error: " |
//! | `thinking`, `redacted_thinking` | `reasoning_content` and `reasoning_details` |
//! | `tool_use` | a tool call |
//! | `stop_sequences`, `tool_choice`, `disable_parallel_tool_use`, `output_config.format` | `stop`, `tool_choice`, `parallel_tool_calls`, `response_format` |
//! | `thinking`, `output_config.effort` | `reasoning`; where a provider of chat completions knows no such object, `reasoning_effort` |
//! | `metadata.user_id` | `user`, up to 64 bytes |
//! | `cache_control` | the same where the provider knows it |
//! | server tools and their blocks, `mcp_servers`, `container`, files at the provider | an error that names them |
//! | `context_management`, longer names of users, fields that nobody knows | nothing; they are named in `x-millpond-dropped` |
//!
//! `max_tokens` may be missing. Errors name the field in this API's words.
//!
//! Source: <https://docs.claude.com/en/api/messages>, "Streaming messages", "Errors"

mod blocks;
mod end;
mod error;
mod object;
mod request;
mod stream;
mod thought;

pub use error::write_error;
pub use object::Fold;
pub use request::read;
pub use stream::Stream;

use crate::event::{Identity, told};
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
    json::write_fields(told(fields).filter(|field| !OURS.contains(&field.name.as_ref())), out);
}
