//! Releases that no build of the app has made: of prebuilt images, and of what another app runs.

use super::*;
use crate::actions::images::Images;
use crate::domain::blueprint::Blueprint;
use crate::registry::{Registry, testing};

/// A platform with the tests' registry, and a prefix of this test's own in it.
struct Shop {
    rig: Rig,
    platform: Platform,
    prefix: String,
}

impl Shop {
    async fn new() -> Option<Self> {
        let registry = testing::registry()?;
        let rig = Rig::new().await?;
        let prefix = format!("slipway-test-{}", Uuid::new_v4().simple());
        let settings = crate::config::tests::serve(&[&format!("--registry-prefix={prefix}")]);
        let platform = Platform { registry, settings: Arc::new(settings), ..rig.platform().clone() };
        Some(Self { rig, platform, prefix })
    }

    fn registry(&self) -> &Registry {
        &self.platform.registry
    }

    /// The same registry by a name that is not the platform's.
    fn elsewhere(&self) -> String {
        self.registry().address().replace("127.0.0.1", "localhost")
    }

    async fn release(&self, images: &[(&str, &str)]) -> Result<Release, ActionError> {
        let images: Images =
            images.iter().map(|(name, image)| (name.parse().expect("a type"), (*image).to_owned())).collect();
        self.platform.release_images(&self.rig.app().await, &self.rig.ada, &images).await
    }

    /// A release that succeeded without a rollout.
    async fn live(&self, release: &Release) {
        let mut conn = self.rig.conn().await;
        let ended = releases::end(&mut conn, release.id, ReleaseStatus::Succeeded, None).await;
        assert_eq!(ended.expect("updates"), Fenced::Done);
    }

    async fn app(&self, name: &str) -> App {
        let mut conn = self.rig.conn().await;
        let team = crate::db::people::team_named(&mut conn, "default").await.expect("answers");
        drop(conn);
        let name = Some(name.parse().expect("a name"));
        self.platform.create_app(&self.rig.ada, team.expect("is there"), name).await.expect("is made")
    }
}

fn blueprint(release: &Release) -> Blueprint {
    let code = release.code.as_ref().expect("code");
    serde_json::from_value(code.blueprint.clone()).expect("a blueprint")
}

#[tokio::test]
async fn a_foreign_image_is_released_by_digest_and_a_push_of_before_is_not_released_over_it() {
    let Some(shop) = Shop::new().await else { return };
    let digest = testing::push(shop.registry(), ("elsewhere/site", "2"), "amd64").await;
    shop.rig.released("one", ReleaseStatus::Succeeded).await;
    let running = shop.rig.push("two").await;
    let job = shop.rig.claim(BUILD).await.expect("a job");

    let image = format!("{}/elsewhere/site:2", shop.elsewhere());
    let made = shop.release(&[("web", &image)]).await.expect("is released");
    assert_eq!((made.version, made.trigger.as_str()), (2, "container"));
    assert_eq!(made.description, format!("Release web image {image}"));
    let code = made.code.clone().expect("code");
    assert_eq!((code.commit, code.image, code.digest), (None, image, digest.clone()));
    assert_eq!(blueprint(&made).port, 5000);

    let stop = shop.rig.record(running.build, job.attempt).await.expect_err("the gate is closed");
    let Stop::Superseded(reason) = stop else { panic!("{stop:?}") };
    assert!(reason.starts_with("v2 (Release web image"), "{reason}");
    shop.rig.work_on(job.clone()).await.expect("over");
    let finished = jobs::finish(&mut *shop.rig.conn().await, &job, &jobs::End::Done).await;
    assert_eq!(finished.expect("updates"), Fenced::Done);

    // What the target gets, and that a later push goes through.
    let workload = super::workload::of(&shop.platform, &shop.rig.app().await, &made).await.expect("reads");
    let workload = workload.expect("has code");
    assert_eq!(workload.image, format!("{}/elsewhere/site:2@{digest}", shop.elsewhere()));
    shop.live(&made).await;
    assert_eq!(shop.rig.app().await.branch_commit, None, "a prebuilt image moves no branch");
    let next = shop.rig.released("three", ReleaseStatus::Succeeded).await;
    assert_eq!((next.version, blueprint(&next).images.len()), (3, 0));
    let back = shop.rig.rollback(Some(2)).await.expect("goes back");
    assert_eq!(back.code, made.code);
}

#[tokio::test]
async fn types_that_are_not_named_go_on_with_what_they_have() {
    let Some(shop) = Shop::new().await else { return };
    testing::push(shop.registry(), ("elsewhere/jobs", "1"), "amd64").await;
    let built = shop.rig.released("one", ReleaseStatus::Succeeded).await;
    let made = shop.release(&[("worker", &format!("{}/elsewhere/jobs:1", shop.elsewhere()))]).await;
    let made = made.expect("is released");
    let workload = super::workload::of(&shop.platform, &shop.rig.app().await, &made).await.expect("reads");
    let workload = workload.expect("has code");
    let runs = |name: &str| {
        let process = workload.processes.iter().find(|process| process.name.as_str() == name);
        workload.image_of(process.expect("the type")).to_owned()
    };
    let digest = built.code.expect("code").digest;
    assert!(runs("web").ends_with(&format!("@{digest}")), "{}", runs("web"));
    assert!(runs("worker").contains("/elsewhere/jobs:1@sha256:"), "{}", runs("worker"));
}

#[tokio::test]
async fn images_that_cannot_be_released_are_refused_with_a_reason_and_nothing_is_made() {
    let Some(shop) = Shop::new().await else { return };
    testing::push(shop.registry(), ("elsewhere/arm", "1"), "arm64").await;
    let here = shop.elsewhere();
    let said =
        async |image: String| shop.release(&[("web", &image)]).await.expect_err("is refused").to_string();
    let missing = said(format!("{here}/elsewhere/nothing:1")).await;
    assert!(missing.starts_with(&format!("there is no image `{here}/elsewhere/nothing:1`")), "{missing}");
    let other = said(format!("{here}/elsewhere/arm:1")).await;
    assert!(other.contains("is for linux/arm64, and apps run on linux/amd64 here"), "{other}");
    let silent = said("127.0.0.1:1/x:1".to_owned()).await;
    assert!(silent.starts_with("the registry at 127.0.0.1:1 does not answer"), "{silent}");
    let no_name = said("Not An Image".to_owned()).await;
    assert!(no_name.starts_with("`Not An Image` is not the name of an image"), "{no_name}");
    let strange = said(format!("{}/{}/secrets:1", shop.registry().address(), shop.prefix)).await;
    assert!(strange.contains("it would belong to an app `secrets`"), "{strange}");
    let phase = shop.release(&[("release", "x")]).await.expect_err("is refused").to_string();
    assert!(phase.starts_with("`release` is no process"), "{phase}");
    assert_eq!(shop.rig.released("one", ReleaseStatus::Succeeded).await.version, 1);
}

#[tokio::test]
async fn a_promotion_takes_the_digest_along_and_leaves_config_and_branch_to_the_target() {
    let Some(shop) = Shop::new().await else { return };
    let (staging, production) = (shop.rig.app().await, shop.app("blog-live").await);
    let missing = shop.platform.promote(&staging, &shop.rig.ada, std::slice::from_ref(&production)).await;
    assert!(matches!(missing, Err(ActionError::Conflict(_))), "{missing:?}");

    // A build of `blog` as its stages leave it, with an image that the registry has.
    shop.rig.set("A", "staging's").await.expect("v1");
    let release = shop.rig.released("one", ReleaseStatus::Succeeded).await;
    let repository = format!("{}/blog", shop.prefix);
    let digest = testing::push(shop.registry(), (&repository, "1"), "amd64").await;
    sqlx::query("UPDATE releases SET image = $2 || ':1', digest = $3 WHERE id = $1")
        .bind(release.id.0)
        .bind(&repository)
        .bind(&digest)
        .execute(&shop.platform.pool)
        .await
        .expect("updates");

    let (source, made) = shop
        .platform
        .promote(&staging, &shop.rig.ada, std::slice::from_ref(&production))
        .await
        .expect("is promoted");
    let [promoted] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((source.version, promoted.version), (2, 1));
    assert_eq!((promoted.description.as_str(), promoted.trigger.as_str()), ("Promote blog v2", "promotion"));
    assert_eq!((promoted.app_id, &promoted.config), (production.id, &json!({})));
    let code = promoted.code.clone().expect("code");
    assert_eq!((&code.digest, &code.commit), (&digest, &release.code.expect("code").commit));
    // In a repository of its own: what is cleared up of the other app takes nothing from it.
    assert_eq!(code.image, format!("{}/blog-live:blog-v2", shop.prefix));
    let there = shop.registry().digest_of(&format!("{}/blog-live", shop.prefix), "blog-v2").await;
    assert_eq!(there.expect("answers"), Some(digest));
    let production = apps::by_id(&mut *shop.rig.conn().await, production.id).await.expect("answers");
    assert_eq!(production.expect("is there").branch_commit, None);
}
