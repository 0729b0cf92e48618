//! The figures of uniform traffic as SVG, both axes logarithmic.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::many::{Cost, Results, Traffic};
use crate::tables::thousands;
use crate::ways::STORE;

/// One line of a chart, with the same style in each chart.
struct Line {
    name: &'static str,
    style: ShapeStyle,
    points: Vec<(f64, f64)>,
}

pub(crate) fn write(folder: &Path, results: &Results) -> Result<(), Box<dyn Error>> {
    let mut messages = lines(results, |cost| cost.ns_a_message);
    draw(
        &folder.join("messages.svg"),
        "ns a message, with the ticks",
        &mut messages,
    )?;
    let mut bytes = lines(results, |cost| cost.bytes_a_connection);
    draw(&folder.join("bytes.svg"), "bytes a connection", &mut bytes)
}

fn lines(results: &Results, value: fn(&Cost) -> f64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for cost in results
        .0
        .iter()
        .filter(|cost| cost.traffic == Traffic::Uniform)
    {
        let point = (f64::from(cost.connections), value(cost));
        match lines.iter_mut().find(|line| line.name == cost.name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                name: cost.name,
                style: style(lines.len(), cost.name),
                points: vec![point],
            }),
        }
    }
    lines
}

fn draw(file: &Path, title: &str, lines: &mut [Line]) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|line| &line.points).copied();
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, 0.0), |(low, high), value| {
            (value.min(low), value.max(high))
        })
    };
    let (left, right) = bounds(&mut points().map(|(connections, _)| connections));
    let (low, high) = bounds(&mut points().map(|(_, value)| value));
    if left >= right {
        return Ok(()); // one size makes no line
    }
    // The legend in the order of the lines' ends, where the eye looks for it.
    let end = |line: &Line| line.points.last().map_or(0.0, |&(_, value)| value);
    lines.sort_by(|one, other| end(other).total_cmp(&end(one)));

    let root = SVGBackend::new(file, (1_000, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.split_horizontally(660);
    let mut chart = ChartBuilder::on(&plot)
        .margin(16)
        .margin_right(40)
        .caption(title, ("sans-serif", 20))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (left..right).log_scale(),
            (low * 0.8..high * 1.25).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("connections")
        .x_label_formatter(&|connections| thousands(*connections as u32))
        .y_label_formatter(&|value| value.to_string())
        .label_style(("sans-serif", 14))
        .light_line_style(WHITE)
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        let style = line.style;
        let y = 40 + 28 * index as i32;
        chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
        let points = line
            .points
            .iter()
            .map(|&point| Circle::new(point, 3, style.filled()));
        chart.draw_series(points)?;
        legend.draw(&PathElement::new([(8, y), (36, y)], style))?;
        legend.draw(&Text::new(line.name, (44, y - 7), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}

/// Ours in black and bold, the bare stores in grey, everything else in colours.
fn style(index: usize, name: &str) -> ShapeStyle {
    let is_ours = name.starts_with("keepalive::Fleet");
    let colour = match name {
        _ if is_ours => BLACK,
        STORE => RGBColor(150, 150, 150),
        _ => COLOURS[index % COLOURS.len()],
    };
    colour.stroke_width(if is_ours { 4 } else { 2 })
}

/// Dark enough on white, and neighbours apart.
const COLOURS: [RGBColor; 14] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(230, 119, 0),
    RGBColor(23, 160, 180),
    RGBColor(140, 86, 75),
    RGBColor(227, 80, 170),
    RGBColor(110, 120, 10),
    RGBColor(0, 60, 130),
    RGBColor(130, 0, 30),
    RGBColor(0, 100, 80),
    RGBColor(90, 60, 200),
    RGBColor(190, 150, 0),
];
