//! The HTTP door: API, git, health.
