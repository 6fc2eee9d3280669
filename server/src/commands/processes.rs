//! What runs.

use std::collections::BTreeMap;

use super::client::path;
use super::failure::Failure;
use super::run::Session;
use super::text::when;
use crate::web::api::shapes::Dyno;

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let dynos: Vec<Dyno> = session.client.get(&path(&["apps", app.as_str(), "dynos"])).await?;
    if session.options.json {
        return session.terminal.json(&dynos).await;
    }
    if dynos.is_empty() {
        let scale = session.typed("ps:scale");
        let text = format!("No processes of {app} run. `git push` brings them, `{scale}` starts more.");
        return session.terminal.line(text).await;
    }
    let mut types: BTreeMap<String, Vec<Dyno>> = BTreeMap::new();
    for dyno in dynos {
        types.entry(dyno.process_type.clone()).or_default().push(dyno);
    }
    let mut between = "";
    for (process_type, dynos) in types {
        session.terminal.bytes(between.as_bytes()).await?;
        between = "\n";
        let first = dynos.first().map(|dyno| (dyno.size.as_str(), dyno.command.as_str()));
        let (size, command) = first.unwrap_or_default();
        session.terminal.heading(format!("{process_type} ({size}): `{command}` ({})", dynos.len())).await?;
        for dyno in dynos {
            session.terminal.line(of(&dyno)).await?;
        }
    }
    Ok(())
}

/// `web.1: up 2026/11/21 10:00:00 +0000 (~ 3m ago), v12`
fn of(dyno: &Dyno) -> String {
    let restarts = match dyno.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        times => format!(", restarted {times} times"),
    };
    format!("{}: {} {}, v{}{restarts}", dyno.name, dyno.state, when(dyno.updated_at), dyno.release.version)
}
