//! Lines for people, coloured on a terminal only, or JSON.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value, json};

use super::seen::Tone;
use super::text;

pub(crate) struct Printer {
    style: Style,
    is_terminal: bool,
    /// How long the line is that the next one replaces.
    replaced: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Plain,
    Colour,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let style = if json {
            Style::Json
        } else if is_terminal && wants_colour() {
            Style::Colour
        } else {
            Style::Plain
        };
        Self {
            style,
            is_terminal,
            replaced: Cell::new(0),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.style == Style::Json
    }

    /// Text for people; nothing in JSON.
    pub(crate) fn say(&self, tone: Tone, text: &str) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            Style::Plain => self.put(text),
            Style::Colour => self.put(&colour(tone, text)),
        }
    }

    /// The same with the time in front.
    pub(crate) fn say_at(&self, time: &str, tone: Tone, text: &str) -> io::Result<()> {
        match self.style {
            Style::Json => Ok(()),
            Style::Plain => self.put(&format!("{time}  {text}")),
            Style::Colour => self.put(&format!("{FAINT}{time}{RESET}  {}", colour(tone, text))),
        }
    }

    /// What is true for a second: on a terminal the next line replaces it.
    pub(crate) fn say_for_now(&self, time: &str, tone: Tone, text: &str) -> io::Result<()> {
        if !self.is_terminal || self.is_json() {
            return self.say_at(time, tone, text);
        }
        self.clear()?;
        let line = match self.style {
            Style::Colour => format!("{FAINT}{time}{RESET}  {}", colour(tone, text)),
            _ => format!("{time}  {text}"),
        };
        // The terminal shows a Ctrl-C behind it.
        let width = time.len() + 2 + text.len() + "^C".len();
        self.replaced.set(width);
        let mut out = io::stdout();
        write!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(named)
    }

    /// Whether a line can be replaced.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Without escape sequences, which not every terminal knows.
    fn clear(&self) -> io::Result<()> {
        match self.replaced.take() {
            0 => Ok(()),
            width => write!(io::stdout(), "\r{:width$}\r", "").map_err(named),
        }
    }

    fn put(&self, line: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(io::stdout(), "{line}").map_err(named)
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
        self.put(&json!(object).to_string())
    }
}

/// The error says where it is.
fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("stdout: {}", text::bare(&error)))
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
