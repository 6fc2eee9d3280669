//! Changes of Deployments, told as they happen.
//!
//! A short cut and no more: who listens looks by itself as well. So a watch that breaks, or that is not allowed, makes a
//! rollout slower and never makes it fail.

use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream, select_all};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;

use super::cluster::Cluster;

/// Each of these Deployments as it is now, and again whenever it changes, with its place among the names.
pub(super) fn of<'a>(
    cluster: &Cluster,
    names: impl IntoIterator<Item = &'a str>,
) -> BoxStream<'static, (usize, Deployment)> {
    let each = names.into_iter().enumerate().map(|(place, name)| {
        let changes = of_one(cluster.clone(), name.to_owned());
        changes.map(move |live| (place, live)).boxed()
    });
    select_all(each).boxed()
}

fn of_one(cluster: Cluster, name: String) -> BoxStream<'static, Deployment> {
    let begin = async move {
        // Where no connection can be shared, each has its own; where nothing answers, it is tried again and again.
        let place = cluster.place_to_listen().await.ok();
        let client = place.as_ref().map_or_else(|| cluster.client(), |place| &place.client);
        let api = Api::namespaced(client.clone(), cluster.namespace());
        watch_object(api, &name).default_backoff().filter_map(move |change| {
            let _held_as_long_as_it_is_watched = &place;
            ready(change.unwrap_or_else(|error| {
                tracing::debug!("A Deployment cannot be watched: {error}");
                None
            }))
        })
    };
    stream::once(begin).flatten().boxed()
}
