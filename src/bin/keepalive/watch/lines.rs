//! One line an event: for people, or JSON.

use std::io;

use jiff::ZonedDateTime;
use keepalive::Config;
use serde_json::{Value, json};

use super::output::{Head, Now, Output, State, Summary};
use super::print::Printer;
use super::seen::{Sighting, Tone, connecting};
use super::text;

pub(crate) struct Lines {
    printer: Printer,
    config: Config,
}

impl Lines {
    pub(crate) fn new(json: bool, config: Config) -> Self {
        let printer = Printer::new(json);
        Self { printer, config }
    }
}

impl Output for Lines {
    fn head(&mut self, head: &Head<'_>) -> io::Result<()> {
        let interval = text::setting(head.config.ping_interval());
        let timeout = text::setting(head.config.pong_timeout());
        let line = format!(
            "watching {}: a ping after {interval} of silence, dead when nothing comes for {timeout} more",
            head.name
        );
        self.printer.say(Tone::Title, &line)?;
        let object = json!({
            "event": "watching",
            "url": head.name,
            "interval_s": head.config.ping_interval().as_secs_f64(),
            "timeout_s": head.config.pong_timeout().as_secs_f64(),
        });
        self.printer.object(local(), object)
    }

    fn sighting(&mut self, sighting: &Sighting, _: &Now<'_>) -> io::Result<()> {
        if self.printer.is_json() {
            let object = sighting.seen.json(&self.config);
            return self.printer.object(local(), object);
        }
        for (tone, line) in sighting.seen.lines(&self.config) {
            self.printer.say_at(&clock(), tone, &line)?;
        }
        Ok(())
    }

    fn tick(&mut self, now: &Now<'_>) -> io::Result<()> {
        let lasts = now.at.saturating_duration_since(now.standing.since);
        match now.standing.state {
            State::Connecting { attempt } => {
                let line = match attempt {
                    0 => format!("connecting, {} s", lasts.as_secs()),
                    _ => format!("connecting, {} s (attempt {attempt})", lasts.as_secs()),
                };
                self.printer.object(local(), connecting(attempt, lasts))?;
                self.printer.say_for_now(&clock(), Tone::Faint, &line)
            }
            State::Waiting(retry) if self.printer.is_terminal() => {
                let left = text::whole(retry.after.saturating_sub(lasts));
                let line = format!("reconnect {} in {left} s", retry.attempt);
                self.printer.say_for_now(&clock(), Tone::Faint, &line)
            }
            State::Waiting(_) | State::Open | State::Over => Ok(()),
        }
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let lasted = text::seconds(summary.lasted);
        let line = format!("--- {}, {lasted} s ---", summary.name);
        self.printer.say(Tone::Title, &line)?;
        for line in summary.tally.lines() {
            self.printer.say(Tone::Plain, &line)?;
        }
        let mut object = summary.tally.json();
        if let Value::Object(object) = &mut object {
            object.insert("event".to_owned(), json!("summary"));
            object.insert("lasted_s".to_owned(), json!(summary.lasted.as_secs_f64()));
            object.insert("failures".to_owned(), json!(summary.failures));
        }
        self.printer.object(local(), object)
    }
}

/// For people.
fn clock() -> String {
    let now = ZonedDateTime::now();
    now.strftime("%H:%M:%S%.3f").to_string()
}

/// For JSON.
pub(crate) fn local() -> Value {
    json!(ZonedDateTime::now().strftime("%FT%T%.3f%:z").to_string())
}
