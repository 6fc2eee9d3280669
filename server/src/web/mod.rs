//! The HTTP door: API, git, health.

pub(crate) mod auth;
pub(crate) mod git;
mod throttle;
