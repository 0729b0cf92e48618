//! Counts over time as an SVG: a panel for each series, all with the same axes.

use std::fmt::{Error, Write};

pub(crate) struct Chart<'a> {
    pub(crate) title: String,
    /// What the shaded time and the dashed line are.
    pub(crate) subtitle: String,
    /// Counts per second.
    pub(crate) rate: f64,
    /// How many seconds are shown.
    pub(crate) seconds: f64,
    pub(crate) shaded_until: f64,
    pub(crate) dashed_at: f64,
    pub(crate) panels: Vec<Panel<'a>>,
}

pub(crate) struct Panel<'a> {
    pub(crate) name: &'a str,
    pub(crate) note: String,
    pub(crate) colour: &'static str,
    pub(crate) counts: &'a [u32],
}

const COLUMNS: usize = 2;
/// Of a panel.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 110.0;
/// Around a panel: left, above, to the next one on the right, to the next one below.
const LEFT: f64 = 60.0;
const TOP: f64 = 80.0;
const ACROSS: f64 = WIDTH + 50.0;
const DOWN: f64 = HEIGHT + 50.0;

impl Chart<'_> {
    pub(crate) fn svg(&self) -> Result<String, Error> {
        let rows = self.panels.len().div_ceil(COLUMNS);
        let (width, height) = (
            LEFT + COLUMNS as f64 * ACROSS,
            TOP + rows as f64 * DOWN - 20.0,
        );
        let mut svg = String::new();
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="#444">
<rect width="{width}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="26" font-size="17" fill="#111">{}</text>
<text x="{LEFT}" y="45" font-size="12">{}</text>"##,
            self.title, self.subtitle
        )?;
        for (place, panel) in self.panels.iter().enumerate() {
            let x = LEFT + (place % COLUMNS) as f64 * ACROSS;
            let y = TOP + (place / COLUMNS) as f64 * DOWN;
            writeln!(svg, r#"<g transform="translate({x} {y})">"#)?;
            self.axes(&mut svg)?;
            self.panel(&mut svg, panel)?;
            writeln!(svg, "</g>")?;
        }
        writeln!(svg, "</svg>")?;
        Ok(svg)
    }

    fn axes(&self, svg: &mut String) -> Result<(), Error> {
        let shaded = self.x(self.shaded_until);
        writeln!(
            svg,
            r##"<rect width="{shaded:.1}" height="{HEIGHT}" fill="#eee"/>"##
        )?;
        for exponent in 0..=self.decades() {
            let (y, label) = (self.y(10_f64.powi(exponent)), thousands(exponent));
            writeln!(
                svg,
                r##"<path d="M0 {y:.1}H{WIDTH}" stroke="#ddd"/><text x="-6" y="{:.1}" text-anchor="end">{label}</text>"##,
                y + 4.0
            )?;
        }
        let bottom = HEIGHT + 15.0;
        for tick in 0..=6 {
            let seconds = self.seconds * f64::from(tick) / 6.0;
            let x = self.x(seconds);
            writeln!(
                svg,
                r#"<text x="{x:.1}" y="{bottom}" text-anchor="middle">{seconds:.0} s</text>"#
            )?;
        }
        let dashed = self.y(self.dashed_at);
        writeln!(
            svg,
            r##"<path d="M0 {dashed:.1}H{WIDTH}" stroke="#888" stroke-dasharray="4 3"/>"##
        )
    }

    /// The name above, and the counts as steps over the axis.
    fn panel(&self, svg: &mut String, panel: &Panel<'_>) -> Result<(), Error> {
        let Panel {
            name, note, colour, ..
        } = panel;
        writeln!(
            svg,
            r##"<text y="-8"><tspan font-size="13" font-weight="bold" fill="{colour}">{name}</tspan> <tspan dx="6">{note}</tspan></text>"##
        )?;
        write!(
            svg,
            r#"<path fill="{colour}" fill-opacity="0.75" d="M0 {HEIGHT}"#
        )?;
        let shown = panel
            .counts
            .iter()
            .take((self.seconds * self.rate) as usize);
        for (bin, &count) in (1_u32..).zip(shown) {
            let (x, y) = (self.x(f64::from(bin) / self.rate), self.y(f64::from(count)));
            write!(svg, "V{y:.1}H{x:.1}")?;
        }
        writeln!(svg, r#"V{HEIGHT}H0Z"/>"#)
    }

    fn x(&self, seconds: f64) -> f64 {
        WIDTH * seconds / self.seconds
    }

    /// One is a little above the axis, which nothing reaches.
    fn y(&self, count: f64) -> f64 {
        const LIFT: f64 = 0.2;
        let share = (count.log10() + LIFT) / (f64::from(self.decades()) + LIFT);
        HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Powers of ten that are needed.
    fn decades(&self) -> i32 {
        let counts = self.panels.iter().flat_map(|panel| panel.counts);
        let greatest = counts.copied().max().unwrap_or(1).max(10);
        f64::from(greatest).log10().ceil() as i32
    }
}

fn thousands(exponent: i32) -> String {
    match exponent {
        0..3 => 10_u32.pow(exponent as u32).to_string(),
        3..6 => format!("{}k", 10_u32.pow(exponent as u32 - 3)),
        _ => format!("{}M", 10_u32.pow(exponent as u32 - 6)),
    }
}
