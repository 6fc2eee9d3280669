//! From a source tree to a plan for building it: pure, without I/O of its own.
//!
//! Today a repository brings its Dockerfile; the languages' buildpacks join this crate as folders.

mod dockerfile;

pub use dockerfile::{DetectError, detect};

/// How an app is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// With the Dockerfile of this path in the source tree.
    Dockerfile { path: String },
}
