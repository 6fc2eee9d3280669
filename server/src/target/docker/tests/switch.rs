//! Rollouts that end well.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// Asks 50 times a second on fresh connections; counts the answers by their text.
struct Load {
    answers: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(address: std::net::SocketAddr) -> Self {
        let (answers, stop) = (Arc::new(Mutex::new(BTreeMap::new())), CancellationToken::new());
        let (counted, stopped) = (Arc::clone(&answers), stop.clone());
        let task = tokio::spawn(async move {
            let asked = TaskTracker::new();
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
                let counted = Arc::clone(&counted);
                asked.spawn(async move {
                    let answer = match get_from(address, "blog.localhost", "/").await {
                        Ok((200, text)) => text.lines().last().unwrap_or_default().to_owned(),
                        other => format!("failed: {other:?}"),
                    };
                    *locked(&counted).entry(answer).or_insert(0) += 1;
                });
            }
            asked.close();
            asked.wait().await;
        });
        Self { answers, stop, task }
    }

    async fn until(&self, text: &str, count: usize) {
        let enough = async {
            while locked(&self.answers).get(text).is_none_or(|seen| *seen < count) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("enough answers");
    }

    async fn end(self) -> BTreeMap<String, usize> {
        self.stop.cancel();
        self.task.await.expect("asks");
        locked(&self.answers).clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_loses_no_request() {
    let Some(stage) = stage().await else { return };
    let (mut one, mut two) = (web("one"), web("two"));
    (one.quantity, two.quantity) = (2, 2);
    stage.roll_out(&workload(1, vec![one])).await.expect("v1 runs");
    let load = Load::start(stage.router.address);
    load.until("one", 60).await;
    let began = std::time::Instant::now();
    stage.roll_out(&workload(2, vec![two])).await.expect("v2 runs");
    println!("switched after {:?}", began.elapsed());
    load.until("two", 60).await;
    stage.settled().await;
    load.until("two", 90).await;
    let answers = load.end().await;
    println!("answers: {answers:?}");
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["one", "two"], "{answers:?}");
    assert_eq!(stage.containers().await, ["blog-web-1-v2", "blog-web-2-v2"]);
}

#[tokio::test]
async fn nothing_moves_for_an_unchanged_release() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one"), worker("exec sleep 1000")])).await.expect("v1 runs");
    let before = stage.ids().await;
    stage.roll_out(&workload(2, vec![web("one"), worker("exec sleep 1000")])).await.expect("v2 is v1");
    stage.settled().await;
    assert_eq!(stage.ids().await, before);
    let app = "blog".parse().expect("a name");
    assert_eq!(stage.router.control.routes().await.expect("routes")[&app].version, 2);

    // Of two types only the changed one moves; a type that is gone is stopped, and so is one with quantity 0.
    let changed = worker("exec sleep 2000");
    stage.roll_out(&workload(3, vec![web("one"), changed.clone()])).await.expect("v3 runs");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-worker-1-v3"]);
    stage
        .roll_out(&workload(4, vec![Process { quantity: 0, ..web("one") }, changed]))
        .await
        .expect("v4 runs");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-worker-1-v3"]);
    let (status, _) = stage.router.get("blog.localhost", "/").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn more_of_a_type_keeps_those_that_run() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    let before = stage.ids().await;
    stage.roll_out(&workload(2, vec![Process { quantity: 3, ..web("one") }])).await.expect("scales");
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-2-v2", "blog-web-3-v2"]);
    stage.roll_out(&workload(3, vec![web("one")])).await.expect("scales back");
    stage.settled().await;
    assert_eq!(stage.ids().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_within_a_release_loses_no_request() {
    let Some(stage) = stage().await else { return };
    let scaled = |quantity| workload(1, vec![Process { quantity, ..web("one") }]);
    stage.roll_out(&scaled(1)).await.expect("v1 runs");
    let load = Load::start(stage.router.address);
    for round in 1..=2 {
        // Those on their way out still have the names that the next ones get.
        stage.roll_out(&scaled(3)).await.expect("scales up");
        load.until("one", 80 * round - 40).await;
        stage.roll_out(&scaled(1)).await.expect("scales down");
        load.until("one", 80 * round).await;
    }
    stage.settled().await;
    assert_eq!(load.end().await.keys().collect::<Vec<_>>(), ["one"]);
    assert_eq!(stage.containers().await, ["blog-web-1-v1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_no_request_and_one_that_fails_replaces_nothing() {
    let Some(stage) = stage().await else { return };
    let two = workload(1, vec![Process { quantity: 2, ..web("one") }, worker("exec sleep 1000")]);
    stage.roll_out(&two).await.expect("v1 runs");
    let before = stage.ids().await;
    let load = Load::start(stage.router.address);
    load.until("one", 20).await;
    stage.replace(&two, &Which::Type("web".parse().expect("a type"))).await.expect("restarts");
    load.until("one", 60).await;
    stage.settled().await;
    let after = stage.ids().await;
    assert_eq!(after.len(), 3);
    assert_eq!(after.keys().filter(|id| before.contains_key(*id)).count(), 1, "the worker stays");

    let mut broken = two.clone();
    broken.image = "slipway/no-such-image:latest".to_owned();
    broken.processes[0].quantity = 3;
    stage.replace(&broken, &Which::All).await.expect_err("there is no such image");
    stage.settled().await;
    assert_eq!(stage.ids().await, after);
    assert_eq!(load.end().await.keys().collect::<Vec<_>>(), ["one"]);
}

#[tokio::test]
async fn one_process_ends_and_the_others_keep_their_numbers() {
    let Some(stage) = stage().await else { return };
    let scaled = |quantity| workload(1, vec![Process { quantity, ..web("one") }]);
    stage.roll_out(&scaled(3)).await.expect("v1 runs");
    stage.replace(&scaled(2), &Which::Named("web.2".to_owned())).await.expect("stops");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-3-v1"]);
    stage.target.reconcile(&[scaled(2)]).await.expect("reconciles");
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-3-v1"]);
    stage.roll_out(&scaled(3)).await.expect("scales");
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-2-v1", "blog-web-3-v1"]);
}

#[tokio::test]
async fn a_rollback_has_the_higher_version_and_an_older_release_comes_too_late() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    stage.roll_out(&workload(2, vec![web("two")])).await.expect("v2 runs");
    // At once: the old container of the same kind is on its way out and must not be counted on.
    stage.roll_out(&workload(3, vec![web("one")])).await.expect("v3 runs");
    assert_eq!(stage.page().await, "one");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v3"]);
    for stage in [&stage, &stage.restarted()] {
        let late = stage.roll_out(&workload(2, vec![web("two")])).await;
        assert!(matches!(late, Err(RolloutError::Interrupted)), "{late:?}");
        assert_eq!(stage.page().await, "one");
    }
}

#[tokio::test]
async fn an_app_may_have_no_web_process() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![worker("echo working; exec sleep 1000")])).await.expect("v1 runs");
    let processes = stage.target.processes(&"blog".parse().expect("a name")).await.expect("processes");
    let [only] = processes.as_slice() else { panic!("{processes:?}") };
    assert_eq!((only.name.as_str(), only.state.as_str(), only.version), ("worker.1", "up", 1));
    assert_eq!(only.command, "echo working; exec sleep 1000");
    let (status, text) = stage.router.get("blog.localhost", "/").await;
    assert_eq!(status, 503, "{text}");
}

#[tokio::test]
async fn a_process_is_told_its_config_and_its_port() {
    let Some(stage) = stage().await else { return };
    let line = "mkdir /tmp/www; echo $GREETING $PORT $DYNO > /tmp/www/index.html; exec busybox httpd -f -p $PORT -h /tmp/www";
    let mut next = workload(1, vec![process("web", line, http("/"))]);
    next.config.insert("GREETING".parse().expect("a key"), "hello".into());
    next.config.insert("PORT".parse().expect("a key"), "1".into());
    stage.roll_out(&next).await.expect("runs");
    assert_eq!(stage.page().await, "hello 5000 web.1");
}

#[tokio::test]
async fn two_platforms_on_one_engine_do_not_touch_each_other() {
    let (Some(ours), Some(theirs)) = (stage().await, stage().await) else { return };
    ours.roll_out(&workload(1, vec![web("ours")])).await.expect("runs");
    theirs.roll_out(&workload(1, vec![web("theirs")])).await.expect("runs");
    ours.target.reconcile(&[]).await.expect("reconciles");
    ours.target.remove(&"blog".parse().expect("a name")).await.expect("removes");
    assert_eq!(ours.containers().await, Vec::<String>::new());
    assert_eq!(theirs.page().await, "theirs");
}
