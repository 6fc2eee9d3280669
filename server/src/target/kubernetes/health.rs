//! Whether the cluster answers, and whether we may do there what we will have to do.

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

use super::KubernetesTarget;
use super::cluster::Fault;
use crate::target::RolloutError;

/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// What each verb of the platform needs, per namespace: API group, resource, subresource, verbs. The same as
/// `deploy/kubernetes/rbac.yaml`.
const RIGHTS: &[(&str, &str, &str, &[&str])] = &[
    ("apps", "deployments", "", &["get", "list", "watch", "create", "patch", "delete"]),
    ("apps", "replicasets", "", &["list"]),
    ("", "pods", "", &["get", "list", "watch", "create", "patch", "delete"]),
    ("", "pods", "attach", &["get", "create"]),
    ("", "pods", "exec", &["get", "create"]),
    ("", "pods", "log", &["get"]),
    ("", "events", "", &["list"]),
    ("", "secrets", "", &["get", "list", "create", "patch", "delete"]),
    ("", "services", "", &["get", "list", "create", "patch", "delete"]),
    ("batch", "jobs", "", &["get", "list", "watch", "create", "patch", "delete"]),
    ("batch", "cronjobs", "", &["get", "list", "create", "patch", "delete"]),
    ("batch", "cronjobs", "status", &["patch"]),
    ("autoscaling", "horizontalpodautoscalers", "", &["get", "list", "create", "patch", "delete"]),
];

/// A cluster that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// `v1.33.1`.
    pub(crate) version: String,
    /// Rights that we lack, as sentences such as `patch deployments in namespace apps`; empty is good.
    pub(crate) missing: Vec<String>,
}

impl KubernetesTarget {
    /// Asks for the version and for every right in the namespace of owned apps.
    pub(crate) async fn health(&self) -> Result<Health, RolloutError> {
        let client = self.cluster.client();
        let version = self.cluster.call("asking for the version", || client.apiserver_version()).await?;
        let questions = RIGHTS.iter().flat_map(|right| right.3.iter().map(move |verb| (right, *verb)));
        // Boxed: a stream that borrows in its closure is not `Send` for every lifetime, which a task needs.
        let answers: Vec<BoxFuture<'_, _>> = questions
            .map(|(&(group, resource, subresource, _), verb)| {
                self.missing_right(group, resource, subresource, verb).boxed()
            })
            .collect();
        let missing: Vec<_> = stream::iter(answers).buffered(AT_ONCE).try_collect().await?;
        Ok(Health { version: version.git_version, missing: missing.into_iter().flatten().collect() })
    }

    async fn missing_right(
        &self,
        group: &str,
        resource: &str,
        subresource: &str,
        verb: &str,
    ) -> Result<Option<String>, Fault> {
        let namespace = self.cluster.namespace();
        let text = |text: &str| Some(text.to_owned());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: text(namespace),
                    group: text(group),
                    resource: text(resource),
                    subresource: text(subresource),
                    verb: text(verb),
                    ..Default::default()
                }),
                non_resource_attributes: None,
            },
            ..Default::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.cluster.client().clone());
        let params = PostParams::default();
        let answer = self.cluster.call("asking for our rights", || reviews.create(&params, &review)).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let slash = if subresource.is_empty() { "" } else { "/" };
        Ok((!allowed).then(|| format!("{verb} {resource}{slash}{subresource} in namespace {namespace}")))
    }
}
