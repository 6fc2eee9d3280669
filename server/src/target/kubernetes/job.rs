//! A batch as a Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::objects;
use super::pod_spec::{self, RunAs, whole_seconds};
use crate::target::batch::{Batch, GRACE};

/// How long an ended Job stays for people to look at, should nobody have removed it: ours go once their end is stored.
const TTL_SECONDS: i32 = 3600;

/// The name of the Job. Deployments have names of their own, but its pods show it among theirs.
pub(super) fn name(batch: &Batch) -> String {
    format!("{}-{}-v{}", batch.of.app, batch.name, batch.of.version)
}

/// One pod, tried once: whether a migration may run twice is not for Kubernetes to decide.
pub(super) fn job(platform: &str, batch: &Batch, run_as: RunAs) -> Job {
    let labels = labels(platform, batch);
    Job {
        metadata: ObjectMeta {
            name: Some(name(batch)),
            labels: Some(labels.clone()),
            annotations: Some([(objects::VERSION.to_owned(), batch.of.version.to_string())].into()),
            ..Default::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(whole_seconds(batch.deadline)),
            backoff_limit: Some(0),
            // No second pod beside one that ends.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template: template(batch, labels, run_as),
            ..Default::default()
        }),
        status: None,
    }
}

/// No component: a pod of a process type is found by that.
fn labels(platform: &str, batch: &Batch) -> BTreeMap<String, String> {
    let mut labels = objects::app_labels(platform, &batch.of.app);
    labels.insert(objects::BATCH.to_owned(), batch.id.to_string());
    labels.insert(objects::BATCH_NAME.to_owned(), batch.name.clone());
    labels
}

fn template(batch: &Batch, labels: BTreeMap<String, String>, run_as: RunAs) -> PodTemplateSpec {
    let container = pod_spec::bare_container(&batch.of, &batch.name, &batch.command, &batch.limits);
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..Default::default() }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(whole_seconds(GRACE)),
            ..pod_spec::pod(&batch.of, run_as, container)
        }),
    }
}
