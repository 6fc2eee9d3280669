//! What processes write, read into the app's log.

use std::path::Path;

use tokio::task::JoinHandle;

use super::*;
use crate::journal::{Filter, Follower, Journals, Limits, Source};

/// A collector that can be ended, as with its server.
struct Collecting {
    journals: Journals,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Stage {
    fn collect(&self, folder: &Path) -> Collecting {
        let journals = Journals::new(folder.join("journal"), Limits { bytes: 64 * 1024 * 1024 });
        let stop = CancellationToken::new();
        let (target, own_journals, own_stop) = (self.target.clone(), journals.clone(), stop.clone());
        let task = tokio::spawn(async move { target.collect(own_journals, own_stop).await });
        Collecting { journals, stop, task }
    }
}

impl Collecting {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("no panic");
    }

    async fn follow(&self, source: Source) -> Follower {
        let filter = Filter { source: Some(source), ..Filter::default() };
        self.journals.app(&blog()).follow(0, filter).await
    }

    /// The lines of a source so far, in the order in which they were read.
    async fn all(&self, source: Source) -> Vec<String> {
        let (mut follower, end) = (self.follow(source).await, self.journals.app(&blog()).newest().await);
        let mut texts = Vec::new();
        while follower.position() < end {
            texts.extend(follower.take().await.lines.iter().map(|line| line.entry.text.clone()));
        }
        texts
    }
}

fn blog() -> AppName {
    "blog".parse().expect("a name")
}

/// Lines as they come, until `enough`.
async fn until(follower: &mut Follower, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut texts = Vec::new();
    let read = async {
        while !enough(&texts) {
            let batch = follower.next().await.expect("the app is there");
            assert_eq!(batch.missed, 0);
            texts
                .extend(batch.lines.iter().map(|line| format!("{} {}", line.entry.process, line.entry.text)));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "waited in vain behind {texts:?}");
    texts
}

#[tokio::test]
async fn all_processes_are_followed_into_the_next_release_to_their_last_words() {
    let Some(stage) = stage().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let collecting = stage.collect(folder.path());
    let say = |text: &str| {
        worker(&format!(
            "trap 'echo {text} bye; exit 0' TERM; for i in 1 2 3; do echo {text} $i; sleep 0.05; done; \
             while true; do sleep 0.05; done"
        ))
    };
    let other = Process { name: "clock".parse().expect("a type"), ..say("tick") };
    let mut follower = collecting.follow(Source::App).await;
    stage.roll_out(&workload(1, vec![say("one"), other.clone()])).await.expect("v1 runs");
    let first = until(&mut follower, |texts| texts.len() >= 6).await;
    for line in ["worker.1 one 1", "worker.1 one 3", "clock.1 tick 3"] {
        assert!(first.contains(&line.to_owned()), "{first:?}");
    }
    stage.roll_out(&workload(2, vec![say("two"), other])).await.expect("v2 runs");
    stage.settled().await;
    let second = until(&mut follower, |texts| texts.iter().any(|text| text.ends_with("two 3"))).await;
    let bye = second.iter().filter(|text| *text == "worker.1 one bye").count();
    assert_eq!((bye, second.len()), (1, 4), "{second:?}");
    let (last, _) = collecting.journals.app(&blog()).history(&Filter::default(), 100).await;
    assert!(last.is_sorted_by_key(|line| line.entry.at), "{last:?}");
    collecting.end().await;
}

#[tokio::test]
async fn a_thousand_lines_a_second_are_read_once_each_over_restarts_of_the_server() {
    let Some(stage) = stage().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let line = "i=0; while [ $i -lt 400 ]; do j=0; while [ $j -lt 10 ]; do echo $((i*10+j)); j=$((j+1)); done; \
                i=$((i+1)); sleep 0.01; done; echo done; exec sleep 1000";
    let first = stage.collect(folder.path());
    let mut follower = first.follow(Source::App).await;
    stage.roll_out(&workload(1, vec![worker(line)])).await.expect("runs");
    let mut seen = until(&mut follower, |texts| texts.len() >= 500).await;
    let mut position = follower.position();
    first.end().await;
    for _ in 0..3 {
        let server = stage.restarted();
        let next = server.collect(folder.path());
        let filter = Filter { source: Some(Source::App), ..Filter::default() };
        let mut follower = next.journals.app(&blog()).follow(position, filter).await;
        let wanted = seen.len() % 1000 + 400;
        let enough = |texts: &[String]| {
            texts.len() >= wanted || texts.last().is_some_and(|text| text == "worker.1 done")
        };
        if seen.last().is_none_or(|text| text != "worker.1 done") {
            seen.extend(until(&mut follower, enough).await);
        }
        position = follower.position();
        next.end().await;
    }
    let last = stage.restarted().collect(folder.path());
    let filter = Filter { source: Some(Source::App), ..Filter::default() };
    let mut follower = last.journals.app(&blog()).follow(position, filter).await;
    if seen.last().is_none_or(|text| text != "worker.1 done") {
        seen.extend(
            until(&mut follower, |texts| texts.last().is_some_and(|text| text.ends_with("done"))).await,
        );
    }
    let expected: Vec<String> =
        (0..4000).map(|number| format!("worker.1 {number}")).chain(["worker.1 done".to_owned()]).collect();
    assert!(seen == expected, "{} lines, the first wrong: {:?}", seen.len(), wrong(&seen, &expected));
    last.end().await;
}

fn wrong<'l>(seen: &'l [String], expected: &'l [String]) -> Option<(&'l String, &'l String)> {
    seen.iter().zip(expected).find(|(seen, expected)| seen != expected)
}

#[tokio::test]
async fn every_run_of_a_crash_loop_is_read_and_told_and_its_log_outlives_it() {
    let Some(stage) = stage().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let collecting = stage.collect(folder.path());
    // Runs longer than its check the first time, then crashes ever faster.
    let line = "n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n+1)) > /tmp/n; echo run $n begins; \
                [ $n = 0 ] && sleep 1; echo run $n ends; exit 3";
    stage.roll_out(&workload(1, vec![worker(line)])).await.expect("runs");
    let mut follower = collecting.follow(Source::App).await;
    let seen = until(&mut follower, |texts| texts.len() >= 6).await;
    let expected: Vec<String> =
        (0..3).flat_map(|n| [format!("worker.1 run {n} begins"), format!("worker.1 run {n} ends")]).collect();
    assert_eq!(seen[..6], expected);
    stage.target.remove(&blog()).await.expect("removed");
    let told = collecting.all(Source::Slipway).await;
    let starts = |text: &&String| text.starts_with("Starting process with command `n=$(cat");
    assert!(told.iter().filter(starts).count() >= 3, "{told:?}");
    let crash = ["Process exited with status 3", "State changed from up to crashed"];
    assert!(told.windows(2).any(|pair| pair == crash), "{told:?}");
    assert!(told.contains(&"State changed from crashed to starting".to_owned()), "{told:?}");
    assert_eq!(collecting.all(Source::App).await[..2], ["run 0 begins", "run 0 ends"]);
    collecting.end().await;
}

#[tokio::test]
async fn a_crash_on_trial_is_read_before_its_container_is_removed() {
    let Some(stage) = stage().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let collecting = stage.collect(folder.path());
    let failure = stage.failure(&workload(1, vec![worker("echo out of oil; exit 7")])).await;
    assert!(failure.contains("out of oil"), "{failure}");
    stage.settled().await;
    let mut follower = collecting.follow(Source::App).await;
    assert_eq!(until(&mut follower, |texts| !texts.is_empty()).await, ["worker.1 out of oil"]);
    let mut told = collecting.follow(Source::Slipway).await;
    let exited = |texts: &[String]| texts.contains(&"worker.1 Process exited with status 7".to_owned());
    until(&mut told, exited).await;
    collecting.end().await;
}
