//! Scaling, restarting and stopping: what is asked is checked, noted and queued in one transaction.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::PgConnection;

use super::ActionError;
use crate::db::apps::App;
use crate::db::formation::{self, Change};
use crate::db::releases::Release;
use crate::db::{app_lock, audit, jobs, releases};
use crate::domain::access::Principal;
use crate::domain::blueprint::Blueprint;
use crate::domain::formation::{Autoscale, Count, Formation, MOST_PROCESSES, Which, Wish, scaling_of};
use crate::domain::ids::ChangeId;
use crate::domain::names::ProcessType;
use crate::pipeline::jobs::formation_job;
use crate::pipeline::workload;
use crate::platform::Platform;

/// The types of an app with what its release and its formation say of each.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) blueprint: Blueprint,
    pub(crate) entries: Vec<formation::Entry>,
    /// Something that was asked for is not done yet.
    pub(crate) changing: bool,
}

impl Platform {
    /// The app's process types; `None` before the first push.
    pub(crate) async fn formation_of(&self, app: &App) -> Result<Option<Shown>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let Some(blueprint) = blueprint_of(&mut conn, app).await? else { return Ok(None) };
        let entries = formation::entries(&mut conn, app.id).await?;
        let changing = formation::is_changing(&mut conn, app.id).await?;
        Ok(Some(Shown { blueprint, entries, changing }))
    }

    /// How many of each type shall run, and of which size.
    pub(crate) async fn scale(
        &self,
        app: &App,
        principal: &Principal,
        types: BTreeMap<ProcessType, Count>,
    ) -> Result<ChangeId, ActionError> {
        for (name, count) in &types {
            self.check_count(name, count)?;
        }
        self.ask(app, principal, ("ps:scale", Wish::Scale(types))).await
    }

    /// Bounds for an autoscaler, or the end of it.
    pub(crate) async fn autoscale(
        &self,
        app: &App,
        principal: &Principal,
        wish: Wish,
    ) -> Result<ChangeId, ActionError> {
        if !self.target.autoscales() {
            return Err(ActionError::Invalid(
                "there is no autoscaling on one machine: what runs here is containers of its Docker engine, which \
                 measures nothing. `ps:scale web=3` sets a number; on Kubernetes `ps:autoscale` works"
                    .to_owned(),
            ));
        }
        if let Wish::Autoscale { autoscale, .. } = &wish
            && let Some(fault) = autoscale.fault()
        {
            return Err(ActionError::Invalid(fault));
        }
        self.ask(app, principal, ("ps:autoscale", wish)).await
    }

    /// Fresh processes in place of those that run.
    pub(crate) async fn restart(
        &self,
        app: &App,
        principal: &Principal,
        which: Which,
    ) -> Result<ChangeId, ActionError> {
        self.ask(app, principal, ("ps:restart", Wish::Restart(which))).await
    }

    /// Ends a type, or one process.
    pub(crate) async fn stop(
        &self,
        app: &App,
        principal: &Principal,
        wish: Wish,
    ) -> Result<ChangeId, ActionError> {
        self.ask(app, principal, ("ps:stop", wish)).await
    }

    /// What was asked of this app's processes.
    pub(crate) async fn formation_change(
        &self,
        app: &App,
        id: ChangeId,
    ) -> Result<Option<Change>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let change = formation::change(&mut conn, id).await?;
        Ok(change.filter(|change| change.app_id == app.id))
    }

    fn check_count(&self, name: &ProcessType, count: &Count) -> Result<(), ActionError> {
        if let Some(quantity) = count.quantity.filter(|quantity| *quantity > MOST_PROCESSES) {
            return Err(ActionError::Invalid(format!(
                "{name}={quantity} is too many: one type has {MOST_PROCESSES} processes at most"
            )));
        }
        self.settings.processes.size(count.size.as_deref()).map(drop).map_err(ActionError::Invalid)
    }

    async fn ask(
        &self,
        app: &App,
        principal: &Principal,
        (verb, wish): (&str, Wish),
    ) -> Result<ChangeId, ActionError> {
        if app.adoption.is_some() {
            return Err(ActionError::Invalid(
                "this app moves Deployments that somebody else owns, so how many run is theirs to say: `kubectl scale` \
                 and `kubectl rollout restart` do it"
                    .to_owned(),
            ));
        }
        let mut tx = self.pool.begin().await?;
        let _locked = app_lock::lock(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        let Some(blueprint) = blueprint_of(&mut tx, app).await? else {
            return Err(ActionError::Conflict(format!(
                "{} has no processes yet: the first push brings them",
                app.name
            )));
        };
        check_types(app, &wish, &blueprint, &formation::of(&mut tx, app.id).await?)?;
        let id = formation::add_change(&mut tx, app.id, &wish, &principal.name).await?;
        jobs::enqueue(&mut tx, formation_job(app.id, id).as_new()).await?;
        let detail = json!({ "change": id, "wish": wish });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), verb, detail).await?;
        tx.commit().await?;
        self.queue.wake();
        Ok(id)
    }
}

/// The types of the release that is live, or of the first one while it is on its way.
async fn blueprint_of(conn: &mut PgConnection, app: &App) -> Result<Option<Blueprint>, ActionError> {
    let with_code = |release: Option<Release>| release.and_then(|release| release.code);
    let code = match with_code(releases::current_of(conn, app.id).await?) {
        Some(code) => Some(code),
        None => with_code(releases::newest_live_or_pending_of(conn, app.id).await?),
    };
    code.as_ref().map(workload::blueprint_of).transpose().map_err(ActionError::Internal)
}

fn check_types(
    app: &App,
    wish: &Wish,
    blueprint: &Blueprint,
    formation: &Formation,
) -> Result<(), ActionError> {
    let names: Vec<&ProcessType> = match wish {
        Wish::Scale(types) => types.keys().collect(),
        Wish::Autoscale { process_type, .. }
        | Wish::StopAutoscaling { process_type, .. }
        | Wish::Stop { process_type, .. } => vec![process_type],
        Wish::Restart(Which::Type(name)) => vec![name],
        Wish::Restart(_) => Vec::new(),
    };
    for name in names {
        if !blueprint.processes.contains_key(name) {
            let types = blueprint.processes.keys().map(ProcessType::as_str).collect::<Vec<_>>().join(", ");
            return Err(ActionError::NotFound(format!(
                "{} has no process type `{name}`: its Procfile names {types}",
                app.name
            )));
        }
        check_autoscaling(name, wish, formation)?;
    }
    Ok(())
}

/// Two who set the number would fight.
fn check_autoscaling(name: &ProcessType, wish: &Wish, formation: &Formation) -> Result<(), ActionError> {
    let scaling = scaling_of(formation, name);
    let sets_number = match wish {
        Wish::Scale(types) => types.get(name).is_some_and(|count| count.quantity.is_some()),
        Wish::Stop { .. } => true,
        Wish::Autoscale { .. } if scaling.quantity == 0 => {
            return Err(ActionError::Conflict(format!(
                "{name} runs 0 processes, which no autoscaler starts: `ps:scale {name}=1` first"
            )));
        }
        _ => false,
    };
    match scaling.autoscale.filter(|_| sets_number) {
        Some(Autoscale { min, max, .. }) => Err(ActionError::Conflict(format!(
            "{name} is autoscaled, from {min} to {max} processes: `ps:autoscale {name} --off` first"
        ))),
        None => Ok(()),
    }
}
