//! What the command line finds where it runs: the checkout's app.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::domain::names::AppName;
use crate::git::Oid;

/// What the checkout has committed last.
pub(super) struct Head {
    pub(super) git_dir: PathBuf,
    pub(super) commit: Oid,
    /// The folder of the tree that the command line runs in; `None` in its root.
    pub(super) folder: Option<String>,
}

/// The git remote that leads to the platform.
pub(super) const REMOTE: &str = "platform";
/// How long git may take to read or write a setting.
const GIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The app of the checkout's remote `platform`; `None` outside of one.
pub(super) async fn app_of_checkout() -> Option<AppName> {
    let url = git(&["remote", "get-url", REMOTE]).await?;
    let last = url.trim().trim_end_matches('/').rsplit(['/', ':']).next()?;
    last.trim_end_matches(".git").parse().ok()
}

/// The checkout's HEAD; `None` outside of one, and before its first commit.
pub(super) async fn head() -> Option<Head> {
    let git_dir = git(&["rev-parse", "--path-format=absolute", "--git-common-dir"]).await?;
    let commit = git(&["rev-parse", "--verify", "HEAD^{commit}"]).await?;
    let folder = git(&["rev-parse", "--show-prefix"]).await?;
    let folder = folder.trim_end_matches(['\n', '/']);
    Some(Head {
        git_dir: PathBuf::from(git_dir.trim_end_matches('\n')),
        commit: commit.trim().parse().ok()?,
        folder: (!folder.is_empty()).then(|| folder.to_owned()),
    })
}

/// Adds the remote `platform` to a checkout that has none; true if it was added.
pub(super) async fn add_remote(url: &str) -> bool {
    let inside = git(&["rev-parse", "--git-dir"]).await.is_some();
    let free = git(&["remote", "get-url", REMOTE]).await.is_none();
    inside && free && git(&["remote", "add", "--", REMOTE, url]).await.is_some()
}

/// What git says, if it says it with success.
async fn git(args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    let output = tokio::time::timeout(GIT_TIMEOUT, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
