//! Config vars.

use std::collections::BTreeMap;

use super::client::path;
use super::failure::Failure;
use super::rollback::announce_and_wait;
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

pub(super) async fn set(session: &mut Session, vars: &[String]) -> Result<(), Failure> {
    let mut changes = BTreeMap::new();
    for var in vars {
        let (name, value) = var.split_once('=').ok_or_else(|| {
            // A value that went without its name is not repeated: it may be a secret.
            Failure::refused(
                "every config var is `NAME=value`, with no space around `=`; quote values that hold spaces",
            )
        })?;
        let name: ConfigKey = name.parse().map_err(|error| Failure::refused(format!("{error}")))?;
        changes.insert(name, Some(value.to_owned()));
    }
    let kept = "The new values stay set, and the next release takes them along";
    change(session, ("Setting", kept), &changes).await
}

pub(super) async fn unset(session: &mut Session, names: &[ConfigKey]) -> Result<(), Failure> {
    let changes = names.iter().map(|name| (name.clone(), None)).collect();
    let kept = "They stay unset, and the next release goes without them";
    change(session, ("Unsetting", kept), &changes).await
}

async fn change(
    session: &mut Session,
    (doing, kept): (&str, &str),
    changes: &BTreeMap<ConfigKey, Option<String>>,
) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let release =
        session.client.change_config(&path(&["apps", app.as_str(), "config-vars"]), changes).await?;
    if session.options.json {
        return session.terminal.json(&serde_json::json!({ "release": release })).await;
    }
    let names = changes.keys().map(ConfigKey::as_str).collect::<Vec<_>>().join(", ");
    let doing = format!("{doing} {names} and restarting {app}");
    match release {
        Some(version) => announce_and_wait(session, &app, (&doing, kept), version).await,
        None => {
            session.terminal.line(format!("{doing}... nothing to do: {app} has it like this already")).await
        }
    }
}

async fn read(session: &Session, app: &AppName) -> Result<BTreeMap<ConfigKey, String>, Failure> {
    Ok(session.client.get(&path(&["apps", app.as_str(), "config-vars"])).await?)
}
