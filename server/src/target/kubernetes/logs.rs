//! What the processes write, merged over all pods.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use futures::io::AsyncBufReadExt;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use tokio::sync::mpsc;

use super::KubernetesTarget;
use super::cluster::{Cluster, doing};
use super::halt::Halt;
use super::processes::AppPod;
use crate::domain::names::AppName;
use crate::target::{Adoption, Follow, LogLine, LogQuery, RolloutError};

/// How often new pods are looked for, and broken streams taken up again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes that are read of one pod for the lines from before now.
const HISTORY_BYTES: i64 = 4 * 1024 * 1024;

/// Whose logs are wanted, and which of them.
#[derive(Debug, Clone)]
pub(crate) struct LogSource<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) adopted: Option<&'a Adoption>,
    pub(crate) query: LogQuery,
}

impl KubernetesTarget {
    /// Sends the lines from before now in the order of their times, then (following) new ones as they come, until the
    /// receiver goes away. A full channel makes the cluster wait. Nothing is spawned: dropping the future ends it.
    pub(crate) async fn logs(
        &self,
        source: LogSource<'_>,
        lines: mpsc::Sender<LogLine>,
    ) -> Result<(), RolloutError> {
        let (cluster, pods) = self.pods_of(&source).await?;
        let mut last = BTreeMap::new();
        for line in history(&cluster, &pods, source.query.lines).await {
            last.insert(line.process.clone(), line.at);
            if lines.send(line).await.is_err() {
                return Ok(());
            }
        }
        if source.query.follow == Follow::No {
            return Ok(());
        }
        let began = Timestamp::now();
        for found in &pods {
            last.entry(found.pod.name_any()).or_insert(began);
        }
        tokio::select! {
            () = lines.closed() => Ok(()),
            ended = self.follow(&source, last, &lines) => ended,
        }
    }

    /// Follows each pod by a stream of its own. A stream that ends is taken up again where it stopped for as long as its
    /// pod is there; a cluster that cannot be reached is waited for.
    async fn follow(
        &self,
        source: &LogSource<'_>,
        mut last: BTreeMap<String, Timestamp>,
        lines: &mpsc::Sender<LogLine>,
    ) -> Result<(), RolloutError> {
        let mut streams: FuturesUnordered<BoxFuture<'static, (String, Timestamp)>> = FuturesUnordered::new();
        let mut open = std::collections::BTreeSet::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((pod, until)) = streams.next() => {
                    open.remove(&pod);
                    last.insert(pod, until);
                }
                _ = looks.tick() => {
                    // Unreachable for now: the next look asks again.
                    let Ok((cluster, pods)) = self.pods_of(source).await else { continue };
                    last.retain(|name, _| pods.iter().any(|found| found.pod.name_any() == *name));
                    for found in pods {
                        let name = found.pod.name_any();
                        if open.insert(name.clone()) {
                            // A pod that came after we began is read from its first line.
                            let since = last.get(&name).copied().unwrap_or(Timestamp::UNIX_EPOCH);
                            streams.push(stream(cluster.clone(), name, since, lines.clone()).boxed());
                        }
                    }
                }
            }
        }
    }

    async fn pods_of(&self, source: &LogSource<'_>) -> Result<(Cluster, Vec<AppPod>), Halt> {
        let (cluster, mut pods) = self.pods(source.app, source.adopted).await?;
        if let Some(wanted) = &source.query.process_type {
            pods.retain(|found| found.process_type == *wanted);
        }
        Ok((cluster, pods))
    }
}

/// The last `wanted` lines of all pods together. A pod that has no log (yet) adds none.
async fn history(cluster: &Cluster, pods: &[AppPod], wanted: usize) -> Vec<LogLine> {
    let tail = i64::try_from(wanted).unwrap_or(i64::MAX);
    let logs = pods.iter().map(|found| async move {
        let name = found.pod.name_any();
        let api = cluster.api::<Pod>();
        let params = LogParams {
            timestamps: true,
            tail_lines: Some(tail),
            limit_bytes: Some(HISTORY_BYTES),
            container: first_container(&found.pod),
            ..Default::default()
        };
        let doing = doing::<Pod>("reading the log of", &name);
        let text = cluster.call(&doing, || api.logs(&name, &params)).await.unwrap_or_default();
        text.lines().filter_map(|line| parse(&name, line)).collect::<Vec<_>>()
    });
    let mut lines: Vec<_> = join_all(logs).await.into_iter().flatten().collect();
    lines.sort_by_key(|line| line.at);
    lines.split_off(lines.len().saturating_sub(wanted))
}

fn first_container(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.containers.first().map(|container| container.name.clone())
}

/// Sends a pod's lines after `since` until its stream ends; returns the pod and the time of the last line sent.
async fn stream(
    cluster: Cluster,
    pod: String,
    since: Timestamp,
    lines: mpsc::Sender<LogLine>,
) -> (String, Timestamp) {
    let params = LogParams {
        timestamps: true,
        follow: true,
        // The apiserver knows whole seconds; what was sent already is skipped by its full time.
        since_time: (since > Timestamp::UNIX_EPOCH).then(|| whole_second(since)),
        ..Default::default()
    };
    let mut last = since;
    // An error (a pod without a running container yet) is the end of the stream: the next look takes it up again.
    let Ok(reader) = cluster.api::<Pod>().log_stream(&pod, &params).await else { return (pod, last) };
    let mut texts = reader.lines();
    while let Some(Ok(text)) = texts.next().await {
        let Some(line) = parse(&pod, &text) else { continue };
        if line.at <= since {
            continue;
        }
        last = line.at;
        if lines.send(line).await.is_err() {
            break;
        }
    }
    (pod, last)
}

fn whole_second(time: Timestamp) -> Timestamp {
    let nanoseconds = i64::from(time.subsec_nanosecond());
    time.checked_sub(nanoseconds.nanoseconds()).unwrap_or(time)
}

/// `2026-01-01T00:00:00.000000001Z text`.
fn parse(pod: &str, line: &str) -> Option<LogLine> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    Some(LogLine { at: time.parse().ok()?, process: pod.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_time_and_its_text() {
        let line = parse("blog-web-1", "2026-01-01T00:00:00.5Z hello  world").expect("a line");
        assert_eq!((line.text.as_str(), line.at.subsec_millisecond()), ("hello  world", 500));
        assert_eq!(parse("blog-web-1", "2026-01-01T00:00:00Z").map(|line| line.text).as_deref(), Some(""));
        assert!(parse("blog-web-1", "unable to retrieve container logs").is_none());
    }

    #[test]
    fn the_second_that_is_asked_for_lies_before_the_line() {
        let time: Timestamp = "2026-01-01T00:00:00.9Z".parse().expect("a time");
        assert_eq!(whole_second(time).to_string(), "2026-01-01T00:00:00Z");
    }
}
