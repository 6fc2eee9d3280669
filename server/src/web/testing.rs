//! The API over a database of its own, with people in every role.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::api::shapes::Doors;
use super::auth::Gate;
use super::router::api;
use super::tls::{Peer, Transport};
use super::{InProcess, Web, ui};
use crate::app::doors::services;
use crate::config;
use crate::crypto::KeyFile;
use crate::db::people;
use crate::db::testing::TestDatabase;
use crate::docker::testing::engine;
use crate::domain::access::{Principal, Role};
use crate::domain::ids::UserId;
use crate::domain::names::TeamName;
use crate::journal::Journals;
use crate::local::router::tests::{Running, router};
use crate::platform::Platform;
use crate::queue::Queue;
use crate::registry::{Registry, Scheme};
use crate::target::Target;
use crate::target::docker::{DockerTarget, Settings};

/// A whole API without sockets: what `Web` needs, on real parts.
pub(crate) struct TestApi {
    _database: TestDatabase,
    pub(crate) platform: Platform,
    pub(crate) api: Router,
    _router: Running,
    _folder: tempfile::TempDir,
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
    /// `None` where there is no engine for tests.
    pub(crate) async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    /// The same with settings as flags would give them.
    pub(crate) async fn with(flags: &[&str]) -> Option<Self> {
        // Another test may have been quicker.
        drop(rustls::crypto::ring::default_provider().install_default());
        let engine = engine().await?;
        let database = TestDatabase::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let keys = KeyFile::open_or_create(&folder.path().join("config.key")).expect("a key file");
        let pool = database.pool.clone();
        let router = router().await;
        let target = DockerTarget::new(
            engine.api().clone(),
            router.control.clone(),
            // Each its own: the upkeep of one must not take another's for strangers.
            Settings::new(&format!("t{}", &Uuid::new_v4().simple().to_string()[..8]), Duration::from_secs(1)),
            Default::default(),
        );
        let settings = config::tests::serve(flags);
        let platform = Platform {
            id: "test".into(),
            pool: pool.clone(),
            keys: Arc::new(keys),
            repositories: folder.path().join("repositories"),
            engine,
            registry: Registry::new("127.0.0.1:1", "127.0.0.1:1", None, Scheme::Http),
            pull_login: None,
            target: Arc::new(Target::Docker(target)),
            router: None,
            queue: Queue::new(pool),
            logs: Default::default(),
            journals: Journals::new(folder.path().join("journal"), settings.limits.journal()),
            drains: Default::default(),
            cancels: Default::default(),
            rollouts: Default::default(),
            runs: Default::default(),
            attendants: Default::default(),
            clock: Default::default(),
            phase_cancels: Default::default(),
            github_app: Default::default(),
            settings: Arc::new(settings),
        };
        let gate = Gate::new(services(platform.clone(), None), Vec::new());
        let doors = Doors {
            version: "0.1.0".into(),
            http_url: "http://localhost:7080".into(),
            app_url: Some("http://{app}.localhost:7081".into()),
            ssh_host: "localhost".into(),
            ssh_port: 7022,
            ssh_user: "slipway".into(),
            ssh_host_keys: vec!["ssh-ed25519 AAAAC3Nz".into()],
        };
        let web = Web { platform: platform.clone(), doors: Arc::new(doors), metrics: None, gate };
        let api = Self {
            _database: database,
            platform,
            api: ui::router::page(web.clone()).merge(api(web)),
            _router: router,
            _folder: folder,
        };
        let mut conn = api.platform.pool.acquire().await.expect("connects");
        people::create_team(&mut conn, &TeamName::default_team()).await.expect("inserts").expect("is new");
        drop(conn);
        Some(api)
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
        crate::db::credentials::add_token(&mut conn, principal.user, &hash, "test", None)
            .await
            .expect("inserts");
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

    /// As it would come from this machine.
    pub(crate) async fn raw(&self, mut request: Request<Body>) -> Answer {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 40_000));
        request.extensions_mut().insert(Peer { address, transport: Transport::Plain });
        let response: Response<Body> = self.api.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("reads").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }
}
