//! Members on real runtimes and a real clock: who runs them may live elsewhere, and a
//! task that ends in whatever way leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;
use std::time::Duration;

use keepalive::fleet::{Beat, Member, Members};
use keepalive::{CloseReason, Config, smol, tokio as on_tokio};
use tokio::time::{sleep, timeout};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn members() -> Members {
    let config = Config::builder()
        .ping_interval(millis(300))
        .pong_timeout(millis(300))
        .late_tolerance(millis(200))
        .build()
        .unwrap();
    Members::new(config, 7)
}

/// Answers all pings, until it is closed.
async fn healthy(mut member: Member) -> CloseReason {
    loop {
        match member.next().await {
            Beat::Ping(id) => member.pong(id),
            Beat::Close(reason) => return reason,
            _ => {}
        }
    }
}

async fn mute(mut member: Member) -> CloseReason {
    loop {
        if let Beat::Close(reason) = member.next().await {
            return reason;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_run_on_another_runtime() {
    let members = members();
    let runs = members.clone();
    let thread = thread::spawn(move || ::smol::block_on(runs.run(smol::Timer::new())));
    let join = || members.join().unwrap();
    let healthy: Vec<_> = (0..100).map(|_| tokio::spawn(healthy(join()))).collect();
    let mute: Vec<_> = (0..20).map(|_| tokio::spawn(mute(join()))).collect();
    for task in mute {
        let reason = timeout(PATIENCE, task).await.unwrap().unwrap();
        assert_eq!(reason, CloseReason::PongTimeout);
    }
    let counters = members.counters();
    assert_eq!((counters.convicted, counters.open), (20, 100));
    members.drain(millis(200));
    for task in healthy {
        let reason = timeout(PATIENCE, task).await.unwrap().unwrap();
        assert_eq!(reason, CloseReason::Drained);
    }
    drop(members);
    assert_eq!(thread.join().unwrap(), Ok(()));
}

#[tokio::test]
async fn a_task_that_is_aborted_or_panics_leaves() {
    let members = members();
    let run = tokio::spawn(members.clone().run(on_tokio::Timer::new()));
    let (aborted, panics) = (members.join().unwrap(), members.join().unwrap());
    let aborted = tokio::spawn(healthy(aborted));
    let panics = tokio::spawn(async move {
        let _panics = panics;
        sleep(millis(1)).await;
        panic!("as it should");
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(members.len(), 1);
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    assert!(members.is_empty());

    // Where the run is aborted, who is left is told, and another one goes on.
    let mut member = members.join().unwrap();
    sleep(millis(50)).await;
    run.abort();
    let told = timeout(PATIENCE, async {
        loop {
            let beat = member.next().await;
            if beat == Beat::Unattended {
                break beat;
            }
        }
    });
    assert_eq!(told.await, Ok(Beat::Unattended));
    let again = tokio::spawn(members.clone().run(on_tokio::Timer::new()));
    assert_eq!(
        timeout(PATIENCE, mute(member)).await,
        Ok(CloseReason::PongTimeout)
    );
    drop(members);
    assert_eq!(timeout(PATIENCE, again).await.unwrap().unwrap(), Ok(()));
}
