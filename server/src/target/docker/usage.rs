//! What the containers of each app use, by the engine's own counters, and what the router has answered for them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::{StreamExt, stream};

use super::{DockerTarget, TargetError, locked};
use crate::domain::names::AppName;
use crate::target::usage::{Traffic, Usages};

/// Containers that are asked for at a time.
const AT_ONCE: usize = 8;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// Nothing before the first look: what containers have used by then is nobody's.
    counted: Option<HashMap<String, Counters>>,
}

/// Of one container, since it was made.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    cpu: Duration,
    restarts: u32,
}

impl DockerTarget {
    /// What was used since the last time that this was asked. The first answer knows of nothing but memory.
    pub(crate) async fn usage(&self) -> Result<Usages, TargetError> {
        // Forgotten by a look that fails: what was used in between is not known to belong to the time after it.
        let before = locked(&self.shared.meters).counted.take();
        let traffic = self.take_traffic();
        let members = self.members(None).await?;
        let running: Vec<String> =
            members.iter().filter(|member| member.is_running()).map(|member| member.id.clone()).collect();
        let stats: HashMap<String, ContainerStatsResponse> = stream::iter(running)
            .map(|id| async move { Some((id.clone(), self.stats(&id).await?)) })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let mut now = HashMap::new();
        let mut usages = Usages::new();
        for member in members {
            let usage = usages.entry(member.app.clone()).or_default();
            let stats = stats.get(&member.id);
            let earlier = before.as_ref().map(|before| before.get(&member.id).copied().unwrap_or_default());
            let counters = Counters {
                // One that has ended has no counter: what it used last is not known.
                cpu: stats.and_then(cpu).or(earlier.map(|earlier| earlier.cpu)).unwrap_or_default(),
                restarts: member.restarts,
            };
            let earlier = earlier.unwrap_or(counters);
            // A container that was started again counts from nothing.
            usage.cpu += counters.cpu.checked_sub(earlier.cpu).unwrap_or(counters.cpu);
            usage.restarts += counters.restarts.saturating_sub(earlier.restarts);
            usage.memory += stats.and_then(|stats| stats.memory_stats.as_ref()).map_or(0, memory);
            now.insert(member.id, counters);
        }
        locked(&self.shared.meters).counted = Some(now);
        for (app, traffic) in traffic {
            usages.entry(app).or_default().traffic = traffic;
        }
        Ok(usages)
    }

    /// `None` where the container has gone meanwhile.
    async fn stats(&self, id: &str) -> Option<ContainerStatsResponse> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        self.docker.stats(id, Some(options)).next().await?.ok()
    }

    pub(super) fn count_requests(&self, app: &AppName, count: impl FnOnce(&mut Traffic)) {
        count(locked(&self.shared.traffic).entry(app.clone()).or_default());
    }

    fn take_traffic(&self) -> BTreeMap<AppName, Traffic> {
        std::mem::take(&mut *locked(&self.shared.traffic))
    }
}

fn cpu(stats: &ContainerStatsResponse) -> Option<Duration> {
    Some(Duration::from_nanos(stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?))
}

/// Without files that the kernel keeps only in case they are read again, as `docker stats` counts.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let kept = stats.stats.as_ref();
    let kept = kept.and_then(|kept| kept.get("inactive_file").or_else(|| kept.get("total_inactive_file")));
    stats.usage.unwrap_or(0).saturating_sub(kept.copied().unwrap_or(0))
}
