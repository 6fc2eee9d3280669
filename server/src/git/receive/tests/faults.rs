//! Bad input and clients that leave.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::super::super::testing::{Bridge, Work, push};
use super::super::pktline::{FLUSH, push_packet};
use super::*;

/// Longest wait for an answer that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A commit whose tree holds one entry of any name, which `git add` would not make.
async fn commit_with_entry(work: &Work, name: &str) -> String {
    work.commit("seed", "x").await;
    let blob = work.git(&["rev-parse", "HEAD:seed"]).await;
    let mut tree = format!("100644 {name}\0").into_bytes();
    tree.extend(hex::decode(&blob).unwrap());
    std::fs::write(work.path.join("tree"), tree).unwrap();
    let tree = work.git(&["hash-object", "-t", "tree", "-w", "--literally", "tree"]).await;
    work.git(&["commit-tree", "-m", "Bad", &tree]).await
}

#[tokio::test]
async fn trees_that_could_write_outside_a_checkout_are_refused_by_name() {
    for (entry, rule) in [(".git", "hasDotgit"), ("..", "hasDotdot"), (".GIT", "hasDotgit")] {
        let bridge = Bridge::start().await;
        let work = bridge.work("work").await;
        let commit = commit_with_entry(&work, entry).await;
        let (pushed, said) = work.push(&["platform", &format!("{commit}:refs/heads/main")]).await;
        assert!(!pushed && said.contains("is not safe to accept") && said.contains(rule), "{entry}: {said}");
        assert_eq!((bridge.main().await, bridge.quarantines()), (None, 0));
    }
}

#[tokio::test]
async fn more_refs_than_allowed_are_refused_with_the_limit() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let refs: Vec<_> = (0..65).map(|n| format!("main:refs/heads/b{n}")).collect();
    let args: Vec<_> = std::iter::once("platform").chain(refs.iter().map(String::as_str)).collect();
    let (pushed, said) = work.push(&args).await;
    assert!(!pushed && said.contains("65 refs in one push, at most 64 are accepted"), "{said}");
    assert_eq!(bridge.repository.visible_refs().await.unwrap(), []);
    let (pushed, _) = work.push(&args[..65]).await;
    assert!(pushed);
}

#[tokio::test]
async fn a_pack_over_the_limit_is_refused_with_the_setting() {
    let limits = ReceiveLimits { max_pack_bytes: 100_000, ..ReceiveLimits::default() };
    let bridge = Bridge::with_limits(limits).await;
    let work = bridge.work("work").await;
    let mut seed = 1u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8
    });
    let noise: Vec<u8> = noise.take(3_000_000).collect();
    work.commit("noise", noise).await;
    let (pushed, said) = work.push(&["platform", "main"]).await;
    assert!(!pushed && said.contains("SLIPWAY_MAX_PACK"), "{said}");
    assert_eq!((bridge.main().await, bridge.quarantines()), (None, 0));
}

#[tokio::test]
async fn a_branch_that_is_no_commit_is_refused() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let tree = work.git(&["rev-parse", "HEAD^{tree}"]).await;
    let wire = request(&tree, "refs/heads/main", &pack(&work, &tree).await);
    let answer = converse(&bridge.repository, &wire).await;
    assert!(answer.contains("does not point at a commit"), "{answer}");
}

#[tokio::test]
async fn a_push_that_leaves_objects_out_is_refused() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let first = work.git(&["rev-parse", "HEAD"]).await;
    work.commit("a.txt", "two").await;
    let head = work.git(&["rev-parse", "HEAD"]).await;
    let wire = request(&head, "refs/heads/main", &pack(&work, &format!("{head}\n^{first}")).await);
    let answer = converse(&bridge.repository, &wire).await;
    assert!(answer.contains("objects are missing from the push"), "{answer}");
    assert_eq!((bridge.main().await, bridge.quarantines(), bridge.packs()), (None, 0, 0));
}

#[tokio::test]
async fn a_new_ref_to_an_object_that_nobody_has_is_refused() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let head = work.git(&["rev-parse", "HEAD"]).await;
    let wire = request(&"ab".repeat(20), "refs/heads/main", &pack(&work, &head).await);
    let answer = converse(&bridge.repository, &wire).await;
    assert!(answer.contains("objects are missing from the push"), "{answer}");
}

#[tokio::test]
async fn rubbish_in_place_of_a_pack_is_called_so() {
    let bridge = Bridge::start().await;
    let wire = request(&"ab".repeat(20), "refs/heads/main", &b"this is not a pack at all".repeat(4));
    let answer = converse(&bridge.repository, &wire).await;
    assert!(answer.contains("not a valid pack"), "{answer}");
    assert_eq!(bridge.quarantines(), 0);
}

#[tokio::test]
async fn the_probe_starts_nothing() {
    let bridge = Bridge::start().await;
    let answer = converse(&bridge.repository, FLUSH).await;
    assert!(answer.ends_with("0000"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_in_any_phase_leaves_nothing_behind() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let head = work.git(&["rev-parse", "HEAD"]).await;
    let pack = pack(&work, &head).await;
    let wire = request(&head, "refs/heads/main", &pack);
    let in_commands = 20;
    let before_pack = wire.len() - pack.len();
    for cut in [0, in_commands, before_pack, before_pack + 8, before_pack + 40, wire.len() - 1] {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(&wire[..cut]).await.unwrap();
        drop(client);
        let outcome = serve(&bridge.repository, server, &ReceiveLimits::default()).await;
        assert!(outcome.is_err(), "cut at {cut} was taken for a push");
        assert_eq!((bridge.main().await, bridge.quarantines()), (None, 0), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_is_given_up() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let head = work.git(&["rev-parse", "HEAD"]).await;
    let wire = request(&head, "refs/heads/main", &pack(&work, &head).await);
    let limits = ReceiveLimits { idle: Duration::from_millis(100), ..ReceiveLimits::default() };
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(&wire[..wire.len() - 10]).await.unwrap();
    let repository = bridge.repository.clone();
    let serving = tokio::spawn(async move { serve(&repository, server, &limits).await });
    let answer = timeout(PATIENCE, read_answer(&mut client)).await.expect("it was waited for");
    assert!(answer.contains("the push was given up"), "{answer}");
    drop(client);
    serving.await.unwrap().unwrap();
    assert_eq!(bridge.quarantines(), 0);
}

#[tokio::test]
async fn a_client_that_falls_silent_in_its_commands_is_given_up() {
    let bridge = Bridge::start().await;
    let wire = request(&"ab".repeat(20), "refs/heads/main", &[]);
    let limits = ReceiveLimits { idle: Duration::from_millis(100), ..ReceiveLimits::default() };
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(&wire[..wire.len() - FLUSH.len()]).await.unwrap();
    let served = timeout(PATIENCE, serve(&bridge.repository, server, &limits)).await;
    let error = served.expect("it was waited for").expect_err("it was taken for a push");
    assert!(error.to_string().contains("the client said nothing"), "{error}");
}

#[tokio::test]
async fn a_push_that_is_dropped_half_way_leaves_only_what_the_sweep_takes() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let head = work.git(&["rev-parse", "HEAD"]).await;
    let wire = request(&head, "refs/heads/main", &pack(&work, &head).await);
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(&wire[..wire.len() - 10]).await.unwrap();
    let limits = ReceiveLimits::default();
    let serving = serve(&bridge.repository, server, &limits);
    timeout(Duration::from_millis(300), serving).await.expect_err("it ended by itself");
    bridge.repository.sweep(Duration::ZERO).await.unwrap();
    assert_eq!((bridge.main().await, bridge.quarantines()), (None, 0));
}

/// The objects that `revisions` (lines for `--revs`) reach.
async fn pack(work: &Work, revisions: &str) -> Vec<u8> {
    use std::process::Stdio;
    let mut command = tokio::process::Command::new("git");
    command.current_dir(&work.path).args(["pack-objects", "--stdout", "--revs", "-q"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{revisions}\n").as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap().stdout
}

fn request(new: &str, name: &str, pack: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let old = Oid::ZERO;
    push_packet(&mut wire, format!("{old} {new} {name}\0 report-status side-band-64k").as_bytes());
    wire.extend_from_slice(FLUSH);
    wire.extend_from_slice(pack);
    wire
}

/// Sends everything, keeps the connection open as SSH does, and gives what was answered.
async fn converse(repository: &Repository, wire: &[u8]) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(wire).await.unwrap();
    let repository = repository.clone();
    let limits = ReceiveLimits::default();
    let serving = tokio::spawn(async move { serve(&repository, server, &limits).await });
    let answer = timeout(PATIENCE, read_answer(&mut client)).await.expect("no answer came");
    drop(client);
    serving.await.unwrap().unwrap();
    answer
}

async fn serve(repository: &Repository, server: DuplexStream, limits: &ReceiveLimits) -> anyhow::Result<()> {
    let (reader, writer) = tokio::io::split(server);
    push(repository, reader, writer, limits).await
}

/// Up to the end, or to the second flush: the advertisement's and the report's.
async fn read_answer(client: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut chunk).await {
        answer.extend_from_slice(&chunk[..count]);
        if answer.ends_with(b"00000000") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
