//! Takes what README's table of clients tells for those in Rust, for `include!`: each in a file of the client's name,
//! with the address of a millpond in `url`.

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    let readme = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../README.md");
    println!("cargo::rerun-if-changed={}", readme.display());
    let out = env::var("OUT_DIR").unwrap();
    for row in fs::read_to_string(readme).unwrap().lines().filter(|line| line.contains(" (Rust) | ")) {
        let (name, told) = row.trim_start_matches("| ").split_once(" | ").unwrap();
        let line = told.split('`').nth(1).unwrap();
        let code = line.replace("\"http://127.0.0.1:8080/v1\"", "format!(\"{url}/v1\")");
        assert_ne!(code, line, "{name}: no address");
        fs::write(Path::new(&out).join(name), code).unwrap();
    }
}
