//! Names, labels and annotations of what is ours.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use secrecy::ExposeSecret;

use crate::domain::names::{AppName, ProcessType};
use crate::target::Workload;

/// The release's version: the fence. On Deployments only, never in a pod template, where it would move the pods.
pub(super) const VERSION: &str = "slipway.dev/version";
/// When the quantity was asked for that was written last: later changes of `replicas` are somebody else's.
pub(super) const ASKED: &str = "slipway.dev/asked";
/// On pod templates, when somebody last restarted the processes: kubectl's own key.
pub(super) const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Pods with less of it end first when a Deployment gets fewer.
pub(super) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The app that moves an adopted Deployment.
pub(super) const ADOPTED_BY: &str = "slipway.dev/app";
/// The images of an adopted Deployment before our first patch, as JSON; there until the first release has succeeded.
pub(super) const PREVIOUS_IMAGES: &str = "slipway.dev/previous-images";

pub(super) const INSTANCE: &str = "app.kubernetes.io/instance";
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(super) const PLATFORM: &str = "slipway.dev/platform";
/// On a batch's Job and pod: the batch's id, and what it is for (`release`).
pub(super) const BATCH: &str = "slipway.dev/batch";
pub(super) const BATCH_NAME: &str = "slipway.dev/batch-name";
/// On a CronJob, its Jobs and their pods: the entry's name.
pub(super) const CRON: &str = "slipway.dev/cron";
/// On Secrets only: `env` or `pull`.
pub(super) const SECRET_KIND: &str = "slipway.dev/secret";

/// Our value of `app.kubernetes.io/managed-by`.
pub(super) const MANAGER: &str = "slipway";

pub(super) fn deployment_name(app: &AppName, process: &ProcessType) -> String {
    format!("{app}-{process}")
}

pub(super) fn service_name(app: &AppName) -> String {
    app.to_string()
}

pub(super) fn pull_secret_name(app: &AppName) -> String {
    format!("{app}-pull")
}

/// The Secret with the workload's config, named after its content; `None` without config.
pub(super) fn env_secret_name(workload: &Workload) -> Option<String> {
    if workload.config.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    for (key, value) in &workload.config {
        // Keys hold no NUL and neither can values (an environment's rule), so no two maps hash alike by shifting.
        hash.update(key.as_str());
        hash.update([0]);
        hash.update(value.expose_secret());
        hash.update([0]);
    }
    let hash = hex::encode(hash.finalize());
    Some(format!("{}-env-{}", workload.app, &hash[..16]))
}

/// A name that is too long ends with a hash of itself.
pub(super) fn bounded(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let hash = hex::encode(Sha256::digest(name));
    let kept = name[..name.floor_char_boundary(most - 9)].trim_end_matches('-');
    format!("{kept}-{}", &hash[..8])
}

/// The CronJob of an entry. Its Jobs' names are longer by 11 characters.
pub(super) fn cron_job_name(app: &AppName, entry: &str) -> String {
    bounded(&format!("{app}-cron-{entry}"), 52)
}

/// What finds the Jobs that CronJobs have made, of whatever app.
pub(super) fn cron_selector(platform: &str) -> String {
    format!("{MANAGED_BY}={MANAGER},{PLATFORM}={platform},{CRON}")
}

/// What finds an app's own objects again.
pub(super) fn owned_selector(platform: &str, app: &AppName) -> String {
    format!("{MANAGED_BY}={MANAGER},{PLATFORM}={platform},{INSTANCE}={app}")
}

/// What finds the Jobs of batches, of whatever app.
pub(super) fn batch_selector(platform: &str) -> String {
    format!("{MANAGED_BY}={MANAGER},{PLATFORM}={platform},{BATCH}")
}

/// The labels of every object of an app.
pub(super) fn app_labels(platform: &str, app: &AppName) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", app.as_str()),
        (INSTANCE, app.as_str()),
        (MANAGED_BY, MANAGER),
        (PLATFORM, platform),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The labels by which a Deployment and the Service find their pods; they can never change.
pub(super) fn pod_selector(app: &AppName, process: &ProcessType) -> BTreeMap<String, String> {
    [(INSTANCE, app.as_str()), (COMPONENT, process.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The version that the object says it is of; 0 where it says none.
pub(super) fn version_of(metadata: &ObjectMeta) -> i64 {
    annotation(metadata, VERSION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Of which request for a quantity the Deployment is; 0 where nobody has asked yet.
pub(super) fn asked_of(metadata: &ObjectMeta) -> i64 {
    annotation(metadata, ASKED).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(super) fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether this platform made the object for this app.
pub(super) fn is_ours(metadata: &ObjectMeta, platform: &str, app: &AppName) -> bool {
    label(metadata, MANAGED_BY) == Some(MANAGER)
        && label(metadata, PLATFORM) == Some(platform)
        && label(metadata, INSTANCE) == Some(app.as_str())
}
