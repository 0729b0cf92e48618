//! Orders over a connection that breaks all the time: none is lost, and none is taken
//! twice.
//!
//! `cargo run --features tokio --example orders [COUNT]` sends so many orders (1000) to a
//! server of its own that hangs up without a word after a few messages, often with some
//! of them unread. The client keeps what no pong has confirmed yet; a loss gives it back,
//! and it is sent again. What had arrived after all the server knows by its number.

use std::collections::BTreeSet;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use keepalive::Config;
use keepalive::driver::Notice;
use keepalive::tokio::{client, connect};
use tokio::net::TcpListener;
use tungstenite::Message;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let count = match std::env::args().nth(1).map(|text| text.parse::<u64>()) {
        None => 1000,
        Some(Ok(count @ 1..=1_000_000)) => count,
        Some(_) => {
            eprintln!("usage: orders [COUNT], from 1 to 1000000");
            return ExitCode::from(2);
        }
    };
    match run(count).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether each order was taken, once.
async fn run(count: u64) -> Result<bool, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let books = Arc::new(Mutex::new(Books::default()));
    tokio::spawn(serve(listener, Arc::clone(&books)));

    let config = Config::builder()
        // How soon to ask whether an order has arrived.
        .confirm_within(Some(Duration::from_millis(20)))
        // A server that is this bad should not be left alone; this one does not mind.
        .first_spread(Duration::from_millis(5))
        .backoff_floor(Duration::from_millis(5))
        .backoff_base(Duration::from_millis(5))
        .backoff_cap(Duration::from_millis(20))
        .build()?;
    // At most so many bytes are in doubt at a time. More than the server reads before it
    // hangs up would never be confirmed.
    let mut session = client(config, |_attempt| connect(url.clone())).keeping(256)?;

    let orders = session.handle();
    tokio::spawn(async move {
        for number in 0..count {
            // Waits while there is no room, also while the connection is down.
            if orders
                .send(Message::text(format!("order {number}")))
                .await
                .is_err()
            {
                return;
            }
        }
    });

    let mut doubted = 0;
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Pong { .. } if session.counts().confirmed == count => session.stop(),
            Notice::Down(down) => {
                doubted += down.in_doubt;
                session.requeue(down.kept);
            }
            _ => {}
        }
    }

    let counts = session.counts();
    let books = books.lock().map_err(|_| "the server panicked")?;
    println!("{count} orders, {} connections lost", counts.downs);
    println!(
        "{doubted} were in doubt and sent again: {} of them had arrived",
        books.repeated
    );
    println!("{} orders were taken", books.taken.len());
    Ok(books.taken == (0..count).collect())
}

/// What the server has taken, and how many orders came once more.
#[derive(Default)]
struct Books {
    taken: BTreeSet<u64>,
    repeated: u64,
}

/// Takes orders, and hangs up after a few: less than a hundred, so that a heartbeat may
/// come between or not.
async fn serve(listener: TcpListener, books: Arc<Mutex<Books>>) {
    for visit in 0_u64.. {
        let Ok((socket, _)) = listener.accept().await else {
            return;
        };
        let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
            continue;
        };
        let patience = RandomState::new().hash_one(visit) % 100;
        for _ in 0..patience {
            let Some(Ok(message)) = socket.next().await else {
                break;
            };
            let number = message
                .to_text()
                .ok()
                .and_then(|text| text.strip_prefix("order "));
            let Some(number) = number.and_then(|number| number.parse().ok()) else {
                continue;
            };
            if let Ok(mut books) = books.lock() {
                if !books.taken.insert(number) {
                    books.repeated += 1;
                }
            }
        }
    }
}
