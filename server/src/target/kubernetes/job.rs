//! A batch as a Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{EnvVar, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::ExposeSecret;

use super::objects;
use super::pod_spec::{self, RunAs, whole_seconds};
use crate::target::batch::{Batch, GRACE};

/// How long an ended Job stays for people to look at, should nobody have removed it: ours go once their end is stored.
const TTL_SECONDS: i32 = 3600;
/// The label of a Job and the name of its pods: Kubernetes' bound.
const LONGEST_NAME: usize = 63;

/// The name of the Job. Deployments have names of their own, but its pods show it among theirs.
pub(super) fn name(batch: &Batch) -> String {
    let name = format!("{}-{}-v{}", batch.of.app, batch.name, batch.of.version);
    objects::bounded(&name, LONGEST_NAME)
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
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            // It begins when it has its entry's place.
            suspend: batch.entry().map(|_| true),
            ..spec(batch, labels, run_as)
        }),
        status: None,
    }
}

pub(super) fn spec(batch: &Batch, labels: BTreeMap<String, String>, run_as: RunAs) -> JobSpec {
    JobSpec {
        active_deadline_seconds: Some(whole_seconds(batch.deadline)),
        backoff_limit: Some(0),
        // No second pod beside one that ends.
        pod_replacement_policy: Some("Failed".to_owned()),
        template: template(batch, labels, run_as),
        ..Default::default()
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
    let mut container = pod_spec::bare_container(&batch.of, &batch.name, &batch.command, &batch.limits);
    container.env = Some(environment(batch));
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..Default::default() }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(whole_seconds(GRACE)),
            ..pod_spec::pod(&batch.of, run_as, container)
        }),
    }
}

/// What is not in the Secret of the release's config.
fn environment(batch: &Batch) -> Vec<EnvVar> {
    let mut variables = vec![("DYNO", batch.dyno.as_str()), ("SLIPWAY_APP", batch.of.app.as_str())];
    variables.extend(batch.environment.iter().map(|(key, value)| (key.as_str(), value.expose_secret())));
    let variable = |(name, value): (&str, &str)| EnvVar {
        name: name.to_owned(),
        // Kubernetes replaces `$(NAME)` in values by itself.
        value: Some(value.replace('$', "$$")),
        value_from: None,
    };
    variables.into_iter().map(variable).collect()
}
