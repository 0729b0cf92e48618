//! Servers of orders that die after so many messages; what they have read is known.

use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tungstenite::Message;

use crate::peer::{self, Process, accept, reset};
use crate::peers::{self, Socket};
use crate::{LONG, ms};

/// How a server dies. It reads nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Reset,
    Fin,
    /// With code 1011.
    Close,
    Mute,
    /// Its process.
    Killed,
}

/// Of a hundred bytes.
pub(crate) fn order(number: u64) -> Message {
    Message::text(format!("order {number:094}"))
}

pub(crate) fn number(message: &Message) -> u64 {
    read(message.to_text().unwrap()).unwrap()
}

fn read(text: &str) -> Option<u64> {
    text.strip_prefix("order ")?.parse().ok()
}

pub(crate) struct Server {
    pub(crate) url: String,
    read: Arc<Mutex<Vec<(usize, u64)>>>,
    process: Option<JoinHandle<()>>,
}

impl Server {
    /// What it had read when it died: which orders, and on which connection.
    pub(crate) fn read(self) -> Vec<(usize, u64)> {
        if let Some(process) = self.process {
            process.join().unwrap();
        }
        self.read.lock().unwrap().clone()
    }
}

/// Dies in each visit after so many messages, orders or not, in this way.
pub(crate) fn serve(plan: impl Fn(usize) -> (u64, End) + Send + Sync + 'static) -> Server {
    let read = Arc::default();
    if let (messages, End::Killed) = plan(0) {
        return serve_by_process(messages, read);
    }
    let notes = Arc::clone(&read);
    let url = peers::serve(move |visit, mut socket| {
        let (messages, end) = plan(visit);
        for _ in 0..messages {
            let Some(text) = peers::text(&mut socket) else {
                return;
            };
            note(&notes, visit, &text);
        }
        die(socket, end);
    });
    Server {
        url,
        read,
        process: None,
    }
}

fn note(notes: &Mutex<Vec<(usize, u64)>>, visit: usize, text: &str) {
    let order = self::read(text).map(|number| (visit, number));
    notes.lock().unwrap().extend(order);
}

fn die(mut socket: Socket, end: End) {
    match end {
        End::Reset => return reset(socket.into_inner()),
        End::Fin => socket.get_ref().shutdown(Shutdown::Write).unwrap(),
        End::Close => {
            let _ = socket.close(Some(tungstenite::protocol::CloseFrame {
                code: 1011.into(),
                reason: "".into(),
            }));
            let _ = socket.flush();
        }
        End::Mute | End::Killed => {}
    }
    // To drop it now would be a reset.
    thread::sleep(ms(3000));
}

fn serve_by_process(messages: u64, read: Arc<Mutex<Vec<(usize, u64)>>>) -> Server {
    let mut process = Process::start("dying::serve_as_a_process", "orders");
    let url = process.line().unwrap();
    let notes = Arc::clone(&read);
    let killer = thread::spawn(move || {
        for _ in 0..messages.max(1) {
            note(&notes, 0, &process.line().unwrap());
        }
        process.kill();
        // What it read and could still tell.
        while let Some(line) = process.line() {
            note(&notes, 0, &line);
        }
    });
    Server {
        url,
        read,
        process: Some(killer),
    }
}

/// Each message is told before the ping behind it is read.
#[test]
#[ignore = "the child of a test"]
fn serve_as_a_process() {
    if peer::role().is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    peer::tell(&peer::url_of(listener.local_addr().unwrap()));
    let mut socket = accept(&listener);
    while let Some(text) = peers::text(&mut socket) {
        peer::tell(&text);
    }
    thread::sleep(LONG);
}
