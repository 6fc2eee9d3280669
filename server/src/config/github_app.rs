//! The platform as a GitHub App.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{ConfigError, value};
use crate::domain::github_app::SigningKey;

/// The GitHub App that this platform is, if it is one.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "GitHub App")]
pub(crate) struct GithubAppSettings {
    /// Id of the GitHub App that this platform is; its client id will do too. Without one, apps are connected by deploy
    /// keys and tokens of their own.
    #[arg(id = "github-app-id", long = "github-app-id", env = "SLIPWAY_GITHUB_APP_ID", value_name = "ID")]
    pub(crate) id: Option<String>,

    /// File with a private key of that GitHub App (PEM). It is read when it is needed, so another one may take its place
    /// at any time.
    #[arg(
        id = "github-app-key",
        long = "github-app-key",
        env = "SLIPWAY_GITHUB_APP_KEY",
        value_name = "FILE"
    )]
    pub(crate) key: Option<PathBuf>,

    /// Where that GitHub App is: github.com, or a GitHub Enterprise Server. Nothing that it signs is sent elsewhere.
    #[arg(id = "github-app-host", long = "github-app-host", env = "SLIPWAY_GITHUB_APP_HOST", default_value = "github.com", value_parser = value::place, value_name = "HOST[:PORT]")]
    pub(crate) host: Place,

    /// Who may connect an app by it: admins of the platform, or the app's owners too. It opens every repository on which
    /// it is installed to whoever may connect by it.
    #[arg(
        id = "github-app-for",
        long = "github-app-for",
        env = "SLIPWAY_GITHUB_APP_FOR",
        default_value = "admins",
        value_name = "WHO"
    )]
    pub(crate) open_to: OpenTo,
}

/// A host and its port of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Whom the GitHub App serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OpenTo {
    Admins,
    Owners,
}

impl GithubAppSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let path = match (&self.id, &self.key) {
            (None, None) => return Ok(()),
            (Some(_), None) => return Err(ConfigError::HalfGithubApp { given: "ID", missing: "KEY" }),
            (None, Some(_)) => return Err(ConfigError::HalfGithubApp { given: "KEY", missing: "ID" }),
            (Some(id), Some(_)) if !is_id(id) => return Err(ConfigError::GithubAppId(id.clone())),
            (Some(_), Some(path)) => path,
        };
        let unreadable = |source| ConfigError::GithubAppKey { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(unreadable)?;
        SigningKey::of_pem(&pem)
            .map(drop)
            .map_err(|source| ConfigError::NoGithubAppKey { path: path.clone(), source })
    }
}

/// A number, or a client id such as `Iv23li…`.
fn is_id(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.')
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{serve, try_serve};
    use crate::domain::github_app::tests::openssl;

    fn refusal(flags: &[&str]) -> String {
        serve(flags).check().expect_err("was accepted").to_string()
    }

    #[test]
    fn half_of_a_github_app_and_a_key_that_is_none_are_refused_at_the_start() {
        assert!(refusal(&["--github-app-id=1"]).contains("set SLIPWAY_GITHUB_APP_KEY too"));
        assert!(refusal(&["--github-app-key=/k"]).contains("set SLIPWAY_GITHUB_APP_ID too"));
        let missing = refusal(&["--github-app-id=1", "--github-app-key=/nowhere/app.pem"]);
        assert!(missing.contains("SLIPWAY_GITHUB_APP_KEY names /nowhere/app.pem, which could not be read"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        let flag = format!("--github-app-key={}", path.display());
        std::fs::write(&path, "hush").unwrap();
        let none = refusal(&["--github-app-id=1", &flag]);
        assert!(none.contains("no private key in PEM") && !none.contains("hush"), "{none}");
        std::fs::write(&path, openssl(&["genrsa", "2048"])).unwrap();
        assert!(refusal(&["--github-app-id=a b", &flag]).contains("`a b` in SLIPWAY_GITHUB_APP_ID"));
        for id in ["123456", "Iv23liAbCdEfGhIjKlMn", "Iv1.0123456789abcdef"] {
            serve(&[&format!("--github-app-id={id}"), &flag]).check().unwrap();
        }
    }

    #[test]
    fn where_the_app_is_is_a_host() {
        let host = |flags: &[&str]| {
            let place = serve(flags).hooks.github_app.host;
            (place.host, place.port)
        };
        assert_eq!(host(&[]), ("github.com".to_owned(), 443));
        assert_eq!(host(&["--github-app-host=Git.Example.com:8443"]), ("git.example.com".to_owned(), 8443));
        for bad in ["https://github.com", "github.com/ada", "", "u@github.com", "github.com:x"] {
            assert!(try_serve(&[&format!("--github-app-host={bad}")]).is_err(), "{bad}");
        }
    }
}
