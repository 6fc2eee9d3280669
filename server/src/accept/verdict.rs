//! How a build and its release ended, as one word for the pusher.

use sqlx::PgConnection;

use crate::db::{builds, releases};
use crate::domain::build::BuildStatus;
use crate::domain::ids::BuildId;
use crate::domain::release::ReleaseStatus;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The release is live: the branch has moved.
    Live,
    /// The release is recorded; its rollout goes on.
    Pending,
    /// The branch stays where it was, so that the same commit can be pushed again.
    Refused(String),
}

pub(super) async fn of(conn: &mut PgConnection, id: BuildId) -> sqlx::Result<Verdict> {
    let Some(build) = builds::by_id(conn, id).await? else {
        return Ok(Verdict::Refused("the app was destroyed".to_owned()));
    };
    let release = releases::of_build(conn, id).await?;
    Ok(match (release, build.status) {
        (Some(release), _) => match release.status {
            ReleaseStatus::Succeeded => Verdict::Live,
            ReleaseStatus::Pending => Verdict::Pending,
            ReleaseStatus::Failed => Verdict::Refused(first_line(release.reason, "the release failed")),
        },
        (None, BuildStatus::Failed) => {
            Verdict::Refused(format!("build failed: {}", first_line(build.reason, "see its output")))
        }
        (None, status) => Verdict::Refused(first_line(build.reason, status.as_str())),
    })
}

fn first_line(text: Option<String>, otherwise: &str) -> String {
    text.as_deref().and_then(|text| text.lines().next()).unwrap_or(otherwise).to_owned()
}
