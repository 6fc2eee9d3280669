//! The embedded default: private PostgreSQL, private registry, the apps' router.

pub(crate) mod disk;
