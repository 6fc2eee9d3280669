//! The list of apps.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use futures::StreamExt;
use serde::Deserialize;

use super::admission::Visitor;
use super::mark::Mark;
use super::page::{Failure, Frame, Here, show};
use super::text::{When, query};
use crate::db::apps;
use crate::db::browse::{self, AppRow, AppsWanted};
use crate::platform::Platform;
use crate::target::Whose;

/// Apps of a page.
const PAGE: usize = 50;
/// How long the page waits to hear what runs; then it says so and is shown without.
const PROCESSES_TIMEOUT: Duration = Duration::from_secs(2);
/// Apps that are asked about at a time.
const ASKED_AT_A_TIME: usize = 8;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

#[derive(Template)]
#[template(path = "apps.html")]
struct Page {
    frame: Frame,
    q: String,
    apps: Vec<Shown>,
    next: Option<String>,
}

struct Shown {
    name: String,
    team: String,
    state: Mark,
    /// The build or the release that the state is of.
    about: Option<String>,
    current: Option<i64>,
    released: Option<When>,
    processes: Option<String>,
    by: Option<String>,
}

pub(super) async fn list(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Query(search): Query<Search>,
) -> Result<Response, Failure> {
    let user = (!visitor.principal.admin).then_some(visitor.principal.user);
    let text = search.q.trim().to_lowercase();
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let wanted = AppsWanted { user, text: &text, after: &search.after, limit };
    let mut rows = browse::apps(&mut *platform.pool.acquire().await?, &wanted).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let last = rows.last().filter(|_| more).map(|row| row.name.clone());
    let next = last.map(|name| format!("/ui/apps{}", query(&[("q", &search.q), ("after", &name)])));
    let mut running = running(&platform, &rows).await;
    let apps = rows.into_iter().map(|row| shown(row, &mut running)).collect();
    show(&Page { frame: Frame::new(&visitor, Here::Apps, "Apps"), q: search.q, apps, next })
}

fn shown(row: AppRow, running: &mut HashMap<String, String>) -> Shown {
    Shown {
        state: Mark::of_app(&row),
        about: about(&row),
        processes: running.remove(&row.name),
        name: row.name,
        team: row.team,
        current: row.current,
        released: row.released_at.map(|at| When::new(at.to_jiff())),
        by: row.newest_by,
    }
}

fn about(row: &AppRow) -> Option<String> {
    let app = format!("/ui/apps/{}", row.name);
    match Mark::of_app(row).word {
        "building" | "build failed" => row.build.map(|number| format!("{app}/builds/{number}")),
        _ => row.newest.map(|version| format!("{app}/releases/{version}")),
    }
}

/// What runs of each app, as far as the target says so in time: `web 2 · worker 1`.
async fn running(platform: &Platform, rows: &[AppRow]) -> HashMap<String, String> {
    let live = rows.iter().filter(|row| row.current.is_some());
    let asked: Vec<_> = live.map(|row| processes(platform.clone(), row.name.clone())).collect();
    let answers = futures::stream::iter(asked).buffer_unordered(ASKED_AT_A_TIME);
    let in_time = answers.take_until(tokio::time::sleep(PROCESSES_TIMEOUT));
    in_time.filter_map(std::future::ready).collect().await
}

async fn processes(platform: Platform, name: String) -> Option<(String, String)> {
    let mut conn = platform.pool.acquire().await.ok()?;
    let app = apps::named(&mut conn, &name).await.ok()??;
    drop(conn);
    let whose = Whose { app: &app.name, adopted: app.adoption.as_ref() };
    let processes = platform.target.processes(whose).await.ok()?;
    let types = processes.iter().map(|process| process.process_type.to_string());
    Some((name, counted(types)))
}

/// `web 2 · worker 1`
fn counted(names: impl Iterator<Item = String>) -> String {
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(" · ")
}
