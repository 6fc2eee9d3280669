//! The headers of a request on its way to a backend, and of the answer on its way back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use ipnet::IpNet;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// How the router names itself in `Via`.
const PSEUDONYM: HeaderValue = HeaderValue::from_static("1.1 slipway");

/// Headers that speak of one connection only (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Lengths of a client's own request id that are passed on.
const REQUEST_ID_LENGTHS: std::ops::RangeInclusive<usize> = 8..=128;

/// The name of one request in every log that it touches.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own id if it is harmless, else a fresh one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let harmless = |value: &&HeaderValue| {
            REQUEST_ID_LENGTHS.contains(&value.len())
                && value.as_bytes().iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
        };
        Self(headers.get(REQUEST_ID).filter(harmless).cloned().unwrap_or_else(fresh_id))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

fn fresh_id() -> HeaderValue {
    HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).expect("invariant: a UUID is a header value")
}

/// The connection on which a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
}

/// The protocol that a request wants to switch to. `h2c` is refused: it would smuggle requests past the router.
pub(super) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asked = connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let plain = !protocol.as_bytes().to_ascii_lowercase().starts_with(b"h2c");
    (asked && plain).then(|| protocol.clone())
}

/// Makes a client's headers those of the request to the backend.
pub(super) fn toward_backend(
    headers: &mut HeaderMap,
    origin: Origin,
    trusted: &[IpNet],
    id: &RequestId,
) -> Option<HeaderValue> {
    let upgrade = wanted_upgrade(headers);
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    strip(headers);
    headers.remove(EXPECT);
    if chunked {
        // A length beside chunks is how requests are smuggled; the chunks are what was read.
        headers.remove(CONTENT_LENGTH);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    forwarded(headers, origin, trusted);
    headers.insert(REQUEST_ID, id.header());
    headers.append(VIA, PSEUDONYM);
    connection_header(headers, upgrade.as_ref());
    upgrade
}

/// Makes a backend's headers those of the answer to the client.
pub(super) fn toward_client(headers: &mut HeaderMap, upgraded: Option<&HeaderValue>) {
    strip(headers);
    headers.append(VIA, PSEUDONYM);
    if upgraded.is_some() {
        connection_header(headers, upgraded);
    }
}

/// Backends are asked to close: the router opens a connection for each request.
fn connection_header(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let option = if upgrade.is_some() { "upgrade" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(option));
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol.clone());
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        connection_options(headers).filter_map(|option| option.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        // A client may not have `Connection: host` take away what requests are routed by.
        if *name != HOST && *name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

/// A trusted proxy's own headers are kept and its address is appended; a stranger's are replaced.
fn forwarded(headers: &mut HeaderMap, origin: Origin, trusted: &[IpNet]) {
    let client = origin.client.ip().to_canonical();
    let believed = trusted.iter().any(|net| net.contains(&client));
    if !believed {
        for name in [FORWARDED, FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_PORT] {
            headers.remove(name);
        }
    }
    append_address(headers, client);
    let host = headers.get(HOST).cloned();
    let port = HeaderValue::from(origin.local.port());
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    headers.entry(FORWARDED_PORT).or_insert(port);
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

fn append_address(headers: &mut HeaderMap, client: IpAddr) {
    let before: Vec<&str> =
        headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok()).collect();
    let list =
        if before.is_empty() { client.to_string() } else { format!("{}, {client}", before.join(", ")) };
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(FORWARDED_FOR, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn sent(pairs: &[(&'static str, &'static str)], trusted: &[IpNet]) -> HeaderMap {
        let mut headers = headers(pairs);
        let origin = Origin {
            client: "10.1.2.3:4000".parse().expect("an address"),
            local: "127.0.0.1:5080".parse().expect("an address"),
        };
        let id = RequestId::of(&headers);
        toward_backend(&mut headers, origin, trusted, &id);
        headers
    }

    #[test]
    fn headers_of_one_hop_are_dropped_and_the_clients_address_is_told() {
        let headers = sent(
            &[
                ("host", "blog.localhost:5080"),
                ("connection", "close, x-secret, host"),
                ("x-secret", "1"),
                ("te", "trailers"),
                ("proxy-authorization", "Basic x"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "https"),
            ],
            &[],
        );
        for gone in ["x-secret", "te", "proxy-authorization"] {
            assert!(!headers.contains_key(gone), "{gone} was passed on");
        }
        assert_eq!(headers["host"], "blog.localhost:5080");
        assert_eq!(headers["x-forwarded-for"], "10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "blog.localhost:5080");
        assert_eq!(headers["x-forwarded-port"], "5080");
        assert_eq!(headers["via"], "1.1 slipway");
        assert_eq!(headers["connection"], "close");
        assert_eq!(headers["x-request-id"].len(), 36);
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        let headers = sent(
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https"), ("x-request-id", "abcdefgh-1")],
            &trusted,
        );
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-request-id"], "abcdefgh-1");
    }

    #[test]
    fn websockets_may_upgrade_and_cleartext_http2_may_not() {
        let ask = |protocol| headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)]);
        assert!(wanted_upgrade(&ask("websocket")).is_some());
        assert!(wanted_upgrade(&ask("h2c")).is_none());
        assert!(wanted_upgrade(&headers(&[("upgrade", "websocket")])).is_none());
    }
}
