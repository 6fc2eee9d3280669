//! The connection of a drain: TLS, and on it syslog or HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::{Address, Protocol, Reach};

/// For one address to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// An open connection.
pub(super) enum Wire {
    Syslog(Box<TlsStream<TcpStream>>),
    Https(SendRequest<Full<Bytes>>),
}

/// What goes out at once.
pub(super) struct Parcel<'a> {
    pub(super) frames: Bytes,
    pub(super) count: usize,
    pub(super) token: &'a str,
}

impl Wire {
    pub(super) async fn open(
        address: &Address,
        reach: &Reach,
        extra_ca: Option<&Bytes>,
    ) -> anyhow::Result<Self> {
        let stream = connect(address, reach).await?;
        let tls = TlsConnector::from(Arc::new(trust(extra_ca.cloned()).await?));
        let name = ServerName::try_from(address.host.clone()).context("the host has no name for TLS")?;
        let stream = tls.connect(name, stream).await.context("TLS was not agreed on")?;
        match address.protocol {
            Protocol::SyslogTls => Ok(Self::Syslog(Box::new(stream))),
            Protocol::Https => {
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                // Ends when the sender is dropped.
                tokio::spawn(connection);
                Ok(Self::Https(sender))
            }
        }
    }

    /// Returns when the other end has taken the parcel: all of it is written, or answered.
    pub(super) async fn send(&mut self, address: &Address, parcel: &Parcel<'_>) -> anyhow::Result<()> {
        match self {
            Self::Syslog(stream) => {
                // Nothing is ever said on it: what can be read is its end.
                if let Some(ended) = stream.read(&mut [0; 16]).now_or_never()
                    && !matches!(ended, Ok(1..))
                {
                    bail!("the other end has closed the connection");
                }
                stream.write_all(&parcel.frames).await?;
                Ok(stream.flush().await?)
            }
            Self::Https(sender) => {
                sender.ready().await.context("the other end has closed the connection")?;
                let answer = sender.send_request(post(address, parcel)?).await?;
                let status = answer.status();
                // Read to its end, so that the connection can be used again.
                let body = Limited::new(answer.into_body(), ANSWER).collect().await;
                if !status.is_success() {
                    bail!("it was answered with {status}");
                }
                body.map(drop).map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))
            }
        }
    }
}

async fn connect(address: &Address, reach: &Reach) -> anyhow::Result<TcpStream> {
    let mut fault = anyhow::anyhow!("it has no address");
    for found in reach.resolve(address).await? {
        match tokio::time::timeout(CONNECT, TcpStream::connect(found)).await {
            Ok(Ok(stream)) => {
                // Only a matter of speed: small writes leave at once.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Ok(Err(error)) => fault = error.into(),
            Err(_) => fault = anyhow::anyhow!("no connection within {} s", CONNECT.as_secs()),
        }
    }
    Err(fault)
}

/// The system's authorities, and those of the extra file.
async fn trust(extra_ca: Option<Bytes>) -> anyhow::Result<ClientConfig> {
    let read = move || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let extra = extra_ca.unwrap_or_default();
        let extra: Vec<_> = CertificateDer::pem_slice_iter(&extra).filter_map(Result::ok).collect();
        roots.add_parsable_certificates(extra);
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    };
    tokio::task::spawn_blocking(read).await.context("reading the authorities")
}

fn post(address: &Address, parcel: &Parcel<'_>) -> anyhow::Result<Request<Full<Bytes>>> {
    let url = &address.url;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/logplex-1")
        .header(header::USER_AGENT, concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .header("logplex-msg-count", parcel.count)
        .header("logplex-frame-id", uuid::Uuid::now_v7().to_string())
        .header("logplex-drain-token", parcel.token);
    if !url.username().is_empty() || url.password().is_some() {
        let decoded = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            url::form_urlencoded::parse(pairs.as_bytes())
                .next()
                .map_or_else(String::new, |(_, value)| value.into_owned())
        };
        let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)));
    }
    Ok(request.body(Full::new(parcel.frames.clone()))?)
}
