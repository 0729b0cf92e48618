//! Redis: a channel for what is said, and a key with a time to live for who is there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, PubSub};
use redis::{Client, Pipeline, RedisResult};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Utf8Bytes;

const CHANNEL: &str = "messages";

/// So many commands go to Redis in one turn.
const BATCH: usize = 256;

/// A presence that is of another connection by now stays: who comes back may be on
/// another server before this one has noticed.
const LEAVE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

/// One for all connections of this server; they never wait for Redis.
#[derive(Clone)]
pub(crate) struct Hub {
    server: Arc<str>,
    orders: mpsc::UnboundedSender<Order>,
    said: broadcast::Sender<Utf8Bytes>,
}

enum Order {
    /// This user is here, by this connection.
    Renew(Presence),
    Leave(Presence),
    Say(String),
    /// Everything before is done.
    Finish(oneshot::Sender<()>),
}

/// Whose connection it is, and which.
#[derive(Clone)]
pub(crate) struct Presence {
    key: Arc<str>,
    connection: Arc<str>,
}

impl Hub {
    pub(crate) async fn connect(url: &str, server: String, lasts: Duration) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let redis = client.get_connection_manager().await?;
        let listening = subscribe(&client).await?;
        let (orders, received) = mpsc::unbounded_channel();
        let (said, _) = broadcast::channel(1024);
        tokio::spawn(obey(redis, received, lasts));
        tokio::spawn(listen(client, listening, said.clone()));
        let server = server.into();
        Ok(Self {
            server,
            orders,
            said,
        })
    }

    /// What is said on all servers from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Utf8Bytes> {
        self.said.subscribe()
    }

    pub(crate) fn say(&self, words: String) {
        self.order(Order::Say(words));
    }

    /// A presence that no other connection has, however often this user comes.
    pub(crate) fn presence(&self, user: &str, number: u64) -> Presence {
        Presence {
            key: format!("presence:{user}").into(),
            connection: format!("{} {number}", self.server).into(),
        }
    }

    pub(crate) fn renew(&self, presence: &Presence) {
        self.order(Order::Renew(presence.clone()));
    }

    pub(crate) fn leave(&self, presence: &Presence) {
        self.order(Order::Leave(presence.clone()));
    }

    /// Until Redis has everything.
    pub(crate) async fn finish(&self) {
        let (sender, done) = oneshot::channel();
        self.order(Order::Finish(sender));
        let _ = done.await;
    }

    fn order(&self, order: Order) {
        // It is obeyed for as long as there is a hub.
        let _ = self.orders.send(order);
    }
}

/// Sends what is asked for, as much in one turn as has come.
async fn obey(
    mut redis: ConnectionManager,
    mut orders: mpsc::UnboundedReceiver<Order>,
    lasts: Duration,
) {
    let mut batch = Vec::new();
    while orders.recv_many(&mut batch, BATCH).await > 0 {
        let mut commands = redis::pipe();
        let mut finished = Vec::new();
        for order in batch.drain(..) {
            match order {
                Order::Renew(presence) => renew(&mut commands, &presence, lasts),
                Order::Leave(presence) => leave(&mut commands, &presence),
                Order::Say(words) => _ = commands.publish(CHANNEL, words).ignore(),
                Order::Finish(sender) => finished.push(sender),
            }
        }
        // What fails is lost: members renew their presence anyhow.
        if !commands.is_empty()
            && let Err(error) = commands.query_async::<()>(&mut redis).await
        {
            eprintln!("Redis: {error}");
        }
        for sender in finished {
            let _ = sender.send(());
        }
    }
}

fn renew(commands: &mut Pipeline, presence: &Presence, lasts: Duration) {
    let command = commands.cmd("SET").arg(&*presence.key);
    let command = command.arg(&*presence.connection);
    command.arg("PX").arg(lasts.as_millis() as u64).ignore();
}

fn leave(commands: &mut Pipeline, presence: &Presence) {
    let command = commands.cmd("EVAL").arg(LEAVE).arg(1);
    command
        .arg(&*presence.key)
        .arg(&*presence.connection)
        .ignore();
}

async fn subscribe(client: &Client) -> RedisResult<PubSub> {
    let mut listening = client.get_async_pubsub().await?;
    listening.subscribe(CHANNEL).await?;
    Ok(listening)
}

/// Tells the connections of this server what is said. What is said while Redis is not
/// reached does not come.
async fn listen(client: Client, mut listening: PubSub, said: broadcast::Sender<Utf8Bytes>) {
    loop {
        let mut messages = listening.on_message();
        while let Some(message) = messages.next().await {
            if let Ok(words) = message.get_payload::<String>() {
                let _ = said.send(words.into()); // there may be nobody
            }
        }
        drop(messages);
        listening = loop {
            sleep(Duration::from_secs(1)).await;
            match subscribe(&client).await {
                Ok(listening) => break listening,
                Err(error) => eprintln!("Redis: {error}"),
            }
        };
    }
}
