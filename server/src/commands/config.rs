//! Config vars.

use std::collections::BTreeMap;

use super::client::path;
use super::failure::Failure;
use super::run::Session;
use crate::domain::names::{AppName, ConfigKey};

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let config = read(session, &app).await?;
    if session.options.json {
        return session.terminal.json(&config).await;
    }
    if config.is_empty() {
        let hint = session.typed("config:set NAME=value");
        return session.terminal.line(format!("{app} has no config vars. `{hint}` sets one.")).await;
    }
    session.terminal.heading(format!("{app} Config Vars")).await?;
    let rows: Vec<_> = config.into_iter().map(|(name, value)| [format!("{name}:"), value]).collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn get(session: &mut Session, name: &ConfigKey) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let mut config = read(session, &app).await?;
    let value = config.remove(name).ok_or_else(|| {
        Failure::refused(format!("{app} has no config var {name}: `{}` lists them", session.typed("config")))
    })?;
    if session.options.json {
        return session.terminal.json(&value).await;
    }
    session.terminal.line(value).await
}

async fn read(session: &Session, app: &AppName) -> Result<BTreeMap<ConfigKey, String>, Failure> {
    Ok(session.client.get(&path(&["apps", app.as_str(), "config-vars"])).await?)
}
