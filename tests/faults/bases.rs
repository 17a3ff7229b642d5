//! The answers that are broken: one in words and one with a tool call in each dialect, from the golden cases.

use millpond::dialect::AnyDialect;

use crate::support::{dialect_of, frame_ends, golden_cases};

/// A dialect, where its golden cases are, and the path of its base URL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speech {
    pub name: &'static str,
    folder: &'static str,
    pub base: &'static str,
}

const fn speech(name: &'static str, folder: &'static str, base: &'static str) -> Speech {
    Speech { name, folder, base }
}

/// Every dialect.
pub const SPEECHES: [Speech; 7] = [
    speech("openai-chat", "openai", "/v1"),
    speech("anthropic", "anthropic", "/v1"),
    speech("gemini", "google", "/v1beta"),
    speech("openai-responses", "openai+openai-responses", "/v1"),
    speech("cohere", "cohere", "/v2"),
    speech("ollama", "ollama+ollama", "/api"),
    speech("bedrock", "bedrock", ""),
];

/// An answer that is complete.
#[derive(Debug, Clone)]
pub struct Base {
    pub speech: Speech,
    /// The golden case.
    pub case: &'static str,
    pub body: Vec<u8>,
    /// The places between its frames, the beginning and the end among them.
    pub seams: Vec<usize>,
}

impl Speech {
    pub fn dialect(self) -> AnyDialect {
        let dialect = dialect_of(self.folder);
        assert_eq!(dialect.name(), self.name);
        dialect
    }

    /// The names and bodies of its golden cases, with the folder of each.
    pub fn cases(self) -> Vec<(crate::support::Case, Vec<u8>)> {
        let cases = golden_cases().into_iter().filter(|case| case.provider == self.folder);
        cases.filter_map(|case| case.upstream().map(|body| (case, body))).collect()
    }

    /// The answer of a golden case.
    pub fn base(self, case: &'static str) -> Base {
        let found = self.cases().into_iter().find(|(known, _)| known.name == case);
        let (_, body) = found.unwrap_or_else(|| panic!("no golden case {}/{case}", self.folder));
        let mut seams = vec![0];
        seams.extend(frame_ends(self.dialect(), &body));
        Base { speech: self, case, body, seams }
    }

    /// An answer in words.
    pub fn text(self) -> Base {
        self.base("text")
    }

    /// An answer with a tool call.
    pub fn tool(self) -> Base {
        self.base("one-tool")
    }
}

impl Base {
    /// The body up to the `seam`th seam.
    pub fn until(&self, seam: usize) -> &[u8] {
        &self.body[..self.seams[seam]]
    }

    /// Its frames.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.seams.windows(2).map(|seam| &self.body[seam[0]..seam[1]])
    }

    /// The body with bytes put in at a seam.
    pub fn with(&self, seam: usize, bytes: &[u8]) -> Vec<u8> {
        let at = self.seams[seam];
        [&self.body[..at], bytes, &self.body[at..]].concat()
    }

    /// `anthropic text`.
    pub fn label(&self) -> String {
        format!("{} {}", self.speech.name, self.case)
    }
}
