//! What the web page's lists show: apps, and the releases of one, filtered and in pages by key.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::build::BuildStatus;
use crate::domain::hook::Provider;
use crate::domain::ids::{AppId, UserId};
use crate::domain::release::ReleaseStatus;

/// An app with what happened to it last.
#[derive(Debug, Clone)]
pub(crate) struct AppRow {
    pub(crate) name: String,
    pub(crate) team: String,
    /// The newest release that succeeded.
    pub(crate) current: Option<i64>,
    pub(crate) released_at: Option<jiff_sqlx::Timestamp>,
    /// The newest release, whatever came of it.
    pub(crate) newest: Option<i64>,
    pub(crate) newest_status: Option<ReleaseStatus>,
    pub(crate) newest_by: Option<String>,
    pub(crate) build: Option<i64>,
    pub(crate) build_status: Option<BuildStatus>,
}

/// Which apps: those that `user` may see (everybody's without one), whose name has `text` in it, after the name `after`.
#[derive(Debug, Clone, Default)]
pub(crate) struct AppsWanted<'a> {
    pub(crate) user: Option<UserId>,
    pub(crate) text: &'a str,
    pub(crate) after: &'a str,
    pub(crate) limit: i64,
}

pub(crate) async fn apps(conn: &mut PgConnection, wanted: &AppsWanted<'_>) -> sqlx::Result<Vec<AppRow>> {
    sqlx::query_as!(
        AppRow,
        r#"SELECT a.name, t.name AS team, live.version AS "current?",
                  live.finished_at AS "released_at?: jiff_sqlx::Timestamp",
                  newest.version AS "newest?", newest.status AS "newest_status?: ReleaseStatus",
                  newest.actor_name AS "newest_by?", b.number AS "build?", b.status AS "build_status?: BuildStatus"
           FROM apps a JOIN teams t ON t.id = a.team_id
           LEFT JOIN LATERAL (SELECT version, finished_at FROM releases
                              WHERE app_id = a.id AND status = 'succeeded' ORDER BY version DESC LIMIT 1) live ON true
           LEFT JOIN releases newest ON newest.app_id = a.id AND newest.version = a.last_version
           LEFT JOIN builds b ON b.app_id = a.id AND b.number = a.last_build
           WHERE ($1::uuid IS NULL OR a.team_id IN (SELECT team_id FROM memberships WHERE user_id = $1)
                  OR a.id IN (SELECT app_id FROM collaborators WHERE user_id = $1))
             AND strpos(a.name, $2) > 0 AND a.name > $3
           ORDER BY a.name LIMIT $4"#,
        wanted.user.map(|user| user.0),
        wanted.text,
        wanted.after,
        wanted.limit,
    )
    .fetch_all(conn)
    .await
}

/// A release as a line of the history.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseRow {
    pub(crate) version: i64,
    pub(crate) status: ReleaseStatus,
    pub(crate) current: bool,
    pub(crate) description: String,
    pub(crate) trigger: String,
    pub(crate) actor_name: String,
    pub(crate) build: Option<i64>,
    pub(crate) commit: Option<String>,
    /// The first line of the commit's message, as far as a build knows it.
    pub(crate) subject: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) rollback_of: Option<i64>,
    /// Of one that succeeded, the next one that did.
    pub(crate) superseded_by: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: Timestamp,
    /// From the start of the build, or of the release where none was built, to its end.
    pub(crate) seconds: Option<f64>,
    /// Stages of its build that have ended, in their order, with their seconds.
    pub(crate) stages: Option<Json<Vec<(String, f64)>>>,
    /// The repository elsewhere that the app follows now.
    pub(crate) provider: Option<Provider>,
    pub(crate) repository: Option<String>,
    /// `{"NAME": version of the value}`, and the same of the release before.
    pub(crate) config: Value,
    pub(crate) config_before: Option<Value>,
}

/// Which releases of an app; what is empty does not filter.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReleasesWanted<'a> {
    pub(crate) status: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) trigger: &'a str,
    /// In the description, the commit's message or its id, in any case.
    pub(crate) text: &'a str,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Only versions below this one.
    pub(crate) below: i64,
    pub(crate) limit: i64,
}

pub(crate) async fn releases(
    conn: &mut PgConnection,
    app: AppId,
    wanted: &ReleasesWanted<'_>,
) -> sqlx::Result<Vec<ReleaseRow>> {
    sqlx::query_as!(
        ReleaseRow,
        r#"SELECT r.version, r.status AS "status: ReleaseStatus", r.description, r.trigger, r.actor_name,
                  r.status = 'succeeded' AND next.version IS NULL AS "current!",
                  b.number AS "build?", r.commit, said.subject AS "subject?", r.digest, r.rollback_of,
                  next.version AS "superseded_by?", r.reason,
                  r.created_at AS "created_at: jiff_sqlx::Timestamp",
                  extract(epoch FROM r.finished_at - coalesce(b.started_at, r.created_at))::float8 AS seconds,
                  (SELECT jsonb_agg(jsonb_build_array(stage, extract(epoch FROM finished_at - started_at))
                                    ORDER BY started_at)
                   FROM build_stages WHERE build_id = r.build_id AND finished_at IS NOT NULL)
                      AS "stages: Json<Vec<(String, f64)>>",
                  c.provider AS "provider?: Provider", c.url AS "repository?",
                  r.config, before.config AS "config_before?"
           FROM releases r
           LEFT JOIN builds b ON b.id = r.build_id
           LEFT JOIN connections c ON c.app_id = r.app_id
           LEFT JOIN LATERAL (SELECT version FROM releases
                              WHERE app_id = r.app_id AND status = 'succeeded' AND r.status = 'succeeded'
                                AND version > r.version ORDER BY version LIMIT 1) next ON true
           LEFT JOIN releases before ON before.app_id = r.app_id AND before.version = r.version - 1
           LEFT JOIN LATERAL (SELECT subject FROM builds
                              WHERE app_id = r.app_id AND commit = r.commit LIMIT 1) said ON true
           WHERE r.app_id = $1 AND r.version < $2
             AND ($3 = '' OR r.status = $3)
             AND ($4 = '' OR r.actor_name = $4)
             AND ($5 = '' OR strpos(lower(concat_ws(' ', r.description, said.subject, r.commit)), lower($5)) > 0)
             AND ($6::timestamptz IS NULL OR r.created_at >= $6)
             AND ($7::timestamptz IS NULL OR r.created_at < $7)
             AND ($8 = '' OR r.trigger = $8)
           ORDER BY r.version DESC LIMIT $9"#,
        app.0,
        wanted.below,
        wanted.status,
        wanted.actor,
        wanted.text,
        wanted.since.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        wanted.until.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        wanted.trigger,
        wanted.limit,
    )
    .fetch_all(conn)
    .await
}

/// Who has made releases of the app, by name. It steps from name to name in the index, for there may be a hundred
/// thousand releases of few people.
pub(crate) async fn actors(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<String>> {
    const MOST: i64 = 200;
    sqlx::query_scalar!(
        r#"WITH RECURSIVE names AS (
               (SELECT actor_name FROM releases WHERE app_id = $1 ORDER BY actor_name LIMIT 1)
               UNION ALL
               SELECT (SELECT actor_name FROM releases
                       WHERE app_id = $1 AND actor_name > names.actor_name ORDER BY actor_name LIMIT 1)
               FROM names WHERE names.actor_name IS NOT NULL)
           SELECT actor_name AS "actor_name!" FROM names WHERE actor_name IS NOT NULL LIMIT $2"#,
        app.0,
        MOST,
    )
    .fetch_all(conn)
    .await
}
