//! Who has access to one app; done by the API's own handlers.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use sqlx::PgPool;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use crate::db::apps::{self, App};
use crate::db::{collaborators, people};
use crate::domain::access::{Action, Role, authorise};
use crate::web::api::{self, shapes};
use crate::web::body::Body;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "access.html")]
struct Page {
    frame: Frame,
    app: String,
    team: String,
    people: Vec<collaborators::Collaborator>,
    /// Unless the visitor is not in it.
    members: Vec<people::Member>,
    may_change: bool,
    roles: [Role; 3],
}

pub(super) async fn page(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let (who, mut conn) = (&visitor.principal, pool.acquire().await?);
    let role = apps::role_of(&mut conn, app.id, who.user).await?;
    let in_team = people::role_in(&mut conn, app.team, who.user).await?;
    let people = collaborators::of_app(&mut conn, app.id, None).await?;
    let members = match authorise(who, in_team, Action::Read) {
        Ok(()) => people::members(&mut conn, app.team).await?,
        Err(_) => Vec::new(),
    };
    drop(conn);
    let notice = (done.done == "changed").then_some("It is changed.");
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, format!("Access to {}", app.name)).noting(notice),
        app: app.name.to_string(),
        team: app.team_name.clone(),
        people,
        members,
        may_change: authorise(who, role, Action::Own).is_ok(),
        roles: [Role::Viewer, Role::Deployer, Role::Owner],
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    user: String,
    role: Role,
}

/// Gives somebody a role, whether they had one or not.
pub(super) async fn set(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Form(sent): Form<Wish>,
) -> Result<Response, Failure> {
    let (name, role) = (sent.user.trim().to_lowercase(), sent.role);
    let all = collaborators::of_app(&mut *pool.acquire().await?, app.id, None).await?;
    let back = format!("/ui/apps/{}/access?done=changed", app.name);
    let (state, who, app) = (State(pool), Extension(visitor.principal), Extension(app));
    if all.iter().any(|one| one.name == name) {
        let (path, change) = (Path((String::new(), name)), shapes::CollaboratorChange { role });
        let _changed = api::collaborators::change(state, who, app, path, Body(change)).await?;
    } else {
        let new = shapes::NewCollaborator { user: name, role: Some(role), silent: None };
        let _added = api::collaborators::add(state, who, app, Body(new)).await?;
    }
    Ok(Redirect::to(&back).into_response())
}

pub(super) async fn remove(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    path: Path<(String, String)>,
) -> Result<Response, Failure> {
    let back = format!("/ui/apps/{}/access?done=changed", app.name);
    let who = Extension(visitor.principal);
    let _gone = api::collaborators::remove(State(pool), who, Extension(app), path).await?;
    Ok(Redirect::to(&back).into_response())
}
