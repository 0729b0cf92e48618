//! The server, a process of its own: it says on its standard output what came in, and does
//! on its lines what its standard input tells. It ends with its input.

use std::collections::HashMap;
use std::io::{BufRead, BufWriter, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc as channel};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};
use tungstenite::Message;

use super::line::Line;
use super::{DialFault, GROUPS, Plant, flat};

/// What is done to the connection of a client.
enum Fault {
    Mute,
    Hole { inward: bool, outward: bool },
    Pause(Duration),
    Slow(Duration),
    Reset,
    Fin,
    Close(u16),
}

struct Server {
    reports: channel::Sender<String>,
    lines: Mutex<HashMap<usize, mpsc::UnboundedSender<Fault>>>,
    dials: Mutex<HashMap<usize, (DialFault, Instant)>>,
    groups: Mutex<Vec<mpsc::UnboundedSender<Duration>>>,
    sockets: AtomicUsize,
    /// For how many milliseconds it stood still on purpose.
    stalled: AtomicU64,
    plant: Mutex<Option<Plant>>,
}

pub fn run(plant: Option<Plant>) {
    let (reports, told) = channel::channel::<String>();
    thread::spawn(move || {
        let mut output = BufWriter::new(std::io::stdout().lock());
        while let Ok(first) = told.recv() {
            let mut next = Some(first);
            while let Some(line) = next {
                if writeln!(output, "{line}").is_err() {
                    return;
                }
                next = told.try_recv().ok();
            }
            if output.flush().is_err() {
                return;
            }
        }
    });
    let server = Arc::new(Server {
        reports,
        lines: Mutex::default(),
        dials: Mutex::default(),
        groups: Mutex::default(),
        sockets: AtomicUsize::new(0),
        stalled: AtomicU64::new(0),
        plant: Mutex::new(plant),
    });
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(serve(server));
}

async fn serve(server: Arc<Server>) {
    let mut ports = Vec::new();
    // Below those that the system gives to clients: none of them takes it while the group is
    // closed, and none connects to itself.
    let mut port = 10_000 + fastrand::u16(..20_000);
    while ports.len() < GROUPS {
        port += 1;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            ports.push(port.to_string());
            let (closes, closed) = mpsc::unbounded_channel();
            server.groups.lock().unwrap().push(closes);
            tokio::spawn(listen(Arc::clone(&server), port, listener, closed));
        }
    }
    server.report(format!("ports {}", ports.join(" ")));
    tokio::spawn(watch_the_clock(Arc::clone(&server)));

    let (commands, mut command) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if commands.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = command.recv().await {
        server.obey(&line);
    }
}

/// Reports how late the timers of this thread are, which does everything here.
async fn watch_the_clock(server: Arc<Server>) {
    loop {
        let due = Instant::now() + Duration::from_millis(10);
        sleep_until(due).await;
        // What it was told to be is known.
        let told = Duration::from_millis(server.stalled.swap(0, Ordering::Relaxed));
        let late = due.elapsed().saturating_sub(told);
        if late > Duration::from_millis(50) {
            server.report(format!("late {}", late.as_millis()));
        }
    }
}

impl Server {
    fn report(&self, line: String) {
        let _ = self.reports.send(line);
    }

    fn obey(&self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok());
        let millis = |at: usize| Duration::from_millis(number(at).unwrap_or(0) as u64);
        let client = number(1).unwrap_or(0);
        let fault = match words[0] {
            "mute" => Fault::Mute,
            "hole" => Fault::Hole {
                inward: words[2] != "out",
                outward: words[2] != "in",
            },
            "pause" => Fault::Pause(millis(2)),
            "slow" => Fault::Slow(millis(2)),
            "reset" => Fault::Reset,
            "fin" => Fault::Fin,
            "close" => Fault::Close(number(2).unwrap_or(1000) as u16),
            "dial" => {
                let fault = DialFault::parse(words[2]);
                let until = Instant::now() + millis(3);
                self.dials.lock().unwrap().insert(client, (fault, until));
                Fault::Reset
            }
            "group" => {
                let _ = self.groups.lock().unwrap()[client].send(millis(2));
                let lines = self.lines.lock().unwrap();
                for (client, line) in lines.iter() {
                    if client % GROUPS == number(1).unwrap_or(0) {
                        let _ = line.send(Fault::Reset);
                    }
                }
                return;
            }
            "stall" => {
                thread::sleep(millis(1));
                let stalled = millis(1).as_millis() as u64;
                self.stalled.fetch_add(stalled, Ordering::Relaxed);
                return;
            }
            "count" => {
                let sockets = self.sockets.load(Ordering::Relaxed);
                return self.report(format!("count {sockets} {}", flat::heap()));
            }
            other => panic!("{other}?"),
        };
        if let Some(line) = self.lines.lock().unwrap().get(&client) {
            let _ = line.send(fault);
        }
    }

    fn heard(&self, text: &str) {
        if !self.is_planted(Plant::Message, text) {
            self.report(format!("message {text}"));
        }
    }

    /// Once, and not before all are connected.
    fn is_planted(&self, kind: Plant, text: &str) -> bool {
        let mut plant = self.plant.lock().unwrap();
        let is_now = *plant == Some(kind) && text.ends_with(" 12");
        if is_now {
            *plant = None;
        }
        is_now
    }
}

/// One port, which is closed at times.
async fn listen(
    server: Arc<Server>,
    port: u16,
    listener: TcpListener,
    mut closed: mpsc::UnboundedReceiver<Duration>,
) {
    let mut listener = Some(listener);
    loop {
        let Some(open) = &listener else {
            listener = TcpListener::bind(("127.0.0.1", port)).await.ok();
            if listener.is_none() {
                sleep(Duration::from_millis(20)).await;
            }
            continue;
        };
        tokio::select! {
            lasts = closed.recv() => {
                let Some(lasts) = lasts else { return };
                listener = None;
                sleep(lasts).await;
            }
            accepted = open.accept() => if let Ok((socket, _)) = accepted {
                tokio::spawn(accept(Arc::clone(&server), socket));
            }
        }
    }
}

async fn accept(server: Arc<Server>, socket: TcpStream) {
    server.sockets.fetch_add(1, Ordering::Relaxed);
    handshake(&server, socket).await;
    server.sockets.fetch_sub(1, Ordering::Relaxed);
}

async fn handshake(server: &Server, mut socket: TcpStream) {
    let _ = socket.set_nodelay(true);
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_buf(&mut head).await {
            Ok(1..) if head.len() < 8192 => {}
            _ => return,
        }
    }
    let path = head.split(|&byte| byte == b' ').nth(1).unwrap_or(b"");
    let Ok(client) = String::from_utf8_lossy(path)[1..].parse::<usize>() else {
        return;
    };
    let fault = server.dials.lock().unwrap().get(&client).copied();
    let fault = fault.filter(|(_, until)| Instant::now() < *until);
    let is_planted = client == 0 && *server.plant.lock().unwrap() == Some(Plant::Healing);
    match fault {
        Some((DialFault::Drop, _)) => return,
        Some((DialFault::Busy, _)) => {
            let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
            let _ = socket.write_all(busy).await;
            return;
        }
        Some((DialFault::Hang, _)) => {
            let _ = socket.read_buf(&mut head).await;
            return;
        }
        Some((DialFault::Late, _)) => sleep(super::LATE).await,
        None if is_planted && server.dials.lock().unwrap().contains_key(&0) => return,
        None => {}
    }
    let settings = WebSocketConfig::default().read_buffer_size(4096);
    let line = Line::new(socket, head);
    let accepted = accept_async_with_config(line, Some(settings)).await;
    let Ok(socket) = accepted else { return };
    let (line, faults) = mpsc::unbounded_channel();
    // The connection before, if it still is there, gets no more of them.
    server.lines.lock().unwrap().insert(client, line);
    server.report(format!("open {client}"));
    talk(server, socket, faults).await;
}

async fn talk(
    server: &Server,
    mut socket: WebSocketStream<Line>,
    mut faults: mpsc::UnboundedReceiver<Fault>,
) {
    let mut mute = false;
    let mut replaced = false;
    loop {
        tokio::select! {
            fault = faults.recv(), if !replaced => match fault {
                // The client has dialled again: what it had sent before is read to the end.
                None if mute => return,
                None => replaced = true,
                Some(Fault::Mute) => mute = true,
                Some(Fault::Hole { inward, outward }) => {
                    let line = socket.get_ref();
                    line.faults.loses_inward.store(inward, Ordering::Relaxed);
                    line.faults.loses_outward.store(outward, Ordering::Relaxed);
                }
                Some(Fault::Pause(lasts)) => sleep(lasts).await,
                Some(Fault::Slow(lasts)) => {
                    let until = Instant::now() + lasts;
                    *socket.get_ref().faults.slow_until.lock().unwrap() = Some(until);
                }
                Some(Fault::Reset) => return socket.get_ref().break_at_drop(),
                Some(Fault::Fin) => {
                    let _ = socket.get_mut().shutdown().await;
                    return sleep(Duration::from_secs(1)).await;
                }
                Some(Fault::Close(code)) => {
                    let code = CloseCode::from(code);
                    let frame = CloseFrame { code, reason: "a fault".into() };
                    let _ = socket.close(Some(frame)).await;
                }
            },
            message = socket.next(), if !mute => match message {
                Some(Ok(Message::Text(text))) => {
                    server.heard(&text);
                    mute |= server.is_planted(Plant::Conviction, &text);
                    // Now and then a client hears something too.
                    if text.ends_with(['0', '5']) && socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}
