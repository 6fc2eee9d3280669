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
    account, apps, authorizations, buildpacks, builds, collaborators, config_vars, connection, cron,
    deliveries, formation, images, log_drains, log_sessions, logs, operations, pipelines, processes,
    releases, review_apps, runs, teams, users, webhooks,
};
use super::body::LARGEST_BODY;
use super::error::{self, ApiError};
use super::{etag, hooks, openapi, request};
use crate::domain::access::Action::{Deploy, Own, Read, ReadConfig};

struct Route {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the walk through all routes; its handler knows it too")
    )]
    method: Method,
    path: &'static str,
    access: Access,
    handler: MethodRouter<Web>,
}

#[rustfmt::skip]
fn routes() -> Vec<Route> {
    use Access::{App, Pipeline, Platform, Public, SignedIn, Team};
    vec![
        route(Method::GET,    "/healthz",                                Public,          get(operations::healthz)),
        route(Method::GET,    "/readyz",                                 Public,          get(operations::readyz)),
        route(Method::GET,    "/metrics",                                Public,          get(operations::metrics)),
        route(Method::GET,    "/openapi.json",                           Public,          get(openapi::document)),
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
        route(Method::PATCH,  "/users/{user}",                           Platform,        patch(users::change)),
        route(Method::DELETE, "/users/{user}",                           Platform,        delete(users::remove)),
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

        route(Method::GET,    "/apps/{app}/collaborators",               App(Read),       get(collaborators::list)),
        route(Method::POST,   "/apps/{app}/collaborators",               App(Own),        post(collaborators::add)),
        route(Method::GET,    "/apps/{app}/collaborators/{user}",        App(Read),       get(collaborators::info)),
        route(Method::PATCH,  "/apps/{app}/collaborators/{user}",        App(Own),        patch(collaborators::change)),
        route(Method::DELETE, "/apps/{app}/collaborators/{user}",        App(Own),        delete(collaborators::remove)),

        route(Method::GET,    "/apps/{app}/releases",                    App(Read),       get(releases::list)),
        route(Method::POST,   "/apps/{app}/releases",                    App(Deploy),     post(releases::roll_back)),
        route(Method::GET,    "/apps/{app}/releases/{release}",          App(Read),       get(releases::info)),
        route(Method::GET,    "/apps/{app}/releases/{release}/output",   App(Read),       get(releases::output)),

        route(Method::POST,   "/apps/{app}/container:release",           App(Deploy),     post(images::release)),

        route(Method::GET,    "/pipelines",                              SignedIn,        get(pipelines::list)),
        route(Method::POST,   "/pipelines",                              SignedIn,        post(pipelines::create)),
        route(Method::GET,    "/pipelines/{pipeline}",                   Pipeline(Read),   get(pipelines::info)),
        route(Method::DELETE, "/pipelines/{pipeline}",                   Pipeline(Deploy), delete(pipelines::destroy)),
        route(Method::GET,    "/pipelines/{pipeline}/pipeline-couplings", Pipeline(Read),  get(pipelines::couplings)),
        route(Method::GET,    "/apps/{app}/pipeline-couplings",          App(Read),       get(pipelines::coupling)),
        route(Method::PUT,    "/apps/{app}/pipeline-couplings",          App(Deploy),     put(pipelines::couple)),
        route(Method::DELETE, "/apps/{app}/pipeline-couplings",          App(Deploy),     delete(pipelines::uncouple)),
        route(Method::POST,   "/apps/{app}/pipeline-promotions",         App(Deploy),     post(pipelines::promote)),

        route(Method::GET,    "/apps/{app}/builds",                      App(Read),       get(builds::list)),
        route(Method::GET,    "/apps/{app}/builds/{build}",              App(Read),       get(builds::info)),
        route(Method::GET,    "/apps/{app}/builds/{build}/output",       App(Read),       get(builds::output)),
        route(Method::POST,   "/apps/{app}/builds/{build}/cancel",       App(Deploy),     post(builds::cancel)),
        route(Method::POST,   "/apps/{app}/builds/{build}/retry",        App(Deploy),     post(builds::retry)),

        route(Method::GET,    "/apps/{app}/buildpacks/dockerfile",       App(Read),       get(buildpacks::dockerfile)),

        route(Method::GET,    "/apps/{app}/config-vars",                 App(ReadConfig), get(config_vars::list)),
        route(Method::PATCH,  "/apps/{app}/config-vars",                 App(Deploy),     patch(config_vars::change)),

        route(Method::GET,    "/apps/{app}/dynos",                       App(Read),       get(processes::dynos)),
        route(Method::DELETE, "/apps/{app}/dynos",                       App(Deploy),     delete(formation::restart_all)),
        route(Method::DELETE, "/apps/{app}/dynos/{dyno}",                App(Deploy),     delete(formation::restart)),
        route(Method::POST,   "/apps/{app}/dynos/{dyno}/actions/stop",   App(Deploy),     post(formation::stop)),
        route(Method::GET,    "/apps/{app}/formation",                   App(Read),       get(formation::list)),
        route(Method::PATCH,  "/apps/{app}/formation",                   App(Deploy),     patch(formation::change_all)),
        route(Method::GET,    "/apps/{app}/formation/{type}",            App(Read),       get(formation::info)),
        route(Method::PATCH,  "/apps/{app}/formation/{type}",            App(Deploy),     patch(formation::change)),
        route(Method::GET,    "/apps/{app}/formation-changes/{change}",  App(Read),       get(formation::outcome)),
        route(Method::GET,    "/apps/{app}/runs",                        App(Read),       get(runs::list)),
        route(Method::POST,   "/apps/{app}/runs",                        App(Deploy),     post(runs::start)),
        route(Method::POST,   "/apps/{app}/runs/{run}/stop",             App(Deploy),     post(runs::stop)),
        route(Method::GET,    "/apps/{app}/attach",                      App(Deploy),     get(runs::attach)),
        route(Method::GET,    "/apps/{app}/cron",                        App(Read),       get(cron::list)),
        route(Method::GET,    "/apps/{app}/cron-runs",                   App(Read),       get(cron::history)),
        route(Method::POST,   "/apps/{app}/cron/{entry}/runs",           App(Deploy),     post(cron::start)),
        route(Method::GET,    "/apps/{app}/logs",                        App(Read),       get(logs::read)),
        route(Method::POST,   "/apps/{app}/log-sessions",                App(Read),       post(log_sessions::create)),
        route(Method::GET,    "/log-sessions/{session}",                 Public,          get(log_sessions::read)),
        route(Method::POST,   "/hooks/{host}/{name}",                    Public,          hooks::door()),
        route(Method::GET,    "/apps/{app}/connection",                  App(Read),       get(connection::info)),
        route(Method::POST,   "/apps/{app}/connection",                  App(Own),        post(connection::connect)),
        route(Method::PATCH,  "/apps/{app}/connection",                  App(Own),        patch(connection::change)),
        route(Method::DELETE, "/apps/{app}/connection",                  App(Own),        delete(connection::disconnect)),
        route(Method::POST,   "/apps/{app}/connection/secret",           App(Own),        post(connection::rotate)),
        route(Method::GET,    "/apps/{app}/hook-deliveries",             App(Read),       get(deliveries::list)),
        route(Method::POST,   "/apps/{app}/hook-deliveries",             App(Deploy),     post(deliveries::check)),
        route(Method::GET,    "/apps/{app}/hook-deliveries/{delivery}",  App(Read),       get(deliveries::info)),
        route(Method::POST,   "/apps/{app}/hook-deliveries/{delivery}/redeliver", App(Deploy), post(deliveries::redeliver)),

        route(Method::GET,    "/apps/{app}/review-app-config",           App(Read),       get(review_apps::config)),
        route(Method::PATCH,  "/apps/{app}/review-app-config",           App(Own),        patch(review_apps::change_config)),
        route(Method::GET,    "/apps/{app}/review-apps",                 App(Read),       get(review_apps::list)),
        route(Method::POST,   "/apps/{app}/review-apps/{number}/approve", App(Deploy),    post(review_apps::approve)),
        route(Method::DELETE, "/apps/{app}/review-apps/{number}",        App(Deploy),     delete(review_apps::remove)),

        route(Method::GET,    "/apps/{app}/webhooks",                    App(ReadConfig), get(webhooks::list)),
        route(Method::POST,   "/apps/{app}/webhooks",                    App(Deploy),     post(webhooks::add)),
        route(Method::GET,    "/apps/{app}/webhooks/{webhook}",          App(ReadConfig), get(webhooks::info)),
        route(Method::PATCH,  "/apps/{app}/webhooks/{webhook}",          App(Deploy),     patch(webhooks::change)),
        route(Method::DELETE, "/apps/{app}/webhooks/{webhook}",          App(Deploy),     delete(webhooks::remove)),
        route(Method::GET,    "/apps/{app}/webhook-deliveries",          App(ReadConfig), get(webhooks::deliveries)),
        route(Method::GET,    "/apps/{app}/webhook-deliveries/{delivery}", App(ReadConfig), get(webhooks::delivery)),
        route(Method::POST,   "/apps/{app}/webhook-deliveries/{delivery}/redeliver", App(Deploy), post(webhooks::redeliver)),

        route(Method::GET,    "/apps/{app}/log-drains",                  App(ReadConfig), get(log_drains::list)),
        route(Method::POST,   "/apps/{app}/log-drains",                  App(Deploy),     post(log_drains::add)),
        route(Method::GET,    "/apps/{app}/log-drains/{drain}",          App(ReadConfig), get(log_drains::info)),
        route(Method::DELETE, "/apps/{app}/log-drains/{drain}",          App(Deploy),     delete(log_drains::remove)),
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
                "there is nothing at this path: the API has /apps, /account, /teams, /pipelines".to_owned(),
            )
        })
        .method_not_allowed_fallback(async || {
            ApiError::MethodNotAllowed("this path does not take this method".to_owned())
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(error::in_our_words))
        .layer(from_fn(etag::tag))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(from_fn(request::identify))
        .with_state(web)
}

fn panicked() -> axum::response::Response {
    use axum::response::IntoResponse;
    ApiError::Internal(anyhow::anyhow!("a handler panicked")).into_response()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::access::{Action, Role};

    /// A route as the walk through all of them sees it.
    pub(in crate::web) struct Walked {
        pub(in crate::web) method: Method,
        pub(in crate::web) path: &'static str,
        pub(in crate::web) needs_somebody: bool,
        /// An app, a team or a pipeline, whose existence strangers do not learn.
        pub(in crate::web) about_a_thing: bool,
        /// Where the role of a collaborator counts.
        pub(in crate::web) about_an_app: bool,
        access: Access,
    }

    impl Walked {
        pub(in crate::web) fn allows(&self, role: Option<Role>) -> bool {
            match self.access {
                Access::Public | Access::SignedIn => true,
                Access::Platform => false,
                Access::App(action) | Access::Team(action) | Access::Pipeline(action) => match action {
                    Action::Read => role.is_some(),
                    Action::ReadConfig | Action::Deploy => role >= Some(Role::Deployer),
                    Action::Own => role == Some(Role::Owner),
                    Action::Administer => false,
                },
            }
        }
    }

    pub(in crate::web) fn every_route() -> Vec<Walked> {
        let walked = |Route { method, path, access, .. }| Walked {
            method,
            path,
            needs_somebody: access != Access::Public,
            about_a_thing: matches!(access, Access::App(_) | Access::Team(_) | Access::Pipeline(_)),
            about_an_app: matches!(access, Access::App(_)),
            access,
        };
        routes().into_iter().map(walked).collect()
    }

    #[test]
    fn a_path_with_an_app_a_team_or_a_pipeline_is_authorised_for_it() {
        for Route { path, access, .. } in routes() {
            assert_eq!(path.contains("{app}"), matches!(access, Access::App(_)), "{path}");
            assert_eq!(path.contains("{team}"), matches!(access, Access::Team(_)), "{path}");
            assert_eq!(path.contains("{pipeline}"), matches!(access, Access::Pipeline(_)), "{path}");
        }
    }

    #[test]
    fn the_methods_of_the_table_are_those_of_its_handlers() {
        let mut seen = std::collections::HashSet::new();
        for Route { method, path, .. } in routes() {
            assert!(seen.insert((method, path)), "{path} stands there twice");
        }
    }
}
