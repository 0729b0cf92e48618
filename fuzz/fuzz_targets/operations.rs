//! Whatever happens at whatever time, the invariants of the contract hold.

#![no_main]

use keepalive_fuzz::Story;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|story: Story| {
    if let Err(violation) = story.play().check() {
        panic!("{violation}");
    }
});
