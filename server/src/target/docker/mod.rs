//! Runs releases as containers of this machine's engine.
