//! What happened to an app, for people to read: releases and builds, in pages and one by one.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;

use crate::domain::build::BuildStatus;
use crate::domain::ids::{AppId, BuildId, ReleaseId, UserId};
use crate::domain::release::ReleaseStatus;

/// A release as its history shows it.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseEntry {
    pub(crate) id: ReleaseId,
    pub(crate) version: i64,
    pub(crate) status: ReleaseStatus,
    pub(crate) description: String,
    pub(crate) trigger: String,
    pub(crate) build_id: Option<BuildId>,
    pub(crate) build_number: Option<i64>,
    pub(crate) commit: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) digest: Option<String>,
    /// Of a blueprint that names images: `{"web": {…}}`.
    pub(crate) images: Option<Value>,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) actor_name: String,
    pub(crate) rollback_of: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) finished_at: Option<jiff_sqlx::Timestamp>,
    /// The newest release that succeeded.
    pub(crate) current: bool,
}

/// A build as its history shows it.
#[derive(Debug, Clone)]
pub(crate) struct BuildEntry {
    pub(crate) id: BuildId,
    pub(crate) number: i64,
    pub(crate) status: BuildStatus,
    pub(crate) trigger: String,
    pub(crate) commit: String,
    pub(crate) subject: String,
    pub(crate) digest: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) superseded_by: Option<i64>,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) actor_name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) finished_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) release_id: Option<ReleaseId>,
    pub(crate) release_version: Option<i64>,
}

/// A stretch of numbers (versions of releases, numbers of builds), both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) least: i64,
    pub(crate) most: i64,
    pub(crate) order: Order,
    pub(crate) limit: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// How one release or build is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which<Id> {
    Id(Id),
    Number(i64),
}

macro_rules! select_releases {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            ReleaseEntry,
            r#"SELECT r.id AS "id: ReleaseId", r.version, r.status AS "status: ReleaseStatus", r.description,
                      r.trigger, r.build_id AS "build_id: BuildId", b.number AS "build_number?", r.commit, r.image,
                      r.digest, r.blueprint -> 'images' AS images, r.actor_id AS "actor_id: UserId", r.actor_name, r.rollback_of, r.reason,
                      r.created_at AS "created_at: jiff_sqlx::Timestamp",
                      r.finished_at AS "finished_at: jiff_sqlx::Timestamp",
                      r.status = 'succeeded' AND NOT EXISTS (
                          SELECT FROM releases newer WHERE newer.app_id = r.app_id
                              AND newer.status = 'succeeded' AND newer.version > r.version) AS "current!"
               FROM releases r LEFT JOIN builds b ON b.id = r.build_id "# + $tail,
            $($arg),*
        )
    };
}

macro_rules! select_builds {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            BuildEntry,
            r#"SELECT b.id AS "id: BuildId", b.number, b.status AS "status: BuildStatus", b.trigger, b.commit,
                      b.subject, b.digest, b.reason, b.superseded_by, b.actor_id AS "actor_id: UserId", b.actor_name,
                      b.created_at AS "created_at: jiff_sqlx::Timestamp",
                      b.started_at AS "started_at: jiff_sqlx::Timestamp",
                      b.finished_at AS "finished_at: jiff_sqlx::Timestamp",
                      r.id AS "release_id?: ReleaseId", r.version AS "release_version?"
               FROM builds b LEFT JOIN releases r ON r.build_id = b.id "# + $tail,
            $($arg),*
        )
    };
}

pub(crate) async fn releases(
    conn: &mut PgConnection,
    app: AppId,
    page: Page,
) -> sqlx::Result<Vec<ReleaseEntry>> {
    let Page { least, most, order, limit } = page;
    match order {
        Order::Descending => {
            select_releases!(
                "WHERE r.app_id = $1 AND r.version BETWEEN $2 AND $3 ORDER BY r.version DESC LIMIT $4",
                app.0,
                least,
                most,
                limit
            )
            .fetch_all(conn)
            .await
        }
        Order::Ascending => {
            select_releases!(
                "WHERE r.app_id = $1 AND r.version BETWEEN $2 AND $3 ORDER BY r.version LIMIT $4",
                app.0,
                least,
                most,
                limit
            )
            .fetch_all(conn)
            .await
        }
    }
}

pub(crate) async fn release(
    conn: &mut PgConnection,
    app: AppId,
    which: Which<ReleaseId>,
) -> sqlx::Result<Option<ReleaseEntry>> {
    match which {
        Which::Id(id) => {
            select_releases!("WHERE r.app_id = $1 AND r.id = $2", app.0, id.0).fetch_optional(conn).await
        }
        Which::Number(version) => {
            select_releases!("WHERE r.app_id = $1 AND r.version = $2", app.0, version)
                .fetch_optional(conn)
                .await
        }
    }
}

pub(crate) async fn builds(conn: &mut PgConnection, app: AppId, page: Page) -> sqlx::Result<Vec<BuildEntry>> {
    let Page { least, most, order, limit } = page;
    match order {
        Order::Descending => {
            select_builds!(
                "WHERE b.app_id = $1 AND b.number BETWEEN $2 AND $3 ORDER BY b.number DESC LIMIT $4",
                app.0,
                least,
                most,
                limit
            )
            .fetch_all(conn)
            .await
        }
        Order::Ascending => {
            select_builds!(
                "WHERE b.app_id = $1 AND b.number BETWEEN $2 AND $3 ORDER BY b.number LIMIT $4",
                app.0,
                least,
                most,
                limit
            )
            .fetch_all(conn)
            .await
        }
    }
}

pub(crate) async fn build(
    conn: &mut PgConnection,
    app: AppId,
    which: Which<BuildId>,
) -> sqlx::Result<Option<BuildEntry>> {
    match which {
        Which::Id(id) => {
            select_builds!("WHERE b.app_id = $1 AND b.id = $2", app.0, id.0).fetch_optional(conn).await
        }
        Which::Number(number) => {
            select_builds!("WHERE b.app_id = $1 AND b.number = $2", app.0, number).fetch_optional(conn).await
        }
    }
}
