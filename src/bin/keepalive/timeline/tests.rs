use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keepalive::Config;

use super::record::Record;
use super::target::Target;
use crate::acted::{Act, SECOND, millis};
use crate::watch::output::Now;
use crate::watch::seen::Sighting;

type Stage<'a> = Act<Box<dyn FnMut(&Sighting, &Now<'_>) + 'a>>;

const NAME: &str = "ws://127.0.0.1:9001/<&\"'>\u{1b}?token=secret";

fn drawn(act: impl FnOnce(&mut Stage<'_>)) -> String {
    let started = Instant::now();
    let mut record = Record::new(NAME, Config::article(), started);
    let lasted = {
        let note = |sighting: &Sighting, _: &Now<'_>| record.note(sighting);
        let mut stage: Stage<'_> = Act::new(started, Box::new(note));
        act(&mut stage);
        stage.now - started
    };
    let svg = record.svg(lasted).unwrap();
    assert_well_formed(&svg);
    assert_within(&svg);
    svg
}

/// All that these pictures are made of: elements with attributes, text and entities.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        assert_text(text);
        let (tag, after) = after.split_once('>').expect("an end of the tag");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
        let mut names = Vec::new();
        while let Some((name, after)) = attributes.split_once("=\"") {
            let name = name.trim();
            assert!(!names.contains(&name), "{name} twice in {tag}");
            names.push(name);
            let (value, after) = after.split_once('"').expect("an end of the value");
            assert_text(value);
            attributes = after;
        }
        assert_eq!(attributes.trim(), "", "{tag}");
        if !is_empty {
            open.push(name);
        }
    }
    assert_eq!(rest.trim(), "");
    assert_eq!(open, Vec::<&str>::new());
}

fn assert_text(text: &str) {
    assert!(
        !text.chars().any(|char| char.is_control() && char != '\n'),
        "{text:?}"
    );
    for after in text.split('&').skip(1) {
        let name = after.split_once(';').map(|(name, _)| name);
        assert!(
            matches!(name, Some("amp" | "lt" | "gt" | "quot" | "#39")),
            "{text:?}"
        );
    }
    assert!(!text.contains('>'), "{text:?}");
}

/// Texts begin and paths stay within the picture, and rows are apart.
fn assert_within(svg: &str) {
    let (_, rest) = svg.split_once("viewBox=\"0 0 1000 ").unwrap();
    let height: f64 = rest.split_once('"').unwrap().0.parse().unwrap();
    for (attribute, most) in [(" x=\"", 1000.0), (" y=\"", height)] {
        for value in svg.split(attribute).skip(1) {
            let value: f64 = value.split_once('"').unwrap().0.parse().unwrap();
            assert!((-14.0..=most).contains(&value), "{attribute}{value}");
        }
    }
    for path in svg.split(" d=\"M").skip(1) {
        let path = path.split_once('"').unwrap().0;
        for point in path.split(['M', 'L']) {
            let end = point.find(|char: char| char.is_ascii_alphabetic());
            let point = &point[..end.unwrap_or(point.len())];
            let (x, y) = point.split_once([' ', '-']).unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=1000.0).contains(&x) && y <= height, "{point}");
        }
    }
}

fn elements<'a>(svg: &'a str, words: &str) -> Vec<&'a str> {
    svg.lines().filter(|line| line.contains(words)).collect()
}

#[test]
fn a_watch_with_an_outage_is_drawn() {
    let svg = drawn(|act| {
        act.wait(millis(5)).open();
        for _ in 0..5 {
            act.answered(millis(10)).wait(2 * SECOND);
        }
        act.ping().wait(10 * SECOND).convicted(SECOND);
        act.wait(SECOND).dial(1).wait(SECOND).refused(SECOND);
        act.wait(SECOND).dial(2).wait(SECOND).open();
        act.answered(millis(20)).wait(6 * SECOND);
    });
    assert!(svg.contains(">ws://127.0.0.1:9001/&lt;&amp;&quot;&#39;&gt;\u{fffd}?\u{2026}<"));
    assert!(
        svg.contains(
            "Connected 86.6 % of the time: 1 lost connection, 1 failed dial, 7 pings, 6 answered"
        ),
        "{svg}"
    );
    assert!(
        svg.contains("Round trip: least 10.0 ms, median 10.0 ms"),
        "{svg}"
    );
    let listed = elements(&svg, "not received pong in 10 s");
    assert_eq!(listed.len(), 1);
    assert!(listed[0].contains("; 1 failed dial: cannot connect: &lt;refused&gt; &amp; "));
    assert!(listed[0].contains("; open again after 4.00 s"));
    // Two pieces of a line, with the outage between them.
    let line = elements(&svg, "stroke-linejoin")[0];
    assert_eq!(line.matches('M').count(), 2, "{line}");
    let (cross, down) = (
        elements(&svg, "l8 8m0-8l-8 8"),
        elements(&svg, "stroke-dasharray"),
    );
    assert_eq!(cross[0].matches('M').count(), 1);
    assert_eq!(down[0].matches('M').count(), 1);
}

#[test]
fn a_watch_that_never_was_connected_is_drawn() {
    let svg = drawn(|act| {
        for _ in 0..3 {
            act.wait(SECOND).refused(SECOND).wait(SECOND).dial(1);
        }
    });
    assert!(svg.contains("Connected 0.0 % of the time: 0 lost connections, 3 failed dials"));
    assert!(svg.contains("no ping was answered"));
    assert!(svg.contains(">3 failed dials, the last: cannot connect: "));
    assert!(svg.contains("; not open again<"));
}

#[test]
fn a_watch_that_ends_at_once_is_drawn() {
    drawn(|_| ());
    drawn(|act| _ = act.open().answered(Duration::ZERO).closed(SECOND));
}

#[test]
fn a_connection_that_was_lost_is_marked_in_its_place() {
    let svg = drawn(|act| {
        act.open().wait(25 * SECOND).closed(SECOND);
        act.wait(75 * SECOND).open();
    });
    // A quarter of the way from 72 to 976.
    let down = elements(&svg, "stroke-dasharray")[0];
    let x = down
        .split_once("d=\"M")
        .unwrap()
        .1
        .split_once(' ')
        .unwrap()
        .0;
    assert!((x.parse::<f64>().unwrap() - 298.0).abs() < 1.5, "{down}");
}

#[test]
fn a_day_of_pings_is_a_small_file() {
    let svg = drawn(|act| {
        act.open();
        for ping in 0..43_200_u64 {
            act.answered(millis(1 + ping * ping % 97)).wait(2 * SECOND);
            if ping % 500 == 0 {
                act.closed(SECOND).wait(SECOND).open();
            }
        }
    });
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    assert!(svg.contains("87 lost connections"));
    // The first twenty and the last twenty, and what lies between.
    assert!(svg.contains(">and 47 more<"));
    assert_eq!(
        elements(&svg, "text-anchor=\"end\" font-weight=\"bold\"").len(),
        41
    );
}

#[test]
fn a_day_of_trouble_is_bounded() {
    let svg = drawn(|act| {
        for round in 0..20_000_u64 {
            act.wait(millis(300)).open();
            act.answered(millis(1 + round * round % 997)).ping();
            act.wait(millis(250)).closed(SECOND);
            act.wait(millis(250)).dial(1).refused(SECOND);
            act.wait(millis(50)).dial(2);
        }
    });
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
}

/// A folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("keepalive-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_picture_is_written_as_a_whole() {
    let folder = folder("whole");
    let path = folder.join("a.svg");
    let target = Target::new(&path).unwrap();
    // Nothing is there before the end.
    assert_eq!(names(&folder), Vec::<String>::new());
    target.write("first").unwrap();
    target.write("second").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "second");
    assert_eq!(names(&folder), ["a.svg"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn where_nothing_can_be_written_is_known_before() {
    let folder = folder("nowhere");
    assert!(Target::new(&folder).is_err());
    assert!(Target::new(&folder.join("missing/a.svg")).is_err());
    assert!(Target::new(Path::new("")).is_err());
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let folder = folder("link");
    let (path, link) = (folder.join("a.svg"), folder.join("b.svg"));
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    Target::new(&link).unwrap().write("new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_stays_one_too() {
    use std::os::unix::fs::symlink;

    let folder = folder("dangling");
    fs::create_dir_all(folder.join("there")).unwrap();
    let link = folder.join("link.svg");
    symlink("there/first.svg", folder.join("second.svg")).unwrap();
    symlink("second.svg", &link).unwrap();
    Target::new(&link).unwrap().write("new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(folder.join("there/first.svg")).unwrap(), b"new");
    let round = folder.join("round.svg");
    symlink("round.svg", &round).unwrap();
    assert!(Target::new(&round).is_err());
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn who_may_read_it_stays_the_same() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder("secret");
    let path = folder.join("a.svg");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Target::new(&path).unwrap().write("new").unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_written_to_but_not_replaced() {
    let target = Target::new(Path::new("/dev/null")).unwrap();
    target.write("gone").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
