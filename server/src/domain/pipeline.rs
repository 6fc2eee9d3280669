//! The stages of a pipeline, in Heroku's words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where in its pipeline an app stands; later ones are nearer to production.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Stage {
    Review,
    Development,
    Staging,
    Production,
}

/// A word that is no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stage is `review`, `development`, `staging` or `production`")]
pub(crate) struct NoStage;

impl Stage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Where a promotion goes that names no app. Apps of pull requests come and go: theirs are merged, not promoted.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::Development => Some(Self::Staging),
            Self::Staging => Some(Self::Production),
            Self::Review | Self::Production => None,
        }
    }
}

impl FromStr for Stage {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        [Self::Review, Self::Development, Self::Staging, Self::Production]
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or(NoStage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_from_development_to_staging_to_production_and_no_further() {
        assert_eq!("development".parse::<Stage>().map(Stage::next), Ok(Some(Stage::Staging)));
        assert_eq!(Stage::Staging.next(), Some(Stage::Production));
        assert_eq!((Stage::Production.next(), Stage::Review.next()), (None, None));
        assert_eq!("prod".parse::<Stage>(), Err(NoStage));
    }
}
