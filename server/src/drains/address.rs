//! Where a drain goes: `syslog+tls://host:port` or `https://…`, and which networks may be reached.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use crate::domain::networks::is_public;

/// Bytes of an address at most.
const LONGEST: usize = 2_000;
const SYSLOG_TLS_PORT: u16 = 6514;
const HTTPS_PORT: u16 = 443;

/// The address of a drain. Its text may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    pub(super) url: Url,
    pub(super) protocol: Protocol,
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    SyslogTls,
    Https,
}

/// Why an address is not one of a drain, or may not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "a drain's address is `syslog+tls://host:port` or `https://host/path`, at most {LONGEST} characters long"
    )]
    NoDrain,
    #[error(
        "logs are sent over TLS only: use syslog+tls:// in place of syslog://, and https:// in place of http://"
    )]
    Plain,
    #[error("the host {0} has no address: check its name")]
    Unknown(String),
    #[error(
        "{host} is {address}, an address of a private network, and drains may not reach those: an admin can allow it \
         with SLIPWAY_LOG_DRAIN_NETWORKS"
    )]
    Private { host: String, address: IpAddr },
}

/// Without what may be a password.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}:{}", self.protocol, self.host, self.port)
    }
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let url = Url::parse(text).ok().filter(|_| text.len() <= LONGEST).ok_or(AddressError::NoDrain)?;
        let (protocol, usual) = match url.scheme() {
            "syslog+tls" => (Protocol::SyslogTls, SYSLOG_TLS_PORT),
            "https" => (Protocol::Https, HTTPS_PORT),
            "syslog" | "http" => return Err(AddressError::Plain),
            _ => return Err(AddressError::NoDrain),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::NoDrain)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port().unwrap_or(usual);
        Ok(Self { text: text.to_owned(), url, protocol, host, port })
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Which networks drains may reach besides the public one.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) allowed: Vec<IpNet>,
}

impl Reach {
    /// The addresses of a drain's host, if all of them may be reached: who names a host decides what it resolves to.
    pub(crate) async fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, AddressError> {
        let unknown = || AddressError::Unknown(address.host.clone());
        let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| unknown())?.collect();
        if found.is_empty() {
            return Err(unknown());
        }
        match found.iter().map(|found| found.ip().to_canonical()).find(|ip| !self.allows(*ip)) {
            Some(ip) => Err(AddressError::Private { host: address.host.clone(), address: ip }),
            None => Ok(found),
        }
    }

    fn allows(&self, ip: IpAddr) -> bool {
        is_public(ip) || self.allowed.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Protocol, String, u16) {
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (address.protocol, address.host, address.port)
    }

    #[test]
    fn the_two_kinds_of_drains_have_their_usual_ports() {
        assert_eq!(
            parts("syslog+tls://logs.example.com"),
            (Protocol::SyslogTls, "logs.example.com".into(), 6514)
        );
        assert_eq!(
            parts("https://u:p@logs.example.com:8443/in?x=1"),
            (Protocol::Https, "logs.example.com".into(), 8443)
        );
        assert_eq!(parts("https://[2001:db8::1]/").1, "2001:db8::1");
    }

    #[test]
    fn what_would_go_in_the_clear_or_nowhere_is_refused_and_no_password_is_printed() {
        for text in ["syslog://logs.example.com:514", "http://logs.example.com"] {
            assert!(matches!(Address::parse(text), Err(AddressError::Plain)), "{text}");
        }
        for text in [
            "logs.example.com",
            "ftp://x",
            "https://",
            "syslog+tls:///x",
            &format!("https://x/{}", "a".repeat(2000)),
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let address = Address::parse("https://u:hunter2@logs.example.com").expect("an address");
        assert!(!format!("{address:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn private_networks_are_reached_only_where_that_is_allowed() {
        let none = Reach { allowed: Vec::new() };
        for host in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            let address = Address::parse(&format!("https://{host}/")).expect("an address");
            let refused = none.resolve(&address).await.expect_err(host).to_string();
            assert!(refused.contains("SLIPWAY_LOG_DRAIN_NETWORKS"), "{refused}");
        }
        let own = Reach { allowed: vec!["127.0.0.0/8".parse().expect("a network")] };
        let local = Address::parse("syslog+tls://127.0.0.1:6514").expect("an address");
        assert_eq!(own.resolve(&local).await.expect("allowed").len(), 1);
        let public = Address::parse("https://203.0.113.9/").expect("an address");
        assert!(none.resolve(&public).await.is_ok());
    }
}
