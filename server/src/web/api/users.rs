//! `/users`: who has an account; for admins.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::authorizations::issue;
use super::{render, shapes};
use crate::db::people::{self, User};
use crate::db::{audit, identities, sessions};
use crate::domain::access::{Principal, Role};
use crate::domain::ids::UserId;
use crate::domain::names::{TeamName, UserName};
use crate::web::body::Body;
use crate::web::error::ApiError;

/// As RFC 5321 has it, in bytes.
const LONGEST_EMAIL: usize = 254;

pub(in crate::web) async fn list(State(pool): State<PgPool>) -> Result<Json<Vec<shapes::Account>>, ApiError> {
    let users = people::users(&mut *pool.acquire().await?).await?;
    Ok(Json(users.iter().map(render::account).collect()))
}

/// Makes an account with a first token.
pub(in crate::web) async fn create(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewUser>,
) -> Result<(StatusCode, Json<shapes::NewAccount>), ApiError> {
    let mut tx = pool.begin().await?;
    let user = make(&mut tx, &principal, new).await?;
    let token = issue(&mut tx, user.id, "made with the account", None).await?;
    tx.commit().await?;
    let token = token.access_token.map(|token| token.token).unwrap_or_default();
    Ok((StatusCode::CREATED, Json(shapes::NewAccount { account: render::account(&user), token })))
}

/// Makes an account, in the team `default` as deployer unless told otherwise.
pub(in crate::web) async fn make(
    conn: &mut PgConnection,
    principal: &Principal,
    new: shapes::NewUser,
) -> Result<User, ApiError> {
    let name: UserName = new.name.parse().map_err(ApiError::invalid)?;
    let email = new.sign_in_email.as_deref().map(email).transpose()?;
    let id = people::create_user(conn, &name)
        .await?
        .ok_or_else(|| ApiError::Conflict(format!("the user name `{name}` is taken: choose another")))?;
    if new.admin {
        people::make_admin(conn, id).await?;
    }
    if let Some(email) = &email {
        set_email(conn, id, Some(email)).await?;
    }
    let team = new.team.unwrap_or_else(|| TeamName::default_team().to_string());
    let role = new.role.unwrap_or(Role::Deployer);
    join(conn, &team, id, role).await?;
    let detail = json!({ "user": name, "admin": new.admin, "team": team, "role": role, "email": email });
    audit::note(conn, principal, None, "users:create", detail).await?;
    let made = people::user(conn, id).await?;
    made.ok_or_else(|| ApiError::Conflict("the user has just been removed".to_owned()))
}

pub(in crate::web) async fn change(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Body(change): Body<shapes::UserChange>,
) -> Result<Json<shapes::Account>, ApiError> {
    let email = change.sign_in_email.map(|text| text.as_deref().map(email).transpose()).transpose()?;
    let mut tx = pool.begin().await?;
    let user = people::user_named(&mut tx, &name).await?.ok_or_else(|| nobody(&name))?;
    let mut detail = json!({ "user": user.name });
    if let Some(email) = email {
        set_email(&mut tx, user.id, email.as_deref()).await?;
        // The account may be somebody else's now.
        sessions::end_others(&mut tx, user.id, None).await?;
        detail["email"] = json!(email);
    }
    match change.admin {
        Some(true) => people::make_admin(&mut tx, user.id).await?,
        Some(false) => {
            refuse_last_admin(&mut tx, &user).await?;
            people::end_admin(&mut tx, user.id).await?;
        }
        None => {}
    }
    if let Some(admin) = change.admin {
        detail["admin"] = json!(admin);
    }
    audit::note(&mut tx, &principal, None, "users:update", detail).await?;
    let user = people::user(&mut tx, user.id).await?.ok_or_else(|| nobody(&name))?;
    tx.commit().await?;
    Ok(Json(render::account(&user)))
}

/// Removes somebody with their keys, tokens, sessions and roles.
pub(in crate::web) async fn remove(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<shapes::Account>, ApiError> {
    let mut tx = pool.begin().await?;
    let user = people::user_named(&mut tx, &name).await?.ok_or_else(|| nobody(&name))?;
    refuse_last_admin(&mut tx, &user).await?;
    if let Some(team) = people::teams_only_owned_by(&mut tx, user.id).await?.first() {
        return Err(ApiError::Conflict(format!(
            "{} is the only owner of the team `{team}`: make somebody else an owner first",
            user.name
        )));
    }
    people::remove(&mut tx, user.id).await?;
    audit::note(&mut tx, &principal, None, "users:remove", json!({ "user": user.name })).await?;
    tx.commit().await?;
    Ok(Json(render::account(&user)))
}

/// The platform keeps an admin: else only `slipway admin` on its machine could make one.
async fn refuse_last_admin(conn: &mut PgConnection, user: &User) -> Result<(), ApiError> {
    let admins = people::admins_locked(conn).await?;
    // Read again: another request may have had the lock.
    let admin = people::user(conn, user.id).await?.is_some_and(|user| user.admin);
    if admin && admins == 1 {
        return Err(ApiError::Conflict(format!(
            "{} is the only admin: make somebody else an admin first",
            user.name
        )));
    }
    Ok(())
}

async fn set_email(conn: &mut PgConnection, user: UserId, email: Option<&str>) -> Result<(), ApiError> {
    match identities::set_email(conn, user, email).await? {
        true => Ok(()),
        false => Err(ApiError::Conflict(format!(
            "somebody else has the address `{}`: `users:update` takes it from them",
            email.unwrap_or_default()
        ))),
    }
}

/// An e-mail address as providers name it, in lower case.
fn email(text: &str) -> Result<String, ApiError> {
    let text = text.trim().to_ascii_lowercase();
    let whole = text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
    if !whole || text.len() > LONGEST_EMAIL || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(ApiError::InvalidParams(
            "this is no e-mail address: write one such as ada@example.com".to_owned(),
        ));
    }
    Ok(text)
}

pub(in crate::web) fn nobody(name: &str) -> ApiError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    ApiError::NotFound(format!("there is no user `{name}`: an admin makes one with `users:create {name}`"))
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
