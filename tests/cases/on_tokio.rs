mod runtime {
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use keepalive::Config;
    use keepalive::driver::{Codec, KeepingError, Plain};
    use keepalive::session::{Accepted, Session, boxed};
    use keepalive::tokio::{Client, Dialer, Served, Socket, Timer, accept};
    use keepalive::tungstenite::Tungstenite;
    use tungstenite::Message;

    pub(crate) fn client(config: Config, url: &str) -> Client {
        client_with(config, Plain, url)
    }

    pub(crate) fn client_with<K>(config: Config, codec: K, url: &str) -> Client<Socket, K>
    where
        K: Codec<Message>,
    {
        keepalive::tokio::client_with(config, codec, boxed(Dialer::new(url)))
    }

    pub(crate) fn keeping(config: Config, url: &str, bytes: usize) -> Result<Client, KeepingError> {
        client(config, url).keeping(bytes)
    }

    /// One whose server has these addresses.
    pub(crate) fn client_to(config: Config, addresses: [SocketAddr; 2]) -> Client {
        let dialer = Dialer::new("ws://example.com/").to(addresses);
        keepalive::tokio::client(config, boxed(dialer))
    }

    pub(crate) async fn accepted(
        config: Config,
        socket: TcpStream,
    ) -> Session<Accepted<Served>, Timer, Tungstenite, Plain> {
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::TcpStream::from_std(socket).unwrap();
        let socket = accept(socket, Duration::from_secs(60)).await.unwrap();
        keepalive::tokio::accepted(config, socket)
    }

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future)
    }

    pub(crate) async fn within<F: Future>(time: Duration, future: F) -> F::Output {
        tokio::time::timeout(time, future).await.unwrap()
    }
}

#[path = "losses.rs"]
mod losses;
#[path = "ours.rs"]
mod ours;
#[path = "scenarios.rs"]
mod scenarios;
