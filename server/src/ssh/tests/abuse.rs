use super::*;
use crate::doors::testing::{PATIENCE, Seen, attempt, run};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn impatient() -> Settings {
    let soon = Duration::from_millis(300);
    Settings { auth_deadline: soon, command_deadline: soon, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_forwarded_and_there_is_no_subsystem() {
    let open = Open::new().await;
    let (entered, said) = attempt(open.ssh().args(["-W", "127.0.0.1:22"])).await;
    assert!(!entered && said.contains("administratively prohibited"), "{said}");
    let (entered, said) =
        attempt(open.ssh().args(["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", "whoami"])).await;
    assert!(!entered && said.contains("remote port forwarding failed"), "{said}");
    let (entered, said) = attempt(open.ssh().args(["-s", "sftp"])).await;
    assert!(!entered && said.contains("subsystem request failed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_not_negotiated() {
    let open = Open::new().await;
    let (_, said) = attempt(open.ssh().args(["-v", "-C", "whoami"])).await;
    assert!(said.contains("compression: none"), "{said}");
    assert!(!said.contains("compression: zlib"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_environment_only_the_git_protocol_is_taken() {
    let mut open = Open::new().await;
    let mut ssh = open.ssh();
    ssh.env("LD_PRELOAD", "x.so").env("GIT_PROTOCOL", "version=1").env("GIT_TRACE", "2");
    ssh.args(["-o", "SendEnv=LD_PRELOAD GIT_PROTOCOL GIT_TRACE", "git-upload-pack 'blog'"]);
    attempt(&mut ssh).await;
    let protocol = |seen: Vec<Seen>| {
        seen.into_iter().find_map(|seen| match seen {
            Seen::GitBegan(_, _, protocol) => Some(protocol),
            _ => None,
        })
    };
    assert_eq!(protocol(open.neighbours.seen()), Some(Some("version=1".to_owned())));
    let mut ssh = open.ssh();
    ssh.env("GIT_PROTOCOL", "version=1\nLD_PRELOAD=/tmp/x.so");
    attempt(ssh.args(["-o", "SendEnv=GIT_PROTOCOL", "git-upload-pack 'blog'"])).await;
    assert_eq!(protocol(open.neighbours.seen()), Some(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_cannot_be_smuggled_into_git() {
    let mut open = Open::new().await;
    for line in [
        "git-upload-pack --upload-pack=id 'blog.git'",
        "git-upload-pack '-oProxyCommand=id'",
        "git-upload-pack '--help'",
        "git-receive-pack 'blog.git' --stateless-rpc",
        "git-upload-archive 'blog.git'",
        "git-upload-pack '../blog.git'",
        "git upload-pack 'blog.git'; id",
    ] {
        let (entered, said) = attempt(open.ssh().arg(line)).await;
        assert!(!entered && said.starts_with("slipway: "), "{line}: {said}");
    }
    assert!(!open.neighbours.seen().iter().any(|seen| matches!(seen, Seen::GitBegan(..))));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_or_does_not_authenticate_is_cut_off() {
    let open = Open::with(impatient()).await;
    for opening in ["", "SSH-2.0-slow\r\n"] {
        let mut socket = TcpStream::connect(open.address).await.unwrap();
        socket.write_all(opening.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Ends by end of file or by a reset, but ends.
        timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("still open").ok();
        assert!(rest.starts_with(b"SSH-2.0-Slipway\r\n"));
    }
    timeout(PATIENCE, async {
        while open.tasks.len() > 1 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_sensible_is_cut_off() {
    let open = Open::new().await;
    for noise in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00".to_vec(),
    ] {
        let mut socket = TcpStream::connect(open.address).await.unwrap();
        socket.write_all(&noise).await.ok();
        let mut rest = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("still open").ok();
    }
    assert_eq!(run(open.ssh().arg("whoami")).await, "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_capped_by_address() {
    let open = Open::with(Settings { most_per_address: 2, ..Settings::default() }).await;
    let _first = TcpStream::connect(open.address).await.unwrap();
    let mut second = TcpStream::connect(open.address).await.unwrap();
    let mut greeting = [0; 17];
    timeout(PATIENCE, second.read_exact(&mut greeting)).await.unwrap().unwrap();
    let mut third = TcpStream::connect(open.address).await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, third.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("your address has as many"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_ends_everything() {
    let mut open = Open::new().await;
    let mut ssh = open.ssh().arg("hang").spawn().unwrap();
    open.neighbours.wait_for(&Seen::VerbBegan).await;
    open.stop.soft.cancel();
    open.stop.hard.cancel();
    open.neighbours.wait_for(&Seen::VerbDropped).await;
    timeout(PATIENCE, ssh.wait()).await.unwrap().unwrap();
    open.tasks.close();
    timeout(PATIENCE, open.tasks.wait()).await.unwrap();
}
