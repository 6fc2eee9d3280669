//! Node.js: a server with a start command, or a single-page app that is built and served as files.

mod assets;
mod error;
mod install;
mod manager;
mod manifests;
mod package;
mod version;
mod workspaces;

pub(crate) use assets::{Assets, assets};
