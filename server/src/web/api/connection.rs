//! `/apps/{app}/connection`: the repository elsewhere that an app follows.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use secrecy::{ExposeSecret, SecretString};

use super::shapes;
use crate::db::apps::App;
use crate::db::connections::{self, Connection};
use crate::db::reports;
use crate::domain::access::Principal;
use crate::domain::public_key;
use crate::hooks::connect::{self, Changes, Wish};
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn info(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<shapes::Connection>, ApiError> {
    Ok(Json(of(&platform, &app).await?.ok_or_else(connect::not_connected)?))
}

/// The app's connection, without its secret; `None` if it has none.
pub(in crate::web) async fn of(
    platform: &Platform,
    app: &App,
) -> Result<Option<shapes::Connection>, ApiError> {
    let mut conn = platform.pool.acquire().await?;
    let Some(connection) = connections::of_app(&mut conn, app.id).await? else { return Ok(None) };
    let report_trouble = reports::trouble_of(&mut conn, app.id).await?;
    Ok(Some(shapes::Connection { report_trouble, ..shape(platform, app, connection, None) }))
}

pub(in crate::web) async fn connect(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewConnection>,
) -> Result<(StatusCode, Json<shapes::Connection>), ApiError> {
    let shapes::NewConnection { url, provider, branch, access, token } = new;
    let access = access.unwrap_or_default();
    let wish = Wish { url, provider, branch, access, token: token.map(SecretString::from) };
    let (made, secret) = connect::connect(&platform, &app, &principal, wish).await?;
    Ok((StatusCode::CREATED, Json(shape(&platform, &app, made, Some(secret)))))
}

pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(change): Body<shapes::ConnectionChange>,
) -> Result<Json<shapes::Connection>, ApiError> {
    let shapes::ConnectionChange { automatic, watched, wait_for_checks, branch, access, token } = change;
    let token = token.map(SecretString::from);
    let changes = Changes { automatic, watched, wait_for_checks, branch, access, token };
    let changed = connect::change(&platform, &app, &principal, changes).await?;
    Ok(Json(shape(&platform, &app, changed, None)))
}

pub(in crate::web) async fn rotate(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<shapes::Connection>, ApiError> {
    let (changed, secret) = connect::rotate(&platform, &app, &principal).await?;
    Ok(Json(shape(&platform, &app, changed, Some(secret))))
}

pub(in crate::web) async fn disconnect(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<shapes::Connection>, ApiError> {
    let gone = connect::disconnect(&platform, &app, &principal).await?;
    Ok(Json(shape(&platform, &app, gone, None)))
}

fn shape(
    platform: &Platform,
    app: &App,
    connection: Connection,
    secret: Option<SecretString>,
) -> shapes::Connection {
    let base = platform.settings.http.base_url();
    let at = |time: jiff_sqlx::Timestamp| time.to_jiff();
    shapes::Connection {
        hook_url: format!("{base}/hooks/{}/{}", connection.provider.as_str(), app.name),
        provider: connection.provider,
        url: connection.url,
        branch: connection.branch,
        automatic: connection.automatic,
        watched: connection.watched,
        wait_for_checks: connection.wait_for_checks,
        secret: secret.map(|secret| secret.expose_secret().to_owned()),
        old_secret_until: connection.old_secret.and(connection.old_secret_until).map(at),
        deploy_key: connection.public_key,
        access: connection.access,
        has_token: connection.token.is_some(),
        host_key: connection.host_key.as_deref().map(fingerprint),
        head: connection.head,
        looked_at: connection.looked_at.map(at),
        trouble: connection.trouble,
        report_trouble: None,
        refused: connection.refused,
        refused_at: connection.refused_at.map(at),
        created_at: at(connection.created_at),
        updated_at: at(connection.updated_at),
    }
}

/// `SHA256:…` of a line of known_hosts, as people compare it.
fn fingerprint(line: &str) -> String {
    let key = line.split_once(' ').and_then(|(_, key)| public_key::accept(key).ok());
    key.map_or_else(|| line.to_owned(), |key| key.fingerprint)
}
