//! Whatever the application, its peers and the clock do, the driver keeps its contract.

#![no_main]

use keepalive_fuzz::driver::story;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    story::setup(bytes).run().assert_right();
});
