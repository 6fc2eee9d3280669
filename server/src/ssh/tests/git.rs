use super::*;
use crate::doors::testing::{PATIENCE, Seen, attempt, run};
use crate::doors::{Exchange, GitService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn push_clone_and_fetch_work() {
    let open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 1000).await;
    run(open.git(&tree).args(["push", &open.url("blog"), "main"])).await;
    let clone = open.neighbours.path("clone");
    run(open.git(&tree).args(["clone", "-q", &open.url("blog")]).arg(&clone)).await;
    assert_eq!(std::fs::read(tree.join("file")).unwrap(), std::fs::read(clone.join("file")).unwrap());
    std::fs::write(tree.join("file"), "two").unwrap();
    run(open.git(&tree).args(["commit", "-qam", "two"])).await;
    run(open.git(&tree).args(["push", &open.url("blog"), "main"])).await;
    run(open.git(&clone).args(["pull", "-q"])).await;
    assert_eq!(std::fs::read_to_string(clone.join("file")).unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_asks_for_protocol_two_and_gets_it() {
    let mut open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 1000).await;
    run(open.git(&tree).args(["commit", "-q", "--allow-empty", "-m", "two"])).await;
    run(open.git(&tree).args(["push", "-q", &open.url("blog"), "main"])).await;
    let clone = open.neighbours.path("clone");
    run(open
        .git(&tree)
        .args(["-c", "protocol.version=2", "clone", "-q", "--depth", "1", &open.url("blog")])
        .arg(&clone))
    .await;
    assert_eq!(run(open.git(&clone).args(["rev-list", "--count", "HEAD"])).await, "1");
    let began = Seen::GitBegan(GitService::Upload, Exchange::Whole, Some("version=2".to_owned()));
    assert!(open.neighbours.seen().contains(&began));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_arrive_whole() {
    let open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 20_000_000).await;
    run(open.git(&tree).args(["push", "-q", &open.url("blog"), "main"])).await;
    assert_eq!(open.neighbours.head().await, run(open.git(&tree).args(["rev-parse", "main"])).await);
    run(open.git(&open.neighbours.path("blog.git")).args(["fsck", "--strict"])).await;
    let clone = open.neighbours.path("clone");
    run(open.git(&tree).args(["clone", "-q", &open.url("blog")]).arg(&clone)).await;
    assert!(std::fs::read(tree.join("file")).unwrap() == std::fs::read(clone.join("file")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_pusher() {
    let open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 10).await;
    for (app, text) in [
        ("secret", "slipway: you are a viewer"),
        ("other", "slipway: there is no such app"),
        ("Bad", "is not an app name"),
    ] {
        let (pushed, said) = attempt(open.git(&tree).args(["push", &open.url(app), "main"])).await;
        assert!(!pushed && said.contains(text), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_client_in_the_middle_of_a_push_ends_the_work() {
    let mut open = Open::new().await;
    let mut ssh = open
        .ssh()
        .arg("git-receive-pack 'blog.git'")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let began = Seen::GitBegan(GitService::Receive, Exchange::Whole, None);
    open.neighbours.wait_for(&began).await;
    let mut first = [0; 4];
    timeout(PATIENCE, ssh.stdout.as_mut().unwrap().read_exact(&mut first)).await.unwrap().unwrap();
    ssh.stdin.as_mut().unwrap().write_all(b"00a0not all of it").await.unwrap();
    ssh.kill().await.unwrap();
    open.neighbours.wait_for(&Seen::GitEnded).await;
    assert_eq!(run(open.ssh().arg("whoami")).await, "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_while_it_is_sent_a_clone_ends_the_work() {
    let mut open = Open::new().await;
    let tree = open.neighbours.make_work_tree("tree", 30_000_000).await;
    run(open.git(&tree).args(["push", "-q", &open.url("blog"), "main"])).await;
    open.neighbours.seen();
    // Reads nothing: the window fills up, and the work waits for it.
    let mut ssh = open
        .ssh()
        .arg("git-upload-pack 'blog.git'")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let head = open.neighbours.head().await;
    let line = format!("want {head} side-band-64k ofs-delta\n");
    let wish = format!("{:04x}{line}00000009done\n", line.len() + 4);
    ssh.stdin.as_mut().unwrap().write_all(wish.as_bytes()).await.unwrap();
    let mut some = vec![0; 1_000_000];
    timeout(PATIENCE, ssh.stdout.as_mut().unwrap().read_exact(&mut some)).await.unwrap().unwrap();
    assert!(!open.neighbours.seen().contains(&Seen::GitEnded));
    ssh.kill().await.unwrap();
    open.neighbours.wait_for(&Seen::GitEnded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_outlives_a_client_that_goes_and_a_stop_waits_for_it() {
    let mut open = Open::new().await;
    let mut ssh = open
        .ssh()
        .arg("git-receive-pack 'blog.git'")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    open.neighbours.wait_for(&Seen::GitBegan(GitService::Receive, Exchange::Whole, None)).await;
    open.stop.soft.cancel();
    open.tasks.close();
    // The push that has begun may still be finished; here by saying nothing more.
    ssh.stdin.take().unwrap().write_all(b"0000").await.unwrap();
    let status = timeout(PATIENCE, ssh.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    timeout(PATIENCE, open.tasks.wait()).await.unwrap();
    assert!(tokio::net::TcpStream::connect(open.address).await.is_err(), "the door still listens");
}
