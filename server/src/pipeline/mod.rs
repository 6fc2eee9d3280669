//! The straight line from a commit to running processes.

pub(crate) mod log;
pub(crate) mod mask;
pub(crate) mod sanitise;
