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
    // A build is refused before its first stage where the branch has moved meanwhile: nothing was built.
    let began = !builds::stages_of(conn, id).await?.is_empty();
    Ok(match (release, build.status) {
        (Some(release), _) => match release.status {
            ReleaseStatus::Succeeded => Verdict::Live,
            ReleaseStatus::Pending => Verdict::Pending,
            ReleaseStatus::Failed => Verdict::Refused(first_line(release.reason, "the release failed")),
        },
        (None, BuildStatus::Failed) if began => {
            Verdict::Refused(format!("build failed: {}", first_line(build.reason, "see its output")))
        }
        (None, status) => Verdict::Refused(first_line(build.reason, status.as_str())),
    })
}

fn first_line(text: Option<String>, otherwise: &str) -> String {
    text.as_deref().and_then(|text| text.lines().next()).unwrap_or(otherwise).to_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use super::*;
    use crate::domain::access::{Principal, Role};
    use crate::web::testing::TestApi;

    async fn insert_failed(api: &TestApi, who: &Principal, reason: &str) -> BuildId {
        let id = BuildId::new();
        sqlx::query(
            "INSERT INTO builds (id, app_id, number, status, trigger, commit, tree, subject, actor_id, actor_name, reason,
                 finished_at, log_closed_at)
             SELECT $1, id, 1, 'failed', 'push', repeat('a', 40), 'x', 'Say hello', $2, $3, $4, now(), now() FROM apps",
        )
        .bind(id.0)
        .bind(who.user.0)
        .bind(&who.name)
        .bind(reason)
        .execute(&api.platform.pool)
        .await
        .expect("inserts");
        id
    }

    #[tokio::test]
    async fn what_was_refused_before_its_first_stage_is_no_failed_build() {
        let Some(api) = TestApi::new().await else { return };
        let ada = api.member("ada", Role::Owner).await;
        api.call(&ada, Method::POST, "/apps", json!({ "name": "blog" })).await;
        let id = insert_failed(&api, &ada, "the branch has moved\nand more").await;
        let mut conn = api.platform.pool.acquire().await.expect("connects");
        let refused = Verdict::Refused("the branch has moved".to_owned());
        assert_eq!(of(&mut conn, id).await.expect("answers"), refused);
        builds::stage_began(&mut conn, id, "snapshot").await.expect("inserts");
        let failed = Verdict::Refused("build failed: the branch has moved".to_owned());
        assert_eq!(of(&mut conn, id).await.expect("answers"), failed);
    }
}
