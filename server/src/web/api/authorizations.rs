//! `/oauth/authorizations`: API tokens of whoever asks. A token is shown in the answer that made it, never again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{render, shapes};
use crate::db::{audit, credentials};
use crate::domain::access::Principal;
use crate::domain::ids::{TokenId, UserId};
use crate::domain::token;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The longest life of a token that has an end, in seconds: ten years.
const LONGEST_LIFE: i64 = 10 * 366 * 24 * 3600;
/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 100;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Vec<shapes::Authorization>>, ApiError> {
    let tokens = credentials::tokens_of(&mut *pool.acquire().await?, principal.user).await?;
    Ok(Json(tokens.into_iter().map(render::authorization).collect()))
}

pub(in crate::web) async fn create(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewAuthorization>,
) -> Result<(StatusCode, Json<shapes::Authorization>), ApiError> {
    let description = new.description.unwrap_or_default();
    if description.chars().count() > LONGEST_DESCRIPTION || description.chars().any(char::is_control) {
        return Err(ApiError::InvalidParams(format!(
            "a description has at most {LONGEST_DESCRIPTION} characters, on one line"
        )));
    }
    let mut tx = pool.begin().await?;
    let made = issue(&mut tx, principal.user, &description, new.expires_in).await?;
    let detail = json!({ "id": made.id, "description": made.description, "expires_at": made.expires_at });
    audit::note(&mut tx, &principal, None, "authorizations:create", detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(in crate::web) async fn revoke(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<shapes::Authorization>, ApiError> {
    let mut tx = pool.begin().await?;
    let gone = match id.parse::<Uuid>() {
        Ok(id) => credentials::revoke_token(&mut tx, principal.user, TokenId(id)).await?,
        Err(_) => None,
    };
    let gone = gone.ok_or_else(|| {
        ApiError::NotFound("none of your tokens has this id: `authorizations` lists them".to_owned())
    })?;
    let detail = json!({ "id": gone.id, "description": gone.description });
    audit::note(&mut tx, &principal, None, "authorizations:revoke", detail).await?;
    tx.commit().await?;
    Ok(Json(render::authorization(gone)))
}

/// Makes a token for `user`; `expires_in` is in seconds.
pub(super) async fn issue(
    conn: &mut PgConnection,
    user: UserId,
    description: &str,
    expires_in: Option<i64>,
) -> Result<shapes::Authorization, ApiError> {
    if expires_in.is_some_and(|seconds| !(1..=LONGEST_LIFE).contains(&seconds)) {
        return Err(ApiError::InvalidParams(format!(
            "expires_in is a number of seconds between 1 and {LONGEST_LIFE}; leave it out for a token without end"
        )));
    }
    let expires_at = expires_in.map(|seconds| Timestamp::now() + SignedDuration::from_secs(seconds));
    let token = token::generate();
    let hash = token::hash(token.expose_secret()).expect("invariant: a generated token has its checksum");
    let stored = credentials::add_token(conn, user, &hash, description, expires_at).await?;
    let mut made = render::authorization(stored);
    made.access_token =
        Some(shapes::AccessToken { id: made.id, token: token.expose_secret().to_owned(), expires_in });
    Ok(made)
}
