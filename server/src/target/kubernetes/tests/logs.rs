//! What pods write, read into the app's log.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinHandle;

use super::*;
use crate::journal::{Filter, Follower, Journals, Limits as Bounds, Source};
use crate::target::AdoptedApps;

/// A collector that can be ended, as with its server.
struct Collecting {
    journals: Journals,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Stage {
    fn collect(&self, folder: &Path) -> Collecting {
        let journals = Journals::new(folder.join("journal"), Bounds { bytes: 64 * 1024 * 1024 });
        let stop = CancellationToken::new();
        let (target, own_journals, own_stop) = (self.target.clone(), journals.clone(), stop.clone());
        let none: AdoptedApps = Arc::new(|| async { Vec::new() }.boxed());
        let task = tokio::spawn(async move { target.collect(own_journals, none, own_stop).await });
        Collecting { journals, stop, task }
    }
}

impl Collecting {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it ends").expect("no panic");
    }

    async fn follow(&self, source: Source, after: i64) -> Follower {
        let filter = Filter { source: Some(source), ..Filter::default() };
        self.journals.app(&APP.parse().expect("a name")).follow(after, filter).await
    }
}

/// Lines as they come, with the type of their process, until `enough`.
async fn until(follower: &mut Follower, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut texts = Vec::new();
    let read = async {
        while !enough(&texts) {
            let batch = follower.next().await.expect("the app is there");
            texts.extend(batch.lines.iter().map(|line| format!("{} {}", line.entry.kind, line.entry.text)));
        }
    };
    let in_time = tokio::time::timeout(LIMIT, read).await;
    assert!(in_time.is_ok(), "waited in vain behind {texts:?}");
    texts
}

fn counts() -> &'static str {
    "i=0; while true; do i=$((i+1)); echo $GREETING $i; sleep 0.1; done"
}

#[tokio::test]
async fn every_line_is_read_once_over_a_restart_of_the_server_and_into_new_pods() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let first = stage.collect(folder.path());
    let release = workload(1, vec![process("clock", counts()), process("worker", counts())]).await;
    stage.succeeds(&release, None).await;
    let mut follower = first.follow(Source::App, 0).await;
    let mut seen = until(&mut follower, |texts| texts.len() > 40).await;
    let position = follower.position();
    first.end().await;

    let second = stage.collect(folder.path());
    let mut follower = second.follow(Source::App, position).await;
    seen.extend(until(&mut follower, |texts| texts.len() > 40).await);
    let next = {
        let mut next = release.clone();
        next.version = 2;
        next.config.insert("GREETING".parse().expect("a key"), "again".into());
        next
    };
    stage.succeeds(&next, Some(&release)).await;
    seen.extend(
        until(&mut follower, |texts| texts.iter().filter(|text| text.contains("again")).count() > 10).await,
    );
    for start in ["clock hello", "worker hello", "clock again", "worker again"] {
        let numbers: Vec<u32> =
            seen.iter().filter_map(|text| text.strip_prefix(start)?.trim().parse().ok()).collect();
        let expected: Vec<u32> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "{start}");
    }
    let mut told = second.follow(Source::Slipway, 0).await;
    let all = |texts: &[String]| {
        let said = |words: &str| texts.iter().filter(|text| text.contains(words)).count();
        said("Starting process with command") == 4
            && said("State changed from starting to up") == 4
            && said("Stopping process with SIGTERM") == 2
    };
    until(&mut told, all).await;
    second.end().await;
    stage.tear_down().await;
}

#[tokio::test]
async fn every_run_of_a_crash_loop_is_read_and_told() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let collecting = stage.collect(folder.path());
    let line = "echo begins; sleep 0.2; echo ends; exit 3";
    let why = stage.fails(&workload(1, vec![process("worker", line)]).await, None).await;
    assert!(why.contains("ends"), "{why}");
    let mut told = collecting.follow(Source::Slipway, 0).await;
    until(&mut told, |texts| {
        ["worker Process exited with status 3", "worker State changed from up to crashed"]
            .iter()
            .all(|words| texts.iter().any(|text| text == words))
    })
    .await;
    let mut follower = collecting.follow(Source::App, 0).await;
    let seen = until(&mut follower, |texts| texts.len() >= 2).await;
    assert!(seen.chunks_exact(2).all(|run| run == ["worker begins", "worker ends"]), "{seen:?}");
    collecting.end().await;
    stage.tear_down().await;
}

#[tokio::test]
async fn logs_that_are_followed_share_connections() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let cluster = &stage.target.cluster;
    let places = async |wanted: usize| {
        let mut places = Vec::new();
        for _ in 0..wanted {
            places.push(cluster.place_to_listen().await.expect("the API server answers"));
        }
        places
    };
    let held = places(65).await;
    assert_eq!(cluster.lanes.count(), 2);
    // A place that is given back is taken again.
    drop(held);
    let _held = places(128).await;
    assert_eq!(cluster.lanes.count(), 2);
    stage.tear_down().await;
}
