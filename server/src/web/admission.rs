//! Who asks, and whether they may: before any handler runs.
//!
//! Invariant: every route states its [`Access`] in the table of [`super::router`], and this is the only place that
//! turns a request into a `Principal`. A handler finds the `Principal`, and the app or team that the path names, in
//! the request's extensions; it does not look them up by itself.

use axum::extract::{RawPathParams, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sqlx::PgConnection;

use super::Web;
use super::error::ApiError;
use super::tls::Peer;
use crate::db::pipelines::{self, Pipeline};
use crate::db::{apps, people};
use crate::domain::access::{self, Action, Principal, Role};
use crate::domain::ids::TeamId;

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: probes.
    Public,
    /// A known user.
    SignedIn,
    /// This action on the app that `{app}` names.
    App(Action),
    /// This action in the team that `{team}` names.
    Team(Action),
    /// This action in the team of the pipeline that `{pipeline}` names.
    Pipeline(Action),
    /// An admin.
    Platform,
}

/// Put into a request by a door that has authenticated by itself (SSH). Only this process can: extensions do not
/// travel over the network.
#[derive(Debug, Clone)]
pub(crate) struct InProcess(pub(crate) Principal);

/// The role of the principal in the team of the app that the path names.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathRole(pub(super) Option<Role>);

/// The team that the path names.
#[derive(Debug, Clone)]
pub(super) struct PathTeam {
    pub(super) id: TeamId,
    pub(super) name: String,
}

/// Middleware of one route.
pub(super) async fn admit(
    State((web, access)): State<(Web, Access)>,
    request: Request,
    next: Next,
) -> Response {
    if access == Access::Public {
        return next.run(request).await;
    }
    match admitted(&web, access, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => {
            let mut response = refusal.into_response();
            if response.status() == axum::http::StatusCode::UNAUTHORIZED {
                let bearer = header::HeaderValue::from_static("Bearer realm=\"slipway\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            }
            response
        }
    }
}

async fn admitted(web: &Web, access: Access, request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    let named = path_name(&mut parts, access).await;
    let principal = principal_of(web, &parts).await?;
    authorised(web, access, principal, (&mut parts, &named)).await?;
    Ok(Request::from_parts(parts, body))
}

/// Asks whether `principal` may, and puts who they are and what the path names where handlers look for it.
pub(super) async fn authorised(
    web: &Web,
    access: Access,
    principal: Principal,
    (parts, named): (&mut Parts, &str),
) -> Result<(), ApiError> {
    let mut conn = web.platform.pool.acquire().await?;
    match access {
        Access::Public | Access::SignedIn => {}
        Access::Platform => access::authorise(&principal, None, Action::Administer)?,
        Access::App(action) => {
            let app = apps::named(&mut conn, named).await?;
            let role = match &app {
                Some(app) => apps::role_of(&mut conn, app.id, principal.user).await?,
                None => None,
            };
            access::authorise(&principal, role, action)?;
            let app = app.ok_or_else(|| unknown("app", named, "apps"))?;
            parts.extensions.insert(app);
            parts.extensions.insert(PathRole(role));
        }
        Access::Team(action) => {
            let (team, _) = team_for(&mut conn, &principal, named, action).await?;
            parts.extensions.insert(team);
        }
        Access::Pipeline(action) => {
            let pipeline = pipeline_for(&mut conn, &principal, named, action).await?;
            parts.extensions.insert(pipeline);
        }
    }
    parts.extensions.insert(principal);
    Ok(())
}

/// The team `name` if `principal` may do `action` in it, with the role that they have there.
pub(super) async fn team_for(
    conn: &mut PgConnection,
    principal: &Principal,
    name: &str,
    action: Action,
) -> Result<(PathTeam, Option<Role>), ApiError> {
    let id = people::team_named(conn, name).await?;
    let role = match id {
        Some(id) => people::role_in(conn, id, principal.user).await?,
        None => None,
    };
    match (id, access::authorise(principal, role, action)) {
        (Some(id), Ok(())) => Ok((PathTeam { id, name: name.to_owned() }, role)),
        // A stranger does not learn whether the team exists.
        (None, _) | (_, Err(access::Denied::Unknown)) => Err(unknown("team", name, "teams")),
        (_, Err(denied)) => Err(denied.into()),
    }
}

/// The pipeline `name` if `principal` may do `action` in its team.
pub(super) async fn pipeline_for(
    conn: &mut PgConnection,
    principal: &Principal,
    name: &str,
    action: Action,
) -> Result<Pipeline, ApiError> {
    let found = pipelines::named(conn, name).await?;
    let role = match &found {
        Some(pipeline) => people::role_in(conn, pipeline.team, principal.user).await?,
        None => None,
    };
    match (found, access::authorise(principal, role, action)) {
        (Some(pipeline), Ok(())) => Ok(pipeline),
        (None, _) | (_, Err(access::Denied::Unknown)) => Err(unknown("pipeline", name, "pipelines")),
        (_, Err(denied)) => Err(denied.into()),
    }
}

/// What the path calls the app, the team or the pipeline.
pub(super) async fn path_name(parts: &mut Parts, access: Access) -> String {
    use axum::extract::FromRequestParts;
    let wanted = match access {
        Access::Team(_) => "team",
        Access::Pipeline(_) => "pipeline",
        _ => "app",
    };
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let name = params
        .ok()
        .and_then(|params| params.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned()));
    name.unwrap_or_default()
}

/// Who asks: a door of this process has said so, or a token proves it.
async fn principal_of(web: &Web, parts: &Parts) -> Result<Principal, ApiError> {
    if let Some(InProcess(principal)) = parts.extensions.get() {
        return Ok(principal.clone());
    }
    if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(ApiError::Unauthorized("requests from pages of other sites are not served".to_owned()));
    }
    let peer = parts.extensions.get::<Peer>().copied();
    let peer =
        peer.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the connection has not introduced itself")))?;
    Ok(web.gate.admit(peer, &parts.headers).await?.principal)
}

/// What to say about a name that leads nowhere.
pub(super) fn unknown(kind: &str, name: &str, verb: &str) -> ApiError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    ApiError::NotFound(format!("there is no {kind} `{name}` that you have access to: `{verb}` lists yours"))
}
