//! A subject: a process that reports what its client tells the application.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// One line of its.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: f64,
    pub(crate) name: String,
    pub(crate) line: Value,
}

/// It ends with this value, or when its standard input does.
pub(crate) struct Process {
    child: Child,
    events: Arc<Mutex<Vec<Event>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        let mut command = bound_to_us(&command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = thread::spawn({
            let events = Arc::clone(&events);
            move || {
                for line in lines.map_while(Result::ok) {
                    // Libraries may write, too.
                    if let Some(event) = event(&line) {
                        events.lock().unwrap().push(event);
                    }
                }
            }
        });
        Self {
            child,
            events,
            reader: Some(reader),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// When it first said this, not before then.
    pub(crate) fn when(&self, name: &str, from: f64) -> Option<f64> {
        let events = self.events.lock().unwrap();
        let found = events.iter().find(|it| it.name == name && it.at >= from);
        found.map(|it| it.at)
    }

    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn go_on(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::CONT);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.go_on();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn event(line: &str) -> Option<Event> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(Event {
        at: line.get("t")?.as_f64()?,
        name: line.get("event")?.as_str()?.to_owned(),
        line,
    })
}

/// The same command, killed when we are: a stopped process does not see the end of its
/// input.
fn bound_to_us(command: &Command) -> Command {
    let mut outer = Command::new("setpriv");
    outer.args(["--pdeathsig", "KILL", "--"]);
    wrap(outer, command)
}

/// The same command where the file of hosts is this one; needs root.
pub(crate) fn with_hosts(hosts: &Path, command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer
        .args(["--mount", "--", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
        .arg(hosts);
    wrap(outer, command)
}

fn wrap(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer
}
