//! Config vars.

use std::collections::BTreeMap;

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::releases;
use super::run::Session;
use crate::domain::names::{AppName, ConfigKey, NameError};
use crate::web::api::shapes::Release;

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

/// `NAME=value` pairs; a value may hold anything, `=` too.
pub(super) async fn set(session: &mut Session, pairs: &[String]) -> Result<(), Failure> {
    let mut changes = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("`{pair}` is no setting: write NAME=value, with quotes round spaces"))
        })?;
        let name: ConfigKey = name.parse().map_err(|error: NameError| Failure::Usage(error.to_string()))?;
        changes.insert(name, Some(value.to_owned()));
    }
    change(session, "Setting", changes).await
}

pub(super) async fn unset(session: &mut Session, names: &[ConfigKey]) -> Result<(), Failure> {
    let changes = names.iter().map(|name| (name.clone(), None)).collect();
    change(session, "Unsetting", changes).await
}

/// Changes config vars and waits for the release that this makes.
async fn change(
    session: &mut Session,
    doing: &str,
    changes: BTreeMap<ConfigKey, Option<String>>,
) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let names: Vec<&str> = changes.keys().map(ConfigKey::as_str).collect();
    session.terminal.note(&format!("{doing} {} and restarting {app}... ", names.join(", "))).await;
    let all = path(&["apps", app.as_str(), "releases"]);
    let before = session.client.newest::<Release>(&all, 1).await?.rows.first().map(|release| release.version);
    let address = path(&["apps", app.as_str(), "config-vars"]);
    let _now: BTreeMap<ConfigKey, String> = session.client.send(Method::PATCH, &address, &changes).await?;
    let after = session.client.newest::<Release>(&all, 1).await?.rows.first().map(|release| release.version);
    match after {
        Some(version) if after != before => releases::finish(session, &app, version).await,
        _ => {
            session.terminal.note("nothing changed\n").await;
            Ok(())
        }
    }
}

async fn read(session: &Session, app: &AppName) -> Result<BTreeMap<ConfigKey, String>, Failure> {
    Ok(session.client.get(&path(&["apps", app.as_str(), "config-vars"])).await?)
}
