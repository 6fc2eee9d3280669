//! What app.json says of how an app is run. Heroku's and Dokku's keys; what they have besides is passed over, for the
//! file is theirs too. How the app is built, the crate `buildpacks` reads from the same file.

use serde::Deserialize;

use super::cron::{self, BadEntry, CronEntry};

/// Why app.json was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppJsonError {
    #[error("app.json cannot be used: {0}. Correct it, or take the key out")]
    Unreadable(#[from] serde_json::Error),
    #[error("app.json cannot be used: {0}")]
    Cron(#[from] BadEntry),
}

/// The keys that are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AppJson {
    /// `scripts.postdeploy`: runs once, after the first release.
    pub(crate) postdeploy: Option<String>,
    /// What a clock starts.
    pub(crate) cron: Vec<CronEntry>,
}

/// The file as it is written.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Written {
    scripts: Option<Scripts>,
    cron: Option<Vec<cron::Written>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Scripts {
    postdeploy: Option<Script>,
}

/// A command, or an object with it and a size.
#[derive(Deserialize)]
#[serde(untagged)]
enum Script {
    Command(String),
    Object { command: String },
}

impl AppJson {
    /// Reads the text of the file.
    pub(crate) fn parse(text: &str) -> Result<Self, AppJsonError> {
        let written: Written = serde_json::from_str(text.trim_start_matches('\u{feff}'))?;
        let postdeploy = written.scripts.unwrap_or_default().postdeploy.map(|script| match script {
            Script::Command(command) | Script::Object { command } => command.trim().to_owned(),
        });
        let cron = cron::entries(written.cron.unwrap_or_default())?;
        Ok(Self { postdeploy: postdeploy.filter(|command| !command.is_empty()), cron })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postdeploy(text: &str) -> Option<String> {
        AppJson::parse(text).expect("parses").postdeploy
    }

    #[test]
    fn a_script_is_a_command_or_an_object_and_foreign_keys_are_passed_over() {
        assert_eq!(postdeploy(r#"{ "name": "blog", "env": { "A": {} } }"#), None);
        assert_eq!(postdeploy(r#"{ "scripts": { "postdeploy": "./seed" } }"#).as_deref(), Some("./seed"));
        let object = r#"{ "scripts": { "postdeploy": { "command": "./seed", "size": "s" }, "dokku": {} } }"#;
        assert_eq!(postdeploy(object).as_deref(), Some("./seed"));
        assert_eq!(postdeploy(r#"{ "scripts": { "postdeploy": " " } }"#), None);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let said = AppJson::parse(r#"{ "scripts": 7 }"#).expect_err("is refused").to_string();
        assert!(said.starts_with("app.json cannot be used: "), "{said}");
        let cron = r#"{ "cron": [{ "command": "./tick", "schedule": "often" }] }"#;
        let said = AppJson::parse(cron).expect_err("is refused").to_string();
        assert!(
            said.starts_with("app.json cannot be used: entry 1 of `cron` (./tick): the schedule"),
            "{said}"
        );
    }
}
