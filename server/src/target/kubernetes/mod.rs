//! Runs releases as Deployments of a cluster.
