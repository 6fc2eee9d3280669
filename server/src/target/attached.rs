//! A process with somebody at its other end: a one-off run of a release, or a command in a process that runs already.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Limits, Process, Workload};
use crate::domain::names::ConfigKey;

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Screen {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// What somebody sends to an attached process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    Bytes(Bytes),
    Resized(Screen),
    /// Nothing more comes: the process' standard input ends.
    End,
}

/// What an attached process writes. With a terminal both of its outputs are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrote {
    Output(Bytes),
    Errors(Bytes),
}

/// The far ends of a process' streams. A full `wrote` makes the process wait.
pub(crate) struct Ends {
    pub(crate) typed: mpsc::Receiver<Typed>,
    pub(crate) wrote: mpsc::Sender<Wrote>,
}

/// A process beside the formation, with the code and the config of a release.
#[derive(Debug)]
pub(crate) struct OneOff<'a> {
    /// `run.4821`
    pub(crate) name: &'a str,
    pub(crate) workload: &'a Workload,
    pub(crate) argv: Vec<String>,
    /// On top of the config.
    pub(crate) environment: BTreeMap<ConfigKey, SecretString>,
    pub(crate) limits: Limits,
    /// The terminal that it gets; `None` for pipes.
    pub(crate) screen: Option<Screen>,
    /// How long it may run.
    pub(crate) time_limit: Duration,
}

impl OneOff<'_> {
    /// The process type that it is most like, and whose image it runs: web, or the first.
    pub(crate) fn like(&self) -> Option<&Process> {
        let processes = &self.workload.processes;
        processes.iter().find(|process| process.name.is_web()).or(processes.first())
    }
}

/// A command in a process that runs already.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    /// `web.1`, or a pod's name; a type means its first process.
    pub(crate) process: &'a str,
    pub(crate) argv: Vec<String>,
    pub(crate) screen: Option<Screen>,
    pub(crate) time_limit: Duration,
}

/// Why an attached process has no exit status. Each text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// The user's to mend, or nobody's: the image is gone, the process is not there.
    #[error("{0}")]
    Refused(String),
    #[error(
        "it was ended after {}, its time limit: --time-limit allows more, up to the platform's SLIPWAY_RUN_TIME_LIMIT",
        humantime::format_duration(*.0)
    )]
    TimeLimit(Duration),
    #[error("it was stopped")]
    Stopped,
    /// The engine or the cluster.
    #[error("where the apps run did not answer: {0}")]
    Unreachable(String),
}
