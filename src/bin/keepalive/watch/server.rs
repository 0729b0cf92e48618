//! A server that misbehaves on cue.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

/// How long the server looks at one thing before it looks at another.
const LOOK: Duration = Duration::from_millis(5);

/// Between two messages of a server that talks.
pub(crate) const CHAT: Duration = Duration::from_millis(200);

/// For a handshake, and for the answer to a close.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait for the port, if somebody else has it meanwhile.
const PORT_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers pings.
    Well,
    /// The same, and sends a message every [`CHAT`].
    Talks,
    /// Keeps its connections, but reads nothing, says nothing and accepts nothing.
    Frozen,
    /// Its connections are cut, its port is closed.
    Gone,
    /// Accepts, shakes hands, and drops.
    Drops,
    /// Closes with 1013, try again later.
    Pauses,
}

pub(crate) struct Server {
    address: SocketAddr,
    cues: Option<Sender<Cue>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The mood to be in, and where to say that it is so, with the number of tries
/// that the port took.
type Cue = (Mood, Sender<io::Result<u32>>);

impl Server {
    /// On a free port of the loopback interface.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared(Mutex::new(State {
            mood: Mood::Well,
            fault: None,
            longest_pause: Duration::ZERO,
        })));
        let (cues, inbox) = mpsc::channel();
        let host = Host {
            address,
            listener: Some(listener),
            shared: shared.clone(),
            guests: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || host.run(&inbox))?;
        Ok(Self {
            address,
            cues: Some(cues),
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the mood, and waits until it has. Returns how many tries the port
    /// took, where it had to be opened again.
    pub(crate) fn set(&self, mood: Mood) -> io::Result<u32> {
        let gone = || io::Error::other("the show's server has ended");
        let (sender, done) = mpsc::channel();
        let cues = self.cues.as_ref().ok_or_else(gone)?;
        cues.send((mood, sender)).map_err(|_| gone())?;
        done.recv().map_err(|_| gone())?
    }

    /// When it last turned on a connection.
    pub(crate) fn fault(&self) -> Option<Instant> {
        self.shared.lock().fault
    }

    /// For how long it was kept from its work at most, since this was last asked.
    pub(crate) fn take_longest_pause(&self) -> Duration {
        std::mem::take(&mut self.shared.lock().longest_pause)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cues = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

struct Shared(Mutex<State>);

struct State {
    mood: Mood,
    fault: Option<Instant>,
    longest_pause: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mood(&self) -> Mood {
        self.lock().mood
    }

    /// To be called just before the connection feels it.
    fn note_fault(&self) {
        self.lock().fault = Some(Instant::now());
    }

    fn note_pause(&self, pause: Duration) {
        let mut state = self.lock();
        state.longest_pause = state.longest_pause.max(pause);
    }
}

/// Accepts, and follows the cues.
struct Host {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
    guests: Vec<JoinHandle<()>>,
}

impl Host {
    fn run(mut self, cues: &Receiver<Cue>) {
        loop {
            match cues.recv_timeout(LOOK) {
                Ok((mood, done)) => {
                    let result = self.change(mood);
                    // An error means that nobody waits any more.
                    let _ = done.send(result);
                }
                Err(RecvTimeoutError::Timeout) => self.accept(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.shared.lock().mood = Mood::Gone;
        for guest in self.guests {
            // As above: printed when it happened.
            let _ = guest.join();
        }
    }

    /// The port first, then the connections: whoever is cut off finds it closed.
    fn change(&mut self, mood: Mood) -> io::Result<u32> {
        let mut tries = 0;
        if mood == Mood::Gone {
            self.listener = None;
        } else if self.listener.is_none() {
            let (listener, took) = open_again(self.address)?;
            self.listener = Some(listener);
            tries = took;
        }
        self.shared.lock().mood = mood;
        Ok(tries)
    }

    fn accept(&mut self) {
        self.guests.retain(|guest| !guest.is_finished());
        if self.shared.mood() == Mood::Frozen {
            return;
        }
        let Some(Ok((socket, _))) = self.listener.as_ref().map(TcpListener::accept) else {
            return;
        };
        let shared = self.shared.clone();
        let guest = thread::Builder::new()
            .name("connection".to_owned())
            .spawn(move || {
                // How it ends is the client's to tell.
                let _ = serve(socket, &shared);
            });
        self.guests.extend(guest);
    }
}

fn open_again(address: SocketAddr) -> io::Result<(TcpListener, u32)> {
    let until = Instant::now() + PORT_PATIENCE;
    let mut tries = 1;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok((listener, tries));
            }
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => thread::sleep(20 * LOOK),
        }
        tries += 1;
    }
}

fn serve(socket: TcpStream, shared: &Shared) -> Result<(), Error> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let Ok(mut socket) = tungstenite::accept(socket) else {
        return Ok(());
    };
    socket.get_ref().set_read_timeout(Some(LOOK))?;
    let mut said = Instant::now();
    loop {
        let looked = Instant::now();
        match shared.mood() {
            Mood::Well => {}
            Mood::Talks if said.elapsed() >= CHAT => {
                said = Instant::now();
                socket.send(Message::text("news"))?;
            }
            Mood::Talks => {}
            Mood::Frozen => {
                shared.note_fault();
                return freeze(shared);
            }
            Mood::Gone | Mood::Drops => {
                shared.note_fault();
                return Ok(());
            }
            Mood::Pauses => {
                shared.note_fault();
                return ask_for_a_pause(&mut socket);
            }
        }
        let answered = answer(&mut socket);
        shared.note_pause(looked.elapsed());
        answered?;
    }
}

/// Reads what there is; tungstenite answers pings, at the next flush.
fn answer(socket: &mut WebSocket<TcpStream>) -> Result<(), Error> {
    match socket.read() {
        Ok(_) => {}
        Err(Error::Io(error)) if is_timeout(&error) => {}
        Err(error) => return Err(error),
    }
    socket.flush()
}

fn freeze(shared: &Shared) -> Result<(), Error> {
    while shared.mood() == Mood::Frozen {
        thread::sleep(LOOK);
    }
    Ok(())
}

fn ask_for_a_pause(socket: &mut WebSocket<TcpStream>) -> Result<(), Error> {
    socket.close(Some(CloseFrame {
        code: CloseCode::Again,
        reason: "too busy".into(),
    }))?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        answer(socket)?;
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
