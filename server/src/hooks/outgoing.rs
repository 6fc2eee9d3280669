//! Clients of HTTP for hosts that people have named: the APIs of repositories' hosts, and the receivers of our web hooks.
//!
//! Invariant: such a client connects to the addresses that were looked up and allowed, and to no others: it follows no
//! redirect, asks no proxy and speaks TLS only.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder};

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

/// The certificates of SLIPWAY_HOOK_CA cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// The certificates of SLIPWAY_HOOK_CA, if it is set.
pub(crate) async fn authorities(settings: &HookSettings) -> Result<Option<Vec<Certificate>>, Unreadable> {
    let Some(path) = &settings.authorities else { return Ok(None) };
    let pem = tokio::fs::read(path).await.map_err(|_| Unreadable)?;
    Certificate::from_pem_bundle(&pem).map(Some).map_err(|_| Unreadable)
}
