//! What the buildpack of a language would write, for who wants to own it.

use super::client::path;
use super::failure::Failure;
use super::here;
use super::run::Session;
use super::terminal::Terminal;
use crate::domain::names::AppName;
use crate::git::Repository;
use crate::git::snapshot::SnapshotLimits;
use crate::pipeline::detect::{self, Terms};
use crate::pipeline::source::SourceError;
use crate::web::api::shapes::WrittenDockerfile;

/// For an app of the platform: of the commit that was pushed last.
pub(super) async fn of_app(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let address = format!("{}/buildpacks/dockerfile", path(&["apps", app.as_str()]));
    let written: WrittenDockerfile = session.client.get(&address).await?;
    if session.options.json {
        return session.terminal.json(&written).await;
    }
    session.terminal.bytes(owned(&written.dockerfile).as_bytes()).await
}

/// For the checkout that the command line runs in: of its HEAD, with the official base images. Asks no server.
pub(super) async fn of_checkout(terminal: &mut Terminal) -> u8 {
    let written = match written_here().await {
        Ok(text) => terminal.bytes(owned(&text).as_bytes()).await,
        Err(failure) => Err(failure),
    };
    match written {
        Ok(()) => 0,
        Err(failure) => {
            terminal.complain(&failure.to_string()).await;
            failure.status()
        }
    }
}

async fn written_here() -> Result<String, Failure> {
    let Some(head) = here::head().await else {
        return Err(Failure::refused(
            "this is no git checkout with a commit: run this in one, or name an app of the platform with --app <app>",
        ));
    };
    let repository =
        Repository::open(&head.git_dir).await.map_err(|error| Failure::refused(error.to_string()))?;
    // The caches of a Dockerfile that somebody owns carry the app's name, if it has one here.
    let scope =
        here::app_of_checkout().await.map_or_else(|| "app".to_owned(), |app: AppName| app.to_string());
    let (limits, terms) = (SnapshotLimits::default(), Terms::unknown(scope));
    let detected = detect::of_commit(&repository, head.commit, head.folder.as_deref(), limits, terms).await;
    detected.map_err(whole)?.way.written().map(str::to_owned).map_err(Failure::Refused)
}

/// There is no platform here whose log would have the cause.
fn whole(error: SourceError) -> Failure {
    Failure::Refused(match error {
        SourceError::Pushers(said) => said,
        SourceError::Ours(cause) => format!("{cause:#}"),
    })
}

fn owned(dockerfile: &str) -> String {
    format!(
        "# To own this: save it as Dockerfile and commit it (git add Dockerfile && git commit).\n\
         # From then on pushes build with it, and with nothing of the buildpack.\n\
         {dockerfile}"
    )
}
