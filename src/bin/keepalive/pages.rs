//! Completions and the man page, made of the command line's description.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::{Args, JSON};
use crate::watch::args::EXIT;

const NAME: &str = "keepalive";

pub(crate) fn completions(shell: Shell) -> io::Result<ExitCode> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), NAME, &mut page);
    print(&page)
}

/// One page for all commands.
pub(crate) fn man() -> io::Result<ExitCode> {
    let mut command = Args::command();
    command.build();
    let page = Man::new(command.clone());
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    for command in command
        .get_subcommands()
        .filter(|one| one.get_name() != "help")
    {
        section(&command.get_name().to_uppercase(), &mut out)?;
        out.extend(described(command)?);
    }
    section("EXIT STATUS", &mut out)?;
    preformatted(EXIT, &mut out)?;
    section("JSON", &mut out)?;
    preformatted(JSON, &mut out)?;
    page.render_version_section(&mut out)?;
    print(&out)
}

/// A command's part of the page, its headings below the one of the command.
fn described(command: &clap::Command) -> io::Result<Vec<u8>> {
    let page = Man::new(command.clone());
    let mut part = Vec::new();
    page.render_description_section(&mut part)?;
    page.render_synopsis_section(&mut part)?;
    page.render_options_section(&mut part)?;
    let part = String::from_utf8_lossy(&part);
    let mut out = String::new();
    for line in part.lines() {
        match line.strip_prefix(".SH ") {
            Some("DESCRIPTION") => continue,
            Some(heading) => out.extend([".SS ", heading]),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    let mut out = out.into_bytes();
    if let Some(after) = command.get_after_help() {
        writeln!(out, ".SS NOTES")?;
        preformatted(&after.to_string(), &mut out)?;
    }
    Ok(out)
}

fn section(heading: &str, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, ".SH \"{heading}\"")
}

/// Lines as they are.
fn preformatted(text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, ".nf")?;
    for line in text.lines() {
        // Nothing in it is a request.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        writeln!(out, "\\&{line}")?;
    }
    writeln!(out, ".fi")
}

fn print(page: &[u8]) -> io::Result<ExitCode> {
    io::stdout().write_all(page)?;
    Ok(ExitCode::SUCCESS)
}
