//! The tokens of an answer, in the contract's meaning (E3).

use std::borrow::Cow;

use super::{Repair, Repairs};
use crate::json::{self, Field, Members};

/// A report of tokens. Counts that the provider did not give are `None`, never zero.
///
/// `prompt` includes cached tokens and `completion` includes reasoning tokens, once
/// [`Usage::complete`] has run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt: Option<u64>,
    /// Tokens of the answer.
    pub completion: Option<u64>,
    /// Both together, as reported or as summed.
    pub total: Option<u64>,
    prompt_details: Vec<Field<'static>>,
    completion_details: Vec<Field<'static>>,
    rest: Vec<Field<'static>>,
}

/// Names under which providers report a nested count at the top level, and the nested name.
const PROMPT_ALIASES: &[(&str, &str)] = &[
    ("cached_tokens", "cached_tokens"),
    ("prompt_cache_hit_tokens", "cached_tokens"),
    ("cache_read_input_tokens", "cached_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"),
];
/// Names under which providers report the cost in US dollars: OpenRouter and Vercel, LiteLLM, DeepInfra.
const COSTS: [&str; 3] = ["cost", "total_cost", "estimated_cost"];
const COMPLETION_ALIASES: &[(&str, &str)] = &[("reasoning_tokens", "reasoning_tokens")];

impl Usage {
    /// Reads a report from an object's JSON text; `None` if it counts nothing (all zero, null or empty).
    pub fn read(raw: &str) -> Option<Usage> {
        let mut usage = Usage::default();
        for (name, value) in Members::of(raw).0 {
            match name.as_ref() {
                "prompt_tokens" | "input_tokens" => usage.prompt = json::count(value).or(usage.prompt),
                "completion_tokens" | "output_tokens" => {
                    usage.completion = json::count(value).or(usage.completion)
                }
                "total_tokens" => usage.total = json::count(value),
                "prompt_tokens_details" | "input_tokens_details" => {
                    merge(&mut usage.prompt_details, fields(value))
                }
                "completion_tokens_details" | "output_tokens_details" => {
                    merge(&mut usage.completion_details, fields(value));
                }
                _ => usage.rest.push(Field { name, value: Cow::Borrowed(value) }.into_owned()),
            }
        }
        let counts = [usage.prompt, usage.completion, usage.total];
        counts.iter().any(|count| count.is_some_and(|count| count > 0)).then_some(usage)
    }

    /// Takes over a later report of the same tokens; no number is taken back. A report that counts more in
    /// all is the better one as a whole; of one that counts less, only what is more is taken.
    pub fn merge(&mut self, later: Usage) {
        let grows = later.sum() >= self.sum();
        let better = |known: Option<u64>, later: Option<u64>| match later {
            Some(count) if grows && count > 0 => Some(count),
            Some(_) | None => known.max(later),
        };
        self.prompt = better(self.prompt, later.prompt);
        self.completion = better(self.completion, later.completion);
        self.total = better(self.total, later.total);
        merge(&mut self.prompt_details, later.prompt_details);
        merge(&mut self.completion_details, later.completion_details);
        merge(&mut self.rest, later.rest);
    }

    /// All tokens that are known.
    pub fn sum(&self) -> u64 {
        let parts = self.prompt.unwrap_or(0).saturating_add(self.completion.unwrap_or(0));
        self.total.unwrap_or(0).max(parts)
    }

    /// Adds a report of other tokens: one candidate's beside another's.
    pub fn add(&mut self, other: &Usage) {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        self.prompt = sum(self.prompt, other.prompt);
        self.completion = sum(self.completion, other.completion);
        self.total = sum(self.total, other.total);
        add(&mut self.prompt_details, &other.prompt_details);
        add(&mut self.completion_details, &other.completion_details);
        merge(&mut self.rest, other.rest.clone());
    }

    /// Brings the counts into the contract's meaning: nested counts from their top-level names, parts
    /// that the provider counts outside, what follows from the other two.
    pub fn complete(&mut self, repairs: &mut Repairs) {
        let before = (self.prompt, self.completion, self.total);
        self.nest_aliases();
        if let (Some(prompt), Some(cached)) = (self.prompt, self.cached()) {
            // A part cannot be larger than the whole: this provider counts cached tokens outside.
            if cached > prompt {
                let outside = cached.saturating_add(self.cache_written().unwrap_or(0));
                self.prompt = Some(prompt.saturating_add(outside));
                self.total = self.total.map(|total| total.saturating_add(outside));
            }
        }
        if let (Some(prompt), Some(completion), Some(total), Some(reasoning)) =
            (self.prompt, self.completion, self.total, self.reasoning())
        {
            let outside = prompt.saturating_add(completion).saturating_add(reasoning);
            if reasoning > 0 && total == outside {
                self.completion = Some(completion.saturating_add(reasoning));
            }
        }
        match (self.prompt, self.completion, self.total) {
            (Some(prompt), Some(completion), None) => self.total = Some(prompt.saturating_add(completion)),
            (Some(prompt), None, Some(total)) => self.completion = total.checked_sub(prompt),
            (None, Some(completion), Some(total)) => self.prompt = total.checked_sub(completion),
            (Some(prompt), Some(completion), Some(total)) => {
                // Reports that were merged field by field: the whole is no less than its parts.
                self.total = Some(total.max(prompt.saturating_add(completion)));
            }
            (_, None, None) | (None, _, None) | (None, None, _) => {}
        }
        if before != (self.prompt, self.completion, self.total) {
            repairs.count(Repair::UsageCompleted);
        }
    }

    fn nest_aliases(&mut self) {
        for (aliases, details) in
            [(PROMPT_ALIASES, &mut self.prompt_details), (COMPLETION_ALIASES, &mut self.completion_details)]
        {
            for (alias, nested) in aliases {
                let count =
                    self.rest.iter().find(|field| field.name == *alias).and_then(|f| json::count(&f.value));
                let known = details.iter().any(|field| field.name == *nested && field.value != "null");
                if let Some(count) = count.filter(|&count| count > 0 && !known) {
                    details.retain(|field| field.name != *nested);
                    details.push(Field { name: Cow::Borrowed(nested), value: Cow::Owned(count.to_string()) });
                }
            }
        }
    }

    /// Tokens of the prompt that came out of a cache.
    pub fn cached(&self) -> Option<u64> {
        detail(&self.prompt_details, "cached_tokens")
    }

    /// Tokens of the prompt that were written into a cache.
    pub fn cache_written(&self) -> Option<u64> {
        detail(&self.prompt_details, "cache_write_tokens")
    }

    /// Tokens of the answer that were reasoning.
    pub fn reasoning(&self) -> Option<u64> {
        detail(&self.completion_details, "reasoning_tokens")
    }

    /// A nested count of the request, by its name.
    pub fn prompt_detail(&self, name: &str) -> Option<u64> {
        detail(&self.prompt_details, name)
    }

    /// A nested count of the answer, by its name.
    pub fn completion_detail(&self, name: &str) -> Option<u64> {
        detail(&self.completion_details, name)
    }

    /// What the answer cost in US dollars, where the provider says it: a number, or a total among others.
    pub fn cost(&self) -> Option<f64> {
        let field = |name: &str| self.rest.iter().find(|field| field.name == name).map(|f| f.value.as_ref());
        let number = |raw: &str| raw.parse::<f64>().ok().filter(|cost| cost.is_finite() && *cost >= 0.0);
        let plain = COSTS.iter().find_map(|name| number(field(name)?));
        plain.or_else(|| number(Members::of(field("cost")?).find("total_cost")?))
    }

    /// Appends the report as a JSON object. A count that is unknown is left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut separator = b'{';
        let counts = [
            ("prompt_tokens", self.prompt),
            ("completion_tokens", self.completion),
            ("total_tokens", self.total),
        ];
        for (name, count) in counts {
            let Some(count) = count else { continue };
            out.push(std::mem::replace(&mut separator, b','));
            json::write_string(name, out);
            out.push(b':');
            json::write_number(count, out);
        }
        let details = [
            ("prompt_tokens_details", &self.prompt_details),
            ("completion_tokens_details", &self.completion_details),
        ];
        for (name, fields) in details {
            if fields.is_empty() {
                continue;
            }
            out.push(std::mem::replace(&mut separator, b','));
            json::write_string(name, out);
            out.push(b':');
            write_object(fields, out);
        }
        for field in &self.rest {
            out.push(std::mem::replace(&mut separator, b','));
            json::write_string(&field.name, out);
            out.push(b':');
            json::write_raw(&field.value, out);
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }

    /// Appends the report in the words of the Responses API. Its clients need two nested counts in any case: they
    /// are zero where the provider gave none.
    pub fn write_as_responses(&self, out: &mut Vec<u8>) {
        let side = |name: &str, count: Option<u64>, needed: &str, fields: &[Field<'_>], out: &mut Vec<u8>| {
            json::write_string(name, out);
            out.push(b':');
            json::write_number(count.unwrap_or(0), out);
            out.push(b',');
            json::write_string(&format!("{name}_details"), out);
            out.extend_from_slice(b":{");
            json::write_string(needed, out);
            out.push(b':');
            json::write_number(detail(fields, needed).unwrap_or(0), out);
            json::write_fields(fields.iter().filter(|field| field.name != needed), out);
            out.extend_from_slice(b"},");
        };
        out.push(b'{');
        side("input_tokens", self.prompt, "cached_tokens", &self.prompt_details, out);
        side("output_tokens", self.completion, "reasoning_tokens", &self.completion_details, out);
        out.extend_from_slice(b"\"total_tokens\":");
        json::write_number(self.total.unwrap_or(0), out);
        json::write_fields(&self.rest, out);
        out.push(b'}');
    }

    /// True if all three counts are known, so that the report can be sent.
    pub fn is_whole(&self) -> bool {
        self.prompt.is_some() && self.completion.is_some() && self.total.is_some()
    }
}

fn write_object(fields: &[Field<'_>], out: &mut Vec<u8>) {
    let mut separator = b'{';
    for field in fields {
        out.push(std::mem::replace(&mut separator, b','));
        json::write_string(&field.name, out);
        out.push(b':');
        json::write_raw(&field.value, out);
    }
    out.push(b'}');
}

fn fields(raw: &str) -> Vec<Field<'static>> {
    Members::of(raw)
        .0
        .into_iter()
        .map(|(name, value)| Field { name, value: Cow::Borrowed(value) }.into_owned())
        .collect()
}

fn detail(fields: &[Field<'_>], name: &str) -> Option<u64> {
    fields.iter().find(|field| field.name == name).and_then(|field| json::count(&field.value))
}

/// The later value counts, unless it takes a number back or says nothing.
fn merge(fields: &mut Vec<Field<'static>>, later: Vec<Field<'static>>) {
    for field in later {
        match fields.iter_mut().find(|known| known.name == field.name) {
            None => fields.push(field),
            Some(known) => {
                let lower = matches!(
                    (json::count(&known.value), json::count(&field.value)),
                    (Some(known), Some(later)) if later < known
                );
                if !lower && !field.says_nothing() {
                    known.value = field.value;
                }
            }
        }
    }
}

fn add(fields: &mut Vec<Field<'static>>, others: &[Field<'static>]) {
    for other in others {
        match fields.iter_mut().find(|known| known.name == other.name) {
            None => fields.push(other.clone()),
            Some(known) => {
                if let (Some(a), Some(b)) = (json::count(&known.value), json::count(&other.value)) {
                    known.value = Cow::Owned(a.saturating_add(b).to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reports: &[&str], expect: &str) {
        let mut usage: Option<Usage> = None;
        for report in reports.iter().filter_map(|raw| Usage::read(raw)) {
            match &mut usage {
                None => usage = Some(report),
                Some(usage) => usage.merge(report),
            }
        }
        let mut out = Vec::new();
        let mut usage = usage.unwrap();
        usage.complete(&mut Repairs::default());
        usage.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn a_missing_total_is_the_sum() {
        check(
            &[r#"{"prompt_tokens":3,"completion_tokens":4}"#],
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#,
        );
    }

    #[test]
    fn a_missing_count_follows_from_the_others() {
        check(
            &[r#"{"prompt_tokens":3,"completion_tokens":null,"total_tokens":7}"#],
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#,
        );
    }

    #[test]
    fn reasoning_counted_outside_moves_inside() {
        check(
            &[
                r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":3}}"#,
            ],
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":3}}"#,
        );
    }

    #[test]
    fn cached_tokens_counted_outside_move_inside() {
        check(
            &[r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"cache_read_input_tokens":30}"#],
            r#"{"prompt_tokens":40,"completion_tokens":2,"total_tokens":42,"prompt_tokens_details":{"cached_tokens":30},"cache_read_input_tokens":30}"#,
        );
    }

    #[test]
    fn a_later_report_takes_no_number_back() {
        check(
            &[
                r#"{"prompt_tokens":3.0,"completion_tokens":4,"total_tokens":7,"cost":0.5}"#,
                r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#,
                r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cost":null}"#,
            ],
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"cost":0.5}"#,
        );
    }

    #[test]
    fn a_report_that_counts_more_is_the_better_one() {
        check(
            &[
                r#"{"prompt_tokens":4,"completion_tokens":0,"total_tokens":4}"#,
                r#"{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}"#,
                r#"{"prompt_tokens":0,"completion_tokens":6}"#,
            ],
            r#"{"prompt_tokens":3,"completion_tokens":6,"total_tokens":9}"#,
        );
    }

    #[test]
    fn candidates_are_summed() {
        let mut usage = Usage::read(r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#).unwrap();
        usage.add(&Usage::read(r#"{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}"#).unwrap());
        assert_eq!((usage.prompt, usage.completion, usage.total), (Some(2), Some(7), Some(9)));
    }

    #[test]
    fn the_cost_has_several_names() {
        for (field, cost) in [
            (r#""cost":0.25"#, Some(0.25)),
            (r#""estimated_cost":1e-3"#, Some(0.001)),
            (r#""cost":{"input_tokens_cost":0.1,"total_cost":0.5}"#, Some(0.5)),
            (r#""cost":null"#, None),
            (r#""cost":"much""#, None),
        ] {
            let usage = Usage::read(&format!(r#"{{"prompt_tokens":1,{field}}}"#)).unwrap();
            assert_eq!(usage.cost(), cost, "{field}");
        }
    }

    #[test]
    fn zeros_and_nulls_are_no_report() {
        for raw in
            ["null", "{}", r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, r#"{"cost":1}"#]
        {
            assert_eq!(Usage::read(raw), None, "{raw}");
        }
    }
}
