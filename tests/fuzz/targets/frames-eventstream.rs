//! AWS event streams.

#![no_main]

use millpond::framing::Framing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| millpond_fuzz::frames(Framing::EventStream, input));
