//! Lines for people, coloured on a terminal only, or JSON.

use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value, json};

use super::seen::Tone;

pub(crate) struct Printer {
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Plain,
    Colour,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let style = if json {
            Style::Json
        } else if io::stdout().is_terminal() && wants_colour() {
            Style::Colour
        } else {
            Style::Plain
        };
        Self { style }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.style == Style::Json
    }

    /// Text for people; nothing in JSON.
    pub(crate) fn say(&self, tone: Tone, text: &str) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            Style::Plain => put(text),
            Style::Colour => put(&colour(tone, text)),
        }
    }

    /// The same with the time in front.
    pub(crate) fn say_at(&self, time: &str, tone: Tone, text: &str) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            Style::Plain => put(&format!("{time}  {text}")),
            Style::Colour => put(&format!("{FAINT}{time}{RESET}  {}", colour(tone, text))),
        }
    }

    /// An object, with its time; nothing for people.
    pub(crate) fn object(&self, time: Value, value: Value) -> io::Result<()> {
        if self.style != Style::Json {
            return Ok(());
        }
        let mut object = Map::new();
        object.insert("time".to_owned(), time);
        if let Value::Object(rest) = value {
            object.extend(rest);
        }
        put(&json!(object).to_string())
    }
}

const FAINT: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

fn colour(tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Title => "\u{1b}[1m",
        Tone::Good => "\u{1b}[32m",
        Tone::Bad => "\u{1b}[31m",
        Tone::Hint => "\u{1b}[33m",
        Tone::Faint => FAINT,
    };
    format!("{code}{text}{RESET}")
}

/// See <https://no-color.org>.
fn wants_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set("NO_COLOR") && !is_dumb
}

fn put(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
