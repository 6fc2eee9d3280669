//! A release as its target sees it.

use std::collections::BTreeMap;

use anyhow::Context;
use secrecy::SecretString;
use serde_json::Value;
use tracing::warn;

use crate::config::Size;
use crate::db::apps::App;
use crate::db::formation;
use crate::db::releases::{Code, Release};
use crate::domain;
use crate::domain::blueprint::Blueprint;
use crate::domain::formation::{Formation, Scaling, scaling_of};
use crate::domain::health::Checks;
use crate::domain::image::ImageSource;
use crate::domain::names::{ConfigKey, ProcessType};
use crate::domain::procfile;
use crate::platform::Platform;
use crate::target::batch::CronEntry;
use crate::target::{Check, Command, Process, Scale, Workload};

/// What `release` runs; `None` for a release without code (config set before the first push).
pub(crate) async fn of(
    platform: &Platform,
    app: &App,
    release: &Release,
) -> anyhow::Result<Option<Workload>> {
    let mut conn = platform.pool.acquire().await?;
    let formation = formation::of(&mut conn, app.id).await?;
    drop(conn);
    in_formation(platform, app, release, &formation).await
}

/// The same in another formation than the stored one.
pub(crate) async fn in_formation(
    platform: &Platform,
    app: &App,
    release: &Release,
    formation: &Formation,
) -> anyhow::Result<Option<Workload>> {
    let Some(code) = &release.code else { return Ok(None) };
    let config = config_vars(platform, app, &release.config).await?;
    let blueprint = blueprint_of(code)?;
    let image = image_of(code, &blueprint).at(platform.registry.pull_address());
    Ok(Some(Workload {
        app: app.name.clone(),
        version: release.version,
        processes: processes(platform, app, formation, (&blueprint, &image)),
        image,
        config: if app.adoption.is_some() { BTreeMap::new() } else { config },
        pull: platform.pull_login.clone(),
        adopted: app.adoption.clone(),
        cron: cron(platform, app, &blueprint),
    }))
}

/// The config vars that `versions` (`{"NAME": version}`) points at, in clear.
pub(crate) async fn config_vars(
    platform: &Platform,
    app: &App,
    versions: &Value,
) -> anyhow::Result<BTreeMap<ConfigKey, SecretString>> {
    let mut conn = platform.pool.acquire().await?;
    Ok(platform.open_config(&mut conn, app, versions).await?)
}

/// What a release's code says of its processes.
pub(crate) fn blueprint_of(code: &Code) -> anyhow::Result<Blueprint> {
    serde_json::from_value(code.blueprint.clone()).context("the stored blueprint is not one")
}

/// The image that stands for the release.
pub(crate) fn image_of(code: &Code, blueprint: &Blueprint) -> ImageSource {
    blueprint.main_image().cloned().unwrap_or_else(|| ImageSource::built(&code.image, &code.digest))
}

fn processes(
    platform: &Platform,
    app: &App,
    formation: &Formation,
    (blueprint, image): (&Blueprint, &str),
) -> Vec<Process> {
    let settings = &platform.settings;
    let other_image = |name: &ProcessType| {
        let source = blueprint.images.get(name)?;
        Some(source.at(platform.registry.pull_address())).filter(|other| other != image)
    };
    let processes = blueprint.processes.iter().map(|(name, command)| {
        let scaling = scaling_of(formation, name);
        let size = size(platform, app, &scaling);
        Process {
            name: name.clone(),
            image: other_image(name),
            command: match command {
                None => Command::Image,
                Some(line) => Command::Argv(procfile::argv(line)),
            },
            quantity: scaling.quantity,
            port: name.is_web().then_some(blueprint.port),
            check: check(name, app, &settings.rollout),
            checks: checks(name, app, blueprint),
            limits: size.limits,
            grace: settings.processes.grace,
            scale: Scale { asked: scaling.asked, autoscale: scaling.autoscale, reserved: size.reserved },
        }
    });
    processes.collect()
}

/// What a clock starts. Apps that adopt Deployments have none, for their config is not known here.
fn cron(platform: &Platform, app: &App, blueprint: &Blueprint) -> Vec<CronEntry> {
    if app.adoption.is_some() {
        return Vec::new();
    }
    let image = blueprint.batch_image.as_ref().map(|image| image.at(platform.registry.pull_address()));
    let entry = |entry: &domain::cron::CronEntry| CronEntry {
        name: entry.name.clone(),
        image: image.clone(),
        command: Command::Argv(procfile::argv(&entry.command)),
        schedule: entry.schedule.clone(),
        timezone: entry.timezone.clone(),
        limits: platform.settings.processes.usual().limits,
        time_limit: platform.settings.processes.run_time_limit,
    };
    blueprint.cron.iter().map(entry).collect()
}

/// What app.json asks for; the app's own setting goes before it.
fn checks(name: &ProcessType, app: &App, blueprint: &Blueprint) -> Checks {
    let mut checks = blueprint.checks.get(name).cloned().unwrap_or_default();
    if name.is_web() && app.health_path.is_some() {
        checks.readiness = None;
    }
    checks
}

fn size(platform: &Platform, app: &App, scaling: &Scaling) -> Size {
    let processes = &platform.settings.processes;
    processes.size(scaling.size.as_deref()).unwrap_or_else(|gone| {
        warn!(app = %app.name, "A size was taken out of SLIPWAY_SIZES, its processes get the usual one: {gone}");
        processes.usual()
    })
}

fn check(name: &ProcessType, app: &App, rollout: &crate::config::RolloutSettings) -> Check {
    match &app.health_path {
        _ if !name.is_web() => Check::Uptime(rollout.health_uptime),
        Some(path) => Check::Http { path: path.clone(), timeout: rollout.health_deadline },
        None => Check::Tcp { timeout: rollout.health_deadline },
    }
}
