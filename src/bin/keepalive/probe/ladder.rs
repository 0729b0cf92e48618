//! Which silences to try: all at once, each on a connection of its own.

use std::time::Duration;

use super::limit::{Bracket, Seen};

/// From the longest to the shortest of the first ladder.
const SPAN: f64 = 100.0;

/// Around a limit that is known, the ladder goes from here to there.
const BELOW: f64 = 0.8;
const ABOVE: f64 = 1.25;

/// How often a gap is divided, even by one connection at a time.
const STEPS: usize = 12;

/// The first one, when nothing is known: equal ratios up to `longest`.
pub(crate) fn first(longest: Duration, rungs: usize) -> Vec<Duration> {
    let steps = rungs.saturating_sub(1).max(1) as f64;
    let share = |rung| SPAN.powf((rung as f64 + 1.0 - rungs as f64) / steps);
    (0..rungs)
        .map(|rung| longest.mul_f64(share(rung)))
        .collect()
}

/// One that is to show the same again.
pub(crate) fn again(before: &Seen, longest: Duration, rungs: usize) -> Vec<Duration> {
    let Some(usual) = before.usual() else {
        // None ended: whatever lives for the longest time lives for all others.
        return vec![longest; rungs];
    };
    let last = usual.upto.mul_f64(ABOVE).min(longest);
    let begin = usual.over.mul_f64(BELOW).min(last);
    let steps = rungs.saturating_sub(1).max(1) as u32;
    let rung = |rung| begin + (last - begin) * rung / steps;
    let mut ladder: Vec<Duration> = (0..rungs as u32).map(rung).collect();
    if rungs == 1 {
        ladder = vec![last];
    }
    ladder
}

/// One more within the same run, where what it showed leaves too much open.
pub(crate) fn closer(seen: &Seen, done: usize, rungs: usize) -> Option<Vec<Duration>> {
    let least = seen.least()?;
    if least.is_narrow() || done >= STEPS {
        return None;
    }
    let Bracket { over, upto } = least;
    let step = (upto - over) / (rungs as u32 + 1);
    let rungs = (1..=rungs as u32).map(|rung| over + step * rung);
    Some(rungs.collect())
}

/// Whether one that is to show the same again shows that it is not the same, so that a
/// whole ladder is due.
pub(crate) fn is_elsewhere(seen: &Seen, tried: &[Duration], longest: Duration) -> bool {
    let shortest = tried.iter().min().copied().unwrap_or_default();
    let longest_tried = tried.iter().max().copied().unwrap_or_default();
    match seen.least() {
        None => longest_tried < longest,
        Some(least) => least.upto < shortest || (!least.is_exact() && least.over < shortest),
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::{How, Outcome};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A path that drops after this silence, with a word or without.
    fn path(limit: Duration, says: bool) -> impl Fn(&Duration) -> Outcome {
        move |silence| {
            if *silence < limit {
                Outcome::Alive(*silence)
            } else if says {
                Outcome::Cut(limit, How::Ended)
            } else {
                Outcome::Dead(*silence)
            }
        }
    }

    fn seen(rungs: &[Duration], path: impl Fn(&Duration) -> Outcome) -> Seen {
        Seen::of(rungs.iter().map(path))
    }

    #[test]
    fn the_first_grows_by_equal_ratios() {
        let rungs = first(MINUTE, 12);
        assert_eq!(rungs.len(), 12);
        assert_eq!(rungs.last(), Some(&MINUTE));
        assert!(rungs[0] >= Duration::from_millis(599) && rungs[0] <= Duration::from_millis(601));
        for pair in rungs.windows(2) {
            let ratio = pair[1].as_secs_f64() / pair[0].as_secs_f64();
            assert!((1.5..1.53).contains(&ratio), "{ratio}");
        }
        assert_eq!(first(MINUTE, 1), [MINUTE]);
    }

    /// However few connections there are, a silent drop is found within a tenth.
    #[test]
    fn any_limit_is_found_whether_or_not_it_is_announced() {
        for connections in [1, 2, 5, 12] {
            for limit in [0.7, 2.0, 13.0, 47.0, 59.9].map(Duration::from_secs_f64) {
                let exact = seen(&first(MINUTE, connections), path(limit, true));
                assert_eq!(exact.least(), Some(Bracket::exactly(limit)));

                let mut tried = first(MINUTE, connections);
                let mut done = 0;
                let found = loop {
                    let found = seen(&tried, path(limit, false));
                    let Some(more) = closer(&found, done, connections) else {
                        break found.least().unwrap();
                    };
                    tried.extend(more);
                    done += 1;
                };
                assert!(found.is_narrow(), "{connections} {limit:?} {found:?}");
                assert!(found.over < limit && limit <= found.upto, "{found:?}");
                assert!(
                    done <= 2 || connections < 5,
                    "{connections} {limit:?} {done}"
                );
            }
        }
    }

    #[test]
    fn the_next_run_looks_around_what_the_last_one_found() {
        let limit = Duration::from_secs(10);
        for says in [true, false] {
            let before = Seen::of([Outcome::Alive(limit), Outcome::Dead(limit.mul_f64(1.04))]);
            let rungs = again(&before, MINUTE, 12);
            assert_eq!(
                (rungs[0], rungs[11]),
                (limit.mul_f64(0.8), limit.mul_f64(1.3))
            );
            let found = seen(&rungs, path(limit, says));
            assert!(found.least().unwrap().is_narrow());
            assert!(!is_elsewhere(&found, &rungs, MINUTE));
            for other in [5, 20] {
                let found = seen(&rungs, path(Duration::from_secs(other), says));
                assert!(is_elsewhere(&found, &rungs, MINUTE), "{other} {says}");
            }
        }
        // Never longer than asked for.
        let before = Seen::of([Outcome::Cut(MINUTE, How::Ended)]);
        assert_eq!(again(&before, MINUTE, 3).last(), Some(&MINUTE));
    }

    #[test]
    fn without_a_limit_the_longest_silence_is_tried_again() {
        let before = seen(&first(MINUTE, 4), path(MINUTE * 2, true));
        let rungs = again(&before, MINUTE, 4);
        assert_eq!(rungs, [MINUTE; 4]);
        assert!(!is_elsewhere(&before, &rungs, MINUTE));
        assert_eq!(closer(&before, 0, 4), None);
    }
}
