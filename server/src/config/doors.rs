//! The doors: HTTP, SSH, and the router of apps.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

/// The HTTP door: API, git, health, metrics.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP door")]
pub(crate) struct HttpSettings {
    /// Address of the HTTP door.
    #[arg(
        id = "http-listen",
        long = "http-listen",
        env = "SLIPWAY_HTTP_LISTEN",
        default_value = "127.0.0.1:7080",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Address at which people reach the HTTP door; what links and git remotes are made of. By default the listening address.
    #[arg(long = "public-url", env = "SLIPWAY_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<Url>,

    /// Certificate chain (PEM) for TLS on the HTTP door; read again when it changes.
    #[arg(long = "tls-cert", env = "SLIPWAY_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key (PEM) of that certificate.
    #[arg(long = "tls-key", env = "SLIPWAY_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, comma-separated.
    #[arg(
        long = "trusted-proxies",
        env = "SLIPWAY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// Certificate and key of the HTTP door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl HttpSettings {
    /// Both files, or none: `check` refuses one without the other.
    pub(crate) fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles { cert: self.tls_cert.clone()?, key: self.tls_key.clone()? })
    }

    /// Where people reach this door, without a slash at the end.
    pub(crate) fn base_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!(
                "{}://{}",
                if self.tls().is_some() { "https" } else { "http" },
                reachable(self.listen)
            ),
        }
    }
}

/// The SSH door: git and verbs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "SSH door")]
pub(crate) struct SshSettings {
    /// Address of the SSH door.
    #[arg(
        id = "ssh-listen",
        long = "ssh-listen",
        env = "SLIPWAY_SSH_LISTEN",
        default_value = "127.0.0.1:7022",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Host at which people reach the SSH door. By default that of the public URL, else the listening address.
    #[arg(long = "ssh-public-host", env = "SLIPWAY_SSH_PUBLIC_HOST", value_name = "HOST")]
    pub(crate) public_host: Option<String>,

    /// Port at which people reach the SSH door. By default the listening port.
    #[arg(long = "ssh-public-port", env = "SLIPWAY_SSH_PUBLIC_PORT", value_name = "PORT")]
    pub(crate) public_port: Option<u16>,
}

impl SshSettings {
    /// Host and port for an ssh_config block.
    pub(crate) fn public(&self, http: &HttpSettings) -> (String, u16) {
        let of_url = || http.public_url.as_ref().and_then(Url::host_str).map(ToOwned::to_owned);
        let host = self.public_host.clone().or_else(of_url);
        (
            host.unwrap_or_else(|| reachable(self.listen).ip().to_string()),
            self.public_port.unwrap_or(self.listen.port()),
        )
    }
}

/// The router of the apps on this machine.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Apps' router")]
pub(crate) struct AppsSettings {
    /// Address of the router that leads to the apps (target docker).
    #[arg(
        id = "apps-listen",
        long = "apps-listen",
        env = "SLIPWAY_APPS_LISTEN",
        default_value = "127.0.0.1:7090",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Domain under which each app has its host: `<app>.<domain>`.
    #[arg(
        id = "apps-domain",
        long = "apps-domain",
        env = "SLIPWAY_APPS_DOMAIN",
        default_value = "localhost",
        value_name = "DOMAIN"
    )]
    pub(crate) domain: String,

    /// Address of apps as people type it, with `{app}` in it, where a proxy stands before the router. By default `http://{app}.<domain>:<port>`.
    #[arg(id = "apps-url", long = "apps-url", env = "SLIPWAY_APPS_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
}

impl AppsSettings {
    /// Where people open an app, ending in a slash.
    pub(crate) fn url_of(&self, app: &str) -> String {
        let url = match &self.url {
            Some(url) => url.replace("{app}", app),
            None if self.listen.port() == 80 => format!("http://{app}.{}", self.domain),
            None => format!("http://{app}.{}:{}", self.domain, self.listen.port()),
        };
        format!("{}/", url.trim_end_matches('/'))
    }
}

/// An address that can be connected to: listening everywhere includes loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => ([127, 0, 0, 1], listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::serve;

    #[test]
    fn addresses_for_people_follow_from_what_is_set() {
        let args = serve(&["--http-listen=0.0.0.0:80"]);
        assert_eq!(args.http.base_url(), "http://127.0.0.1:80");
        assert_eq!(args.ssh.public(&args.http), ("127.0.0.1".to_owned(), 7022));
        assert_eq!(args.apps.url_of("blog"), "http://blog.localhost:7090/");
        let args = serve(&["--public-url=https://git.example.com/", "--apps-url=https://{app}.example.com"]);
        assert_eq!(args.http.base_url(), "https://git.example.com");
        assert_eq!(args.ssh.public(&args.http), ("git.example.com".to_owned(), 7022));
        assert_eq!(args.apps.url_of("blog"), "https://blog.example.com/");
    }
}
