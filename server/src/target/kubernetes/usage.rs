//! What the pods of each app use, as the cluster's metrics server says. Their requests are not seen from here.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde::Deserialize;

use super::KubernetesTarget;
use super::cluster::REQUEST_TIMEOUT;
use super::objects::{self, INSTANCE, MANAGED_BY, MANAGER, PLATFORM};
use crate::domain::names::AppName;
use crate::target::usage::Usages;

/// What is remembered between two looks; nothing before the first.
#[derive(Debug, Default)]
pub(super) struct Meters {
    last: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Restarts of each pod's containers, by its uid.
    restarts: HashMap<String, i32>,
}

/// A PodMetrics of `metrics.k8s.io/v1beta1`.
#[derive(Debug, Deserialize)]
struct PodMetrics {
    metadata: ObjectMeta,
    containers: Vec<ContainerMetrics>,
}

#[derive(Debug, Deserialize)]
struct ContainerMetrics {
    usage: Amounts,
}

/// Quantities as Kubernetes writes them.
#[derive(Debug, Deserialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<PodMetrics>,
}

impl KubernetesTarget {
    /// What was used since the last time that this was asked. Without a metrics server, or the right to ask it, restarts
    /// are all that is known.
    pub(crate) async fn usage(&self) -> Result<Usages, super::RolloutError> {
        let selector = format!("{MANAGED_BY}={MANAGER},{PLATFORM}={}", self.platform);
        let mut usages = Usages::new();
        let mut restarts = HashMap::new();
        let previous = self.meters.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.cluster
            .visit(&selector, |pod: Pod| {
                let (Some(app), Some(uid)) = (app_of(&pod.metadata), pod.uid()) else { return };
                let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
                let count: i32 = statuses.iter().map(|container| container.restart_count).sum();
                let earlier = match &previous {
                    Some(previous) => previous.restarts.get(&uid).copied().unwrap_or(0),
                    None => count,
                };
                usages.entry(app).or_default().restarts += u32::try_from(count - earlier).unwrap_or(0);
                restarts.insert(uid, count);
            })
            .await?;
        let now = Instant::now();
        let passed = previous.map_or(Duration::ZERO, |previous| now - previous.at);
        *self.meters.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Look { at: now, restarts });
        let known: BTreeSet<AppName> = usages.keys().cloned().collect();
        for metrics in self.pod_metrics(&selector).await {
            let Some(app) = app_of(&metrics.metadata).filter(|app| known.contains(app)) else { continue };
            let usage = usages.entry(app).or_default();
            for container in &metrics.containers {
                usage.cpu += passed.mul_f64(cpus(&container.usage.cpu));
                usage.memory += bytes(&container.usage.memory);
            }
        }
        Ok(usages)
    }

    /// Nothing where there is no metrics server, or no right to ask it, or where it does not answer.
    async fn pod_metrics(&self, selector: &str) -> Vec<PodMetrics> {
        let selector: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={selector}",
            self.cluster.namespace()
        );
        let request = Request::get(&path).body(Vec::new()).expect("invariant: a good address");
        match tokio::time::timeout(REQUEST_TIMEOUT, self.cluster.client().request::<List>(request)).await {
            Ok(Ok(list)) => list.items,
            Ok(Err(error)) => {
                tracing::debug!("The cluster does not tell what pods use: {error}");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

fn app_of(metadata: &ObjectMeta) -> Option<AppName> {
    objects::label(metadata, INSTANCE)?.parse().ok()
}

/// `250m`, `12345678n`, `2`.
fn cpus(text: &str) -> f64 {
    let (number, scale) = match text.as_bytes().last() {
        Some(b'n') => (&text[..text.len() - 1], 1e-9),
        Some(b'u') => (&text[..text.len() - 1], 1e-6),
        Some(b'm') => (&text[..text.len() - 1], 1e-3),
        _ => (text, 1.0),
    };
    number.parse::<f64>().map_or(0.0, |number| (number * scale).max(0.0))
}

/// `123456Ki`, `120M`, `4096`.
fn bytes(text: &str) -> u64 {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale: u64 = match unit {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => 1,
    };
    number.parse::<u64>().unwrap_or(0).saturating_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_a_metrics_server_writes_them() {
        let near = |text: &str, wanted: f64| assert!((cpus(text) - wanted).abs() < 1e-9, "{text}");
        near("12345678n", 0.012_345_678);
        near("1500u", 0.0015);
        near("250m", 0.25);
        near("2", 2.0);
        near("", 0.0);
        assert_eq!(["2048Ki", "3Mi", "4k", "17", "x"].map(bytes), [2 << 20, 3 << 20, 4_000, 17, 0]);
    }
}
