//! Who is compared.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{INTERVAL, MESSAGES, MESSAGES_EVERY, TIMEOUT, UPLOAD};

#[derive(Clone, Debug)]
pub struct Subject {
    pub name: &'static str,
    language: Language,
    tools: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Rust,
    Python,
    JavaScript,
}

const ALL: [(&str, Language); 9] = [
    ("keepalive-tokio", Language::Rust),
    ("keepalive-blocking", Language::Rust),
    ("by-hand", Language::Rust),
    ("ezsockets", Language::Rust),
    ("stream-reconnect", Language::Rust),
    ("websockets", Language::Python),
    ("reconnecting-websocket", Language::JavaScript),
    ("partysocket", Language::JavaScript),
    ("article", Language::JavaScript),
];

impl Subject {
    /// `tools` has a virtual environment and Node's modules.
    pub fn all(tools: &Path) -> Vec<Self> {
        let subject = |(name, language)| Self {
            name,
            language,
            tools: tools.to_owned(),
        };
        ALL.map(subject).to_vec()
    }

    pub fn in_rust(name: &'static str) -> Self {
        Self {
            name,
            language: Language::Rust,
            tools: PathBuf::new(),
        }
    }

    pub fn is_ours(&self) -> bool {
        self.name.starts_with("keepalive")
    }

    pub fn command(&self, url: &str, mode: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("subjects");
        let mut command = match self.language {
            Language::Rust => {
                let mut command = Command::new(program());
                command.arg("subject");
                command
            }
            Language::Python => {
                let mut command = Command::new(self.tools.join("venv/bin/python"));
                command.arg(scripts.join("client.py"));
                command
            }
            Language::JavaScript => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", self.tools.join("node_modules"));
                command.arg(scripts.join("node.cjs"));
                command
            }
        };
        command.args([self.name, url, mode]);
        if self.language != Language::Rust {
            let times = [INTERVAL, TIMEOUT].map(|time| time.as_millis().to_string());
            command.args(times).arg(MESSAGES.to_string());
            command.arg(MESSAGES_EVERY.as_millis().to_string());
            command.arg(UPLOAD.to_string());
        }
        command
    }

    /// What is compared: the version, from the lock files or as it says itself.
    pub fn version(&self, said: Option<&str>) -> String {
        match self.name {
            "by-hand" => format!("tokio-tungstenite {}", locked("tokio-tungstenite")),
            "keepalive-tokio" | "keepalive-blocking" => locked("keepalive"),
            _ if self.language == Language::Rust => locked(self.name),
            _ => said.unwrap_or("?").to_owned(),
        }
    }
}

/// In a test, the binary; it is beside the folder of the test's.
fn program() -> PathBuf {
    let current = env::current_exe().unwrap();
    let folder = current.parent().unwrap();
    match folder.ends_with("deps") {
        true => folder.parent().unwrap().join("compare"),
        false => current,
    }
}

fn locked(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    // Of two versions of one crate the last one is ours.
    let at = lock.rfind(&format!("name = \"{name}\"\n"));
    let at = at.unwrap_or_else(|| panic!("{name} is not locked"));
    let version = lock[at..].lines().nth(1).unwrap();
    version
        .trim_start_matches("version = ")
        .trim_matches('"')
        .to_owned()
}
