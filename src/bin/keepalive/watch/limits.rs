//! What a watch may come to before it counts as failed: for CI and cron.

use std::time::Duration;

use super::args::duration;
use super::stats::Tally;
use super::text;

const HEADING: &str = "Limits";

/// The watch ends as soon as one of them is exceeded, since none can be met again.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    /// Fail when a round trip takes longer, or a ping waits longer for an answer
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "url")]
    #[arg(help_heading = HEADING)]
    max_rtt: Option<Duration>,

    /// Fail when more connections are lost, for whatever reason
    #[arg(long, value_name = "N", requires = "url", help_heading = HEADING)]
    max_downs: Option<u64>,

    /// Fail when more pings are lost: their connection was lost before any answer.
    /// One that is out at the end is not; see --max-rtt
    #[arg(long, value_name = "N", requires = "url", help_heading = HEADING)]
    max_lost: Option<u64>,
}

impl Limits {
    /// Those that are exceeded, in words.
    pub(crate) fn exceeded(&self, tally: &Tally) -> Vec<String> {
        let (longest, unanswered) = (tally.round_trip.greatest(), tally.unanswered);
        let slowest = longest.max(unanswered);
        let rtt = self.max_rtt.filter(|&most| slowest > most).map(|most| {
            let (slowest, most) = (text::millis(slowest), text::setting(most));
            let what = if longest < unanswered {
                "a ping had no answer for"
            } else {
                "a round trip took"
            };
            format!("{what} {slowest} ms, longer than the {most} of --max-rtt")
        });
        let downs = self.max_downs.filter(|&most| tally.downs > most);
        let downs = downs.map(|most| {
            let downs = text::count(tally.downs, "down");
            format!("{downs}, more than the {most} of --max-downs")
        });
        let lost = self.max_lost.filter(|&most| tally.lost > most);
        let lost = lost.map(|most| {
            let lost = text::count(tally.lost, "ping");
            format!("{lost} lost, more than the {most} of --max-lost")
        });
        [rtt, downs, lost].into_iter().flatten().collect()
    }
}
