//! The live view, on a terminal.

mod draw;
mod model;

use std::env;
use std::io::{self, BufWriter, ErrorKind, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use keepalive::{Config, Handle};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tungstenite::Message;

use self::draw::draw;
use self::model::Model;
use crate::watch::lines::Lines;
use crate::watch::output::{Head, Now, Output, Summary};
use crate::watch::run::Interrupt;
use crate::watch::seen::Sighting;

/// How often it is drawn, besides when the terminal changes.
const TICK: Duration = Duration::from_millis(250);

/// How long the painter has to end. Where the terminal is gone, it never does: crossterm
/// goes on reading there.
const PATIENCE: Duration = Duration::from_secs(2);

const GONE: &str = "the terminal is gone";

/// The bytes that a picture of it takes at most, mostly.
const FRAME: usize = 1 << 16;

pub(crate) struct View {
    config: Config,
    controls: Option<Controls>,
    screen: Option<Screen>,
}

/// What the keys do.
struct Controls {
    interrupt: Interrupt,
    handle: Handle<Message>,
}

impl View {
    /// Whether there is a terminal that can show it.
    pub(crate) fn is_possible() -> bool {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        !is_dumb && io::stdout().is_terminal() && io::stdin().is_terminal()
    }

    /// `interrupt` and `handle` are for its keys, which include Ctrl-C.
    pub(crate) fn new(config: Config, interrupt: Interrupt, handle: Handle<Message>) -> Self {
        Self {
            config,
            controls: Some(Controls { interrupt, handle }),
            screen: None,
        }
    }
}

impl Output for View {
    fn head(&mut self, head: &Head<'_>) -> io::Result<()> {
        if let Some(controls) = self.controls.take() {
            self.screen = Some(Screen::open(Model::new(head), controls)?);
        }
        Ok(())
    }

    fn sighting(&mut self, sighting: &Sighting, now: &Now<'_>) -> io::Result<()> {
        if let Some(screen) = &self.screen {
            let time = ZonedDateTime::now().strftime("%T%.3f").to_string();
            screen.shared.lock().note(sighting, now, &time);
        }
        Ok(())
    }

    /// There may be no SIGHUP: its shell ignores that, or has it to itself.
    fn tick(&mut self, _: &Now<'_>) -> io::Result<()> {
        if self.screen.is_some() && !io::stdout().is_terminal() {
            return Err(io::Error::new(ErrorKind::BrokenPipe, GONE));
        }
        Ok(())
    }

    /// On the normal screen.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        if let Some(screen) = self.screen.take() {
            screen.close()?;
        }
        Lines::new(false, self.config).summary(summary)
    }
}

/// The terminal and the thread that draws on it, until it is closed or dropped.
struct Screen {
    shared: Arc<Shared>,
    /// What its thread came to, until that was heard.
    painted: Option<Receiver<io::Result<()>>>,
}

struct Shared {
    model: Mutex<Model>,
    is_over: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    fn open(model: Model, controls: Controls) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            model: Mutex::new(model),
            is_over: AtomicBool::new(false),
        });
        let mut screen = Self {
            shared: shared.clone(),
            painted: None,
        };
        // A panic gives the terminal back, too.
        drop(ratatui::try_init().inspect_err(|_| ratatui::restore())?);
        let painter = Painter {
            shared,
            controls,
            is_coloured: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let (sender, painted) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || sender.send(painter.run()))
            .inspect_err(|_| ratatui::restore())?;
        screen.painted = Some(painted);
        Ok(screen)
    }

    fn close(mut self) -> io::Result<()> {
        self.give_back()
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let Some(painted) = self.painted.take() else {
            return Ok(());
        };
        let painted = painted.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            Err(io::Error::other(match error {
                RecvTimeoutError::Timeout => GONE,
                // A panic, which was printed when it happened.
                RecvTimeoutError::Disconnected => "the view has failed",
            }))
        });
        ratatui::try_restore()?;
        painted
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It was dropped for an error, which is the one to report.
        let _ = self.give_back();
    }
}

/// Draws, and reads the keys.
struct Painter {
    shared: Arc<Shared>,
    controls: Controls,
    is_coloured: bool,
}

impl Painter {
    fn run(self) -> io::Result<()> {
        let result = self.paint();
        if result.is_err() {
            self.controls.interrupt.send();
        }
        result
    }

    fn paint(&self) -> io::Result<()> {
        // In one piece, which `Stdout` by itself would not write.
        let stdout = BufWriter::with_capacity(FRAME, io::stdout());
        let mut terminal = Terminal::new(CrosstermBackend::new(stdout))?;
        while !self.shared.is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            terminal.draw(|frame| draw(frame, &self.shared.lock(), now, self.is_coloured))?;
            self.read_keys(now + TICK)?;
        }
        Ok(())
    }

    /// Until it is time to draw again, which is at once after some.
    fn read_keys(&self, until: Instant) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !event::poll(left)? {
                return Ok(());
            }
            match event::read()? {
                Event::Resize(..) => return Ok(()),
                Event::Key(key) if key.kind != KeyEventKind::Release => match Command::of(key) {
                    Some(Command::End) => {
                        self.shared.lock().is_closing = true;
                        self.controls.interrupt.send();
                        return Ok(());
                    }
                    Some(Command::Reconnect) => {
                        // An error means that the watch is over.
                        let _ = self.controls.handle.reconnect_now();
                    }
                    None => {}
                },
                _ => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    End,
    Reconnect,
}

impl Command {
    fn of(key: KeyEvent) -> Option<Self> {
        match (key.code, key.modifiers) {
            (KeyCode::Char('c'), KeyModifiers::CONTROL) => Some(Self::End),
            (KeyCode::Char('q' | 'Q') | KeyCode::Esc, _) => Some(Self::End),
            (KeyCode::Char('r' | 'R'), KeyModifiers::NONE | KeyModifiers::SHIFT) => {
                Some(Self::Reconnect)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
