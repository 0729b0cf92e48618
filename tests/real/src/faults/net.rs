//! A network of two hosts: ours, and a namespace that holds the peer.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::peers::Place;

/// A namespace and the link to it. What holds the namespace ends with this process, however
/// that ends, and takes the link with it: nothing is left behind. (The namespace alone
/// would hold the link for a minute, as long as it has sockets with unsent bytes.)
#[derive(Debug)]
pub struct Net {
    holder: Child,
    stdin: Option<ChildStdin>,
    ours: String,
    theirs: Ipv4Addr,
}

/// Which packets a rule drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the peer.
    Up,
    /// From the peer to the client.
    Down,
}

impl Net {
    /// Whether there can be one: it takes root, `ip`, `nft`, `unshare` and `nsenter`.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn try_out() -> io::Result<()> {
        Self::new().map(drop)
    }

    /// # Errors
    ///
    /// Where this process may not, or a tool is missing.
    pub fn new() -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "cat; ip link del peer"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let stdin = holder.stdin.take();
        let pid = holder.id();
        // Of 2^16 networks; one that somebody has is refused below.
        let drawn = fastrand::u16(..).to_be_bytes();
        let address = |last| Ipv4Addr::new(10, 64 | (drawn[0] & 63), drawn[1], last);
        let net = Self {
            holder,
            stdin,
            ours: format!("ka{pid}"),
            theirs: address(2),
        };
        let own = namespace("self");
        let end = Instant::now() + Duration::from_secs(10);
        while own.is_none() || namespace(&pid.to_string()) == own {
            if Instant::now() > end {
                return Err(io::Error::other("unshare --net made no network namespace"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let (ours, pid) = (net.ours.as_str(), pid.to_string());
        run(
            "ip link add",
            &[ours, "type", "veth", "peer", "name", "peer", "netns", &pid],
        )?;
        run("ip addr add", &[&format!("{}/30", address(1)), "dev", ours])?;
        run("ip link set", &[ours, "up"])?;
        net.inside("ip link set lo up")?;
        net.inside(&format!("ip addr add {}/30 dev peer", net.theirs))?;
        net.inside("ip link set peer up")?;
        net.rules(
            "add table inet faults
             add chain inet faults up { type filter hook input priority 0; }
             add chain inet faults down { type filter hook output priority 0; }",
        )?;
        Ok(net)
    }

    /// Where a peer is started that is beyond this link.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            prefix: self.prefix(),
            address: IpAddr::V4(self.theirs),
        }
    }

    /// Drops this share of the packets of a way, from 1 to 100 %.
    pub fn drop_packets(&self, way: Way, percent: u32) {
        let some = match percent {
            100.. => String::new(),
            _ => format!("numgen random mod 100 < {percent} "),
        };
        self.rule(way, &format!("{some}drop"));
    }

    /// Answers each packet of TCP with a reset.
    pub fn reject(&self) {
        self.rule(Way::Up, "meta l4proto tcp reject with tcp reset");
    }

    fn rule(&self, way: Way, what: &str) {
        let rule = match way {
            Way::Up => format!("add rule inet faults up iifname peer {what}"),
            Way::Down => format!("add rule inet faults down oifname peer {what}"),
        };
        self.rules(&rule).unwrap();
    }

    /// Lets everything through again.
    pub fn clear(&self) {
        self.rules("flush chain inet faults up\nflush chain inet faults down")
            .unwrap();
    }

    /// Pulls the cable at the peer's end, or plugs it in.
    pub fn link(&self, is_up: bool) {
        let state = if is_up { "up" } else { "down" };
        self.inside(&format!("ip link set peer {state}")).unwrap();
    }

    fn prefix(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--net", "--target", &pid, "--"]
            .map(str::to_owned)
            .to_vec()
    }

    fn inside(&self, command: &str) -> io::Result<()> {
        run(
            &self.prefix().join(" "),
            &command.split(' ').collect::<Vec<_>>(),
        )
    }

    fn rules(&self, rules: &str) -> io::Result<()> {
        let prefix = self.prefix();
        let mut nft = Command::new(&prefix[0])
            .args(&prefix[1..])
            .args(["nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        nft.stdin.take().unwrap().write_all(rules.as_bytes())?;
        match nft.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("nft refused: {rules}"))),
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.holder.wait();
    }
}

fn namespace(pid: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn run(command: &str, more: &[&str]) -> io::Result<()> {
    let mut words = command.split(' ').chain(more.iter().copied());
    let output = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{command} {}: {}",
            more.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_leaves_nothing_behind() {
        let net = match Net::new() {
            Ok(net) => net,
            Err(error) => return eprintln!("NOT RUN: no network namespace: {error}"),
        };
        let ours = net.ours.clone();
        assert!(run("ip link show", &[&ours]).is_ok());
        drop(net);
        let end = Instant::now() + Duration::from_secs(10);
        while run("ip link show", &[&ours]).is_ok() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(20));
        }
    }
}
