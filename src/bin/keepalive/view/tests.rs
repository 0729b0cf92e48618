use std::time::{Duration, Instant};

use keepalive::Config;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::Command;
use super::draw::draw;
use super::model::Model;
use crate::acted::{Act, SECOND, millis};
use crate::watch::output::{Head, Now};
use crate::watch::seen::Sighting;

type Stage<'a> = Act<Box<dyn FnMut(&Sighting, &Now<'_>) + 'a>>;

/// A model of what was acted, and when that ended.
fn model(act: impl FnOnce(&mut Stage<'_>)) -> (Model, Instant) {
    let started = Instant::now();
    let config = Config::article();
    let mut model = Model::new(&Head {
        name: "ws://127.0.0.1:9001/feed?token=secret",
        config: &config,
        started,
    });
    let now = {
        let mut clock = 0;
        let note = |sighting: &Sighting, now: &Now<'_>| {
            clock += 1;
            model.note(sighting, now, &format!("12:00:{:06.3}", f64::from(clock)));
        };
        let mut stage: Stage<'_> = Act::new(started, Box::new(note));
        act(&mut stage);
        stage.now
    };
    (model, now)
}

fn painted(model: &Model, now: Instant, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, model, now, true))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect();
    let width = buffer.area.width.max(1);
    buffer.content.chunks(width.into()).map(row).collect()
}

fn shown(model: &Model, now: Instant, width: u16, height: u16) -> Vec<String> {
    rows(&painted(model, now, width, height))
}

/// Each state, with the words that it begins with.
fn states() -> Vec<(&'static str, (Model, Instant))> {
    let calm = |act: &mut Stage<'_>| {
        act.wait(millis(3)).open();
        for _ in 0..20 {
            act.wait(2 * SECOND).answered(millis(12)).message("news");
        }
    };
    vec![
        (
            "CONNECTING for 7.0 s",
            model(|act| _ = act.wait(7 * SECOND)),
        ),
        ("OPEN for 0.0 s", model(|act| _ = act.open())),
        ("OPEN for 40.2 s", model(calm)),
        (
            "DOWN, dial 2 in 2.5 s",
            model(|act| {
                calm(act);
                act.ping().wait(10 * SECOND).convicted(4 * SECOND);
                act.wait(millis(1500));
            }),
        ),
        (
            "CONNECTING for 3.0 s, attempt 2",
            model(|act| {
                calm(act);
                act.closed(SECOND).wait(SECOND).dial(2).wait(3 * SECOND);
            }),
        ),
        (
            "DOWN, dial 2 in 9.0 s",
            model(|act| {
                for _ in 0..3 {
                    act.wait(SECOND).dial(1).refused(9 * SECOND);
                }
            }),
        ),
        (
            "STOPPED",
            model(|act| {
                calm(act);
                act.stopped();
            }),
        ),
    ]
}

#[test]
fn the_state_comes_first_at_any_size() {
    for (words, (model, now)) in states() {
        for (width, height, row) in [(80, 24, 1), (40, 10, 1), (20, 5, 0), (200, 60, 1)] {
            let shown = shown(&model, now, width, height);
            let line = &shown[row];
            let words: String = words.chars().take(width.into()).collect();
            assert!(line.starts_with(&words), "{words:?} in {shown:#?}");
        }
    }
}

#[test]
fn no_size_is_too_small() {
    for (_, (model, now)) in states() {
        for width in [0, 1, 2, 8, 9, 10, 11, 30] {
            for height in (0..16).chain([25]) {
                painted(&model, now, width, height);
            }
        }
        painted(&model, now, 1000, 3);
        painted(&model, now, 3, 1000);
    }
}

#[test]
fn the_next_dial_is_counted_down() {
    let (model, now) = model(|act| _ = act.open().closed(3 * SECOND));
    let state = |after: Duration| shown(&model, now + after, 80, 24).swap_remove(1);
    assert!(state(Duration::ZERO).starts_with("DOWN, dial 2 in 3.0 s"));
    assert!(state(millis(1200)).starts_with("DOWN, dial 2 in 1.8 s"));
    assert!(state(9 * SECOND).starts_with("DOWN, dial 2 in 0.0 s"));
}

#[test]
fn a_small_terminal_shows_what_matters() {
    let (model, now) = model(|act| {
        act.open().answered(millis(5));
        act.ping().wait(10 * SECOND).convicted(3 * SECOND);
    });
    let expected = [
        "DOWN, dial 2 in 3.0 ",
        "not received pong in",
        "open 100 %, 1 down, ",
        "5.00/5.00/5.00/5.00 ",
        "12:00:06.000  reconn",
    ];
    assert_eq!(shown(&model, now, 20, 5), expected);
}

#[test]
fn it_says_how_the_watch_goes() {
    let (model, now) = model(|act| {
        act.wait(SECOND).open();
        for trip in [4, 1, 2, 30] {
            act.answered(millis(trip)).wait(SECOND);
        }
        act.message("news").ping().wait(SECOND);
        act.closed(SECOND).wait(SECOND).dial(1).refused(SECOND);
        act.wait(millis(963)).open();
    });
    let shown = shown(&model, now, 100, 24);
    assert!(shown[0].starts_with("ws://127.0.0.1:9001/feed?\u{2026}  watched for 8.0 s"));
    assert!(
        shown[2].starts_with("last round trip 30.0 ms, 4.0 s ago"),
        "{shown:#?}"
    );
    let counts = "open 62.9 %, 1 down, 1 failed dial, 5 pings, 4 answered, 0 lost, 1 message";
    assert!(shown[3].starts_with(counts), "{shown:#?}");
    assert!(
        shown[4].starts_with("1.00/2.00/30.0/30.0 ms min/median/p95/max"),
        "{shown:#?}"
    );
    assert!(shown[23].starts_with("q end   r reconnect now"));
}

#[test]
fn the_plot_marks_losses_and_leaves_gaps() {
    let (model, now) = model(|act| {
        act.open();
        for _ in 0..5 {
            act.answered(millis(10)).wait(millis(1990));
        }
        act.ping().wait(10 * SECOND).convicted(6 * SECOND);
        act.wait(6 * SECOND).dial(1).open();
        for _ in 0..3 {
            act.answered(millis(5)).wait(millis(1995));
        }
    });
    let shown = shown(&model, now, 60, 24);
    // From the top of the plot to its lowest row; each column takes 2 s.
    let (top, bottom) = (shown[6].trim_end(), shown[13].trim_end());
    assert!(
        top.ends_with("\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}     \u{25bc}\u{2591}\u{2591}"),
        "{shown:#?}"
    );
    let end = "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}x    \u{2591}\u{2591}\u{2591}\u{2588}\u{2588}\u{2588}\u{2588}";
    assert!(bottom.ends_with(end), "{shown:#?}");
    assert!(shown[5].contains("a column is 2 s"));
    assert!(shown[14].ends_with("now"));
}

#[test]
fn answers_drive_nothing_else_out_of_the_log() {
    let (model, now) = model(|act| {
        act.open().closed(SECOND).open();
        for _ in 0..1000 {
            act.answered(millis(1)).message("news").message("news");
        }
    });
    let shown = shown(&model, now, 80, 24).join("\n");
    for line in [
        "the server closed with 1001 (going away)",
        "reconnect 2 in 1.0 s (1001)",
        "pong seq=1000 rtt=1.00 ms  (1000 so far)",
        "message, text of 4 bytes  (2000 so far)",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
}

#[test]
fn the_log_is_bounded() {
    let (model, _) = model(|act| {
        for _ in 0..10_000 {
            act.open().closed(SECOND);
        }
    });
    assert_eq!(model.tail(usize::MAX).count(), 300);
}

#[test]
fn nothing_that_a_terminal_obeys_is_drawn() {
    let (model, now) = model(|act| {
        act.open()
            .message("\u{1b}]0;title\u{7}\u{202e}")
            .closed(SECOND);
        act.dial(1).refused(SECOND);
    });
    for row in shown(&model, now, 200, 60) {
        assert!(
            !row.chars()
                .any(|char| char.is_control() || char == '\u{202e}'),
            "{row:?}"
        );
    }
}

#[test]
fn there_are_colours_only_where_they_are_wanted() {
    let (model, now) = model(|act| _ = act.open().answered(SECOND).closed(SECOND));
    let colours = |is_coloured| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal
            .draw(|frame| draw(frame, &model, now, is_coloured))
            .unwrap();
        let cells = terminal.backend().buffer().content.iter();
        cells.filter(|cell| cell.fg != Color::Reset).count()
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 0);
}

#[test]
fn keys_end_the_watch_or_reconnect() {
    let command = |code, modifiers| Command::of(KeyEvent::new(code, modifiers));
    let none = KeyModifiers::NONE;
    assert_eq!(command(KeyCode::Char('q'), none), Some(Command::End));
    assert_eq!(command(KeyCode::Esc, none), Some(Command::End));
    assert_eq!(
        command(KeyCode::Char('c'), KeyModifiers::CONTROL),
        Some(Command::End)
    );
    assert_eq!(command(KeyCode::Char('r'), none), Some(Command::Reconnect));
    assert_eq!(command(KeyCode::Char('c'), none), None);
    assert_eq!(command(KeyCode::Char('r'), KeyModifiers::CONTROL), None);
    assert_eq!(command(KeyCode::Enter, none), None);
}
