//! `/users`: who has an account; for admins.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::authorizations::issue;
use super::{render, shapes};
use crate::db::{audit, people};
use crate::domain::access::{Principal, Role};
use crate::domain::ids::UserId;
use crate::domain::names::{TeamName, UserName};
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(State(pool): State<PgPool>) -> Result<Json<Vec<shapes::Account>>, ApiError> {
    let users = people::users(&mut *pool.acquire().await?).await?;
    Ok(Json(users.iter().map(render::account).collect()))
}

/// Makes an account with a first token, in the team `default` as deployer unless told otherwise.
pub(in crate::web) async fn create(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewUser>,
) -> Result<(StatusCode, Json<shapes::NewAccount>), ApiError> {
    let name: UserName = new.name.parse().map_err(ApiError::invalid)?;
    let mut tx = pool.begin().await?;
    let id = people::create_user(&mut tx, &name)
        .await?
        .ok_or_else(|| ApiError::Conflict(format!("the user name `{name}` is taken: choose another")))?;
    if new.admin {
        people::make_admin(&mut tx, id).await?;
    }
    let team = new.team.unwrap_or_else(|| TeamName::default_team().to_string());
    let role = new.role.unwrap_or(Role::Deployer);
    join(&mut tx, &team, id, role).await?;
    let token = issue(&mut tx, id, "made with the account", None).await?;
    let detail = json!({ "user": name, "admin": new.admin, "team": team, "role": role });
    audit::note(&mut tx, &principal, None, "users:create", detail).await?;
    let user = people::user(&mut tx, id).await?;
    tx.commit().await?;
    let made = user
        .zip(token.access_token)
        .map(|(user, token)| shapes::NewAccount { account: render::account(&user), token: token.token });
    let made = made.ok_or_else(|| ApiError::Conflict("the user has just been removed".to_owned()))?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn join(conn: &mut PgConnection, team: &str, user: UserId, role: Role) -> Result<(), ApiError> {
    let team = match people::team_named(conn, team).await? {
        Some(team) => team,
        None => {
            let team: TeamName = team.parse().map_err(ApiError::invalid)?;
            return Err(ApiError::NotFound(format!(
                "there is no team `{team}`: `teams:create {team}` makes it"
            )));
        }
    };
    people::set_role(conn, team, user, role).await?;
    Ok(())
}
