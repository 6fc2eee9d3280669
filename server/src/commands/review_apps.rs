//! Review apps: an app for each pull request of the connected repository.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::ReviewAppsEnable;
use super::run::Session;
use super::text::short;
use crate::domain::names::AppName;
use crate::web::api::shapes::{Approval, ReviewApp, ReviewAppConfig, ReviewAppConfigChange};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let config: ReviewAppConfig = session.client.get(&of(&app, &["review-app-config"])).await?;
    let found: Vec<ReviewApp> = session.client.get(&of(&app, &["review-apps"])).await?;
    if session.options.json {
        return session.terminal.json(&found).await;
    }
    if !config.automatic_review_apps {
        let hint = session.typed("reviewapps:enable");
        let text = format!("Review apps of {app} are off. `{hint}` has one made for each pull request.");
        return session.terminal.line(text).await;
    }
    if found.is_empty() {
        return session.terminal.line(format!("No pull request of {app} is open, as far as was told.")).await;
    }
    session.terminal.heading(format!("{app} Review Apps")).await?;
    session.terminal.rows(&found.iter().map(row).collect::<Vec<_>>()).await
}

fn row(review: &ReviewApp) -> [String; 6] {
    [
        format!("#{}", review.pr_number),
        review.app.as_ref().map(|app| app.name.clone()).unwrap_or_default(),
        review.status.clone(),
        review.commit.as_deref().map(short).unwrap_or_default().to_owned(),
        review.title.clone(),
        review.message.clone().or_else(|| review.web_url.clone()).unwrap_or_default(),
    ]
}

pub(super) async fn enable(session: &mut Session, args: ReviewAppsEnable) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let change = ReviewAppConfigChange {
        automatic_review_apps: Some(true),
        limit: args.limit,
        stale_days: args.days,
        inherits: args.inherit,
    };
    let config = change_config(session, &app, &change).await?;
    if session.options.json {
        return session.terminal.json(&config).await;
    }
    let inherited = match config.inherits.as_slice() {
        [] => "no config vars".to_owned(),
        patterns => format!("the config vars {}", patterns.join(", ")),
    };
    session
        .terminal
        .line(format!(
            "Each pull request of {app} gets an app: {} at most, removed when it is closed or after {} days without a push.\n\
             Those of its own repository take over {inherited}; those of forks wait for `{}`, and take over none.\n\
             Let the host send its web hooks for pull requests too.",
            config.limit,
            config.stale_days,
            session.typed("reviewapps:approve <number> <commit>"),
        ))
        .await
}

pub(super) async fn disable(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let change =
        ReviewAppConfigChange { automatic_review_apps: Some(false), ..ReviewAppConfigChange::default() };
    let config = change_config(session, &app, &change).await?;
    if session.options.json {
        return session.terminal.json(&config).await;
    }
    session.terminal.line(format!("{app} has no review apps any more; those that there were are gone.")).await
}

async fn change_config(
    session: &mut Session,
    app: &AppName,
    change: &ReviewAppConfigChange,
) -> Result<ReviewAppConfig, Failure> {
    Ok(session.client.send(Method::PATCH, &of(app, &["review-app-config"]), change).await?)
}

pub(super) async fn approve(session: &mut Session, number: i64, commit: String) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let approve = of(&app, &["review-apps", &number.to_string(), "approve"]);
    let approved: ReviewApp = session.client.send(Method::POST, &approve, &Approval { commit }).await?;
    if session.options.json {
        return session.terminal.json(&approved).await;
    }
    let commit = approved.commit.as_deref().map(short).unwrap_or_default();
    let hint = session.typed("reviewapps");
    session
        .terminal
        .line(format!(
            "{commit} of pull request {number} is built now, without secrets; `{hint}` shows its app."
        ))
        .await
}

pub(super) async fn remove(session: &mut Session, number: i64) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let gone: ReviewApp = session.client.delete(&of(&app, &["review-apps", &number.to_string()])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    let name = gone.app.map(|app| app.name).unwrap_or_default();
    session
        .terminal
        .line(format!("{name} is gone; the next push to pull request {number} makes it again."))
        .await
}

fn of(app: &AppName, rest: &[&str]) -> String {
    path(&[&["apps", app.as_str()], rest].concat())
}
