//! Pipelines, and the way of an image from one app to the next.

use serde_json::json;

use super::ActionError;
use super::images::{as_code, record};
use crate::db::apps::App;
use crate::db::pipelines::{self, Coupling, Pipeline};
use crate::db::releases::{self, Code, NewRelease, Release};
use crate::db::{app_lock, audit};
use crate::domain::access::Principal;
use crate::domain::ids::TeamId;
use crate::domain::image::ImageSource;
use crate::domain::names::PipelineName;
use crate::domain::pipeline::Stage;
use crate::pipeline::rollouts::Kind;
use crate::pipeline::workload;
use crate::platform::Platform;

impl Platform {
    /// Makes an empty pipeline in `team`.
    pub(crate) async fn create_pipeline(
        &self,
        principal: &Principal,
        name: &PipelineName,
        team: TeamId,
    ) -> Result<Pipeline, ActionError> {
        let mut tx = self.pool.begin().await?;
        if !pipelines::create(&mut tx, name, team).await? {
            return Err(ActionError::Conflict(format!(
                "there is a pipeline `{name}` already: choose another name, or add the app to it with `pipelines:add {name}`"
            )));
        }
        audit::note(&mut tx, principal, None, "pipelines:create", json!({ "pipeline": name })).await?;
        let made = pipelines::named(&mut tx, name.as_str()).await?;
        tx.commit().await?;
        made.ok_or_else(|| ActionError::NotFound("the pipeline has just been destroyed".to_owned()))
    }

    /// Removes a pipeline. Its apps stay as they are.
    pub(crate) async fn destroy_pipeline(
        &self,
        principal: &Principal,
        pipeline: &Pipeline,
    ) -> Result<(), ActionError> {
        let mut tx = self.pool.begin().await?;
        if !pipelines::destroy(&mut tx, pipeline.id).await? {
            return Err(ActionError::NotFound(format!(
                "the pipeline {} has just been destroyed",
                pipeline.name
            )));
        }
        audit::note(&mut tx, principal, None, "pipelines:destroy", json!({ "pipeline": pipeline.name }))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Puts the app into a pipeline of its team, or moves it to another stage of it.
    pub(crate) async fn add_to_pipeline(
        &self,
        app: &App,
        principal: &Principal,
        (pipeline, stage): (&Pipeline, Stage),
    ) -> Result<Coupling, ActionError> {
        if pipeline.team != app.team {
            return Err(ActionError::Conflict(format!(
                "{} belongs to the team {} and the pipeline {} to the team {}: a pipeline takes apps of its own team",
                app.name, app.team_name, pipeline.name, pipeline.team_name
            )));
        }
        let mut tx = self.pool.begin().await?;
        if !pipelines::couple(&mut tx, app.id, pipeline.id, stage).await? {
            let other = pipelines::coupling_of(&mut tx, app.id).await?;
            let other = other.map_or_else(|| "another".to_owned(), |other| other.pipeline_name);
            return Err(ActionError::Conflict(format!(
                "{} is in the pipeline {other}, and an app is in one only: `pipelines:remove --app {}` takes it out",
                app.name, app.name
            )));
        }
        let detail = json!({ "pipeline": pipeline.name, "stage": stage });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "pipelines:add", detail).await?;
        let coupling = pipelines::coupling_of(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        tx.commit().await?;
        Ok(coupling)
    }

    /// Takes the app out of its pipeline.
    pub(crate) async fn remove_from_pipeline(
        &self,
        app: &App,
        principal: &Principal,
    ) -> Result<Coupling, ActionError> {
        let mut tx = self.pool.begin().await?;
        let coupling = pipelines::coupling_of(&mut tx, app.id).await?.ok_or_else(|| in_no_pipeline(app))?;
        pipelines::uncouple(&mut tx, app.id).await?;
        let detail = json!({ "pipeline": coupling.pipeline_name });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "pipelines:remove", detail).await?;
        tx.commit().await?;
        Ok(coupling)
    }

    /// Releases on each of `targets` what runs in `source`: the same digests, with the target's own config. Who asks
    /// may deploy all of them. Either all targets get the release, or none does.
    pub(crate) async fn promote(
        &self,
        source: &App,
        principal: &Principal,
        targets: &[App],
    ) -> Result<(Release, Vec<Release>), ActionError> {
        let mut conn = self.pool.acquire().await?;
        let current = releases::current_of(&mut conn, source.id).await?;
        drop(conn);
        let promoted = current.filter(|release| release.code.is_some()).ok_or_else(|| {
            ActionError::Conflict(format!(
                "{} has no release that runs, so there is nothing to promote: `git push` makes the first",
                source.name
            ))
        })?;
        let mut codes = Vec::with_capacity(targets.len());
        for target in targets {
            codes.push((target, self.code_for(target, source, &promoted).await?));
        }
        // Always in the same order: two promotions that meet wait for each other, and do not lock each other out.
        codes.sort_unstable_by_key(|(target, _)| target.id);
        let mut tx = self.pool.begin().await?;
        let mut made = Vec::with_capacity(targets.len());
        for (target, code) in &codes {
            let locked = app_lock::lock(&mut tx, target.id).await?.ok_or_else(|| super::gone(target))?;
            let new = NewRelease {
                description: &format!("Promote {} v{}", source.name, promoted.version),
                trigger: "promotion",
                build_id: None,
                code: Some(code),
                config: &locked.config,
                actor_id: Some(principal.user),
                actor_name: &principal.name,
                rollback_of: None,
            };
            let note = ("pipelines:promote", json!({ "from": source.name, "of": promoted.version }));
            made.push((target, record(&mut tx, (target, &locked), principal, &new, note).await?));
        }
        tx.commit().await?;
        let mut rolling = Vec::with_capacity(made.len());
        for (target, (id, version)) in made {
            self.rollouts.announce(target.id, version, Kind::Code);
            rolling.push(self.release(id).await?);
        }
        self.queue.wake();
        Ok((promoted, rolling))
    }

    /// The promoted code as `target` runs it: what lies in the source's repository is brought into the target's.
    async fn code_for(&self, target: &App, source: &App, promoted: &Release) -> Result<Code, ActionError> {
        let code = promoted.code.as_ref().ok_or_else(|| super::gone(source))?;
        let mut blueprint = workload::blueprint_of(code).map_err(ActionError::Internal)?;
        let tag = format!("{}-v{}", source.name, promoted.version);
        if blueprint.images.is_empty() {
            let built = ImageSource::built(&code.image, &code.digest);
            let brought = self.brought_to(target, built, &tag).await?;
            if brought.repository == self.image_repository(&target.name) {
                return Ok(Code { image: brought.to_string(), ..code.clone() });
            }
            blueprint.images =
                blueprint.processes.keys().map(|name| (name.clone(), brought.clone())).collect();
        } else {
            for (name, image) in &mut blueprint.images {
                *image = self.brought_to(target, image.clone(), &format!("{tag}-{name}")).await?;
            }
        }
        as_code(code.commit.clone(), &blueprint)
    }
}

/// What to say of an app that is in no pipeline.
pub(crate) fn in_no_pipeline(app: &App) -> ActionError {
    ActionError::Conflict(format!(
        "{} is in no pipeline: `pipelines:add <pipeline> --app {} --stage staging` puts it into one",
        app.name, app.name
    ))
}
