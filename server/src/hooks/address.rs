//! The address of a repository elsewhere: `https://host/path`, `ssh://user@host/path` or `user@host:path`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::domain::networks::is_public;

/// Bytes of an address at most.
const LONGEST: usize = 500;
const HTTPS_PORT: u16 = 443;
const SSH_PORT: u16 = 22;
/// For a host's name to be looked up.
const RESOLVE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Ssh,
}

/// Where a repository is. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// Who logs in; over HTTPS the name that goes with a token.
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// From the first `/` on.
    pub(crate) path: String,
}

/// Why an address is not one of a repository, or may not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "that is not the address of a repository: write https://host/path or ssh://user@host/path (or user@host:path), \
         at most {LONGEST} characters long, without blanks"
    )]
    NoRepository,
    #[error(
        "repositories are fetched over https:// and ssh:// only, for other ways prove nothing of who answers"
    )]
    Scheme,
    #[error(
        "do not put a password or a token into the address, where logs would show it: give it with --token-stdin"
    )]
    Password,
    #[error("the host {0} has no address: check its name")]
    Unknown(String),
    #[error(
        "{host} is {address}, an address of a private network, and nothing is fetched from those or sent to them: an admin \
         can allow it with SLIPWAY_HOOK_NETWORKS"
    )]
    Private { host: String, address: IpAddr },
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '\'' | '`' | '<' | '>');
        if text.is_empty() || text.len() > LONGEST || !text.chars().all(plain) {
            return Err(AddressError::NoRepository);
        }
        if text.contains("://") { Self::of_url(text) } else { Self::of_scp(text) }
    }

    fn of_url(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError::NoRepository)?;
        let (scheme, usual) = match url.scheme() {
            "https" => (Scheme::Https, HTTPS_PORT),
            "ssh" | "git+ssh" => (Scheme::Ssh, SSH_PORT),
            _ => return Err(AddressError::Scheme),
        };
        if url.password().is_some() {
            return Err(AddressError::Password);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::NoRepository);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(str::to_owned);
        Self { scheme, user, host, port: url.port().unwrap_or(usual), path: url.path().to_owned() }.checked()
    }

    /// As git and people write it: `git@github.com:ada/blog.git`.
    fn of_scp(text: &str) -> Result<Self, AddressError> {
        let (login, path) = text.split_once(':').ok_or(AddressError::NoRepository)?;
        let (user, host) = login.split_once('@').ok_or(AddressError::NoRepository)?;
        let path = format!("/{}", path.trim_start_matches('/'));
        let (user, host) = (Some(user.to_owned()), host.to_ascii_lowercase());
        Self { scheme: Scheme::Ssh, user, host, port: SSH_PORT, path }.checked()
    }

    /// What is handed to programs has to be what they take for a host, a user and a path, and nothing else.
    fn checked(mut self) -> Result<Self, AddressError> {
        let host_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let user_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_host =
            !self.host.is_empty() && !self.host.starts_with('-') && self.host.chars().all(host_like);
        let is_user = self
            .user
            .as_ref()
            .is_none_or(|user| !user.is_empty() && !user.starts_with('-') && user.chars().all(user_like));
        self.path = self.path.trim_end_matches('/').to_owned();
        let is_path = self.path.len() > 1 && !self.path.starts_with("/-") && !self.path.contains("/../");
        match is_host && is_user && is_path {
            true => Ok(self),
            false => Err(AddressError::NoRepository),
        }
    }

    /// The addresses of the host, if all of them may be reached: who names a host decides what it resolves to.
    pub(crate) async fn resolve(&self, allowed: &[IpNet]) -> Result<Vec<IpAddr>, AddressError> {
        resolve(&self.host, self.port, allowed).await
    }

    /// As git takes it: over HTTPS the user's name is in the header.
    pub(crate) fn for_git(&self) -> String {
        match self.scheme {
            Scheme::Https => Self { user: None, ..self.clone() }.to_string(),
            Scheme::Ssh => self.to_string(),
        }
    }
}

/// Looks a host up; none of its addresses may be one of a network that is not everybody's nor `allowed`.
pub(crate) async fn resolve(host: &str, port: u16, allowed: &[IpNet]) -> Result<Vec<IpAddr>, AddressError> {
    let unknown = || AddressError::Unknown(host.to_owned());
    let lookup = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host, port))).await;
    let found: Vec<IpAddr> = match lookup {
        Ok(Ok(found)) => found.map(|found: SocketAddr| found.ip().to_canonical()).collect(),
        _ => return Err(unknown()),
    };
    let may = |ip: &IpAddr| is_public(*ip) || allowed.iter().any(|network| network.contains(ip));
    match found.iter().find(|ip| !may(ip)) {
        Some(ip) => Err(AddressError::Private { host: host.to_owned(), address: *ip }),
        None if found.is_empty() => Err(unknown()),
        None => Ok(found),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = match self.scheme {
            Scheme::Https => ("https", HTTPS_PORT),
            Scheme::Ssh => ("ssh", SSH_PORT),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!(parsed("git@GitHub.com:ada/blog.git"), "ssh://git@github.com/ada/blog.git");
        assert_eq!(
            parsed("ssh://git@git.example.com:2222/ada/blog"),
            "ssh://git@git.example.com:2222/ada/blog"
        );
        assert_eq!(parsed("https://gitlab.com/ada/blog.git/"), "https://gitlab.com/ada/blog.git");
        assert_eq!(parsed("https://bot@[2001:db8::1]:8443/x/y"), "https://bot@[2001:db8::1]:8443/x/y");
        let https = Address::parse("https://bot@example.com/x").expect("an address");
        assert_eq!(https.for_git(), "https://example.com/x");
        assert_eq!(Address::parse(&https.to_string()).expect("an address"), https);
    }

    #[test]
    fn what_is_no_repository_or_could_be_taken_for_something_else_is_refused() {
        for (text, sentence) in [
            ("http://example.com/x", "https:// and ssh:// only"),
            ("git://example.com/x", "https:// and ssh:// only"),
            ("file:///etc/passwd", "https:// and ssh:// only"),
            ("ext::sh -c id", "not the address"),
            ("https://u:hunter2@example.com/x", "--token-stdin"),
            ("https://example.com", "not the address"),
            ("https://example.com/x?y=z", "not the address"),
            ("/srv/git/x.git", "not the address"),
            ("-oProxyCommand=id@host:x", "not the address"),
            ("git@-oProxyCommand=id:x", "not the address"),
            ("ssh://-oProxyCommand=id/x", "not the address"),
            ("git@host:a b", "not the address"),
            ("", "not the address"),
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains(sentence), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn an_address_that_points_inside_is_refused_unless_that_is_allowed() {
        for host in ["127.0.0.1", "169.254.169.254", "10.0.0.8", "[::1]", "localhost", "2130706433", "0x7f.1"]
        {
            let Ok(address) = Address::parse(&format!("https://{host}/x")) else { panic!("{host}") };
            let error = address.resolve(&[]).await.expect_err(host).to_string();
            assert!(error.contains("SLIPWAY_HOOK_NETWORKS"), "{host}: {error}");
        }
        let own = ["127.0.0.0/8".parse().expect("a network")];
        let address = Address::parse("ssh://git@127.0.0.1:2222/x").expect("an address");
        assert_eq!(address.resolve(&own).await.expect("allowed").len(), 1);
    }
}
