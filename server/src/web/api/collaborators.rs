//! `/apps/{app}/collaborators`: who has a role for one app, besides the members of its team.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::shapes::{self, Named};
use super::users::nobody;
use crate::db::apps::App;
use crate::db::audit;
use crate::db::collaborators::{self, Collaborator};
use crate::db::people::{self, User};
use crate::domain::access::{Principal, Role};
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Collaborator>>, ApiError> {
    let all = collaborators::of_app(&mut *pool.acquire().await?, app.id, None).await?;
    Ok(Json(all.into_iter().map(|one| render(one, &app)).collect()))
}

pub(in crate::web) async fn info(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<shapes::Collaborator>, ApiError> {
    let mut conn = pool.acquire().await?;
    let user = user(&mut conn, &name).await?;
    Ok(Json(render(one(&mut conn, &app, &user).await?, &app)))
}

pub(in crate::web) async fn add(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Extension(app): Extension<App>,
    Body(new): Body<shapes::NewCollaborator>,
) -> Result<(StatusCode, Json<shapes::Collaborator>), ApiError> {
    let role = new.role.unwrap_or(Role::Deployer);
    let mut tx = pool.begin().await?;
    let user = user(&mut tx, &new.user).await?;
    if !collaborators::add(&mut tx, app.id, user.id, role).await? {
        return Err(ApiError::Conflict(format!(
            "{} is a collaborator of `{}` already: `access:update` changes the role",
            user.name, app.name
        )));
    }
    let detail = json!({ "user": user.name, "role": role });
    audit::note(&mut tx, &principal, Some((app.id, &app.name)), "access:add", detail).await?;
    let made = one(&mut tx, &app, &user).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(render(made, &app))))
}

pub(in crate::web) async fn change(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
    Body(change): Body<shapes::CollaboratorChange>,
) -> Result<Json<shapes::Collaborator>, ApiError> {
    let mut tx = pool.begin().await?;
    let user = user(&mut tx, &name).await?;
    let before = one(&mut tx, &app, &user).await?.role;
    if !collaborators::change(&mut tx, app.id, user.id, change.role).await? {
        return Err(none(&app, &user));
    }
    let detail = json!({ "user": user.name, "before": before, "role": change.role });
    audit::note(&mut tx, &principal, Some((app.id, &app.name)), "access:update", detail).await?;
    let changed = one(&mut tx, &app, &user).await?;
    tx.commit().await?;
    Ok(Json(render(changed, &app)))
}

pub(in crate::web) async fn remove(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Extension(app): Extension<App>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<shapes::Collaborator>, ApiError> {
    let mut tx = pool.begin().await?;
    let user = user(&mut tx, &name).await?;
    let gone = one(&mut tx, &app, &user).await?;
    collaborators::remove(&mut tx, app.id, user.id).await?;
    let detail = json!({ "user": user.name, "role": gone.role });
    audit::note(&mut tx, &principal, Some((app.id, &app.name)), "access:remove", detail).await?;
    tx.commit().await?;
    Ok(Json(render(gone, &app)))
}

async fn user(conn: &mut PgConnection, name: &str) -> Result<User, ApiError> {
    people::user_named(conn, name).await?.ok_or_else(|| nobody(name))
}

async fn one(conn: &mut PgConnection, app: &App, user: &User) -> Result<Collaborator, ApiError> {
    let found = collaborators::of_app(conn, app.id, Some(user.id)).await?.pop();
    found.ok_or_else(|| none(app, user))
}

fn none(app: &App, user: &User) -> ApiError {
    ApiError::NotFound(format!(
        "{} is no collaborator of `{}`: `access` lists those, and who is in its team",
        user.name, app.name
    ))
}

fn render(one: Collaborator, app: &App) -> shapes::Collaborator {
    let permissions = [
        (Role::Viewer, "view", "see the app, its releases, builds and logs"),
        (Role::Deployer, "deploy", "push, release and roll back"),
        (Role::Deployer, "operate", "config vars, formation, runs"),
        (Role::Owner, "manage", "change settings, destroy the app, choose who has access"),
    ];
    let allowed = permissions.into_iter().filter(|(needed, ..)| one.role >= *needed);
    shapes::Collaborator {
        id: one.id,
        app: Named { id: app.id.0, name: app.name.to_string() },
        role: one.role,
        permissions: allowed
            .map(|(_, name, what)| shapes::Permission { name: name.to_owned(), description: what.to_owned() })
            .collect(),
        user: shapes::CollaboratorUser { id: one.user.0, email: one.name, federated: false },
        created_at: one.created_at,
        updated_at: one.updated_at,
    }
}
