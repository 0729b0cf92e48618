//! tokio-util's `Framed`: a byte stream with frames of lines, or with lengths.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use keepalive::driver::NoFrames;
use keepalive::session::{Accepted, Connect, Session, Transport};
use keepalive::tokio::Timer;
use keepalive::{Codec, Config, Incoming};
use std::io;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec, LinesCodecError};

/// A socket of lines.
pub type Lines = Framed<TcpStream, LinesCodec>;

/// "PING" is answered by "PONG"; all else is for the application.
pub fn ping_pong() -> impl Codec<String, Message = String> {
    (
        |_| "PING".to_owned(),
        |line: String| match line.as_str() {
            "PING" => Incoming::Ping("PONG".to_owned()),
            "PONG" => Incoming::AnyPong,
            _ => Incoming::Message(line),
        },
    )
}

/// A client that sends and receives lines.
pub fn lines_client<K: Codec<String>>(
    config: Config,
    codec: K,
    address: impl ToSocketAddrs + Clone,
) -> Session<impl Connect<Socket = Lines>, Timer, NoFrames<String>, K> {
    let dial = move |_attempt| {
        let address = address.clone();
        async { Ok::<_, LinesCodecError>(lines(TcpStream::connect(address).await?)) }
    };
    Session::client(
        config,
        fastrand::u64(..),
        NoFrames::new(),
        codec,
        Timer::new(),
        dial,
    )
}

/// The server's side of it.
pub fn lines_accepted<K: Codec<String>>(
    config: Config,
    codec: K,
    socket: TcpStream,
) -> Session<Accepted<Lines>, Timer, NoFrames<String>, K> {
    let (seed, timer) = (fastrand::u64(..), Timer::new());
    Session::accepted(config, seed, NoFrames::new(), codec, timer, lines(socket))
}

fn lines(socket: TcpStream) -> Lines {
    Framed::new(socket, LinesCodec::new_with_max_length(64 * 1024))
}

/// For a server that answers an empty frame with another; all else is for the
/// application.
pub fn empty_frames() -> impl Codec<Bytes, Message = Bytes> {
    (
        |_| Bytes::new(),
        |frame: Bytes| match frame.is_empty() {
            true => Incoming::AnyPong,
            false => Incoming::Message(frame),
        },
    )
}

/// A client that sends and receives bytes with their length ahead of them.
pub fn bytes_client<K: Codec<Bytes>>(
    config: Config,
    codec: K,
    address: impl ToSocketAddrs + Clone,
) -> Session<
    impl Connect<Socket = impl Transport<Message = Bytes, Fault = io::Error>>,
    Timer,
    NoFrames<Bytes>,
    K,
> {
    let dial = move |_attempt| {
        let address = address.clone();
        async {
            let socket = TcpStream::connect(address).await?;
            let framed = Framed::new(socket, LengthDelimitedCodec::new());
            Ok(framed.map_ok(BytesMut::freeze))
        }
    };
    Session::client(
        config,
        fastrand::u64(..),
        NoFrames::new(),
        codec,
        Timer::new(),
        dial,
    )
}
