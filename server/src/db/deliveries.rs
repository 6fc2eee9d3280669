//! The inbox of web hooks, and the ledger of what became of each.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::hook::Told;
use crate::domain::ids::{AppId, BuildId, DeliveryId};

/// A delivery as its job sees it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) app_id: AppId,
    /// A provider, `search` or `person`.
    pub(crate) source: String,
    pub(crate) event: String,
    pub(crate) told: Json<Told>,
    /// A person had it judged once more.
    pub(crate) again: bool,
    pub(crate) verdict: Option<String>,
    /// The commit whose checks it waits for, and for how long it has, in seconds.
    pub(crate) waits_for: Option<String>,
    pub(crate) waited: Option<f64>,
}

/// A delivery to be taken in.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) app_id: AppId,
    pub(crate) source: &'a str,
    pub(crate) delivery: &'a str,
    pub(crate) event: &'a str,
    pub(crate) told: &'a Told,
}

/// What the inbox made of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    New(DeliveryId),
    /// It has been here before and could not be worked on then: it is judged again.
    Again(DeliveryId),
    /// It has been here before.
    Known(DeliveryId),
}

/// Takes a delivery in; the same one twice is one row.
pub(crate) async fn take(conn: &mut PgConnection, new: &NewDelivery<'_>) -> sqlx::Result<Taken> {
    let id = DeliveryId::new();
    let added = sqlx::query!(
        "INSERT INTO deliveries (id, app_id, source, delivery, event, told) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (app_id, source, delivery) DO NOTHING",
        id.0,
        new.app_id.0,
        new.source,
        new.delivery,
        new.event,
        Json(new.told) as _,
    )
    .execute(&mut *conn)
    .await?;
    if added.rows_affected() == 1 {
        return Ok(Taken::New(id));
    }
    let known = sqlx::query!(
        r#"SELECT id AS "id: DeliveryId", verdict FROM deliveries
           WHERE app_id = $1 AND source = $2 AND delivery = $3 FOR UPDATE"#,
        new.app_id.0,
        new.source,
        new.delivery,
    )
    .fetch_one(&mut *conn)
    .await?;
    if known.verdict.as_deref() != Some("failed") {
        return Ok(Taken::Known(known.id));
    }
    reopen(conn, known.id, Again::BySender).await?;
    Ok(Taken::Again(known.id))
}

/// Who has a delivery judged once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    BySender,
    /// Then a commit whose build has failed is built again.
    ByPerson,
}

/// Has a delivery judged once more; false if its verdict is still awaited.
pub(crate) async fn reopen(conn: &mut PgConnection, id: DeliveryId, again: Again) -> sqlx::Result<bool> {
    let reopened = sqlx::query!(
        "UPDATE deliveries SET verdict = NULL, reason = NULL, commit = NULL, build_id = NULL, judged_at = NULL, again = $2,
             waits_for = NULL, waits_since = NULL
         WHERE id = $1 AND verdict IS NOT NULL",
        id.0,
        again == Again::ByPerson,
    )
    .execute(conn)
    .await?;
    Ok(reopened.rows_affected() == 1)
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: DeliveryId) -> sqlx::Result<Option<Delivery>> {
    sqlx::query_as!(
        Delivery,
        r#"SELECT id AS "id: DeliveryId", app_id AS "app_id: AppId", source, event, told AS "told: Json<Told>", again,
               verdict, waits_for, extract(epoch FROM now() - waits_since)::float8 AS waited
           FROM deliveries WHERE id = $1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// How a delivery ended that led to no build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host tried whether anybody answers.
    Pong,
    /// The commit was judged before, with this build if one was made.
    Current(Option<BuildId>),
    /// Nothing is deployed, for this reason.
    Ignored(String),
    /// It could not be worked on, for this reason.
    Failed(String),
    /// The pull request is closed, and its review app gone, as the text says.
    Removed(String),
}

impl Verdict {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Pong => "pong",
            Self::Current(_) => "current",
            Self::Ignored(_) => "ignored",
            Self::Failed(_) => "failed",
            Self::Removed(_) => "removed",
        }
    }
}

/// Notes that the verdict waits for something about a commit. The time counts from when that commit is waited for.
pub(crate) async fn waits(
    conn: &mut PgConnection,
    id: DeliveryId,
    commit: &str,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE deliveries SET reason = $3, waits_for = $2,
             waits_since = CASE WHEN waits_for = $2 THEN waits_since ELSE now() END
         WHERE id = $1 AND verdict IS NULL",
        id.0,
        commit,
        reason,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Has those that wait for checks deploy in spite of them, at once, because a person asks for it.
pub(crate) async fn hurry(conn: &mut PgConnection, app: AppId, lane: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE deliveries SET again = true WHERE app_id = $1 AND verdict IS NULL AND waits_for IS NOT NULL",
        app.0,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("UPDATE jobs SET run_after = now() WHERE lane = $1 AND status = 'queued'", lane)
        .execute(conn)
        .await
        .map(drop)
}

/// Writes a verdict down, once; the commit is the head that was found.
pub(crate) async fn judge(
    conn: &mut PgConnection,
    id: DeliveryId,
    verdict: &Verdict,
    commit: Option<&str>,
) -> sqlx::Result<()> {
    let (reason, build) = match verdict {
        Verdict::Pong => (None, None),
        Verdict::Current(build) => (None, *build),
        Verdict::Ignored(reason) | Verdict::Failed(reason) | Verdict::Removed(reason) => {
            (Some(reason.as_str()), None)
        }
    };
    sqlx::query!(
        "UPDATE deliveries SET verdict = $2, reason = $3, build_id = $4, commit = $5, judged_at = now()
         WHERE id = $1 AND verdict IS NULL",
        id.0,
        verdict.as_str(),
        reason,
        build.map(|build| build.0),
        commit,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes the commit and the build that a delivery has led to, in the build's own transaction.
pub(crate) async fn deployed(
    conn: &mut PgConnection,
    id: DeliveryId,
    (commit, build): (&str, BuildId),
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE deliveries SET verdict = 'deployed', reason = NULL, commit = $2, build_id = $3, judged_at = now() WHERE id = $1",
        id.0,
        commit,
        build.0,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// A row of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: DeliveryId,
    pub(crate) source: String,
    pub(crate) delivery: String,
    pub(crate) event: String,
    pub(crate) told: Json<Told>,
    pub(crate) verdict: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) build_id: Option<BuildId>,
    pub(crate) build_number: Option<i64>,
    /// The review app whose build it is, if it is one's.
    pub(crate) review_app: Option<String>,
    pub(crate) received_at: jiff_sqlx::Timestamp,
    pub(crate) judged_at: Option<jiff_sqlx::Timestamp>,
}

/// Which rows of a ledger, the newest first; their ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// As many as this, those before an id if there is one.
    Newest {
        before: Option<Uuid>,
        limit: i64,
    },
    One(DeliveryId),
}

/// Rows of an app's ledger.
pub(crate) async fn ledger(conn: &mut PgConnection, app: AppId, rows: Rows) -> sqlx::Result<Vec<Entry>> {
    let (only, before, limit) = match rows {
        Rows::Newest { before, limit } => (None, before, limit),
        Rows::One(id) => (Some(id.0), None, 1),
    };
    sqlx::query_as!(
        Entry,
        r#"SELECT d.id AS "id: DeliveryId", d.source, d.delivery, d.event, d.told AS "told: Json<Told>", d.verdict,
               d.reason, d.commit, d.build_id AS "build_id: BuildId", b.number AS "build_number?",
               a.name AS "review_app?",
               d.received_at AS "received_at: jiff_sqlx::Timestamp", d.judged_at AS "judged_at: jiff_sqlx::Timestamp"
           FROM deliveries d LEFT JOIN builds b ON b.id = d.build_id
               LEFT JOIN apps a ON a.id = b.app_id AND a.id <> d.app_id
           WHERE d.app_id = $1 AND ($2::uuid IS NULL OR d.id = $2) AND ($3::uuid IS NULL OR d.id < $3)
           ORDER BY d.id DESC LIMIT $4"#,
        app.0,
        only,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Unjudged deliveries that no job will take further: a job that died, or was pruned.
pub(crate) async fn orphaned(conn: &mut PgConnection) -> sqlx::Result<Vec<(AppId, DeliveryId)>> {
    let rows = sqlx::query!(
        r#"SELECT d.app_id AS "app_id: AppId", d.id AS "id: DeliveryId" FROM deliveries d
           WHERE d.verdict IS NULL AND NOT EXISTS (
               SELECT 1 FROM jobs j WHERE j.kind = 'delivery' AND j.status IN ('queued', 'running')
                   AND j.payload = jsonb_build_object('delivery', d.id))"#,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.app_id, row.id)).collect())
}

/// Forgets what was judged longer ago than `age`.
pub(crate) async fn prune(conn: &mut PgConnection, age: Duration) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "DELETE FROM deliveries WHERE verdict IS NOT NULL AND received_at < now() - make_interval(secs => $1)",
        age.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}

/// What a job is told.
pub(crate) fn payload(id: DeliveryId) -> Value {
    serde_json::json!({ "delivery": id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::apps::{self, NewApp};
    use crate::db::testing::TestDatabase;
    use crate::db::{jobs, people};
    use crate::domain::names::TeamName;

    async fn app(conn: &mut PgConnection) -> AppId {
        let team = people::create_team(conn, &TeamName::default_team()).await.expect("inserts").expect("new");
        let (id, name) = (AppId::new(), "blog".parse().expect("a name"));
        let new = NewApp { id, name: &name, team, wrapped_key: b"key" };
        assert!(apps::create(conn, &new).await.expect("inserts"));
        id
    }

    async fn taken(conn: &mut PgConnection, app_id: AppId, delivery: &str) -> Taken {
        let told = Told::look();
        let new = NewDelivery { app_id, source: "github", delivery, event: "push", told: &told };
        take(conn, &new).await.expect("inserts")
    }

    #[tokio::test]
    async fn the_same_delivery_is_one_row_and_only_a_failed_one_is_judged_again() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let app = app(&mut conn).await;
        let Taken::New(id) = taken(&mut conn, app, "1").await else { panic!("it was there already") };
        assert_eq!(taken(&mut conn, app, "1").await, Taken::Known(id), "its verdict is awaited");
        judge(&mut conn, id, &Verdict::Failed("away".to_owned()), None).await.expect("updates");
        assert_eq!(taken(&mut conn, app, "1").await, Taken::Again(id));
        assert_eq!(by_id(&mut conn, id).await.expect("answers").expect("a row").verdict, None);
        judge(&mut conn, id, &Verdict::Current(None), Some("c")).await.expect("updates");
        judge(&mut conn, id, &Verdict::Failed("late".to_owned()), None).await.expect("updates");
        assert_eq!(taken(&mut conn, app, "1").await, Taken::Known(id));
        let row = ledger(&mut conn, app, Rows::One(id)).await.expect("answers").pop().expect("a row");
        assert_eq!((row.verdict.as_deref(), row.commit.as_deref()), (Some("current"), Some("c")));
        assert!(reopen(&mut conn, id, Again::ByPerson).await.expect("updates"));
        assert!(!reopen(&mut conn, id, Again::ByPerson).await.expect("updates"), "it is open already");
        assert!(by_id(&mut conn, id).await.expect("answers").expect("a row").again);
    }

    #[tokio::test]
    async fn the_time_that_is_waited_counts_for_one_head_and_a_person_ends_it() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let app = app(&mut conn).await;
        let Taken::New(id) = taken(&mut conn, app, "1").await else { panic!("it was there already") };
        let mut seen = async |head: Option<&str>| {
            if let Some(head) = head {
                waits(&mut conn, id, head, "waits for checks").await.expect("updates");
            } else {
                let earlier = "UPDATE deliveries SET waits_since = waits_since - interval '10 minutes'";
                sqlx::query(earlier).execute(&mut *conn).await.expect("updates");
            }
            let row = by_id(&mut conn, id).await.expect("answers").expect("a row");
            (row.waits_for, row.waited.expect("it waits") > 599.0)
        };
        assert_eq!(seen(Some("a")).await, (Some("a".to_owned()), false));
        assert_eq!(seen(None).await, (Some("a".to_owned()), true));
        assert_eq!(seen(Some("a")).await, (Some("a".to_owned()), true));
        assert_eq!(seen(Some("b")).await, (Some("b".to_owned()), false), "another head begins anew");
        let job = crate::hooks::job(app, id);
        let mut conn = database.pool.acquire().await.expect("connects");
        jobs::enqueue(&mut conn, job.as_new()).await.expect("inserts");
        hurry(&mut conn, app, job.as_new().lane).await.expect("updates");
        assert!(by_id(&mut conn, id).await.expect("answers").expect("a row").again);
    }

    #[tokio::test]
    async fn an_unjudged_delivery_without_a_job_is_found() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let app = app(&mut conn).await;
        let Taken::New(id) = taken(&mut conn, app, "1").await else { panic!("it was there already") };
        assert_eq!(orphaned(&mut conn).await.expect("answers"), [(app, id)]);
        jobs::enqueue(&mut conn, crate::hooks::job(app, id).as_new()).await.expect("inserts");
        assert_eq!(orphaned(&mut conn).await.expect("answers"), []);
        judge(&mut conn, id, &Verdict::Pong, None).await.expect("updates");
        assert_eq!(prune(&mut conn, Duration::from_secs(3600)).await.expect("deletes"), 0);
        assert_eq!(prune(&mut conn, Duration::ZERO).await.expect("deletes"), 1);
    }
}
