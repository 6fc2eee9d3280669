//! Requests during a switch, and HTTP checks.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::*;

/// Pause between two requests of the loop.
const REQUEST_EVERY: Duration = Duration::from_millis(20);

/// Answers every request with this status and the config's greeting.
fn answers(status: &str) -> Command {
    let program = format!(
        "import os, socket, signal, sys\n\
         signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n\
         server = socket.create_server(('', int(os.environ['PORT'])))\n\
         while True:\n\
         \x20   client, _ = server.accept()\n\
         \x20   client.recv(4096)\n\
         \x20   client.sendall(b'HTTP/1.0 {status}\\r\\n\\r\\n' + os.environ['GREETING'].encode())\n\
         \x20   client.close()\n"
    );
    Command::Argv(vec!["python3".to_owned(), "-c".to_owned(), program])
}

fn web(status: &str) -> Process {
    let check = Check::Http { path: "/".to_owned(), timeout: Duration::from_secs(10) };
    Process { command: answers(status), check, ..process("web", "") }
}

/// One request through the Service, by way of the apiserver's proxy (which any cluster has).
async fn ask(stage: &Stage) -> Result<String, String> {
    let path = format!("/api/v1/namespaces/{}/services/{APP}:http/proxy/", stage.namespace);
    let request = axum::http::Request::get(path).body(Vec::new()).expect("a request");
    stage.target.cluster.client().request_text(request).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn no_request_fails_while_one_release_takes_over_from_another() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = workload(1, vec![web("200 OK")]).await;
    let began = Instant::now();
    stage.succeeds(&first, None).await;
    println!("first release with an HTTP check: {} ms", began.elapsed().as_millis());
    let mut second = Workload { version: 2, ..first.clone() };
    second.config.insert("GREETING".parse().expect("a key"), "hello again".into());

    let done = CancellationToken::new();
    let requests = async {
        let mut answers = BTreeMap::<_, u32>::new();
        let mut ticks = tokio::time::interval(REQUEST_EVERY);
        // On until the second release answers alone for a while: its old pod goes only then.
        while !done.is_cancelled()
            || answers.get(&Ok("hello again".to_owned())).is_none_or(|count| *count < 200)
        {
            ticks.tick().await;
            *answers.entry(ask(&stage).await).or_default() += 1;
        }
        answers
    };
    let release = async {
        wait_until(|| async { ask(&stage).await.is_ok() }).await;
        let began = Instant::now();
        stage.succeeds(&second, Some(&first)).await;
        println!("second release with an HTTP check: {} ms", began.elapsed().as_millis());
        done.cancel();
    };
    let (answers, ()) =
        tokio::time::timeout(LIMIT, async { tokio::join!(requests, release) }).await.expect("in time");
    println!("{answers:?}");
    assert!(answers.keys().all(Result::is_ok), "{answers:?}");
    assert_eq!(answers.len(), 2, "{answers:?}");
    stage.tear_down().await;
}

#[tokio::test]
async fn an_http_check_that_is_answered_badly_fails_the_release() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let why = stage.fails(&workload(1, vec![web("503 Busy")]).await, None).await;
    println!("{why}");
    assert!(why.contains("without answering its check") && why.contains("503"), "{why}");
    stage.tear_down().await;
}
