//! Text completions, through the whole pipeline.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| millpond_fuzz::answer("openai-completions", input));
