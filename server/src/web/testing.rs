//! The API over a database of its own, with people in every role.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use serde_json::Value;
use tower::ServiceExt;

use super::api::shapes::Doors;
use super::{InProcess, Web, router};
use crate::actions::Platform;
use crate::crypto::KeyFile;
use crate::db::people;
use crate::db::testing::TestDatabase;
use crate::domain::access::{Principal, Role};
use crate::domain::ids::UserId;
use crate::domain::names::TeamName;
use crate::pipeline::log::LogHub;

/// A whole API without sockets: what `Web` needs, on real parts.
pub(crate) struct TestApi {
    pub(crate) database: TestDatabase,
    pub(crate) platform: Platform,
    pub(crate) api: Router,
    _keys: tempfile::TempDir,
}

/// One answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

impl TestApi {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFile::open_or_create(&folder.path().join("config.key")).expect("a key file");
        let pool = database.pool.clone();
        let platform = Platform { pool, logs: LogHub::default(), keys: Arc::new(keys) };
        let doors = Doors {
            version: "0.1.0".into(),
            http_url: "http://localhost:7080".into(),
            app_url: Some("http://{app}.localhost:7081".into()),
            ssh_host: "localhost".into(),
            ssh_port: 7022,
            ssh_user: "slipway".into(),
            ssh_host_keys: vec!["ssh-ed25519 AAAAC3Nz".into()],
        };
        let web = Web { platform: platform.clone(), doors: Arc::new(doors), metrics: None };
        let api = Self { database, platform, api: router::api(web), _keys: folder };
        let mut conn = api.platform.pool.acquire().await.expect("connects");
        people::create_team(&mut conn, &TeamName::default_team()).await.expect("inserts").expect("is new");
        drop(conn);
        api
    }

    /// A user in the team `default`.
    pub(crate) async fn member(&self, name: &str, role: Role) -> Principal {
        let principal = self.stranger(name).await;
        let mut conn = self.platform.pool.acquire().await.expect("connects");
        let team = people::team_named(&mut conn, "default").await.expect("answers").expect("is there");
        people::set_role(&mut conn, team, principal.user, role).await.expect("updates");
        principal
    }

    /// A user in no team.
    pub(crate) async fn stranger(&self, name: &str) -> Principal {
        let mut conn = self.platform.pool.acquire().await.expect("connects");
        let parsed = name.parse().expect("a user name");
        let user: UserId = people::create_user(&mut conn, &parsed).await.expect("inserts").expect("is new");
        Principal { user, name: name.to_owned(), admin: false }
    }

    pub(crate) async fn admin(&self, name: &str) -> Principal {
        let principal = self.member(name, Role::Owner).await;
        let mut conn = self.platform.pool.acquire().await.expect("connects");
        people::make_admin(&mut conn, principal.user).await.expect("updates");
        Principal { admin: true, ..principal }
    }

    /// A token of somebody, as it is sent.
    pub(crate) async fn token_of(&self, principal: &Principal) -> String {
        let token = crate::domain::token::generate();
        let hash = crate::domain::token::hash(token.expose_secret()).expect("whole");
        let mut conn = self.platform.pool.acquire().await.expect("connects");
        crate::db::credentials::add_token(&mut conn, principal.user, &hash, "test", None).await.expect("inserts");
        token.expose_secret().to_owned()
    }

    pub(crate) async fn call(&self, who: &Principal, method: Method, path: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(InProcess(who.clone()))
            .body(Body::from(body.to_string()))
            .expect("a request");
        self.raw(request).await
    }

    pub(crate) async fn get(&self, who: &Principal, path: &str) -> Answer {
        self.call(who, Method::GET, path, Value::Null).await
    }

    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.api.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("reads").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }
}
