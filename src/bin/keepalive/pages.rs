//! Completions and the man page, made from the command line's description.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;

pub(crate) fn completions(shell: Shell) -> io::Result<ExitCode> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "keepalive", &mut page);
    print(&page)
}

pub(crate) fn man() -> io::Result<ExitCode> {
    let mut page = Vec::new();
    Man::new(Args::command()).render(&mut page)?;
    print(&page)
}

fn print(page: &[u8]) -> io::Result<ExitCode> {
    io::stdout().write_all(page)?;
    Ok(ExitCode::SUCCESS)
}
