//! Passwords, links and sessions.

use axum::http::{StatusCode, header};
use secrecy::ExposeSecret;

use super::{Browser, cookie, location};
use crate::db::sessions;
use crate::domain::access::{Principal, Role};
use crate::domain::token;
use crate::passwords;
use crate::web::testing::TestApi;

async fn give_password(api: &TestApi, who: &Principal, password: &str) {
    let hash = passwords::hash(password.into()).await.expect("hashes");
    let mut conn = api.platform.pool.acquire().await.expect("connects");
    sessions::set_password(&mut conn, who.user, &hash).await.expect("updates");
}

/// A browser that has the sign-in form before it.
async fn at_the_form<'a>(api: &'a TestApi, path: &str) -> Browser<'a> {
    let mut browser = Browser::fresh(api);
    let form = browser.get(path).await;
    assert_eq!(form.status, StatusCode::OK, "{}", form.text);
    browser.cookie = cookie(&form, "slipway-form");
    assert!(browser.cookie.is_some(), "{:?}", form.headers);
    browser
}

#[tokio::test]
async fn a_password_signs_in_and_the_session_can_be_ended() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    give_password(&api, &ada, "a few good words").await;
    let mut browser = at_the_form(&api, "/ui/sign-in?next=/ui/account").await;
    for wrong in [("ada", "not these words"), ("nobody", "a few good words"), ("ada", "")] {
        let refused = browser.post("/ui/sign-in", &[("name", wrong.0), ("password", wrong.1)]).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.text.contains("name or the password is not right"), "{}", refused.text);
        assert!(cookie(&refused, "slipway").is_none());
    }
    let token = api.token_of(&api.member("bob", Role::Viewer).await).await;
    let as_ada = browser.post("/ui/sign-in", &[("name", "ada"), ("password", &token)]).await;
    assert_eq!(as_ada.status, StatusCode::UNAUTHORIZED, "a token is its owner's");
    let as_bob = browser.post("/ui/sign-in", &[("name", "bob"), ("password", &token)]).await;
    assert_eq!(location(&as_bob), "/ui/apps");
    let right = [("name", "Ada"), ("password", "a few good words"), ("next", "/ui/account")];
    let entered = browser.post("/ui/sign-in", &right).await;
    assert_eq!((entered.status, location(&entered)), (StatusCode::SEE_OTHER, "/ui/account"));
    browser.cookie = cookie(&entered, "slipway");
    let account = browser.get("/ui/account").await;
    assert!(account.text.contains("this one") && account.text.contains("127.0.0.1"), "{}", account.text);
    let out = browser.post("/ui/sign-out", &[]).await;
    assert_eq!(location(&out), "/ui/sign-in");
    assert!(location(&browser.get("/ui/account").await).starts_with("/ui/sign-in?next="));
}

#[tokio::test]
async fn over_tls_the_cookie_is_secure_and_belongs_to_this_host() {
    let Some(api) = TestApi::new().await else { return };
    let proxied = [("x-forwarded-proto", "https")];
    let answer =
        Browser::fresh(&api).send(axum::http::Method::GET, "/ui/sign-in", &proxied, String::new()).await;
    // No proxy is trusted here, so this is no way in at all; trusted ones are the gate's own tests.
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("--trusted-proxies"), "{}", answer.text);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_link_works_all_the_same_and_once() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    give_password(&api, &ada, "a few good words").await;
    let browser = at_the_form(&api, "/ui/sign-in").await;
    let guess = [("name", "ada"), ("password", "guess")];
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(browser.post("/ui/sign-in", &guess).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let right = [("name", "ada"), ("password", "a few good words")];
    let waits = browser.post("/ui/sign-in", &right).await;
    assert_eq!(waits.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(waits.headers.contains_key(header::RETRY_AFTER));

    let secret = token::generate();
    let hash = token::hash(secret.expose_secret()).expect("whole");
    sessions::add_link(&mut api.platform.pool.acquire().await.expect("connects"), ada.user, &hash)
        .await
        .expect("inserts");
    let path = format!("/ui/sign-in?once={}", secret.expose_secret());
    let browser = at_the_form(&api, &path).await;
    let entered = browser.post("/ui/sign-in", &[("once", secret.expose_secret())]).await;
    assert_eq!(location(&entered), "/ui/account?done=link");
    assert!(cookie(&entered, "slipway").is_some());
    let again = browser.post("/ui/sign-in", &[("once", secret.expose_secret())]).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert!(again.text.contains("does not work any more"), "{}", again.text);
}

#[tokio::test]
async fn sessions_end_by_themselves_and_with_a_new_password() {
    let Some(api) = TestApi::new().await else { return };
    let ada = api.member("ada", Role::Owner).await;
    let (here, there) = (Browser::of(&api, &ada).await, Browser::of(&api, &ada).await);
    let words = [("password", "a few good words"), ("again", "a few good words")];
    assert_eq!(location(&here.post("/ui/account/password", &words).await), "/ui/account?done=password");
    assert_eq!(here.get("/ui/account").await.status, StatusCode::OK);
    assert_eq!(there.get("/ui/account").await.status, StatusCode::SEE_OTHER, "another password ends it");
    let refused = here.post("/ui/account/password", &words).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("present password is not right"), "{}", refused.text);

    for end in ["last_used_at = now() - interval '13 hours'", "expires_at = now()"] {
        let browser = Browser::of(&api, &ada).await;
        assert_eq!(browser.get("/ui/apps").await.status, StatusCode::OK);
        let statement = format!("UPDATE web_sessions SET {end}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&api.platform.pool).await.expect("updates");
        assert_eq!(browser.get("/ui/apps").await.status, StatusCode::SEE_OTHER, "{end}");
    }
}
