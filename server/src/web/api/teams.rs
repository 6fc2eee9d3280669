//! `/teams`: teams and who is what in them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::shapes::{self, Named};
use super::users::nobody;
use crate::db::audit;
use crate::db::people::{self, Member, Team};
use crate::domain::access::{Principal, Role};
use crate::domain::names::TeamName;
use crate::web::admission::PathTeam;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Vec<shapes::Team>>, ApiError> {
    let mut conn = pool.acquire().await?;
    let teams = match principal.admin {
        true => people::teams(&mut conn).await?,
        false => people::teams_of(&mut conn, principal.user).await?,
    };
    let mut shown = Vec::with_capacity(teams.len());
    for team in teams {
        let role = people::role_in(&mut conn, team.id, principal.user).await?;
        shown.push(render(team, role));
    }
    Ok(Json(shown))
}

/// Whoever makes a team owns it.
pub(in crate::web) async fn create(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewTeam>,
) -> Result<(StatusCode, Json<shapes::Team>), ApiError> {
    let name: TeamName = new.name.parse().map_err(ApiError::invalid)?;
    let mut tx = pool.begin().await?;
    let id = people::create_team(&mut tx, &name)
        .await?
        .ok_or_else(|| ApiError::Conflict(format!("the team name `{name}` is taken: choose another")))?;
    people::set_role(&mut tx, id, principal.user, Role::Owner).await?;
    audit::note(&mut tx, &principal, None, "teams:create", json!({ "team": name })).await?;
    let made = people::teams_of(&mut tx, principal.user).await?.into_iter().find(|team| team.id == id);
    tx.commit().await?;
    let made = made.ok_or_else(|| ApiError::Conflict("the team has just been removed".to_owned()))?;
    Ok((StatusCode::CREATED, Json(render(made, Some(Role::Owner)))))
}

pub(in crate::web) async fn members(
    State(pool): State<PgPool>,
    Extension(team): Extension<PathTeam>,
) -> Result<Json<Vec<shapes::Member>>, ApiError> {
    let members = people::members(&mut *pool.acquire().await?, team.id).await?;
    Ok(Json(members.into_iter().map(|member| render_member(member, &team)).collect()))
}

pub(in crate::web) async fn set_member(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Extension(team): Extension<PathTeam>,
    Body(new): Body<shapes::NewMember>,
) -> Result<Json<shapes::Member>, ApiError> {
    let mut tx = pool.begin().await?;
    let user = people::user_named(&mut tx, &new.email).await?.ok_or_else(|| nobody(&new.email))?;
    if new.role != Role::Owner {
        refuse_last_owner(&mut tx, &team, &user).await?;
    }
    people::set_role(&mut tx, team.id, user.id, new.role).await?;
    let detail = json!({ "team": team.name, "user": user.name, "role": new.role });
    audit::note(&mut tx, &principal, None, "access:add", detail).await?;
    tx.commit().await?;
    Ok(Json(render_member(Member { id: user.id, name: user.name, role: new.role }, &team)))
}

pub(in crate::web) async fn remove_member(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Extension(team): Extension<PathTeam>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<shapes::Member>, ApiError> {
    let mut tx = pool.begin().await?;
    let user = people::user_named(&mut tx, &name).await?.ok_or_else(|| nobody(&name))?;
    refuse_last_owner(&mut tx, &team, &user).await?;
    let Some(role) = people::role_in(&mut tx, team.id, user.id).await? else {
        return Err(ApiError::NotFound(format!("{} is not in the team `{}`", user.name, team.name)));
    };
    people::remove_member(&mut tx, team.id, user.id).await?;
    audit::note(&mut tx, &principal, None, "access:remove", json!({ "team": team.name, "user": user.name }))
        .await?;
    tx.commit().await?;
    Ok(Json(render_member(Member { id: user.id, name: user.name, role }, &team)))
}

/// A team keeps an owner: else nobody but an admin could let anybody in again.
async fn refuse_last_owner(
    conn: &mut PgConnection,
    team: &PathTeam,
    user: &people::User,
) -> Result<(), ApiError> {
    let owners = people::owners_locked(conn, team.id).await?;
    if owners == 1 && people::role_in(conn, team.id, user.id).await? == Some(Role::Owner) {
        return Err(ApiError::Conflict(format!(
            "{} is the only owner of the team `{}`: make somebody else an owner first",
            user.name, team.name
        )));
    }
    Ok(())
}

fn render(team: Team, role: Option<Role>) -> shapes::Team {
    shapes::Team {
        id: team.id.0,
        name: team.name,
        role,
        members: team.members,
        apps: team.apps,
        created_at: team.created_at,
    }
}

fn render_member(member: Member, team: &PathTeam) -> shapes::Member {
    shapes::Member {
        id: member.id.0,
        email: member.name.clone(),
        role: member.role,
        team: Named { id: team.id.0, name: team.name.clone() },
        user: Named { id: member.id.0, name: member.name },
    }
}
