//! A process that has no descriptor left.

use std::fs::File;

use keepalive::Lost;
use keepalive::blocking::{self, Dialer, Notice};

use crate::peer::{self, Process, accept, peer, serve};
use crate::scenarios::settings;
use crate::session::{opened, wait_for};

/// Not even a wait can be made: the dials fail, and go on until one has what it needs.
#[test]
fn a_client_dials_until_there_is_a_descriptor() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut child = Process::start_with(64, "descriptors::child_has_none_left", &url);
    assert_eq!(child.line().as_deref(), Some("opened"));
    drop(child);
    server.join().unwrap();
}

#[test]
#[ignore = "the child of other tests"]
fn child_has_none_left() {
    let Some(url) = peer::role() else { return };
    let mut session = blocking::client(settings().build().unwrap(), Dialer::new(url));
    let open = || File::open("/dev/null").ok();
    let all: Vec<_> = std::iter::from_fn(open).collect();
    for _ in 0..2 {
        let cause = wait_for(&mut session, "a dial that fails", |notice| match notice {
            Notice::Down(down) => (down.lost == Lost::Dial).then(|| down.cause.to_string()),
            _ => None,
        });
        assert!(cause.contains("os error 24"), "{cause}");
    }
    drop(all);
    wait_for(&mut session, "opened", opened);
    peer::tell("opened");
}
