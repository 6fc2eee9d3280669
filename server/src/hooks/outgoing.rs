//! Clients of HTTP for hosts that people have named: the APIs of repositories' hosts, and the receivers of our web hooks.
//!
//! Invariant: such a client connects to the addresses that were looked up and allowed, and to no others: it follows no
//! redirect, asks no proxy and speaks TLS only.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Response};

use super::address::{self, AddressError};
use crate::config::HookSettings;

/// A client for one host, which may take this long to answer.
pub(crate) async fn client(
    settings: &HookSettings,
    (host, port): (&str, u16),
    answer: Duration,
) -> Result<ClientBuilder, AddressError> {
    let addresses = address::resolve(host, port, &settings.networks).await?;
    let sockets: Vec<SocketAddr> =
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    Ok(Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(answer)
        .https_only(true)
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .resolve_to_addrs(host, &sockets))
}

/// Why there is no client for a host's API.
#[derive(Debug)]
pub(crate) enum ClientError {
    Address(AddressError),
    /// The certificates of SLIPWAY_HOOK_CA cannot be read.
    Authorities,
}

/// A client for the API of a repository's host, which trusts the certificates of SLIPWAY_HOOK_CA in place of the
/// system's, as fetching from there does.
pub(crate) async fn api_client(
    settings: &HookSettings,
    host: (&str, u16),
    answer: Duration,
) -> Result<Client, ClientError> {
    let mut client = client(settings, host, answer).await.map_err(ClientError::Address)?;
    if let Some(certificates) = authorities(settings).await.map_err(|_| ClientError::Authorities)? {
        client = client.tls_certs_only(certificates);
    }
    client.build().map_err(|_| ClientError::Authorities)
}

/// The body of an answer; `None` if it has more than `most` bytes.
pub(crate) async fn read(mut answer: Response, most: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// The certificates of SLIPWAY_HOOK_CA cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// The certificates of SLIPWAY_HOOK_CA, if it is set.
pub(crate) async fn authorities(settings: &HookSettings) -> Result<Option<Vec<Certificate>>, Unreadable> {
    let Some(path) = &settings.authorities else { return Ok(None) };
    let pem = tokio::fs::read(path).await.map_err(|_| Unreadable)?;
    Certificate::from_pem_bundle(&pem).map(Some).map_err(|_| Unreadable)
}
