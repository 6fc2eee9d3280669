//! The API from outside: who is let in, in which shapes it answers.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use super::router::tests::every_route;
use super::testing::TestApi;
use crate::domain::access::{Principal, Role};

fn with_token(path: &str, authorization: &str) -> Request<Body> {
    Request::get(path).header(header::AUTHORIZATION, authorization).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn tokens_let_in_by_bearer_and_by_basic_and_wrong_ones_do_not() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    let token = api.token_of(&ada).await;
    let answer = api.raw(with_token("/account", &format!("Bearer {token}"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["email"], "ada");
    assert!(answer.headers.contains_key("request-id"));
    let basic = {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(format!("whoever:{token}"))
    };
    assert_eq!(api.raw(with_token("/account", &format!("Basic {basic}"))).await.status, StatusCode::OK);
    let damaged = format!("Bearer {}", &token[..token.len() - 1]);
    for wrong in [damaged.as_str(), "Bearer x", "Basic eA=="] {
        let answer = api.raw(with_token("/account", wrong)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert_eq!(answer.json()["id"], "unauthorized");
    }
    let none = api.raw(Request::get("/apps").body(Body::empty()).expect("a request")).await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    assert!(none.headers.contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    let made =
        api.call(&ada, Method::POST, "/oauth/authorizations", json!({ "expires_in": 3600 })).await.json();
    let token = made["access_token"]["token"].as_str().expect("shown once").to_owned();
    let bearer = format!("Bearer {token}");
    assert_eq!(api.raw(with_token("/account", &bearer)).await.status, StatusCode::OK);
    sqlx::query("UPDATE tokens SET expires_at = now() - interval '1 second'")
        .execute(&api.platform.pool)
        .await
        .expect("updates");
    assert_eq!(api.raw(with_token("/account", &bearer)).await.status, StatusCode::UNAUTHORIZED);
    let listed = api.get(&ada, "/oauth/authorizations").await;
    assert!(!listed.text.contains(&token), "a token is shown once");
}

/// Walks the whole table: what each role may do is what the table says, and nobody else gets in.
#[tokio::test]
async fn every_route_refuses_every_role_that_is_too_low() {
    let Some(api) = TestApi::new().await else { return };
    let owner = api.member("olga", Role::Owner).await;
    // The role by the team, and the one as a collaborator.
    let people = [
        ((None, None), api.stranger("steve").await),
        ((Some(Role::Viewer), None), api.member("vera", Role::Viewer).await),
        ((Some(Role::Deployer), None), api.member("dora", Role::Deployer).await),
        ((None, Some(Role::Viewer)), api.stranger("vic").await),
        ((None, Some(Role::Deployer)), api.stranger("dan").await),
        ((None, Some(Role::Owner)), api.stranger("otto").await),
        ((Some(Role::Viewer), Some(Role::Deployer)), api.member("eve", Role::Viewer).await),
        ((Some(Role::Deployer), Some(Role::Viewer)), api.member("max", Role::Deployer).await),
    ];
    let made = api.call(&owner, Method::POST, "/apps", json!({ "name": "blog" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = api.call(&owner, Method::POST, "/pipelines", json!({ "name": "blogs" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    for ((_, role), who) in &people {
        let Some(role) = role else { continue };
        let new = json!({ "user": who.name, "role": role });
        let added = api.call(&owner, Method::POST, "/apps/blog/collaborators", new).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    }
    for route in every_route() {
        let path =
            route.path.replace("{app}", "blog").replace("{team}", "default").replace("{pipeline}", "blogs");
        let anonymous = Request::builder().method(route.method.clone()).uri(&path).body(Body::empty());
        let status = api.raw(anonymous.expect("a request")).await.status;
        assert_eq!(
            status == StatusCode::UNAUTHORIZED,
            route.needs_somebody,
            "nobody on {} {path}",
            route.method
        );
        for ((by_team, own), who) in &people {
            let role = if route.about_an_app { *by_team.max(own) } else { *by_team };
            if route.allows(role) {
                // What changes nothing shows that the role is enough, too.
                if route.about_an_app && route.method == Method::GET {
                    let answer = api.call(who, route.method.clone(), &path, json!({})).await;
                    assert_ne!(answer.status, StatusCode::FORBIDDEN, "{role:?} on {path}: {}", answer.text);
                }
                continue;
            }
            let answer = api.call(who, route.method.clone(), &path, json!({})).await;
            let expected = match (role, route.about_a_thing) {
                (None, true) => StatusCode::NOT_FOUND,
                _ => StatusCode::FORBIDDEN,
            };
            assert_eq!(answer.status, expected, "{role:?} on {} {path}: {}", route.method, answer.text);
        }
    }
    assert_eq!(api.get(&owner, "/apps/blog").await.status, StatusCode::OK, "nothing was done to the app");
}

#[tokio::test]
async fn what_is_asked_of_the_formation_is_checked_noted_and_queued() {
    let Some(api) = TestApi::new().await else { return };
    let dora = api.member("dora", Role::Deployer).await;
    api.call(&dora, Method::POST, "/apps", json!({ "name": "blog" })).await;
    let scale = json!({ "updates": [{ "type": "web", "quantity": 3, "dyno_size": { "name": "Large" } }] });
    let early = api.call(&dora, Method::PATCH, "/apps/blog/formation", scale.clone()).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.text);
    assert_eq!(api.get(&dora, "/apps/blog/formation").await.json(), json!([]));
    sqlx::query(
        "INSERT INTO releases (id, app_id, version, status, description, trigger, commit, image, digest, blueprint, config,
             actor_name)
         SELECT gen_random_uuid(), id, 1, 'succeeded', 'Deploy', 'push', 'c', 'i', 'd',
             '{\"processes\": {\"web\": \"./server\", \"worker\": null}, \"port\": 80}', '{}', 'dora' FROM apps",
    )
    .execute(&api.platform.pool)
    .await
    .expect("inserts");
    let types = api.get(&dora, "/apps/blog/formation").await.json();
    assert_eq!(
        (&types[0]["type"], &types[0]["quantity"], &types[0]["command"]),
        (&"web".into(), &1.into(), &"./server".into())
    );
    assert_eq!(
        (&types[1]["type"], &types[1]["quantity"], &types[1]["size"]),
        (&"worker".into(), &0.into(), &"standard".into())
    );

    let asked = api.call(&dora, Method::PATCH, "/apps/blog/formation", scale).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
    assert_eq!((&asked.json()[0]["quantity"], &asked.json()[0]["size"]), (&3.into(), &"large".into()));
    let id = asked.headers["slipway-change"].to_str().expect("an id");
    let change = api.get(&dora, &format!("/apps/blog/formation-changes/{id}")).await.json();
    assert_eq!((&change["status"], &change["user"]["email"]), (&"pending".into(), &"dora".into()));
    assert_eq!(api.get(&dora, "/apps/blog/formation/web").await.json()["pending"], true);
    let noted: Vec<(String, Value)> = sqlx::query_as(
        "SELECT action, detail -> 'wish' FROM audit WHERE action = 'ps:scale' AND actor_name = 'dora'",
    )
    .fetch_all(&api.platform.pool)
    .await
    .expect("answers");
    assert_eq!(
        noted,
        [("ps:scale".to_owned(), json!({ "scale": { "web": { "quantity": 3, "size": "large" } } }))]
    );

    let autoscale = json!({ "autoscale": { "min": 1, "max": 2, "cpu": 70 } });
    for (path, wish, status, words) in [
        ("formation/web", json!({ "quantity": 1, "size": "huge" }), 422, "there is no size `huge`"),
        ("formation/web", json!({ "quantity": 1001 }), 422, "1000 processes at most"),
        ("formation/clock", json!({ "quantity": 1 }), 404, "its Procfile names web, worker"),
        ("formation/web", autoscale, 422, "no autoscaling on one machine"),
        ("formation", json!({ "updates": [] }), 422, "names no process type"),
    ] {
        let refused = api.call(&dora, Method::PATCH, &format!("/apps/blog/{path}"), wish).await;
        assert_eq!(refused.status.as_u16(), status, "{path}: {}", refused.text);
        assert!(refused.text.contains(words), "{path}: {}", refused.text);
    }
    let unknown = api.call(&dora, Method::DELETE, "/apps/blog/dynos/web.9", json!({})).await;
    assert!(unknown.status == StatusCode::NOT_FOUND && unknown.text.contains("`web.9`"), "{}", unknown.text);
    let restart = api.call(&dora, Method::DELETE, "/apps/blog/dynos/worker", json!({})).await;
    assert_eq!(restart.status, StatusCode::ACCEPTED, "{}", restart.text);
}

#[tokio::test]
async fn a_stranger_cannot_tell_an_app_that_exists_from_one_that_does_not() {
    let Some(api) = TestApi::new().await else { return };
    let owner = api.member("olga", Role::Owner).await;
    let stranger = api.stranger("steve").await;
    api.call(&owner, Method::POST, "/apps", json!({ "name": "blog" })).await;
    let there = api.get(&stranger, "/apps/blog").await;
    let not_there = api.get(&stranger, "/apps/glob").await;
    assert_eq!((there.status, &there.text), (not_there.status, &not_there.text));
}

#[tokio::test]
async fn bad_names_get_a_sentence_and_taken_ones_a_conflict() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Deployer).await;
    for bad in ["../x", "-rf", "a'b", "apps", "A", ""] {
        let answer = api.call(&ada, Method::POST, "/apps", json!({ "name": bad })).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert_eq!(answer.json()["id"], "invalid_params");
    }
    assert_eq!(
        api.call(&ada, Method::POST, "/apps", json!({ "name": "blog" })).await.status,
        StatusCode::CREATED
    );
    let again = api.call(&ada, Method::POST, "/apps", json!({ "name": "blog" })).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let unnamed = api.call(&ada, Method::POST, "/apps", Value::Null).await;
    assert_eq!(unnamed.status, StatusCode::UNPROCESSABLE_ENTITY, "null is no object");
    let unnamed = api.call(&ada, Method::POST, "/apps", json!({})).await;
    assert_eq!(unnamed.status, StatusCode::CREATED);
    let app = unnamed.json();
    assert_eq!(app["web_url"], format!("http://{}.localhost:7081/", app["name"].as_str().expect("a name")));
}

#[tokio::test]
async fn what_was_read_before_is_answered_with_304() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    let first = api.get(&ada, "/account").await;
    let tag = first.headers[header::ETAG].clone();
    let request = Request::get("/account")
        .header(header::IF_NONE_MATCH, tag)
        .extension(super::InProcess(ada.clone()))
        .body(Body::empty());
    let second = api.raw(request.expect("a request")).await;
    assert_eq!((second.status, second.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
}

#[tokio::test]
async fn bodies_over_a_mebibyte_are_refused() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    let body = json!({ "name": "x".repeat(1024 * 1024) });
    let answer = api.call(&ada, Method::POST, "/apps", body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
}

#[tokio::test]
async fn a_database_that_is_away_is_said_so_and_the_process_stays_healthy() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    api.platform.pool.close().await;
    assert_eq!(api.get(&ada, "/apps").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.get(&ada, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.get(&ada, "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn our_own_faults_are_told_by_an_id_only() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    sqlx::query("ALTER TABLE teams RENAME TO lost").execute(&api.platform.pool).await.expect("renames");
    let answer = api.get(&ada, "/teams").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let id = answer.headers["request-id"].to_str().expect("text");
    assert!(answer.text.contains(id) && !answer.text.contains("relation"), "{}", answer.text);
}

#[tokio::test]
async fn releases_come_in_herokus_pages() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Viewer).await;
    let olga = api.member("olga", Role::Owner).await;
    api.call(&olga, Method::POST, "/apps", json!({ "name": "blog" })).await;
    insert_releases(&api, &olga, 20).await;
    let page = |range: &str| {
        let request = Request::get("/apps/blog/releases")
            .header(header::RANGE, range)
            .extension(super::InProcess(ada.clone()))
            .body(Body::empty());
        api.raw(request.expect("a request"))
    };
    let first = page("version ..; max=15, order=desc").await;
    assert_eq!(first.status, StatusCode::PARTIAL_CONTENT);
    let rows = first.json();
    assert_eq!((&rows[0]["version"], &rows[0]["current"]), (&json!(20), &json!(false)), "v20 failed");
    assert_eq!((&rows[1]["version"], &rows[1]["current"]), (&json!(19), &json!(true)));
    let next = first.headers["next-range"].to_str().expect("text").to_owned();
    let second = page(&next).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(second.json()[0]["version"], 5);
    assert_eq!(second.json().as_array().map(Vec::len), Some(5));
    assert_eq!(page("bytes=0-1").await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let by_version = api.get(&ada, "/apps/blog/releases/19").await.json();
    let by_id =
        api.get(&ada, &format!("/apps/blog/releases/{}", by_version["id"].as_str().expect("id"))).await;
    assert_eq!(by_id.json(), by_version);
    let missing = api.get(&ada, "/apps/blog/releases/99").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

pub(crate) async fn insert_releases(api: &TestApi, who: &Principal, number: i64) {
    sqlx::query(
        "INSERT INTO releases (id, app_id, version, status, description, trigger, config, actor_id, actor_name,
                               commit, image, digest, blueprint, finished_at)
         SELECT gen_random_uuid(), a.id, v, CASE WHEN v = $1 THEN 'failed' ELSE 'succeeded' END,
                'Deploy abc' || lpad(v::text, 4, '0'), 'push', '{}', $2, $3, repeat('a', 40), 'blog:x', 'sha256:x', '{}', now()
         FROM apps a, generate_series(1, $1) v WHERE a.name = 'blog'",
    )
    .bind(number)
    .bind(who.user.0)
    .bind(&who.name)
    .execute(&api.platform.pool)
    .await
    .expect("inserts");
}

#[tokio::test]
async fn the_last_owner_of_a_team_stays() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    api.member("dora", Role::Deployer).await;
    let path = "/teams/default/members";
    let leave = api.call(&olga, Method::DELETE, &format!("{path}/olga"), json!({})).await;
    assert_eq!(leave.status, StatusCode::CONFLICT, "{}", leave.text);
    let step_down = json!({ "user": "olga", "role": "viewer" });
    assert_eq!(api.call(&olga, Method::PUT, path, step_down.clone()).await.status, StatusCode::CONFLICT);
    let promote = json!({ "email": "dora", "role": "owner" });
    assert_eq!(api.call(&olga, Method::PUT, path, promote).await.status, StatusCode::OK);
    assert_eq!(api.call(&olga, Method::PUT, path, step_down).await.status, StatusCode::OK);
    assert_eq!(
        api.call(&olga, Method::DELETE, &format!("{path}/dora"), json!({})).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn collaborators_have_heroku_s_shape_and_see_their_app_only() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    let bob = api.stranger("bob").await;
    for name in ["blog", "shop"] {
        api.call(&olga, Method::POST, "/apps", json!({ "name": name })).await;
    }
    assert_eq!(api.get(&bob, "/apps").await.json(), json!([]));
    let new = json!({ "user": "bob", "silent": true });
    let added = api.call(&olga, Method::POST, "/apps/blog/collaborators", new.clone()).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    let added = added.json();
    let names: Vec<_> =
        added["permissions"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["view", "deploy", "operate"]);
    assert_eq!((&added["role"], &added["user"]["email"]), (&"deployer".into(), &"bob".into()));
    assert_eq!((&added["app"]["name"], &added["user"]["federated"]), (&"blog".into(), &false.into()));
    let again = api.call(&olga, Method::POST, "/apps/blog/collaborators", new).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let apps = api.get(&bob, "/apps").await.json();
    assert_eq!(apps.as_array().map(Vec::len), Some(1), "{apps}");
    assert_eq!(api.get(&bob, "/apps/shop").await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(&bob, "/teams/default/members").await.status, StatusCode::NOT_FOUND);
    let change = json!({ "role": "viewer" });
    let own = api.call(&bob, Method::PATCH, "/apps/blog/collaborators/bob", json!({ "role": "owner" })).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN);
    let changed = api.call(&olga, Method::PATCH, "/apps/blog/collaborators/bob", change.clone()).await;
    assert_eq!(changed.json()["role"], "viewer");
    let set = api.call(&bob, Method::PATCH, "/apps/blog/config-vars", json!({ "A": "b" })).await;
    assert_eq!(set.status, StatusCode::FORBIDDEN);
    assert_eq!(api.get(&olga, "/apps/blog/collaborators").await.json()[0]["user"]["email"], "bob");
    let gone = api.call(&olga, Method::DELETE, "/apps/blog/collaborators/bob", json!({})).await;
    assert_eq!(gone.status, StatusCode::OK);
    assert_eq!(api.get(&bob, "/apps/blog").await.status, StatusCode::NOT_FOUND);
    let none = api.call(&olga, Method::PATCH, "/apps/blog/collaborators/bob", change).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert!(
        none.json()["message"].as_str().is_some_and(|text| text.contains("bob is no collaborator of `blog`"))
    );
}
