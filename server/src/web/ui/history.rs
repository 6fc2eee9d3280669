//! The releases of an app, the newest first.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::admission::Visitor;
use super::bar::Bar;
use super::mark::Mark;
use super::page::{Failure, Frame, Here, show};
use super::text::{When, begin_of, day, duration, end_of, query, short};
use crate::db::apps::{self, App};
use crate::db::browse::{self, ReleaseRow, ReleasesWanted};
use crate::domain::access::{self, Action};
use crate::domain::hook::Provider;
use crate::hooks::commit_page;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// Releases of a page.
const PAGE: usize = 25;
/// Config keys that are named; of more, their number is said.
const KEYS_SHOWN: usize = 12;
/// What a release can come of.
const TRIGGERS: [&str; 7] = ["push", "hook", "retry", "rollback", "config", "container", "promotion"];

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Filters {
    #[serde(default)]
    status: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    /// A page's key: releases before this version.
    #[serde(default)]
    below: String,
}

#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    frame: Frame,
    app: String,
    team: String,
    url: Option<String>,
    can_deploy: bool,
    filters: Filters,
    is_filtered: bool,
    actors: Vec<String>,
    triggers: &'static [&'static str],
    releases: Vec<Line>,
    newest: Option<String>,
    next: Option<String>,
}

/// A release as a line, with what is short already.
pub(super) struct Line {
    pub(super) version: i64,
    pub(super) mark: Mark,
    pub(super) current: bool,
    pub(super) what: String,
    pub(super) description: Option<String>,
    pub(super) trigger: String,
    pub(super) actor: String,
    pub(super) build: Option<i64>,
    pub(super) commit: Option<String>,
    /// Where the commit is shown by the host of the repository that the app follows.
    pub(super) commit_page: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) rollback_of: Option<i64>,
    pub(super) superseded_by: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) created: When,
    pub(super) duration: Option<String>,
    pub(super) bar: Bar,
    pub(super) keys: Vec<String>,
    pub(super) more_keys: usize,
    /// It ran, and something else runs now.
    pub(super) can_come_back: bool,
}

pub(super) async fn list(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(filters): Query<Filters>,
) -> Result<Response, Failure> {
    let mut conn = platform.pool.acquire().await?;
    let mut rows = browse::releases(&mut conn, app.id, &wanted(&filters)?).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let actors = browse::actors(&mut conn, app.id).await?;
    let can_deploy = may(&mut conn, &visitor, &app, Action::Deploy).await?;
    drop(conn);
    let next = rows.last().filter(|_| more).map(|row| link(&app, &filters, &row.version.to_string()));
    let newest = (!filters.below.is_empty()).then(|| link(&app, &filters, ""));
    let Filters { status, actor, trigger, text, since, until, below: _ } = &filters;
    let of_filters = [status, actor, trigger, text, since, until];
    let is_filtered = of_filters.into_iter().any(|filter| !filter.is_empty());
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, app.name.as_str()),
        url: platform.routes_apps().then(|| platform.settings.apps.url_of(app.name.as_str())),
        app: app.name.to_string(),
        team: app.team_name,
        can_deploy,
        is_filtered,
        filters,
        actors,
        triggers: &TRIGGERS,
        releases: rows.into_iter().map(Line::from).collect(),
        newest,
        next,
    })
}

fn wanted(filters: &Filters) -> Result<ReleasesWanted<'_>, ApiError> {
    let status = match filters.status.as_str() {
        known @ ("" | "pending" | "succeeded" | "failed") => known,
        _ => return Err(ApiError::InvalidParams("a release is pending, succeeded or failed".to_owned())),
    };
    let trigger = match filters.trigger.as_str() {
        known if known.is_empty() || TRIGGERS.contains(&known) => known,
        _ => return Err(ApiError::InvalidParams(format!("a release comes of {}", TRIGGERS.join(", ")))),
    };
    Ok(ReleasesWanted {
        status,
        actor: &filters.actor,
        trigger,
        text: filters.text.trim(),
        since: day(&filters.since)?.and_then(begin_of),
        until: day(&filters.until)?.and_then(end_of),
        below: filters.below.parse().unwrap_or(i64::MAX),
        limit: i64::try_from(PAGE + 1).unwrap_or(i64::MAX),
    })
}

fn link(app: &App, filters: &Filters, below: &str) -> String {
    let query = query(&[
        ("status", &filters.status),
        ("actor", &filters.actor),
        ("trigger", &filters.trigger),
        ("text", &filters.text),
        ("since", &filters.since),
        ("until", &filters.until),
        ("below", below),
    ]);
    format!("/ui/apps/{}{query}", app.name)
}

/// One release as the history shows it.
pub(super) async fn line(pool: &PgPool, app: &App, which: &str) -> Result<Line, ApiError> {
    let version = which.strip_prefix('v').unwrap_or(which).parse::<i64>().ok();
    let below = version.and_then(|version| version.checked_add(1));
    let row = match below {
        Some(below) => {
            let wanted = ReleasesWanted { below, limit: 1, ..ReleasesWanted::default() };
            browse::releases(&mut *pool.acquire().await?, app.id, &wanted).await?.pop()
        }
        None => None,
    };
    row.filter(|row| Some(row.version) == version).map(Line::from).ok_or_else(|| {
        let which: String = which.chars().filter(|c| !c.is_control()).take(40).collect();
        ApiError::NotFound(format!("{} has no release `{which}`", app.name))
    })
}

/// Whether the page offers what this action takes. The route that does it asks again.
pub(super) async fn may(
    conn: &mut PgConnection,
    visitor: &Visitor,
    app: &App,
    action: Action,
) -> sqlx::Result<bool> {
    let role = apps::role_of(conn, app.id, visitor.principal.user).await?;
    Ok(access::authorise(&visitor.principal, role, action).is_ok())
}

impl From<ReleaseRow> for Line {
    fn from(row: ReleaseRow) -> Self {
        let (keys, more_keys) = changed_keys(row.config_before.as_ref(), &row.config);
        let ran = row.status == crate::domain::release::ReleaseStatus::Succeeded && row.digest.is_some();
        let has_message = row.subject.is_some() && row.rollback_of.is_none() && row.trigger != "config";
        let page = |((provider, url), commit): ((Provider, &str), &str)| commit_page(provider, url, commit);
        let place = row.provider.zip(row.repository.as_deref());
        let commit_page = place.zip(row.commit.as_deref()).and_then(page);
        let (what, description) = match row.subject.filter(|_| has_message) {
            Some(subject) => (subject, Some(row.description)),
            None => (row.description, None),
        };
        Self {
            version: row.version,
            mark: Mark::of_release(row.status),
            current: row.current,
            what,
            description,
            trigger: row.trigger,
            actor: row.actor_name,
            build: row.build,
            commit: row.commit.as_deref().map(short),
            commit_page,
            digest: row.digest.as_deref().map(short),
            rollback_of: row.rollback_of,
            superseded_by: row.superseded_by,
            reason: row.reason,
            created: When::new(row.created_at),
            duration: row.seconds.map(duration),
            bar: Bar::of(row.stages.map(|stages| stages.0).unwrap_or_default()),
            keys,
            more_keys,
            can_come_back: ran && !row.current,
        }
    }
}

/// The names of config vars whose value is another one than before: `+NAME` is new, `-NAME` gone.
fn changed_keys(before: Option<&Value>, after: &Value) -> (Vec<String>, usize) {
    let nothing = serde_json::Map::new();
    let before = before.and_then(Value::as_object).unwrap_or(&nothing);
    let after = after.as_object().unwrap_or(&nothing);
    let changed = after.iter().filter_map(|(name, version)| match before.get(name) {
        None => Some(format!("+{name}")),
        Some(old) if old != version => Some(name.clone()),
        Some(_) => None,
    });
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("-{name}"));
    let mut keys: Vec<String> = changed.chain(gone).collect();
    let more = keys.len().saturating_sub(KEYS_SHOWN);
    keys.truncate(KEYS_SHOWN);
    (keys, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn config_changes_are_names_without_values() {
        let (keys, more) =
            changed_keys(Some(&json!({ "A": 1, "B": 1, "C": 1 })), &json!({ "A": 1, "B": 2, "D": 1 }));
        assert_eq!((keys, more), (vec!["B".to_owned(), "+D".to_owned(), "-C".to_owned()], 0));
        let many: serde_json::Map<String, Value> = (0..20).map(|n| (format!("K{n}"), json!(1))).collect();
        let (keys, more) = changed_keys(None, &Value::Object(many));
        assert_eq!((keys.len(), more), (12, 8));
    }
}
