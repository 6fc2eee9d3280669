//! Builds of an app, one build with its log, and ending or repeating it.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use sqlx::PgPool;

use super::admission::Visitor;
use super::colours::{self, Line};
use super::follow::{Stretch, around, stretch};
use super::history::may;
use super::mark::Mark;
use super::page::{Failure, Frame, Here, show};
use super::question::Question;
use super::release::{Stage, bars};
use super::search::{Found, Words, search};
use super::text::{When, duration, query, short};
use crate::db::apps::App;
use crate::db::builds as stored;
use crate::db::history::{self, BuildEntry, Order, Page as Numbers};
use crate::domain::access::Action;
use crate::domain::build::BuildStatus;
use crate::platform::Platform;
use crate::web::api::builds::{find, whole_log};

/// Builds of a page.
const PAGE: i64 = 25;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Key {
    /// Builds before this one.
    #[serde(default)]
    below: String,
}

#[derive(Template)]
#[template(path = "builds.html")]
struct List {
    frame: Frame,
    app: String,
    builds: Vec<Shown>,
    next: Option<String>,
}

struct Shown {
    number: i64,
    mark: Mark,
    subject: String,
    commit: String,
    trigger: String,
    actor: String,
    reason: Option<String>,
    release: Option<i64>,
    superseded_by: Option<i64>,
    duration: Option<String>,
    created: When,
}

impl From<BuildEntry> for Shown {
    fn from(build: BuildEntry) -> Self {
        let times = build.started_at.zip(build.finished_at);
        let seconds = times.map(|(from, to)| to.to_jiff().duration_since(from.to_jiff()).as_secs_f64());
        Self {
            number: build.number,
            mark: Mark::of_build(build.status),
            subject: build.subject,
            commit: short(&build.commit),
            trigger: build.trigger,
            actor: build.actor_name,
            reason: build.reason,
            release: build.release_version,
            superseded_by: build.superseded_by,
            duration: seconds.map(duration),
            created: When::new(build.created_at),
        }
    }
}

pub(super) async fn list(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(key): Query<Key>,
) -> Result<Response, Failure> {
    let most = key.below.parse::<i64>().map_or(i64::MAX, |below| below.saturating_sub(1));
    let page = Numbers { least: 0, most, order: Order::Descending, limit: PAGE + 1 };
    let mut builds = history::builds(&mut *pool.acquire().await?, app.id, page).await?;
    let shown = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = builds.len() > shown;
    builds.truncate(shown);
    let last = builds.last().filter(|_| more).map(|build| build.number.to_string());
    show(&List {
        frame: Frame::new(&visitor, Here::Apps, format!("Builds of {}", app.name)),
        next: last.map(|last| format!("/ui/apps/{}/builds{}", app.name, query(&[("below", &last)]))),
        app: app.name.to_string(),
        builds: builds.into_iter().map(Shown::from).collect(),
    })
}

/// Which stretch of the log; without it, its end.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    from: String,
    /// The number of a line that shall be in it.
    #[serde(default)]
    line: String,
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "build.html")]
struct Page {
    frame: Frame,
    app: String,
    build: Shown,
    stages: Vec<Stage>,
    /// With their numbers.
    lines: Vec<(i64, Line)>,
    /// The number of the line that comes next.
    next: i64,
    log: Stretch,
    found: Option<Found>,
    /// Where more matches are.
    more: Option<String>,
    can_cancel: bool,
    can_retry: bool,
}

pub(super) async fn info(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(wish): Query<Wish>,
    Query(words): Query<Words>,
) -> Result<Response, Failure> {
    let build = find(&platform.pool, &app, &which).await?;
    let mut conn = platform.pool.acquire().await?;
    let from = match wish.line.parse() {
        Ok(line) => around(&mut conn, build.id, line).await?,
        Err(_) => wish.from.parse().ok(),
    };
    let log = stretch(&mut conn, build.id, from).await?;
    let found = search(&mut conn, build.id, &words).await?;
    let stages = stored::stages_of(&mut conn, build.id).await?;
    let can_deploy = may(&mut conn, &visitor, &app, Action::Deploy).await?;
    drop(conn);
    // Read anew: who saw the log closed has to see how the build ended, for then nothing reloads the page.
    let build = find(&platform.pool, &app, &build.number.to_string()).await?;
    let notice = match wish.done.as_str() {
        "cancel" => Some("The build is being canceled."),
        "retry" => Some("The commit is built again: this is the new build."),
        _ => None,
    };
    let title = format!("Build {} of {}", build.number, app.name);
    let lines: Vec<_> = (log.first..).zip(colours::lines(&log.text, log.from)).collect();
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, title).noting(notice),
        app: app.name.to_string(),
        can_cancel: can_deploy && matches!(build.status, BuildStatus::Queued | BuildStatus::Building),
        can_retry: can_deploy && build.status.is_over_without_release(),
        stages: bars(stages),
        more: found.as_ref().and_then(|found| {
            let after = found.more?.to_string();
            let query = query(&[("q", &found.words), ("after", &after)]);
            Some(format!("/ui/apps/{}/builds/{}{query}", app.name, build.number))
        }),
        build: build.into(),
        next: lines.last().map_or(log.first, |(number, _)| number + 1),
        lines,
        log,
        found,
    })
}

/// The whole log as it is stored, colours and all.
pub(super) async fn log(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let build = find(&pool, &app, &which).await?;
    let name = format!("attachment; filename=\"{}-build-{}.log\"", app.name, build.number);
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, whole_log(pool, build.id)).into_response())
}

pub(super) async fn ask_to_cancel(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let number = find(&pool, &app, &which).await?.number;
    let here = format!("/ui/apps/{}/builds/{number}", app.name);
    Question {
        title: format!("Cancel build {number} of {}?", app.name),
        consequences: "What it has made so far is not released, and whoever pushed it is told so. What runs now goes on \
                       running."
            .to_owned(),
        action: format!("{here}/cancel"),
        back: here,
        button: format!("Cancel build {number}"),
    }
    .ask(&visitor, &app)
}

pub(super) async fn cancel(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let build = find(&platform.pool, &app, &which).await?;
    let canceled = platform.cancel_build(&app, &visitor.principal, build.number).await?;
    let to = format!("/ui/apps/{}/builds/{}?done=cancel", app.name, canceled.number);
    Ok(Redirect::to(&to).into_response())
}

pub(super) async fn ask_to_retry(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let build = find(&pool, &app, &which).await?;
    let here = format!("/ui/apps/{}/builds/{}", app.name, build.number);
    Question {
        title: format!("Build {} of {} again?", build.number, app.name),
        consequences: format!(
            "The commit {} ({}) is built once more, as a build of its own, and released if that succeeds.",
            short(&build.commit),
            build.subject
        ),
        action: format!("{here}/retry"),
        back: here,
        button: "Build again".to_owned(),
    }
    .ask(&visitor, &app)
}

pub(super) async fn retry(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let build = find(&platform.pool, &app, &which).await?;
    let accepted = platform.retry_build(&app, &visitor.principal, Some(build.number)).await?;
    let to = format!("/ui/apps/{}/builds/{}?done=retry", app.name, accepted.number);
    Ok(Redirect::to(&to).into_response())
}
