//! Releases: versions without gaps, made under the app lock; which one is current is derived.

use serde_json::Value;
use sqlx::PgConnection;

use super::app_lock::LockedApp;
use super::jobs::Fenced;
use crate::domain::ids::{AppId, BuildId, ReleaseId, UserId};
use crate::domain::release::ReleaseStatus;

/// A release with all that it takes to run it again.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) id: ReleaseId,
    pub(crate) app_id: AppId,
    pub(crate) version: i64,
    pub(crate) status: ReleaseStatus,
    pub(crate) description: String,
    pub(crate) trigger: String,
    pub(crate) build_id: Option<BuildId>,
    pub(crate) code: Option<Code>,
    /// `{"NAME": version of the value}`.
    pub(crate) config: Value,
    pub(crate) actor_name: String,
    pub(crate) reason: Option<String>,
}

/// What runs in a release.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Code {
    /// `None` for an image that was built elsewhere.
    pub(crate) commit: Option<String>,
    /// `repository:tag` without the registry's host, for pushing and pulling sides have addresses of their own; with it
    /// for an image of a foreign registry. Where the blueprint names images, it is the one that stands for them.
    pub(crate) image: String,
    pub(crate) digest: String,
    pub(crate) blueprint: Value,
}

/// A release to be made.
#[derive(Debug)]
pub(crate) struct NewRelease<'a> {
    pub(crate) description: &'a str,
    pub(crate) trigger: &'a str,
    pub(crate) build_id: Option<BuildId>,
    pub(crate) code: Option<&'a Code>,
    pub(crate) config: &'a Value,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) actor_name: &'a str,
    pub(crate) rollback_of: Option<i64>,
}

struct Row {
    id: ReleaseId,
    app_id: AppId,
    version: i64,
    status: ReleaseStatus,
    description: String,
    trigger: String,
    build_id: Option<BuildId>,
    commit: Option<String>,
    image: Option<String>,
    digest: Option<String>,
    blueprint: Option<Value>,
    config: Value,
    actor_name: String,
    reason: Option<String>,
}

impl From<Row> for Release {
    fn from(row: Row) -> Self {
        let code = match (row.image, row.digest, row.blueprint) {
            (Some(image), Some(digest), Some(blueprint)) => {
                Some(Code { commit: row.commit, image, digest, blueprint })
            }
            _ => None,
        };
        Self {
            id: row.id,
            app_id: row.app_id,
            version: row.version,
            status: row.status,
            description: row.description,
            trigger: row.trigger,
            build_id: row.build_id,
            code,
            config: row.config,
            actor_name: row.actor_name,
            reason: row.reason,
        }
    }
}

macro_rules! fetch_release {
    ($conn:expr, $tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id AS "id: ReleaseId", app_id AS "app_id: AppId", version, status AS "status: ReleaseStatus",
                   description, trigger, build_id AS "build_id: BuildId", commit, image, digest, blueprint, config,
                   actor_name, reason
               FROM releases "# + $tail,
            $($arg),*
        )
        .fetch_optional($conn)
        .await
    };
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: ReleaseId) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(conn, "WHERE id = $1", id.0)?;
    Ok(row.map(Release::from))
}

pub(crate) async fn by_version(
    conn: &mut PgConnection,
    app: AppId,
    version: i64,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(conn, "WHERE app_id = $1 AND version = $2", app.0, version)?;
    Ok(row.map(Release::from))
}

pub(crate) async fn of_build(conn: &mut PgConnection, build: BuildId) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(conn, "WHERE build_id = $1", build.0)?;
    Ok(row.map(Release::from))
}

/// The current release: the newest that succeeded; `None` before the first.
pub(crate) async fn current_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND status = 'succeeded' ORDER BY version DESC LIMIT 1",
        app.0
    )?;
    Ok(row.map(Release::from))
}

/// The newest release that succeeded before `version` and has code to run.
pub(crate) async fn good_before(
    conn: &mut PgConnection,
    app: AppId,
    version: i64,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND version < $2 AND status = 'succeeded' AND digest IS NOT NULL
         ORDER BY version DESC LIMIT 1",
        app.0,
        version
    )?;
    Ok(row.map(Release::from))
}

/// The newest release of the app that is still on its way.
pub(crate) async fn newest_pending_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND status = 'pending' ORDER BY version DESC LIMIT 1",
        app.0
    )?;
    Ok(row.map(Release::from))
}

/// The newest release of the app that builds accepted before it must not undo: a rollback, a prebuilt image, a promotion.
pub(crate) async fn newest_by_hand_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND trigger IN ('rollback', 'container', 'promotion') ORDER BY version DESC LIMIT 1",
        app.0
    )?;
    Ok(row.map(Release::from))
}

/// Adds a pending release under the app lock; its id and version.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    app: &LockedApp,
    release: &NewRelease<'_>,
) -> sqlx::Result<(ReleaseId, i64)> {
    let id = ReleaseId::new();
    let version = app.next_version(conn).await?;
    sqlx::query!(
        "INSERT INTO releases (id, app_id, version, description, trigger, build_id, commit, image, digest, blueprint,
             config, actor_id, actor_name, rollback_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        id.0,
        app.id.0,
        version,
        release.description,
        release.trigger,
        release.build_id.map(|id| id.0),
        release.code.and_then(|code| code.commit.as_deref()),
        release.code.map(|code| code.image.as_str()),
        release.code.map(|code| code.digest.as_str()),
        release.code.map(|code| &code.blueprint),
        release.config,
        release.actor_id.map(|id| id.0),
        release.actor_name,
        release.rollback_of,
    )
    .execute(conn)
    .await?;
    Ok((id, version))
}

/// Gives a pending release the code of another, or none: a config change takes up what turned out to be good.
pub(crate) async fn take_code(
    conn: &mut PgConnection,
    id: ReleaseId,
    code: Option<&Code>,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE releases SET commit = $2, image = $3, digest = $4, blueprint = $5 WHERE id = $1 AND status = 'pending'",
        id.0,
        code.and_then(|code| code.commit.as_deref()),
        code.map(|code| code.image.as_str()),
        code.map(|code| code.digest.as_str()),
        code.map(|code| &code.blueprint),
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Ends a pending release; `Lost` if somebody else ended it.
pub(crate) async fn end(
    conn: &mut PgConnection,
    id: ReleaseId,
    status: ReleaseStatus,
    reason: Option<&str>,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE releases SET status = $2, reason = $3, finished_at = now() WHERE id = $1 AND status = 'pending'",
        id.0,
        status.as_str(),
        reason,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Asks for the end of the release phase that runs for a build; its release, or `None` if none runs. A phase that ends
/// meanwhile waits for the caller's transaction, so that whoever looks after its end sees who asked.
pub(crate) async fn cancel_phase(
    conn: &mut PgConnection,
    build: BuildId,
    by: &str,
) -> sqlx::Result<Option<ReleaseId>> {
    let release = sqlx::query_scalar!(
        r#"SELECT r.id AS "id: ReleaseId" FROM releases r JOIN batches b ON b.release_id = r.id AND b.kind = 'release'
           WHERE r.build_id = $1 AND r.status = 'pending' AND b.finished_at IS NULL FOR UPDATE OF b"#,
        build.0,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(release) = release else { return Ok(None) };
    sqlx::query!("UPDATE releases SET canceled_by = $2 WHERE id = $1 AND status = 'pending'", release.0, by)
        .execute(conn)
        .await?;
    Ok(Some(release))
}

/// Who asked for the end of its release phase.
pub(crate) async fn canceled_by(conn: &mut PgConnection, id: ReleaseId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT canceled_by FROM releases WHERE id = $1", id.0).fetch_one(conn).await
}

/// Releases that are pending, or live with a postdeploy script that has not ended, and that no job will take further.
pub(crate) async fn orphaned(conn: &mut PgConnection) -> sqlx::Result<Vec<ReleaseId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: ReleaseId" FROM releases
           WHERE (status = 'pending' OR status = 'succeeded' AND EXISTS (
                     SELECT 1 FROM batches WHERE release_id = releases.id AND kind = 'postdeploy' AND finished_at IS NULL))
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE status IN ('queued', 'running')
                             AND (payload ->> 'release' = releases.id::text OR payload ->> 'build' = releases.build_id::text))"#,
    )
    .fetch_all(conn)
    .await
}

/// The newest release that is live or still on its way there.
pub(crate) async fn newest_live_or_pending_of(
    conn: &mut PgConnection,
    app: AppId,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND status <> 'failed' ORDER BY version DESC LIMIT 1",
        app.0
    )?;
    Ok(row.map(Release::from))
}

/// The newest release after `release` that has not failed; config changes count if `by_config`.
pub(crate) async fn newest_overtaking(
    conn: &mut PgConnection,
    release: &Release,
    by_config: bool,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND version > $2 AND status <> 'failed' AND ($3 OR trigger <> 'config')
         ORDER BY version DESC LIMIT 1",
        release.app_id.0,
        release.version,
        by_config
    )?;
    Ok(row.map(Release::from))
}

/// The newest push or rollback before `release` that is still on its way.
pub(crate) async fn pending_code_before(
    conn: &mut PgConnection,
    release: &Release,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND version < $2 AND status = 'pending' AND trigger <> 'config'
         ORDER BY version DESC LIMIT 1",
        release.app_id.0,
        release.version
    )?;
    Ok(row.map(Release::from))
}

/// The newest release that succeeded with this commit.
pub(crate) async fn of_commit(
    conn: &mut PgConnection,
    app: AppId,
    commit: &str,
) -> sqlx::Result<Option<Release>> {
    let row = fetch_release!(
        conn,
        "WHERE app_id = $1 AND commit = $2 AND status = 'succeeded' ORDER BY version DESC LIMIT 1",
        app.0,
        commit
    )?;
    Ok(row.map(Release::from))
}
