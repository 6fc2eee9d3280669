//! Signing in by a provider that says what no real one would: a fake at the wire. The real one is in the stories.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Browser, cookie, location};
use crate::domain::access::{Principal, Role};
use crate::openid::testing::Signer;
use crate::web::testing::{Answer, TestApi};

/// The provider, and a platform whose settings name it.
struct Fake {
    server: MockServer,
    signer: Signer,
    api: TestApi,
}

/// A sign-in as the provider sees it.
struct Asked {
    /// In the address of its page.
    query: HashMap<String, String>,
}

impl Fake {
    async fn with(flags: &[&str]) -> Option<Self> {
        let server = MockServer::start().await;
        let issuer = format!("--oidc-issuer={}", server.uri());
        let secret = ["--oidc-client-id=slipway", "--oidc-client-secret=a&b", "--oidc-label=Example"];
        let flags: Vec<&str> = [&[issuer.as_str()], &secret[..], flags].concat();
        let api = TestApi::with(&flags).await?;
        let fake = Self { server, signer: Signer::p256("a"), api };
        fake.answer("GET", "/.well-known/openid-configuration", 200, fake.metadata()).await;
        fake.answer("GET", "/keys", 200, json!({ "keys": [fake.signer.public(), { "kty": "oct" }] })).await;
        Some(fake)
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.server.uri());
        json!({
            "issuer": self.server.uri(), "authorization_endpoint": at("/authorize?tenant=a"),
            "token_endpoint": at("/token"), "jwks_uri": at("/keys"), "userinfo_endpoint": at("/me"),
        })
    }

    /// What it answers from now on.
    async fn answer(&self, verb: &str, at: &str, status: u16, body: Value) {
        let answer = ResponseTemplate::new(status).set_body_json(body);
        // The first of equal priority would count, and the lowest number does.
        let order = self.server.received_requests().await.map_or(0, |got| got.len());
        let priority = u8::try_from(200_usize.saturating_sub(order)).unwrap_or(1).max(1);
        Mock::given(method(verb))
            .and(path(at))
            .respond_with(answer)
            .with_priority(priority)
            .mount(&self.server)
            .await;
    }

    /// A browser that has pressed the button.
    async fn begin(&self, next: &str) -> (Browser<'_>, Asked) {
        let mut browser = Browser::fresh(&self.api);
        let sent = browser.get(&format!("/ui/sign-in/openid?next={next}")).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        let to = Url::parse(location(&sent)).expect("an address");
        assert!(to.as_str().starts_with(&format!("{}/authorize?tenant=a&", self.server.uri())), "{to}");
        browser.cookie = cookie(&sent, "slipway-flow");
        (browser, Asked { query: to.query_pairs().into_owned().collect() })
    }

    fn claims(&self, asked: &Asked, subject: &str, email: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.server.uri(), "sub": subject, "aud": "slipway", "exp": now + 60, "iat": now,
            "nonce": asked.query["nonce"], "email": email, "email_verified": true,
        })
    }

    async fn tokens(&self, id_token: &str) {
        self.answer("POST", "/token", 200, json!({ "id_token": id_token, "access_token": "at" })).await;
    }

    /// The whole way of somebody, with claims changed.
    async fn sign_in(&self, subject: &str, email: &str, change: impl FnOnce(&mut Value)) -> Answer {
        let (browser, asked) = self.begin("/ui/account").await;
        let mut claims = self.claims(&asked, subject, email);
        change(&mut claims);
        self.tokens(&self.signer.sign(&claims)).await;
        back(&browser, &asked).await
    }

    async fn set_email(&self, who: &Principal, email: &str) {
        let admin = Principal { admin: true, ..who.clone() };
        let path = format!("/users/{}", who.name);
        let change = json!({ "sign_in_email": email });
        let set = self.api.call(&admin, axum::http::Method::PATCH, &path, change).await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.text);
        assert_eq!(set.json()["sign_in_email"], email.to_lowercase());
    }

    async fn audited(&self, action: &str) -> i64 {
        let rows = sqlx::query_scalar("SELECT count(*) FROM audit WHERE action = $1").bind(action);
        rows.fetch_one(&self.api.platform.pool).await.expect("answers")
    }
}

/// The provider sends the browser back.
async fn back(browser: &Browser<'_>, asked: &Asked) -> Answer {
    browser.get(&format!("/ui/sign-in/callback?code=c&state={}", asked.query["state"])).await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert!(answer.text.contains(words), "no {words:?} in {}", answer.text);
    assert!(answer.text.contains("Sign in with Example"), "the way to try again: {}", answer.text);
    assert!(cookie(answer, "slipway").is_none(), "somebody was signed in");
}

#[track_caller]
fn entered(answer: &Answer) {
    assert_eq!((answer.status, location(answer)), (StatusCode::SEE_OTHER, "/ui/account"), "{}", answer.text);
    assert!(cookie(answer, "slipway").is_some());
    assert_eq!(cookie(answer, "slipway-flow").as_deref(), Some("slipway-flow="), "its cookie is cleared");
}

#[tokio::test]
async fn a_verified_address_links_the_account_and_from_then_on_the_subject_counts() {
    let Some(fake) = Fake::with(&[]).await else { return };
    let ada = fake.api.member("ada", Role::Owner).await;
    fake.set_email(&ada, "Ada@Example.com").await;
    let (browser, asked) = fake.begin("/ui/account").await;
    let wanted = [("response_type", "code"), ("client_id", "slipway"), ("code_challenge_method", "S256")];
    for (name, value) in wanted {
        assert_eq!(asked.query[name], value);
    }
    assert_eq!(asked.query["redirect_uri"], "http://127.0.0.1:7080/ui/sign-in/callback");
    assert!(asked.query["scope"].split(' ').eq(["openid", "email"]));
    fake.tokens(&fake.signer.sign(&fake.claims(&asked, "s-1", "ADA@example.com"))).await;
    entered(&back(&browser, &asked).await);
    assert_eq!(fake.audited("identities:link").await, 1);

    // What was sent for the code: the verifier of the challenge, and the secret in the head.
    let requests = fake.server.received_requests().await.expect("kept");
    let exchange = requests.iter().find(|request| request.url.path() == "/token").expect("an exchange");
    assert_eq!(exchange.headers["authorization"], "Basic c2xpcHdheTphJTI2Yg==");
    let form: HashMap<String, String> = url::form_urlencoded::parse(&exchange.body).into_owned().collect();
    assert_eq!((form["code"].as_str(), form["grant_type"].as_str()), ("c", "authorization_code"));
    use base64::Engine;
    let challenge = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(challenge, asked.query["code_challenge"]);

    let renamed = fake.sign_in("s-1", "countess@example.com", |_| ()).await;
    entered(&renamed);
    let mut browser = Browser::fresh(&fake.api);
    browser.cookie = cookie(&renamed, "slipway");
    assert!(browser.get("/ui/account").await.text.contains("<p class=\"muted\">ada"));
    // Who gets her old address later does not get her account.
    let heir = fake.sign_in("s-2", "ada@example.com", |_| ()).await;
    refused(&heir, 403, "belongs to another account at the provider");
    // Unless an admin sets it anew.
    fake.set_email(&ada, "ada@example.com").await;
    entered(&fake.sign_in("s-2", "ada@example.com", |_| ()).await);
    refused(&fake.sign_in("s-1", "countess@example.com", |_| ()).await, 403, "no account here");
}

#[tokio::test]
async fn strangers_and_unverified_addresses_are_refused_and_domains_are_let_in() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    fake.api.member("ada@other.example", Role::Viewer).await;
    refused(&fake.sign_in("s-1", "eve@elsewhere.example", |_| ()).await, 403, "There is no account here");
    let unverified =
        |claims: &mut Value| drop(claims.as_object_mut().map(|claims| claims.remove("email_verified")));
    for email in ["ada@other.example", "bob@example.com"] {
        refused(&fake.sign_in("s-1", email, unverified).await, 403, "does not say that your e-mail address");
    }
    refused(&fake.sign_in("s-1", "b+c@example.com", |_| ()).await, 403, "cannot be a user name");
    assert_eq!(fake.audited("sessions:refuse").await, 4);
    entered(&fake.sign_in("s-3", "ada@other.example", |_| ()).await);
    entered(&fake.sign_in("s-4", "bob@example.com", |_| ()).await);
    let admin = fake.api.admin("root").await;
    let members = fake.api.get(&admin, "/teams/default/members").await.json();
    let bob = members.as_array().expect("a list").iter().find(|one| one["user"]["name"] == "bob@example.com");
    assert_eq!(bob.expect("a member")["role"], "viewer");
    assert_eq!(fake.audited("users:create").await, 1);
    entered(&fake.sign_in("s-4", "robert@example.com", |_| ()).await);
    assert_eq!(fake.audited("users:create").await, 1, "he is known");
}

#[tokio::test]
async fn the_address_is_asked_for_where_the_token_has_none() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    let without = |claims: &mut Value| drop(claims.as_object_mut().map(|claims| claims.remove("email")));
    let me = |subject: &str| json!({ "sub": subject, "email": "bob@example.com", "email_verified": true });
    fake.answer("GET", "/me", 200, me("s-2")).await;
    refused(&fake.sign_in("s-1", "", without).await, 403, "does not tell your e-mail address");
    fake.answer("GET", "/me", 200, json!({ "sub": "s-1" })).await;
    refused(&fake.sign_in("s-1", "", without).await, 403, "does not tell your e-mail address");
    fake.answer("GET", "/me", 200, me("s-1")).await;
    entered(&fake.sign_in("s-1", "", without).await);
}

#[tokio::test]
async fn a_token_that_is_not_the_answer_to_this_sign_in_lets_nobody_in() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    let email = "bob@example.com";
    let nonce = |claims: &mut Value| claims["nonce"] = json!("another");
    refused(&fake.sign_in("s", email, nonce).await, 401, "it answers another sign-in");
    let audience = |claims: &mut Value| claims["aud"] = json!("another");
    refused(&fake.sign_in("s", email, audience).await, 401, "it is meant for another application");
    let issuer = |claims: &mut Value| claims["iss"] = json!("https://evil.example");
    refused(&fake.sign_in("s", email, issuer).await, 401, "it is of another issuer");
    let expired = |claims: &mut Value| claims["exp"] = json!(jiff::Timestamp::now().as_second() - 120);
    refused(&fake.sign_in("s", email, expired).await, 401, "it has expired");
    for (signer, words) in [
        (Signer::p256("a"), "its signature is wrong"),
        (Signer::p256("b"), "it is signed with a key that the provider does not publish"),
    ] {
        let (browser, asked) = fake.begin("/ui/account").await;
        fake.tokens(&signer.sign(&fake.claims(&asked, "s", email))).await;
        refused(&back(&browser, &asked).await, 401, words);
    }
    assert_eq!(fake.audited("users:create").await, 0);
}

#[tokio::test]
async fn a_provider_may_change_its_keys() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    entered(&fake.sign_in("s", "bob@example.com", |_| ()).await);
    let (browser, asked) = fake.begin("/ui/account").await;
    let fresh = Signer::ed25519("b");
    fake.answer("GET", "/keys", 200, json!({ "keys": [fresh.public()] })).await;
    fake.tokens(&fresh.sign(&fake.claims(&asked, "s", "bob@example.com"))).await;
    entered(&back(&browser, &asked).await);
}

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_that_asked() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    let (browser, asked) = fake.begin("/ui/account").await;
    let (other, _) = fake.begin("/ui/account").await;
    fake.tokens(&fake.signer.sign(&fake.claims(&asked, "s", "bob@example.com"))).await;
    let stale = "belongs to no sign-in that was begun in this browser";
    refused(&back(&other, &asked).await, 401, stale);
    refused(&back(&Browser::fresh(&fake.api), &asked).await, 401, stale);
    refused(&browser.get("/ui/sign-in/callback?code=c&state=forged").await, 401, stale);
    refused(&browser.get("/ui/sign-in/callback").await, 401, stale);
    let exchanges = fake.server.received_requests().await.expect("kept");
    assert!(exchanges.iter().all(|request| request.url.path() != "/token"), "a forged code was sent on");
    entered(&back(&browser, &asked).await);
    refused(&back(&browser, &asked).await, 401, stale);

    let (browser, asked) = fake.begin("/ui/account").await;
    let state = &asked.query["state"];
    let mixed = format!("/ui/sign-in/callback?code=c&state={state}&iss=https://evil.example");
    refused(&browser.get(&mixed).await, 401, "it is of another issuer");
    let (browser, asked) = fake.begin("/ui/account").await;
    let state = &asked.query["state"];
    let declined = format!("/ui/sign-in/callback?error=access_denied&state={state}");
    refused(&browser.get(&declined).await, 401, "ended at the provider");
    let (browser, asked) = fake.begin("/ui/account").await;
    fake.answer("POST", "/token", 400, json!({ "error": "invalid_grant" })).await;
    refused(&back(&browser, &asked).await, 401, stale);
}

#[tokio::test]
async fn who_is_sent_back_is_sent_to_a_page_of_ours() {
    let Some(fake) = Fake::with(&["--oidc-domains=example.com"]).await else { return };
    for next in ["https://evil.example", "//evil.example", "/ui/sign-out", "/ui/\\evil"] {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let (browser, asked) = fake.begin(&next).await;
        fake.tokens(&fake.signer.sign(&fake.claims(&asked, "s", "bob@example.com"))).await;
        assert_eq!(location(&back(&browser, &asked).await), "/ui/apps", "{next}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_or_another_is_told_and_passwords_go_on() {
    let Some(fake) = Fake::with(&[]).await else { return };
    let away = "does not answer as it should";
    let begin = "/ui/sign-in/openid";
    let browser = Browser::fresh(&fake.api);
    let discovery = "/.well-known/openid-configuration";
    for (status, body) in [
        (503, json!({})),
        (200, json!({ "issuer": "x" })),
        (200, {
            let mut other = fake.metadata();
            other["issuer"] = json!("https://other.example");
            other
        }),
        (200, {
            let mut plain = fake.metadata();
            plain["token_endpoint"] = json!("http://id.example.com/t");
            plain
        }),
    ] {
        fake.server.reset().await;
        fake.answer("GET", discovery, status, body).await;
        refused(&browser.get(begin).await, 502, away);
    }
    let form = browser.get("/ui/sign-in").await;
    assert!(form.text.contains("autocomplete=\"current-password\""), "{}", form.text);

    fake.server.reset().await;
    fake.answer("GET", discovery, 200, fake.metadata()).await;
    fake.answer("GET", "/keys", 200, json!({ "keys": [] })).await;
    let (browser, asked) = fake.begin("/ui/account").await;
    fake.answer("POST", "/token", 401, json!({ "error": "invalid_client" })).await;
    refused(&back(&browser, &asked).await, 502, away);
    let (browser, asked) = fake.begin("/ui/account").await;
    fake.answer("POST", "/token", 200, json!({ "access_token": "without an ID token" })).await;
    refused(&back(&browser, &asked).await, 502, away);
}

#[tokio::test]
async fn passwords_can_be_turned_off_and_the_link_of_an_admin_works_all_the_same() {
    let Some(fake) = Fake::with(&["--password-sign-in=false"]).await else { return };
    let ada = fake.api.admin("ada").await;
    let mut browser = Browser::fresh(&fake.api);
    let form = browser.get("/ui/sign-in").await;
    assert!(!form.text.contains("type=\"password\""), "{}", form.text);
    assert!(form.text.contains("Sign in with Example") && form.text.contains("--link"), "{}", form.text);
    browser.cookie = cookie(&form, "slipway-form");
    let token = fake.api.token_of(&ada).await;
    let tried = browser.post("/ui/sign-in", &[("name", "ada"), ("password", &token)]).await;
    assert_eq!(tried.status, StatusCode::FORBIDDEN);
    assert!(tried.text.contains("Passwords are not taken here"), "{}", tried.text);

    let secret = crate::domain::token::generate();
    let secret = secrecy::ExposeSecret::expose_secret(&secret);
    let hash = crate::domain::token::hash(secret).expect("whole");
    let mut conn = fake.api.platform.pool.acquire().await.expect("connects");
    crate::db::sessions::add_link(&mut conn, ada.user, &hash).await.expect("inserts");
    let entered = browser.post("/ui/sign-in", &[("once", secret)]).await;
    assert!(cookie(&entered, "slipway").is_some(), "{}", entered.text);
    browser.cookie = cookie(&entered, "slipway");
    let account = browser.get("/ui/account?done=link").await;
    assert!(!account.text.contains("type=\"password\""), "{}", account.text);
    let set = browser.post("/ui/account/password", &[("password", "a few good words")]).await;
    assert_eq!(set.status, StatusCode::FORBIDDEN);
}
