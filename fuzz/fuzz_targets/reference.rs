//! Whatever happens at whatever time, the heartbeat and the slow machine do the
//! same.

#![no_main]

use keepalive_fuzz::Story;
use keepalive_fuzz::reference::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|story: Story| {
    if let Err(difference) = Reference::agrees(&story.play(), story.seed()) {
        panic!("{difference}");
    }
});
