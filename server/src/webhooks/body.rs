//! What a delivery says, in the shape of Heroku's web hooks.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::webhooks::Due;

/// The whole of it; `base` is where the API is, without a slash at its end.
pub(super) fn of(due: &Due, attempt: Uuid, base: &str) -> Value {
    let row = &due.data;
    let actor = json!({ "id": row["actor_id"], "email": row["actor_name"] });
    let (resource, data) = match due.include.as_str() {
        "api:build" => ("build", build(due, base, &actor)),
        _ => ("release", release(due, &actor)),
    };
    let previous =
        due.previous_status.as_ref().map_or_else(|| json!({}), |status| json!({ "status": status }));
    let at = due.happened_at.to_jiff();
    json!({
        "id": due.event,
        "created_at": at,
        "updated_at": at,
        "published_at": at,
        "sequence": due.number,
        "version": "application/vnd.heroku+json; version=3",
        "resource": resource,
        "action": due.action,
        "actor": actor,
        "data": data,
        "previous_data": previous,
        "webhook_metadata": {
            "attempt": { "id": attempt },
            "delivery": { "id": due.id },
            "event": { "id": due.event, "include": due.include },
            "webhook": { "id": due.webhook },
        },
    })
}

/// A build as the API shows it; `state` is our word, `status` Heroku's.
fn build(due: &Due, base: &str, actor: &Value) -> Value {
    let row = &due.data;
    let status = match row["status"].as_str() {
        Some("queued" | "building" | "pushing") => "pending",
        Some("succeeded") => "succeeded",
        _ => "failed",
    };
    json!({
        "id": row["id"], "number": row["number"], "status": status, "state": row["status"],
        "app": { "id": due.app_id, "name": due.app }, "user": actor,
        "source_blob": { "version": row["commit"] },
        "trigger": row["trigger"], "commit": row["commit"], "subject": row["subject"], "digest": row["digest"],
        "reason": row["reason"], "superseded_by": row["superseded_by"],
        "output_stream_url": format!("{base}/apps/{}/builds/{}/output?follow=1", due.app, row["number"]),
        "created_at": row["created_at"], "started_at": row["started_at"], "finished_at": row["finished_at"],
    })
}

/// A release as the API shows it. `current` is whether it runs as of this event.
fn release(due: &Due, actor: &Value) -> Value {
    let row = &due.data;
    json!({
        "id": row["id"], "version": row["version"], "status": row["status"], "description": row["description"],
        "current": row["status"] == "succeeded",
        "app": { "id": due.app_id, "name": due.app }, "user": actor,
        "slug": row["build_id"].as_str().map(|id| json!({ "id": id })),
        "trigger": row["trigger"], "commit": row["commit"], "image": row["image"], "digest": row["digest"],
        "rollback_of": row["rollback_of"], "reason": row["reason"],
        "created_at": row["created_at"], "finished_at": row["finished_at"],
    })
}
