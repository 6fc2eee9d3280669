//! Autoscaling by CPU: a HorizontalPodAutoscaler beside the Deployment, named like it.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::apply;
use super::cluster::{Cluster, Fault};
use super::live::Live;
use super::manifest::Blueprint;
use super::objects;
use crate::domain::formation::Autoscale;
use crate::target::Process;

/// Makes the app's autoscalers what the workload says: those that it does not name any more go.
pub(super) async fn everything(
    cluster: &Cluster,
    live: &Live,
    blueprint: Blueprint<'_>,
    fence: i64,
) -> Result<(), Fault> {
    let wanted = blueprint.workload.processes.iter().filter_map(|process| {
        process.scale.autoscale.map(|autoscale| blueprint.autoscaler(process, autoscale))
    });
    let wanted: Vec<_> = wanted.collect();
    for object in &wanted {
        let name = object.name_any();
        apply::fenced(cluster, &name, live.owned.autoscalers.get(&name).cloned(), fence, |_| object.clone())
            .await?;
    }
    for (name, found) in &live.owned.autoscalers {
        if wanted.iter().all(|object| object.name_any() != *name) {
            apply::delete(cluster, found, fence).await?;
        }
    }
    Ok(())
}

impl Blueprint<'_> {
    fn autoscaler(&self, process: &Process, autoscale: Autoscale) -> HorizontalPodAutoscaler {
        let name = objects::deployment_name(&self.workload.app, &process.name);
        HorizontalPodAutoscaler {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(self.labels(process)),
                annotations: Some(self.version()),
                ..Default::default()
            },
            spec: Some(HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: "Deployment".to_owned(),
                    name,
                },
                min_replicas: Some(signed(autoscale.min)),
                max_replicas: signed(autoscale.max),
                metrics: Some(vec![MetricSpec {
                    type_: "Resource".to_owned(),
                    resource: Some(ResourceMetricSource {
                        name: "cpu".to_owned(),
                        target: goal(process.limits.millicpu, autoscale.cpu),
                    }),
                    ..Default::default()
                }]),
                behavior: None,
            }),
            status: None,
        }
    }
}

/// A percentage of the CPUs that a process may use. Kubernetes' own percentage counts from what is set aside, which is
/// far less: at 70 % of that a process would be next to idle.
fn goal(millicpu: Option<u32>, percent: u32) -> MetricTarget {
    match millicpu {
        Some(millicpu) => {
            let thousandths = (u64::from(millicpu) * u64::from(percent)).div_ceil(100);
            MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(format!("{thousandths}m"))),
                ..Default::default()
            }
        }
        None => MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(signed(percent)),
            ..Default::default()
        },
    }
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_is_a_part_of_what_a_process_may_use() {
        let goal = goal(Some(500), 70);
        assert_eq!(
            (goal.type_.as_str(), goal.average_value),
            ("AverageValue", Some(Quantity("350m".to_owned())))
        );
    }
}
