//! Dials over real sockets: which address is taken, where a redirect leads, what an
//! error says, and what is left of a dial that is given up.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/peer.rs"]
mod peer;

use core::pin::{Pin, pin};
use core::task::Poll;
use std::future::{poll_fn, ready};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

use futures_core::Stream;
use futures_sink::Sink;
use keepalive::session::Counter;
use keepalive::tungstenite::ending;
use keepalive::{Dialer, Ending};
use peer::{BlackHole, Process, accept_raw, eventually, millis, reset, serve_all};
use socket2::SockRef;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{Request, Response};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

/// Nothing that is awaited takes longer, even here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every test, on this runtime.
macro_rules! test_all {
    ($runtime:ty) => {
        test_all! { $runtime:
            a_hole_before_a_good_address_costs_a_quarter_of_a_second,
            a_refusal_before_a_good_address_costs_nothing,
            the_error_is_of_the_address_that_failed_first,
            a_host_without_addresses_is_an_error,
            a_port_that_is_none_is_not_dialled,
            wss_without_tls_says_what_has_it,
            a_redirect_on_the_same_host_keeps_the_credentials,
            a_redirect_to_another_host_goes_without_credentials,
            a_redirect_without_an_end_is_left,
            a_redirect_never_leaves_tls,
            a_redirect_to_tls_is_an_error_without_tls,
            tls_is_told_where_a_redirect_leads,
            a_refusal_says_how_long_it_lasts,
            the_answer_and_the_limits_are_the_applications,
            the_system_holds_little,
            bytes_are_counted_in_both_directions,
            a_close_code_is_read_though_a_pong_could_not_be_written,
            a_write_that_fails_is_told_when_nothing_is_unread,
            a_dial_that_is_dropped_leaves_no_descriptor,
        }
    };
    ($runtime:ty: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                super::$name::<$runtime>();
            }
        )*
    };
}

trait Runtime {
    type Timer: 'static;
    type Socket: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin;

    fn block_on<F: Future>(future: F) -> F::Output;

    /// `None` where it takes longer. It is dropped then.
    async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output>;

    async fn connect(dial: Dialer<Self::Timer>) -> Result<(Self::Socket, Response), Error>;

    /// Over nothing, also where there should be TLS; and the URLs that it was for.
    async fn connect_over(
        dial: Dialer<Self::Timer>,
        urls: &mut Vec<String>,
    ) -> Result<Response, Error>;

    fn tcp(socket: &Self::Socket) -> SockRef<'_>;
    fn counter(socket: &Self::Socket) -> &Counter;
}

mod on_tokio {
    use super::*;
    use keepalive::tokio::{Socket, Timer};

    struct Tokio;

    impl Runtime for Tokio {
        type Timer = Timer;
        type Socket = Socket;

        fn block_on<F: Future>(future: F) -> F::Output {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(future)
        }

        async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
            tokio::time::timeout(time, future).await.ok()
        }

        async fn connect(dial: Dialer<Timer>) -> Result<(Socket, Response), Error> {
            dial.connect().await
        }

        async fn connect_over(
            dial: Dialer<Timer>,
            urls: &mut Vec<String>,
        ) -> Result<Response, Error> {
            let secure = |tap, url: tungstenite::http::Uri| {
                urls.push(url.to_string());
                ready(Ok(tap))
            };
            let (_, response) = dial.connect_over(secure).await?;
            Ok(response)
        }

        fn tcp(socket: &Socket) -> SockRef<'_> {
            SockRef::from(socket.get_ref().get_ref().get_ref().get_ref())
        }

        fn counter(socket: &Socket) -> &Counter {
            socket.counter()
        }
    }

    test_all!(Tokio);

    #[test]
    fn is_send() {
        fn assert_send<T: Send>(_: &T) {}
        assert_send(&keepalive::tokio::connect("ws://localhost/"));
        let secure = |tap, _| ready(Ok(tap));
        assert_send(&keepalive::tokio::connect_over("ws://localhost/", secure));
    }

    #[test]
    #[ignore = "the child of a test above"]
    fn descriptors() {
        super::descriptors::<Tokio>();
    }

    #[test]
    fn names() {
        in_a_world_of_its_own("on_tokio::names_there");
    }

    #[test]
    #[ignore = "the child of the test above"]
    fn names_there() {
        super::names_there::<Tokio>();
    }
}

mod on_smol {
    use super::*;
    use keepalive::smol::{Socket, Timer};

    struct Smol;

    impl Runtime for Smol {
        type Timer = Timer;
        type Socket = Socket;

        fn block_on<F: Future>(future: F) -> F::Output {
            smol::block_on(future)
        }

        async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
            let late = async {
                smol::Timer::after(time).await;
                None
            };
            smol::future::or(async { Some(future.await) }, late).await
        }

        async fn connect(dial: Dialer<Timer>) -> Result<(Socket, Response), Error> {
            dial.connect().await
        }

        async fn connect_over(
            dial: Dialer<Timer>,
            urls: &mut Vec<String>,
        ) -> Result<Response, Error> {
            let secure = |tap, url: tungstenite::http::Uri| {
                urls.push(url.to_string());
                ready(Ok(tap))
            };
            let (_, response) = dial.connect_over(secure).await?;
            Ok(response)
        }

        fn tcp(socket: &Socket) -> SockRef<'_> {
            SockRef::from(socket.get_ref().get_ref().get_ref().get_ref())
        }

        fn counter(socket: &Socket) -> &Counter {
            socket.counter()
        }
    }

    test_all!(Smol);

    #[test]
    fn is_send() {
        fn assert_send<T: Send>(_: &T) {}
        assert_send(&keepalive::smol::connect("ws://localhost/"));
        let secure = |tap, _| ready(Ok(tap));
        assert_send(&keepalive::smol::connect_over("ws://localhost/", secure));
    }

    #[test]
    #[ignore = "the child of a test above"]
    fn descriptors() {
        super::descriptors::<Smol>();
    }

    #[test]
    fn names() {
        in_a_world_of_its_own("on_smol::names_there");
    }

    #[test]
    #[ignore = "the child of the test above"]
    fn names_there() {
        super::names_there::<Smol>();
    }
}

/// Connects, in good time.
async fn connect<R: Runtime>(dial: Dialer<R::Timer>) -> Result<(R::Socket, Response), Error> {
    R::within(PATIENCE, R::connect(dial)).await.expect("no end")
}

fn error_of<R: Runtime>(dial: Dialer<R::Timer>) -> Error {
    match R::block_on(connect::<R>(dial)) {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

/// A server that answers all, and its address.
fn good() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve_all(&listener));
    address
}

/// Where nobody listens.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn a_hole_before_a_good_address_costs_a_quarter_of_a_second<R: Runtime>() {
    let (hole, good) = (BlackHole::new(), good());
    let dial = Dialer::<R::Timer>::new("ws://example.com/").to([hole.address, good]);
    let begin = Instant::now();
    let (socket, _) = R::block_on(connect::<R>(dial)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(begin.elapsed() >= millis(250));
    let peer = R::tcp(&socket).peer_addr().unwrap();
    assert_eq!(peer.as_socket(), Some(good));
}

fn a_refusal_before_a_good_address_costs_nothing<R: Runtime>() {
    let (refusing, good) = (refusing(), good());
    let addresses = [[refusing; 3].as_slice(), &[good]].concat();
    let dial = Dialer::<R::Timer>::new("ws://example.com/").to(addresses);
    let (socket, _) = R::block_on(connect::<R>(dial)).unwrap();
    let peer = R::tcp(&socket).peer_addr().unwrap();
    assert_eq!(peer.as_socket(), Some(good));
}

fn the_error_is_of_the_address_that_failed_first<R: Runtime>() {
    // Nobody may connect to a broadcast address.
    let broadcast = SocketAddr::from(([255, 255, 255, 255], 80));
    let dial = || Dialer::<R::Timer>::new("ws://example.com/");
    let kind = |dial| match error_of::<R>(dial) {
        Error::Io(error) => error.kind(),
        error => panic!("{error}"),
    };
    let refused = kind(dial().to([refusing(), broadcast]));
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    let other = kind(dial().to([broadcast, refusing()]));
    assert_ne!(other, ErrorKind::ConnectionRefused);
}

fn a_host_without_addresses_is_an_error<R: Runtime>() {
    let error = error_of::<R>(Dialer::new("ws://example.com/").to([]));
    assert!(matches!(error, Error::Io(error) if error.kind() == ErrorKind::NotFound));
}

fn a_port_that_is_none_is_not_dialled<R: Runtime>() {
    for url in ["ws://127.0.0.1:65536/", "ws://me:token@127.0.0.1:65616/"] {
        let error = error_of::<R>(Dialer::new(url)).to_string();
        assert!(
            error.ends_with("a port is a number from 1 to 65535"),
            "{error}"
        );
        assert!(!error.contains("token"), "{error}");
    }
}

fn wss_without_tls_says_what_has_it<R: Runtime>() {
    if cfg!(feature = "rustls") {
        return; // tests/wss.rs
    }
    let error = error_of::<R>(Dialer::new("wss://127.0.0.1/")).to_string();
    assert!(
        error.contains("`rustls`") && error.contains("`connect_over`"),
        "{error}"
    );
}

/// A server that answers each request in this way, with the handshake where the
/// answer is empty; and what it was asked.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = Arc::clone(&requests);
        thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept() {
                let request = head_of(&mut socket);
                let answer = match answer(&request) {
                    none if none.is_empty() => upgrade(&request),
                    answer => answer,
                };
                asked.lock().unwrap().push(request);
                socket.write_all(answer.as_bytes()).unwrap();
                open.push(socket);
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn head_of(socket: &mut TcpStream) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

fn upgrade(request: &str) -> String {
    let key = derive_accept_key(field(request, "Sec-WebSocket-Key").unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {key}\r\nServer: ours\r\n\r\n"
    )
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn with_credentials(url: &str) -> Request {
    let mut request = url.into_client_request().unwrap();
    for name in ["authorization", "cookie", "proxy-authorization", "x-other"] {
        request
            .headers_mut()
            .insert(name, "secret".parse().unwrap());
    }
    request
}

fn has_credentials(request: &str) -> bool {
    assert_eq!(field(request, "x-other"), Some("secret"));
    let found = ["authorization", "cookie", "proxy-authorization"]
        .map(|name| field(request, name).is_some());
    assert_eq!(found, [found[0]; 3], "{request}");
    found[0]
}

fn a_redirect_on_the_same_host_keeps_the_credentials<R: Runtime>() {
    let server = Server::start(|request| match request {
        request if request.starts_with("GET /a/b?c ") => redirect(302, "../d/./e?f#g"),
        request if request.starts_with("GET /d/e?f ") => redirect(307, "?h"),
        _ => String::new(),
    });
    let dial = Dialer::new(with_credentials(&server.url("/a/b?c")));
    let (_socket, response) = R::block_on(connect::<R>(dial)).unwrap();
    assert_eq!(response.status(), 101);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[2].starts_with("GET /d/e?h "), "{}", requests[2]);
    assert!(requests.iter().all(|request| has_credentials(request)));
    let host = server.address.to_string();
    assert!(
        requests
            .iter()
            .all(|request| field(request, "host") == Some(&host))
    );
}

fn a_redirect_to_another_host_goes_without_credentials<R: Runtime>() {
    let other = Server::start(|_| String::new());
    let address = other.address;
    let first = Server::start(move |_| redirect(301, &format!("http://{address}/x")));
    // Addresses of the application's are for the first host only.
    let dial = Dialer::new(with_credentials("ws://me:secret@example.com/")).to([first.address]);
    let (socket, _) = R::block_on(connect::<R>(dial)).unwrap();
    let peer = R::tcp(&socket).peer_addr().unwrap();
    assert_eq!(peer.as_socket(), Some(address));
    assert!(has_credentials(&first.requests()[0]));
    let requests = other.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("GET /x "));
    assert!(!has_credentials(&requests[0]));
    assert_eq!(field(&requests[0], "host"), Some(&*address.to_string()));
}

fn a_redirect_without_an_end_is_left<R: Runtime>() {
    let server = Server::start(|_| redirect(308, "/again"));
    let error = error_of::<R>(Dialer::new(server.url("/")));
    assert!(matches!(error, Error::Http(response) if response.status() == 308));
    assert_eq!(server.requests().len(), 4);
}

fn a_redirect_never_leaves_tls<R: Runtime>() {
    let other = Server::start(|_| String::new());
    let url = other.url("/");
    let server = Server::start(move |_| redirect(302, &url));
    let url = format!("wss://{}/", server.address);
    let mut urls = Vec::new();
    let dial = R::connect_over(Dialer::new(&url), &mut urls);
    let error = R::block_on(R::within(PATIENCE, dial)).unwrap().err();
    assert!(matches!(error, Some(Error::Http(response)) if response.status() == 302));
    assert!(other.requests().is_empty());
}

fn a_redirect_to_tls_is_an_error_without_tls<R: Runtime>() {
    if cfg!(feature = "rustls") {
        return;
    }
    let server = Server::start(|_| redirect(302, "https://127.0.0.1:1/"));
    let error = error_of::<R>(Dialer::new(server.url("/"))).to_string();
    assert!(
        error.contains("wss://127.0.0.1:1") && error.contains("`connect_over`"),
        "{error}"
    );
}

fn tls_is_told_where_a_redirect_leads<R: Runtime>() {
    let other = Server::start(|_| String::new());
    let address = other.address;
    let server = Server::start(move |_| redirect(303, &format!("//{address}")));
    let mut urls = Vec::new();
    let dial = R::connect_over(Dialer::new(server.url("/x")), &mut urls);
    assert!(R::block_on(R::within(PATIENCE, dial)).unwrap().is_ok());
    assert_eq!(urls, [server.url("/x"), other.url("/")]);
}

fn a_refusal_says_how_long_it_lasts<R: Runtime>() {
    let date = |ahead| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(ahead));
    for (fields, pause) in [
        ("Retry-After: 30".to_owned(), 30..=30),
        (format!("Retry-After: {}", date(30)), 20..=30),
        // By the server's own clock, which is wrong.
        (
            format!("Retry-After: {}\r\nDate: {}", date(9000), date(8970)),
            29..=31,
        ),
        (
            "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT".to_owned(),
            0..=0,
        ),
    ] {
        let answer = format!("HTTP/1.1 503 Busy\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(move |_| answer.clone());
        let error = error_of::<R>(Dialer::new(server.url("/")));
        let Ending::Refused(refused) = ending(&error) else {
            panic!("{error}");
        };
        let seconds = refused.retry_after.unwrap().as_secs();
        assert!(pause.contains(&seconds), "{fields}: {seconds} s");
    }
}

async fn next<R: Runtime>(socket: &mut R::Socket) -> Option<Result<Message, Error>> {
    let next = poll_fn(|context| Pin::new(&mut *socket).poll_next(context));
    R::within(PATIENCE, next).await.expect("nothing came")
}

fn the_answer_and_the_limits_are_the_applications<R: Runtime>() {
    let (url, peer) = peer::peer(|listener| {
        let mut socket = peer::accept(&listener);
        socket.send(Message::binary(vec![0; 1024])).unwrap();
        socket.send(Message::binary(vec![0; 1025])).unwrap();
        peer::serve(&mut socket);
    });
    R::block_on(async {
        let limits = WebSocketConfig::default().max_message_size(Some(1024));
        let dial = Dialer::new(url).websocket(limits);
        let (mut socket, response) = connect::<R>(dial).await.unwrap();
        assert!(response.headers().contains_key("Sec-WebSocket-Accept"));
        assert_eq!(next::<R>(&mut socket).await.unwrap().unwrap().len(), 1024);
        let error = next::<R>(&mut socket).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Capacity(_)), "{error}");
    });
    peer.join().unwrap();
}

fn the_system_holds_little<R: Runtime>() {
    let address = good();
    let open = |dial: Dialer<R::Timer>| R::block_on(connect::<R>(dial.to([address]))).unwrap().0;
    let socket = open(Dialer::new("ws://example.com/"));
    assert!(R::tcp(&socket).tcp_nodelay().unwrap());
    #[cfg(any(target_os = "android", target_os = "linux"))]
    assert_eq!(R::tcp(&socket).tcp_notsent_lowat().unwrap(), 16 << 10);
    let usual = R::tcp(&socket).send_buffer_size().unwrap();
    assert!(usual > 48 << 10, "{usual}");
    let socket = open(Dialer::new("ws://example.com/").send_buffer(24 << 10));
    let small = R::tcp(&socket).send_buffer_size().unwrap();
    assert!((24 << 10..=48 << 10).contains(&small), "{small}");
}

fn bytes_are_counted_in_both_directions<R: Runtime>() {
    let server = Server::start(|_| String::new());
    R::block_on(async {
        let dial = Dialer::new(server.url("/"));
        let (mut socket, _) = connect::<R>(dial).await.unwrap();
        let request = server.requests()[0].clone();
        let answer = upgrade(&request);
        let counter = R::counter(&socket).clone();
        let sizes = [answer.len(), request.len()].map(|size| size as u64);
        assert_eq!([counter.read(), counter.written()], sizes);
        assert!(send(&mut socket, Message::binary(vec![0; 1000])));
        // A header of 4 bytes and a mask of 4.
        assert_eq!(counter.written(), sizes[1] + 1008);
    });
}

/// As far as that goes without a wait: whether it has all gone.
fn send<S>(socket: &mut S, message: Message) -> bool
where
    S: Sink<Message, Error = Error> + Unpin,
{
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    let mut socket = Pin::new(socket);
    assert!(socket.as_mut().poll_ready(&mut context).is_ready());
    socket.as_mut().start_send(message).unwrap();
    let flushed = socket.as_mut().poll_flush(&mut context);
    flushed.map(Result::unwrap).is_ready()
}

/// tungstenite answers a ping as it reads on. Where that cannot be written any more,
/// the code lies unread behind it.
fn a_close_code_is_read_though_a_pong_could_not_be_written<R: Runtime>() {
    let (url, peer) = peer::peer(|listener| {
        let mut socket = accept_raw(&listener);
        socket.write_all(b"\x89\x01!\x88\x07\x0f\xa3words").unwrap();
        reset(socket);
    });
    R::block_on(async {
        let (mut socket, _) = connect::<R>(Dialer::new(url)).await.unwrap();
        peer.join().unwrap();
        let ping = next::<R>(&mut socket).await.unwrap().unwrap();
        assert!(ping.is_ping(), "{ping}");
        let close = next::<R>(&mut socket).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = close else {
            panic!("{close}");
        };
        assert_eq!(
            (frame.code, frame.reason.as_str()),
            (CloseCode::Library(4003), "words")
        );
    });
}

fn a_write_that_fails_is_told_when_nothing_is_unread<R: Runtime>() {
    let (url, peer) = peer::peer(|listener| {
        let mut socket = accept_raw(&listener);
        socket.write_all(b"\x81\x02hi").unwrap();
        reset(socket);
    });
    R::block_on(async {
        let (mut socket, _) = connect::<R>(Dialer::new(url)).await.unwrap();
        peer.join().unwrap();
        assert!(!send(&mut socket, Message::text("lost")));
        let hi = next::<R>(&mut socket).await.unwrap().unwrap();
        assert_eq!(hi, Message::text("hi"));
        let error = next::<R>(&mut socket).await.unwrap().unwrap_err();
        let is_reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&error, Error::Io(error) if is_reset(error)),
            "{error}"
        );
        assert!(R::counter(&socket).take_write_error().is_none());
    });
}

fn a_dial_that_is_dropped_leaves_no_descriptor<R: Runtime>() {
    let name = std::any::type_name::<R>().split("::").nth(1).unwrap();
    let mut child = Process::start(&format!("{name}::descriptors"), "descriptors");
    assert_eq!(child.line().as_deref(), Some("none is left"));
}

fn descriptors<R: Runtime>() {
    let Some(_) = peer::role() else { return };
    let holes = [BlackHole::new(), BlackHole::new()];
    let addresses = [holes[0].address, holes[1].address];
    // One that accepts and is mute.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().map(|address| (address, mute)).unwrap();
    R::block_on(async {
        let dial = |addresses: &[SocketAddr]| {
            R::connect(Dialer::new("ws://example.com/").to(addresses.to_vec()))
        };
        // What a runtime opens once.
        assert!(R::within(millis(300), dial(&addresses)).await.is_none());
        let before = open_descriptors();
        let mut dials = Vec::new();
        for _ in 0..10 {
            dials.push(Box::pin(dial(&addresses)));
            dials.push(Box::pin(dial(&[mute.0])));
        }
        let mut all = pin!(poll_fn(|context| {
            for dial in &mut dials {
                assert!(dial.as_mut().poll(context).is_pending());
            }
            Poll::<()>::Pending
        }));
        assert!(R::within(millis(400), all.as_mut()).await.is_none());
        assert!(open_descriptors() >= before + 30, "{}", open_descriptors());
        drop(dials);
        eventually("all are closed", || open_descriptors() == before);
    });
    peer::tell("none is left");
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// This test, as another process, with a hosts file of its own and a name server that
/// never answers. That takes root.
fn in_a_world_of_its_own(test: &str) {
    let folder = env::temp_dir().join(format!("keepalive-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (hosts, resolv) = (folder.join("hosts"), folder.join("resolv.conf"));
    fs::write(&hosts, "127.0.0.1 two.test\n127.0.0.2 two.test\n").unwrap();
    fs::write(&resolv, "nameserver 127.0.0.53\n").unwrap();
    let isolated = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "sh", "-ec", command, "sh"]);
        unshare.args([&hosts, &resolv]);
        unshare
    };
    let world = "ip link set lo up
        mount --bind \"$1\" /etc/hosts
        mount --bind \"$2\" /etc/resolv.conf
        shift 2
        exec \"$@\"";
    let _folder = Removed(folder.clone());
    let can = isolated(world).arg("true").stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("SKIPPED {test}: it needs root, `unshare`, `ip` and `mount`");
        return;
    }
    let begin = Instant::now();
    let output = isolated(world)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("KEEPALIVE_TEST_ROLE", "names")
        .output()
        .unwrap();
    let took = begin.elapsed();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains("@@ names are fine"), "{told}");
    // A lookup takes 10 s there, and held the end for as long.
    assert!(took < Duration::from_secs(8), "{took:?}");
}

/// Removes a folder at its end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names_there<R: Runtime>() {
    let Some(_) = peer::role() else { return };
    let _silent = UdpSocket::bind("127.0.0.53:53").unwrap();
    let hole = BlackHole::new();
    let address = SocketAddr::from(([127, 0, 0, 2], hole.address.port()));
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || serve_all(&listener));
    let two = format!("ws://two.test:{}/", address.port());

    let begin = Instant::now();
    R::block_on(async {
        let (socket, _) = connect::<R>(Dialer::new(&two)).await.unwrap();
        let peer = R::tcp(&socket).peer_addr().unwrap();
        assert_eq!(peer.as_socket(), Some(address));
        assert!(begin.elapsed() < Duration::from_secs(1));

        let before = threads().len();
        for _ in 0..20 {
            let dial = R::connect(Dialer::new("ws://silent.test/"));
            assert!(R::within(millis(50), dial).await.is_none());
        }
        let now = threads();
        assert_eq!(now.len(), before + 1, "{now:?}");
        // Nobody else waits for that.
        assert!(connect::<R>(Dialer::new(&two)).await.is_ok());
    });
    let took = begin.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "the runtime is held: {took:?}"
    );
    let lookups = threads();
    let lookups = lookups.iter().filter(|name| name.starts_with("keepalive"));
    assert_eq!(lookups.count(), 1, "it has not ended meanwhile");
    peer::tell("names are fine");
}

fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    tasks.filter_map(|task| name(task.ok()?).ok()).collect()
}
