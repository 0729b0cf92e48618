/// What is awaited here has happened.
mod runtime {
    use std::net::{SocketAddr, TcpStream};
    use std::ops::{Deref, DerefMut};
    use std::time::{Duration, Instant};

    use keepalive::blocking::{self, Boxed, Connect, Dialer, Notice, Session, Stream, boxed};
    use keepalive::driver::{Codec, KeepingError, Plain};
    use keepalive::{Config, MaybeTls};
    use tungstenite::Message;

    /// Nothing takes longer.
    const LONG: Duration = Duration::from_secs(60);

    type Dialled = MaybeTls<Stream>;
    type Client<K = Plain> = Awaited<K, Boxed<Dialled>>;

    pub(crate) struct Awaited<K: Codec<Message>, C: Connect>(Session<C::Stream, K, C>);

    impl<K: Codec<Message>, C: Connect> Awaited<K, C> {
        pub(crate) async fn next(&mut self) -> Option<Notice<K::Message>> {
            self.0.next_before(Instant::now() + LONG).unwrap()
        }
    }

    impl<K: Codec<Message>, C: Connect> Deref for Awaited<K, C> {
        type Target = Session<C::Stream, K, C>;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl<K: Codec<Message>, C: Connect> DerefMut for Awaited<K, C> {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.0
        }
    }

    pub(crate) fn client(config: Config, url: &str) -> Client {
        client_with(config, Plain, url)
    }

    pub(crate) fn client_with<K>(config: Config, codec: K, url: &str) -> Client<K>
    where
        K: Codec<Message>,
    {
        let dialer = boxed(Dialer::new(url));
        Awaited(blocking::client_with(config, codec, dialer))
    }

    pub(crate) fn keeping(config: Config, url: &str, bytes: usize) -> Result<Client, KeepingError> {
        client(config, url).0.keeping(bytes).map(Awaited)
    }

    /// One whose server has these addresses.
    pub(crate) fn client_to(config: Config, addresses: [SocketAddr; 2]) -> Client {
        let dialer = Dialer::new("ws://example.com/").to(addresses);
        Awaited(blocking::client(config, boxed(dialer)))
    }

    pub(crate) async fn accepted(
        config: Config,
        socket: TcpStream,
    ) -> Awaited<Plain, impl Connect<Stream = Stream>> {
        let (socket, link) = blocking::accept(socket, LONG).unwrap();
        Awaited(blocking::accepted(config, socket, link))
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
#[path = "ours.rs"]
mod ours;
#[path = "scenarios.rs"]
mod scenarios;
