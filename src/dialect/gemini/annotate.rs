//! What a text is founded on becomes annotations: Google counts bytes, the API counts characters.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::part::Candidate;
use crate::dialect::beside;
use crate::event::Delta;
use crate::json::{self, Members};

/// Annotations of one candidate that are known again at most.
const CITED_LIMIT: usize = 4096;
/// The distance of the places whose characters are counted once, in bytes.
const MARK: usize = 256;

/// The places in a text.
struct Places<'t> {
    text: &'t str,
    /// How many characters there are before every `MARK` bytes.
    marks: Vec<usize>,
}

impl<'t> Places<'t> {
    fn of(text: &'t str) -> Places<'t> {
        let mut count = 0;
        let marks = text.as_bytes().chunks(MARK).map(|chunk| {
            let before = count;
            count += characters(chunk);
            before
        });
        Places { text, marks: marks.collect() }
    }

    /// The character at a byte; a place outside of the text stays as it is.
    fn character(&self, byte: usize) -> usize {
        let start = byte - byte % MARK;
        match (self.marks.get(byte / MARK), self.text.as_bytes().get(start..byte)) {
            (Some(mark), Some(rest)) => mark + characters(rest),
            (None, _) if byte == self.text.len() => characters(self.text.as_bytes()),
            (_, _) => byte,
        }
    }
}

fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

/// Carries the annotations of a candidate's grounding and citation metadata that are new.
pub(super) fn annotate(candidate: &mut Candidate, metadata: [Option<&str>; 2], out: &mut Vec<Delta<'_>>) {
    let [grounding, citations] = metadata.map(|raw| raw.map(Members::of).unwrap_or_default());
    let said = candidate.said.take();
    let places = Places::of(said.as_deref().unwrap_or_default());
    let mut found = Vec::new();
    grounded(&grounding, &places, &mut found);
    for name in ["citationSources", "citations"] {
        for raw in json::elements(citations.find(name).unwrap_or_default()) {
            let source = Members::of(raw);
            let count = |name| source.find(name).and_then(json::count).unwrap_or(0);
            let place = (count("startIndex"), count("endIndex"));
            annotation(&places, place, &source, None, &mut found);
        }
    }
    candidate.said = said;
    for raw in found {
        let mut hasher = DefaultHasher::new();
        raw.hash(&mut hasher);
        let hash = hasher.finish();
        if candidate.cited.contains(&hash) {
            continue;
        }
        beside::item(candidate.index, "annotations", &raw, out);
        if candidate.cited.len() < CITED_LIMIT {
            candidate.cited.insert(hash);
        }
    }
}

/// The sources of each supported segment, then those that support none.
fn grounded(metadata: &Members<'_>, places: &Places<'_>, out: &mut Vec<String>) {
    let chunks = json::elements(metadata.find("groundingChunks").unwrap_or_default());
    // A chunk is an object with one member: its kind.
    let chunks: Vec<Members<'_>> = chunks
        .into_iter()
        .map(|raw| Members::of(raw).0.first().map(|(_, inner)| Members::of(inner)).unwrap_or_default())
        .collect();
    let mut used = vec![false; chunks.len()];
    for raw in json::elements(metadata.find("groundingSupports").unwrap_or_default()) {
        let support = Members::of(raw);
        let segment = support.find("segment").map(Members::of).unwrap_or_default();
        let count = |name| segment.find(name).and_then(json::count).unwrap_or(0);
        let place = (count("startIndex"), count("endIndex"));
        for index in json::elements(support.find("groundingChunkIndices").unwrap_or_default()) {
            let index = json::count(index).and_then(|index| usize::try_from(index).ok()); // No index: no chunk.
            let Some((index, chunk)) = index.and_then(|index| Some((index, chunks.get(index)?))) else {
                continue;
            };
            annotation(places, place, chunk, segment.find("text"), out);
            if let Some(used) = used.get_mut(index) {
                *used = true;
            }
        }
    }
    let end = places.text.len() as u64;
    for (chunk, _) in chunks.iter().zip(used).filter(|(_, used)| !used) {
        annotation(places, (end, end), chunk, None, out);
    }
}

/// One annotation: where, and what is cited.
fn annotation(
    places: &Places<'_>,
    (start, end): (u64, u64),
    source: &Members<'_>,
    text: Option<&str>,
    out: &mut Vec<String>,
) {
    let find = |name: &str| source.find(name).filter(|raw| raw.starts_with('"') && *raw != "\"\"");
    let url = find("uri");
    let kind = if url.is_some() { "url_citation" } else { "file_citation" };
    let character = |byte| usize::try_from(byte).map_or(byte, |byte: usize| places.character(byte) as u64);
    let mut raw = format!(
        "{{\"type\":\"{kind}\",\"{kind}\":{{\"start_index\":{},\"end_index\":{}",
        character(start),
        character(end)
    );
    let content = find("text").or(text);
    for (name, value) in [("url", url), ("title", find("title")), ("content", content)] {
        if let Some(value) = value {
            raw.push_str(&format!(",\"{name}\":{value}"));
        }
    }
    raw.push_str("}}");
    out.push(raw);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = format!("{}é🦆x", "a".repeat(255));
        let places = Places::of(&text);
        assert_eq!(places.character(255), 255);
        assert_eq!(places.character(257), 256);
        assert_eq!(places.character(261), 257);
        assert_eq!(places.character(text.len()), 258);
        assert_eq!(places.character(9999), 9999);
    }
}
