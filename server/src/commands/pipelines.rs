//! Pipelines and promotion.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{PipelinesAdd, Promote};
use super::rollback::follow;
use super::run::Session;
use crate::domain::names::AppName;
use crate::web::api::shapes::{App, Coupling, NewCoupling, NewPipeline, NewPromotion, Pipeline, Promotion};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let pipelines: Vec<Pipeline> = session.client.get("/pipelines").await?;
    if session.options.json {
        return session.terminal.json(&pipelines).await;
    }
    if pipelines.is_empty() {
        let hint = session.typed("pipelines:create <name> --app <app> --stage staging");
        return session.terminal.line(format!("There are no pipelines yet. `{hint}` makes one.")).await;
    }
    session.terminal.heading("Pipelines").await?;
    let rows: Vec<_> = pipelines
        .into_iter()
        .map(|pipeline| {
            let apps =
                if pipeline.apps == 1 { "1 app".to_owned() } else { format!("{} apps", pipeline.apps) };
            [pipeline.name, format!("team {}", pipeline.owner.email), apps]
        })
        .collect();
    session.terminal.rows(&rows).await
}

/// A pipeline by name, or the app's.
pub(super) async fn info(session: &mut Session, name: Option<String>) -> Result<(), Failure> {
    let name = match name {
        Some(name) => name,
        None => {
            let app = session.app(None).await?;
            session.client.get::<Coupling>(&place_of(&app)).await?.pipeline.name
        }
    };
    let pipeline: Pipeline = session.client.get(&path(&["pipelines", &name])).await?;
    let couplings: Vec<Coupling> =
        session.client.get(&path(&["pipelines", &name, "pipeline-couplings"])).await?;
    if session.options.json {
        return session.terminal.json(&serde_json::json!({ "pipeline": pipeline, "apps": couplings })).await;
    }
    session.terminal.heading(&pipeline.name).await?;
    session.terminal.line(format!("Team: {}", pipeline.owner.email)).await?;
    let rows: Vec<_> = couplings
        .into_iter()
        .map(|coupling| {
            let version = coupling
                .version
                .map_or_else(|| "not released yet".to_owned(), |version| format!("v{version}"));
            [coupling.stage.to_string(), coupling.app.name, version]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn create(session: &mut Session, args: PipelinesAdd) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let about: App = session.client.get(&path(&["apps", app.as_str()])).await?;
    let new = NewPipeline { name: args.name.clone(), team: Some(about.team.name) };
    let made: Pipeline = session.client.send(Method::POST, "/pipelines", &new).await?;
    if !session.options.json {
        session.terminal.line(format!("Creating the pipeline {}... done", made.name)).await?;
    }
    add_app(session, &app, &args).await
}

pub(super) async fn add(session: &mut Session, args: PipelinesAdd) -> Result<(), Failure> {
    let app = session.app(None).await?;
    add_app(session, &app, &args).await
}

async fn add_app(session: &mut Session, app: &AppName, args: &PipelinesAdd) -> Result<(), Failure> {
    let new = NewCoupling { pipeline: args.name.clone(), stage: args.stage.to_string() };
    let coupling: Coupling = session.client.send(Method::PUT, &place_of(app), &new).await?;
    if session.options.json {
        return session.terminal.json(&coupling).await;
    }
    let (pipeline, stage) = (coupling.pipeline.name, coupling.stage);
    session.terminal.line(format!("Adding {app} to {pipeline} as {stage}... done")).await
}

pub(super) async fn remove(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let coupling: Coupling = session.client.delete(&place_of(&app)).await?;
    if session.options.json {
        return session.terminal.json(&coupling).await;
    }
    session.terminal.line(format!("Removing {app} from {}... done", coupling.pipeline.name)).await
}

pub(super) async fn destroy(session: &mut Session, name: &str) -> Result<(), Failure> {
    let gone: Pipeline = session.client.delete(&path(&["pipelines", name])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("Destroying the pipeline {}... done. Its apps stay.", gone.name)).await
}

/// Waits for all targets, and fails if any of them did not take the release.
pub(super) async fn promote(session: &mut Session, args: Promote) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let wish = NewPromotion { targets: args.to.iter().map(ToString::to_string).collect() };
    let mut made: Promotion = session
        .client
        .send(Method::POST, &path(&["apps", app.as_str(), "pipeline-promotions"]), &wish)
        .await?;
    let what = format!("{app} v{}", made.source.version);
    let mut failures = Vec::new();
    for target in &mut made.targets {
        let name: AppName = target.app.name.parse().map_err(|error| Failure::refused(format!("{error}")))?;
        let doing = format!("Promoting {what} to {name}");
        if args.detach {
            if !session.options.json {
                session.terminal.line(format!("{doing}... v{} is on its way", target.version)).await?;
            }
            continue;
        }
        match follow(session, &name, &doing, target.version).await {
            Ok(ended) => *target = ended,
            Err(Failure::Refused(text)) => failures.push(format!("{name}: {text}")),
            Err(other) => return Err(other),
        }
    }
    if session.options.json {
        session.terminal.json(&made).await?;
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Refused(failures.join("\n"))) }
}

fn place_of(app: &AppName) -> String {
    path(&["apps", app.as_str(), "pipeline-couplings"])
}
