//! The HTTP door: API, git, health.

pub(crate) mod auth;
pub(crate) mod git;
mod throttle;
pub(crate) mod caps;
pub(crate) mod certificate;
pub(crate) mod tls;
