//! Leased jobs on PostgreSQL; knows nothing of builds.
