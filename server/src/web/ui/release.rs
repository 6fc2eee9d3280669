//! One release, and going back to it.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::admission::Visitor;
use super::history::{Line, line, may};
use super::page::{Failure, Frame, Here, show};
use super::question::Question;
use super::text::duration;
use crate::db::apps::App;
use crate::db::batches::{self, Batch};
use crate::db::history::{self, Which};
use crate::db::{builds, releases};
use crate::domain::access::Action;
use crate::domain::blueprint::Blueprint;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// What has just been done.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "release.html")]
struct Page {
    frame: Frame,
    app: String,
    release: Line,
    commit: Option<String>,
    image: Option<String>,
    digest: Option<String>,
    processes: Vec<(String, String)>,
    stages: Vec<Stage>,
    phases: Vec<Phase>,
    config_keys: Vec<String>,
    can_deploy: bool,
}

/// How long a stage took, and which part of the longest that is, in hundredths.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) duration: String,
    pub(super) part: u8,
}

struct Phase {
    name: &'static str,
    command: String,
    status: &'static str,
    reason: Option<String>,
}

pub(super) async fn info(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let release = line(&platform.pool, &app, &which).await?;
    let mut conn = platform.pool.acquire().await?;
    let entry = history::release(&mut conn, app.id, Which::Number(release.version)).await?;
    let entry = entry.ok_or_else(|| ApiError::NotFound("the release has just gone".to_owned()))?;
    let whole = releases::by_version(&mut conn, app.id, release.version).await?;
    let phases = batches::phases_of(&mut conn, entry.id).await?;
    let stages = match entry.build_id {
        Some(build) => builds::stages_of(&mut conn, build).await?,
        None => Vec::new(),
    };
    let can_deploy = may(&mut conn, &visitor, &app, Action::Deploy).await?;
    drop(conn);
    let config = whole.as_ref().and_then(|whole| whole.config.as_object());
    let config_keys = config.map(|config| config.keys().cloned().collect()).unwrap_or_default();
    let title = format!("v{} of {}", release.version, app.name);
    let rolled = format!("v{} is on its way: this page shows what comes of it.", release.version);
    let frame = Frame::new(&visitor, Here::Apps, title);
    show(&Page {
        frame: frame.noting((done.done == "rollback").then_some(rolled)),
        app: app.name.to_string(),
        release,
        commit: entry.commit,
        image: entry.image,
        digest: entry.digest,
        processes: whole
            .and_then(|whole| whole.code)
            .map(|code| processes(code.blueprint))
            .unwrap_or_default(),
        stages: bars(stages),
        phases: phases.into_iter().map(Phase::from).collect(),
        config_keys,
        can_deploy,
    })
}

fn processes(blueprint: serde_json::Value) -> Vec<(String, String)> {
    let blueprint: Option<Blueprint> = serde_json::from_value(blueprint).ok();
    let own = "what the image says".to_owned();
    let of = |blueprint: Blueprint| blueprint.processes.into_iter();
    let named = blueprint.map(of).into_iter().flatten();
    named.map(|(name, command)| (name.to_string(), command.unwrap_or_else(|| own.clone()))).collect()
}

/// Stages that have ended, each beside the longest.
pub(super) fn bars(stages: Vec<(String, Option<f64>)>) -> Vec<Stage> {
    let longest = stages.iter().filter_map(|(_, seconds)| *seconds).fold(0.001, f64::max);
    let shown = stages.into_iter().filter_map(|(name, seconds)| {
        let seconds = seconds?;
        // Hundredths of the longest: at most 100.
        let part = (0..=100u8).rev().find(|part| f64::from(*part) <= seconds / longest * 100.0).unwrap_or(0);
        Some(Stage { name, duration: duration(seconds), part })
    });
    shown.collect()
}

impl From<Batch> for Phase {
    fn from(batch: Batch) -> Self {
        Self {
            name: batch.kind.as_str(),
            command: batch.command,
            status: batch.status.as_str(),
            reason: batch.reason,
        }
    }
}

pub(super) async fn ask(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let release = line(&platform.pool, &app, &which).await?;
    let version = release.version;
    if !release.can_come_back {
        return Err(ApiError::Conflict(match release.current {
            true => format!("v{version} is what runs now: there is nothing to go back to"),
            false => format!("v{version} never ran: choose a release that succeeded"),
        })
        .into());
    }
    Question {
        title: format!("Roll {} back to v{version}?", app.name),
        consequences: format!(
            "A new release is made with the code and the config vars of v{version} ({}). Builds that are on their way \
             will not be released. The branch in git stays where it is.",
            release.what
        ),
        action: format!("/ui/apps/{}/releases/{version}/rollback", app.name),
        back: format!("/ui/apps/{}/releases/{version}", app.name),
        button: format!("Roll back to v{version}"),
    }
    .ask(&visitor, &app)
}

pub(super) async fn roll_back(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let release = line(&platform.pool, &app, &which).await?;
    let made = platform.rollback(&app, &visitor.principal, Some(release.version)).await?;
    let to = format!("/ui/apps/{}/releases/{}?done=rollback", app.name, made.version);
    Ok(Redirect::to(&to).into_response())
}
