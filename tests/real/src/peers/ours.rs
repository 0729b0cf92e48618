//! A server by tungstenite alone, which knows nothing of keepalive.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Error, Message};

/// How often `/feed` talks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Where this process is the peer of another one, serves until it is killed.
///
/// # Panics
///
/// Where it cannot listen.
pub fn serve_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, address, port] = arguments.as_slice() else {
        return;
    };
    if flag != "--peer" {
        return;
    }
    let address = (address.as_str(), port.parse().unwrap());
    let listener = TcpListener::bind(address).unwrap();
    say("ready");
    for (number, socket) in listener.incoming().enumerate() {
        let Ok(socket) = socket else { continue };
        let serve = move || {
            let code = serve(socket, number).unwrap_or_else(|error| error.to_string());
            say(&format!("end {number} {code}"));
        };
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(serve)
            .unwrap();
    }
}

fn serve(socket: TcpStream, number: usize) -> Result<String, Error> {
    socket.set_nodelay(true)?;
    let clock = socket.try_clone()?;
    let mut path = String::new();
    #[allow(clippy::result_large_err)]
    let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let mut socket = tungstenite::accept_hdr(socket, note)
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    say(&format!("open {number}"));
    let (talks, echoes) = (path == "/feed", path != "/feed" && path != "/sink");
    let mut next = Instant::now() + INTERVAL;
    loop {
        if talks {
            let wait = next.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                socket.send(Message::text("feed"))?;
                next += INTERVAL;
                continue;
            }
            clock.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        }
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                let text = message.clone().into_data();
                let text = String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned();
                say(&format!("heard {number} {text}"));
                if echoes {
                    socket.send(message)?;
                }
            }
            Ok(Message::Close(frame)) => {
                let _ = socket.flush();
                return Ok(frame.map_or("closed".to_owned(), |frame| frame.code.to_string()));
            }
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// A line at a time, whoever else speaks.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
