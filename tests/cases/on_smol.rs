mod runtime {
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use keepalive::Config;
    use keepalive::driver::{Codec, KeepingError, Plain};
    use keepalive::session::{Accepted, Session, boxed};
    use keepalive::smol::{Client, Dialer, Served, Socket, Timer, accept};
    use keepalive::tungstenite::Tungstenite;
    use smol::Async;
    use smol::future::FutureExt;
    use tungstenite::Message;

    pub(crate) fn client(config: Config, url: &str) -> Client {
        client_with(config, Plain, url)
    }

    pub(crate) fn client_with<K>(config: Config, codec: K, url: &str) -> Client<Socket, K>
    where
        K: Codec<Message>,
    {
        keepalive::smol::client_with(config, codec, boxed(Dialer::new(url)))
    }

    pub(crate) fn keeping(config: Config, url: &str, bytes: usize) -> Result<Client, KeepingError> {
        client(config, url).keeping(bytes)
    }

    /// One whose server has these addresses.
    pub(crate) fn client_to(config: Config, addresses: [SocketAddr; 2]) -> Client {
        let dialer = Dialer::new("ws://example.com/").to(addresses);
        keepalive::smol::client(config, boxed(dialer))
    }

    pub(crate) async fn accepted(
        config: Config,
        socket: TcpStream,
    ) -> Session<Accepted<Served>, Timer, Tungstenite, Plain> {
        let socket = Async::new(socket).unwrap();
        let socket = accept(socket.into(), Duration::from_secs(60))
            .await
            .unwrap();
        keepalive::smol::accepted(config, socket)
    }

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    pub(crate) async fn within<F: Future>(time: Duration, future: F) -> F::Output {
        let late = async {
            smol::Timer::after(time).await;
            panic!("it takes longer than {time:?}")
        };
        future.or(late).await
    }
}

#[path = "losses.rs"]
mod losses;
#[path = "ours.rs"]
mod ours;
#[path = "scenarios.rs"]
mod scenarios;
