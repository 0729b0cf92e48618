//! Peers on loopback, each on a thread of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

pub(crate) type Socket = WebSocket<TcpStream>;

/// A server: after the handshake the script gets each connection, with its number.
pub(crate) fn serve(script: impl Fn(usize, Socket) + Send + Sync + 'static) -> String {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
}

/// The same with a small receive buffer, so that the peer's pace is what counts.
pub(crate) fn serve_narrow(script: impl Fn(usize, Socket) + Send + Sync + 'static) -> String {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(32 << 10).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(16).unwrap();
    serve_on(listener.into(), script)
}

fn serve_on(
    listener: TcpListener,
    script: impl Fn(usize, Socket) + Send + Sync + 'static,
) -> String {
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let script = Arc::new(script);
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (Ok(socket), script) = (socket, Arc::clone(&script)) else {
                continue;
            };
            thread::spawn(move || {
                if let Ok(socket) = tungstenite::accept(socket) {
                    script(number, socket);
                }
            });
        }
    });
    url
}

/// Answers each request by this; and how many came.
pub(crate) fn refuse(answer: impl Fn() -> String + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { continue };
            counts.fetch_add(1, Ordering::SeqCst);
            let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                match socket.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let _ = socket.write_all(answer().as_bytes());
        }
    });
    (url, count)
}

/// Takes bytes, so many a second, up to this many of them; then says thanks, or nothing.
pub(crate) fn takes(socket: Socket, a_second: usize, most: usize, thanks: bool) {
    let mut raw = socket.into_inner();
    let begun = Instant::now();
    let (mut taken, mut buffer) = (0, vec![0; 50_000]);
    while taken < most {
        match raw.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => taken += read,
        }
        let due = Duration::from_micros((taken * 1_000_000 / a_second) as u64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    if thanks {
        // A text frame of a server's.
        let _ = raw.write_all(b"\x81\x06thanks");
    }
    thread::sleep(Duration::from_secs(30));
}

/// Sends one frame of so many bytes, so many a second.
pub(crate) fn drips(socket: Socket, size: u16, a_second: usize) {
    let mut raw = socket.into_inner();
    let _ = raw.set_nodelay(true);
    let mut frame = vec![0x82, 126];
    frame.extend(size.to_be_bytes());
    frame.resize(frame.len() + usize::from(size), 7);
    for part in frame.chunks(a_second / 20) {
        if raw.write_all(part).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    // Only what it sends shows that it lives.
    thread::sleep(Duration::from_secs(30));
}

pub(crate) fn close_with(socket: &mut Socket, code: u16, words: &'static str) {
    let _ = socket.close(Some(CloseFrame {
        code: code.into(),
        reason: words.into(),
    }));
    while socket.read().is_ok() {}
}

/// The next text; `None` at the end.
pub(crate) fn text(socket: &mut Socket) -> Option<String> {
    loop {
        if let Message::Text(text) = socket.read().ok()? {
            return Some(text.to_string());
        }
    }
}

/// What servers heard, by connection.
pub(crate) type Heard = Arc<Mutex<Vec<(usize, String)>>>;
