//! The registry: digests verified, tags moved.
