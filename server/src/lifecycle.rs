//! Start and graceful shutdown.
