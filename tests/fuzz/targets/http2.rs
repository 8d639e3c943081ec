#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| observer_fuzz::http2::run(input));
