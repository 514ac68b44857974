//! `cargo fuzz run line_protocol --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll_fuzz::line_protocol(bytes));
