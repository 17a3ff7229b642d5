//! `usageMetadata` in the contract's meaning (E3).

use crate::event::{Delta, Usage};
use crate::json::{self, Members};

/// The counts that are translated.
const KNOWN: [&str; 6] = [
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
];

/// The report of an answer. Every frame has one; those before the finish reason are estimates, which may count
/// more than the last one. It leaves with the finish reason: to read all of them would also cost more than the
/// text beside them.
#[derive(Debug, Default)]
pub(super) struct Report {
    last: String,
}

impl Report {
    /// Takes the report of a frame.
    pub(super) fn keep(&mut self, raw: &str) {
        self.last.clear();
        self.last.push_str(raw);
    }

    /// Lets the report go.
    pub(super) fn leave(&mut self, out: &mut Vec<Delta<'_>>) {
        out.extend(read(&self.last).map(|usage| Delta::Usage(Box::new(usage), true)));
        self.last.clear();
    }

    /// The last estimate, while the report has not left.
    pub(super) fn so_far(&self) -> Option<Usage> {
        read(&self.last)
    }
}

/// Reads a report. Thoughts are counted outside of the candidates, and what tools read outside of the prompt.
fn read(raw: &str) -> Option<Usage> {
    let members = Members::of(raw);
    let count = |name: &str| members.find(name).and_then(json::count);
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    let tools = count("toolUsePromptTokenCount");
    let thoughts = count("thoughtsTokenCount");
    let prompt = count("promptTokenCount").map(|prompt| prompt.saturating_add(tools.unwrap_or(0)));
    let completion = sum(count("candidatesTokenCount"), thoughts);
    let of = |name: &str, modality: &str| {
        let details = json::elements(members.find(name).unwrap_or_default());
        let mut details = details.into_iter().map(Members::of);
        let detail =
            details.find(|detail| detail.find("modality").and_then(json::word).as_deref() == Some(modality));
        detail.and_then(|detail| detail.find("tokenCount").and_then(json::count))
    };
    let mut out = String::from("{");
    write(
        &[
            ("prompt_tokens", prompt),
            ("completion_tokens", completion),
            ("total_tokens", count("totalTokenCount")),
        ],
        &mut out,
    );
    let nested = [
        (
            "prompt_tokens_details",
            vec![
                ("cached_tokens", count("cachedContentTokenCount")),
                ("audio_tokens", of("promptTokensDetails", "AUDIO")),
                ("image_tokens", of("promptTokensDetails", "IMAGE")),
                ("video_tokens", of("promptTokensDetails", "VIDEO")),
                ("tool_use_tokens", tools),
            ],
        ),
        (
            "completion_tokens_details",
            vec![
                ("reasoning_tokens", thoughts),
                ("audio_tokens", of("candidatesTokensDetails", "AUDIO")),
                ("image_tokens", of("candidatesTokensDetails", "IMAGE")),
            ],
        ),
    ];
    for (name, counts) in nested {
        if counts.iter().any(|(_, count)| count.is_some()) {
            separate(&mut out);
            out.push_str(&format!("\"{name}\":{{"));
            write(&counts, &mut out);
            out.push('}');
        }
    }
    for (name, raw) in
        members.0.iter().filter(|(name, raw)| !KNOWN.contains(&name.as_ref()) && *raw != "null")
    {
        separate(&mut out);
        let mut quoted = Vec::new();
        json::write_string(name, &mut quoted);
        out.push_str(&format!("{}:{raw}", String::from_utf8_lossy(&quoted)));
    }
    out.push('}');
    Usage::read(&out)
}

fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

fn write(counts: &[(&str, Option<u64>)], out: &mut String) {
    for (name, count) in counts {
        if let Some(count) = count {
            separate(out);
            out.push_str(&format!("\"{name}\":{count}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expect: &str) {
        let mut out = Vec::new();
        read(raw).unwrap().write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn thoughts_are_a_part_of_the_answer_and_tools_of_the_prompt() {
        check(
            r#"{"promptTokenCount":10,"candidatesTokenCount":2,"thoughtsTokenCount":5,"toolUsePromptTokenCount":3,"totalTokenCount":20,"cachedContentTokenCount":4,"serviceTier":"standard"}"#,
            r#"{"prompt_tokens":13,"completion_tokens":7,"total_tokens":20,"prompt_tokens_details":{"cached_tokens":4,"tool_use_tokens":3},"completion_tokens_details":{"reasoning_tokens":5},"serviceTier":"standard"}"#,
        );
    }

    #[test]
    fn what_is_not_counted_is_not_invented() {
        check(r#"{"promptTokenCount":10}"#, r#"{"prompt_tokens":10}"#);
        assert_eq!(read(r#"{"trafficType":"ON_DEMAND"}"#), None);
    }
}
