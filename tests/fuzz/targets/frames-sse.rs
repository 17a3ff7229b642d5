//! Server-sent events, and the JSON bodies that come in their place.

#![no_main]

use millpond::framing::Framing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| millpond_fuzz::frames(Framing::Sse, input));
