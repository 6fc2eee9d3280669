//! Runs releases as Deployments of a cluster.
//!
//! Invariant: an object is written only while the version on it is not higher than ours, and only in the state in
//! which we read it (its resourceVersion goes along). So a server that lost its lease, or comes back late, cannot put
//! an old release over a new one. The one gap is the first creation of an object, which Kubernetes cannot make
//! conditional; there the app's lock in the queue is the guard.
//!
//! Two modes: *owned* objects are ours as a whole (server-side apply), of *adopted* Deployments only the images of
//! named containers are (JSON Patch). Nothing is ever read, changed and put back whole.

mod adopted;
mod adopted_patch;
mod adopted_set;
mod apply;
mod attach;
mod autoscaler;
mod batch;
mod batch_pod;
mod changes;
mod cluster;
mod collect;
mod course;
mod cron;
mod evidence;
mod fields;
mod halt;
mod health;
mod job;
mod lanes;
mod live;
mod manifest;
mod objects;
mod overview;
mod owned;
mod pod_reader;
mod pod_spec;
mod pod_state;
mod processes;
mod reconcile;
mod restart;
mod rule;
mod trouble;
mod usage;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{RolloutError, Workload};
use crate::transcript::Transcript;
use cluster::Cluster;
pub(crate) use cluster::ConnectError;
pub(crate) use reconcile::Reconciled;
pub(crate) use watch::Patience;

/// How the cluster is reached and what of it is ours.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) credentials: Credentials,
    /// Where owned apps run; `None` takes the namespace that the credentials name.
    pub(crate) namespace: Option<String>,
    /// This platform's name, written on every owned object: two platforms can share a namespace.
    pub(crate) platform: String,
    pub(crate) patience: Patience,
}

/// Who we are to the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// A kubeconfig file; `None` is its current context.
    Kubeconfig { path: PathBuf, context: Option<String> },
    /// The service account of the pod in which the platform itself runs.
    InCluster,
}

/// A cluster as the place where releases run. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KubernetesTarget {
    cluster: Cluster,
    platform: String,
    patience: Patience,
    meters: Arc<usage::Meters>,
}

impl KubernetesTarget {
    /// Reads the credentials. The cluster itself is not asked: it may be down while the platform starts.
    pub(crate) async fn connect(access: Access) -> Result<Self, ConnectError> {
        let cluster = Cluster::connect(&access.credentials, access.namespace).await?;
        Ok(Self { cluster, platform: access.platform, patience: access.patience, meters: Arc::default() })
    }

    /// Where the apiserver is: `https://cluster.example:6443`.
    pub(crate) fn apiserver(&self) -> &str {
        self.cluster.address()
    }

    /// Moves the app from `previous` to `next` and watches until all its process types are healthy.
    ///
    /// After `Failed` every process type runs `previous` again (or what was found before the first push), and the text
    /// says so. After `Unreachable` the same call can be made again later. After `interrupt` nothing more is touched.
    pub(crate) async fn roll_out(
        &self,
        next: &Workload,
        previous: Option<&Workload>,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        let rollout = async {
            match &next.adopted {
                Some(adoption) => self.roll_out_adopted(next, adoption, previous, transcript).await,
                None => self.roll_out_owned(next, previous, transcript).await,
            }
        };
        // Dropping the rollout at any await is safe: whatever it left half done, the newer one applies over it.
        interrupt.run_until_cancelled(rollout).await.unwrap_or(Err(RolloutError::Interrupted))
    }
}
