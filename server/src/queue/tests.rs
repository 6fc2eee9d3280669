//! The queue on a real PostgreSQL.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::FutureExt;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::db::jobs::NewJob;
use crate::db::testing::TestDatabase;
use crate::domain::ids::JobId;

const KIND: &str = "test";
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

struct Rig {
    database: TestDatabase,
    queue: Queue,
    shutdown: Shutdown,
}

impl Rig {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let queue = Queue::new(database.pool.clone());
        let shutdown = Shutdown { soft: CancellationToken::new(), hard: CancellationToken::new() };
        Self { database, queue, shutdown }
    }

    async fn conn(&self) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
        self.database.pool.acquire().await.expect("connects")
    }

    async fn enqueue(&self, lane: &str) -> JobId {
        let job = NewJob { kind: KIND, lane, payload: json!({ "lane": lane }) };
        jobs::enqueue(&mut *self.conn().await, job).await.expect("inserts")
    }

    async fn claim(&self, lease: Duration) -> Option<Job> {
        jobs::claim_next(&mut *self.conn().await, KIND, Uuid::new_v4(), lease).await.expect("answers")
    }

    async fn state(&self, job: JobId) -> (String, i32, i32) {
        let conn = &mut *self.conn().await;
        sqlx::query_as("SELECT status, attempt, handed_back FROM jobs WHERE id = $1")
            .bind(job.0)
            .fetch_one(conn)
            .await
            .expect("is there")
    }

    fn work(&self, slots: usize, handler: Handler) -> JoinHandle<()> {
        let (queue, shutdown) = (self.queue.clone(), self.shutdown.clone());
        tokio::spawn(async move { queue.work(KIND, slots, shutdown, handler).await })
    }

    async fn stop(&self, worker: JoinHandle<()>) {
        self.shutdown.soft.cancel();
        tokio::time::timeout(LONG, worker).await.expect("the worker ends").expect("no panic");
    }
}

/// A handler that reports each job that it is given and ends as it is told.
fn telling(
    told: mpsc::UnboundedSender<Job>,
    end: impl Fn(&Job) -> Result<(), JobError> + Send + Sync + 'static,
) -> Handler {
    Arc::new(move |job, _| {
        let end = end(&job);
        told.send(job).expect("the test listens");
        async move { end }.boxed()
    })
}

async fn next<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(LONG, told.recv()).await.expect("in time").expect("the worker lives")
}

#[tokio::test]
async fn who_lost_the_lease_changes_nothing_any_more() {
    let rig = Rig::new().await;
    let id = rig.enqueue("a").await;
    let lost = rig.claim(Duration::ZERO).await.expect("a job");
    let conn = &mut *rig.conn().await;
    assert_eq!(jobs::rescue(conn, Rescue::Expired).await.expect("updates"), 1);
    let kept = rig.claim(LONG).await.expect("the same job");
    assert_eq!((kept.id, kept.attempt, kept.tries), (id, 2, 2));
    assert_eq!(jobs::rescue(conn, Rescue::Expired).await.expect("updates"), 0);
    let none = Duration::ZERO;
    assert_eq!(jobs::heartbeat(conn, &lost, LONG).await.expect("updates"), Fenced::Lost);
    assert_eq!(jobs::retry_after(conn, &lost, none, "late").await.expect("updates"), Fenced::Lost);
    assert_eq!(jobs::hand_back(conn, &lost, none).await.expect("updates"), Fenced::Lost);
    assert_eq!(jobs::finish(conn, &lost, &End::Done).await.expect("updates"), Fenced::Lost);
    assert_eq!(jobs::heartbeat(conn, &kept, LONG).await.expect("updates"), Fenced::Done);
    assert_eq!(jobs::finish(conn, &kept, &End::Done).await.expect("updates"), Fenced::Done);
    assert_eq!(rig.state(id).await, ("done".to_owned(), 2, 0));
}

#[tokio::test]
async fn a_job_that_was_handed_back_has_a_new_fence_and_has_not_spent_its_try() {
    let rig = Rig::new().await;
    rig.enqueue("a").await;
    let first = rig.claim(LONG).await.expect("a job");
    let conn = &mut *rig.conn().await;
    assert_eq!(jobs::hand_back(conn, &first, Duration::ZERO).await.expect("updates"), Fenced::Done);
    let second = rig.claim(LONG).await.expect("the same job");
    assert_eq!((second.attempt, second.tries), (2, 1));
    // The answer to the first one was lost, so its worker says it again: the second start must not notice.
    assert_eq!(jobs::hand_back(conn, &first, Duration::ZERO).await.expect("updates"), Fenced::Lost);
    assert_eq!(jobs::heartbeat(conn, &second, LONG).await.expect("updates"), Fenced::Done);
}

#[tokio::test]
async fn jobs_of_a_lane_run_in_order_and_one_that_waits_for_its_retry_keeps_its_place() {
    let rig = Rig::new().await;
    let first = rig.enqueue("a").await;
    let second = rig.enqueue("a").await;
    let other = rig.enqueue("b").await;
    let running = rig.claim(LONG).await.expect("a job");
    assert_eq!(running.id, first);
    assert_eq!(rig.claim(LONG).await.expect("a job").id, other);
    assert!(rig.claim(LONG).await.is_none(), "the lane was taken twice");
    let conn = &mut *rig.conn().await;
    let fenced = jobs::retry_after(conn, &running, LONG, "engine lost").await.expect("updates");
    assert_eq!(fenced, Fenced::Done);
    assert!(rig.claim(LONG).await.is_none(), "a later job overtook one that is to be tried again");
    sqlx::query("UPDATE jobs SET run_after = now() WHERE id = $1")
        .bind(first.0)
        .execute(&mut *conn)
        .await
        .expect("updates");
    let again = rig.claim(LONG).await.expect("the first again");
    assert_eq!(again.id, first);
    assert_eq!(jobs::finish(conn, &again, &End::Done).await.expect("updates"), Fenced::Done);
    assert_eq!(rig.claim(LONG).await.expect("the second").id, second);
}

#[tokio::test]
async fn workers_that_claim_at_the_same_time_never_share_a_lane() {
    let rig = Rig::new().await;
    for round in 0..8 {
        for lane in ["a", "b", "c"] {
            rig.enqueue(&format!("{lane}{}", round % 2)).await;
        }
    }
    let claims = futures::future::join_all((0..16).map(|_| rig.claim(LONG))).await;
    let mut lanes: Vec<String> =
        claims.into_iter().flatten().map(|job| job.payload["lane"].to_string()).collect();
    let claimed = lanes.len();
    lanes.sort();
    lanes.dedup();
    assert_eq!(lanes.len(), claimed);
    while rig.claim(LONG).await.is_some() {}
    let running: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE status = 'running'")
        .fetch_one(&mut *rig.conn().await)
        .await
        .expect("answers");
    assert_eq!(running, 6, "a lane was left idle");
}

#[tokio::test]
async fn taking_over_queues_what_another_server_held_and_leaves_our_own() {
    let rig = Rig::new().await;
    let (theirs, ours) = (rig.enqueue("a").await, rig.enqueue("b").await);
    rig.claim(LONG).await.expect("a job");
    rig.queue.claim(KIND).await.expect("answers").expect("a job");
    assert_eq!(rig.queue.take_over().await.expect("updates"), 1);
    assert_eq!(rig.state(theirs).await.0, "queued");
    assert_eq!(rig.state(ours).await.0, "running");
}

#[tokio::test]
async fn only_a_job_that_nobody_has_claimed_can_be_withdrawn() {
    let rig = Rig::new().await;
    let id = rig.enqueue("a").await;
    let payload = json!({ "lane": "a" });
    let running = rig.claim(LONG).await.expect("a job");
    let conn = &mut *rig.conn().await;
    assert_eq!(jobs::withdraw(conn, KIND, &payload).await.expect("updates"), 0);
    assert_eq!(jobs::hand_back(conn, &running, Duration::ZERO).await.expect("updates"), Fenced::Done);
    assert_eq!(jobs::withdraw(conn, KIND, &payload).await.expect("updates"), 1);
    assert_eq!(rig.state(id).await.0, "done");
    assert!(rig.claim(LONG).await.is_none());
}

#[tokio::test]
async fn a_wake_up_is_never_lost() {
    const JOBS: u32 = 20;
    let rig = Rig::new().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let worker = rig.work(1, telling(told, |_| Ok(())));
    let began = Instant::now();
    for _ in 0..JOBS {
        let id = rig.enqueue("a").await;
        rig.queue.wake();
        assert_eq!(next(&mut heard).await.id, id);
    }
    assert!(began.elapsed() < POLL * JOBS / 2, "wake-ups were lost: {:?}", began.elapsed());
    let unannounced = rig.enqueue("a").await;
    assert_eq!(next(&mut heard).await.id, unannounced);
    rig.stop(worker).await;
}

#[tokio::test]
async fn a_panic_ends_one_try_and_nothing_else() {
    let rig = Rig::new().await;
    let (bad, good) = (rig.enqueue("bad").await, rig.enqueue("good").await);
    let (told, mut heard) = mpsc::unbounded_channel();
    let worker = rig.work(
        1,
        telling(told, move |job| {
            assert!(job.id != bad || job.tries > 1, "the first try panics");
            Ok(())
        }),
    );
    assert_eq!(next(&mut heard).await.id, good);
    let again = next(&mut heard).await;
    assert_eq!((again.id, again.tries), (bad, 2));
    rig.stop(worker).await;
    assert_eq!(rig.state(bad).await, ("done".to_owned(), 2, 0));
}

#[tokio::test]
async fn a_try_that_could_not_begin_does_not_count_and_one_that_failed_does() {
    let rig = Rig::new().await;
    let id = rig.enqueue("a").await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let after = Duration::from_millis(1);
    let error = || anyhow::anyhow!("not now");
    let worker = rig.work(
        1,
        telling(told, move |job| match job.attempt {
            1 | 2 => Err(JobError::NotBegun { after, error: error() }),
            3 => Err(JobError::Retry { after, error: error() }),
            _ => Err(JobError::Fail(error())),
        }),
    );
    let mut tries = Vec::new();
    for _ in 0..4 {
        tries.push(next(&mut heard).await.tries);
    }
    assert_eq!(tries, [1, 1, 1, 2]);
    rig.stop(worker).await;
    assert_eq!(rig.state(id).await, ("dead".to_owned(), 4, 2));
}

#[tokio::test]
async fn a_soft_shutdown_finishes_what_runs_and_takes_nothing_new() {
    let rig = Rig::new().await;
    let (first, second) = (rig.enqueue("a").await, rig.enqueue("a").await);
    let (told, mut heard) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let worker = rig.work(
        2,
        Arc::new(move |job, _| {
            told.send(job.id).expect("the test listens");
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                Ok(())
            }
            .boxed()
        }),
    );
    assert_eq!(next(&mut heard).await, first);
    rig.shutdown.soft.cancel();
    go_on.notify_one();
    rig.stop(worker).await;
    assert_eq!(rig.state(first).await.0, "done");
    assert_eq!(rig.state(second).await, ("queued".to_owned(), 0, 0));
}

#[tokio::test]
async fn a_hard_shutdown_drops_the_work_and_hands_the_job_back() {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let rig = Rig::new().await;
    let id = rig.enqueue("a").await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let alive = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&alive);
    let worker = rig.work(
        1,
        Arc::new(move |job, _| {
            count.fetch_add(1, Ordering::SeqCst);
            let running = Running(Arc::clone(&count));
            told.send(job.id).expect("the test listens");
            async move {
                let _running = running;
                std::future::pending().await
            }
            .boxed()
        }),
    );
    next(&mut heard).await;
    rig.shutdown.soft.cancel();
    rig.shutdown.hard.cancel();
    rig.stop(worker).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(rig.state(id).await, ("queued".to_owned(), 1, 1));
    assert_eq!(rig.claim(LONG).await.expect("due at once").tries, 1);
}

#[tokio::test]
async fn who_loses_the_lease_is_told_and_does_not_end_the_others_job() {
    let rig = Rig::new().await;
    let id = rig.enqueue("a").await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let worker = rig.work(
        1,
        Arc::new(move |_, lost: CancellationToken| {
            let told = told.clone();
            async move {
                told.send("begun").expect("the test listens");
                lost.cancelled().await;
                told.send("lost").expect("the test listens");
                Ok(())
            }
            .boxed()
        }),
    );
    assert_eq!(next(&mut heard).await, "begun");
    // What a rescue by another server and its claim do.
    sqlx::query("UPDATE jobs SET attempt = 2, worker = $1")
        .bind(Uuid::new_v4())
        .execute(&mut *rig.conn().await)
        .await
        .expect("updates");
    assert_eq!(next(&mut heard).await, "lost");
    rig.stop(worker).await;
    assert_eq!(rig.state(id).await, ("running".to_owned(), 2, 0));
}
