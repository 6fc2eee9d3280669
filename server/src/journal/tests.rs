//! The laws of a log: numbers, order, bounds, and going on after a break.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn journals(folder: &Path) -> Journals {
    Journals::new(folder.join("journal"), Limits { bytes: 64 * 1024 * 1024 })
}

fn blog() -> AppName {
    "blog".parse().expect("a name")
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_000 + milliseconds).expect("a time")
}

fn said(process: &str, milliseconds: i64, text: &str) -> Entry {
    let kind = process.split('.').next().unwrap_or_default().to_owned();
    Entry {
        at: at(milliseconds),
        source: Source::App,
        process: process.to_owned(),
        kind,
        cursor: String::new(),
        text: text.to_owned(),
    }
}

fn counted(process: &str, range: std::ops::Range<i64>) -> Vec<Entry> {
    range.map(|number| said(process, number, &number.to_string())).collect()
}

async fn texts(journal: &Arc<AppJournal>, filter: &Filter, wanted: usize) -> Vec<String> {
    let (lines, _) = journal.history(filter, wanted).await;
    lines.into_iter().map(|line| line.entry.text).collect()
}

/// All that a follower finds now; how many lines it has missed.
async fn drained(follower: &mut Follower, until: i64) -> (Vec<i64>, i64) {
    let (mut ids, mut missed) = (Vec::new(), 0);
    while follower.position() < until {
        let batch = tokio::time::timeout(PATIENCE, follower.next()).await.expect("in time").expect("a batch");
        ids.extend(batch.lines.iter().map(|line| line.id));
        missed += batch.missed;
    }
    (ids, missed)
}

#[tokio::test]
async fn lines_of_all_processes_are_merged_by_time_and_chosen_by_type_name_source_and_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let journals = journals(folder.path());
    let journal = journals.app(&blog());
    journal.append("one", vec![said("web.1", 1, "a"), said("web.1", 4, "d")]).await;
    journal.append("two", vec![said("web.2", 2, "b"), said("web.2", 5, "e")]).await;
    journal.append("three", vec![said("worker.1", 3, "c")]).await;
    journals.note(&blog(), at(6), ("web.1", "web"), &["Process exited with status 1"]).await;
    assert_eq!(
        texts(&journal, &Filter::default(), 5).await,
        ["b", "c", "d", "e", "Process exited with status 1"]
    );
    let of = |name: &str| Filter { process: Some(name.to_owned()), ..Filter::default() };
    assert_eq!(texts(&journal, &of("worker"), 10).await, ["c"]);
    assert_eq!(texts(&journal, &of("web.2"), 10).await, ["b", "e"]);
    assert_eq!(texts(&journal, &of("web"), 2).await, ["e", "Process exited with status 1"]);
    let app = Filter { source: Some(Source::App), since: Some(at(4)), ..Filter::default() };
    assert_eq!(texts(&journal, &app, 10).await, ["d", "e"]);
    let (lines, _) = journal.history(&of("web.1"), 1).await;
    assert_eq!(
        lines[0].text(),
        "2026-09-21T14:13:20.006000+00:00 slipway[web.1]: Process exited with status 1"
    );
}

#[tokio::test]
async fn the_last_1500_lines_of_each_process_stay_whatever_the_others_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journals(folder.path()).app(&blog());
    journal.append("gone", counted("web.1", 0..1_700)).await;
    for round in 0..20 {
        journal.append("loud", counted("web.2", round * 500..(round + 1) * 500)).await;
    }
    let of = |name: &str| Filter { process: Some(name.to_owned()), ..Filter::default() };
    let kept = texts(&journal, &of("web.1"), 1_500).await;
    assert_eq!((kept.len(), kept[0].as_str(), kept[1_499].as_str()), (1_500, "200", "1699"));
    let loud = texts(&journal, &of("web.2"), usize::MAX).await;
    assert!((1_500..=3_500).contains(&loud.len()), "{}", loud.len());
    assert_eq!(loud.last().map(String::as_str), Some("9999"));
}

#[tokio::test]
async fn bytes_are_bounded_and_what_is_oldest_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let journals = Journals::new(folder.path().join("journal"), Limits { bytes: 100_000 });
    let journal = journals.app(&blog());
    for round in 0..40 {
        journal.append(&format!("ring{round}"), counted("web.1", 0..100)).await;
    }
    let bytes: u64 = walk(&folder.path().join("journal/blog"));
    assert!(bytes <= 100_000, "{bytes}");
    let (lines, newest) = journal.history(&Filter::default(), usize::MAX).await;
    assert_eq!((lines.iter().map(|line| line.id).max(), newest), (Some(4_000), 4_000));
}

fn walk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| match entry.metadata().expect("metadata") {
            found if found.is_dir() => walk(&entry.path()),
            found => found.len(),
        })
        .sum()
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_and_half_a_line_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = journals(folder.path()).app(&blog());
    before.append("one", counted("web.1", 0..3)).await;
    before.append("two", counted("web.2", 0..2)).await;
    let file = folder.path().join("journal/blog/two/00000000000000000004.log");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, &text[..text.len() - 2]).expect("cut");

    let after = journals(folder.path()).app(&blog());
    after.append("two", vec![said("web.2", 9, "new")]).await;
    let (lines, newest) = after.history(&Filter::default(), 10).await;
    let found: Vec<_> = lines.iter().map(|line| (line.id, line.entry.text.as_str())).collect();
    assert_eq!(found, [(1, "0"), (4, "0"), (2, "1"), (3, "2"), (5, "new")]);
    assert_eq!(newest, 5);
}

#[tokio::test]
async fn a_follower_gets_every_line_once_over_restarts_and_its_own_breaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = journals(folder.path()).app(&blog());
    first.append("one", counted("web.1", 0..700)).await;
    let mut follower = first.follow(0, Filter::default()).await;
    let (mut seen, _) = drained(&mut follower, 700).await;
    first.append("one", counted("web.1", 700..900)).await;

    let second = journals(folder.path()).app(&blog());
    second.append("two", counted("web.2", 0..600)).await;
    let mut follower = second.follow(seen.len() as i64, Filter::default()).await;
    let (more, missed) = drained(&mut follower, 1_500).await;
    seen.extend(more);
    assert_eq!((seen, missed), ((1..=1_500).collect::<Vec<i64>>(), 0));
    let waits = tokio::time::timeout(Duration::from_millis(50), follower.next()).await;
    assert!(waits.is_err(), "nothing is left");
    second.append("two", counted("web.2", 600..601)).await;
    assert_eq!(drained(&mut follower, 1_501).await, (vec![1_501], 0));
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_many_lines_are_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journals(folder.path()).app(&blog());
    let mut follower = journal.follow(0, Filter::default()).await;
    for round in 0..50 {
        journal.append("loud", counted("web.1", round * 500..(round + 1) * 500)).await;
    }
    let (seen, missed) = drained(&mut follower, 25_000).await;
    assert!(missed > 0 && seen.len() > 15_000, "{missed}");
    assert_eq!(seen.len() as i64 + missed, 25_000);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_reader_that_goes_on_tells_apart_what_is_stored_and_what_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let journals = journals(folder.path());
    let journal = journals.app(&blog());
    // Two streams of one process: the later time was written first.
    let stored = [
        said("web.1", 10, "old"),
        said("web.1", 5_000, "x"),
        said("web.1", 4_900, "y"),
        said("web.1", 5_000, "x"),
    ];
    journal.append("one", stored.to_vec()).await;
    let mut resume = journal.resume("one").await;
    assert_eq!(resume.since, Some(at(4_000)));
    let again = [
        said("web.1", 3_999, "before"),
        said("web.1", 5_000, "x"),
        said("web.1", 5_000, "x"),
        said("web.1", 4_900, "y"),
        said("web.1", 4_950, "late"),
        said("web.1", 5_000, "x"),
        said("web.1", 5_001, "new"),
    ];
    let new: Vec<bool> = again.iter().map(|entry| resume.is_new(entry)).collect();
    assert_eq!(new, [false, false, false, false, true, true, true]);
    let mut fresh = journal.resume("another").await;
    assert!(fresh.since.is_none() && fresh.is_new(&again[0]));
}

#[tokio::test]
async fn a_note_is_said_once_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let journals = journals(folder.path());
        for _ in 0..2 {
            let texts = ["Process exited with status 1", "State changed"];
            journals.note(&blog(), at(7), ("web.1", "web"), &texts).await;
        }
        assert_eq!(
            texts(&journals.app(&blog()), &Filter::default(), 10).await,
            ["Process exited with status 1", "State changed"]
        );
    }
}

#[tokio::test]
async fn an_app_that_is_gone_leaves_nothing_and_ends_its_followers() {
    let folder = tempfile::tempdir().expect("a folder");
    let journals = journals(folder.path());
    let journal = journals.app(&blog());
    journal.append("one", counted("web.1", 0..3)).await;
    let mut follower = journal.follow(3, Filter::default()).await;
    journals.forget(&blog()).await;
    let ended = tokio::time::timeout(PATIENCE, follower.next()).await.expect("in time");
    assert!(ended.is_none());
    journal.append("one", counted("web.1", 3..4)).await;
    assert_eq!(journals.on_disk().await, Vec::<AppName>::new());
    assert_eq!(texts(&journals.app(&blog()), &Filter::default(), 10).await, Vec::<String>::new());
}
