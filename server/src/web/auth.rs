//! Who speaks at the HTTP door, over what, and from where.
//!
//! Invariant: no token is looked at, let alone accepted, that came in the clear over a network. Whether a connection
//! is safe is decided by the connection itself; headers count only from a proxy that the settings name.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use secrecy::SecretString;
use tracing::info;

use super::throttle::Throttle;
use super::tls::{Peer, Transport};
use crate::domain::access::Principal;
use crate::doors::{Lookup, Services, neighbourhood};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Somebody whose token was good.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// Of the client, even if a trusted proxy stands between.
    pub(crate) address: IpAddr,
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error(
        "this connection is not encrypted, and your token would cross the network in the clear.\nUse https. The \
         platform's admin enables it with a certificate (--tls-cert, --tls-key), or with a proxy that does TLS and \
         is named by --trusted-proxies"
    )]
    PlainHttp,
    #[error(
        "this request came through a proxy that Slipway was not told to trust.\nThe platform's admin names it with \
         --trusted-proxies"
    )]
    StrangeProxy,
    #[error("a token is needed: use it as the password, with any user name. `slipway login` makes one")]
    NoToken,
    #[error("this token is not known, or has expired. `slipway login` makes a new one")]
    BadToken,
    #[error("too many bad tokens from your address: try again in {} seconds", .0.as_secs() + 1)]
    TooMany(Duration),
    #[error("Slipway cannot look your token up at the moment: try again in a minute")]
    Unavailable,
}

/// The one way in for everything at the HTTP door that needs somebody's name.
#[derive(Clone)]
pub(crate) struct Gate {
    services: Services,
    trusted_proxies: Arc<[IpNet]>,
    throttle: Arc<Throttle>,
}

impl Gate {
    pub(crate) fn new(services: Services, trusted_proxies: Vec<IpNet>) -> Self {
        Self { services, trusted_proxies: trusted_proxies.into(), throttle: Arc::default() }
    }

    /// Finds out who asks, by a Bearer token or by Basic with the token as the password.
    pub(crate) async fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, NotAdmitted> {
        let address = self.origin(peer, headers)?;
        let token = token(headers).ok_or(NotAdmitted::NoToken)?;
        let neighbourhood = neighbourhood(address);
        if let Some(wait) = self.throttle.wait(&neighbourhood) {
            return Err(NotAdmitted::TooMany(wait));
        }
        match self.services.owner_of_token(token).await {
            Lookup::Known(principal) => Ok(Caller { principal, address }),
            Lookup::Unavailable => Err(NotAdmitted::Unavailable),
            Lookup::Unknown => {
                info!(%address, "Refused a token that is not known");
                self.throttle.failed(neighbourhood);
                Err(NotAdmitted::BadToken)
            }
        }
    }

    /// The client's address, if what it sends cannot be read on the way.
    pub(crate) fn origin(&self, peer: Peer, headers: &HeaderMap) -> Result<IpAddr, NotAdmitted> {
        let address = peer.address.ip().to_canonical();
        if self.trusts(address) && headers.contains_key(FORWARDED_PROTO) {
            let https =
                last_word(headers, FORWARDED_PROTO).is_some_and(|word| word.eq_ignore_ascii_case("https"));
            return if https {
                Ok(self.client_of_proxy(address, headers))
            } else {
                Err(NotAdmitted::PlainHttp)
            };
        }
        match peer.transport {
            Transport::Tls => Ok(address),
            // A proxy on this machine makes every stranger look local, so it has to be named.
            Transport::Plain if address.is_loopback() && !proxied(headers) => Ok(address),
            Transport::Plain if address.is_loopback() => Err(NotAdmitted::StrangeProxy),
            Transport::Plain => Err(NotAdmitted::PlainHttp),
        }
    }

    /// Whether the client's own connection is encrypted, to us or to a proxy that is trusted. Over the loopback it need not be.
    pub(super) fn is_encrypted(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let by_proxy = || {
            self.trusts(peer.address.ip().to_canonical())
                && last_word(headers, FORWARDED_PROTO).is_some_and(|word| word.eq_ignore_ascii_case("https"))
        };
        peer.transport == Transport::Tls || by_proxy()
    }

    /// The last address on the way that is not a proxy of ours; what stands before it may be made up.
    fn client_of_proxy(&self, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        let mut hops = lines.iter().flat_map(|line| line.split(',')).rev();
        let client = hops.find_map(|hop| match hop.trim().parse::<IpAddr>() {
            Ok(hop) if self.trusts(hop.to_canonical()) => None,
            Ok(hop) => Some(hop.to_canonical()),
            Err(_) => Some(proxy),
        });
        client.unwrap_or(proxy)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }
}

impl NotAdmitted {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::PlainHttp | Self::StrangeProxy => StatusCode::FORBIDDEN,
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Adds the headers that the status calls for; the body is the caller's.
    pub(crate) fn decorate(&self, headers: &mut HeaderMap) {
        match self {
            Self::NoToken | Self::BadToken => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"Slipway\", charset=\"UTF-8\""),
                );
            }
            Self::TooMany(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            }
            Self::PlainHttp | Self::StrangeProxy | Self::Unavailable => {}
        }
    }
}

/// As plain text, which git shows to its user line by line.
impl IntoResponse for NotAdmitted {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        self.decorate(response.headers_mut());
        response
    }
}

fn token(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(SecretString::from(value)).filter(|_| !value.is_empty());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    (!password.is_empty()).then(|| SecretString::from(password))
}

fn proxied(headers: &HeaderMap) -> bool {
    ["forwarded", FORWARDED_FOR, FORWARDED_PROTO].iter().any(|name| headers.contains_key(*name))
}

fn last_word<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim)
}
