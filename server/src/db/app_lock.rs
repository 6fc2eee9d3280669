//! The app lock: the row of the app, held until the transaction ends.
//!
//! Invariant: build numbers, versions, the gate and the current config change only under this lock, which is why the
//! functions that change them demand a [`LockedApp`].

use serde_json::Value;
use sqlx::PgConnection;

use crate::domain::ids::AppId;

/// The app as it stands while its row is locked.
#[derive(Debug, Clone)]
pub(crate) struct LockedApp {
    pub(crate) id: AppId,
    /// `{"NAME": version of the value}`.
    pub(crate) config: Value,
    pub(crate) released_build: i64,
}

/// Waits for the app's row; `None` if the app is gone.
///
/// Rows that refer to the app may be inserted meanwhile (`FOR NO KEY UPDATE`): who does that holds other rows, and would
/// wait for the lock with them.
pub(crate) async fn lock(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<LockedApp>> {
    sqlx::query_as!(
        LockedApp,
        r#"SELECT id AS "id: AppId", config, released_build FROM apps WHERE id = $1 FOR NO KEY UPDATE"#,
        app.0,
    )
    .fetch_optional(conn)
    .await
}

impl LockedApp {
    /// The next build's number: 1, 2, … A number of a transaction that fails is used again.
    pub(crate) async fn next_build_number(&self, conn: &mut PgConnection) -> sqlx::Result<i64> {
        sqlx::query_scalar!(
            "UPDATE apps SET last_build = last_build + 1 WHERE id = $1 RETURNING last_build",
            self.id.0,
        )
        .fetch_one(conn)
        .await
    }

    /// The next release's version: without gaps, because it is taken in the release's own transaction.
    pub(crate) async fn next_version(&self, conn: &mut PgConnection) -> sqlx::Result<i64> {
        sqlx::query_scalar!(
            "UPDATE apps SET last_version = last_version + 1, updated_at = now() WHERE id = $1 RETURNING last_version",
            self.id.0,
        )
        .fetch_one(conn)
        .await
    }

    /// Closes the gate for builds up to `number`: they may not be released any more.
    pub(crate) async fn close_gate(&self, conn: &mut PgConnection, number: i64) -> sqlx::Result<()> {
        sqlx::query!(
            "UPDATE apps SET released_build = greatest(released_build, $2) WHERE id = $1",
            self.id.0,
            number,
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Closes the gate for every build accepted so far: a rollback must not be undone by a build in flight.
    pub(crate) async fn close_gate_for_all(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query!("UPDATE apps SET released_build = last_build WHERE id = $1", self.id.0)
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Replaces the current config by `{"NAME": version}`.
    pub(crate) async fn set_config(&self, conn: &mut PgConnection, config: &Value) -> sqlx::Result<()> {
        sqlx::query!("UPDATE apps SET config = $2, updated_at = now() WHERE id = $1", self.id.0, config)
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Records where the deploy branch stands; git converges to it.
    pub(crate) async fn move_branch(&self, conn: &mut PgConnection, commit: &str) -> sqlx::Result<()> {
        sqlx::query!(
            "UPDATE apps SET branch_commit = $2, updated_at = now() WHERE id = $1",
            self.id.0,
            commit
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}
