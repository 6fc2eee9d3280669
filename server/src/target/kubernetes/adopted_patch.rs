//! The JSON Patch that moves images of a foreign Deployment, and nothing else of it.
//!
//! A strategic patch with a mistyped name would add a container; this one addresses containers by index and tests the
//! name there first. Setting the resourceVersion that was read makes the apiserver refuse the whole patch with a
//! conflict once anybody has written since, so the test can only fail on what nobody could foresee.

use std::collections::BTreeMap;

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use jsonptr::PointerBuf;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::objects::annotation;

/// Container to image.
pub(super) type Images = BTreeMap<String, String>;

/// The images that the named containers have now; empty where the Deployment has none of them.
pub(super) fn images(live: &Deployment, containers: &[String]) -> Images {
    super::rule::containers(live)
        .filter(|container| containers.contains(&container.name))
        .map(|container| (container.name.clone(), container.image.clone().unwrap_or_default()))
        .collect()
}

/// Sets these images and annotations (`None` removes one); `None` when all of it is so already.
pub(super) fn build(
    live: &Deployment,
    images: &Images,
    annotations: &[(&str, Option<String>)],
) -> Option<Patch> {
    let mut operations = image_operations(live, images);
    operations.extend(annotation_operations(live, annotations));
    if operations.is_empty() {
        return None;
    }
    if let Some(version) = &live.metadata.resource_version {
        operations.insert(0, replace(&["metadata", "resourceVersion"], json!(version)));
    }
    Some(Patch(operations))
}

fn image_operations(live: &Deployment, images: &Images) -> Vec<PatchOperation> {
    let Some(spec) = live.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
        return Vec::new();
    };
    let lists = [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers))];
    let mut operations = Vec::new();
    for (list, containers) in lists {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            if let Some(image) = wanted(container, images) {
                let index = index.to_string();
                let at = |field| ["spec", "template", "spec", list, &index, field];
                operations.push(PatchOperation::Test(TestOperation {
                    path: pointer(&at("name")),
                    value: json!(container.name),
                }));
                operations.push(replace(&at("image"), json!(image)));
            }
        }
    }
    operations
}

fn wanted<'a>(container: &Container, images: &'a Images) -> Option<&'a str> {
    let image = images.get(&container.name)?;
    (container.image.as_ref() != Some(image)).then_some(image)
}

fn annotation_operations(live: &Deployment, annotations: &[(&str, Option<String>)]) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    for (key, value) in annotations {
        let path = || pointer(&["metadata", "annotations", key]);
        match (value, annotation(&live.metadata, key)) {
            (Some(value), found) if found != Some(value) => {
                operations.push(PatchOperation::Add(AddOperation { path: path(), value: json!(value) }));
            }
            (None, Some(_)) => operations.push(PatchOperation::Remove(RemoveOperation { path: path() })),
            _ => {}
        }
    }
    if !operations.is_empty() && live.metadata.annotations.is_none() {
        let path = pointer(&["metadata", "annotations"]);
        operations.insert(0, PatchOperation::Add(AddOperation { path, value: json!({}) }));
    }
    operations
}

fn replace(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path: pointer(path), value })
}

fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(metadata: Value) -> Deployment {
        serde_json::from_value(
            json!({ "metadata": metadata, "spec": { "selector": {}, "template": { "spec": {
            "initContainers": [{ "name": "migrate", "image": "app:1" }],
            "containers": [{ "name": "proxy", "image": "proxy:1" }, { "name": "app", "image": "app:1" }]
        } } } }),
        )
        .expect("a Deployment")
    }

    fn moved() -> Images {
        [("app", "app:2"), ("migrate", "app:2")]
            .map(|(name, image)| (name.to_owned(), image.to_owned()))
            .into()
    }

    #[test]
    fn names_are_tested_before_images_are_replaced() {
        let live = live(json!({ "resourceVersion": "41" }));
        let patch = build(&live, &moved(), &[("slipway.dev/version", Some("3".to_owned()))]);
        let spec = "/spec/template/spec";
        assert_eq!(
            serde_json::to_value(patch).expect("JSON"),
            json!([
                { "op": "replace", "path": "/metadata/resourceVersion", "value": "41" },
                { "op": "test", "path": format!("{spec}/initContainers/0/name"), "value": "migrate" },
                { "op": "replace", "path": format!("{spec}/initContainers/0/image"), "value": "app:2" },
                { "op": "test", "path": format!("{spec}/containers/1/name"), "value": "app" },
                { "op": "replace", "path": format!("{spec}/containers/1/image"), "value": "app:2" },
                { "op": "add", "path": "/metadata/annotations", "value": {} },
                { "op": "add", "path": "/metadata/annotations/slipway.dev~1version", "value": "3" },
            ])
        );
    }

    #[test]
    fn what_is_so_already_is_not_patched() {
        let live = live(json!({ "annotations": { "slipway.dev/version": "3" } }));
        let now = images(&live, &["app".to_owned(), "migrate".to_owned(), "nosuch".to_owned()]);
        assert_eq!(now.len(), 2);
        assert_eq!(build(&live, &now, &[("slipway.dev/version", Some("3".to_owned()))]), None);
    }
}
