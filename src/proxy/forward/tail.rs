//! The end of an answer, where it tells its usage: what is kept of it while it passes.

use memchr::memmem;
use serde_json::value::RawValue;

use crate::event::Usage;

/// How much of the end is kept, in bytes.
const KEPT: usize = 8 << 10;
/// The member that tells it.
const USAGE: &[u8] = b"\"usage\"";

/// The end of an answer in text.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// More of the answer came.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data.get(data.len().saturating_sub(KEPT)..).unwrap_or_default());
        // Seldom, so that each byte is moved about once.
        if self.0.len() > 2 * KEPT {
            self.0.drain(..self.0.len() - KEPT);
        }
    }

    /// The last usage that the answer tells.
    pub(super) fn usage(&self) -> Option<Usage> {
        memmem::rfind_iter(&self.0, USAGE).find_map(|at| {
            let after = String::from_utf8_lossy(self.0.get(at + USAGE.len()..)?);
            let value = after.trim_start().strip_prefix(':')?;
            let mut values = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>();
            Usage::read(values.next()?.ok()?.get()) // Cut off or no JSON: not this one.
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &str, size: usize) -> Option<(Option<u64>, Option<u64>)> {
        let mut tail = Tail::default();
        answer.as_bytes().chunks(size).for_each(|piece| tail.push(piece));
        assert!(tail.0.len() <= 2 * KEPT && tail.0.capacity() <= 8 * KEPT);
        tail.usage().map(|usage| (usage.prompt, usage.completion))
    }

    #[test]
    fn the_end_of_a_long_answer_tells_its_usage() {
        let data = "0.25,".repeat(100_000);
        let answer = format!(
            "{{\"data\":[{data}1],\"usage\" : {{\"prompt_tokens\": 8, \"total_tokens\": 8}},\"model\":\"m\"}}\n"
        );
        for size in [1000, 7, answer.len()] {
            assert_eq!(told(&answer, size), Some((Some(8), None)));
        }
    }

    #[test]
    fn the_last_usage_that_counts_is_meant() {
        let events = concat!(
            "data: {\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}\n\n",
            "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n\n",
            "data: {\"usage\":null}\n\n",
        );
        assert_eq!(told(events, 9), Some((Some(3), Some(4))));
        for none in ["", "\"usage\"", "{\"text\":\"the \\\"usage\\\":{}\"}", "{\"usage\":{\"prompt_tokens\":"]
        {
            assert_eq!(told(none, 9), None, "{none}");
        }
    }
}
