//! Who did what. Rows are only ever added, in the transaction that makes them true.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::access::Actor;
use crate::domain::ids::AppId;
use crate::domain::names::AppName;

/// Notes that somebody has done `action` (a verb, `apps:create`), to an app if there is one.
pub(crate) async fn note<'a>(
    conn: &mut PgConnection,
    actor: impl Into<Actor<'a>>,
    app: Option<(AppId, &AppName)>,
    action: &str,
    detail: Value,
) -> sqlx::Result<()> {
    let actor = actor.into();
    let (app_id, app_name) = app.map(|(id, name)| (id.0, name.as_str())).unzip();
    sqlx::query!(
        "INSERT INTO audit (id, actor_id, actor_name, app_id, app_name, action, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        actor.user.map(|user| user.0),
        actor.name,
        app_id,
        app_name,
        action,
        detail,
    )
    .execute(conn)
    .await
    .map(drop)
}
