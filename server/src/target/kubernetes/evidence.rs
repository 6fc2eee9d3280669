//! What a failed process leaves behind: the tail of its log and the cluster's warnings.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};

use super::cluster::{Cluster, doing};
use super::trouble::{Kind, Trouble};

/// Lines of a crash log that are shown.
const LOG_LINES: i64 = 25;
/// Bytes of a crash log that are read at most: a line may be endless.
const LOG_BYTES: i64 = 16 * 1024;
/// How the kubelet begins what it sends as the log of a container that it has cleaned away, or is about to.
const LOG_GONE: [&str; 2] = ["unable to retrieve container logs", "failed to try resolving symlinks in path"];
/// Warning events that are shown.
const EVENTS: usize = 5;

/// The failure as a text for the user: what happened, the end of the log, the warnings, the next step. What the cluster
/// does not tell (it may be gone by now) is left out; the cause is known already.
pub(super) async fn describe(cluster: &Cluster, process: &str, trouble: &Trouble) -> String {
    let pod = if trouble.pod.is_empty() { String::new() } else { format!(" (pod {})", trouble.pod) };
    let mut text = format!("{process} {}{pod}.", trouble.what.trim_end_matches('.'));
    if !trouble.pod.is_empty() {
        let log = if started(trouble.kind) { crash_log(cluster, trouble).await } else { None };
        section(&mut text, "The end of its log:", log.as_deref().map(str::lines).into_iter().flatten());
        let warnings = warnings(cluster, &trouble.pod).await;
        section(&mut text, "What the cluster warns of:", warnings.iter().map(String::as_str));
    }
    text.push('\n');
    text.push_str(trouble.kind.next_step());
    text.push('.');
    text
}

/// Whether a process ever ran, so that there can be a log.
fn started(kind: Kind) -> bool {
    matches!(kind, Kind::Crash | Kind::OutOfMemory | Kind::NotReady | Kind::Start)
}

fn section<'a>(text: &mut String, title: &str, lines: impl Iterator<Item = &'a str>) {
    let lines: Vec<_> = lines.filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return;
    }
    text.push('\n');
    text.push_str(title);
    for line in lines {
        text.push_str("\n    ");
        text.push_str(line);
    }
}

/// Whether a log is no log but the kubelet's word that there is none any more.
pub(super) fn is_gone(log: &[u8]) -> bool {
    LOG_GONE.iter().any(|beginning| log.starts_with(beginning.as_bytes()))
}

/// The log of the run that ended, else of the one that goes on.
async fn crash_log(cluster: &Cluster, trouble: &Trouble) -> Option<String> {
    for previous in [true, false] {
        let params = LogParams {
            container: Some(trouble.container.clone()).filter(|name| !name.is_empty()),
            previous,
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(LOG_BYTES),
            ..Default::default()
        };
        let pods = cluster.api::<Pod>();
        let doing = doing::<Pod>("reading the log of", &trouble.pod);
        let log = cluster.call(&doing, || pods.logs(&trouble.pod, &params)).await;
        if let Ok(text) = log
            && !text.trim().is_empty()
            && !is_gone(text.as_bytes())
        {
            return Some(text);
        }
    }
    None
}

/// The pod's Warning events, the latest last, each sentence once.
async fn warnings(cluster: &Cluster, pod: &str) -> Vec<String> {
    let api = cluster.api::<Event>();
    let params = ListParams::default()
        .fields(&format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning"));
    let Ok(events) = cluster.call(&doing::<Event>("listing", ""), || api.list(&params)).await else {
        return Vec::new();
    };
    let mut events = events.items;
    events.sort_by_key(|event| event.last_timestamp.clone().or(event.first_timestamp.clone()));
    let mut seen = BTreeSet::new();
    let lines = events.iter().map(|event| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        format!("{}: {}", text(&event.reason), text(&event.message).trim())
    });
    let unique: Vec<_> = lines.filter(|line| seen.insert(line.clone())).collect();
    unique[unique.len().saturating_sub(EVENTS)..].to_vec()
}
