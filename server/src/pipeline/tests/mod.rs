//! The pipeline on a real database and real git, from accepting a push to its release.
//!
//! The builds here end before the engine is asked, and the releases before a process is started: the stories do those.

mod accepting;
mod building;
mod cron;
mod fences;
mod inspecting;
mod keeping_up;
mod phases;
mod prebuilt;
mod releasing;
mod scaling;

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::deploy::{Rolled, roll_out};
use super::jobs::{self as pipeline_jobs, BUILD, ROLLOUT};
use super::push::Pushed;
use super::*;
use crate::actions::ActionError;
use crate::actions::builds::{Accepted, Trigger, Wish, pin};
use crate::actions::releases::Changes;
use crate::db::apps;
use crate::db::builds::{Cancel, Made};
use crate::db::jobs::{self, Job};
use crate::db::releases::{self, NewRelease, Release};
use crate::db::{app_lock, build_log};
use crate::domain::access::{Principal, Role};
use crate::domain::build::BuildStatus;
use crate::domain::ids::{BuildId, ReleaseId};
use crate::domain::release::ReleaseStatus;
use crate::git::{Oid, Repository};
use crate::queue::JobError;
use crate::web::testing::TestApi;

const LEASE: Duration = Duration::from_secs(600);

struct Rig {
    api: TestApi,
    app: App,
    ada: Principal,
    repository: Repository,
}

impl Rig {
    async fn new() -> Option<Self> {
        let api = TestApi::new().await?;
        let ada = api.member("ada", Role::Owner).await;
        let mut conn = api.platform.pool.acquire().await.expect("connects");
        let team =
            crate::db::people::team_named(&mut conn, "default").await.expect("answers").expect("is there");
        drop(conn);
        let name = Some("blog".parse().expect("a name"));
        let app = api.platform.create_app(&ada, team, name).await.expect("is made");
        let repository = api.platform.repository(app.id).await.expect("opens");
        Some(Self { api, app, ada, repository })
    }

    fn platform(&self) -> &Platform {
        &self.api.platform
    }

    async fn conn(&self) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
        self.platform().pool.acquire().await.expect("connects")
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.platform().pool).await.expect("the statement runs");
    }

    /// The app as it is stored now.
    async fn app(&self) -> App {
        apps::by_id(&mut *self.conn().await, self.app.id).await.expect("answers").expect("is there")
    }

    /// A commit with one file, and no Dockerfile: its build ends at the stage `detect`.
    fn commit(&self, text: &str, parent: Option<Oid>) -> Oid {
        self.commit_file("notes.txt", text, parent)
    }

    fn commit_file(&self, name: &str, text: &str, parent: Option<Oid>) -> Oid {
        let git = git2::Repository::open_bare(self.repository.path()).expect("opens");
        let blob = git.blob(text.as_bytes()).expect("writes");
        let mut tree = git.treebuilder(None).expect("begins");
        tree.insert(name, blob, 0o100_644).expect("inserts");
        let tree = git.find_tree(tree.write().expect("writes")).expect("is there");
        let who = git2::Signature::now("ada", "ada@example.org").expect("a signature");
        let parents: Vec<_> = parent
            .iter()
            .map(|oid| git.find_commit(oid.to_string().parse().expect("an id")).expect("is there"))
            .collect();
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        let made = git.commit(None, &who, &who, text, &tree, &parents).expect("commits");
        made.to_string().parse().expect("an id")
    }

    async fn push_with(
        &self,
        commit: Oid,
        branch_was: Option<Oid>,
        forced: bool,
    ) -> Result<Accepted, ActionError> {
        let commit = self.repository.commit_info(commit).await.expect("is there");
        let wish =
            Wish { trigger: Trigger::Push, commit, branch_was, forced, detached: false, no_cache: false };
        self.platform().accept(&self.app, (&self.ada).into(), &self.repository, &wish).await
    }

    async fn push(&self, text: &str) -> Accepted {
        self.push_with(self.commit(text, None), None, false).await.expect("accepted")
    }

    async fn claim(&self, kind: &str) -> Option<Job> {
        jobs::claim_next(&mut *self.conn().await, kind, Uuid::new_v4(), LEASE).await.expect("answers")
    }

    async fn work_on(&self, job: Job) -> Result<(), JobError> {
        pipeline_jobs::build(Arc::new(self.platform().clone()), job, CancellationToken::new()).await
    }

    async fn build(&self, id: BuildId) -> Build {
        builds::by_id(&mut *self.conn().await, id).await.expect("answers").expect("is there")
    }

    async fn log_of(&self, id: BuildId) -> String {
        let text = build_log::read_from(&mut *self.conn().await, id, 0).await.expect("answers");
        String::from_utf8(text).expect("text")
    }

    /// A release by a build of its own that has got as far as `status`.
    async fn released(&self, text: &str, status: ReleaseStatus) -> Release {
        let accepted = self.push(text).await;
        let job = self.claim(BUILD).await.expect("its job");
        let id = self.record(accepted.build, job.attempt).await.expect("is recorded");
        let mut conn = self.conn().await;
        assert_eq!(jobs::finish(&mut conn, &job, &jobs::End::Done).await.expect("updates"), Fenced::Done);
        if status != ReleaseStatus::Pending {
            let reason = (status == ReleaseStatus::Failed).then_some("crashed");
            assert_eq!(releases::end(&mut conn, id, status, reason).await.expect("updates"), Fenced::Done);
        }
        drop(conn);
        self.release(id).await
    }

    /// What the stages from `push` on do with an image that is in the registry.
    async fn record(&self, build: BuildId, attempt: i32) -> Result<ReleaseId, Stop> {
        let mut conn = self.conn().await;
        assert_eq!(builds::begin(&mut conn, build, attempt).await.expect("updates"), Fenced::Done);
        drop(conn);
        let line = self.line(build).await;
        let image = format!("blog:{}", line.build.number);
        let blueprint = json!({ "processes": { "web": null }, "port": 8080 });
        let digest = format!("sha256:{}", line.build.number);
        release::record(&line, Pushed { image, digest, blueprint }).await
    }

    async fn line(&self, build: BuildId) -> Line {
        let (transcript, mut spoken) = Transcript::channel();
        tokio::spawn(async move { while spoken.recv().await.is_some() {} });
        Line {
            platform: Arc::new(self.platform().clone()),
            app: self.app().await,
            build: self.build(build).await,
            tries: 1,
            transcript,
            cancel: CancellationToken::new(),
        }
    }

    async fn release(&self, id: ReleaseId) -> Release {
        releases::by_id(&mut *self.conn().await, id).await.expect("answers").expect("is there")
    }

    async fn roll_out(&self, release: &Release) -> Rolled {
        let (transcript, mut spoken) = Transcript::channel();
        tokio::spawn(async move { while spoken.recv().await.is_some() {} });
        roll_out(self.platform(), &self.app().await, release.id, &transcript).await.expect("ends")
    }

    async fn set(&self, name: &str, value: &str) -> Option<Release> {
        let changes: Changes = [(name.parse().expect("a name"), Some(value.to_owned().into()))].into();
        self.platform().set_config(&self.app().await, &self.ada, &changes).await.expect("is set")
    }

    async fn rollback(&self, to: Option<i64>) -> Result<Release, ActionError> {
        self.platform().rollback(&self.app().await, &self.ada, to).await
    }
}
