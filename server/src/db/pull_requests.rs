//! Pull requests of the repositories that apps follow, and their review apps.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::hook::{Pull, PullChange};
use crate::domain::ids::AppId;
use crate::domain::review::Lack;

/// What is known of a pull request.
#[derive(Debug, Clone)]
pub(crate) struct PullRequest {
    pub(crate) id: Uuid,
    pub(crate) parent: AppId,
    pub(crate) number: i64,
    pub(crate) title: String,
    pub(crate) branch: String,
    /// The repository that it comes from, if that is another than the parent's.
    pub(crate) fork: Option<String>,
    pub(crate) open: bool,
    /// Its newest commit.
    pub(crate) head: Option<String>,
    /// The commit of a fork that somebody has approved.
    pub(crate) approved: Option<String>,
    /// Its review app.
    pub(crate) app: Option<AppId>,
    pub(crate) app_name: Option<String>,
    pub(crate) lacks: Option<Lack>,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) updated_at: jiff_sqlx::Timestamp,
}

macro_rules! select_pulls {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            PullRequest,
            r#"SELECT p.id, p.parent_id AS "parent: AppId", p.number, p.title, p.branch, p.fork, p.open, p.head, p.approved,
                   p.app_id AS "app: AppId", a.name AS "app_name?", p.lacks AS "lacks: Lack", p.created_at AS "created_at: jiff_sqlx::Timestamp",
                   p.updated_at AS "updated_at: jiff_sqlx::Timestamp"
               FROM pull_requests p LEFT JOIN apps a ON a.id = p.app_id "# + $tail,
            $($arg),*
        )
    };
}

pub(crate) async fn numbered(
    conn: &mut PgConnection,
    parent: AppId,
    number: i64,
) -> sqlx::Result<Option<PullRequest>> {
    select_pulls!("WHERE p.parent_id = $1 AND p.number = $2", parent.0, number).fetch_optional(conn).await
}

/// The open ones of a parent, the newest first.
pub(crate) async fn open_of(conn: &mut PgConnection, parent: AppId) -> sqlx::Result<Vec<PullRequest>> {
    select_pulls!("WHERE p.parent_id = $1 AND p.open ORDER BY p.number DESC", parent.0).fetch_all(conn).await
}

/// Those whose review app has not been pushed to for as long as its parent lets one be.
pub(crate) async fn aged(conn: &mut PgConnection) -> sqlx::Result<Vec<PullRequest>> {
    select_pulls!(
        "JOIN connections c ON c.app_id = p.parent_id \
         WHERE p.app_id IS NOT NULL AND p.pushed_at < now() - make_interval(days => c.review_days) ORDER BY p.pushed_at",
    )
    .fetch_all(conn)
    .await
}

/// The review apps of a parent.
pub(crate) async fn with_app(conn: &mut PgConnection, parent: AppId) -> sqlx::Result<Vec<PullRequest>> {
    select_pulls!("WHERE p.parent_id = $1 AND p.app_id IS NOT NULL ORDER BY p.number", parent.0)
        .fetch_all(conn)
        .await
}

/// The open one that has waited longest for room.
pub(crate) async fn first_without_room(
    conn: &mut PgConnection,
    parent: AppId,
) -> sqlx::Result<Option<PullRequest>> {
    select_pulls!(
        "WHERE p.parent_id = $1 AND p.open AND p.lacks = 'room' ORDER BY p.updated_at LIMIT 1",
        parent.0
    )
    .fetch_optional(conn)
    .await
}

/// Notes what was told of a pull request, unless something later has been told before: deliveries come in any order.
///
/// One that comes from a fork stays one, whatever is said later: it must not come by secrets.
pub(crate) async fn told(conn: &mut PgConnection, parent: AppId, pull: &Pull) -> sqlx::Result<()> {
    let open = match pull.change {
        PullChange::Opened => Some(true),
        PullChange::Closed => Some(false),
        PullChange::Pushed => None,
        PullChange::Asked => return Ok(()),
    };
    sqlx::query!(
        "INSERT INTO pull_requests AS p (id, parent_id, number, title, branch, fork, open, told_at)
         VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, true), $8)
         ON CONFLICT (parent_id, number) DO UPDATE SET
             title = excluded.title, branch = excluded.branch, fork = coalesce(p.fork, excluded.fork),
             open = coalesce($7, p.open), told_at = coalesce(excluded.told_at, p.told_at), updated_at = now()
         WHERE p.told_at IS NULL OR excluded.told_at IS NULL OR excluded.told_at >= p.told_at",
        Uuid::now_v7(),
        parent.0,
        pull.number,
        pull.title,
        pull.branch,
        pull.fork,
        open,
        pull.changed_at.map(jiff_sqlx::Timestamp::from) as Option<jiff_sqlx::Timestamp>,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes where a pull request stands, and what keeps that commit out of its review app.
pub(crate) async fn stands(
    conn: &mut PgConnection,
    id: Uuid,
    head: &str,
    lacks: Option<Lack>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pull_requests SET head = $2, lacks = $3, updated_at = now() WHERE id = $1",
        id,
        head,
        lacks.map(Lack::as_str),
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes which app is its review app.
pub(crate) async fn linked(conn: &mut PgConnection, id: Uuid, app: AppId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pull_requests SET app_id = $2, pushed_at = now(), updated_at = now() WHERE id = $1",
        id,
        app.0
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes that a commit goes to the review app.
pub(crate) async fn pushed(conn: &mut PgConnection, id: Uuid, head: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pull_requests SET head = $2, pushed_at = now(), lacks = NULL, updated_at = now() WHERE id = $1",
        id,
        head,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Approves a commit; false if the pull request does not stand there any more, or is not open.
pub(crate) async fn approve(conn: &mut PgConnection, id: Uuid, commit: &str) -> sqlx::Result<bool> {
    let approved = sqlx::query!(
        "UPDATE pull_requests SET approved = $2, updated_at = now() WHERE id = $1 AND head = $2 AND open",
        id,
        commit,
    )
    .execute(conn)
    .await?;
    Ok(approved.rows_affected() == 1)
}

/// Notes why there is no review app any more.
pub(crate) async fn lacks(conn: &mut PgConnection, id: Uuid, lack: Option<Lack>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE pull_requests SET lacks = $2, updated_at = now() WHERE id = $1",
        id,
        lack.map(Lack::as_str)
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Those of an app that has none are forgotten: it follows no repository any more.
pub(crate) async fn forget(conn: &mut PgConnection, parent: AppId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM pull_requests WHERE parent_id = $1 AND app_id IS NULL", parent.0)
        .execute(conn)
        .await
        .map(drop)
}

/// Forgets what was closed longer ago than `age`.
pub(crate) async fn prune(conn: &mut PgConnection, age: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM pull_requests WHERE NOT open AND app_id IS NULL AND updated_at < now() - make_interval(secs => $1)",
        age.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map(drop)
}

/// What a connected app's owners have set of its review apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    /// How many there may be at a time.
    pub(crate) limit: i32,
    /// One that has not been pushed to for so long is removed.
    pub(crate) days: i32,
    /// See [`crate::domain::review::Inherits`].
    pub(crate) inherits: Vec<String>,
}

/// `None` if the app is not connected.
pub(crate) async fn settings(conn: &mut PgConnection, parent: AppId) -> sqlx::Result<Option<Settings>> {
    sqlx::query_as!(
        Settings,
        "SELECT review_apps AS enabled, review_limit AS \"limit\", review_days AS days, review_inherits AS inherits
         FROM connections WHERE app_id = $1",
        parent.0,
    )
    .fetch_optional(conn)
    .await
}

/// False if the app is not connected.
pub(crate) async fn change_settings(
    conn: &mut PgConnection,
    parent: AppId,
    settings: &Settings,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE connections SET review_apps = $2, review_limit = $3, review_days = $4, review_inherits = $5, updated_at = now()
         WHERE app_id = $1",
        parent.0,
        settings.enabled,
        settings.limit,
        settings.days,
        &settings.inherits,
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Has no further review app made.
pub(crate) async fn turn_off(conn: &mut PgConnection, parent: AppId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE connections SET review_apps = false, updated_at = now() WHERE app_id = $1", parent.0)
        .execute(conn)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::apps::{self, NewApp};
    use crate::db::people;
    use crate::db::testing::TestDatabase;
    use crate::domain::names::TeamName;

    fn pull(change: PullChange, minute: Option<u8>, fork: Option<&str>) -> Pull {
        Pull {
            number: 7,
            change,
            title: format!("At {minute:?}"),
            branch: "better".to_owned(),
            fork: fork.map(str::to_owned),
            changed_at: minute
                .map(|minute| format!("2026-11-27T10:{minute:02}:00Z").parse().expect("a time")),
        }
    }

    #[tokio::test]
    async fn what_was_told_later_counts_and_a_fork_stays_one() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let team =
            people::create_team(&mut conn, &TeamName::default_team()).await.expect("inserts").expect("new");
        let (parent, name) = (AppId::new(), "blog".parse().expect("a name"));
        let new = NewApp { id: parent, name: &name, team, wrapped_key: b"key" };
        assert!(apps::create(&mut conn, &new).await.expect("inserts"));
        let mut after = async |pull: Pull| {
            told(&mut conn, parent, &pull).await.expect("inserts");
            let row = numbered(&mut conn, parent, 7).await.expect("answers");
            row.map(|row| (row.open, row.title, row.fork))
        };
        let is = |open: bool, minute: u8, fork: Option<&str>| {
            Some((open, format!("At Some({minute})"), fork.map(str::to_owned)))
        };
        use PullChange::{Asked, Closed, Opened, Pushed};
        assert_eq!(after(pull(Asked, Some(1), None)).await, None, "who asks tells nothing");
        // One that was open before review apps were.
        assert_eq!(after(pull(Pushed, Some(2), Some("m/blog"))).await, is(true, 2, Some("m/blog")));
        assert_eq!(after(pull(Closed, Some(4), None)).await, is(false, 4, Some("m/blog")));
        assert_eq!(after(pull(Opened, Some(3), None)).await, is(false, 4, Some("m/blog")), "overtaken");
        assert_eq!(after(pull(Pushed, Some(5), None)).await, is(false, 5, Some("m/blog")), "still closed");
        assert_eq!(after(pull(Opened, Some(6), None)).await, is(true, 6, Some("m/blog")));
        let timeless = after(pull(Closed, None, None)).await.map(|(open, ..)| open);
        assert_eq!(timeless, Some(false), "without a time the order of arrival counts");
    }
}
