//! On tokio, with its clock paused, over a pipe: exact times.

use std::time::Duration;

use keepalive::tokio::client;
use keepalive::{Cause, CloseReason, Config, Notice};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, tungstenite};

#[tokio::test(start_paused = true)]
async fn a_mute_peer_is_convicted() {
    let mut peers = Vec::new();
    let dial = |_| {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        peers.push(theirs);
        async {
            let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
            Ok::<_, tungstenite::Error>(socket)
        }
    };
    let mut session = client(Config::article(), 42, dial);
    let begin = Instant::now();
    while let Some(notice) = session.next().await {
        if let Notice::Down { cause, .. } = notice {
            assert!(
                matches!(cause, Cause::TimedOut(CloseReason::PongTimeout)),
                "{cause}"
            );
            break;
        }
    }
    let took = begin.elapsed();
    let bound = Duration::from_secs(12);
    assert!(
        took >= bound && took <= bound + Duration::from_millis(2),
        "{took:?}"
    );
}
