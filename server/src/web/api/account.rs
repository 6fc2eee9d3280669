//! `/account`: who asks, and their SSH keys.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::json;
use sqlx::PgPool;

use super::{render, shapes};
use crate::db::{audit, credentials, people};
use crate::domain::access::Principal;
use crate::domain::public_key;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn info(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<shapes::Account>, ApiError> {
    let user = people::user(&mut *pool.acquire().await?, principal.user).await?;
    let user = user.ok_or(ApiError::Unauthorized("this account has just been removed".to_owned()))?;
    Ok(Json(render::account(&user)))
}

pub(in crate::web) async fn keys(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Vec<shapes::Key>>, ApiError> {
    let keys = credentials::keys_of(&mut *pool.acquire().await?, principal.user).await?;
    Ok(Json(keys.into_iter().map(|key| render::key(key, &principal.name)).collect()))
}

pub(in crate::web) async fn add_key(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewKey>,
) -> Result<(StatusCode, Json<shapes::Key>), ApiError> {
    let accepted = public_key::accept(&new.public_key).map_err(ApiError::invalid)?;
    let mut tx = pool.begin().await?;
    // Whose it is stays unsaid: that would tell strangers who has access.
    let key = credentials::add_key(&mut tx, principal.user, &accepted).await?.ok_or_else(|| {
        ApiError::Conflict(format!(
            "the key {} is already added: `keys` lists yours; a key can belong to one user only",
            accepted.fingerprint
        ))
    })?;
    let detail = json!({ "fingerprint": key.fingerprint });
    audit::note(&mut tx, &principal, None, "keys:add", detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(render::key(key, &principal.name))))
}

pub(in crate::web) async fn remove_key(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
    Path(which): Path<String>,
) -> Result<Json<shapes::Key>, ApiError> {
    let mut tx = pool.begin().await?;
    let key = credentials::remove_key(&mut tx, principal.user, &which).await?.ok_or_else(|| {
        ApiError::NotFound(
            "none, or more than one, of your keys is called that: `keys` lists them; give the id or the fingerprint"
                .to_owned(),
        )
    })?;
    let detail = json!({ "fingerprint": key.fingerprint });
    audit::note(&mut tx, &principal, None, "keys:remove", detail).await?;
    tx.commit().await?;
    Ok(Json(render::key(key, &principal.name)))
}
