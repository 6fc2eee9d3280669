//! What apps use and answer, as a target measures it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::latency::Latency;
use crate::domain::names::AppName;

/// Of one app, since the look before.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU time of all its processes.
    pub(crate) cpu: Duration,
    /// Bytes that all its processes hold now, without what the kernel would give back at once.
    pub(crate) memory: u64,
    /// Processes that were started again by themselves.
    pub(crate) restarts: u32,
    pub(crate) traffic: Traffic,
}

/// Requests that were answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    /// Answered with 500 or above.
    pub(crate) errors: u64,
    pub(crate) latency: Latency,
}

impl Traffic {
    pub(crate) fn add(&mut self, status: u16, took: Duration) {
        self.requests += 1;
        self.errors += u64::from(status >= 500);
        // A connection that has become another protocol's lasts as long as its user likes.
        // A router of an earlier release tells no status, and no time either.
        if status != 101 && status != 0 {
            self.latency.add(took);
        }
    }
}

/// Of each app that has processes.
pub(crate) type Usages = BTreeMap<AppName, Usage>;
