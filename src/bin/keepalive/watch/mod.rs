//! To watch a server, and the show: what the tool and the example `watch` have in
//! common.

pub(crate) mod args;
mod limits;
pub(crate) mod lines;
pub(crate) mod output;
pub(crate) mod print;
pub(crate) mod run;
pub(crate) mod seen;
mod server;
pub(crate) mod show;
pub(crate) mod signals;
pub(crate) mod stats;
pub(crate) mod text;
pub(crate) mod watcher;
