//! The adapter of the example. It dials one address, has one kind of backlog and accepts
//! nobody: what is ours alone is not for it.

/// What is awaited here has happened.
mod runtime {
    use std::time::{Duration, Instant};

    use keepalive::blocking::Notice;
    use keepalive::driver::{Codec, Counts, Driver, KeepingError, Plain, Step};
    use keepalive::tungstenite::Tungstenite;
    use keepalive::{Closed, Config, Handle, SendError};
    use tungstenite::{Error, Message};

    use crate::mio_client::Session;

    /// Nothing takes longer.
    const LONG: Duration = Duration::from_secs(60);

    pub(crate) struct Client<K: Codec<Message> = Plain>(Session<K>);

    impl<K: Codec<Message>> Client<K> {
        pub(crate) async fn next(&mut self) -> Option<Notice<K::Message>> {
            let end = Instant::now() + LONG;
            loop {
                match self.0.step(Some(end)).unwrap() {
                    Step::Message(message) => return Some(Notice::Message(message)),
                    Step::Told(notice) => return Some(notice),
                    Step::Over => return None,
                    Step::Again | Step::Idle(_) => assert!(Instant::now() < end),
                }
            }
        }

        pub(crate) fn handle(&self) -> Handle<Message> {
            self.0.handle()
        }

        pub(crate) fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
            self.0.driver.send(message)
        }

        pub(crate) fn requeue(&mut self, messages: Vec<Message>) {
            self.0.driver.requeue(messages);
        }

        pub(crate) fn stop(&mut self) {
            self.0.driver.stop(Instant::now());
        }

        pub(crate) fn give_up(&mut self, closed: Closed) -> bool {
            let epoch = self.0.driver.heard_epoch().unwrap();
            self.0.driver.give_up(epoch, closed, Instant::now())
        }

        pub(crate) fn counts(&self) -> Counts {
            self.0.driver.counts()
        }
    }

    fn driver<K: Codec<Message>>(
        config: Config,
        codec: K,
    ) -> Driver<Tungstenite, K, Error, Instant> {
        Driver::client(config, fastrand::u64(..), Tungstenite::new(), codec)
    }

    pub(crate) fn client(config: Config, url: &str) -> Client {
        client_with(config, Plain, url)
    }

    pub(crate) fn client_with<K>(config: Config, codec: K, url: &str) -> Client<K>
    where
        K: Codec<Message>,
    {
        Client(Session::new(driver(config, codec), url).unwrap())
    }

    pub(crate) fn keeping(config: Config, url: &str, bytes: usize) -> Result<Client, KeepingError> {
        let driver = driver(config, Plain).keeping(bytes)?;
        Ok(Client(Session::new(driver, url).unwrap()))
    }

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        embassy_futures::block_on(future)
    }

    pub(crate) async fn within<F: Future>(_: Duration, future: F) -> F::Output {
        future.await
    }
}

#[path = "losses.rs"]
mod losses;
#[path = "scenarios.rs"]
mod scenarios;
