//! Bare repositories, receive, upload, and the tree as a build context.

pub(crate) mod snapshot;
