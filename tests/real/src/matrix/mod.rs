//! The matrix: peers x faults x adapters. Each cell of it is a process of its own, in
//! which four clients, one by each adapter, send numbered messages to one peer.

mod cell;
mod ledger;
mod table;

use std::fmt;
use std::time::Duration;

use crate::peers::Kind;

use serde::{Deserialize, Serialize};

pub use cell::run;
pub use table::{markdown, totals};

/// What a busy machine may add to every bound.
pub const SLACK: Duration = Duration::from_millis(1500);

/// A bug that is put in, to see that the matrix finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The clients wait an hour for an answer.
    Deaf,
    /// They wait a millisecond.
    Hasty,
    /// The ledger overlooks one message that the peer received.
    Forgetful,
    /// What a down gives back is not written down.
    Silent,
    /// They do not connect again.
    Stubborn,
}

impl Plant {
    pub const ALL: [Self; 5] = [
        Self::Deaf,
        Self::Hasty,
        Self::Forgetful,
        Self::Silent,
        Self::Stubborn,
    ];
}

impl fmt::Display for Plant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Deaf => "deaf",
            Self::Hasty => "hasty",
            Self::Forgetful => "forgetful",
            Self::Silent => "silent",
            Self::Stubborn => "stubborn",
        })
    }
}

/// The name of a peer in the table.
#[must_use]
pub fn peer_name(kind: Kind, tls: bool) -> String {
    format!("{kind}{}", if tls { ", TLS" } else { "" })
}

/// What a cell came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub peer: String,
    pub fault: String,
    /// What the contract expects.
    pub expected: String,
    /// Whether a new connection is not needed.
    pub lives: bool,
    /// Within how many seconds it has to be noticed, without the slack.
    pub bound: Option<f64>,
    /// Within how many seconds a message has to be echoed again, without the slack.
    pub recovery: Option<f64>,
    /// By adapter; `None` where it cannot run.
    pub clients: Vec<Option<Outcome>>,
    /// What else went wrong.
    pub errors: Vec<String>,
    /// Whether each message arrived at most once and in order, and is accounted for: no
    /// machine is too busy for that.
    pub ledger_holds: bool,
    pub note: String,
}

impl Row {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        totals(std::slice::from_ref(self)).is_clean()
    }
}

/// What became of one client.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Seconds since the fault began.
    pub detected: Option<f64>,
    /// Seconds since it ended.
    pub recovered: Option<f64>,
    pub sent: usize,
    /// Given back: in doubt, unsent, rejected, or left in the backlog.
    pub reported: usize,
    /// Not received by the peer's application.
    pub lost: usize,
    /// Lost and not given back.
    pub unaccounted: usize,
    /// Convictions of a healthy peer.
    pub wrong: usize,
    /// Whether it did not notice in time.
    pub undetected: bool,
    /// Whether it did not come back in time.
    pub unrecovered: bool,
}
