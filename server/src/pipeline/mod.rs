//! The straight line from a commit to running processes.
