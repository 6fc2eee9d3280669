//! The session that a build holds with the engine: we serve, the engine calls.
//!
//! The engine opens no connection; we hand it one and speak HTTP/2 over it as the server. Dropping the `Session`
//! closes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use futures::stream::{self, BoxStream, StreamExt};
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::super::Engine;
use super::super::wire::WireError;
use super::context::ContextServer;
use crate::target::RegistryLogin;

/// What the engine may ask us for; it is told so when the session opens.
const METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
];

/// An open session. Must be open before the build is asked for.
pub(super) struct Session {
    pub(super) id: String,
    _server: AbortOnDropHandle<()>,
}

/// What a session serves.
pub(super) struct Served {
    pub(super) context: ContextServer,
    pub(super) secrets: BTreeMap<String, SecretString>,
    pub(super) logins: Vec<RegistryLogin>,
    /// The engine keeps one context per key, to which the next build with that key is compared.
    pub(super) shared_key: String,
}

impl Session {
    pub(super) async fn open(engine: &Engine, served: Served) -> Result<Self, WireError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let mut headers = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "h2c"),
            ("X-Docker-Expose-Session-Uuid", id.as_str()),
            ("X-Docker-Expose-Session-Name", "slipway"),
            ("X-Docker-Expose-Session-Sharedkey", served.shared_key.as_str()),
        ];
        headers.extend(METHODS.map(|method| ("X-Docker-Expose-Session-Grpc-Method", method)));
        let connection = engine.hijack("/session", &headers).await?;
        let routes = Routes::new(HealthServer::new(Healthy))
            .add_service(FileSyncServer::new(served.context))
            .add_service(SecretsServer::new(SecretMounts(Arc::new(served.secrets))))
            .add_service(AuthServer::new(Logins(Arc::new(served.logins))))
            .prepare();
        let server = async move {
            let service = TowerToHyperService::new(routes);
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(connection, service)
                .await;
            if let Err(error) = served {
                // Every build ends by one side closing; a build that suffers from it says so in its own stream.
                tracing::debug!(%error, "A build session has ended");
            }
        };
        Ok(Self { id, _server: AbortOnDropHandle::new(tokio::spawn(server)) })
    }
}

/// The engine drops sessions that do not answer this.
struct Healthy;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let statuses = [(String::new(), serving())].into();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // The state never changes, and closing the stream would make the caller ask again.
        let states = stream::iter([Ok(serving())]).chain(stream::pending());
        Ok(Response::new(states.boxed()))
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

/// `RUN --mount=type=secret,id=…`.
struct SecretMounts(Arc<BTreeMap<String, SecretString>>);

#[tonic::async_trait]
impl Secrets for SecretMounts {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let missing = || Status::not_found(format!("this build has no secret called {id:?}"));
        let secret = self.0.get(&id).ok_or_else(missing)?;
        Ok(Response::new(GetSecretResponse { data: secret.expose_secret().as_bytes().to_vec() }))
    }
}

/// Credentials for pulling base images, by registry host.
struct Logins(Arc<Vec<RegistryLogin>>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let login = self.0.iter().find(|login| canonical(&login.host) == canonical(&host));
        Ok(Response::new(login.map_or_else(CredentialsResponse::default, |login| CredentialsResponse {
            username: login.username.clone(),
            secret: login.password.expose_secret().to_owned(),
        })))
    }

    // The engine fetches tokens itself, with the credentials, when we do not.
    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the engine"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the engine"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the engine"))
    }
}

/// One registry has three names.
fn canonical(host: &str) -> &str {
    match host.trim_end_matches('/') {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "https://index.docker.io/v1" => {
            "docker.io"
        }
        other => other,
    }
}
