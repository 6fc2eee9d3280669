//! The SSH door: git and verbs.
