//! Bare repositories, receive, upload, and the tree as a build context.
//!
//! Nothing here knows apps, builds or people: a door authorises and hands over a byte stream and a repository.
//! Whatever writes goes through git's own plumbing as hardened children; libgit2 only reads.

mod between;
mod changes;
mod command;
pub(crate) mod fetch;
mod maintenance;
mod oid;
pub(crate) mod receive;
mod refs;
mod repository;
pub(crate) mod snapshot;
pub(crate) mod upload;

#[cfg(test)]
pub(crate) use between::Listed;
pub(crate) use between::{Between, Commits};
pub(crate) use oid::Oid;
pub(crate) use refs::RefUpdate;
pub(crate) use repository::{CommitInfo, Repository};

#[cfg(test)]
mod testing;
