//! Who owns a field (`managedFields`), and selectors as text.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelectorRequirement, ManagedFieldsEntry};
use serde_json::Value;

use super::cluster::FIELD_MANAGER;
use super::objects::annotation;

/// Somebody who sets the image of one of our containers and will again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner<'a> {
    KubectlApply,
    Helm,
    Argo,
    Flux,
    Other(&'a str),
}

impl Owner<'_> {
    /// One sentence: who, and what ends the fight.
    pub(super) fn warning(self, deployment: &str) -> String {
        match self {
            Self::KubectlApply => format!(
                "Deployment {deployment} was written by `kubectl apply`, and the next apply silently puts its image back: take `image` out of that manifest, or keep it at what is released here."
            ),
            Self::Helm => format!(
                "Deployment {deployment} belongs to a Helm release, and the next `helm upgrade` fails with a conflict or puts its image back: give the chart the released image as a value, or stop setting it there."
            ),
            Self::Argo => format!(
                "Deployment {deployment} is synced by Argo CD, and the next sync puts its image back: add the image to `spec.ignoreDifferences` of the Application with `RespectIgnoreDifferences=true`."
            ),
            Self::Flux => format!(
                "Deployment {deployment} is reconciled by Flux, and the next run puts its image back: take `image` out of its manifest, or suspend that Kustomization or HelmRelease."
            ),
            Self::Other(name) => format!(
                "Deployment {deployment}'s image was set by `{name}`, which may put it back: stop it from setting the image."
            ),
        }
    }
}

/// The foreign owners of these containers' images, each once: by the field itself, and by the marks that tools leave
/// (after our first patch the field is ours, and they still come back).
pub(super) fn image_owners<'a>(live: &'a Deployment, containers: &[String]) -> Vec<Owner<'a>> {
    let mut owners: Vec<_> = field_owners(live, &image_paths(containers)).map(classify).collect();
    let marked = |key: &str| annotation(&live.metadata, key).is_some();
    if marked("kubectl.kubernetes.io/last-applied-configuration") {
        owners.push(Owner::KubectlApply);
    }
    if marked("meta.helm.sh/release-name") {
        owners.push(Owner::Helm);
    }
    if marked("argocd.argoproj.io/tracking-id") {
        owners.push(Owner::Argo);
    }
    owners.sort_unstable();
    owners.dedup();
    // Argo CD applies as kubectl does; its own mark says more.
    if owners.contains(&Owner::Argo) {
        owners.retain(|owner| *owner != Owner::KubectlApply);
    }
    owners
}

/// Whether somebody else (an autoscaler, say) has set the number of replicas.
pub(super) fn replicas_are_foreign(live: &Deployment) -> bool {
    field_owners(live, &["/f:spec/f:replicas".to_owned()]).next().is_some()
}

/// The Deployment's selector in the apiserver's syntax.
pub(super) fn selector_text(live: &Deployment) -> String {
    let Some(spec) = &live.spec else { return String::new() };
    let labels = spec.selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = spec.selector.match_expressions.iter().flatten().map(expression_text);
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

fn expression_text(requirement: &LabelSelectorRequirement) -> String {
    let key = &requirement.key;
    let values = requirement.values.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
    match requirement.operator.as_str() {
        "Exists" => key.clone(),
        "DoesNotExist" => format!("!{key}"),
        "NotIn" => format!("{key} notin ({values})"),
        _ => format!("{key} in ({values})"),
    }
}

fn image_paths(containers: &[String]) -> Vec<String> {
    let kinds = ["f:containers", "f:initContainers"];
    let path = |kind: &str, name: &String| {
        // The key of a list entry is JSON; a JSON Pointer needs no escape for it as names hold neither ~ nor /.
        format!("/f:spec/f:template/f:spec/{kind}/k:{{\"name\":\"{name}\"}}/f:image")
    };
    containers.iter().flat_map(|name| kinds.map(|kind| path(kind, name))).collect()
}

fn field_owners<'a>(live: &'a Deployment, paths: &[String]) -> impl Iterator<Item = &'a ManagedFieldsEntry> {
    let entries = live.metadata.managed_fields.iter().flatten();
    entries.filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER)).filter(|entry| {
        let fields: &Value = entry.fields_v1.as_ref().map_or(&Value::Null, |fields| &fields.0);
        paths.iter().any(|path| fields.pointer(path).is_some())
    })
}

fn classify(entry: &ManagedFieldsEntry) -> Owner<'_> {
    match entry.manager.as_deref().unwrap_or_default() {
        "kubectl-client-side-apply" | "kubectl" => Owner::KubectlApply,
        "helm" | "Helm" => Owner::Helm,
        "argocd-controller" | "argocd-application-controller" => Owner::Argo,
        "kustomize-controller" | "helm-controller" => Owner::Flux,
        other => Owner::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(metadata: Value) -> Deployment {
        serde_json::from_value(json!({ "metadata": metadata })).expect("a Deployment")
    }

    fn written_by(manager: &str, operation: &str) -> Value {
        json!({ "managedFields": [{ "manager": manager, "operation": operation, "fieldsV1": {
            "f:spec": { "f:replicas": {}, "f:template": { "f:spec": { "f:containers": {
                "k:{\"name\":\"app\"}": { "f:image": {} }
            } } } }
        } }] })
    }

    #[test]
    fn the_owner_of_the_image_is_named_and_ours_is_not() {
        let containers = ["app".to_owned()];
        for (manager, owner) in [
            ("kubectl-client-side-apply", Owner::KubectlApply),
            ("helm", Owner::Helm),
            ("argocd-controller", Owner::Argo),
            ("deploy-bot", Owner::Other("deploy-bot")),
        ] {
            assert_eq!(image_owners(&deployment(written_by(manager, "Update")), &containers), [owner]);
        }
        assert_eq!(image_owners(&deployment(written_by("slipway", "Update")), &containers), []);
        assert_eq!(image_owners(&deployment(written_by("helm", "Apply")), &["sidecar".to_owned()]), []);
    }

    #[test]
    fn the_marks_of_a_tool_count_after_the_field_became_ours() {
        let marked = |key: &str| deployment(json!({ "annotations": { key: "x" } }));
        let kubectl = marked("kubectl.kubernetes.io/last-applied-configuration");
        assert_eq!(image_owners(&kubectl, &[]), [Owner::KubectlApply]);
        assert_eq!(image_owners(&marked("meta.helm.sh/release-name"), &[]), [Owner::Helm]);
    }

    #[test]
    fn an_autoscalers_replicas_are_foreign() {
        assert!(replicas_are_foreign(&deployment(written_by("kube-controller-manager", "Update"))));
        assert!(!replicas_are_foreign(&deployment(written_by("slipway", "Apply"))));
    }

    #[test]
    fn selectors_keep_their_expressions() {
        let live: Deployment = serde_json::from_value(json!({ "metadata": {}, "spec": { "template": {}, "selector": {
            "matchLabels": { "a": "b" },
            "matchExpressions": [
                { "key": "c", "operator": "In", "values": ["d", "e"] }, { "key": "f", "operator": "DoesNotExist" }
            ]
        } } }))
        .expect("a Deployment");
        assert_eq!(selector_text(&live), "a=b,c in (d,e),!f");
    }
}
