use super::*;
use crate::doors::testing::{PATIENCE, Seen, run};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Runs ssh with this on its standard input: status, standard output, standard error.
async fn told(mut ssh: Command, input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = timeout(PATIENCE, async {
        // The server may have had enough before the end.
        stdin.write_all(input).await.ok();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    })
    .await
    .expect("ssh hangs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn with(mut ssh: Command, words: &[&str]) -> Command {
    ssh.args(words);
    ssh
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_status_and_both_outputs_arrive() {
    let open = Open::new().await;
    for status in [0, 1, 42, 255] {
        let (code, _, errors) = told(with(open.ssh(), &["exit", &status.to_string()]), b"").await;
        assert_eq!((code, errors.as_str()), (Some(status), "to standard error\n"));
    }
    let (code, output, _) = told(with(open.ssh(), &["whoami"]), b"").await;
    assert_eq!((code, output.as_str()), (Some(0), "ada\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_reaches_the_verb_up_to_the_limit() {
    let open = Open::new().await;
    let (code, output, _) = told(with(open.ssh(), &["cat"]), b"two\nlines\n").await;
    assert_eq!((code, output.as_str()), (Some(0), "two\nlines\n"));
    let (code, output, _) = told(with(open.ssh(), &["cat"]), &vec![b'a'; 1024 * 1024]).await;
    assert_eq!((code, output.len()), (Some(0), 1024 * 1024));
    let (code, output, errors) = told(with(open.ssh(), &["cat"]), &vec![b'a'; 9 * 1024 * 1024]).await;
    assert_eq!((code, output.as_str()), (Some(3), ""));
    assert!(errors.contains("standard input has more than"), "{errors}");
    // A verb that does not read what it is sent ends all the same.
    let (code, _, _) = told(with(open.ssh(), &["exit", "4"]), &vec![b'a'; 9 * 1024 * 1024]).await;
    assert_eq!(code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_split_without_a_shell() {
    let open = Open::new().await;
    let (_, output, _) = told(with(open.ssh(), &["words", "'a b'", "$HOME", "\"*\"", ";", "id"]), b"").await;
    assert_eq!(output, r#"["words", "a b", "$HOME", "*", ";", "id"]"#);
    let (code, _, errors) = told(with(open.ssh(), &["words 'never closed"]), b"").await;
    assert_eq!(code, Some(128));
    assert!(errors.starts_with("slipway: a quote is opened"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_there_is_a_greeting_and_the_list_of_verbs() {
    let open = Open::new().await;
    let (code, output, _) = told(with(open.ssh(), &[]), b"").await;
    assert_eq!(code, Some(0));
    assert!(output.starts_with("Hello ada") && output.contains("apps:create\n"), "{output}");
    // On a terminal every line begins in the first column.
    let mut ssh = open.ssh();
    ssh.arg("-tt");
    let (code, output, _) = told(ssh, b"").await;
    assert_eq!(code, Some(0));
    assert!(output.contains("apps:create\r\n"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_is_dropped_when_its_client_goes_or_types_ctrl_c() {
    let mut open = Open::new().await;
    for verb in ["hang", "flood"] {
        let mut ssh = open.ssh().arg(verb).stdout(Stdio::piped()).spawn().unwrap();
        open.neighbours.wait_for(&Seen::VerbBegan).await;
        ssh.kill().await.unwrap();
        open.neighbours.wait_for(&Seen::VerbDropped).await;
    }
    let (code, _, _) = told(with(open.ssh(), &["-tt", "hang"]), b"\x03").await;
    assert_eq!(code, Some(130));
    open.neighbours.wait_for(&Seen::VerbDropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_verb_and_nothing_else() {
    let open = Open::new().await;
    let (code, _, _) = told(with(open.ssh(), &["panic"]), b"").await;
    assert_eq!(code, Some(70));
    assert_eq!(run(open.ssh().arg("whoami")).await, "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_one_verb_after_another() {
    let open = Open::new().await;
    let socket = open.neighbours.path("mux");
    let shared = || {
        let mut ssh = open.ssh();
        ssh.arg("-o").arg(format!("ControlPath={}", socket.display()));
        ssh
    };
    let mut master = with(shared(), &["-M", "-N"]).spawn().unwrap();
    let ready = async {
        while !socket.exists() {
            tokio::task::yield_now().await
        }
    };
    timeout(PATIENCE, ready).await.unwrap();
    for _ in 0..3 {
        assert_eq!(run(shared().arg("whoami")).await, "ada");
    }
    // Who has lost their key has lost it on connections that they had before, too.
    open.neighbours.remove_keys();
    let (code, output, errors) = told(with(shared(), &["whoami"]), b"").await;
    assert_eq!((code, output.as_str()), (Some(128), ""), "{errors}");
    assert!(errors.contains("your key was removed"), "{errors}");
    master.kill().await.unwrap();
}
