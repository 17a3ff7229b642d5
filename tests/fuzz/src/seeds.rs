//! Writes what the fuzz targets begin with, from the golden cases and the README's config files: a folder of
//! inputs for each target, and a dictionary of the words in them. `seeds FOLDER`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

// Millpond calls it wherever it branches.
use libfuzzer_sys as _;
use millpond::framing::Framing;
use millpond_fuzz::support::{golden_bodies, golden_cases, read, root};
use millpond_fuzz::{AS_IT_IS, rows};

/// Longer words are text.
const WORD: usize = 32;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("seeds FOLDER"));
    let mut words = BTreeSet::new();
    for (case, body) in golden_bodies() {
        let dialect = case.dialect();
        let row = rows(dialect.name()).iter().position(|row| *row == dialect).unwrap_or(0);
        // For Bedrock, with checksums that are put right once the fuzzer has changed something.
        let form = AS_IT_IS + 1;
        let name = case.label().replace('/', "_");
        let input = [&[form, u8::try_from(row).unwrap(), 0], body.as_slice()].concat();
        write(&folder, dialect.name(), &name, &input);
        let frames = match dialect.as_dialect().framing() {
            Framing::Sse => "frames-sse",
            Framing::Ndjson => "frames-ndjson",
            Framing::EventStream => "frames-eventstream",
        };
        write(&folder, frames, &name, &input);
        collect(&body, &mut words);
    }
    for case in golden_cases() {
        let request = case.folder.join("request.json");
        if request.exists() {
            let body = read(&request);
            write(&folder, "request", &case.label().replace('/', "_"), &body);
            collect(&body, &mut words);
        }
    }
    let readme = String::from_utf8(read(&root().join("README.md"))).unwrap();
    let configs = readme.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    for (at, part) in configs.flat_map(|config| config.split("\n\n")).enumerate() {
        // Without comments, which name files.
        let lines = part.lines().map(|line| line.split('#').next().unwrap_or_default());
        let part = lines.collect::<Vec<_>>().join("\n");
        write(&folder, "config", &at.to_string(), part.as_bytes());
        words.extend(part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter_map(word));
    }
    fs::write(folder.join("words"), words.into_iter().collect::<String>()).unwrap();
}

fn write(folder: &Path, target: &str, name: &str, input: &[u8]) {
    let folder = folder.join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), input).unwrap();
}

/// Keeps the short quoted words of a body.
fn collect(body: &[u8], words: &mut BTreeSet<String>) {
    words.extend(String::from_utf8_lossy(body).split('"').filter_map(word));
}

/// A short word, alone and in quotes, in the form of libFuzzer's dictionaries.
fn word(word: &str) -> Option<String> {
    let short = (1..=WORD).contains(&word.len());
    let plain = short && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    plain.then(|| format!("\"{word}\"\n\"\\\"{word}\\\"\"\n"))
}
