//! Text completions, the API before chat completions: `POST /v1/completions`, as a stream and as one object.
//!
//! A prompt comes in, and how it goes on goes out: [`read`] is the request, [`Stream`] and [`Fold`] are the answer.
//! Tests and comments name these rules by their numbers. What the [`contract`](crate::contract) says of framing (A),
//! ends and counts (E), faults and errors (F) and requests that are not streams (H) holds here as it stands, and the
//! errors are those of chat completions.
//!
//! # The answer
//! - **T1** `id`, `object` (`text_completion`), `created` and `model` are on every chunk and equal on all of them; what
//!   is missing is minted.
//! - **T2** A choice has `index`, `text`, `logprobs` and `finish_reason`, whatever else it has. `text` is a string and
//!   `logprobs` an object or null.
//! - **T3** The text is the upstream's, character for character. It is raw: `<think>` tags stay where they are, and
//!   with `echo` it begins with the prompt. Chunks in the form of a chat (`delta.content`) are read as texts.
//! - **T4** `logprobs` leave on the chunk of their frame, byte for byte. In an object their lists are joined, and those
//!   that run beside `tokens` are as long as `tokens`: null stands where nothing was told.
//! - **T5** Each choice has one `finish_reason` (`stop`, `length` or `content_filter`), on a chunk of its own with an
//!   empty text, after everything else. The provider's word stays as `native_finish_reason` where it differs.
//! - **T6** Usage is one chunk with `choices: []` right before `[DONE]`, if `stream_options.include_usage` asks for it.
//! - **T7** An answer to several prompts that just ends, without an end mark, is complete only if there is a finished
//!   choice for each of them.
//! - **T8** Unknown fields are kept: those of a delta stand in the choice, as there is no delta here.
//! - **T9** Reasoning that the provider tells apart stands beside the text, under the names that G1 gives it; refusals
//!   as `refusal`. Tool calls have no place in this API.
//!
//! # The request
//! It goes to `/completions` below the provider's base URL, with every field as the client wrote it (`prompt` in all of
//! its forms, `suffix`, `echo`, `logprobs`, `n`, `best_of`, fields that nobody knows), but for `model`, `stream` and
//! `stream_options`. `provider_options` work as ever. A model's own template for chats is not put around the prompt.
//!
//! Only providers of chat completions are asked; of these some have no such path, and say so. Others are not asked:
//! to put a prompt into a chat would give another answer than the model's own. Some have a base URL of their own for
//! it, which the config names: DeepSeek's is `https://api.deepseek.com/beta`.
//!
//! Source: OpenAI's API reference, "Completions (legacy)"

mod logprobs;
mod object;
mod request;
mod stream;

pub use object::Fold;
pub use request::read;
pub use stream::Stream;

use crate::event::FinishReason;
use crate::json::{self, Field};

/// The members of a choice that are ours.
const OURS: [&str; 9] = [
    "index",
    "text",
    "logprobs",
    "finish_reason",
    "native_finish_reason",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
];

/// The word of this API: there is nothing to call in it.
fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => FinishReason::Stop.as_str(),
        FinishReason::Stop | FinishReason::Length | FinishReason::ContentFilter => reason.as_str(),
    }
}

/// The provider's word, where it differs from the one of this API.
fn native(reason: FinishReason, native: Option<&str>) -> Option<&str> {
    let renamed = word(reason) != reason.as_str();
    native.or_else(|| renamed.then(|| reason.as_str()))
}

/// The log probabilities among the fields of a choice: an object.
fn logprobs<'f>(fields: &'f [&'f [Field<'_>]]) -> Option<&'f str> {
    let found = fields.iter().flat_map(|fields| fields.iter()).find(|field| field.name == "logprobs");
    found.map(|field| field.value.as_ref()).filter(|raw| raw.starts_with('{'))
}

/// Appends `,"name":value` for the fields of a choice that are not ours; of two of one name the first counts.
fn write_beside(fields: &[&[Field<'_>]], out: &mut Vec<u8>) {
    let all = || fields.iter().flat_map(|fields| fields.iter());
    for (at, field) in all().enumerate() {
        let is_first = all().take(at).all(|earlier| earlier.name != field.name);
        if is_first && !OURS.contains(&field.name.as_ref()) {
            json::write_fields([field], out);
        }
    }
}
