//! What runs, and what it writes.

use futures::TryStreamExt;

use super::client::path;
use super::failure::Failure;
use super::grammar::Logs;
use super::run::Session;
use super::text::since;
use crate::web::api::shapes::Dyno;

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let dynos: Vec<Dyno> = session.client.get(&path(&["apps", app.as_str(), "dynos"])).await?;
    if session.options.json {
        return session.terminal.json(&dynos).await;
    }
    if dynos.is_empty() {
        return session.terminal.line(format!("{app} runs nothing: `git push` starts its processes.")).await;
    }
    session.terminal.heading(format!("{app} Processes")).await?;
    let now = jiff::Timestamp::now();
    let rows: Vec<[String; 5]> = dynos
        .iter()
        .map(|dyno| {
            let restarts =
                if dyno.restarts == 0 { String::new() } else { format!("{} restarts", dyno.restarts) };
            let state = format!("{} (~ {} ago)", dyno.state, since(dyno.created_at, now));
            [dyno.name.clone(), state, format!("v{}", dyno.release.version), restarts, dyno.command.clone()]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn logs(session: &mut Session, args: Logs) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let mut address = format!("{}?lines={}", path(&["apps", app.as_str(), "logs"]), args.num);
    if let Some(process_type) = &args.ps {
        address.push_str(&format!("&ps={process_type}"));
    }
    if args.tail {
        address.push_str("&follow=1");
    }
    let mut text = session.client.stream(&address).await?;
    while let Some(chunk) = text.try_next().await? {
        session.terminal.output(&chunk).await?;
    }
    Ok(())
}
