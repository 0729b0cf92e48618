//! What the examples of the runtimes share, and a client of yours has no need of:
//! the argument, and a server that misbehaves.

use std::env;
use std::error::Error;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::process;
use std::thread;
use std::time::Duration;

use keepalive::{Config, ConfigError, stop_when_refused};
use tungstenite::client::{IntoClientRequest, uri_mode};
use tungstenite::http::Uri;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// The server of the command line with the default settings, or one of our own
/// with quick ones. Ends the process with 2 where the arguments are wrong.
pub(crate) fn target() -> Result<(Uri, Config), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let Some(argument) = arguments.next() else {
        return Ok((serve()?.parse()?, quick()?));
    };
    if arguments.next().is_some() {
        usage("there is more than one argument");
    }
    match url(&argument.to_string_lossy()) {
        Ok(url) => Ok((url, gentle(Config::default())?)),
        Err(error) => usage(&error.to_string()),
    }
}

/// A server that says goodbye, or does not want us, is left alone. By default a client
/// comes back then, too.
fn gentle(config: Config) -> Result<Config, ConfigError> {
    config.to_builder().policy(stop_when_refused).build()
}

fn url(text: &str) -> Result<Uri, tungstenite::Error> {
    let request = text.into_client_request()?;
    uri_mode(request.uri())?;
    Ok(request.uri().clone())
}

fn usage(wrong: &str) -> ! {
    eprintln!("{wrong}\nArguments: [URL], which begins with ws:// or wss://");
    process::exit(2)
}

/// The article's settings, ten times as fast.
fn quick() -> Result<Config, ConfigError> {
    gentle(Config::article())?
        .to_builder()
        .ping_interval(Duration::from_millis(200))
        .pong_timeout(Duration::from_secs(1))
        .first_spread(Duration::from_millis(200))
        .build()
}

/// Its first connection stays mute; on each other one it sends messages back, and
/// says goodbye when it is pinged.
fn serve() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("ws://{}", listener.local_addr()?);
    thread::spawn(move || {
        let mut mute = None;
        for socket in listener.incoming().flatten() {
            if mute.is_some() {
                // Where it fails, the client comes back.
                let _ = echo(socket);
            } else {
                mute = tungstenite::accept(socket).ok();
            }
        }
    });
    Ok(url)
}

fn echo(socket: TcpStream) -> Result<(), tungstenite::Error> {
    let mut socket = tungstenite::accept(socket).map_err(io::Error::other)?;
    loop {
        let message = socket.read()?;
        if message.is_text() {
            socket.send(message)?;
        } else if message.is_ping() {
            socket.flush()?; // the pong
            socket.close(Some(CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            }))?;
        }
    }
}
