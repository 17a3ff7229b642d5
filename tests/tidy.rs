//! The house style, as far as a machine can read it: the order of the modules, where I/O may be, what may
//! not be written, how long a file may be.

mod support;

use std::path::{Path, PathBuf};

use support::{entries, file_name, root};

/// The modules in reading order: each may use the ones before it.
const ORDER: [&str; 17] = [
    "json",
    "event",
    "framing",
    "chat",
    "dialect",
    "normalize",
    "pipeline",
    "provider",
    "api",
    "recall",
    "observe",
    "telemetry",
    "config",
    "error",
    "filter",
    "proxy",
    "mock",
];
/// What does I/O or knows the time, and the modules that may.
const OUTSIDE: [&str; 6] = ["tokio", "reqwest", "hyper", "std::net", "Instant::now", "SystemTime::now"];
const MAY_GO_OUTSIDE: [&str; 4] = ["proxy", "mock", "telemetry", "main"];
const LINES_AT_MOST: usize = 700;
/// Traces of a machine that a published file must not have.
const TRACES: [&str; 6] = ["/work/", "/root/", "/home/", "/Users/", "/tmp/target", "/mnt/"];

/// One file of `src`.
struct Source {
    /// Its path below `src`, for messages.
    path: String,
    /// The top-level module it belongs to.
    module: String,
    text: String,
}

impl Source {
    /// The lines outside tests and comments, numbered.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_tests = false;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            in_tests |= line == "#[cfg(test)]"; // Tests are the last thing in a file.
            let code = match line.find("//") {
                // A comment, unless it is a URL in a string.
                Some(start) if !line[..start].ends_with(':') => &line[..start],
                Some(_) | None => line,
            };
            (!in_tests && !code.trim().is_empty()).then_some((at + 1, code))
        })
    }

    /// A complaint about each line of code for which `wrong` gives a reason.
    fn complain(&self, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
        self.code()
            .filter_map(|(line, code)| wrong(code).map(|what| format!("src/{}:{line}: {what}", self.path)))
            .collect()
    }
}

/// Every Rust file of `src`.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        let (inner, here): (Vec<PathBuf>, Vec<PathBuf>) =
            entries(&folder).into_iter().partition(|p| p.is_dir());
        folders.extend(inner);
        files.extend(here.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")));
    }
    files.sort();
    let source = |path: &PathBuf| {
        let below = path.strip_prefix(&src).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        Source {
            path: below.display().to_string(),
            module: first.trim_end_matches(".rs").to_owned(),
            text: String::from_utf8(support::read(path)).unwrap(),
        }
    };
    files.iter().map(source).collect()
}

/// Complains about every source.
fn check(complaints: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(!sources.is_empty(), "src is empty");
    let found: Vec<String> = sources.iter().flat_map(complaints).collect();
    support::assert_none(&found);
}

/// The names that follow `crate::` in a line: one, or those in braces.
fn used_modules(code: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let after = &code[at + "crate::".len()..];
        match after.strip_prefix('{') {
            _ if !whole_word => {}
            Some(list) => names.extend(list.split(['{', '}', ',']).map(name)),
            None => names.push(name(after)),
        }
    }
    names
}

/// True if the word stands in the code, and not as a part of another.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let after = &code[at + word.len()..];
        !code[..at].ends_with(part) && !after.starts_with(part)
    })
}

#[test]
fn a_module_uses_earlier_ones_only() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    check(|source| {
        let Some(own) = place(&source.module) else { return Vec::new() };
        source.complain(|code| {
            let later =
                used_modules(code).into_iter().find(|used| place(used).is_some_and(|used| used > own));
            later.map(|used| format!("`{}` uses `{used}`, which comes after it", source.module))
        })
    });
}

#[test]
fn every_module_has_a_place_in_the_order() {
    check(|source| {
        let known =
            ["lib", "main"].contains(&source.module.as_str()) || ORDER.contains(&source.module.as_str());
        if known { Vec::new() } else { vec![format!("src/{}: no place in the order", source.path)] }
    });
}

#[test]
fn only_the_edge_goes_outside() {
    check(|source| {
        if MAY_GO_OUTSIDE.contains(&source.module.as_str()) {
            return Vec::new();
        }
        source.complain(|code| {
            let outside = OUTSIDE.into_iter().find(|word| names(code, word));
            outside.map(|word| format!("`{word}` belongs to the edge"))
        })
    });
}

#[test]
fn every_file_begins_with_its_purpose() {
    check(|source| {
        let says = source.text.starts_with("//! ");
        if says { Vec::new() } else { vec![format!("src/{}: does not begin with `//!`", source.path)] }
    });
}

#[test]
fn nothing_panics_outside_tests() {
    const PANICS: [&str; 6] =
        [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    check(|source| {
        source.complain(|code| {
            let panics = PANICS.into_iter().find(|word| code.contains(word));
            panics.map(|word| format!("`{word}`"))
        })
    });
}

#[test]
fn no_file_is_too_long() {
    check(|source| {
        let lines = source.text.lines().count();
        let long = lines > LINES_AT_MOST;
        if long { vec![format!("src/{}: {lines} lines", source.path)] } else { Vec::new() }
    });
}

#[test]
fn quirks_are_data_and_lints_are_obeyed() {
    check(|source| {
        source.complain(|code| {
            let asks_who =
                code.contains("if ") && names(code, "provider ==") || code.contains("provider.name == \"");
            let what =
                if asks_who { "asks who the provider is" } else { "suppresses a lint without a reason" };
            (asks_who || names(code, "allow(")).then(|| what.to_owned())
        })
    });
}

#[test]
fn every_provider_is_in_the_table() {
    let folder = root().join("src/provider");
    let table = String::from_utf8(support::read(&folder.join("mod.rs"))).unwrap();
    let missing: Vec<String> = entries(&folder)
        .iter()
        .map(|path| file_name(path).trim_end_matches(".rs").to_owned())
        .filter(|name| name != "mod")
        .filter(|name| {
            let row = format!("    {name}::PROVIDER,");
            !table.contains(&format!("mod {name};")) || !table.lines().any(|line| line == row)
        })
        .collect();
    assert!(missing.is_empty(), "not in the table of providers: {missing:?}");
}

#[test]
fn a_providers_file_has_its_name() {
    check(|source| {
        if source.module != "provider" || source.path.ends_with("mod.rs") {
            return Vec::new();
        }
        let file = Path::new(&source.path).file_stem().unwrap().to_string_lossy().into_owned();
        let named = source.text.contains(&format!("name: \"{file}\""));
        if named { Vec::new() } else { vec![format!("src/{}: names another provider", source.path)] }
    });
}

#[test]
fn no_file_shows_where_it_was_written() {
    check(|source| {
        let lines = source.text.lines().enumerate();
        let shown = lines.filter(|(_, line)| TRACES.iter().any(|trace| line.contains(trace)));
        shown.map(|(at, line)| format!("src/{}:{}: {}", source.path, at + 1, line.trim())).collect()
    });
}
