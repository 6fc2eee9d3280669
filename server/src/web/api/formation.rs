//! `/apps/{app}/formation` and what restarts or stops processes: asked for at once, done by a job.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use uuid::Uuid;

use super::processes::running;
use super::shapes::{self, Actor};
use super::{derived_id, render};
use crate::actions::formation::Shown;
use crate::db::apps::App;
use crate::domain::access::Principal;
use crate::domain::formation::{Count, Scaling, USUAL_SIZE, Which, Wish};
use crate::domain::ids::ChangeId;
use crate::domain::names::ProcessType;
use crate::platform::Platform;
use crate::target::ProcessStatus;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The id of what was asked for; `/formation-changes/{id}` tells how it ends.
pub(crate) const CHANGE: HeaderName = HeaderName::from_static("slipway-change");

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Formation>>, ApiError> {
    shown(&platform, &app).await.map(Json)
}

pub(in crate::web) async fn info(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<shapes::Formation>, ApiError> {
    let types = shown(&platform, &app).await?;
    types.into_iter().find(|one| one.process_type == name).map(Json).ok_or_else(|| no_type(&app, &name))
}

/// Scales one type or several.
pub(in crate::web) async fn change_all(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wish): Body<shapes::FormationUpdates>,
) -> Result<Response, ApiError> {
    let mut types = BTreeMap::new();
    for update in wish.updates {
        let name: ProcessType = update.process_type.parse().map_err(ApiError::invalid)?;
        types.insert(name, count(update.count));
    }
    if types.is_empty() {
        return Err(ApiError::InvalidParams(
            "`updates` names no process type: nothing was changed".to_owned(),
        ));
    }
    let change = platform.scale(&app, &principal, types.clone()).await?;
    let mut after = shown(&platform, &app).await?;
    after.retain_mut(|one| overlay(one, &types));
    Ok(asked(change, Json(after)))
}

/// Scales one type, or sets its autoscaler.
pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, name)): Path<(String, String)>,
    Body(wish): Body<shapes::FormationWish>,
) -> Result<Response, ApiError> {
    let process_type: ProcessType = name.parse().map_err(ApiError::invalid)?;
    let wanted = count(wish.count);
    let change = match wish.autoscale {
        Some(_) if wanted != Count::default() => {
            return Err(ApiError::InvalidParams(
                "a number or a size, or `autoscale`: one request sets one of them".to_owned(),
            ));
        }
        Some(autoscale) => {
            let wish = match autoscale {
                Some(autoscale) => Wish::Autoscale { process_type: process_type.clone(), autoscale },
                None => {
                    let quantity = how_many(&running(&platform, &app).await?, &process_type);
                    Wish::StopAutoscaling { process_type: process_type.clone(), quantity }
                }
            };
            platform.autoscale(&app, &principal, wish).await?
        }
        None => {
            let types = [(process_type.clone(), wanted.clone())].into();
            platform.scale(&app, &principal, types).await?
        }
    };
    let types = BTreeMap::from([(process_type, wanted)]);
    let mut after = shown(&platform, &app).await?;
    after.retain_mut(|one| overlay(one, &types));
    let one = after.pop().ok_or_else(|| no_type(&app, &name))?;
    Ok(asked(change, Json(one)))
}

pub(in crate::web) async fn restart_all(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, ApiError> {
    let change = platform.restart(&app, &principal, Which::All).await?;
    accepted(&platform, &app, change).await
}

/// Restarts one process, or all of a type.
pub(in crate::web) async fn restart(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, word)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let which = match meant(&platform, &app, &word).await? {
        Meant::Type(name) => Which::Type(name),
        Meant::Process { .. } => Which::Named(word),
    };
    let change = platform.restart(&app, &principal, which).await?;
    accepted(&platform, &app, change).await
}

/// Stops one process, or all of a type. What is stopped stays so until somebody scales.
pub(in crate::web) async fn stop(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, word)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let wish = match meant(&platform, &app, &word).await? {
        Meant::Type(name) => Wish::Scale([(name, Count { quantity: Some(0), size: None })].into()),
        Meant::Process { process_type, beside } => Wish::Stop { process_type, name: word, quantity: beside },
    };
    let change = platform.stop(&app, &principal, wish).await?;
    accepted(&platform, &app, change).await
}

/// How far something is that was asked for.
pub(in crate::web) async fn outcome(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<shapes::FormationChange>, ApiError> {
    let id: Option<Uuid> = id.parse().ok();
    let change = match id {
        Some(id) => told(&platform, &app, ChangeId(id)).await?,
        None => None,
    };
    change.map(Json).ok_or_else(|| {
        ApiError::NotFound(format!("nothing of that id was asked of {}'s processes", app.name))
    })
}

async fn told(
    platform: &Platform,
    app: &App,
    id: ChangeId,
) -> Result<Option<shapes::FormationChange>, ApiError> {
    let change = platform.formation_change(app, id).await?;
    Ok(change.map(|change| shapes::FormationChange {
        id: change.id.0,
        status: change.status,
        reason: change.reason,
        user: Actor { id: None, email: change.actor_name },
        created_at: change.created_at,
        updated_at: change.finished_at.unwrap_or(change.created_at),
    }))
}

async fn accepted(platform: &Platform, app: &App, id: ChangeId) -> Result<Response, ApiError> {
    let change = told(platform, app, id).await?;
    Ok(asked(id, (StatusCode::ACCEPTED, Json(change))))
}

fn asked(id: ChangeId, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(CHANGE, value);
    }
    response
}

/// What a word of a path means.
enum Meant {
    Type(ProcessType),
    Process {
        process_type: ProcessType,
        /// Others of its type that run.
        beside: u32,
    },
}

async fn meant(platform: &Platform, app: &App, word: &str) -> Result<Meant, ApiError> {
    let types = platform.formation_of(app).await?.map(|shown| shown.blueprint.processes);
    let name = word.parse::<ProcessType>().ok();
    if let Some(name) = name.filter(|name| types.is_some_and(|types| types.contains_key(name))) {
        return Ok(Meant::Type(name));
    }
    let processes = running(platform, app).await?;
    let process = processes.iter().find(|process| process.name == word && process.state != "down");
    let Some(process) = process else {
        let word: String = word.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(ApiError::NotFound(format!(
            "{} has no process and no process type `{word}`: `ps` lists them",
            app.name
        )));
    };
    let process_type = process.process_type.clone();
    let beside = how_many(&processes, &process_type).saturating_sub(1);
    Ok(Meant::Process { process_type, beside })
}

/// Those on their way out do not count.
fn how_many(processes: &[ProcessStatus], process_type: &ProcessType) -> u32 {
    let staying = |one: &&ProcessStatus| one.process_type == *process_type && one.state != "down";
    u32::try_from(processes.iter().filter(staying).count()).unwrap_or(u32::MAX)
}

async fn shown(platform: &Platform, app: &App) -> Result<Vec<shapes::Formation>, ApiError> {
    if app.adoption.is_some() {
        return adopted(platform, app).await;
    }
    let shown = platform.formation_of(app).await?;
    Ok(shown.map_or_else(Vec::new, |shown| all_of(app, &shown)))
}

fn all_of(app: &App, shown: &Shown) -> Vec<shapes::Formation> {
    let one = |(name, command): (&ProcessType, &Option<String>)| {
        let entry = shown.entries.iter().find(|entry| entry.process_type == *name);
        let scaling = entry.map_or_else(|| Scaling::at_first(name), |entry| entry.scaling.clone());
        shapes::Formation {
            id: derived_id(&[&app.id.to_string(), "formation", name.as_str()]),
            process_type: name.to_string(),
            quantity: scaling.quantity,
            command: command.clone().unwrap_or_default(),
            size: scaling.size.unwrap_or_else(|| USUAL_SIZE.to_owned()),
            app: render::app_named(app),
            autoscale: scaling.autoscale,
            pending: shown.changing,
            created_at: entry.map_or(app.created_at, |entry| entry.created_at),
            updated_at: entry.map_or(app.updated_at, |entry| entry.updated_at),
        }
    };
    shown.blueprint.processes.iter().map(one).collect()
}

/// Somebody else's Deployments: what is known of them is what runs.
async fn adopted(platform: &Platform, app: &App) -> Result<Vec<shapes::Formation>, ApiError> {
    let processes = running(platform, app).await?;
    let types: BTreeMap<_, _> =
        processes.iter().map(|process| (process.process_type.clone(), process.command.clone())).collect();
    let one = |(name, command): (ProcessType, String)| shapes::Formation {
        id: derived_id(&[&app.id.to_string(), "formation", name.as_str()]),
        quantity: how_many(&processes, &name),
        process_type: name.to_string(),
        command,
        size: USUAL_SIZE.to_owned(),
        app: render::app_named(app),
        autoscale: None,
        pending: false,
        created_at: app.created_at,
        updated_at: app.updated_at,
    };
    Ok(types.into_iter().map(one).collect())
}

/// Shows what was asked for, as it will be; false for a type that was not named.
fn overlay(one: &mut shapes::Formation, types: &BTreeMap<ProcessType, Count>) -> bool {
    let Some((_, count)) = types.iter().find(|(name, _)| name.as_str() == one.process_type) else {
        return false;
    };
    if let Some(quantity) = count.quantity {
        one.quantity = quantity;
    }
    if let Some(size) = &count.size {
        one.size.clone_from(size);
    }
    true
}

fn count(wish: shapes::NewCount) -> Count {
    Count { quantity: wish.quantity, size: wish.size.map(shapes::SizeWord::into_name) }
}

fn no_type(app: &App, name: &str) -> ApiError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    ApiError::NotFound(format!("{} has no process type `{name}`: `ps:scale` lists them", app.name))
}
