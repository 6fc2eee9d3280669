//! One's own account: password, sessions, tokens and keys.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::Ui;
use super::admission::{Visitor, Way};
use super::page::{Failure, Frame, Here, show};
use super::text::When;
use crate::db::credentials::{self, Key, Token};
use crate::db::sessions::{self, Session};
use crate::db::{audit, people};
use crate::domain::ids::WebSessionId;
use crate::doors::neighbourhood;
use crate::passwords::{self, PasswordError};
use crate::web::auth::NotAdmitted;
use crate::web::error::ApiError;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    frame: Frame,
    teams: Vec<String>,
    /// Whether passwords are taken at all.
    passwords: bool,
    has_password: bool,
    shortest: usize,
    /// A token that has just been made: shown this once.
    fresh: Option<String>,
    tokens: Vec<ShownToken>,
    keys: Vec<ShownKey>,
    sessions: Vec<ShownSession>,
}

struct ShownToken {
    id: Uuid,
    description: String,
    created: When,
    used: Option<When>,
    /// When it ends, or has ended.
    expires: Option<String>,
}

struct ShownKey {
    id: Uuid,
    comment: String,
    fingerprint: String,
    created: When,
    used: Option<When>,
}

struct ShownSession {
    id: Uuid,
    browser: String,
    address: String,
    created: When,
    used: When,
    is_this: bool,
}

pub(super) async fn page(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let notice = match done.done.as_str() {
        "link" if !ui.web.platform.settings.openid.passwords => {
            Some("You are signed in. The link does not work again.")
        }
        "link" => {
            Some("You are signed in. The link does not work again: choose a password for the next time.")
        }
        "password" => Some("Your password is set, and all your other sessions have ended."),
        "session" => Some("The session has ended."),
        "token" => Some("The token is revoked: nothing that uses it gets in any more."),
        "key" => Some("The SSH key is added."),
        "key-removed" => Some("The SSH key is removed."),
        _ => None,
    };
    whole(&ui, &visitor, (notice, None)).await
}

/// The page, with what has just been done and a token that was made.
pub(super) async fn whole(
    ui: &Ui,
    visitor: &Visitor,
    (notice, fresh): (Option<&str>, Option<String>),
) -> Result<Response, Failure> {
    let (user, mut conn) = (visitor.principal.user, ui.web.platform.pool.acquire().await?);
    let teams = people::teams_of(&mut conn, user).await?;
    let claimed = sessions::claimed(&mut conn, &visitor.principal.name).await?;
    let tokens = credentials::tokens_of(&mut conn, user).await?;
    let keys = credentials::keys_of(&mut conn, user).await?;
    let sessions = sessions::of_user(&mut conn, user).await?;
    drop(conn);
    show(&Page {
        frame: Frame::new(visitor, Here::Account, "Account").noting(notice),
        teams: teams.into_iter().map(|team| team.name).collect(),
        passwords: ui.web.platform.settings.openid.passwords,
        has_password: claimed.is_some_and(|claimed| claimed.password.is_some()),
        shortest: passwords::SHORTEST,
        fresh,
        tokens: tokens.into_iter().map(ShownToken::from).collect(),
        keys: keys.into_iter().map(ShownKey::from).collect(),
        sessions: sessions.into_iter().map(|session| shown(session, visitor)).collect(),
    })
}

impl From<Token> for ShownToken {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.0,
            description: token.description,
            created: When::new(token.created_at),
            used: token.last_used_at.map(|at| When::new(at.to_jiff())),
            expires: token.expires_at.map(|at| at.to_jiff().strftime("%Y-%m-%d").to_string()),
        }
    }
}

impl From<Key> for ShownKey {
    fn from(key: Key) -> Self {
        Self {
            id: key.id.0,
            comment: key.comment,
            fingerprint: key.fingerprint,
            created: When::new(key.created_at),
            used: key.last_used_at.map(|at| When::new(at.to_jiff())),
        }
    }
}

fn shown(session: Session, visitor: &Visitor) -> ShownSession {
    ShownSession {
        id: session.id.0,
        browser: session.browser,
        address: session.address,
        created: When::new(session.created_at),
        used: When::new(session.last_used_at),
        is_this: session.id == visitor.session,
    }
}

#[derive(Deserialize)]
pub(super) struct Passwords {
    #[serde(default)]
    current: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

/// Takes the old password, if there is one: who finds a page left open must not take the account over.
pub(super) async fn set_password(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Extension(way): Extension<Way>,
    Form(sent): Form<Passwords>,
) -> Result<Response, Failure> {
    let (pool, principal) = (&ui.web.platform.pool, &visitor.principal);
    if !ui.web.platform.settings.openid.passwords {
        return Err(
            ApiError::Refused("passwords are not taken here: sign in by the provider".to_owned()).into()
        );
    }
    let claimed = sessions::claimed(&mut *pool.acquire().await?, &principal.name).await?;
    if let Some(hash) = claimed.and_then(|claimed| claimed.password) {
        let address = neighbourhood(way.address);
        if let Some(wait) = ui.sign_ins.wait(&principal.name, address) {
            return Err(ApiError::from(NotAdmitted::TooMany(wait)).into());
        }
        if !passwords::is_right(sent.current.into(), Some(hash)).await {
            ui.sign_ins.failed(&principal.name, address);
            return Err(ApiError::InvalidParams("the present password is not right".to_owned()).into());
        }
    }
    if sent.password != sent.again {
        return Err(ApiError::InvalidParams("the new password was typed in two ways".to_owned()).into());
    }
    let hash = passwords::hash(SecretString::from(sent.password)).await.map_err(refusal)?;
    let mut tx = pool.begin().await?;
    sessions::set_password(&mut tx, principal.user, &hash).await?;
    sessions::end_others(&mut tx, principal.user, Some(visitor.session)).await?;
    audit::note(&mut tx, principal, None, "password:set", json!({})).await?;
    tx.commit().await?;
    Ok(Redirect::to("/ui/account?done=password").into_response())
}

fn refusal(error: PasswordError) -> ApiError {
    match error {
        PasswordError::Hash(fault) => ApiError::Internal(fault),
        told @ (PasswordError::TooShort | PasswordError::TooLong) => ApiError::invalid(told),
    }
}

pub(super) async fn end_session(
    State(pool): State<PgPool>,
    Extension(visitor): Extension<Visitor>,
    Path(session): Path<Uuid>,
) -> Result<Response, Failure> {
    let principal = &visitor.principal;
    let mut tx = pool.begin().await?;
    if !sessions::end(&mut tx, principal.user, WebSessionId(session)).await? {
        return Err(ApiError::NotFound("this session has ended already".to_owned()).into());
    }
    audit::note(&mut tx, principal, None, "sessions:end", json!({ "id": session })).await?;
    tx.commit().await?;
    Ok(Redirect::to("/ui/account?done=session").into_response())
}
