//! The Docker Engine API: connecting, building with BuildKit, pushing.
