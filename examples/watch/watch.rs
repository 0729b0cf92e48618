//! Watches a server of the user's.

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use keepalive::Config;
use serde_json::{Value, json};

use crate::args::{Args, CLOSE_TIMEOUT};
use crate::print::Printer;
use crate::seen::{Seen, Sighting, Tone};
use crate::stats::Tally;
use crate::text;
use crate::watcher::Watcher;

/// As long as anybody waits for something to be seen.
const LONG: Duration = Duration::from_secs(3600);

/// What a goodbye may take beyond its time.
const LATE: Duration = Duration::from_millis(100);

/// What the main thread waits for. The session has a thread of its own, so that a
/// dial that hangs delays neither Ctrl-C nor the end of the time.
enum News {
    Seen(Box<Sighting>),
    Interrupt,
}

pub(crate) fn run(mut watcher: Watcher, args: &Args, name: &str) -> io::Result<ExitCode> {
    let (sender, news) = mpsc::channel();
    let interrupts = sender.clone();
    ctrlc::set_handler(move || {
        // An error means that the watch is over.
        let _ = interrupts.send(News::Interrupt);
    })
    .map_err(io::Error::other)?;

    let mut watch = Watch {
        name,
        args,
        config: *watcher.config(),
        printer: Printer::new(args.json),
        tally: Tally::default(),
        started: Instant::now(),
    };
    watch.print_head()?;
    let handle = watcher.handle();
    thread::Builder::new()
        .name("session".to_owned())
        .spawn(move || observe(watcher, &sender))?;
    let code = watch.follow(&news)?;
    if handle.stop().is_ok() {
        wait_for_goodbye(&news);
    }
    watch.print_summary()?;
    Ok(code)
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

struct Watch<'a> {
    name: &'a str,
    args: &'a Args,
    config: Config,
    printer: Printer,
    tally: Tally,
    started: Instant,
}

impl Watch<'_> {
    fn print_head(&self) -> io::Result<()> {
        let interval = text::setting(self.config.ping_interval());
        let timeout = text::setting(self.config.pong_timeout());
        let line = format!(
            "watching {}: a ping after {interval} of silence, dead when nothing comes for {timeout} more",
            self.name
        );
        self.printer.say(Tone::Title, &line)?;
        let head = json!({
            "event": "watching",
            "url": self.name,
            "interval_s": self.config.ping_interval().as_secs_f64(),
            "timeout_s": self.config.pong_timeout().as_secs_f64(),
        });
        self.printer.object(local(), head)
    }

    fn follow(&mut self, news: &Receiver<News>) -> io::Result<ExitCode> {
        let ends = self
            .args
            .lasts
            .and_then(|lasts| self.started.checked_add(lasts));
        loop {
            let next = match ends {
                Some(at) => news.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Ok(News::Seen(mut sighting)) = next else {
                return Ok(ExitCode::SUCCESS);
            };
            let is_fatal = self.args.fail_fast && give_up(&mut sighting.seen);
            self.note(&sighting)?;
            if is_fatal {
                return Ok(ExitCode::FAILURE);
            }
            let is_enough = self
                .args
                .count
                .is_some_and(|count| self.tally.pongs >= count);
            if is_enough || matches!(sighting.seen, Seen::Stopped(_)) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    fn note(&mut self, sighting: &Sighting) -> io::Result<()> {
        self.tally.note(sighting);
        if self.printer.is_json() {
            let object = sighting.seen.json(&self.config);
            return self.printer.object(local(), object);
        }
        let time = ZonedDateTime::now().strftime("%H:%M:%S%.3f").to_string();
        for (tone, line) in sighting.seen.lines(&self.config) {
            self.printer.say_at(&time, tone, &line)?;
        }
        Ok(())
    }

    fn print_summary(&self) -> io::Result<()> {
        let lasted = self.started.elapsed();
        let line = format!("--- {}, {} s ---", self.name, text::seconds(lasted));
        self.printer.say(Tone::Title, &line)?;
        for line in self.tally.lines() {
            self.printer.say(Tone::Plain, &line)?;
        }
        let mut summary = self.tally.json();
        if let Value::Object(object) = &mut summary {
            object.insert("event".to_owned(), json!("summary"));
            object.insert("lasted_s".to_owned(), json!(lasted.as_secs_f64()));
        }
        self.printer.object(local(), summary)
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

pub(crate) fn local() -> Value {
    json!(ZonedDateTime::now().strftime("%FT%T%.3f%:z").to_string())
}
