//! What of other people's is in millpond, held to `deny.toml`: from where, under which licences, and nothing
//! twice without a reason. `cargo deny` reads the same file and more of it, but is not everywhere.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use support::{assert_none, read, root};

/// `deny.toml`, as far as it is read here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skipped>,
}

#[derive(Deserialize)]
struct Skipped {
    /// Name and the beginning of a version, as `rand@0.9`.
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

impl Skipped {
    fn is(&self, package: &Package) -> bool {
        self.package.split_once('@').is_some_and(|(name, version)| {
            let rest = package.version.strip_prefix(version);
            name == package.name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

/// A package in `Cargo.lock`, or of `cargo metadata`.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    license: Option<String>,
}

fn rules() -> Rules {
    toml::from_slice(&read(&root().join("deny.toml"))).unwrap()
}

/// Every package of the lock, for whatever machine.
fn locked() -> Vec<Package> {
    toml::from_slice::<Lock>(&read(&root().join("Cargo.lock"))).unwrap().package
}

/// The packages that are built here; those of other machines may not be on this one.
fn built() -> Vec<Package> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", &target]);
    serde_json::from_slice::<Metadata>(&metadata).unwrap().packages
}

#[test]
fn all_packages_come_from_the_registry() {
    let foreign = |package: &Package| {
        let source = package.source.as_deref()?;
        let registry = source == "registry+https://github.com/rust-lang/crates.io-index";
        (!registry).then(|| format!("{} comes from {source}", package.name))
    };
    assert_none(&locked().iter().filter_map(foreign).collect::<Vec<_>>());
}

#[test]
fn no_package_is_there_twice_without_a_reason() {
    let skipped = rules().bans.skip;
    let packages = locked();
    let mut failures = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !skipped.iter().any(|skipped| skipped.is(package))) {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        failures.push(format!("{name} is there as {}", versions.join(" and ")));
    }
    for skipped in &skipped {
        if skipped.reason.is_empty() || !packages.iter().any(|package| skipped.is(package)) {
            failures.push(format!("deny.toml skips {}, which is gone or has no reason", skipped.package));
        }
    }
    assert_none(&failures);
}

#[test]
fn all_licences_are_allowed() {
    let allowed = rules().licenses.allow;
    let packages = built();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let refused = |package: &Package| {
        let license = package.license.as_deref().unwrap_or("no licence");
        (!is_allowed(license, &allowed)).then(|| format!("{} is under {license}", package.name))
    };
    assert_none(&packages.iter().filter_map(refused).collect::<Vec<_>>());
}

/// Whether an SPDX expression can be met by the allowed licences. `/` is an old way to write `OR`.
fn is_allowed(license: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = license.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let mut name = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "A WITH e"].map(str::to_owned).into();
    for license in ["MIT", "GPL OR MIT", "GPL/MIT", "MIT AND (GPL OR ISC)", "A WITH e", "GPL AND B OR ISC"] {
        assert!(is_allowed(license, &allowed), "{license}");
    }
    for license in ["", "GPL", "MIT AND GPL", "ISC AND (GPL OR B)", "A", "A WITH f", "(MIT", "MIT) GPL"] {
        assert!(!is_allowed(license, &allowed), "{license}");
    }
}
