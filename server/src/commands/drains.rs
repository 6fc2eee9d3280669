//! Log drains.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::run::Session;
use crate::web::api::shapes::{LogDrain, NewLogDrain};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let drains: Vec<LogDrain> = session.client.get(&path(&["apps", app.as_str(), "log-drains"])).await?;
    if session.options.json {
        return session.terminal.json(&drains).await;
    }
    if drains.is_empty() {
        let hint = session.typed("drains:add syslog+tls://logs.example.com:6514");
        return session.terminal.line(format!("{app} has no log drains. `{hint}` adds one.")).await;
    }
    session.terminal.heading(format!("{app} Log Drains")).await?;
    session.terminal.rows(&drains.into_iter().map(|drain| [drain.url, drain.token]).collect::<Vec<_>>()).await
}

pub(super) async fn add(session: &mut Session, url: String) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let new = NewLogDrain { url };
    let made: LogDrain =
        session.client.send(Method::POST, &path(&["apps", app.as_str(), "log-drains"]), &new).await?;
    if session.options.json {
        return session.terminal.json(&made).await;
    }
    session.terminal.line(format!("Successfully added drain {} ({})", made.url, made.token)).await
}

pub(super) async fn remove(session: &mut Session, drain: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let gone: LogDrain = session.client.delete(&path(&["apps", app.as_str(), "log-drains", drain])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("Successfully removed drain {}", gone.url)).await
}
