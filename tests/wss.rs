//! `wss://` by the feature `rustls`, over real sockets: the same in every adapter, with a
//! CA of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, iter, thread};

use ::tokio::runtime::{Builder, Runtime};
use keepalive::tungstenite::{Tungstenite, ending};
use keepalive::{
    Cause, CloseReason, Config, ConfigBuilder, Dialer, Ending, Lost, Notice, Plain, Tls, TlsError,
    session,
};
use peer_tls::{Authority, Pair, Served};
use rustls::crypto::ring;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned,
};
use socket2::SockRef;
use tungstenite::{Error, Message, WebSocket};

/// Nothing that is awaited takes longer, even here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to count as never.
const NEVER: Duration = Duration::from_secs(3600);

/// For what is to be sent.
const ROOM: usize = 1 << 30;

const HOST: &str = "127.0.0.1";

/// Every test, on this adapter.
macro_rules! test_all {
    ($adapter:ty) => {
        test_all! { $adapter:
            roots_of_ones_own_are_trusted,
            a_config_of_ones_own_is_taken,
            a_server_that_nobody_vouches_for_is_refused,
            a_name_that_does_not_match_is_told,
            a_server_without_tls_is_told,
            a_server_that_hangs_up_in_the_handshake_is_told,
            a_certificate_that_the_server_misses_is_told,
            a_certificate_that_the_server_refuses_is_told,
            a_client_certificate_is_shown,
            a_redirect_leads_into_tls,
            a_redirect_never_leads_out_of_tls,
            a_handshake_that_hangs_is_given_up,
            a_handshake_that_drips_is_given_up,
            the_bytes_of_one_record_are_life,
            much_flows_in_both_directions_at_a_time,
            an_end_without_close_notify_is_told,
            the_close_code_is_told,
            a_dial_resumes_what_the_last_one_began,
        }

        #[test]
        fn the_roots_of_the_platform_are_trusted() {
            super::the_roots_of_the_platform_are_trusted(module_path!());
        }

        #[test]
        #[ignore = "the child of the test above"]
        fn platform() {
            super::platform::<$adapter>();
        }
    };
    ($adapter:ty: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                super::$name::<$adapter>();
            }
        )*
    };
}

type Told = Notice<Message, Message, Error, Instant>;

/// A session, whatever waits for its notices.
trait Session {
    fn next(&mut self) -> Option<Told>;
    fn send(&mut self, message: Message);
    fn stop(&mut self);
    /// That of the connection, where it has TLS.
    fn version(&self) -> Option<ProtocolVersion>;
}

trait Adapter {
    /// With TLS of its own where there is none.
    fn client(config: Config, url: &str, tls: Option<Tls>) -> Box<dyn Session>;
}

/// The async ones.
macro_rules! adapter {
    ($name:ident, $adapter:ident, $runtime:ty, $new:expr) => {
        mod $name {
            use super::*;
            use keepalive::$adapter::{Dialer, Timer, client};

            type Inner = session::Session<Dialer, Timer, Tungstenite, Plain>;
            struct On($runtime, Inner);

            impl Adapter for On {
                fn client(config: Config, url: &str, tls: Option<Tls>) -> Box<dyn Session> {
                    let dialer = with(Dialer::new(url), tls);
                    let session = client(config, dialer).with_queue_limit(ROOM);
                    Box::new(Self($new, session))
                }
            }

            impl Session for On {
                fn next(&mut self) -> Option<Told> {
                    self.0.block_on(self.1.next())
                }
                fn send(&mut self, message: Message) {
                    self.1.send(message).unwrap();
                }
                fn stop(&mut self) {
                    self.1.stop();
                }
                fn version(&self) -> Option<ProtocolVersion> {
                    let socket = self.1.socket().unwrap().get_ref();
                    socket.get_ref().tls()?.protocol_version()
                }
            }

            test_all!(On);
        }
    };
}

struct Smol;

impl Smol {
    #[allow(clippy::unused_self)]
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        smol::block_on(future)
    }
}

fn tokio() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

adapter!(on_tokio, tokio, Runtime, tokio());
adapter!(on_smol, smol, Smol, Smol);

mod on_blocking {
    use super::*;
    use keepalive::blocking::{Client, Dialer, boxed, client};

    impl Adapter for Client {
        fn client(config: Config, url: &str, tls: Option<Tls>) -> Box<dyn Session> {
            let dialer = with(Dialer::new(url), tls);
            Box::new(client(config, boxed(dialer)).with_queue_limit(ROOM))
        }
    }

    impl Session for Client {
        fn next(&mut self) -> Option<Told> {
            Iterator::next(self)
        }
        fn send(&mut self, message: Message) {
            self.send(message).unwrap();
        }
        fn stop(&mut self) {
            self.stop();
        }
        fn version(&self) -> Option<ProtocolVersion> {
            self.socket().unwrap().get_ref().tls()?.protocol_version()
        }
    }

    test_all!(Client);
}

fn with<T>(dialer: Dialer<T>, tls: Option<Tls>) -> Dialer<T> {
    match tls {
        Some(tls) => dialer.tls(tls),
        None => dialer,
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One dial, and no ping; what hangs is ended.
fn settings() -> ConfigBuilder {
    Config::builder()
        .ping_interval(NEVER)
        .send_interval(None)
        .connect_timeout(PATIENCE)
        .first_spread(NEVER)
        .message_timeout(Some(PATIENCE))
}

fn client<A: Adapter>(port: u16, tls: Tls) -> Box<dyn Session> {
    let config = settings().build().unwrap();
    A::client(config, &url(port), Some(tls))
}

fn url(port: u16) -> String {
    format!("wss://{HOST}:{port}/")
}

fn trusting(authority: &Authority) -> Tls {
    Tls::trusting(authority.pem()).unwrap()
}

/// A server that treats each connection in this way, by its number, on a thread.
fn serve(treat: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (treat, socket) = (treat.clone(), socket.unwrap());
            thread::spawn(move || treat(number, socket));
        }
    });
    port
}

/// The same with a WebSocket over TLS. A client that fails ends its connection only.
fn serve_tls<F>(config: Arc<ServerConfig>, treat: F) -> u16
where
    F: Fn(usize, &mut WebSocket<Served>) -> Result<(), Error> + Clone + Send + 'static,
{
    serve(move |number, socket| {
        if let Ok(mut socket) = tungstenite::accept(secure(&config, socket)) {
            let _ = treat(number, &mut socket);
            socket.get_mut().conn.send_close_notify();
            let _ = socket.get_mut().flush();
        }
    })
}

fn secure(config: &Arc<ServerConfig>, socket: TcpStream) -> Served {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket)
}

/// Gives back what comes.
fn echo(socket: &mut WebSocket<Served>) -> Result<(), Error> {
    loop {
        let message = socket.read()?;
        if message.is_text() {
            socket.send(message)?;
        }
    }
}

/// What a client does whose server [echoes](echo), until it has stopped; and the version
/// of its TLS.
fn greet(session: &mut dyn Session) -> Option<ProtocolVersion> {
    let mut version = None;
    let mut echo = None;
    loop {
        match session.next().unwrap() {
            Notice::Opened { .. } => {
                version = session.version();
                session.send(Message::text("hello"));
            }
            Notice::Message(message) => {
                echo = Some(message);
                session.stop();
            }
            Notice::Down(down) => assert!(echo.is_some(), "{}", down.cause),
            Notice::Stopped { .. } => break,
            _ => {}
        }
    }
    assert_eq!(echo, Some(Message::text("hello")));
    version
}

fn opened(session: &mut dyn Session) {
    loop {
        match session.next().unwrap() {
            Notice::Opened { .. } => return,
            Notice::Down(down) => panic!("{}", down.cause),
            _ => {}
        }
    }
}

fn down(session: &mut dyn Session) -> (Lost, Cause<Error>) {
    loop {
        if let Notice::Down(down) = session.next().unwrap() {
            return (down.lost, down.cause);
        }
    }
}

/// How the dial fails.
fn failure(session: &mut dyn Session) -> Error {
    match down(session) {
        (Lost::Dial, Cause::Failed(error)) => error,
        (_, cause) => panic!("{cause}"),
    }
}

fn tls_failure(session: &mut dyn Session) -> (TlsError, String) {
    let error = failure(session);
    assert_eq!(ending(&error), Ending::Failed);
    let told = TlsError::of(&error);
    (
        told.unwrap_or_else(|| panic!("{error}")).clone(),
        error.to_string(),
    )
}

fn roots_of_ones_own_are_trusted<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| echo(socket));
    let version = greet(&mut *client::<A>(port, trusting(&authority)));
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
}

fn a_config_of_ones_own_is_taken<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| echo(socket));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let version = greet(&mut *client::<A>(port, config.into()));
    assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
}

fn a_server_that_nobody_vouches_for_is_refused<A: Adapter>() {
    let server = Authority::new().server(HOST, None);
    let port = serve_tls(server, |_, socket| echo(socket));
    let stranger = trusting(&Authority::new());
    let (error, words) = tls_failure(&mut *client::<A>(port, stranger));
    assert!(matches!(
        error,
        TlsError::Rustls(rustls::Error::InvalidCertificate(_))
    ));
    assert!(words.contains("UnknownIssuer"), "{words}");
}

fn a_name_that_does_not_match_is_told<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server("example.com", None), |_, socket| {
        echo(socket)
    });
    let (error, words) = tls_failure(&mut *client::<A>(port, trusting(&authority)));
    assert!(matches!(
        error,
        TlsError::Rustls(rustls::Error::InvalidCertificate(_))
    ));
    assert!(
        words.contains(HOST) && words.contains("example.com"),
        "{words}"
    );
}

fn a_server_without_tls_is_told<A: Adapter>() {
    let port = serve(|_, mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let (error, words) = tls_failure(&mut *client::<A>(port, trusting(&Authority::new())));
    assert_eq!(error, TlsError::NoTls);
    assert!(words.contains("no TLS there"), "{words}");
}

fn a_server_that_hangs_up_in_the_handshake_is_told<A: Adapter>() {
    let port = serve(|_, mut socket| {
        // All of the hello, so that there is no reset.
        let _ = socket.read(&mut [0; 4096]);
    });
    let error = failure(&mut *client::<A>(port, trusting(&Authority::new())));
    assert!(
        error
            .to_string()
            .contains("hung up during the TLS handshake"),
        "{error}"
    );
}

fn a_certificate_that_the_server_misses_is_told<A: Adapter>() {
    let (authority, members) = (Authority::new(), Authority::new());
    let server = authority.server(HOST, Some(&members));
    let port = serve_tls(server, |_, socket| echo(socket));
    let (error, words) = tls_failure(&mut *client::<A>(port, trusting(&authority)));
    assert_eq!(error, TlsError::CertificateRequired);
    assert!(words.contains("requires a client certificate"), "{words}");
}

fn a_certificate_that_the_server_refuses_is_told<A: Adapter>() {
    let (authority, members) = (Authority::new(), Authority::new());
    let server = authority.server(HOST, Some(&members));
    let port = serve_tls(server, |_, socket| echo(socket));
    let Pair { certificate, key } = Authority::new().certify("a stranger");
    let tls = trusting(&authority).with_client_certificate(certificate, key);
    let (error, words) = tls_failure(&mut *client::<A>(port, tls.unwrap()));
    assert!(
        matches!(error, TlsError::CertificateRefused(_)),
        "{error:?}"
    );
    assert!(words.contains("refused the client certificate"), "{words}");
}

fn a_client_certificate_is_shown<A: Adapter>() {
    let (authority, members) = (Authority::new(), Authority::new());
    let server = authority.server(HOST, Some(&members));
    let port = serve_tls(server, |_, socket| {
        assert!(socket.get_ref().conn.peer_certificates().is_some());
        echo(socket)
    });
    let Pair { certificate, key } = members.certify("a member");
    let tls = trusting(&authority).with_client_certificate(certificate, key);
    assert!(greet(&mut *client::<A>(port, tls.unwrap())).is_some());
}

/// A server that answers each request with a redirect, over TLS where it has it.
fn redirecting(tls: Option<Arc<ServerConfig>>, to: String) -> u16 {
    serve(move |_, socket| {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        let answer = answer.as_bytes();
        match &tls {
            Some(config) => answered(&mut secure(config, socket), answer),
            None => answered(&mut &socket, answer),
        }
    })
}

fn answered(socket: &mut (impl Read + Write), answer: &[u8]) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && socket.read_exact(&mut byte).is_ok() {
        request.extend(byte);
    }
    let _ = socket.write_all(answer);
    let _ = socket.read(&mut byte);
}

fn a_redirect_leads_into_tls<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| echo(socket));
    let first = redirecting(None, url(port).replace("wss", "https"));
    let config = settings().build().unwrap();
    let first = format!("ws://{HOST}:{first}/");
    let mut session = A::client(config, &first, Some(trusting(&authority)));
    assert!(greet(&mut *session).is_some());
}

fn a_redirect_never_leads_out_of_tls<A: Adapter>() {
    let dialled = Arc::new(Mutex::new(0));
    let counts = dialled.clone();
    let plain = serve(move |_, _| *counts.lock().unwrap() += 1);
    let authority = Authority::new();
    let server = authority.server(HOST, None);
    let port = redirecting(Some(server), format!("ws://{HOST}:{plain}/"));
    match down(&mut *client::<A>(port, trusting(&authority))) {
        (Lost::Dial, Cause::Refused { status: 302, .. }) => {}
        (_, cause) => panic!("{cause}"),
    }
    assert_eq!(*dialled.lock().unwrap(), 0);
}

fn assert_given_up<A: Adapter>(port: u16) {
    let config = settings().connect_timeout(millis(800)).build().unwrap();
    let tls = trusting(&Authority::new());
    let begin = Instant::now();
    match down(&mut *A::client(config, &url(port), Some(tls))) {
        (Lost::Dial, Cause::TimedOut(CloseReason::ConnectTimeout)) => {}
        (_, cause) => panic!("{cause}"),
    }
    let took = begin.elapsed();
    assert!(took >= millis(750) && took < PATIENCE / 2, "{took:?}");
}

fn a_handshake_that_hangs_is_given_up<A: Adapter>() {
    assert_given_up::<A>(serve(|_, mut socket| {
        let _ = socket.read_to_end(&mut Vec::new());
    }));
}

/// No single read takes long.
fn a_handshake_that_drips_is_given_up<A: Adapter>() {
    assert_given_up::<A>(serve(|_, mut socket| {
        // The head of a record of 16,000 bytes, and its body.
        let head = [0x16, 3, 3, 0x3e, 0x80];
        for byte in head.into_iter().chain(iter::repeat_n(2, 16_000)) {
            if socket.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(millis(20));
        }
    }));
}

/// Bytes are counted below TLS, from which nothing comes before the last one is there.
fn the_bytes_of_one_record_are_life<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| {
        let Served { conn, sock } = socket.get_mut();
        conn.writer().write_all(b"\x81\x05hello")?;
        let mut record = Vec::new();
        while conn.wants_write() {
            conn.write_tls(&mut record)?;
        }
        for byte in record {
            sock.write_all(&[byte])?;
            thread::sleep(millis(100));
        }
        echo(socket)
    });
    let config = settings()
        .ping_interval(millis(100))
        .pong_timeout(millis(700))
        .jitter(0.0)
        .random_phase(false);
    let config = config.build().unwrap();
    let mut session = A::client(config, &url(port), Some(trusting(&authority)));
    opened(&mut *session);
    let begin = Instant::now();
    loop {
        match session.next().unwrap() {
            Notice::Message(message) => break assert_eq!(message, Message::text("hello")),
            Notice::Down(down) => panic!("{} after {:?}", down.cause, begin.elapsed()),
            _ => {}
        }
    }
    assert!(begin.elapsed() > millis(1400), "{:?}", begin.elapsed());
}

/// Neither side reads before it has written, but for what TLS and the session do.
fn much_flows_in_both_directions_at_a_time<A: Adapter>() {
    const COUNT: usize = 48;
    const SIZE: usize = 512 << 10;
    let authority = Authority::new();
    let config = authority.server(HOST, None);
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    // So that the system's buffers hold little of it.
    SockRef::from(&listener)
        .set_recv_buffer_size(64 << 10)
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let socket = secure(&config, listener.accept().unwrap().0);
        socket.sock.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut socket = tungstenite::accept(socket).unwrap();
        for number in 0..COUNT {
            socket.send(content(number, SIZE)).unwrap();
        }
        for number in 0..COUNT {
            assert!(socket.read().unwrap() == content(number, SIZE), "{number}");
        }
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    let mut session = client::<A>(port, trusting(&authority));
    let mut came = 0;
    loop {
        match session.next().unwrap() {
            Notice::Opened { .. } => {
                for number in 0..COUNT {
                    session.send(content(number, SIZE));
                }
            }
            Notice::Message(message) => {
                assert!(message == content(came, SIZE), "{came}");
                came += 1;
            }
            Notice::Down(down) => {
                let is_closed = matches!(down.cause, Cause::Closed { .. });
                break assert!(is_closed, "{}", down.cause);
            }
            _ => {}
        }
    }
    assert_eq!(came, COUNT);
    server.join().unwrap();
}

fn content(number: usize, size: usize) -> Message {
    let bytes = (number..).map(|number| u8::try_from(number % 251).unwrap());
    Message::binary(bytes.take(size).collect::<Vec<_>>())
}

fn an_end_without_close_notify_is_told<A: Adapter>() {
    let authority = Authority::new();
    let config = authority.server(HOST, None);
    let port = serve(move |_, socket| {
        drop(tungstenite::accept(secure(&config, socket)));
    });
    let mut session = client::<A>(port, trusting(&authority));
    opened(&mut *session);
    match down(&mut *session) {
        (Lost::Connection, Cause::Failed(Error::Io(error))) => {
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        }
        (_, cause) => panic!("{cause}"),
    }
}

fn the_close_code_is_told<A: Adapter>() {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| {
        socket.close(Some(tungstenite::protocol::CloseFrame {
            code: 4001.into(),
            reason: "another client".into(),
        }))?;
        echo(socket)
    });
    match down(&mut *client::<A>(port, trusting(&authority))) {
        (_, Cause::Closed { code, words }) => {
            assert_eq!((code.unwrap().0, words.as_str()), (4001, "another client"));
        }
        (_, cause) => panic!("{cause}"),
    }
}

fn a_dial_resumes_what_the_last_one_began<A: Adapter>() {
    let (kinds, told) = mpsc::channel();
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), move |_, socket| {
        kinds.send(socket.get_ref().conn.handshake_kind()).unwrap();
        socket.send(Message::text("welcome"))?;
        socket.close(None)?;
        echo(socket)
    });
    let config = settings().first_spread(millis(1)).build().unwrap();
    let mut session = A::client(config, &url(port), Some(trusting(&authority)));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        down(&mut *session);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(kind)));
    }
}

/// By `SSL_CERT_FILE`, in a process of its own: the environment is a process's, and so are
/// the roots.
fn the_roots_of_the_platform_are_trusted(module: &str) {
    let authority = Authority::new();
    let port = serve_tls(authority.server(HOST, None), |_, socket| echo(socket));
    let module = module.rsplit("::").next().unwrap();
    let path =
        |name| env::temp_dir().join(format!("keepalive-{module}-{}-{name}", std::process::id()));
    let (ca, other) = (path("ca.pem"), path("other.pem"));
    fs::write(&ca, authority.pem()).unwrap();
    fs::write(&other, Authority::new().pem()).unwrap();
    for (file, outcome) in [
        (&ca, "open"),
        (&other, "UnknownIssuer"),
        (&path("none.pem"), "no root certificates were found"),
    ] {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg(format!("{module}::platform"))
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR")
            .env("URL", url(port))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success());
        assert_eq!(told.matches(outcome).count(), 2, "{outcome}: {told}");
    }
}

fn platform<A: Adapter>() {
    let Ok(url) = env::var("URL") else {
        return; // nobody's child
    };
    let config = settings().build().unwrap();
    // They are read once.
    for _ in 0..2 {
        let mut session = A::client(config, &url, None);
        loop {
            match session.next().unwrap() {
                Notice::Opened { .. } => break println!("open"),
                Notice::Down(down) => break println!("{}", down.cause),
                _ => {}
            }
        }
        let _ = fs::remove_file(env::var_os("SSL_CERT_FILE").unwrap());
    }
}

#[test]
fn what_is_no_pem_is_told() {
    let Pair { certificate, key } = Authority::new().certify("a member");
    let other = Authority::new().certify("another one");
    let tls = || trusting(&Authority::new());
    let pem = |result: Result<Tls, TlsError>| match result {
        Err(TlsError::Pem(words)) => println!("{words}"),
        other => panic!("{other:?}"),
    };
    pem(Tls::trusting(""));
    pem(Tls::trusting(&key));
    pem(Tls::trusting(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ));
    pem(Tls::trusting("-----BEGIN CERTIFICATE-----\n"));
    pem(tls().with_client_certificate("", &key));
    pem(tls().with_client_certificate(&certificate, &certificate));
    let another = tls().with_client_certificate(&certificate, other.key);
    assert!(matches!(another, Err(TlsError::Rustls(_))), "{another:?}");
    // One file may have both.
    let both = format!("{key}{certificate}");
    assert!(tls().with_client_certificate(&both, &both).is_ok());
}
