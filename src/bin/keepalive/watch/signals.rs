//! What asks the process to end.

use std::io;

/// Calls this for each Ctrl-C, each SIGTERM, and each SIGHUP where there is a terminal
/// that may hang up. Else SIGHUP is as it was: ignored under `nohup`.
#[cfg(unix)]
pub(crate) fn on_each(mut hear: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if has_terminal() {
        signals.add_signal(SIGHUP)?;
    }
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| hear()))?;
    Ok(())
}

#[cfg(unix)]
fn has_terminal() -> bool {
    use std::io::IsTerminal;

    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Calls this for each Ctrl-C, Ctrl-Break and logout.
#[cfg(not(unix))]
pub(crate) fn on_each(hear: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(hear).map_err(io::Error::other)
}
