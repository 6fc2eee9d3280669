//! The page from outside: who is let in, what forms take, and what hostile text comes to.

mod by_provider;
mod managing;
mod showing;
mod signing_in;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use secrecy::ExposeSecret;
use url::form_urlencoded;

use super::cookie::signature;
use super::router::routes;
use crate::db::sessions::{self, Place};
use crate::domain::access::{Action, Principal, Role};
use crate::domain::token;
use crate::web::admission::Access;
use crate::web::testing::{Answer, TestApi};

/// Somebody's browser, signed in or not.
pub(super) struct Browser<'a> {
    api: &'a TestApi,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(super) fn fresh(api: &'a TestApi) -> Self {
        Self { api, cookie: None }
    }

    /// With a session that has begun already.
    pub(super) async fn of(api: &'a TestApi, who: &Principal) -> Self {
        let secret = token::generate();
        let hash = token::hash(secret.expose_secret()).expect("whole");
        let mut conn = api.platform.pool.acquire().await.expect("connects");
        let place = Place { address: "192.0.2.1", browser: "a browser" };
        sessions::begin(&mut conn, who.user, &hash, &place).await.expect("inserts");
        Self { api, cookie: Some(format!("slipway={}", secret.expose_secret())) }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], String::new()).await
    }

    /// Sends a form as a page of ours would.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let secret = self.cookie.as_deref().and_then(|cookie| cookie.split_once('=')).map(|(_, value)| value);
        let signature = secret.map(signature).unwrap_or_default();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("csrf", &signature);
        self.send(Method::POST, path, &[("origin", "http://localhost:7080")], form.finish()).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:7080");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        for (name, value) in
            headers.iter().copied().chain(self.cookie.as_deref().map(|cookie| ("cookie", cookie)))
        {
            request = request.header(name, value);
        }
        self.api.raw(request.body(Body::from(body)).expect("a request")).await
    }
}

/// The cookie of this name as an answer sets it.
pub(super) fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let lines = answer.headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.filter_map(|line| line.split(';').next());
    pairs.find(|pair| pair.starts_with(&format!("{name}="))).map(ToOwned::to_owned)
}

pub(super) fn location(answer: &Answer) -> &str {
    answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An app with two releases, one build and its log.
pub(super) async fn blog(api: &TestApi, who: &Principal) {
    let made = api.call(who, Method::POST, "/apps", serde_json::json!({ "name": "blog" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    for statement in [
        "INSERT INTO builds (id, app_id, number, status, trigger, commit, tree, subject, actor_name, started_at,
                             finished_at, log_closed_at)
         SELECT gen_random_uuid(), id, 1, 'succeeded', 'push', repeat('a', 40), 't', '<b>Bold</b> \"plan\"', 'olga',
                now() - interval '5 s', now(), now() FROM apps",
        "INSERT INTO releases (id, app_id, version, status, description, trigger, commit, image, digest, blueprint,
                               config, actor_name, build_id, finished_at)
         SELECT gen_random_uuid(), b.app_id, 1, 'succeeded', 'Deploy aaaaaaaa', 'push', b.commit, 'blog:1',
                'sha256:0123456789abcdef', '{\"processes\": {\"web\": \"<i>run</i>\"}, \"port\": 80}', '{}', 'olga', b.id,
                now() FROM builds b",
        "INSERT INTO releases (id, app_id, version, status, description, trigger, commit, image, digest, blueprint,
                               config, actor_name, finished_at)
         SELECT gen_random_uuid(), id, 2, 'succeeded', 'Set <script>alert(1)</script> config vars', 'config',
                repeat('a', 40), 'blog:1', 'sha256:0123456789abcdef', '{\"processes\": {}, \"port\": 80}',
                '{\"<img src=x onerror=alert(1)>\": 1}', 'eve<b>', now() FROM apps",
        "INSERT INTO build_log (build_id, start_offset, text)
         SELECT id, 0, convert_to(E'first \\x1b[1;31mred\\x1b[0m <script>alert(2)</script>\\nsecond\\n', 'UTF8') FROM builds",
        "UPDATE apps SET last_version = 2, last_build = 1",
    ] {
        sqlx::query(statement).execute(&api.platform.pool).await.expect(statement);
    }
}

fn allows(access: Access, role: Option<Role>) -> bool {
    match access {
        Access::Public | Access::SignedIn => true,
        Access::App(Action::Read) => role.is_some(),
        Access::App(Action::ReadConfig | Action::Deploy) => role >= Some(Role::Deployer),
        Access::App(Action::Own) => role == Some(Role::Owner),
        Access::Team(Action::Read) => role.is_some(),
        Access::Team(Action::Own) => role == Some(Role::Owner),
        _ => false,
    }
}

/// Walks the whole table: nobody sees more than their role lets them, and no form is taken that no page has signed.
#[tokio::test]
async fn every_page_refuses_every_role_that_is_too_low_and_every_form_that_is_forged() {
    let Some(api) = TestApi::new().await else { return };
    let owner = api.member("olga", Role::Owner).await;
    blog(&api, &owner).await;
    // The role by the team, and the one as a collaborator.
    let people = [
        ((None, None), api.stranger("steve").await),
        ((Some(Role::Viewer), None), api.member("vera", Role::Viewer).await),
        ((Some(Role::Deployer), None), api.member("dora", Role::Deployer).await),
        ((None, Some(Role::Viewer)), api.stranger("vic").await),
        ((None, Some(Role::Deployer)), api.stranger("dan").await),
        ((Some(Role::Viewer), Some(Role::Owner)), api.member("otto", Role::Viewer).await),
        ((Some(Role::Owner), None), owner.clone()),
    ];
    for ((_, own), who) in &people {
        let Some(own) = own else { continue };
        let new = serde_json::json!({ "user": who.name, "role": own });
        let added = api.call(&owner, Method::POST, "/apps/blog/collaborators", new).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    }
    for route in routes() {
        let path = ["{app}", "{release}", "{build}", "{team}"]
            .iter()
            .zip(["blog", "1", "1", "default"])
            .fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value));
        let path = [
            "{session}",
            "{token}",
            "{key}",
            "{person}",
            "{user}",
            "{file}",
            "{delivery}",
            "{webhook}",
            "{number}",
            "{commit}",
            "{*elsewhere}",
        ]
        .iter()
        .fold(path, |path, name| path.replace(name, "x"));
        let nobody = Browser::fresh(&api);
        let answer = nobody.send(route.method.clone(), &path, &[], String::new()).await;
        assert_eq!(
            answer.status == StatusCode::SEE_OTHER && location(&answer).starts_with("/ui/sign-in?next="),
            route.access != Access::Public,
            "nobody on {} {path}: {}",
            route.method,
            answer.status
        );
        for ((by_team, own), who) in &people {
            let role = if matches!(route.access, Access::App(_)) { *by_team.max(own) } else { *by_team };
            let browser = Browser::of(&api, who).await;
            if route.method == Method::POST {
                let unsigned = [("origin", "http://localhost:7080")];
                let forged = browser.send(Method::POST, &path, &unsigned, "csrf=00".to_owned()).await;
                assert_eq!(forged.status, StatusCode::FORBIDDEN, "{who:?} on {path}");
            }
            if allows(route.access, role) {
                continue;
            }
            let answer = match route.method {
                Method::POST => browser.post(&path, &[]).await,
                _ => browser.get(&path).await,
            };
            let expected = match (role, route.access) {
                (None, Access::App(_) | Access::Team(_)) => StatusCode::NOT_FOUND,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(answer.status, expected, "{role:?} on {} {path}", route.method);
        }
    }
}

#[tokio::test]
async fn forms_of_other_sites_are_refused_and_all_answers_are_defended() {
    let Some(api) = TestApi::new().await else { return };
    let browser = Browser::of(&api, &api.admin("root").await).await;
    let signed = |browser: &Browser<'_>| {
        let secret = browser.cookie.as_deref().and_then(|cookie| cookie.split_once('=')).expect("a cookie").1;
        format!("csrf={}", signature(secret))
    };
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "http://localhost:7080"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[],
    ] {
        let sent = browser.send(Method::POST, "/ui/sign-out", headers, signed(&browser)).await;
        assert_eq!(sent.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    for path in
        ["/ui/apps", "/ui/sign-in", "/ui/static/page.js", "/ui/apps/none", "/ui/account", "/ui/system"]
    {
        let answer = browser.get(path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "same-origin", "{path}");
        assert!(!answer.text.contains(" style=") && !answer.text.contains(" onclick"), "{path}");
    }
    assert_eq!(browser.get("/").await.headers[header::LOCATION], "/ui/apps");
}
