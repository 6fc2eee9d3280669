//! What was done on the whole platform, for admins: the audit, filtered, and all of it as JSON lines.

use askama::Template;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use super::text::{When, begin_of, day, end_of, query};
use crate::db::activity::{self, Deed, Wanted};
use crate::web::error::ApiError;

/// Deeds of a page.
const PAGE: usize = 50;
/// Deeds that an export reads at a time.
const READ_AT_A_TIME: i64 = 500;
/// What is shown of a detail, in characters; the export has all of it.
const LONGEST_DETAIL: usize = 300;

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Filters {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    app: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    before: String,
}

impl Filters {
    fn wanted(&self, limit: i64) -> Result<Wanted<'_>, ApiError> {
        Ok(Wanted {
            actor: self.actor.trim(),
            app: self.app.trim(),
            action: self.action.trim(),
            since: day(&self.since)?.and_then(begin_of),
            until: day(&self.until)?.and_then(end_of),
            before: self.before.parse().ok(),
            limit,
        })
    }

    fn link(&self, path: &str, before: &str) -> String {
        let query = query(&[
            ("actor", &self.actor),
            ("app", &self.app),
            ("action", &self.action),
            ("since", &self.since),
            ("until", &self.until),
            ("before", before),
        ]);
        // Without any filter no question mark either.
        format!("{path}{}", query.trim_end_matches('?'))
    }
}

#[derive(Template)]
#[template(path = "activity.html")]
struct Page {
    frame: Frame,
    filters: Filters,
    deeds: Vec<Shown>,
    export: String,
    next: Option<String>,
}

struct Shown {
    at: When,
    actor: String,
    action: String,
    app: Option<String>,
    details: Vec<(String, String)>,
}

pub(super) async fn page(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Query(filters): Query<Filters>,
) -> Result<Response, Failure> {
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut deeds = activity::deeds(&mut *pool.acquire().await?, &filters.wanted(limit)?).await?;
    let more = deeds.len() > PAGE;
    deeds.truncate(PAGE);
    let last = deeds.last().filter(|_| more).map(|deed| deed.id.to_string());
    show(&Page {
        frame: Frame::new(&visitor, Here::Activity, "Activity"),
        next: last.map(|last| filters.link("/ui/activity", &last)),
        export: filters.link("/ui/activity/export", ""),
        filters,
        deeds: deeds.into_iter().map(Shown::from).collect(),
    })
}

impl From<Deed> for Shown {
    fn from(deed: Deed) -> Self {
        let details = deed.detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        Self {
            at: When::new(deed.at),
            actor: deed.actor_name,
            action: deed.action,
            app: deed.app_name,
            details: details.map(|(name, value)| (name.replace('_', " "), brief(value))).collect(),
        }
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST_DETAIL) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

pub(super) async fn export(
    State(pool): State<PgPool>,
    Query(filters): Query<Filters>,
) -> Result<Response, Failure> {
    // What is wrong with the filters is said before the first line.
    filters.wanted(1)?;
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"slipway-activity.jsonl\""),
    ];
    Ok((headers, Body::from_stream(exported(pool, filters))).into_response())
}

/// Deeds a piece at a time, the newest first, each on a line.
fn exported(pool: PgPool, filters: Filters) -> impl Stream<Item = anyhow::Result<Bytes>> + Send {
    futures::stream::try_unfold(Some((pool, filters)), |state| async move {
        let Some((pool, mut filters)) = state else { return Ok(None) };
        let wanted = filters.wanted(READ_AT_A_TIME).map_err(anyhow::Error::new)?;
        let deeds = activity::deeds(&mut *pool.acquire().await?, &wanted).await?;
        let Some(last) = deeds.last().map(|deed| deed.id) else { return Ok(None) };
        filters.before = last.to_string();
        let text: String = deeds.iter().map(line).collect();
        Ok(Some((Bytes::from(text), Some((pool, filters)))))
    })
}

fn line(deed: &Deed) -> String {
    let Deed { id, at, actor_name, app_name, action, detail } = deed;
    let id: &Uuid = id;
    let line = json!({ "id": id, "at": at, "actor": actor_name, "app": app_name, "action": action, "detail": detail });
    format!("{line}\n")
}
