//! People and teams on the page.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Browser, cookie, location};
use crate::domain::access::{Principal, Role};
use crate::web::testing::TestApi;

async fn audited(api: &TestApi) -> Vec<String> {
    let rows = "SELECT action FROM audit WHERE action LIKE 'users:%' OR action LIKE 'access:%' ORDER BY id";
    sqlx::query_scalar(rows).fetch_all(&api.platform.pool).await.expect("answers")
}

#[tokio::test]
async fn an_account_is_made_with_a_link_that_is_shown_once_and_is_removed_with_all_that_lets_in() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.admin("root").await;
    let browser = Browser::of(&api, &root).await;
    let new = [("name", "Bob"), ("email", "Bob@Example.com"), ("team", "default"), ("role", "viewer")];
    let made = browser.post("/ui/people", &new).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let link = made.text.split("value=\"").find(|text| text.contains("?once=")).expect("a link");
    let path =
        link.split('"').next().and_then(|link| link.strip_prefix("http://127.0.0.1:7080")).expect("ours");
    let list = browser.get("/ui/people").await.text;
    assert!(list.contains("bob@example.com") && !list.contains("once="), "{list}");
    assert_eq!(browser.post("/ui/people", &new).await.status, StatusCode::CONFLICT);

    let mut bob = Browser::fresh(&api);
    bob.cookie = cookie(&bob.get(path).await, "slipway-form");
    let secret = path.split_once("once=").expect("a secret").1;
    let entered = bob.post("/ui/sign-in", &[("once", secret)]).await;
    bob.cookie = cookie(&entered, "slipway");
    assert_eq!(bob.get("/ui/people").await.status, StatusCode::FORBIDDEN);
    let shown = browser.get("/ui/people/bob").await.text;
    assert!(shown.contains("bob@example.com") && shown.contains("default</a> (viewer)"), "{shown}");
    assert!(!shown.contains("<dd>never</dd>"), "his sign-in: {shown}");

    let asked = browser.get("/ui/people/bob/remove").await;
    assert!(asked.text.contains("Remove bob?"), "{}", asked.text);
    let gone = browser.post("/ui/people/bob/remove", &[]).await;
    assert_eq!(location(&gone), "/ui/people?done=removed");
    assert!(location(&bob.get("/ui/apps").await).starts_with("/ui/sign-in"), "his session has ended");
    assert_eq!(browser.get("/ui/people/bob").await.status, StatusCode::NOT_FOUND);
    assert_eq!(audited(&api).await, ["users:create", "users:remove"]);
}

#[tokio::test]
async fn the_last_admin_and_the_only_owner_of_a_team_stay() {
    let Some(api) = TestApi::new().await else { return };
    let root = api.admin("root").await;
    let browser = Browser::of(&api, &root).await;
    let refused = browser.post("/ui/people/root", &[("role", "member")]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("root is the only admin"), "{}", refused.text);
    assert_eq!(browser.post("/ui/people/root/remove", &[]).await.status, StatusCode::CONFLICT);
    api.stranger("ada").await;
    let changed = browser.post("/ui/people/ada", &[("role", "admin"), ("email", "ada@example.com")]).await;
    assert_eq!(location(&changed), "/ui/people/ada?done=changed");
    let removed = browser.post("/ui/people/root/remove", &[]).await;
    assert!(removed.text.contains("root is the only owner of the team `default`"), "{}", removed.text);
    let demoted = browser.post("/ui/people/root", &[("role", "member")]).await;
    assert_eq!(location(&demoted), "/ui/people/root?done=changed");
    assert_eq!(browser.get("/ui/people").await.status, StatusCode::FORBIDDEN, "from the next request on");
    let ada = Principal { admin: true, ..api.stranger("nobody").await };
    let alone = api.call(&ada, Method::PATCH, "/users/ada", json!({ "admin": false })).await;
    assert_eq!(alone.status, StatusCode::CONFLICT, "{}", alone.text);
}

#[tokio::test]
async fn owners_say_who_is_in_their_team() {
    let Some(api) = TestApi::new().await else { return };
    let (olga, vera) = (api.member("olga", Role::Owner).await, api.member("vera", Role::Viewer).await);
    api.stranger("bob").await;
    let owner = Browser::of(&api, &olga).await;
    let set = owner.post("/ui/teams/default/members", &[("user", "Bob"), ("role", "deployer")]).await;
    assert_eq!(location(&set), "/ui/teams/default?done=changed", "{}", set.text);
    let shown = Browser::of(&api, &vera).await.get("/ui/teams/default").await.text;
    assert!(shown.contains("bob") && shown.contains("deployer") && !shown.contains("Take out"), "{shown}");
    let out = owner.post("/ui/teams/default/members/bob/remove", &[]).await;
    assert_eq!(location(&out), "/ui/teams/default?done=changed");
    let last = owner.post("/ui/teams/default/members/olga/remove", &[]).await;
    assert_eq!(last.status, StatusCode::CONFLICT);
    assert!(owner.get("/ui/teams").await.text.contains("default"));
    assert_eq!(audited(&api).await, ["access:add", "access:remove"]);
}

#[tokio::test]
async fn owners_of_an_app_say_who_has_access_to_it() {
    let Some(api) = TestApi::new().await else { return };
    let olga = api.member("olga", Role::Owner).await;
    super::blog(&api, &olga).await;
    let bob = Browser::of(&api, &api.stranger("bob").await).await;
    assert!(!bob.get("/ui/apps").await.text.contains("blog"));
    let owner = Browser::of(&api, &olga).await;
    for role in ["viewer", "owner"] {
        let set = owner.post("/ui/apps/blog/access", &[("user", "Bob"), ("role", role)]).await;
        assert_eq!(location(&set), "/ui/apps/blog/access?done=changed", "{}", set.text);
        assert!(bob.get("/ui/apps").await.text.contains("blog"));
        let page = bob.get("/ui/apps/blog/access").await.text;
        assert_eq!(page.contains("Set the role"), role == "owner", "{page}");
        assert!(!page.contains("olga"), "who is in the team is not his to know: {page}");
    }
    assert!(owner.get("/ui/apps/blog/access").await.text.contains("olga"));
    let gone = owner.post("/ui/apps/blog/access/bob/remove", &[]).await;
    assert_eq!(location(&gone), "/ui/apps/blog/access?done=changed");
    assert_eq!(bob.get("/ui/apps/blog").await.status, StatusCode::NOT_FOUND);
    assert_eq!(audited(&api).await, ["access:add", "access:update", "access:remove"]);
}
