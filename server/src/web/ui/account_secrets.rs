//! Tokens and SSH keys on the account page: made and revoked by the API's own handlers.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use sqlx::PgPool;

use super::Ui;
use super::account::whole;
use super::admission::Visitor;
use super::page::Failure;
use crate::web::api::{account, authorizations, shapes};
use crate::web::body::Body;

/// Of a day, in seconds.
const DAY: i64 = 24 * 3600;

#[derive(Debug, Deserialize)]
pub(super) struct NewToken {
    #[serde(default)]
    description: String,
    /// Days until it ends; empty: never.
    #[serde(default)]
    days: String,
}

/// Answers with the page itself: a token that went through a redirect would have to be kept somewhere.
pub(super) async fn add_token(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Form(sent): Form<NewToken>,
) -> Result<Response, Failure> {
    let new = shapes::NewAuthorization {
        description: Some(sent.description.trim().to_owned()),
        expires_in: sent.days.parse::<i64>().ok().map(|days| days.saturating_mul(DAY)),
    };
    let principal = Extension(visitor.principal.clone());
    let (_, made) = authorizations::create(State(ui.web.platform.pool.clone()), principal, Body(new)).await?;
    let token = made.0.access_token.map(|token| token.token);
    whole(&ui, &visitor, (Some("The token is made: copy it now, it is not shown again."), token)).await
}

pub(super) async fn revoke_token(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let _revoked = authorizations::revoke(State(pool), Extension(visitor.principal), Path(token)).await?;
    Ok(Redirect::to("/ui/account?done=token").into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct NewKey {
    #[serde(default)]
    public_key: String,
}

pub(super) async fn add_key(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Form(sent): Form<NewKey>,
) -> Result<Response, Failure> {
    let new = shapes::NewKey { public_key: sent.public_key.trim().to_owned() };
    let _added = account::add_key(State(pool), Extension(visitor.principal), Body(new)).await?;
    Ok(Redirect::to("/ui/account?done=key").into_response())
}

pub(super) async fn remove_key(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(key): Path<String>,
) -> Result<Response, Failure> {
    let _removed = account::remove_key(State(pool), Extension(visitor.principal), Path(key)).await?;
    Ok(Redirect::to("/ui/account?done=key-removed").into_response())
}
