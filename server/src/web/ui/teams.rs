//! Teams and who is what in them; done by the API's own handlers.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use sqlx::PgPool;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use crate::db::people;
use crate::domain::access::{Action, Role, authorise};
use crate::web::admission::PathTeam;
use crate::web::api::{shapes, teams};
use crate::web::body::Body;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "teams.html")]
struct Page {
    frame: Frame,
    teams: Vec<shapes::Team>,
}

pub(super) async fn list(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Response, Failure> {
    let teams = teams::list(State(pool), Extension(visitor.principal.clone())).await?.0;
    show(&Page { frame: Frame::new(&visitor, Here::People, "Teams"), teams })
}

#[derive(Debug, Deserialize)]
pub(super) struct NewTeam {
    #[serde(default)]
    name: String,
}

pub(super) async fn add(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Form(sent): Form<NewTeam>,
) -> Result<Response, Failure> {
    let new = shapes::NewTeam { name: sent.name.trim().to_owned() };
    let (_, made) = teams::create(State(pool), Extension(visitor.principal), Body(new)).await?;
    Ok(Redirect::to(&format!("/ui/teams/{}", made.0.name)).into_response())
}

#[derive(Template)]
#[template(path = "team.html")]
struct TeamPage {
    frame: Frame,
    team: String,
    members: Vec<shapes::Member>,
    may_change: bool,
    roles: [Role; 3],
}

pub(super) async fn info(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(team): Extension<PathTeam>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let role = people::role_in(&mut *pool.acquire().await?, team.id, visitor.principal.user).await?;
    let members = teams::members(State(pool), Extension(team.clone())).await?.0;
    let notice = (done.done == "changed").then_some("It is changed.");
    show(&TeamPage {
        frame: Frame::new(&visitor, Here::People, &team.name).noting(notice),
        may_change: authorise(&visitor.principal, role, Action::Own).is_ok(),
        team: team.name,
        members,
        roles: [Role::Viewer, Role::Deployer, Role::Owner],
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct NewMember {
    #[serde(default)]
    user: String,
    role: Role,
}

pub(super) async fn set_member(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(team): Extension<PathTeam>,
    Form(sent): Form<NewMember>,
) -> Result<Response, Failure> {
    let new = shapes::NewMember { email: sent.user.trim().to_lowercase(), role: sent.role };
    let back = format!("/ui/teams/{}?done=changed", team.name);
    let _set =
        teams::set_member(State(pool), Extension(visitor.principal), Extension(team), Body(new)).await?;
    Ok(Redirect::to(&back).into_response())
}

pub(super) async fn remove_member(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Extension(team): Extension<PathTeam>,
    path: Path<(String, String)>,
) -> Result<Response, Failure> {
    let back = format!("/ui/teams/{}?done=changed", team.name);
    let _gone =
        teams::remove_member(State(pool), Extension(visitor.principal), Extension(team), path).await?;
    Ok(Redirect::to(&back).into_response())
}
