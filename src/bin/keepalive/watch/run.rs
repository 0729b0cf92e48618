//! Watches a server of the user's.

use std::io::{self, Write};
use std::mem;
use std::process::{self, ExitCode};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{CLOSE_TIMEOUT, Settings};
use super::output::{Head, Now, Output, Standing, Summary};
use super::seen::{Seen, Sighting};
use super::signals;
use super::stats::Tally;
use super::watcher::Watcher;

/// As long as anybody waits for something to be seen.
const LONG: Duration = Duration::from_secs(3600);

/// What a goodbye may take beyond its time.
const LATE: Duration = Duration::from_millis(100);

/// How much may wait to be printed. When there is no room, the session waits.
const QUEUE: usize = 1000;

/// How long it may take to end after a signal, and after one more, before the process
/// ends all the same: whoever writes to somebody who does not read hears nothing.
const PATIENCE: Duration = Duration::from_secs(10);
const HURRY: Duration = Duration::from_secs(3);

/// How often the outputs are told how it stands.
const TICK: Duration = Duration::from_secs(1);

/// What the main thread waits for. The session has a thread of its own, so that a
/// dial that hangs delays neither Ctrl-C nor the end of the time.
enum News {
    Seen(Box<Sighting>),
    Interrupt,
    /// The session's thread panicked, and nothing will be seen any more.
    Gone,
}

/// How a watch ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it was asked to, or with whoever read it.
    Done,
    /// By Ctrl-C.
    Interrupted,
    /// A dial failed, and no other is wanted.
    Unreachable,
    /// One more Ctrl-C came while it said goodbye.
    Hurried,
    /// By a panic, which was printed when it happened.
    Broken,
}

/// As shells report an interrupt.
const INTERRUPTED: u8 = 130;

/// Ends the watch from another thread, as Ctrl-C does.
#[derive(Clone)]
pub(crate) struct Interrupt(SyncSender<News>);

impl Interrupt {
    /// Waits neither for room nor for whoever waits for this thread.
    pub(crate) fn send(&self) {
        let sender = self.0.clone();
        in_background(move || {
            // An error means that the watch is over.
            let _ = sender.send(News::Interrupt);
        });
    }
}

/// A watch that has not begun.
pub(crate) struct Watch {
    sender: SyncSender<News>,
    news: Receiver<News>,
}

impl Watch {
    /// From here on Ctrl-C ends it, and whatever else asks it to end.
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, news) = mpsc::sync_channel(QUEUE);
        let watch = Self { sender, news };
        let interrupt = watch.interrupt();
        let mut patience = PATIENCE;
        let hear = move || {
            interrupt.send();
            let patience = mem::replace(&mut patience, HURRY);
            in_background(move || {
                thread::sleep(patience);
                process::exit(INTERRUPTED.into());
            });
        };
        signals::on_each(hear)?;
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
            .spawn(move || {
                let _guard = Guard(sender.clone());
                observe(watcher, &sender);
            })?;
        let head = Head {
            name,
            config: &config,
            started,
        };
        let begun = course.begin(&head);
        let end = begun.and_then(|()| course.follow(&self.news));
        let mut end = unread(end, End::Done)?;
        let is_hurried = handle.stop().is_ok() && wait_for_goodbye(&self.news);
        if is_hurried && end == End::Interrupted {
            end = End::Hurried;
        }
        let failures = course.failures(end);
        let summary = Summary {
            name,
            lasted: started.elapsed(),
            tally: &course.tally,
            failures: &failures,
        };
        // What one cannot write is no reason for the others not to.
        let mut written = Ok(());
        for output in course.outputs {
            written = written.and(unread(output.summary(&summary), ()));
        }
        for failure in &failures {
            // There is no other place for it.
            let _ = writeln!(io::stderr(), "failed: {failure}");
        }
        written?;
        Ok(match end {
            _ if !failures.is_empty() => ExitCode::FAILURE,
            End::Hurried => ExitCode::from(INTERRUPTED),
            _ => ExitCode::SUCCESS,
        })
    }
}

fn in_background(work: impl FnOnce() + Send + 'static) {
    // Where there is no room for another thread, nothing better is to be had.
    let _ = thread::Builder::new().spawn(work);
}

/// Who stops reading has seen enough, which is no error.
fn unread<T>(result: io::Result<T>, enough: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(enough),
        result => result,
    }
}

/// Says it when its thread panics.
struct Guard(SyncSender<News>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(News::Gone);
        }
    }
}

fn observe(mut watcher: Watcher, news: &SyncSender<News>) {
    loop {
        if let Some(sighting) = watcher.next_before(Instant::now() + LONG) {
            let is_last = matches!(sighting.seen, Seen::Stopped(_));
            if news.send(News::Seen(Box::new(sighting))).is_err() || is_last {
                return;
            }
        }
    }
}

/// Waits for the close handshake, but not for a dial that hangs. Whether it was
/// interrupted.
fn wait_for_goodbye(news: &Receiver<News>) -> bool {
    let until = Instant::now() + CLOSE_TIMEOUT + LATE;
    loop {
        match next_before(until, news) {
            Ok(News::Interrupt) => return true,
            Ok(News::Seen(sighting)) if !matches!(sighting.seen, Seen::Stopped(_)) => {}
            _ => return false,
        }
    }
}

/// However much there is, it is over at `until`.
fn next_before(until: Instant, news: &Receiver<News>) -> Result<News, RecvTimeoutError> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(RecvTimeoutError::Timeout),
        left => news.recv_timeout(left),
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
    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        for output in &mut *self.outputs {
            output.head(head)?;
        }
        Ok(())
    }

    fn follow(&mut self, news: &Receiver<News>) -> io::Result<End> {
        let lasts = self.settings.lasts;
        let ends = lasts.and_then(|lasts| self.started.checked_add(lasts));
        let mut tick = self.started + TICK;
        loop {
            let until = ends.map_or(tick, |ends| ends.min(tick));
            let is_early = Instant::now() < until;
            let next = next_before(until, news);
            // Else there may be something that was not looked at.
            if is_early && next.is_err() {
                self.tally.wait(until);
            }
            let mut sighting = match next {
                Ok(News::Seen(sighting)) => sighting,
                Err(RecvTimeoutError::Timeout) if ends.is_none_or(|ends| until < ends) => {
                    self.tick()?;
                    if self.is_exceeded() {
                        return Ok(End::Done);
                    }
                    tick = (tick + TICK).max(Instant::now());
                    continue;
                }
                Ok(News::Interrupt) => return Ok(End::Interrupted),
                Ok(News::Gone) => return Ok(End::Broken),
                _ => return Ok(End::Done),
            };
            if matches!(sighting.seen, Seen::Connecting { .. }) {
                // What is said of a dial is said after whole seconds.
                tick = sighting.at + TICK;
            }
            let is_fatal = self.settings.fail_fast && give_up(&mut sighting.seen);
            self.note(&sighting)?;
            if is_fatal {
                return Ok(End::Unreachable);
            }
            let count = self.settings.count;
            let is_enough = count.is_some_and(|count| self.tally.pongs >= count);
            if is_enough || self.is_exceeded() || matches!(sighting.seen, Seen::Stopped(_)) {
                return Ok(End::Done);
            }
        }
    }

    fn is_exceeded(&self) -> bool {
        !self.settings.limits.exceeded(&self.tally).is_empty()
    }

    fn failures(&self, end: End) -> Vec<String> {
        let mut failures = self.settings.limits.exceeded(&self.tally);
        if end == End::Broken {
            failures.push("a panic ended the session, which is a bug".to_owned());
        } else if end == End::Unreachable {
            failures.push("a dial failed, and --fail-fast was given".to_owned());
        } else if self.tally.opened == 0 {
            failures.push("it was never connected".to_owned());
        }
        failures
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::{Arg, Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn a_panic_of_the_session_ends_the_watch_as_a_failure() {
        let (sender, news) = mpsc::sync_channel(QUEUE);
        let _interrupt = Interrupt(sender.clone());
        let session = thread::spawn(move || {
            let _guard = Guard(sender);
            panic!("planted");
        });
        let started = Instant::now();
        let command = Settings::augment_args(Command::new("watch").arg(Arg::new("url")));
        let words = ["watch", "ws://localhost", "--for", "10s"];
        let settings = Settings::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let mut course = Course {
            settings: &settings,
            outputs: &mut [],
            standing: Standing::new(started),
            tally: Tally::default(),
            started,
        };
        let end = course.follow(&news).unwrap();
        assert!(session.join().is_err());
        assert_eq!(
            course.failures(end),
            ["a panic ended the session, which is a bug"]
        );
    }
}
