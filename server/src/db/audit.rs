//! Who did what. Rows are only ever added, in the transaction that makes them true.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::access::Principal;
use crate::domain::ids::AppId;
use crate::domain::names::AppName;

/// Notes that `principal` has done `action` (a verb, `apps:create`), to an app if there is one.
pub(crate) async fn note(
    conn: &mut PgConnection,
    principal: &Principal,
    app: Option<(AppId, &AppName)>,
    action: &str,
    detail: Value,
) -> sqlx::Result<()> {
    let (app_id, app_name) = app.map(|(id, name)| (id.0, name.as_str())).unzip();
    sqlx::query!(
        "INSERT INTO audit (id, actor_id, actor_name, app_id, app_name, action, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        principal.user.0,
        principal.name,
        app_id,
        app_name,
        action,
        detail,
    )
    .execute(conn)
    .await
    .map(drop)
}
