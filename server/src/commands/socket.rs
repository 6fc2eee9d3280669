//! The API's WebSocket as a verb sees it, over the network or in this process.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower::ServiceExt;

use super::client::{Client, ClientError, HttpClient, innermost};
use crate::domain::access::Principal;
use crate::web::InProcess;

/// Bytes that wait between a verb and the API in this process.
const BUFFER: usize = 64 * 1024;

/// A connection, whatever it runs over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

pub(super) type Socket = WebSocketStream<Box<dyn Wire>>;

impl Client {
    /// Opens the WebSocket at `path`.
    pub(super) async fn open(&self, path: &str) -> Result<Socket, ClientError> {
        let wire: Box<dyn Wire> = match self {
            Self::Http(client) => Box::new(client.upgraded(path).await?),
            Self::InProcess { api, principal } => Box::new(in_process(api, principal, path).await?),
        };
        Ok(WebSocketStream::from_raw_socket(wire, Role::Client, None).await)
    }
}

/// The headers that ask for it (RFC 6455, section 4.1). What the server makes of the key is not looked at: it keeps
/// caches from answering, and there is none between.
fn asking() -> [(header::HeaderName, String); 4] {
    [
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_VERSION, "13".to_owned()),
        (header::SEC_WEBSOCKET_KEY, BASE64_STANDARD.encode(rand::random::<[u8; 16]>())),
    ]
}

impl HttpClient {
    async fn upgraded(&self, path: &str) -> Result<reqwest::Upgraded, ClientError> {
        let mut request = self.request(Method::GET, path);
        for (name, value) in asking() {
            request = request.header(name, value);
        }
        let response = self.sent(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(response).await);
        }
        response.upgrade().await.map_err(|error| ClientError::Broken(innermost(&error)))
    }
}

/// A connection within this process, because only a connection can be upgraded.
async fn in_process(
    api: &Router,
    principal: &Principal,
    path: &str,
) -> Result<TokioIo<hyper::upgrade::Upgraded>, ClientError> {
    let (near, far) = duplex(BUFFER);
    let principal = principal.clone();
    let service = api.clone().map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(InProcess(principal.clone()));
        request.map(Body::new)
    });
    // Both ends go when the other does; nothing of them outlives the verb.
    tokio::spawn(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(far), TowerToHyperService::new(service))
            .with_upgrades(),
    );
    let broken = |error: hyper::Error| ClientError::Broken(innermost(&error));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(broken)?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().uri(path).header(header::HOST, "platform");
    for (name, value) in asking() {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).map_err(|error| ClientError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(super::client::refused(response.map(Body::new)).await);
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(broken)?))
}
