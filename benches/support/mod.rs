//! What the benchmarks share: how they run, and how they read what they measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use criterion::Criterion;

/// Runs these benchmarks, as the command line says, and then judges what they
/// measured.
pub(crate) fn run(benchmarks: fn(&mut Criterion), report: fn(&Results) -> ExitCode) -> ExitCode {
    let since = SystemTime::now();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    // Short samples: what else runs on the machine then hits few of them.
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .without_plots()
        .sample_size(200)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    benchmarks(&mut criterion);
    criterion.final_summary();
    report(&Results { folder, since })
}

/// What this run measured.
pub(crate) struct Results {
    folder: PathBuf,
    since: SystemTime,
}

impl Results {
    /// The median in nanoseconds, if this run measured it.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        let file = self.folder.join(name).join("new").join("estimates.json");
        let is_new = fs::metadata(&file).ok()?.modified().ok()? >= self.since;
        let text = fs::read_to_string(&file).ok().filter(|_| is_new)?;
        let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
        estimates.get("median")?.get("point_estimate")?.as_f64()
    }
}
