//! The job of a delivery: where does the branch stand, and is that to be deployed?

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::reach::{Followed, ReachError};
use super::watch::Watch;
use crate::actions::ActionError;
use crate::actions::builds::{Trigger, Wish};
use crate::db::apps::{self, App};
use crate::db::builds::{self, Build};
use crate::db::connections::{self, Connection};
use crate::db::deliveries::{self, Delivery, Verdict};
use crate::db::jobs::Job;
use crate::domain::access::Actor;
use crate::domain::build::BuildStatus;
use crate::domain::hook::{self, Kind};
use crate::domain::ids::{AppId, DeliveryId};
use crate::git::fetch;
use crate::git::receive::ReceiveLimits;
use crate::git::{CommitInfo, Oid, Repository};
use crate::local::disk;
use crate::platform::Platform;
use crate::queue::JobError;
use crate::reports::checks::Checks;
use crate::reports::host::{Host, ReportError};

/// A repository that does not answer is asked this often.
const TRIES: i32 = 4;
/// Before the second try, doubled with every further one.
const PAUSE: Duration = Duration::from_secs(2);

/// How often checks are asked for: at first, and later.
const CHECKS_AT_FIRST: Duration = Duration::from_secs(3);
const CHECKS_LATER: Duration = Duration::from_secs(15);
/// A commit of which the host knows no check after this time has none.
const CHECKS_BEGIN: Duration = Duration::from_secs(60);
/// For checks to be over.
const CHECKS_END: Duration = Duration::from_secs(3600);
/// Names of checks that a reason has.
const CHECKS_SHOWN: usize = 5;

/// Why there is no verdict yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Disk(#[from] disk::DiskError),
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("the build could not be accepted")]
    Accept(#[from] ActionError),
    #[error("the app's own repository could not be read")]
    Repository(#[source] anyhow::Error),
    #[error(transparent)]
    Checks(#[from] ReportError),
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
}

/// A delivery with all that it is judged by.
pub(super) struct Case {
    pub(super) platform: Arc<Platform>,
    delivery: Delivery,
    pub(super) app: App,
    pub(super) connection: Connection,
}

/// What was decided.
pub(super) enum Decision {
    /// A build was accepted, and the verdict written with it.
    Deployed,
    Verdict(Verdict, Option<Oid>),
    /// There is none yet for this head, which has been waited for so long, for this reason.
    Wait {
        head: Oid,
        waited: Duration,
        reason: String,
    },
}

/// Handles a [`super::DELIVERY`] job.
pub(crate) async fn judge(platform: Arc<Platform>, job: Job) -> Result<(), JobError> {
    let id: DeliveryId = serde_json::from_value(job.payload["delivery"].clone())
        .map_err(|error| JobError::Fail(anyhow::Error::from(error).context("the job names no delivery")))?;
    // Nothing has been done yet: a database that is away must not cost the delivery its tries.
    let begun = begin(&platform, id).await;
    let begun = begun.map_err(|error| JobError::NotBegun { after: PAUSE, error: error.into() })?;
    let Some((delivery, app, connection)) = begun else { return Ok(()) };
    let span = info_span!("delivery", app = %app.name, delivery.id = %id, source = delivery.source);
    let Some(connection) = connection else {
        let verdict = Verdict::Ignored("the app is not connected any more".to_owned());
        return record(&platform, (app.id, id), &verdict, None).await.map_err(retry);
    };
    let case = Case { platform, delivery, app, connection };
    case.drive(job.tries).instrument(span).await
}

type Begun = (Delivery, App, Option<Connection>);

/// `None` if there is nothing to judge any more.
async fn begin(platform: &Platform, id: DeliveryId) -> sqlx::Result<Option<Begun>> {
    let mut conn = platform.pool.acquire().await?;
    let Some(delivery) = deliveries::by_id(&mut conn, id).await? else { return Ok(None) };
    if delivery.verdict.is_some() {
        return Ok(None);
    }
    let Some(app) = apps::by_id(&mut conn, delivery.app_id).await? else { return Ok(None) };
    let connection = connections::of_app(&mut conn, app.id).await?;
    Ok(Some((delivery, app, connection)))
}

/// Writes the verdict down; a head that was judged is remembered, so that the search does not find it again.
async fn record(
    platform: &Platform,
    (app, id): (AppId, DeliveryId),
    verdict: &Verdict,
    head: Option<Oid>,
) -> sqlx::Result<()> {
    let head = head.map(|head| head.to_string());
    let mut tx = platform.pool.begin().await?;
    deliveries::judge(&mut tx, id, verdict, head.as_deref()).await?;
    if let Some(head) = &head {
        connections::judged(&mut tx, app, head).await?;
    }
    tx.commit().await
}

fn retry(error: sqlx::Error) -> JobError {
    JobError::Retry { after: PAUSE, error: error.into() }
}

impl Case {
    async fn drive(self, tries: i32) -> Result<(), JobError> {
        // On the heap: git's children and the accept make a future of many kilobytes.
        let verdict = match Box::pin(self.decide()).await {
            Ok(Decision::Deployed) => return Ok(()),
            Ok(Decision::Verdict(verdict, head)) => {
                info!("Judged: {verdict:?}");
                return self.record(&verdict, head).await.map_err(retry);
            }
            Ok(Decision::Wait { head, waited, reason }) => {
                let mut conn = self.platform.pool.acquire().await.map_err(retry)?;
                let noted = deliveries::waits(&mut conn, self.delivery.id, &head.to_string(), &reason).await;
                noted.map_err(retry)?;
                let after = (waited / 6).clamp(CHECKS_AT_FIRST, CHECKS_LATER);
                return Err(JobError::NotBegun { after, error: anyhow::Error::msg(reason) });
            }
            Err(trouble) if trouble.may_pass() && tries < TRIES => {
                let after = PAUSE * 2u32.pow(tries.clamp(0, 6).unsigned_abs());
                return Err(JobError::Retry { after, error: trouble.into() });
            }
            Err(trouble) => {
                let said = trouble.said();
                warn!("Judged in vain: {:#}", anyhow::Error::new(trouble));
                Verdict::Failed(said)
            }
        };
        self.record(&verdict, None).await.map_err(retry)
    }

    async fn record(&self, verdict: &Verdict, head: Option<Oid>) -> sqlx::Result<()> {
        if self.delivery.told.kind == Kind::Pull {
            // A pull request's commit is not the branch's head.
            let commit = head.map(|head| head.to_string());
            let mut conn = self.platform.pool.acquire().await?;
            return deliveries::judge(&mut conn, self.delivery.id, verdict, commit.as_deref()).await;
        }
        record(&self.platform, (self.app.id, self.delivery.id), verdict, head).await
    }

    async fn decide(&self) -> Result<Decision, Trouble> {
        match &self.delivery.told.pull {
            Some(pull) => self.review(pull).await,
            None => self.follow().await,
        }
    }

    /// What becomes of a delivery that tells of the followed branch. What can be said without asking the repository comes
    /// first.
    async fn follow(&self) -> Result<Decision, Trouble> {
        if let Some(reason) = self.not_worth_a_look() {
            return Ok(Decision::Verdict(Verdict::Ignored(reason), None));
        }
        let name = format!("refs/heads/{}", self.connection.branch);
        let Some(head) = self.look(&name).await? else {
            let reason = format!("the repository has no branch {}", self.connection.branch);
            return Ok(Decision::Verdict(Verdict::Ignored(reason), None));
        };
        let latest = builds::latest_of(&mut *self.platform.pool.acquire().await?, self.app.id).await?;
        if let Some(verdict) = self.judged_before(head, latest.as_ref()) {
            return Ok(Decision::Verdict(verdict, Some(head)));
        }
        let repository = self.platform.repository(self.app.id).await.map_err(Trouble::Repository)?;
        let commit = self.fetch(&repository, (&name, head)).await?;
        if let Some(reason) = self.not_to_be_deployed(&repository, &commit, latest.as_ref()).await? {
            return Ok(Decision::Verdict(Verdict::Ignored(reason), Some(head)));
        }
        if let Some(decision) = self.awaits_checks(head).await? {
            return Ok(decision);
        }
        self.accept(&self.app, &repository, commit).await
    }

    /// Asks where a ref of the repository elsewhere stands; `None` if there is no such ref.
    pub(super) async fn look(&self, name: &str) -> Result<Option<Oid>, Trouble> {
        disk::check(self.platform.data_dir(), self.platform.settings.limits.watermark())?;
        let repository = self.platform.repository(self.app.id).await.map_err(Trouble::Repository)?;
        let found = self.followed(&repository).look(name).await;
        self.note_look(&found).await?;
        Ok(found?.head)
    }

    /// Fetches the commit at which `look` has found a ref into a repository of ours, with the checks of a push.
    pub(super) async fn fetch(
        &self,
        repository: &Repository,
        place: (&str, Oid),
    ) -> Result<CommitInfo, Trouble> {
        let quarantine = self.followed(repository).take(place, &self.limits()).await?;
        quarantine.migrate().await.map_err(|error| Trouble::Repository(error.into()))?;
        let (_, head) = place;
        repository.commit_info(head).await.map_err(|error| Trouble::Repository(error.into()))
    }

    fn followed<'a>(&'a self, repository: &'a Repository) -> Followed<'a> {
        Followed { platform: &self.platform, app: &self.app, connection: &self.connection, repository }
    }

    /// Whether the author asked that nothing be deployed.
    pub(super) async fn asks_to_skip(
        &self,
        repository: &Repository,
        commit: &CommitInfo,
    ) -> Result<bool, Trouble> {
        let message = repository.message(commit.commit).await;
        let message = message.map_err(|error| Trouble::Repository(error.into()))?;
        Ok(hook::asks_to_skip(&message))
    }

    /// What is to be done before the commit may be deployed: wait, or leave it. A person who asks for it knows.
    async fn awaits_checks(&self, head: Oid) -> Result<Option<Decision>, Trouble> {
        if !self.connection.wait_for_checks || self.asked_by_person() {
            return Ok(None);
        }
        let host = Host::of(&self.platform, &self.app, &self.connection).await?;
        let commit = head.to_string();
        let waited = self.waited_for(&commit);
        let wait = |reason: String| Some(Decision::Wait { head, waited, reason });
        let leave = |why: String| {
            let reason = format!("{why}; `hooks:check` deploys in spite of that");
            Decision::Verdict(Verdict::Ignored(reason), Some(head))
        };
        Ok(match host.checks(&commit).await? {
            Checks::Good => None,
            Checks::None if waited > CHECKS_BEGIN => None,
            Checks::None => wait("waits for the commit's checks to begin".to_owned()),
            Checks::Failing(names) => {
                Some(leave(format!("checks of the commit have failed: {}", list(&names))))
            }
            Checks::Pending(names) if waited > CHECKS_END => {
                let minutes = CHECKS_END.as_secs() / 60;
                Some(leave(format!(
                    "checks of the commit were not over after {minutes} minutes: {}",
                    list(&names)
                )))
            }
            Checks::Pending(names) => wait(format!("waits for checks: {}", list(&names))),
        })
    }

    /// For how long the checks of this commit have been waited for. A head that has moved on begins anew.
    fn waited_for(&self, commit: &str) -> Duration {
        let same = self.delivery.waits_for.as_deref() == Some(commit);
        let seconds = self.delivery.waited.filter(|_| same).unwrap_or(0.0);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    fn not_worth_a_look(&self) -> Option<String> {
        let told = &self.delivery.told;
        let branch = &self.connection.branch;
        if told.kind != Kind::Push {
            return Some(format!("`{}` deploys nothing: pushes do", self.delivery.event));
        }
        if let Some(name) = told.git_ref.as_ref().filter(|name| **name != format!("refs/heads/{branch}")) {
            return Some(format!("only {branch} is deployed, and this is about {name}"));
        }
        if told.deleted {
            return Some(format!("{branch} was deleted: what runs goes on running"));
        }
        let by_itself = self.delivery.source != "person" && !self.delivery.again;
        (by_itself && !self.connection.automatic).then(|| {
            "automatic deploys are off: `hooks:automatic on` turns them on, `hooks:check` deploys once"
                .to_owned()
        })
    }

    /// Whether this head has had its turn. A person may have one built again whose build came to nothing.
    fn judged_before(&self, head: Oid, latest: Option<&Build>) -> Option<Verdict> {
        let head = head.to_string();
        let built = latest.filter(|build| build.commit == head);
        let in_vain = built.is_none_or(came_to_nothing);
        if self.asked_by_person() && in_vain {
            return None;
        }
        let known = built.is_some() || self.connection.head.as_deref() == Some(&head);
        known.then(|| Verdict::Current(built.map(|build| build.id)))
    }

    pub(super) fn asked_by_person(&self) -> bool {
        self.delivery.again || self.delivery.source == "person"
    }

    async fn not_to_be_deployed(
        &self,
        repository: &Repository,
        commit: &CommitInfo,
        latest: Option<&Build>,
    ) -> Result<Option<String>, Trouble> {
        let unreadable = |error: anyhow::Error| Trouble::Repository(error);
        if self.asks_to_skip(repository, commit).await? {
            return Ok(Some("the commit's message asks that nothing be deployed".to_owned()));
        }
        let watch = Watch::new(&self.connection.watched).map_err(|error| unreadable(error.into()))?;
        // The build before is what runs, or what the people know to have failed.
        let Some(base) = latest.and_then(|build| build.commit.parse::<Oid>().ok()) else { return Ok(None) };
        // A commit that is not kept any more has nothing to be compared with.
        let Ok(paths) = repository.changed_paths(base, commit.commit).await else { return Ok(None) };
        let watched = watch.any(paths.iter().map(String::as_str));
        Ok((!watched).then(|| {
            format!("nothing has changed in the watched paths ({})", self.connection.watched.join(", "))
        }))
    }

    /// Has a commit built for the app, or for a review app of its.
    pub(super) async fn accept(
        &self,
        app: &App,
        repository: &Repository,
        commit: CommitInfo,
    ) -> Result<Decision, Trouble> {
        let branch_was: Option<Oid> = app.branch_commit.as_deref().and_then(|commit| commit.parse().ok());
        let forced = match branch_was {
            // What cannot be found any more is in nobody's history.
            Some(was) => !repository.is_ancestor(was, commit.commit).await.unwrap_or(false),
            None => false,
        };
        let wish = Wish {
            trigger: Trigger::Hook(self.delivery.id),
            commit,
            branch_was,
            forced,
            detached: true,
            no_cache: false,
        };
        let name = self.actor();
        let actor = Actor { user: None, name: &name };
        let accepted = self.platform.accept(app, actor, repository, &wish).await?;
        info!(build.number = accepted.number, "A push elsewhere is build {}", accepted.number);
        Ok(Decision::Deployed)
    }

    /// `ada (GitHub)`: nobody is taken for a user of ours who is only called like one.
    pub(super) fn actor(&self) -> String {
        let title = match self.connection.provider {
            hook::Provider::Generic => "web hook",
            provider => provider.title(),
        };
        match &self.delivery.told.actor {
            Some(actor) => format!("{actor} ({title})"),
            None => title.to_owned(),
        }
    }

    /// What `hooks:info` shows of the last look.
    async fn note_look(&self, found: &Result<fetch::Found, ReachError>) -> sqlx::Result<()> {
        let trouble = found.as_ref().err().map(ReachError::said);
        let host_key = found.as_ref().ok().and_then(|found| found.host_key.as_deref());
        let mut conn = self.platform.pool.acquire().await?;
        connections::looked(&mut conn, self.app.id, trouble.as_deref(), host_key).await
    }

    fn limits(&self) -> ReceiveLimits {
        ReceiveLimits { max_pack_bytes: self.platform.settings.limits.pack_bytes, ..ReceiveLimits::default() }
    }
}

/// Whether a person may have the commit built again.
pub(super) fn came_to_nothing(build: &Build) -> bool {
    matches!(build.status, BuildStatus::Failed | BuildStatus::Errored | BuildStatus::Canceled)
}

/// The first names of many; others have chosen them.
fn list(names: &[String]) -> String {
    let clean = |name: &String| name.chars().filter(|c| !c.is_control()).take(60).collect::<String>();
    let shown: Vec<String> = names.iter().take(CHECKS_SHOWN).map(clean).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Trouble {
    fn may_pass(&self) -> bool {
        match self {
            Self::Disk(_) => false,
            Self::Reach(error) => error.may_pass(),
            Self::Checks(error) => error.may_pass(),
            Self::Accept(error) => matches!(error, ActionError::Database(_) | ActionError::Internal(_)),
            Self::Repository(_) | Self::Database(_) => true,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Disk(error) => error.to_string(),
            Self::Reach(error) => error.said(),
            Self::Checks(error) => error.to_string(),
            Self::Accept(error) => error.said(),
            Self::Repository(_) | Self::Database(_) => {
                "the platform could not do it; its log has the cause".to_owned()
            }
        }
    }
}
