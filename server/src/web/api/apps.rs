//! `/apps`: apps and their settings.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use sqlx::PgPool;

use super::{render, shapes};
use crate::db::apps::{self, App, Settings};
use crate::db::people;
use crate::domain::access::{Action, Principal};
use crate::domain::names::{AppName, TeamName};
use crate::platform::Platform;
use crate::target::{AdoptedSet, Adoption};
use crate::web::admission::team_for;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The longest path or branch name, in bytes.
const LONGEST: usize = 250;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Vec<shapes::App>>, ApiError> {
    let mut conn = pool.acquire().await?;
    let found = match principal.admin {
        true => apps::all(&mut conn).await?,
        false => apps::of_user(&mut conn, principal.user).await?,
    };
    Ok(Json(found.iter().map(|app| render::app(app, &doors)).collect()))
}

pub(in crate::web) async fn create(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewApp>,
) -> Result<(StatusCode, Json<shapes::App>), ApiError> {
    let name = new.name.map(|name| name.parse::<AppName>()).transpose().map_err(ApiError::invalid)?;
    let team = {
        let mut conn = platform.pool.acquire().await?;
        let team = match new.team {
            Some(team) => team,
            None => usual_team(&mut conn, &principal).await?,
        };
        team_for(&mut conn, &principal, &team, Action::Deploy).await?.0
    };
    let app = platform.create_app(&principal, team.id, name).await?;
    Ok((StatusCode::CREATED, Json(render::app(&app, &doors))))
}

/// The team of a new app that names none: the only one that the user is in, or `default`.
pub(super) async fn usual_team(
    conn: &mut sqlx::PgConnection,
    principal: &Principal,
) -> Result<String, ApiError> {
    let mut teams = people::teams_of(conn, principal.user).await?;
    let default = TeamName::default_team();
    let usual = teams.iter().position(|team| team.name == default.as_str());
    match (usual, teams.len()) {
        (Some(usual), _) => Ok(teams.swap_remove(usual).name),
        (None, 0) if principal.admin => Ok(default.to_string()),
        (None, 0) => Err(ApiError::Conflict(
            "you are in no team, and an app belongs to one: ask an owner of a team for access".to_owned(),
        )),
        (None, 1) => Ok(teams.swap_remove(0).name),
        (None, _) => Err(ApiError::InvalidParams(format!(
            "you are in several teams: say which with --team ({})",
            teams.iter().map(|team| team.name.as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

pub(in crate::web) async fn info(
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
) -> Json<shapes::App> {
    Json(render::app(&app, &doors))
}

pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(change): Body<shapes::AppChange>,
) -> Result<Json<shapes::App>, ApiError> {
    let settings = Settings {
        deploy_branch: change.deploy_branch.unwrap_or_else(|| app.deploy_branch.clone()),
        dockerfile: change.dockerfile.unwrap_or_else(|| app.dockerfile.clone()),
        folder: change.folder.unwrap_or_else(|| app.folder.clone()),
        buildpack: change.buildpack.unwrap_or_else(|| app.buildpack.clone()),
        builder: change.builder.unwrap_or_else(|| app.builder.clone()),
        health_path: change.health_path.unwrap_or_else(|| app.health_path.clone()),
        adoption: change.adoption.unwrap_or_else(|| app.adoption.clone()),
    };
    check(&settings)?;
    if settings.adoption.is_some() && app.config.as_object().is_some_and(|config| !config.is_empty()) {
        return Err(ApiError::Conflict(
            "the app has config vars, and Deployments that it adopts keep their own environment: unset them first"
                .to_owned(),
        ));
    }
    let app = platform.change_settings(&app, &principal, &settings).await?;
    Ok(Json(render::app(&app, &doors)))
}

pub(in crate::web) async fn destroy(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<shapes::App>, ApiError> {
    platform.destroy_app(&app, (&principal).into()).await?;
    Ok(Json(render::app(&app, &doors)))
}

fn check(settings: &Settings) -> Result<(), ApiError> {
    if !is_branch(&settings.deploy_branch) {
        return Err(ApiError::InvalidParams(
            "deploy_branch is the name of a branch, such as `main` or `release/2`".to_owned(),
        ));
    }
    if settings.dockerfile.as_deref().is_some_and(|path| !is_path_in_tree(path)) {
        return Err(ApiError::InvalidParams(
            "dockerfile is a path within the repository, such as `deploy/Dockerfile`".to_owned(),
        ));
    }
    if settings.folder.as_deref().is_some_and(|path| !is_path_in_tree(path)) {
        return Err(ApiError::InvalidParams(
            "folder is a path within the repository, such as `apps/web`".to_owned(),
        ));
    }
    if let Some(name) =
        settings.buildpack.as_deref().filter(|name| slipway_buildpacks::buildpack_of(name).is_none())
    {
        let known = slipway_buildpacks::names().collect::<Vec<_>>().join(", ");
        return Err(ApiError::InvalidParams(format!(
            "there is no buildpack `{name}`: there are {known}. For others, set their builder image: builder=<image>"
        )));
    }
    if settings.builder.as_deref().is_some_and(|image| !is_image(image)) {
        return Err(ApiError::InvalidParams(
            "builder is an image with Cloud Native Buildpacks, such as `heroku/builder:24`".to_owned(),
        ));
    }
    let ways = [&settings.dockerfile, &settings.buildpack, &settings.builder];
    if ways.into_iter().flatten().count() > 1 {
        return Err(ApiError::Conflict(
            "an app is built with a Dockerfile, a buildpack or a builder: unset the others, as in `dockerfile= builder=<image>`"
                .to_owned(),
        ));
    }
    if settings.health_path.as_deref().is_some_and(|path| !is_url_path(path)) {
        return Err(ApiError::InvalidParams("health is a path of the app, such as `/healthz`".to_owned()));
    }
    settings.adoption.as_ref().map_or(Ok(()), check_adoption)
}

fn check_adoption(adoption: &Adoption) -> Result<(), ApiError> {
    let complete = match &adoption.deployments {
        AdoptedSet::Names(names) => !names.is_empty() && names.iter().all(|name| is_kubernetes_name(name)),
        AdoptedSet::Selector(selector) => !selector.trim().is_empty() && selector.len() <= LONGEST,
    };
    let containers = &adoption.containers;
    if complete
        && is_kubernetes_name(&adoption.namespace)
        && !containers.is_empty()
        && containers.iter().all(|name| is_kubernetes_name(name))
    {
        return Ok(());
    }
    Err(ApiError::InvalidParams(
        "to adopt Deployments, name their namespace, the Deployments (or a label selector), and at least one container"
            .to_owned(),
    ))
}

/// What `git check-ref-format --branch` accepts, without its exotic parts.
fn is_branch(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._/+@#-".contains(c);
    !name.is_empty()
        && name.len() <= LONGEST
        && name.chars().all(good)
        && name.split('/').all(|part| {
            !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock") && !part.ends_with('.')
        })
        && !name.contains("..")
        && !name.contains("@{")
        && !name.starts_with('-')
        && name != "@"
        && name != "HEAD"
}

fn is_path_in_tree(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= LONGEST
        && !path.chars().any(char::is_control)
        && !path.starts_with(['/', '-'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"))
}

/// As far as a name can be told from an option or a piece of shell; the engine knows the rest.
fn is_image(name: &str) -> bool {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"./_:@-".contains(&c);
    !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(good)
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_url_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= LONGEST && path.bytes().all(|c| c.is_ascii_graphic() && c != b'#')
}

fn is_kubernetes_name(name: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    (1..=253).contains(&name.len())
        && name.bytes().all(good)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_could_reach_outside_are_refused() {
        for bad in ["", "-x", "a..b", "/a", "a/", "a.lock", "a b", "HEAD", "x@{1}", "a\n"] {
            assert!(!is_branch(bad), "{bad:?}");
        }
        assert!(is_branch("release/2.x"));
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", ".git/config", "-f", "a\u{1b}"] {
            assert!(!is_path_in_tree(bad), "{bad:?}");
        }
        assert!(is_path_in_tree("deploy/Dockerfile.prod"));
        for bad in ["", "-v", "a b", "a;b", "$(a)"] {
            assert!(!is_image(bad), "{bad:?}");
        }
        assert!(is_image("heroku/builder:24") && is_image("127.0.0.1:5000/x@sha256:00"));
        for bad in ["", "health", "/a b", "/a\r\nX: 1"] {
            assert!(!is_url_path(bad), "{bad:?}");
        }
        assert!(is_url_path("/healthz?full=1"));
    }
}
