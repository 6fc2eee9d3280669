//! Review apps: an app for each pull request.

use regex::Regex;

use super::names::{AppName, ConfigKey, NameError};

/// Letters that an app's name may have, by the rule of [`AppName`].
const LONGEST_NAME: usize = 30;
/// Patterns of one parent at most, and letters of one.
const MOST_PATTERNS: usize = 100;
const LONGEST_PATTERN: usize = 128;

/// What keeps a pull request's newest commit out of a review app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Lack {
    /// It comes from a fork, and nobody has approved this commit.
    Approval,
    /// There are as many review apps as the parent may have.
    Room,
    /// Nobody has pushed to it for long.
    Age,
    /// It changes nothing in the watched paths.
    Unwatched,
    /// Its message asks that nothing be deployed.
    Skipped,
}

impl Lack {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Room => "room",
            Self::Age => "age",
            Self::Unwatched => "unwatched",
            Self::Skipped => "skipped",
        }
    }
}

/// `blog-pr-7`; the parent's name is cut if the whole would be too long.
pub(crate) fn name(parent: &AppName, number: i64) -> Result<AppName, NameError> {
    let tail = format!("-pr-{number}");
    let room = LONGEST_NAME.saturating_sub(tail.len()).min(parent.as_str().len());
    let head = parent.as_str().get(..room).unwrap_or_default().trim_end_matches('-');
    format!("{head}{tail}").parse()
}

/// Which config vars of its parent a review app is made with: names, in which `*` stands for any letters.
#[derive(Debug)]
pub(crate) struct Inherits(Vec<Regex>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InheritsError {
    #[error("an app has {MOST_PATTERNS} such patterns at most")]
    TooMany,
    #[error("`{0}` is not the name of a config var, nor a pattern such as STRIPE_*")]
    Pattern(String),
}

impl Inherits {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, InheritsError> {
        if patterns.len() > MOST_PATTERNS {
            return Err(InheritsError::TooMany);
        }
        patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn takes(&self, name: &ConfigKey) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name.as_str()))
    }
}

fn compile(pattern: &str) -> Result<Regex, InheritsError> {
    let refused = || InheritsError::Pattern(pattern.chars().filter(|c| !c.is_control()).take(60).collect());
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '*');
    if pattern.is_empty() || pattern.len() > LONGEST_PATTERN || !pattern.chars().all(good) {
        return Err(refused());
    }
    Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_app_is_called_after_its_parent_as_far_as_that_fits() {
        let named = |parent: &str, number| {
            name(&parent.parse().expect("a name"), number).expect("a name").to_string()
        };
        assert_eq!(named("blog", 7), "blog-pr-7");
        assert_eq!(named(&"b".repeat(30), 12345), format!("{}-pr-12345", "b".repeat(21)));
        assert_eq!(named("a-rather-long-nam-e-of-an-app", 1234567), "a-rather-long-nam-e-pr-1234567");
        assert!(name(&"blog".parse().expect("a name"), i64::MAX).is_ok());
    }

    #[test]
    fn config_vars_are_named_or_matched_as_a_whole() {
        let takes = |patterns: &[&str], key: &str| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            Inherits::new(&patterns).expect("patterns").takes(&key.parse().expect("a key"))
        };
        assert!(takes(&["STRIPE_*", "PLAIN"], "STRIPE_KEY") && takes(&["STRIPE_*", "PLAIN"], "PLAIN"));
        assert!(!takes(&["STRIPE_*", "PLAIN"], "PLAIN_2") && !takes(&["PLAIN"], "NOT_PLAIN"));
        assert!(!takes(&[], "ANY") && takes(&["*"], "ANY"));
        for bad in ["", "A-B", "A.*", "A B", "É"] {
            assert!(Inherits::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert_eq!(Inherits::new(&vec!["X".to_owned(); 101]).expect_err("too many"), InheritsError::TooMany);
    }
}
