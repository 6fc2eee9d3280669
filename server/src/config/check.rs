//! What no single setting can know: whether they fit together. Every refusal says what, why, and what to set.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use slipway_buildpacks::BadLine;
use url::{Host, Url};

use super::{ServeArgs, Target};
use crate::domain::github_app::KeyError;

/// Settings with which the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{setting} and {setting}_FILE are both set, and only one can count: unset one of them")]
    Both { setting: &'static str },
    #[error("{setting}_FILE names {}, which could not be read: {source}", path.display())]
    SecretFile { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("no home folder is known to keep data in: set SLIPWAY_DATA_DIR")]
    NoHome,
    #[error("the working folder, from which SLIPWAY_DATA_DIR counts, is gone: set it to an absolute path")]
    WorkingFolder(#[source] io::Error),
    #[error(
        "SLIPWAY_TLS_{given} is set without SLIPWAY_TLS_{missing}, and TLS needs both: set SLIPWAY_TLS_{missing} to a PEM file too"
    )]
    HalfTls { given: &'static str, missing: &'static str },
    #[error(
        "a login at the registry needs a name and a password, and only one is there: set SLIPWAY_REGISTRY_USERNAME and SLIPWAY_REGISTRY_PASSWORD (or SLIPWAY_REGISTRY_PASSWORD_FILE), or neither"
    )]
    HalfLogin,
    #[error(
        "{setting} is set without SLIPWAY_REGISTRY, and the private registry needs none of it: set SLIPWAY_REGISTRY, or unset {setting}"
    )]
    NoRegistry { setting: &'static str },
    #[error(
        "`{value}` in {setting} is not the address of a registry: write host or host:port, without https:// and without a path"
    )]
    RegistryAddress { setting: &'static str, value: String },
    #[error(
        "`{0}` in SLIPWAY_REGISTRY_PREFIX is not the start of a repository name: write lower-case letters, digits, `.`, `_`, `-`, with `/` between parts"
    )]
    Prefix(String),
    #[error(
        "the cluster at {apiserver} is not on this machine and its nodes cannot pull from `{registry}`, which is loopback: set SLIPWAY_REGISTRY to a registry that the nodes reach, or SLIPWAY_REGISTRY_PULL to the address at which they reach this one"
    )]
    UnreachableRegistry { registry: String, apiserver: Url },
    #[error(
        "the Docker engine at {0} (DOCKER_HOST) is not on this machine and cannot push to the private registry, which listens on loopback here: set SLIPWAY_REGISTRY to a registry that the engine reaches"
    )]
    RemoteEngine(String),
    #[error(
        "SLIPWAY_KUBECONFIG and SLIPWAY_KUBE_IN_CLUSTER are both set and may name two clusters: unset one of them"
    )]
    TwoClusters,
    #[error("{first} and {second} are both {address}, and two doors cannot share it: change one of them")]
    SameAddress { first: &'static str, second: &'static str, address: String },
    #[error(
        "`{0}` in SLIPWAY_PUBLIC_URL is not the address of a website: write https://host or http://host:port, without a path"
    )]
    PublicUrl(Url),
    #[error("`{0}` in SLIPWAY_APPS_DOMAIN is not a domain: write one such as apps.example.com")]
    Domain(String),
    #[error(
        "`{0}` in SLIPWAY_APPS_URL is not the address of an app: write one such as https://{{app}}.example.com"
    )]
    AppsUrl(String),
    #[error(
        "SLIPWAY_BUILD_IDLE_DEADLINE is longer than SLIPWAY_BUILD_DEADLINE and could never pass: shorten the first or lengthen the second"
    )]
    IdleDeadline,
    #[error(
        "SLIPWAY_BASE_IMAGES names {}, which could not be read: {source}. deploy/stack/build --list writes such a file; unset the setting to build on the official images",
        path.display()
    )]
    BaseImages { path: PathBuf, source: io::Error },
    #[error("SLIPWAY_BASE_IMAGES names {}, which is no list of base images: {source}", path.display())]
    NoBaseImages { path: PathBuf, source: BadLine },
    #[error(
        "{setting} is set without SLIPWAY_OIDC_ISSUER, and means nothing alone: set SLIPWAY_OIDC_ISSUER, or unset {setting}"
    )]
    NoIssuer { setting: &'static str },
    #[error(
        "SLIPWAY_OIDC_ISSUER is set, and the provider has to know who asks: set SLIPWAY_OIDC_CLIENT_ID to the name that it has given to this server"
    )]
    NoClientId,
    #[error(
        "`{0}` in SLIPWAY_OIDC_ISSUER is not the address of a provider: write https://…, exactly as it calls itself"
    )]
    Issuer(String),
    #[error(
        "`{0}` in SLIPWAY_OIDC_DOMAINS is not the domain of e-mail addresses: write one such as example.com"
    )]
    EmailDomain(String),
    #[error("SLIPWAY_OIDC_CA names {}, which could not be read: {source}", path.display())]
    OpenIdAuthorities { path: PathBuf, source: io::Error },
    #[error(
        "SLIPWAY_PASSWORD_SIGN_IN is false and there is no provider, so nobody could sign in at the page: set SLIPWAY_OIDC_ISSUER, or leave passwords on"
    )]
    NoSignIn,
    #[error(
        "SLIPWAY_GITHUB_APP_{given} is set without SLIPWAY_GITHUB_APP_{missing}, and a GitHub App has both: set SLIPWAY_GITHUB_APP_{missing} too, or unset the other"
    )]
    HalfGithubApp { given: &'static str, missing: &'static str },
    #[error(
        "`{0}` in SLIPWAY_GITHUB_APP_ID is not the id of a GitHub App: its settings at GitHub show it as App ID, and beside it the client id"
    )]
    GithubAppId(String),
    #[error("SLIPWAY_GITHUB_APP_KEY names {}, which could not be read: {source}", path.display())]
    GithubAppKey { path: PathBuf, source: io::Error },
    #[error(
        "SLIPWAY_GITHUB_APP_KEY names {}, which cannot be used: {source}. The App's settings at GitHub make such a file: Private keys, Generate a private key",
        path.display()
    )]
    NoGithubAppKey { path: PathBuf, source: KeyError },
}

impl ServeArgs {
    /// Refuses what cannot work; returns what works but will surprise, a sentence each.
    pub(crate) fn check(&self) -> Result<Vec<String>, ConfigError> {
        self.check_doors()?;
        self.check_registry()?;
        self.database.url()?;
        if self.kubernetes.kubeconfig.is_some() && self.kubernetes.in_cluster {
            return Err(ConfigError::TwoClusters);
        }
        if self.build.idle_deadline > self.build.deadline {
            return Err(ConfigError::IdleDeadline);
        }
        self.build.bases()?;
        self.openid.check()?;
        self.hooks.github_app.check()?;
        Ok(self.warnings())
    }

    fn check_doors(&self) -> Result<(), ConfigError> {
        match (&self.http.tls_cert, &self.http.tls_key) {
            (Some(_), None) => return Err(ConfigError::HalfTls { given: "CERT", missing: "KEY" }),
            (None, Some(_)) => return Err(ConfigError::HalfTls { given: "KEY", missing: "CERT" }),
            _ => {}
        }
        let doors = [
            ("SLIPWAY_HTTP_LISTEN", self.http.listen),
            ("SLIPWAY_SSH_LISTEN", self.ssh.listen),
            ("SLIPWAY_APPS_LISTEN", self.apps.listen),
        ];
        for (index, (second, address)) in doors.iter().enumerate() {
            let same = doors[..index].iter().find(|(_, other)| other == address && address.port() != 0);
            if let Some((first, _)) = same {
                return Err(ConfigError::SameAddress { first, second, address: address.to_string() });
            }
        }
        if let Some(url) = &self.http.public_url {
            let website = matches!(url.scheme(), "http" | "https") && url.has_host();
            if !website || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                return Err(ConfigError::PublicUrl(url.clone()));
            }
        }
        if !is_domain(&self.apps.domain) {
            return Err(ConfigError::Domain(self.apps.domain.clone()));
        }
        match &self.apps.url {
            Some(url) if !is_apps_url(url) => Err(ConfigError::AppsUrl(url.clone())),
            _ => Ok(()),
        }
    }

    fn check_registry(&self) -> Result<(), ConfigError> {
        let registry = &self.registry;
        let addresses = [("SLIPWAY_REGISTRY", &registry.push), ("SLIPWAY_REGISTRY_PULL", &registry.pull)];
        for (setting, address) in addresses {
            if let Some(value) = address.as_ref().filter(|value| host_of(value).is_none()) {
                return Err(ConfigError::RegistryAddress { setting, value: value.clone() });
            }
        }
        if !is_repository(&registry.prefix) {
            return Err(ConfigError::Prefix(registry.prefix.clone()));
        }
        let login = registry.login("")?;
        match (&registry.push, &registry.pull, login) {
            (None, Some(_), _) => Err(ConfigError::NoRegistry { setting: "SLIPWAY_REGISTRY_PULL" }),
            (None, None, Some(_)) => Err(ConfigError::NoRegistry { setting: "SLIPWAY_REGISTRY_USERNAME" }),
            (None, None, None) if !is_local_engine(&self.docker.host) => {
                Err(ConfigError::RemoteEngine(self.docker.host.clone()))
            }
            _ => Ok(()),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let http = &self.http;
        if !http.listen.ip().is_loopback() && http.tls().is_none() && http.trusted_proxies.is_empty() {
            warnings.push(format!(
                "The HTTP door listens on {} without TLS, so git over HTTP and tokens will be refused from other machines: \
                 set SLIPWAY_TLS_CERT and SLIPWAY_TLS_KEY, or SLIPWAY_TRUSTED_PROXIES if a proxy does TLS.",
                http.listen
            ));
        }
        if self.kubernetes.target() == Target::Docker && self.kubernetes.kubeconfig.is_some() {
            warnings.push(
                "SLIPWAY_KUBECONFIG is set, and SLIPWAY_TARGET=docker keeps it unused: unset one of them."
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Refuses a registry address that only this machine reaches when the cluster is on another one.
pub(crate) fn check_pull_address(registry: &str, apiserver: &Url) -> Result<(), ConfigError> {
    let loopback = host_of(registry).is_some_and(|host| is_loopback(&host));
    let here = apiserver.host().is_some_and(|host| is_loopback(&host.to_owned()));
    if loopback && !here {
        return Err(ConfigError::UnreachableRegistry {
            registry: registry.to_owned(),
            apiserver: apiserver.clone(),
        });
    }
    Ok(())
}

/// The host of `host[:port]`; `None` if it is anything else.
pub(super) fn host_of(address: &str) -> Option<Host> {
    let url = Url::parse(&format!("http://{address}")).ok()?;
    let bare = url.path() == "/"
        && !address.contains(['/', '?', '#', '@', '\\'])
        && !address.contains(char::is_whitespace);
    if bare { url.host().map(|host| host.to_owned()) } else { None }
}

/// A Unix socket, or TCP to loopback. What is no address at all is left to the connection to refuse.
fn is_local_engine(address: &str) -> bool {
    match Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "tcp" | "http" | "https" | "ssh") => {
            // Schemes that the URL standard does not know keep their hosts as text.
            url.host_str().and_then(host_of).is_none_or(|host| is_loopback(&host))
        }
        _ => true,
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => IpAddr::V6(*ip).to_canonical().is_loopback() || ip.is_unspecified(),
    }
}

pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

fn is_apps_url(text: &str) -> bool {
    let url = Url::parse(&text.replacen("{app}", "app", 1));
    text.contains("{app}") && url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Parts of lower-case letters and digits with single separators between, as registries accept them everywhere.
fn is_repository(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(alphanumeric)
            && bytes.last().copied().is_some_and(alphanumeric)
            && bytes.iter().all(|c| alphanumeric(*c) || b"._-".contains(c))
            && !part.contains("..")
    };
    text.len() <= 150 && text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::serve;

    fn refusal(flags: &[&str]) -> String {
        serve(flags).check().expect_err("was accepted").to_string()
    }

    #[test]
    fn half_of_a_pair_is_refused_with_the_name_of_the_other_half() {
        assert_eq!(
            refusal(&["--tls-cert=/c"]),
            "SLIPWAY_TLS_CERT is set without SLIPWAY_TLS_KEY, and TLS needs both: set SLIPWAY_TLS_KEY to a PEM file too"
        );
        assert!(
            refusal(&["--registry=r.example.com", "--registry-username=u"])
                .contains("needs a name and a password")
        );
        assert!(
            refusal(&["--registry-pull=r.example.com"]).starts_with("SLIPWAY_REGISTRY_PULL is set without")
        );
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in ["https://r.example.com", "r.example.com/x", "u@r.example.com", "", "a b"] {
            assert!(
                refusal(&[&format!("--registry={bad}")]).contains("SLIPWAY_REGISTRY is not the address"),
                "{bad}"
            );
        }
        for good in ["r.example.com", "r.example.com:5000", "[::1]:5000", "10.0.0.1"] {
            serve(&[&format!("--registry={good}")]).check().unwrap();
        }
        for bad in ["ftp://x", "https://x/y", "https://x/?a"] {
            assert!(refusal(&[&format!("--public-url={bad}")]).contains("SLIPWAY_PUBLIC_URL"), "{bad}");
        }
        assert!(refusal(&["--apps-domain=*.example.com"]).contains("SLIPWAY_APPS_DOMAIN"));
        assert!(refusal(&["--apps-url=https://example.com"]).contains("https://{app}.example.com"));
        for bad in ["", "Upper", "a//b", "a/../b", "/a", "-a"] {
            assert!(
                refusal(&[&format!("--registry-prefix={bad}")]).contains("SLIPWAY_REGISTRY_PREFIX"),
                "{bad}"
            );
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        assert!(refusal(&["--kubeconfig=/k", "--kube-in-cluster"]).contains("two clusters"));
        assert!(
            refusal(&["--ssh-listen=127.0.0.1:7080"])
                .starts_with("SLIPWAY_HTTP_LISTEN and SLIPWAY_SSH_LISTEN are both 127.0.0.1:7080")
        );
        assert!(refusal(&["--build-deadline=1m"]).contains("SLIPWAY_BUILD_IDLE_DEADLINE"));
    }

    #[test]
    fn a_list_of_base_images_that_cannot_be_used_is_refused_before_the_first_build() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bases");
        let flag = format!("--base-images={}", path.display());
        let missing = refusal(&[&flag]);
        let named = format!("SLIPWAY_BASE_IMAGES names {}, which", path.display());
        assert!(missing.starts_with(&format!("{named} could not be read: ")), "{missing}");
        std::fs::write(&path, "# ours\npython:3.13-slim\n").unwrap();
        let malformed = refusal(&[&flag]);
        assert!(
            malformed.starts_with(&format!("{named} is no list of base images: line 2: ")),
            "{malformed}"
        );
        std::fs::write(&path, "python:3.13-slim local/python:3.13-slim\n").unwrap();
        serve(&[&flag]).check().unwrap();
    }

    #[test]
    fn a_private_registry_is_refused_for_an_engine_elsewhere() {
        let flag = "--docker-host=tcp://10.0.0.5:2375";
        assert!(refusal(&[flag]).starts_with("the Docker engine at tcp://10.0.0.5:2375 (DOCKER_HOST)"));
        serve(&[flag, "--registry=r.example.com"]).check().unwrap();
        for here in
            ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2375", "tcp://localhost:1"]
        {
            serve(&[&format!("--docker-host={here}")]).check().unwrap();
        }
    }

    #[test]
    fn an_open_http_door_without_tls_is_warned_of() {
        let warnings = |flags: &[&str]| serve(flags).check().unwrap();
        assert!(
            warnings(&["--http-listen=0.0.0.0:7080"])[0].contains("git over HTTP and tokens will be refused")
        );
        assert!(warnings(&["--http-listen=0.0.0.0:7080", "--trusted-proxies=10.0.0.0/8"]).is_empty());
        assert!(warnings(&["--http-listen=0.0.0.0:7080", "--tls-cert=/c", "--tls-key=/k"]).is_empty());
        assert!(warnings(&["--target=docker", "--kubeconfig=/k"])[0].contains("keeps it unused"));
    }

    #[test]
    fn a_loopback_registry_is_refused_for_a_cluster_elsewhere() {
        let check =
            |registry: &str, apiserver: &str| check_pull_address(registry, &apiserver.parse().unwrap());
        for loopback in ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "0.0.0.0:5000", "r.localhost"] {
            let error = check(loopback, "https://k8s.example.com:6443").unwrap_err().to_string();
            assert!(error.contains("SLIPWAY_REGISTRY_PULL") && error.contains(loopback), "{error}");
            for here in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
                check(loopback, here).unwrap();
            }
        }
        check("registry.example.com", "https://k8s.example.com:6443").unwrap();
        check("10.0.0.5:5000", "https://10.0.0.6:6443").unwrap();
    }
}
