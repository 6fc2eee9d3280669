//! Web hooks of our own: whom they tell, and the outbox that the triggers of `migrations/0017_webhooks.sql` fill.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::history::{Order, Page};
use crate::domain::ids::{AppId, WebhookDeliveryId, WebhookEventId, WebhookId};
use crate::domain::webhook::{self, Level};

/// Somebody who is told.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) id: WebhookId,
    pub(crate) url: String,
    pub(crate) include: Vec<String>,
    pub(crate) level: Level,
    pub(crate) created_at: jiff_sqlx::Timestamp,
}

/// The web hooks of an app, the oldest first.
pub(crate) async fn of_app(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Webhook>> {
    sqlx::query_as!(
        Webhook,
        r#"SELECT id AS "id: WebhookId", url, include, level AS "level: Level",
                  created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM webhooks WHERE app_id = $1 ORDER BY id"#,
        app.0,
    )
    .fetch_all(conn)
    .await
}

/// A web hook to be made.
#[derive(Debug)]
pub(crate) struct NewWebhook<'a> {
    pub(crate) id: WebhookId,
    pub(crate) app_id: AppId,
    pub(crate) url: &'a str,
    pub(crate) include: &'a [String],
    pub(crate) level: Level,
    pub(crate) secret: &'a [u8],
}

/// False if the app tells that address already.
pub(crate) async fn add(conn: &mut PgConnection, new: &NewWebhook<'_>) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO webhooks (id, app_id, url, include, level, secret) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (app_id, url) DO NOTHING",
        new.id.0,
        new.app_id.0,
        new.url,
        new.include,
        new.level.as_str(),
        new.secret,
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Makes a web hook what `changed` says; its secret stays unless there is a new one.
pub(crate) async fn change(
    conn: &mut PgConnection,
    changed: &Webhook,
    secret: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhooks SET url = $2, include = $3, level = $4, secret = COALESCE($5, secret) WHERE id = $1",
        changed.id.0,
        changed.url,
        &changed.include,
        changed.level.as_str(),
        secret,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// False if it was gone already. What is on its way to it goes with it.
pub(crate) async fn remove(conn: &mut PgConnection, id: WebhookId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM webhooks WHERE id = $1", id.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}

/// A delivery to be tried now.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) id: WebhookDeliveryId,
    pub(crate) number: i64,
    pub(crate) tries: i32,
    pub(crate) webhook: WebhookId,
    pub(crate) url: String,
    pub(crate) level: Level,
    pub(crate) secret: Vec<u8>,
    pub(crate) app_id: AppId,
    pub(crate) app: String,
    /// The app's key, wrapped: it opens the secret.
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) event: WebhookEventId,
    pub(crate) include: String,
    pub(crate) action: String,
    pub(crate) data: Value,
    pub(crate) previous_status: Option<String>,
    pub(crate) happened_at: jiff_sqlx::Timestamp,
}

/// Of each web hook but the `busy` ones the oldest delivery that is due, `most` at most.
pub(crate) async fn due(conn: &mut PgConnection, busy: &[WebhookId], most: i64) -> sqlx::Result<Vec<Due>> {
    let busy: Vec<Uuid> = busy.iter().map(|webhook| webhook.0).collect();
    sqlx::query_as!(
        Due,
        r#"SELECT d.id AS "id: WebhookDeliveryId", d.number, d.tries,
               w.id AS "webhook: WebhookId", w.url, w.level AS "level: Level", w.secret, a.id AS "app_id: AppId",
               a.name AS app, a.wrapped_key, e.id AS "event: WebhookEventId", e.include, e.action, e.data,
               e.previous_status, e.created_at AS "happened_at: jiff_sqlx::Timestamp"
           FROM (SELECT DISTINCT ON (webhook_id) * FROM webhook_deliveries
                 WHERE due_at <= now() AND webhook_id <> ALL ($2) ORDER BY webhook_id, number) d
           JOIN webhooks w ON w.id = d.webhook_id
           JOIN webhook_events e ON e.id = d.event_id
           JOIN apps a ON a.id = d.app_id
           ORDER BY d.due_at LIMIT $1"#,
        most,
        &busy,
    )
    .fetch_all(conn)
    .await
}

/// How a try went.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    pub(crate) attempt: Uuid,
    /// What the receiver answered, if it did.
    pub(crate) code: Option<i32>,
    /// Why it does not count; `None` if it was taken.
    pub(crate) error: Option<String>,
    /// When it is tried again; `None` if it is not.
    pub(crate) next: Option<Timestamp>,
}

/// Notes how a try went.
pub(crate) async fn tried(conn: &mut PgConnection, id: WebhookDeliveryId, tried: &Tried) -> sqlx::Result<()> {
    let status = match (&tried.error, tried.next) {
        (None, _) => "succeeded",
        (Some(_), Some(_)) => "retrying",
        (Some(_), None) => "failed",
    };
    sqlx::query!(
        "UPDATE webhook_deliveries SET status = $2, tries = tries + 1, due_at = $3, attempt_id = $4,
             attempted_at = now(), code = $5, error = $6
         WHERE id = $1 AND due_at IS NOT NULL",
        id.0,
        status,
        tried.next.map(jiff_sqlx::Timestamp::from) as Option<jiff_sqlx::Timestamp>,
        tried.attempt,
        tried.code,
        tried.error,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// A row of the log of deliveries.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: WebhookDeliveryId,
    pub(crate) number: i64,
    pub(crate) status: String,
    pub(crate) tries: i32,
    pub(crate) due_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) attempt_id: Option<Uuid>,
    pub(crate) attempted_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) code: Option<i32>,
    pub(crate) error: Option<String>,
    pub(crate) webhook: WebhookId,
    pub(crate) url: String,
    pub(crate) level: Level,
    pub(crate) event: WebhookEventId,
    pub(crate) include: String,
    pub(crate) action: String,
    /// The number of the build or the version of the release.
    pub(crate) about: Option<i64>,
    /// How the build or the release stood.
    pub(crate) state: Option<String>,
    pub(crate) created_at: jiff_sqlx::Timestamp,
}

impl Entry {
    /// What was told: `build 3 queued`, `v2 succeeded`.
    pub(crate) fn what(&self) -> String {
        webhook::what(&self.include, self.about, self.state.as_deref())
    }
}

/// Deliveries of an app by their numbers, or the one with that id.
pub(crate) async fn deliveries(
    conn: &mut PgConnection,
    app: AppId,
    only: Option<WebhookDeliveryId>,
    page: Page,
) -> sqlx::Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"SELECT d.id AS "id: WebhookDeliveryId", d.number, d.status, d.tries, d.due_at AS "due_at: jiff_sqlx::Timestamp",
               d.attempt_id, d.attempted_at AS "attempted_at: jiff_sqlx::Timestamp", d.code, d.error,
               w.id AS "webhook: WebhookId", w.url, w.level AS "level: Level", e.id AS "event: WebhookEventId", e.include,
               e.action, COALESCE(e.data->>'version', e.data->>'number')::bigint AS about, e.data->>'status' AS state,
               d.created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM webhook_deliveries d
           JOIN webhooks w ON w.id = d.webhook_id
           JOIN webhook_events e ON e.id = d.event_id
           WHERE d.app_id = $1 AND ($2::uuid IS NULL OR d.id = $2) AND d.number BETWEEN $3 AND $4
           ORDER BY CASE WHEN $5 THEN d.number END, CASE WHEN NOT $5 THEN d.number END DESC LIMIT $6"#,
        app.0,
        only.map(|only| only.0),
        page.least,
        page.most,
        page.order == Order::Ascending,
        page.limit,
    )
    .fetch_all(conn)
    .await
}

/// Has a delivery tried now: one that is over from the start, one that waits for its next try without waiting.
pub(crate) async fn reopen(conn: &mut PgConnection, id: WebhookDeliveryId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET due_at = now(),
             status = CASE WHEN due_at IS NULL THEN 'pending' ELSE status END,
             tries = CASE WHEN due_at IS NULL THEN 0 ELSE tries END
         WHERE id = $1",
        id.0,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Forgets events that are older than `age`, with their deliveries.
pub(crate) async fn prune(conn: &mut PgConnection, age: Duration) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "DELETE FROM webhook_events WHERE created_at < now() - make_interval(secs => $1)",
        age.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
