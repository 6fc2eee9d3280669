//! The embedded default: private PostgreSQL, private registry, the apps' router.

pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod postgres;
pub(crate) mod registry;
pub(crate) mod router;
mod service;
pub(crate) mod state;
