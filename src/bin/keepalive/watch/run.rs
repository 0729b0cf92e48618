//! Watches a server of the user's.

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{CLOSE_TIMEOUT, Settings};
use super::output::{Head, Now, Output, Standing, Summary};
use super::seen::{Seen, Sighting};
use super::stats::Tally;
use super::watcher::Watcher;

/// As long as anybody waits for something to be seen.
const LONG: Duration = Duration::from_secs(3600);

/// What a goodbye may take beyond its time.
const LATE: Duration = Duration::from_millis(100);

/// How often the outputs are told how it stands.
const TICK: Duration = Duration::from_secs(1);

/// What the main thread waits for. The session has a thread of its own, so that a
/// dial that hangs delays neither Ctrl-C nor the end of the time.
enum News {
    Seen(Box<Sighting>),
    Interrupt,
}

/// Ends the watch from another thread, as Ctrl-C does.
#[derive(Clone)]
pub(crate) struct Interrupt(Sender<News>);

impl Interrupt {
    pub(crate) fn send(&self) {
        // An error means that the watch is over.
        let _ = self.0.send(News::Interrupt);
    }
}

/// A watch that has not begun.
pub(crate) struct Watch {
    sender: Sender<News>,
    news: Receiver<News>,
}

impl Watch {
    /// From here on Ctrl-C ends it.
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, news) = mpsc::channel();
        let watch = Self { sender, news };
        let interrupt = watch.interrupt();
        ctrlc::set_handler(move || interrupt.send()).map_err(io::Error::other)?;
        Ok(watch)
    }

    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt(self.sender.clone())
    }

    pub(crate) fn run(
        self,
        mut watcher: Watcher,
        settings: &Settings,
        name: &str,
        outputs: &mut [Box<dyn Output>],
    ) -> io::Result<ExitCode> {
        let started = Instant::now();
        let config = *watcher.config();
        let head = Head {
            name,
            config: &config,
            started,
        };
        for output in &mut *outputs {
            output.head(&head)?;
        }
        let mut course = Course {
            settings,
            outputs,
            standing: Standing::new(started),
            tally: Tally::default(),
            started,
        };
        let handle = watcher.handle();
        let sender = self.sender;
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || observe(watcher, &sender))?;
        let code = course.follow(&self.news)?;
        if handle.stop().is_ok() {
            wait_for_goodbye(&self.news);
        }
        let summary = Summary {
            name,
            lasted: started.elapsed(),
            tally: &course.tally,
        };
        for output in course.outputs {
            output.summary(&summary)?;
        }
        Ok(code)
    }
}

fn observe(mut watcher: Watcher, news: &Sender<News>) {
    loop {
        if let Some(sighting) = watcher.next_before(Instant::now() + LONG) {
            let is_last = matches!(sighting.seen, Seen::Stopped(_));
            if news.send(News::Seen(Box::new(sighting))).is_err() || is_last {
                return;
            }
        }
    }
}

/// Waits for the close handshake, but not for a dial that hangs.
fn wait_for_goodbye(news: &Receiver<News>) {
    let until = Instant::now() + CLOSE_TIMEOUT + LATE;
    while let Ok(news) = news.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if matches!(news, News::Interrupt) {
            return;
        }
        if matches!(news, News::Seen(sighting) if matches!(sighting.seen, Seen::Stopped(_))) {
            return;
        }
    }
}

/// A watch that is under way.
struct Course<'a> {
    settings: &'a Settings,
    outputs: &'a mut [Box<dyn Output>],
    standing: Standing,
    tally: Tally,
    started: Instant,
}

impl Course<'_> {
    fn follow(&mut self, news: &Receiver<News>) -> io::Result<ExitCode> {
        let lasts = self.settings.lasts;
        let ends = lasts.and_then(|lasts| self.started.checked_add(lasts));
        let mut tick = self.started + TICK;
        loop {
            let until = ends.map_or(tick, |ends| ends.min(tick));
            let wait = until.saturating_duration_since(Instant::now());
            let mut sighting = match news.recv_timeout(wait) {
                Ok(News::Seen(sighting)) => sighting,
                Err(RecvTimeoutError::Timeout) if ends.is_none_or(|ends| until < ends) => {
                    self.tick()?;
                    tick = Instant::now() + TICK;
                    continue;
                }
                _ => return Ok(ExitCode::SUCCESS),
            };
            let is_fatal = self.settings.fail_fast && give_up(&mut sighting.seen);
            self.note(&sighting)?;
            if is_fatal {
                return Ok(ExitCode::FAILURE);
            }
            let count = self.settings.count;
            let is_enough = count.is_some_and(|count| self.tally.pongs >= count);
            if is_enough || matches!(sighting.seen, Seen::Stopped(_)) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    fn note(&mut self, sighting: &Sighting) -> io::Result<()> {
        self.standing.note(sighting);
        self.tally.note(sighting);
        let now = Now {
            at: sighting.at,
            standing: &self.standing,
            tally: &self.tally,
        };
        for output in &mut *self.outputs {
            output.sighting(sighting, &now)?;
        }
        Ok(())
    }

    fn tick(&mut self) -> io::Result<()> {
        let now = Now {
            at: Instant::now(),
            standing: &self.standing,
            tally: &self.tally,
        };
        for output in &mut *self.outputs {
            output.tick(&now)?;
        }
        Ok(())
    }
}

/// Whether it is a dial that failed; there is not to be another one.
fn give_up(seen: &mut Seen) -> bool {
    match seen {
        Seen::Down(down) if down.is_dial => {
            down.retry = None;
            true
        }
        _ => false,
    }
}
