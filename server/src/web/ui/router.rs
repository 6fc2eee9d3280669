//! All routes of the page in one table, each with what it takes to be let in.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::admission::{LARGEST_FORM, admit};
use super::{
    Ui, access, account, account_secrets, activity, apps, assets, builds, compare, follow, history, hooks,
    metrics, openid, page, people, release, review_apps, sign_in, storage, system, teams, webhooks,
};
use crate::domain::access::Action::{Deploy, Own, Read, ReadConfig};
use crate::openid::OpenId;
use crate::web::admission::Access;
use crate::web::{Web, request};

pub(super) struct Route {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the walk through all routes; its handler knows it too")
    )]
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    handler: MethodRouter<Ui>,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    use Access::{App, Platform, Public, SignedIn, Team};
    let home = async || Redirect::to("/ui/apps");
    vec![
        shown("/",                                             Public,      get(home)),
        shown("/ui",                                           Public,      get(home)),
        shown("/ui/static/{file}",                             Public,      get(assets::file)),
        shown("/ui/sign-in",                                   Public,      get(sign_in::form)),
        taken("/ui/sign-in",                                   Public,      post(sign_in::sign_in)),
        shown("/ui/sign-in/openid",                            Public,      get(openid::begin)),
        shown("/ui/sign-in/callback",                          Public,      get(openid::finish)),
        taken("/ui/sign-out",                                  SignedIn,    post(sign_in::sign_out)),

        shown("/ui/apps",                                      SignedIn,    get(apps::list)),
        shown("/ui/apps/{app}",                                App(Read),   get(history::list)),
        shown("/ui/apps/{app}/compare",                        App(Read),   get(compare::page)),
        shown("/ui/apps/{app}/releases/{release}",             App(Read),   get(release::info)),
        shown("/ui/apps/{app}/releases/{release}/rollback",    App(Deploy), get(release::ask)),
        taken("/ui/apps/{app}/releases/{release}/rollback",    App(Deploy), post(release::roll_back)),
        shown("/ui/apps/{app}/builds",                         App(Read),   get(builds::list)),
        shown("/ui/apps/{app}/builds/{build}",                 App(Read),   get(builds::info)),
        shown("/ui/apps/{app}/builds/{build}/log",             App(Read),   get(builds::log)),
        shown("/ui/apps/{app}/builds/{build}/events",          App(Read),   get(follow::events)),
        shown("/ui/apps/{app}/builds/{build}/cancel",          App(Deploy), get(builds::ask_to_cancel)),
        taken("/ui/apps/{app}/builds/{build}/cancel",          App(Deploy), post(builds::cancel)),
        shown("/ui/apps/{app}/builds/{build}/retry",           App(Deploy), get(builds::ask_to_retry)),
        taken("/ui/apps/{app}/builds/{build}/retry",           App(Deploy), post(builds::retry)),
        shown("/ui/apps/{app}/metrics",                        App(Read),   get(metrics::page)),

        shown("/ui/apps/{app}/hooks",                          App(Read),   get(hooks::page)),
        shown("/ui/apps/{app}/hooks/{delivery}/redeliver",     App(Deploy), get(hooks::ask)),
        taken("/ui/apps/{app}/hooks/{delivery}/redeliver",     App(Deploy), post(hooks::redeliver)),
        shown("/ui/apps/{app}/review-apps/{number}/{commit}/approve", App(Deploy), get(review_apps::ask_to_approve)),
        taken("/ui/apps/{app}/review-apps/{number}/{commit}/approve", App(Deploy), post(review_apps::approve)),
        shown("/ui/apps/{app}/review-apps/{number}/remove",    App(Deploy), get(review_apps::ask_to_remove)),
        taken("/ui/apps/{app}/review-apps/{number}/remove",    App(Deploy), post(review_apps::remove)),
        shown("/ui/apps/{app}/webhooks",                       App(ReadConfig), get(webhooks::page)),
        shown("/ui/apps/{app}/webhooks/{webhook}/remove",      App(Deploy), get(webhooks::ask_to_remove)),
        taken("/ui/apps/{app}/webhooks/{webhook}/remove",      App(Deploy), post(webhooks::remove)),
        shown("/ui/apps/{app}/webhooks/deliveries/{delivery}/redeliver", App(Deploy), get(webhooks::ask_to_redeliver)),
        taken("/ui/apps/{app}/webhooks/deliveries/{delivery}/redeliver", App(Deploy), post(webhooks::redeliver)),
        shown("/ui/apps/{app}/access",                         App(Read),   get(access::page)),
        taken("/ui/apps/{app}/access",                         App(Own),    post(access::set)),
        taken("/ui/apps/{app}/access/{user}/remove",           App(Own),    post(access::remove)),

        shown("/ui/account",                                   SignedIn,    get(account::page)),
        taken("/ui/account/password",                          SignedIn,    post(account::set_password)),
        taken("/ui/account/sessions/{session}/end",            SignedIn,    post(account::end_session)),
        taken("/ui/account/tokens",                            SignedIn,    post(account_secrets::add_token)),
        taken("/ui/account/tokens/{token}/revoke",             SignedIn,    post(account_secrets::revoke_token)),
        taken("/ui/account/keys",                              SignedIn,    post(account_secrets::add_key)),
        taken("/ui/account/keys/{key}/remove",                 SignedIn,    post(account_secrets::remove_key)),

        shown("/ui/people",                                    Platform,    get(people::list)),
        taken("/ui/people",                                    Platform,    post(people::add)),
        shown("/ui/people/{person}",                           Platform,    get(people::info)),
        taken("/ui/people/{person}",                           Platform,    post(people::change)),
        taken("/ui/people/{person}/link",                      Platform,    post(people::add_link)),
        shown("/ui/people/{person}/remove",                    Platform,    get(people::ask_to_remove)),
        taken("/ui/people/{person}/remove",                    Platform,    post(people::remove)),
        shown("/ui/teams",                                     SignedIn,    get(teams::list)),
        taken("/ui/teams",                                     Platform,    post(teams::add)),
        shown("/ui/teams/{team}",                              Team(Read),  get(teams::info)),
        taken("/ui/teams/{team}/members",                      Team(Own),   post(teams::set_member)),
        taken("/ui/teams/{team}/members/{user}/remove",        Team(Own),   post(teams::remove_member)),
        shown("/ui/activity",                                  Platform,    get(activity::page)),
        shown("/ui/activity/export",                           Platform,    get(activity::export)),
        shown("/ui/system",                                    Platform,    get(system::page)),
        shown("/ui/system/storage",                            Platform,    get(storage::page)),
        taken("/ui/system/storage/clear",                      Platform,    post(storage::clear)),
        shown("/ui/{*elsewhere}",                              Public,      get(page::not_found)),
    ]
}

fn shown(path: &'static str, access: Access, handler: MethodRouter<Ui>) -> Route {
    Route { method: Method::GET, path, access, handler }
}

fn taken(path: &'static str, access: Access, handler: MethodRouter<Ui>) -> Route {
    Route { method: Method::POST, path, access, handler }
}

/// The page, whole.
pub(crate) fn page(web: Web) -> Router {
    let settings = &web.platform.settings;
    let openid = OpenId::new(&settings.openid, &settings.http.base_url()).map(Arc::new);
    let ui = Ui { web, sign_ins: Default::default(), rendered: Default::default(), openid };
    let mut router = Router::new();
    for Route { path, access, handler, .. } in routes() {
        let guard = from_fn_with_state((ui.clone(), access), admit);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .method_not_allowed_fallback(page::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(from_fn(page::defend))
        .layer(CatchPanicLayer::custom(|_| page::panicked()))
        .layer(from_fn(request::identify))
        .with_state(ui)
}
