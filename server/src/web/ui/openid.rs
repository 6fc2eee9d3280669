//! Signing in by an OpenID Connect provider: to it, back from it, and whom it lets in.
//!
//! Invariant: what the provider calls somebody (issuer and subject) decides whose account it is from the first sign-in
//! on. An e-mail address decides only that first time, and only if the provider says that it is theirs.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use tracing::{info, warn};

use super::Ui;
use super::admission::{Visitor, Way};
use super::cookie::Jar;
use super::page::{Failure, not_found};
use super::sign_in::{enter, local, refused};
use crate::config::OpenIdSettings;
use crate::db::{audit, identities, people};
use crate::domain::access::{Actor, Principal, Role};
use crate::domain::names::{TeamName, UserName};
use crate::doors::neighbourhood;
use crate::openid::{Identity, LIFE, Reply, SignInError};
use crate::web::auth::NotAdmitted;
use crate::web::error::ApiError;

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    next: String,
}

/// A link and no form: browsers hold where a form leads against the page's policy, and providers lead on elsewhere.
pub(super) async fn begin(
    State(ui): State<Ui>,
    Extension(way): Extension<Way>,
    visitor: Option<Extension<Visitor>>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(openid) = &ui.openid else { return Ok(not_found().await) };
    let address = neighbourhood(way.address);
    if let Some(wait) = ui.sign_ins.begun.wait(&address) {
        return Err(ApiError::from(NotAdmitted::TooMany(wait)).into());
    }
    ui.sign_ins.begun.failed(address);
    match openid.begin(local(&wish.next)).await {
        Ok(begun) => {
            let mut response = Redirect::to(begun.to.as_str()).into_response();
            let cookie = secrecy::ExposeSecret::expose_secret(&begun.cookie);
            if let Some(set) = Jar::Flow.set(way.line, cookie) {
                response.headers_mut().append(header::SET_COOKIE, set);
            }
            Ok(response)
        }
        Err(error) => told(&ui, (way, &headers), visitor.as_deref(), &error),
    }
}

pub(super) async fn finish(
    State(ui): State<Ui>,
    Extension(way): Extension<Way>,
    visitor: Option<Extension<Visitor>>,
    Query(reply): Query<Reply>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(openid) = &ui.openid else { return Ok(not_found().await) };
    let address = neighbourhood(way.address);
    if let Some(wait) = ui.sign_ins.wait_at(address) {
        return Err(ApiError::from(NotAdmitted::TooMany(wait)).into());
    }
    let cookie = Jar::Flow.read(way.line, &headers);
    let (identity, next) = match openid.finish(cookie.as_deref(), &reply).await {
        Ok(named) => named,
        // Not counted as guessing: nobody guesses what a flow is made of, and any page can send a browser here.
        Err(error) => return told(&ui, (way, &headers), visitor.as_deref(), &error),
    };
    let mut tx = ui.web.platform.pool.begin().await?;
    let settings = &ui.web.platform.settings.openid;
    let mut response = match person(&mut tx, settings, &identity).await? {
        Ok(principal) => {
            let before = visitor.as_deref().cloned();
            enter(&mut tx, &principal, way, (&headers, before)).await?.leading_to(&next)
        }
        Err(why) => {
            let Identity { issuer, subject, email } = &identity;
            let email = email.as_ref().map(|email| email.address.as_str());
            info!(address = %way.address, issuer, subject, email, "Refused a sign-in by the provider: {why:?}");
            ui.sign_ins.failed_at(address);
            let detail =
                json!({ "reason": why.word(), "subject": subject, "address": way.address.to_string() });
            let actor = Actor { user: None, name: email.unwrap_or(subject) };
            audit::note(&mut tx, actor, None, "sessions:refuse", detail).await?;
            refused(&ui, (way, &headers), visitor.as_deref(), (StatusCode::FORBIDDEN, why.to_string()))?
        }
    };
    tx.commit().await?;
    if let Some(clear) = Jar::Flow.clear(way.line) {
        response.headers_mut().append(header::SET_COOKIE, clear);
    }
    Ok(response)
}

/// Why somebody whom the provider has named does not come in, in words for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Stranger {
    #[error(
        "The provider does not tell your e-mail address, and this is your first sign-in here: ask an admin to have it told."
    )]
    NoEmail,
    #[error(
        "The provider does not say that your e-mail address is really yours: confirm it there, then sign in again."
    )]
    Unverified,
    #[error("There is no account here for your e-mail address: ask an admin of this platform to make one.")]
    Unknown,
    #[error(
        "The account with your e-mail address belongs to another account at the provider. If it is yours all the same, ask an admin of this platform to set your address anew."
    )]
    Linked,
    #[error(
        "Your e-mail address cannot be a user name here: ask an admin of this platform to make an account for you."
    )]
    NoName,
}

impl Stranger {
    fn word(self) -> &'static str {
        match self {
            Self::NoEmail => "no e-mail address",
            Self::Unverified => "e-mail address not verified",
            Self::Unknown => "no account",
            Self::Linked => "linked with another identity",
            Self::NoName => "address cannot be a name",
        }
    }
}

/// Whose account it is; made now for who is welcome.
async fn person(
    conn: &mut PgConnection,
    settings: &OpenIdSettings,
    identity: &Identity,
) -> Result<Result<Principal, Stranger>, ApiError> {
    let Identity { issuer, subject, email } = identity;
    if let Some(known) = identities::owner(conn, issuer, subject).await? {
        return Ok(Ok(known));
    }
    let email = match email {
        None => return Ok(Err(Stranger::NoEmail)),
        Some(email) if !email.verified => return Ok(Err(Stranger::Unverified)),
        Some(email) => email.address.as_str(),
    };
    let principal = match identities::person_with(conn, email).await? {
        Some(principal) => principal,
        None if settings.welcomes(email) => match welcome(conn, email).await? {
            Some(principal) => principal,
            None => return Ok(Err(Stranger::NoName)),
        },
        None => return Ok(Err(Stranger::Unknown)),
    };
    if !identities::link(conn, (issuer, subject), principal.user).await? {
        return Ok(Err(Stranger::Linked));
    }
    let detail = json!({ "issuer": issuer, "subject": subject, "email": email });
    audit::note(conn, &principal, None, "identities:link", detail).await?;
    Ok(Ok(principal))
}

/// A new viewer in the team `default`, named by the address; `None` if it is no name or somebody has it.
async fn welcome(conn: &mut PgConnection, email: &str) -> Result<Option<Principal>, ApiError> {
    let Ok(name) = email.parse::<UserName>() else { return Ok(None) };
    let Some(user) = people::create_user(conn, &name).await? else { return Ok(None) };
    identities::set_email(conn, user, Some(email)).await?;
    let default = TeamName::default_team();
    let team = match people::team_named(conn, default.as_str()).await? {
        Some(team) => Some(team),
        None => people::create_team(conn, &default).await?,
    };
    if let Some(team) = team {
        people::set_role(conn, team, user, Role::Viewer).await?;
    }
    let principal = Principal { user, name: name.to_string(), admin: false };
    let detail =
        json!({ "user": name, "admin": false, "team": default, "role": Role::Viewer, "email": email });
    audit::note(conn, &principal, None, "users:create", detail).await?;
    Ok(Some(principal))
}

/// The sign-in page with what went wrong on the way to the provider and back.
fn told(
    ui: &Ui,
    (way, headers): (Way, &HeaderMap),
    visitor: Option<&Visitor>,
    error: &SignInError,
) -> Result<Response, Failure> {
    let (status, words) = match error {
        SignInError::Stale => (
            StatusCode::UNAUTHORIZED,
            format!(
                "This answer of the provider belongs to no sign-in that was begun in this browser within {} minutes and \
                 not used yet: press the button again.",
                LIFE.as_secs() / 60
            ),
        ),
        SignInError::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many people sign in at once: try again in a few minutes.".to_owned())
        }
        SignInError::Declined(word) if word == "access_denied" => {
            (StatusCode::UNAUTHORIZED, "The sign-in was ended at the provider: nobody was signed in.".to_owned())
        }
        SignInError::Declined(word) => (
            StatusCode::UNAUTHORIZED,
            format!("The provider refused the sign-in (`{word}`): try again, or tell an admin of this platform."),
        ),
        SignInError::Token(why) => (
            StatusCode::UNAUTHORIZED,
            format!("The provider's token does not count, for {why}. Tell an admin of this platform."),
        ),
        SignInError::Away(_) => (
            StatusCode::BAD_GATEWAY,
            "The provider does not answer as it should: try again in a minute. The reason is in the log of the server."
                .to_owned(),
        ),
    };
    match error {
        SignInError::Away(why) => warn!(address = %way.address, "A sign-in by the provider failed: {why:#}"),
        other => info!(address = %way.address, "Refused a sign-in by the provider: {other}"),
    }
    refused(ui, (way, headers), visitor, (status, words))
}
