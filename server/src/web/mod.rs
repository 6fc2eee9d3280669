//! The HTTP door: API, git, health.

pub(crate) mod caps;
pub(crate) mod certificate;
pub(crate) mod tls;
