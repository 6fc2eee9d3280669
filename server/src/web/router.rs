//! All routes of the API in one table, each with what it takes to be let in.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use tower_http::catch_panic::CatchPanicLayer;

use super::Web;
use super::admission::{Access, admit};
use super::api::{
    account, apps, authorizations, builds, config_vars, operations, processes, releases, teams, users,
};
use super::body::LARGEST_BODY;
use super::error::ApiError;
use super::{etag, request};
use crate::domain::access::Action::{Deploy, Own, Read, ReadConfig};

struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<Web>,
}

#[rustfmt::skip]
fn routes() -> Vec<Route> {
    use Access::{App, Platform, Public, SignedIn, Team};
    vec![
        route(Method::GET,    "/healthz",                                Public,          get(operations::healthz)),
        route(Method::GET,    "/readyz",                                 Public,          get(operations::readyz)),
        route(Method::GET,    "/metrics",                                Public,          get(operations::metrics)),
        route(Method::GET,    "/platform",                               SignedIn,        get(operations::doors)),

        route(Method::GET,    "/account",                                SignedIn,        get(account::info)),
        route(Method::GET,    "/account/keys",                           SignedIn,        get(account::keys)),
        route(Method::POST,   "/account/keys",                           SignedIn,        post(account::add_key)),
        route(Method::DELETE, "/account/keys/{key}",                     SignedIn,        delete(account::remove_key)),
        route(Method::GET,    "/oauth/authorizations",                   SignedIn,        get(authorizations::list)),
        route(Method::POST,   "/oauth/authorizations",                   SignedIn,        post(authorizations::create)),
        route(Method::DELETE, "/oauth/authorizations/{id}",              SignedIn,        delete(authorizations::revoke)),

        route(Method::GET,    "/users",                                  Platform,        get(users::list)),
        route(Method::POST,   "/users",                                  Platform,        post(users::create)),
        route(Method::GET,    "/teams",                                  SignedIn,        get(teams::list)),
        route(Method::POST,   "/teams",                                  Platform,        post(teams::create)),
        route(Method::GET,    "/teams/{team}/members",                   Team(Read),      get(teams::members)),
        route(Method::PUT,    "/teams/{team}/members",                   Team(Own),       put(teams::set_member)),
        route(Method::DELETE, "/teams/{team}/members/{user}",            Team(Own),       delete(teams::remove_member)),

        route(Method::GET,    "/apps",                                   SignedIn,        get(apps::list)),
        route(Method::POST,   "/apps",                                   SignedIn,        post(apps::create)),
        route(Method::GET,    "/apps/{app}",                             App(Read),       get(apps::info)),
        route(Method::PATCH,  "/apps/{app}",                             App(Own),        patch(apps::change)),
        route(Method::DELETE, "/apps/{app}",                             App(Own),        delete(apps::destroy)),

        route(Method::GET,    "/apps/{app}/releases",                    App(Read),       get(releases::list)),
        route(Method::POST,   "/apps/{app}/releases",                    App(Deploy),     post(releases::roll_back)),
        route(Method::GET,    "/apps/{app}/releases/{release}",          App(Read),       get(releases::info)),

        route(Method::GET,    "/apps/{app}/builds",                      App(Read),       get(builds::list)),
        route(Method::GET,    "/apps/{app}/builds/{build}",              App(Read),       get(builds::info)),
        route(Method::GET,    "/apps/{app}/builds/{build}/output",       App(Read),       get(builds::output)),

        route(Method::POST,   "/apps/{app}/builds/{build}/cancel",       App(Deploy),     post(builds::cancel)),
        route(Method::POST,   "/apps/{app}/builds/{build}/retry",        App(Deploy),     post(builds::retry)),

        route(Method::GET,    "/apps/{app}/config-vars",                 App(ReadConfig), get(config_vars::list)),
        route(Method::PATCH,  "/apps/{app}/config-vars",                 App(Deploy),     patch(config_vars::change)),

        route(Method::GET,    "/apps/{app}/dynos",                       App(Read),       get(processes::dynos)),
        route(Method::GET,    "/apps/{app}/formation",                   App(Read),       get(processes::formation)),
        route(Method::GET,    "/apps/{app}/logs",                        App(Read),       get(processes::logs)),
    ]
}

fn route(method: Method, path: &'static str, access: Access, handler: MethodRouter<Web>) -> Route {
    Route { method, path, access, handler }
}

/// The API, whole.
pub(crate) fn api(web: Web) -> Router {
    let mut router = Router::new();
    for Route { path, access, handler, .. } in routes() {
        let guard = from_fn_with_state((web.clone(), access), admit);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .fallback(async || {
            ApiError::NotFound(
                "there is nothing at this path: the API has /apps, /account, /teams".to_owned(),
            )
        })
        .method_not_allowed_fallback(async || {
            ApiError::MethodNotAllowed("this path does not take this method".to_owned())
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(etag::tag))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(from_fn(request::identify))
        .with_state(web)
}

fn panicked() -> axum::response::Response {
    use axum::response::IntoResponse;
    ApiError::Internal(anyhow::anyhow!("a handler panicked")).into_response()
}
