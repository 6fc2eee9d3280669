//! Apps and their settings.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{AppsAdopt, AppsCreate, AppsDestroy, Positional};
use super::here;
use super::run::{Door, Session};
use super::text::{short, when};
use crate::domain::names::AppName;
use crate::target::{AdoptedSet, Adoption};
use crate::web::api::shapes::{Account, App, AppChange, NewApp};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let apps: Vec<App> = session.client.get("/apps").await?;
    if session.options.json {
        return session.terminal.json(&apps).await;
    }
    if apps.is_empty() {
        let hint = session.typed("apps:create");
        return session.terminal.line(format!("You have no apps. `{hint}` makes one.")).await;
    }
    let account: Account = session.client.get("/account").await?;
    session.terminal.heading(format!("{} Apps", account.name)).await?;
    let rows: Vec<_> = apps
        .into_iter()
        .map(|app| {
            let released = app
                .released_at
                .map_or_else(|| "not released yet".to_owned(), |at| format!("released {}", when(at)));
            [app.name, format!("team {}", app.team.name), released]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn create(session: &mut Session, args: AppsCreate) -> Result<(), Failure> {
    let new = NewApp { name: args.name.map(String::from), team: args.team };
    let app: App = session.client.send(Method::POST, "/apps", &new).await?;
    if session.options.json {
        return session.terminal.json(&app).await;
    }
    session.terminal.line(format!("Creating {}... done", app.name)).await?;
    let web_url = app.web_url.as_deref().map(|url| format!("{url} | ")).unwrap_or_default();
    session.terminal.line(format!("{web_url}{}", app.git_url)).await?;
    if session.door == Door::CommandLine && here::add_remote(&app.git_url).await {
        session.terminal.line("Set the git remote `platform`. Deploy with:").await?;
    } else {
        session.terminal.line("Deploy from its repository with:").await?;
        session.terminal.line(format!("    git remote add platform {}", app.git_url)).await?;
    }
    session.terminal.line(format!("    git push platform {}", app.deploy_branch)).await
}

pub(super) async fn info(session: &mut Session, args: Positional) -> Result<(), Failure> {
    let app = session.app(args.named).await?;
    let app: App = session.client.get(&of(&app)).await?;
    show(session, &app).await
}

async fn show(session: &mut Session, app: &App) -> Result<(), Failure> {
    if session.options.json {
        return session.terminal.json(app).await;
    }
    session.terminal.heading(&app.name).await?;
    let usual = |value: &Option<String>, usual: &str| value.clone().unwrap_or_else(|| usual.to_owned());
    let mut rows = vec![
        ["Team:".to_owned(), app.team.name.clone()],
        ["Git URL:".to_owned(), app.git_url.clone()],
        ["Web URL:".to_owned(), usual(&app.web_url, "none: this platform routes no requests")],
        ["Deploy branch:".to_owned(), branch(app)],
        ["Builds with:".to_owned(), builds_with(app)],
        ["Folder:".to_owned(), usual(&app.folder, "the root of the repository")],
        ["Health check:".to_owned(), usual(&app.health_path, "the port accepts connections")],
    ];
    if let Some(adoption) = &app.adoption {
        rows.push(["Adopts:".to_owned(), adopted(adoption)]);
    }
    rows.push(["Created:".to_owned(), when(app.created_at)]);
    rows.push(["Released:".to_owned(), app.released_at.map_or_else(|| "not yet".to_owned(), when)]);
    session.terminal.rows(&rows).await
}

fn builds_with(app: &App) -> String {
    match (&app.dockerfile, &app.builder, &app.buildpack) {
        (Some(path), ..) => path.clone(),
        (None, Some(image), _) => format!("the builder {image}"),
        (None, None, Some(name)) => format!("the buildpack {name}"),
        (None, None, None) => "its Dockerfile, else the buildpack of its language".to_owned(),
    }
}

fn branch(app: &App) -> String {
    match &app.branch_commit {
        Some(commit) => format!("{} at {}", app.deploy_branch, short(commit)),
        None => app.deploy_branch.clone(),
    }
}

fn adopted(adoption: &Adoption) -> String {
    let which = match &adoption.deployments {
        AdoptedSet::Names(names) => names.join(", "),
        AdoptedSet::Selector(selector) => format!("Deployments with {selector}"),
    };
    format!("{which} in {}, containers {}", adoption.namespace, adoption.containers.join(", "))
}

pub(super) async fn set(session: &mut Session, settings: &[String]) -> Result<(), Failure> {
    let mut change = AppChange::default();
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Failure::refused(format!("`{setting}` is not `setting=value`, such as `deploy-branch=main`"))
        })?;
        let given = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "deploy-branch" | "branch" => {
                change.deploy_branch = Some(given.unwrap_or_else(|| "main".to_owned()))
            }
            "dockerfile" => change.dockerfile = Some(given),
            "folder" => change.folder = Some(given),
            "buildpack" => change.buildpack = Some(given),
            "builder" => change.builder = Some(given),
            "health" | "health-path" => change.health_path = Some(given),
            _ => {
                return Err(Failure::refused(format!(
                    "`{name}` is not a setting of apps: there are deploy-branch, folder, dockerfile, buildpack, builder and health; config vars are set with `{}`",
                    session.typed("config:set")
                )));
            }
        }
    }
    let app = session.app(None).await?;
    let app: App = session.client.send(Method::PATCH, &of(&app), &change).await?;
    show(session, &app).await
}

pub(super) async fn adopt(session: &mut Session, args: AppsAdopt) -> Result<(), Failure> {
    let app = session.app(args.named).await?;
    let adoption = match (args.release, args.selector) {
        (true, _) => None,
        (false, Some(selector)) => Some(AdoptedSet::Selector(selector)),
        (false, None) => Some(AdoptedSet::Names(args.deployment)),
    };
    let adoption = adoption.map(|deployments| Adoption {
        namespace: args.namespace,
        deployments,
        containers: args.container,
    });
    let change = AppChange { adoption: Some(adoption), ..AppChange::default() };
    let app: App = session.client.send(Method::PATCH, &of(&app), &change).await?;
    show(session, &app).await
}

pub(super) async fn destroy(session: &mut Session, args: AppsDestroy) -> Result<(), Failure> {
    let app = session.app(args.named).await?;
    if args.confirm.as_deref() != Some(app.as_str()) {
        return Err(Failure::refused(format!(
            "this destroys {app} with its releases, builds and config vars, and cannot be undone: if you mean it, `{}`",
            session.typed(&format!("apps:destroy {app} --confirm {app}"))
        )));
    }
    let gone: App = session.client.delete(&of(&app)).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("Destroying {app}... done")).await
}

fn of(app: &AppName) -> String {
    path(&["apps", app.as_str()])
}
