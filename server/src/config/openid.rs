//! Signing in at the web page.

use std::path::PathBuf;

use secrecy::SecretString;
use url::{Host, Url};

use super::{ConfigError, value};

/// Who comes in at the web page, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sign-in")]
pub(crate) struct OpenIdSettings {
    /// OpenID Connect provider by which people may sign in, exactly as it calls itself (https://id.example.com).
    #[arg(long = "oidc-issuer", env = "SLIPWAY_OIDC_ISSUER", value_name = "URL")]
    pub(crate) issuer: Option<String>,

    /// What that provider calls this server.
    #[arg(long = "oidc-client-id", env = "SLIPWAY_OIDC_CLIENT_ID", value_name = "ID")]
    pub(crate) client_id: Option<String>,

    /// Secret by which the provider knows this server. Without one this is a public client.
    #[arg(long = "oidc-client-secret", env = "SLIPWAY_OIDC_CLIENT_SECRET", hide_env_values = true, value_parser = value::secret, value_name = "SECRET")]
    client_secret: Option<SecretString>,

    /// File with that secret, in place of it.
    #[arg(long = "oidc-client-secret-file", env = "SLIPWAY_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    client_secret_file: Option<PathBuf>,

    /// What the button of the sign-in page calls the provider: "Sign in with …".
    #[arg(
        long = "oidc-label",
        env = "SLIPWAY_OIDC_LABEL",
        default_value = "OpenID Connect",
        value_name = "TEXT"
    )]
    pub(crate) label: String,

    /// Domains of e-mail addresses, comma-separated, whose people get an account when they first sign in by the
    /// provider, as viewers in the team `default`. Without any, only people who have an account come in.
    #[arg(
        long = "oidc-domains",
        env = "SLIPWAY_OIDC_DOMAINS",
        value_delimiter = ',',
        value_name = "DOMAINS"
    )]
    pub(crate) domains: Vec<String>,

    /// Certificates (PEM) that are trusted for the provider besides the system's.
    #[arg(id = "oidc-ca", long = "oidc-ca", env = "SLIPWAY_OIDC_CA", value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,

    /// Whether people may sign in at the page with a password, or a token in its place. `false` takes a provider.
    #[arg(
        long = "password-sign-in",
        env = "SLIPWAY_PASSWORD_SIGN_IN",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub(crate) passwords: bool,
}

impl OpenIdSettings {
    pub(crate) fn client_secret(&self) -> Result<Option<SecretString>, ConfigError> {
        value::secret_or_file(
            "SLIPWAY_OIDC_CLIENT_SECRET",
            self.client_secret.as_ref(),
            self.client_secret_file.as_deref(),
        )
    }

    /// Whether people with this e-mail address get an account.
    pub(crate) fn welcomes(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|one| one.eq_ignore_ascii_case(domain)))
    }

    /// Whether what is sent there cannot be read on the way: over TLS, or on this machine.
    pub(crate) fn is_safe(url: &Url) -> bool {
        let here = || match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && here()))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let secret = self.client_secret()?;
        let Some(issuer) = &self.issuer else {
            let alone = [
                ("SLIPWAY_OIDC_CLIENT_ID", self.client_id.is_some()),
                ("SLIPWAY_OIDC_CLIENT_SECRET", secret.is_some()),
                ("SLIPWAY_OIDC_DOMAINS", !self.domains.is_empty()),
                ("SLIPWAY_OIDC_CA", self.authorities.is_some()),
            ];
            if let Some((setting, _)) = alone.into_iter().find(|(_, set)| *set) {
                return Err(ConfigError::NoIssuer { setting });
            }
            return if self.passwords { Ok(()) } else { Err(ConfigError::NoSignIn) };
        };
        let url = Url::parse(issuer).ok().filter(Self::is_safe);
        if url.is_none_or(|url| url.query().is_some() || url.fragment().is_some()) {
            return Err(ConfigError::Issuer(issuer.clone()));
        }
        if self.client_id.as_deref().is_none_or(str::is_empty) {
            return Err(ConfigError::NoClientId);
        }
        if let Some(domain) = self.domains.iter().find(|domain| !super::check::is_domain(domain)) {
            return Err(ConfigError::EmailDomain(domain.clone()));
        }
        if let Some(path) = &self.authorities {
            let unreadable = |source| ConfigError::OpenIdAuthorities { path: path.clone(), source };
            std::fs::read(path).map_err(unreadable)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::serve;

    const PROVIDER: [&str; 2] = ["--oidc-issuer=https://id.example.com", "--oidc-client-id=slipway"];

    fn refusal(flags: &[&str]) -> String {
        serve(flags).check().expect_err("was accepted").to_string()
    }

    #[test]
    fn half_of_a_provider_is_refused() {
        serve(&PROVIDER).check().unwrap();
        assert!(refusal(&PROVIDER[..1]).contains("set SLIPWAY_OIDC_CLIENT_ID"));
        for flag in ["--oidc-client-id=x", "--oidc-client-secret=x", "--oidc-domains=example.com"] {
            assert!(refusal(&[flag]).contains("without SLIPWAY_OIDC_ISSUER"), "{flag}");
        }
        for issuer in
            ["id.example.com", "http://id.example.com", "https://id.example.com/?a=b", "https://", ""]
        {
            let refused = refusal(&[&format!("--oidc-issuer={issuer}"), PROVIDER[1]]);
            assert!(refused.contains("SLIPWAY_OIDC_ISSUER"), "{issuer}: {refused}");
        }
        for issuer in ["http://127.0.0.1:3000", "http://localhost:3000/realms/a", "https://id.example.com/"] {
            serve(&[&format!("--oidc-issuer={issuer}"), PROVIDER[1]]).check().unwrap();
        }
        let domain = refusal(&[PROVIDER[0], PROVIDER[1], "--oidc-domains=example.com,@x"]);
        assert!(domain.contains("`@x` in SLIPWAY_OIDC_DOMAINS"), "{domain}");
        let missing = refusal(&[PROVIDER[0], PROVIDER[1], "--oidc-ca=/nowhere/ca.pem"]);
        assert!(missing.contains("SLIPWAY_OIDC_CA names /nowhere/ca.pem"), "{missing}");
    }

    #[test]
    fn without_passwords_there_has_to_be_a_provider() {
        assert!(refusal(&["--password-sign-in=false"]).contains("nobody could sign in"));
        serve(&[PROVIDER[0], PROVIDER[1], "--password-sign-in=false"]).check().unwrap();
    }

    #[test]
    fn only_people_of_the_very_domain_are_welcome() {
        let settings = serve(&[PROVIDER[0], PROVIDER[1], "--oidc-domains=example.com"]).openid;
        assert!(settings.welcomes("ada@example.com"));
        for other in
            ["ada@evil-example.com", "ada@sub.example.com", "ada@example.com@evil.com", "example.com"]
        {
            assert!(!settings.welcomes(other), "{other}");
        }
        assert!(!serve(&PROVIDER).openid.welcomes("ada@example.com"));
    }
}
