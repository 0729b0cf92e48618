//! Draws the view: first what matters most, and as much as there is room for.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use super::model::Model;
use crate::scale::Scale;
use crate::track::{Slice, lasted, percent};
use crate::watch::output::State;
use crate::watch::seen::Tone;
use crate::watch::text;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: Instant, is_coloured: bool) {
    let view = View {
        model,
        now,
        is_coloured,
    };
    view.draw(frame.area(), frame.buffer_mut());
}

struct View<'a> {
    model: &'a Model,
    now: Instant,
    is_coloured: bool,
}

impl View<'_> {
    fn draw(&self, area: Rect, buffer: &mut Buffer) {
        const HEAD: u16 = 4;
        let title = u16::from(area.height >= 8);
        let keys = u16::from(area.height >= 12);
        let head = HEAD.min(area.height);
        let rest = area.height - title - head - keys;
        let plot = if rest < 5 { 0 } else { (rest * 3 / 5).min(18) };
        let rows = [title, head, plot, rest - plot, keys].map(Constraint::Length);
        let [title, head, plot, log, keys] = Layout::vertical(rows).areas(area);

        self.title().render(title, buffer);
        let lines = [
            self.state(),
            self.detail(),
            self.counts(),
            self.round_trips(),
        ];
        for (row, line) in head.rows().zip(lines) {
            line.render(row, buffer);
        }
        self.plot(plot, buffer);
        self.log(log, buffer);
        self.keys().render(keys, buffer);
    }

    fn title(&self) -> Line<'_> {
        let time = self.since(self.model.started);
        Line::from(vec![
            Span::styled(self.model.name.as_str(), Modifier::BOLD),
            self.faint(format!("  watched for {time}")),
        ])
    }

    /// What it is doing, for how long, and when the next dial is.
    fn state(&self) -> Line<'_> {
        let standing = self.model.standing;
        let since = self.since(standing.since);
        let (tone, word, rest) = match standing.state {
            _ if self.model.is_closing => (Tone::Hint, "CLOSING", String::new()),
            State::Connecting { attempt: 0 } => (Tone::Hint, "CONNECTING", format!(" for {since}")),
            State::Connecting { attempt } => (
                Tone::Hint,
                "CONNECTING",
                format!(" for {since}, attempt {attempt}"),
            ),
            State::Open => (Tone::Good, "OPEN", format!(" for {since}")),
            State::Waiting(retry) => {
                let due = standing.since + retry.after;
                let left = due.saturating_duration_since(self.now).as_secs_f64();
                (
                    Tone::Bad,
                    "DOWN",
                    format!(", dial {} in {left:.1} s", retry.attempt),
                )
            }
            State::Over => (Tone::Bad, "STOPPED", String::new()),
        };
        let style = self.style(tone).add_modifier(Modifier::BOLD);
        Line::from(vec![Span::styled(word, style), Span::raw(rest)])
    }

    /// The last round trip, or why there is no connection.
    fn detail(&self) -> Line<'_> {
        let model = self.model;
        if matches!(model.standing.state, State::Open) {
            return match model.latest {
                Some((took, at)) => {
                    let trip = format!("last round trip {} ms", text::millis(took));
                    let ago = format!(", {} ago", self.since(at));
                    Line::from(vec![Span::raw(trip), self.faint(ago)])
                }
                None => Line::from("no ping was answered yet"),
            };
        }
        match &model.cause {
            Some(cause) => Line::styled(cause.as_str(), self.style(Tone::Bad)),
            None => Line::default(),
        }
    }

    fn counts(&self) -> Line<'_> {
        let counts = self.model.counts;
        let whole = self.now.saturating_duration_since(self.model.started);
        let open = percent(self.model.open_for(self.now), whole);
        Line::from(format!(
            "open {open} %, {}, {}, {}, {} answered, {} lost, {}",
            text::count(counts.downs, "down"),
            text::count(counts.failed_dials, "failed dial"),
            text::count(counts.pings, "ping"),
            counts.pongs,
            counts.lost,
            text::count(counts.messages, "message"),
        ))
    }

    fn round_trips(&self) -> Line<'_> {
        let Some(four) = self.model.round_trips.four() else {
            return Line::default();
        };
        let [least, median, most, greatest] = four.map(text::millis);
        Line::from(vec![
            Span::raw(format!("{least}/{median}/{most}/{greatest} ms ")),
            self.faint("min/median/p95/max".to_owned()),
        ])
    }

    fn keys(&self) -> Line<'_> {
        self.faint("q end   r reconnect now".to_owned()).into()
    }

    /// A column for each slice of time, the latest on the right.
    fn plot(&self, area: Rect, buffer: &mut Buffer) {
        const LABELS: u16 = 9;
        if area.width <= LABELS || area.height < 2 {
            return;
        }
        let slices = self.model.slices(self.now);
        let column = text::setting(slices.width());
        let words = format!(
            " round trips, a column is {column}: x no answer, \u{25bc} down, \u{2591} no connection "
        );
        let area = self.ruled(words, area, buffer);
        let has_axis = area.height >= 6;
        let [area, axis] =
            Layout::vertical([Constraint::Min(1), Constraint::Length(u16::from(has_axis))])
                .areas(area);
        let [labels, bars] =
            Layout::horizontal([Constraint::Length(LABELS), Constraint::Min(1)]).areas(area);

        let shown: Vec<Slice> = slices.iter().rev().map(|(_, slice)| *slice).collect();
        let shown = held(
            shown
                .get(..shown.len().min(bars.width.into()))
                .unwrap_or(&shown),
        );
        let extremes = shown.iter().filter_map(|(_, height)| *height);
        let least = extremes.clone().min();
        let scale = least
            .zip(extremes.max())
            .map(|(least, greatest)| Scale::over(least, greatest));
        for (column, (slice, height)) in bars.columns().rev().zip(&shown) {
            let share = height.zip(scale).map(|(height, scale)| scale.share(height));
            self.column(column, slice, share, buffer);
        }
        if let Some(scale) = scale {
            self.labels(labels, &scale, buffer);
        }
        let span = slices.width() * u32::from(bars.width);

        let axis = Rect {
            x: bars.x,
            width: bars.width,
            ..axis
        };
        self.faint(ago(span)).render(axis, buffer);
        Line::from(self.faint(ago(span / 2)))
            .centered()
            .render(axis, buffer);
        Line::from(self.faint("now".to_owned()))
            .right_aligned()
            .render(axis, buffer);
    }

    fn column(&self, area: Rect, slice: &Slice, share: Option<f64>, buffer: &mut Buffer) {
        const EIGHTHS: [&str; 9] = [
            " ", "\u{2581}", "\u{2582}", "\u{2583}", "\u{2584}", "\u{2585}", "\u{2586}",
            "\u{2587}", "\u{2588}",
        ];
        let is_open = slice.is_open();
        // What was answered is seen, however fast.
        let height = share.map(|share| ((share * f64::from(area.height) * 8.0) as usize).max(1));
        for (row, cell) in (0_usize..).zip(area.rows().rev()) {
            let Some(cell) = buffer.cell_mut((cell.x, cell.y)) else {
                continue;
            };
            if let Some(height) = height {
                let eighths = height.saturating_sub(row * 8).min(8);
                cell.set_symbol(EIGHTHS.get(eighths).unwrap_or(&" "));
                cell.set_style(self.style(Tone::Good));
            } else if !is_open {
                cell.set_symbol("\u{2591}")
                    .set_style(self.style(Tone::Faint));
            }
        }
        let bad = self.style(Tone::Bad).add_modifier(Modifier::BOLD);
        let mut mark = |y, symbol| {
            if let Some(cell) = buffer.cell_mut((area.x, y)) {
                cell.set_symbol(symbol).set_style(bad);
            }
        };
        if slice.lost > 0 {
            mark(area.bottom().saturating_sub(1), "x");
        }
        if slice.downs > 0 {
            mark(area.y, "\u{25bc}");
        }
    }

    /// At the top and at the bottom, and between them where there is room.
    fn labels(&self, area: Rect, scale: &Scale, buffer: &mut Buffer) {
        let mut free = area.bottom();
        let mut put = |y: u16, label: String| {
            let row = Rect {
                y,
                height: 1,
                width: area.width - 1,
                ..area
            };
            Line::from(self.faint(label))
                .right_aligned()
                .render(row, buffer);
        };
        let ticks = scale.ticks();
        let top = ticks.last().cloned();
        for (share, label) in ticks {
            let up = (share * f64::from(area.height)).round() as u16;
            let y = (area.bottom() - 1).saturating_sub(up.saturating_sub(1));
            if y < free && y > area.y + 1 {
                put(y, label);
                free = y;
            }
        }
        if let Some((_, label)) = top {
            put(area.y, label);
        }
    }

    fn log(&self, area: Rect, buffer: &mut Buffer) {
        let area = if area.height >= 4 {
            self.ruled(" log ".to_owned(), area, buffer)
        } else {
            area
        };
        for (row, entry) in area.rows().zip(self.model.tail(area.height.into())) {
            let mut spans = vec![
                self.faint(format!("{}  ", entry.time)),
                Span::styled(entry.text.as_str(), self.style(entry.tone)),
            ];
            if entry.times > 1 {
                spans.push(self.faint(format!("  ({} so far)", entry.times)));
            }
            Line::from(spans).render(row, buffer);
        }
    }

    /// A line with a title above the area; returns what is left.
    fn ruled(&self, title: String, area: Rect, buffer: &mut Buffer) -> Rect {
        let style = self.style(Tone::Faint);
        let block = Block::new()
            .borders(Borders::TOP)
            .border_style(style)
            .title(title);
        let inner = block.inner(area);
        block.render(area, buffer);
        inner
    }

    fn since(&self, at: Instant) -> String {
        let time = self.now.saturating_duration_since(at);
        if time < Duration::from_secs(120) {
            format!("{:.1} s", time.as_secs_f64())
        } else {
            lasted(time)
        }
    }

    fn faint(&self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Tone::Faint))
    }

    fn style(&self, tone: Tone) -> Style {
        let colour = match tone {
            Tone::Title => return Modifier::BOLD.into(),
            Tone::Faint => return Modifier::DIM.into(),
            _ if !self.is_coloured => return Style::new(),
            Tone::Plain => return Style::new(),
            Tone::Good => Color::Green,
            Tone::Bad => Color::Red,
            Tone::Hint => Color::Yellow,
        };
        colour.into()
    }
}

/// On the plot's axis: -28.4 s, -2 min 5 s.
fn ago(time: Duration) -> String {
    if time < Duration::from_secs(120) {
        format!("-{:.1} s", time.as_secs_f64())
    } else {
        format!("-{}", lasted(time))
    }
}

/// The latest first, each with the greatest round trip in it, or in the one before it:
/// pings are a little further apart than a slice is wide.
fn held(latest: &[Slice]) -> Vec<(Slice, Option<Duration>)> {
    let greatest = |slice: &Slice| slice.round_trip.map(|(_, greatest)| greatest);
    let before = latest.iter().skip(1).map(greatest).chain([None]);
    let held = |(slice, before): (&Slice, Option<Duration>)| {
        let is_calm = slice.lost == 0 && slice.is_open();
        (*slice, greatest(slice).or(before.filter(|_| is_calm)))
    };
    latest.iter().zip(before).map(held).collect()
}
