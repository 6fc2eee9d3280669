//! The log on a real PostgreSQL: the writer at one end, followers at the other.

use secrecy::SecretString;

use super::*;
use crate::db::builds;
use crate::db::testing::TestDatabase;
use crate::domain::ids::BuildId;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const ROOMY: usize = 64 * 1024 * 1024;

struct Rig {
    database: TestDatabase,
    hub: LogHub,
    build: BuildId,
}

impl Rig {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let build = BuildId::new();
        let insert =
            "WITH team AS (INSERT INTO teams (id, name) VALUES (gen_random_uuid(), 'default') RETURNING id),
                 app AS (INSERT INTO apps (id, name, team_id, wrapped_key)
                         SELECT gen_random_uuid(), 'blog', id, '' FROM team RETURNING id)
             INSERT INTO builds (id, app_id, number, trigger, commit, tree, subject, actor_name, attempt)
             SELECT $1, id, 1, 'push', 'c', 't', 's', 'ada', 1 FROM app";
        sqlx::query(insert).bind(build.0).execute(&database.pool).await.expect("inserts");
        Self { database, hub: LogHub::default(), build }
    }

    fn open(&self, longest: usize, secrets: &[&str]) -> (Transcript, JoinHandle<()>) {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        let settings = LogSettings {
            pool: self.database.pool.clone(),
            hub: self.hub.clone(),
            mask: Mask::new(&secrets),
            longest,
        };
        open(settings, self.build)
    }

    fn follow(&self, offset: i64) -> Follower {
        Follower::new(self.database.pool.clone(), &self.hub, self.build, offset)
    }

    async fn close(&self) {
        let mut conn = self.database.pool.acquire().await.expect("connects");
        let build = builds::by_id(&mut conn, self.build).await.expect("answers").expect("is there");
        assert_eq!(
            builds::close_log(&mut conn, &build).await.expect("updates"),
            crate::db::jobs::Fenced::Done
        );
        self.hub.wake(self.build);
    }

    /// Makes every write of a log fail, or work again.
    async fn rename(&self, from: &str, to: &str) {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&self.database.pool).await.expect("renames");
    }

    async fn text(&self) -> String {
        self.text_from(0).await
    }

    async fn text_from(&self, offset: i64) -> String {
        let mut follower = self.follow(offset);
        let mut text = Vec::new();
        while let Some(more) = next(&mut follower).await {
            text.extend(more);
        }
        String::from_utf8(text).expect("text")
    }
}

async fn next(follower: &mut Follower) -> Option<Vec<u8>> {
    tokio::time::timeout(LONG, follower.next()).await.expect("in time").expect("answers")
}

async fn end(writer: JoinHandle<()>) {
    tokio::time::timeout(LONG, writer).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_follower_begins_at_any_byte() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    for line in ["first", "zw\u{f6}lf", "third"] {
        transcript.step(line).await;
    }
    drop(transcript);
    end(writer).await;
    rig.close().await;
    let text = rig.text().await;
    assert_eq!(text, "-----> first\n-----> zw\u{f6}lf\n-----> third\n");
    for offset in [0, 7, 13, text.len() - 1, text.len(), text.len() + 10] {
        let rest = rig.text_from(i64::try_from(offset).expect("small")).await;
        assert_eq!(rest, text.get(offset..).unwrap_or_default(), "from {offset}");
    }
}

#[tokio::test]
async fn another_try_goes_on_where_the_log_ended() {
    let rig = Rig::new().await;
    for line in ["one", "two"] {
        let (transcript, writer) = rig.open(ROOMY, &[]);
        transcript.step(line).await;
        drop(transcript);
        end(writer).await;
    }
    rig.close().await;
    assert_eq!(rig.text().await, "-----> one\n-----> two\n");
}

#[tokio::test]
async fn a_secret_that_came_in_pieces_is_masked_and_lines_are_whole() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &["hunter2-hunter2"]);
    let mut follower = rig.follow(0);
    for piece in ["token: hunter2-", "hun", "ter2 and\nno newline"] {
        transcript.output(Bytes::from(piece)).await;
    }
    assert_eq!(next(&mut follower).await.as_deref(), Some(b"token: ******** and\n".as_slice()));
    drop(transcript);
    end(writer).await;
    rig.close().await;
    assert_eq!(next(&mut follower).await.as_deref(), Some(b"no newline\n".as_slice()));
    assert_eq!(next(&mut follower).await, None);
}

#[tokio::test]
async fn followers_are_woken_for_every_text_and_for_the_end() {
    const LINES: u32 = 20;
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    let mut follower = rig.follow(0);
    let began = Instant::now();
    for _ in 0..LINES {
        transcript.step("line").await;
        assert_eq!(next(&mut follower).await.as_deref(), Some(b"-----> line\n".as_slice()));
    }
    assert!(began.elapsed() < POLL * LINES / 2, "wake-ups were lost: {:?}", began.elapsed());
    transcript.step("last").await;
    drop(transcript);
    end(writer).await;
    rig.close().await;
    assert!(next(&mut follower).await.is_some(), "the log was closed before its last text");
    assert_eq!(next(&mut follower).await, None);
}

#[tokio::test]
async fn many_followers_at_the_end_ask_the_database_no_more_for_each_line() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    transcript.step("before").await;
    let mut followers: Vec<Follower> = (0..50).map(|_| rig.follow(0)).collect();
    let mut said = Vec::new();
    for number in 0..100 {
        let line = format!("-----> line {number}\n");
        transcript.step(&format!("line {number}")).await;
        said.extend(line.bytes());
    }
    let (mut looks, begun) = (Vec::new(), std::time::Instant::now());
    for follower in &mut followers {
        let mut text = Vec::new();
        while !text.ends_with(&said) {
            text.extend(next(follower).await.expect("open"));
        }
        looks.push(follower.looks());
    }
    for number in 0..100 {
        transcript.step(&format!("later {number}")).await;
        for follower in &mut followers {
            let expected = format!("-----> later {number}\n");
            assert_eq!(next(follower).await.as_deref(), Some(expected.as_bytes()));
        }
    }
    for (follower, before) in followers.iter().zip(looks) {
        // Who hears nothing for a second looks, too.
        let most = before + 3 + begun.elapsed().as_secs();
        assert!(follower.looks() <= most, "{} looks for a hundred lines", follower.looks() - before);
    }
    drop(transcript);
    end(writer).await;
    rig.close().await;
    assert_eq!(next(&mut followers[0]).await, None);
}

#[tokio::test]
async fn who_has_fallen_behind_catches_up_while_the_log_goes_on() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    transcript.step("before").await;
    let mut follower = rig.follow(0);
    assert!(next(&mut follower).await.is_some());
    let nothing_more = tokio::time::timeout(Duration::from_millis(200), next(&mut follower)).await;
    assert!(nothing_more.is_err(), "it waits at the end");
    // More at once than the hub keeps.
    transcript.output(Bytes::from("much\n".repeat(3 * TAIL / 5))).await;
    let going_on = async {
        loop {
            transcript.step("still going on").await;
        }
    };
    let caught_up = async {
        let mut text = Vec::new();
        while text.len() <= 3 * TAIL {
            text.extend(next(&mut follower).await.expect("open"));
        }
    };
    tokio::select! {
        caught_up = tokio::time::timeout(LONG, caught_up) => caught_up.expect("in time"),
        () = going_on => {}
    }
    drop(transcript);
    end(writer).await;
}

#[tokio::test]
async fn a_log_over_its_limit_ends_with_whole_lines_and_says_so() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(50, &[]);
    for number in 0..100 {
        transcript.output(Bytes::from(format!("line {number}\n"))).await;
    }
    drop(transcript);
    end(writer).await;
    rig.close().await;
    let note = " !     The log ends here: it is over the limit of 50 bytes\n";
    let text = rig.text().await;
    let kept = text.strip_suffix(note).expect("the note is the end");
    assert_eq!(kept, "line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\n");
}

#[tokio::test]
async fn much_output_at_once_is_all_stored() {
    const CHUNK: usize = 32 * 1024;
    const CHUNKS: usize = 512;
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    let line = format!("{}\n", "x".repeat(127));
    let chunk = Bytes::from(line.repeat(CHUNK / line.len()));
    for _ in 0..CHUNKS {
        transcript.output(chunk.clone()).await;
    }
    drop(transcript);
    end(writer).await;
    rig.close().await;
    let text = rig.text().await;
    assert!(!text.contains("missing"), "output was dropped although the database was there");
    assert_eq!(text.len(), CHUNK * CHUNKS);
}

#[tokio::test]
async fn while_the_database_is_away_the_build_goes_on_and_the_gap_is_told_where_it_is() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    let mut follower = rig.follow(0);
    transcript.step("before").await;
    assert!(next(&mut follower).await.is_some());
    rig.rename("build_log", "away").await;
    let line = format!("{}\n", "x".repeat(1023));
    let speaking = async {
        for _ in 0..2048 {
            transcript.output(Bytes::from(line.clone())).await;
        }
        transcript.step("small, and after the gap").await;
    };
    tokio::time::timeout(Duration::from_secs(20), speaking).await.expect("the build was held up by its log");
    rig.rename("away", "build_log").await;
    // The gap's note ends the batch; what is said after that is stored again.
    while !String::from_utf8_lossy(&next(&mut follower).await.expect("open")).contains("are missing here") {}
    transcript.step("after").await;
    drop(transcript);
    end(writer).await;
    rig.close().await;
    let text = rig.text().await;
    let (kept, rest) = text.split_once(" !     ").expect("the gap is told");
    assert!(kept.starts_with("-----> before\n") && kept.ends_with("x\n"));
    assert!(kept.len() > BACKLOG / 2 && kept.len() <= BACKLOG + 2 * line.len(), "{} bytes", kept.len());
    let missing: usize = rest.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    let said = "-----> before\n-----> small, and after the gap\n".len() + 2048 * line.len();
    assert_eq!(kept.len() + missing, said);
    assert!(rest.ends_with("the database was away\n-----> after\n"), "{rest}");
}

#[tokio::test]
async fn the_log_of_a_destroyed_app_ends_at_once() {
    let rig = Rig::new().await;
    let (transcript, writer) = rig.open(ROOMY, &[]);
    sqlx::query("DELETE FROM apps").execute(&rig.database.pool).await.expect("deletes");
    transcript.step("to nobody").await;
    drop(transcript);
    tokio::time::timeout(LAST_PATIENCE / 2, writer).await.expect("in time").expect("no panic");
    assert_eq!(rig.text().await, "");
}

#[test]
fn the_tail_is_bounded_and_serves_who_missed_nothing() {
    let mut tail = Tail::default();
    assert_eq!(tail.after(0), None);
    tail.append(10, b"one\n");
    tail.append(14, b"two\n");
    assert_eq!(tail.after(14), Some(b"two\n".as_slice()));
    assert_eq!(tail.after(10), Some(b"one\ntwo\n".as_slice()));
    assert_eq!((tail.after(9), tail.after(18), tail.after(30)), (None, None, None));
    tail.append(100, b"after a gap\n");
    assert_eq!((tail.after(14), tail.after(100)), (None, Some(b"after a gap\n".as_slice())));
    tail.append(112, &vec![b'x'; TAIL + 1]);
    assert_eq!((tail.text.len(), tail.end()), (TAIL, 112 + 1 + i64::try_from(TAIL).expect("small")));
    assert_eq!(tail.after(112), None);
}

#[tokio::test]
async fn the_hub_forgets_builds_that_nobody_follows() {
    let hub = LogHub::default();
    let database = TestDatabase::new().await;
    for _ in 0..10 {
        drop(Follower::new(database.pool.clone(), &hub, BuildId::new(), 0));
    }
    let _one = Follower::new(database.pool.clone(), &hub, BuildId::new(), 0);
    assert_eq!(hub.logs.lock().expect("no panic").len(), 1);
}
