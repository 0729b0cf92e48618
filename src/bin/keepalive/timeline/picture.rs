//! Draws the timeline.

use std::fmt::{Error, Write};
use std::time::{Duration, Instant};

use super::record::{Outage, Record};
use crate::scale::{Scale, time_ticks};
use crate::track::{Phase, Slice, lasted, percent, shorten};
use crate::watch::text;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 976.0;
/// The round trips; the numbers of the outages are above them.
const TOP: f64 = 128.0;
const BOTTOM: f64 = 288.0;
/// The phases.
const BAND: f64 = 300.0;
const BAND_END: f64 = 328.0;
const LEGEND: f64 = 376.0;
const LIST: f64 = 412.0;
const ROW: f64 = 17.0;

/// More marks than these are made smaller.
const CROWD: usize = 100;

/// Shorter watches are drawn as long as that.
const LEAST: Duration = Duration::from_millis(1);

/// The characters of a line in the list.
const LONGEST: usize = 130;

/// Below this many answers each is a dot.
const DOTS: usize = 150;

/// In the colours of Okabe and Ito, which the colour-blind can tell apart, and each of
/// a height of its own.
const fn look(phase: Phase) -> (&'static str, f64) {
    match phase {
        Phase::Open => ("#009e73", 1.0),
        Phase::Connecting => ("#56b4e9", 0.7),
        Phase::Waiting => ("#e69f00", 0.4),
        Phase::Over => ("#777", 0.15),
    }
}

const BAD: &str = "#c03a00";
const TRIPS: &str = "#0072b2";

pub(super) struct Picture<'a> {
    record: &'a Record,
    ends: Instant,
    total: Duration,
    columns: Vec<Column>,
    runs: Vec<Run>,
    scale: Option<Scale>,
}

struct Column {
    x: f64,
    slice: Slice,
}

/// Slices next to each other with the same phase for most of their time.
struct Run {
    phase: Phase,
    from: f64,
    to: f64,
}

impl<'a> Picture<'a> {
    pub(super) fn new(record: &'a Record, ends: Instant) -> Self {
        let mut picture = Self {
            record,
            ends,
            total: record.since_start(ends).max(LEAST),
            columns: Vec::new(),
            runs: Vec::new(),
            scale: None,
        };
        let mut slices = record.slices.clone();
        slices.spend(record.track.span(ends));
        for (opens, slice) in slices.iter() {
            picture.add(opens, opens + slices.width(), slice);
        }
        let extremes = picture
            .columns
            .iter()
            .filter_map(|column| column.slice.round_trip);
        picture.scale = extremes
            .reduce(|all, each| (all.0.min(each.0), all.1.max(each.1)))
            .map(|(least, greatest)| Scale::over(least, greatest));
        picture
    }

    fn add(&mut self, opens: Duration, closes: Duration, slice: &Slice) {
        let (from, to) = (self.x(opens), self.x(closes));
        let x = (from + to) / 2.0;
        match self.columns.last_mut() {
            // Two in a pixel.
            Some(last) if last.x.floor() == x.floor() => last.slice = last.slice.join(slice),
            _ => self.columns.push(Column { x, slice: *slice }),
        }
        let Some(phase) = slice.phase() else {
            return;
        };
        match self.runs.last_mut() {
            Some(last) if last.phase == phase => last.to = to,
            _ => self.runs.push(Run { phase, from, to }),
        }
    }

    fn x(&self, time: Duration) -> f64 {
        let share = time.as_secs_f64() / self.total.as_secs_f64();
        LEFT + (RIGHT - LEFT) * share.min(1.0)
    }

    fn x_at(&self, at: Instant) -> f64 {
        self.x(self.record.since_start(at))
    }

    pub(super) fn svg(&self) -> Result<String, Error> {
        let list = self.list();
        let height = if list.is_empty() {
            LEGEND + 24.0
        } else {
            LIST + ROW * list.len() as f64 + 8.0
        };
        let mut svg = String::new();
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#444">
<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff" stroke="#ddd"/>"##
        )?;
        self.head(&mut svg)?;
        self.grid(&mut svg)?;
        self.phases(&mut svg)?;
        self.outages(&mut svg)?;
        self.round_trips(&mut svg)?;
        self.lost(&mut svg)?;
        self.legend(&mut svg)?;
        for (row, line) in (0_u32..).zip(&list) {
            let y = LIST + ROW * f64::from(row);
            writeln!(
                svg,
                r##"<g font-size="11.5"><text x="{:.0}" y="{y}" text-anchor="end" font-weight="bold" fill="{BAD}">{}</text><text x="{LEFT}" y="{y}">{}</text><text x="{:.0}" y="{y}">{}</text></g>"##,
                LEFT - 10.0,
                line.number,
                line.clock,
                LEFT + line.clock.len() as f64 * 6.7 + 12.0,
                escape(&line.words),
            )?;
        }
        writeln!(svg, "</svg>")?;
        Ok(svg)
    }

    fn head(&self, svg: &mut String) -> Result<(), Error> {
        let record = self.record;
        let open = record.open_for(self.ends);
        let lines = [
            format!(
                "From {}, for {}",
                record.clock(record.started, "%F %T %:z"),
                lasted(self.total),
            ),
            format!(
                "Connected {} % of the time: {}, {}, {}",
                percent(open, self.total),
                text::count(record.downs, "lost connection"),
                text::count(record.failed_dials, "failed dial"),
                sent(record.pings, record.round_trips.count()),
            ),
        ];
        writeln!(
            svg,
            r##"<text x="24" y="32" font-size="17" fill="#111">{}</text>"##,
            escape(&record.name)
        )?;
        for (line, y) in lines.iter().zip([54, 72]) {
            writeln!(svg, r#"<text x="24" y="{y}">{}</text>"#, escape(line))?;
        }
        Ok(())
    }

    /// The axes, and a shade where there was no connection.
    fn grid(&self, svg: &mut String) -> Result<(), Error> {
        write!(svg, r##"<path fill="#f0f0f0" d=""##)?;
        for run in self.runs.iter().filter(|run| run.phase != Phase::Open) {
            write!(
                svg,
                "M{:.1} {TOP}H{:.1}V{BOTTOM}H{:.1}z",
                run.from, run.to, run.from
            )?;
        }
        writeln!(svg, r#""/>"#)?;
        let title = match self.record.round_trips.four() {
            Some([least, median, most, greatest]) => format!(
                "Round trip: least {} ms, median {} ms, 95 % within {} ms, greatest {} ms",
                text::millis(least),
                text::millis(median),
                text::millis(most),
                text::millis(greatest),
            ),
            None => "Round trip: no ping was answered".to_owned(),
        };
        writeln!(svg, r#"<text x="24" y="90">{title}</text>"#)?;
        for (share, label) in self.scale.iter().flat_map(Scale::ticks) {
            let y = BOTTOM - share * (BOTTOM - TOP);
            writeln!(
                svg,
                r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#ccc"/><text x="{}" y="{:.1}" text-anchor="end" font-size="11">{label}</text>"##,
                LEFT - 6.0,
                y + 4.0,
            )?;
        }
        for (time, label) in time_ticks(self.total) {
            let x = self.x(time);
            writeln!(
                svg,
                r##"<path d="M{x:.1} {TOP}V{BOTTOM}" stroke="#ddd"/><path d="M{x:.1} {BAND_END}v5" stroke="#555"/><text x="{x:.1}" y="{}" text-anchor="middle" font-size="11">{label}</text>"##,
                BAND_END + 18.0,
            )?;
        }
        Ok(())
    }

    /// A line that breaks where the connection did, and bars from the least to the
    /// greatest where many share a pixel.
    fn round_trips(&self, svg: &mut String) -> Result<(), Error> {
        let Some(scale) = &self.scale else {
            return Ok(());
        };
        let height = |time| BOTTOM - scale.share(time) * (BOTTOM - TOP);
        let (mut line, mut bars, mut dots) = (String::new(), String::new(), String::new());
        let mut is_new = true;
        for Column { x, slice } in &self.columns {
            if let Some((least, greatest)) = slice.round_trip {
                let (low, high) = (height(least), height(greatest));
                let pen = if is_new { 'M' } else { 'L' };
                is_new = false;
                write!(line, "{pen}{x:.1} {:.1}", (low + high) / 2.0)?;
                write!(dots, "M{x:.1} {:.1}h0", (low + high) / 2.0)?;
                if low - high >= 1.0 {
                    write!(bars, "M{x:.1} {low:.1}V{high:.1}")?;
                }
            }
            is_new |= slice.downs > 0 || !slice.is_open();
        }
        let common = format!(r#"fill="none" stroke="{TRIPS}""#);
        writeln!(svg, r#"<path {common} stroke-opacity="0.4" d="{bars}"/>"#)?;
        writeln!(
            svg,
            r#"<path {common} stroke-width="1.5" stroke-linejoin="round" d="{line}"/>"#
        )?;
        let answered = self.columns.iter().filter(|column| column.slice.pongs > 0);
        if answered.count() <= DOTS {
            writeln!(
                svg,
                r#"<path {common} stroke-width="5" stroke-linecap="round" d="{dots}"/>"#
            )?;
        }
        Ok(())
    }

    /// A cross for each ping without an answer, when it was sent; but short lines where
    /// there are too many.
    fn lost(&self, svg: &mut String) -> Result<(), Error> {
        let lost = self.columns.iter().filter(|column| column.slice.lost > 0);
        let sign = if lost.clone().count() > CROWD {
            "m4 0v8"
        } else {
            "l8 8m0-8l-8 8"
        };
        let mut path = String::new();
        for column in lost {
            write!(path, "M{:.1} {}{sign}", column.x - 4.0, BOTTOM - 12.0)?;
        }
        writeln!(
            svg,
            r#"<path fill="none" stroke="{BAD}" stroke-width="2" d="{path}"/>"#
        )
    }

    /// Where a connection was lost, with the number under which it is listed.
    fn outages(&self, svg: &mut String) -> Result<(), Error> {
        let downs = self.columns.iter().filter(|column| column.slice.downs > 0);
        let bottom = if downs.clone().count() > CROWD {
            TOP + 12.0
        } else {
            BAND_END
        };
        let mut path = String::new();
        for column in downs {
            write!(path, "M{:.1} {TOP}V{bottom}", column.x)?;
        }
        writeln!(
            svg,
            r#"<path stroke="{BAD}" stroke-dasharray="3 2" d="{path}"/>"#
        )?;
        for label in self.labels() {
            writeln!(
                svg,
                r##"<text x="{:.1}" y="{}" text-anchor="middle" font-size="11" font-weight="bold" fill="{BAD}">{}</text>"##,
                label.middle(),
                TOP - 6.0,
                label.words(),
            )?;
        }
        Ok(())
    }

    /// As one where they would overlap.
    fn labels(&self) -> Vec<Label> {
        let mut labels: Vec<Label> = Vec::new();
        for outage in self.record.listed() {
            let x = self.x_at(outage.at);
            let (from, to) = (x, x);
            let (first, last) = (outage.number, outage.number);
            let mut label = Label {
                from,
                to,
                first,
                last,
            };
            while let Some(previous) = labels.last().filter(|last| last.overlaps(&label)) {
                label.from = previous.from;
                label.first = previous.first;
                labels.pop();
            }
            labels.push(label);
        }
        labels
    }

    fn phases(&self, svg: &mut String) -> Result<(), Error> {
        for phase in Phase::ALL {
            let (colour, share) = look(phase);
            let top = BAND_END - share * (BAND_END - BAND);
            let mut path = String::new();
            for run in self.runs.iter().filter(|run| run.phase == phase) {
                write!(
                    path,
                    "M{:.1} {top}H{:.1}V{BAND_END}H{:.1}z",
                    run.from, run.to, run.from
                )?;
            }
            if !path.is_empty() {
                writeln!(svg, r#"<path fill="{colour}" d="{path}"/>"#)?;
            }
        }
        writeln!(
            svg,
            r##"<path d="M{LEFT} {BAND_END}H{RIGHT}" stroke="#555"/>"##
        )
    }

    fn legend(&self, svg: &mut String) -> Result<(), Error> {
        let mut x = LEFT;
        let mut entry = |svg: &mut String, sign: String, words: &str| {
            let after = x + 22.0;
            let result = writeln!(
                svg,
                r#"<g transform="translate({x:.0} {LEGEND})">{sign}<text x="22">{words}</text></g>"#
            );
            x = after + words.len() as f64 * 6.2 + 18.0;
            result
        };
        for phase in Phase::ALL {
            let (colour, share) = look(phase);
            let height = 14.0 * share;
            let sign = format!(
                r#"<rect y="{:.1}" width="16" height="{height:.1}" fill="{colour}"/>"#,
                2.0 - height
            );
            entry(svg, sign, phase.name())?;
        }
        let cross = format!(r#"<path stroke="{BAD}" stroke-width="2" d="M4-8l8 8m0-8l-8 8"/>"#);
        entry(svg, cross, "a ping that was not answered")?;
        let line = format!(r#"<path stroke="{BAD}" stroke-dasharray="3 2" d="M8-12V4"/>"#);
        entry(svg, line, "a connection was lost")
    }

    fn list(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut next = 1;
        for outage in self.record.listed() {
            if outage.number > next {
                lines.push(Line {
                    number: String::new(),
                    clock: "\u{2026}".to_owned(),
                    words: format!("and {} more", outage.number - next),
                });
            }
            next = outage.number + 1;
            lines.push(self.line(outage));
        }
        lines
    }

    fn line(&self, outage: &Outage) -> Line {
        const DAY: Duration = Duration::from_secs(20 * 3600);
        let format = if self.total < DAY {
            "%T%.3f"
        } else {
            "%m-%d %T"
        };
        let after = match outage.healed {
            Some(healed) => {
                let took = healed.saturating_duration_since(outage.at);
                format!("; open again after {}", lasted(took))
            }
            None => "; not open again".to_owned(),
        };
        let mut words = match (&outage.cause, &outage.dial) {
            (Some(cause), None) => cause.clone(),
            (Some(cause), Some(dial)) => format!("{cause}; {}: {dial}", failed(outage)),
            (None, dial) => format!(
                "{}: {}",
                failed(outage),
                dial.as_deref().unwrap_or_default()
            ),
        };
        words = shorten(&words, LONGEST - after.len());
        words.push_str(&after);
        Line {
            number: outage.number.to_string(),
            clock: self.record.clock(outage.at, format),
            words,
        }
    }
}

/// The numbers of outages, and where they are.
struct Label {
    from: f64,
    to: f64,
    first: u64,
    last: u64,
}

impl Label {
    fn words(&self) -> String {
        if self.first == self.last {
            return self.first.to_string();
        }
        format!("{}\u{2013}{}", self.first, self.last)
    }

    fn width(&self) -> f64 {
        self.words().chars().count() as f64 * 7.0
    }

    /// Within the picture.
    fn middle(&self) -> f64 {
        let middle = (self.from + self.to) / 2.0;
        middle.min(WIDTH - 4.0 - self.width() / 2.0)
    }

    fn overlaps(&self, next: &Self) -> bool {
        next.middle() - self.middle() < (self.width() + next.width()) / 2.0 + 4.0
    }
}

struct Line {
    number: String,
    clock: String,
    words: String,
}

fn failed(outage: &Outage) -> String {
    let dials = text::count(outage.failed_dials, "failed dial");
    if outage.failed_dials > 1 {
        format!("{dials}, the last")
    } else {
        dials
    }
}

fn sent(pings: u64, pongs: u64) -> String {
    format!("{}, {pongs} answered", text::count(pings, "ping"))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
