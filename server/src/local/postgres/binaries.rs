//! Finding the system's PostgreSQL: distributions keep each major version in a folder of its own, off the PATH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::PostgresError;

/// How long a program may take to tell its version.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// One installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Empty for those on the PATH.
    folder: PathBuf,
    /// The major version, as PG_VERSION has it.
    version: String,
}

impl Binaries {
    /// The newest that is installed; for a cluster that exists, the version that made it, since no other can read it.
    pub(super) async fn find(cluster: &Path) -> Result<Self, PostgresError> {
        let mut found = Vec::new();
        for folder in folders().await {
            if let Some(version) = version_of(&folder.join("postgres")).await {
                found.push(Self { folder, version });
            }
        }
        let made_by = fs::read_to_string(cluster.join("PG_VERSION")).ok().map(|text| text.trim().to_owned());
        choose(found, made_by, cluster)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn choose(found: Vec<Binaries>, made_by: Option<String>, cluster: &Path) -> Result<Binaries, PostgresError> {
    // Of equals the last is taken: folders by name come before the PATH, which may be another one tomorrow.
    let newest = found.iter().rev().max_by_key(|one| number(&one.version)).ok_or(PostgresError::Missing)?;
    let Some(made_by) = made_by else { return Ok(newest.clone()) };
    found.iter().find(|one| one.version == made_by).cloned().ok_or_else(|| PostgresError::OtherVersion {
        folder: cluster.to_owned(),
        made_by,
        installed: found.iter().map(|one| one.version.clone()).collect(),
    })
}

/// Where servers may be: Debian's folders, Fedora's, what `pg_config` says, the PATH.
async fn folders() -> Vec<PathBuf> {
    let mut folders = below(Path::new("/usr/lib/postgresql"), |_| true);
    folders.extend(below(Path::new("/usr"), |name| name.starts_with("pgsql-")));
    folders.extend(output_of(Command::new("pg_config").arg("--bindir")).await.map(PathBuf::from));
    folders.push(PathBuf::new());
    folders
}

fn below(parent: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

async fn version_of(postgres: &Path) -> Option<String> {
    major(&output_of(Command::new(postgres).arg("--version")).await?)
}

/// `15` from `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `17` from `… 17beta1`.
fn major(text: &str) -> Option<String> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() { None } else { Some(digits) }
}

fn number(version: &str) -> u32 {
    version.parse().unwrap_or(0)
}

async fn output_of(command: &mut Command) -> Option<String> {
    command.stdin(Stdio::null()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWER_DEADLINE, command.output()).await.ok()?.ok()?;
    if output.status.success() {
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(versions: &[&str]) -> Vec<Binaries> {
        let one =
            |version: &&str| Binaries { folder: PathBuf::from(version), version: (*version).to_owned() };
        versions.iter().map(one).collect()
    }

    #[test]
    fn a_new_cluster_gets_the_newest_and_an_old_one_the_version_that_made_it() {
        let choose = |made_by: Option<&str>| {
            choose(installed(&["9", "17", "15"]), made_by.map(str::to_owned), Path::new("/d"))
                .map(|one| one.version)
        };
        assert_eq!(choose(None).unwrap(), "17");
        assert_eq!(choose(Some("15")).unwrap(), "15");
        let error = choose(Some("16")).unwrap_err().to_string();
        assert!(error.contains("made by PostgreSQL 16, and only 9, 17, 15 is installed"), "{error}");
    }

    #[test]
    fn without_any_the_sentence_names_the_package() {
        let error = choose(Vec::new(), None, Path::new("/d")).unwrap_err().to_string();
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)").as_deref(), Some("15"));
        assert_eq!(major("postgres (PostgreSQL) 17beta1").as_deref(), Some("17"));
        assert_eq!(major("postgres version unknown"), None);
    }
}
