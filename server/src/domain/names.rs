//! Names that users choose, checked where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused; the text says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error(
        "`{0}` is not an app name: 3 to 30 characters, lower-case letters, digits and single dashes, starting with a letter and not ending in a dash"
    )]
    App(String),
    #[error("`{0}` is reserved by the platform: choose another app name")]
    Reserved(String),
    #[error(
        "`{0}` is not a process type: 1 to 30 lower-case letters, digits and dashes, starting with a letter"
    )]
    ProcessType(String),
    #[error(
        "`{0}` is not a config var name: letters, digits and underscores, not starting with a digit, at most 128 characters"
    )]
    ConfigKey(String),
    #[error(
        "`{0}` is not a user name: 2 to 60 lower-case letters, digits and `.`, `_`, `-`, `@`, starting with a letter or digit"
    )]
    User(String),
    #[error(
        "`{0}` is not a team name: 2 to 30 lower-case letters, digits and dashes, starting with a letter and not ending in a dash"
    )]
    Team(String),
    #[error(
        "`{0}` is not the name of a pipeline: 2 to 30 lower-case letters, digits and dashes, starting with a letter and not ending in a dash"
    )]
    Pipeline(String),
}

/// Cuts text that a stranger sent before it is quoted back to them.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of an app: part of host names, image names and Kubernetes objects, hence strict.
    AppName,
    check_app_name
);
name!(
    /// A process type of a Procfile: `web`, `worker`, …
    ProcessType,
    |text| {
        if is_dns_label(text, 30) { Ok(()) } else { Err(NameError::ProcessType(quoted(text))) }
    }
);
name!(
    /// The name of a config var, as an environment variable allows it.
    ConfigKey,
    |text| {
        let mut chars = text.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if head && text.len() <= 128 && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(())
        } else {
            Err(NameError::ConfigKey(quoted(text)))
        }
    }
);

name!(
    /// The name of a person or a machine; an e-mail address will do.
    UserName,
    |text| {
        let mut bytes = text.bytes();
        let head = bytes.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let tail = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-@".contains(&c);
        if head && (2..=60).contains(&text.len()) && bytes.all(tail) {
            Ok(())
        } else {
            Err(NameError::User(quoted(text)))
        }
    }
);
name!(
    /// The name of a team.
    TeamName,
    |text| {
        if is_dns_label(text, 30) && text.len() > 1 { Ok(()) } else { Err(NameError::Team(quoted(text))) }
    }
);

name!(
    /// The name of a pipeline.
    PipelineName,
    |text| {
        if is_dns_label(text, 30) && text.len() > 1 { Ok(()) } else { Err(NameError::Pipeline(quoted(text))) }
    }
);

/// Names that would clash with paths of the HTTP API or hosts of the platform.
const RESERVED: &[&str] = &[
    "api", "apps", "account", "hooks", "healthz", "metrics", "oauth", "platform", "readyz", "slipway",
    "teams", "users", "www",
];

/// `^[a-z][a-z0-9-]{1,28}[a-z0-9]$` without double dashes (`--` separates our own suffixes).
fn check_app_name(text: &str) -> Result<(), NameError> {
    if !is_dns_label(text, 30) || text.len() < 3 || text.contains("--") {
        return Err(NameError::App(quoted(text)));
    }
    if RESERVED.contains(&text) { Err(NameError::Reserved(quoted(text))) } else { Ok(()) }
}

fn is_dns_label(text: &str, longest: usize) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|c| *c != b'-')
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
}

const ADJECTIVES: [&str; 16] = [
    "brisk", "bright", "calm", "clear", "deep", "early", "fair", "gentle", "keen", "lively", "quiet",
    "silver", "steady", "swift", "warm", "wide",
];
const NOUNS: [&str; 16] = [
    "anchor", "bay", "beacon", "channel", "current", "harbour", "island", "keel", "lagoon", "mast", "pier",
    "reef", "sail", "shore", "tide", "wave",
];

impl AppName {
    /// A name for an app that was given none: `quiet-harbour-4821`.
    pub(crate) fn random() -> Self {
        let pick = |words: &[&'static str; 16]| words[rand::random_range(0..16)];
        Self(format!("{}-{}-{}", pick(&ADJECTIVES), pick(&NOUNS), rand::random_range(1000..10_000)))
    }
}

impl TeamName {
    /// The team that is made with the first admin; new people and apps land there unless told otherwise.
    pub(crate) fn default_team() -> Self {
        Self("default".to_owned())
    }
}

impl ProcessType {
    /// The type that gets requests.
    pub(crate) fn web() -> Self {
        Self("web".to_owned())
    }

    pub(crate) fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// `release` runs once before a release; it is no long-running process.
    pub(crate) fn is_release_phase(&self) -> bool {
        self.0 == "release"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_that_could_reach_a_shell_a_path_or_an_option_are_refused() {
        for bad in [
            "", "a", "ab", "../etc", "-rf", "a'b", "a b", "Blog", "blog-", "a--b", "1app", "a/b", "blog\n",
            "ä-app", "api",
        ] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?} was accepted");
        }
        for good in ["blog", "my-app-2", "abc", &"a".repeat(30)] {
            assert!(good.parse::<AppName>().is_ok(), "{good:?} was refused");
        }
        assert!("a".repeat(31).parse::<AppName>().is_err());
    }

    #[test]
    fn random_app_names_are_app_names() {
        for _ in 0..100 {
            let name = AppName::random();
            assert!(name.as_str().parse::<AppName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_refused_name_is_quoted_without_its_control_characters() {
        let error = "x\u{1b}[31m".parse::<AppName>().expect_err("escape accepted");
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn config_keys_are_environment_variable_names() {
        assert!("DATABASE_URL".parse::<ConfigKey>().is_ok());
        for bad in ["1A", "A-B", "A=B", ""] {
            assert!(bad.parse::<ConfigKey>().is_err(), "{bad:?} was accepted");
        }
    }
}
